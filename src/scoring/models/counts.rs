//! Purchase histories, grouped: equal ones are counted, not repeated. Pure.

use rayon::prelude::*;

use super::fit::Sample;

/// What a model of the customer base knows of one customer, in the papers' symbols. Any unit of time will do, if it
/// is the same for all: rates and horizons then are in it too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    /// x: repeat orders, that is order days after the first.
    pub x: u32,
    /// t_x: from the first order to the last; 0 where there is no repeat order.
    pub t_x: f64,
    /// T: from the first order to now; never less than t_x.
    pub age: f64,
}

impl History {
    /// The same customer, as on the day of the last order: what was to be expected of someone so active.
    pub fn as_of_last_order(self) -> Self {
        Self { age: self.t_x, ..self }
    }

    /// Whether the three numbers can belong to a customer.
    pub fn check(&self) -> Result<(), ImpossibleHistory> {
        let Self { x, t_x, age } = *self;
        let ordered = 0.0 <= t_x && t_x <= age && age.is_finite();
        if ordered && (x > 0 || t_x == 0.0) {
            Ok(())
        } else {
            Err(ImpossibleHistory { x, t_x, age })
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "no customer has x = {x}, t_x = {t_x}, T = {age}: 0 <= t_x <= T must hold, and t_x = 0 without repeat orders"
)]
pub struct ImpossibleHistory {
    pub x: u32,
    pub t_x: f64,
    pub age: f64,
}

/// A shop's histories, ready to be fitted to: sorted by x, each kind once with its number of customers, and each
/// time once, so that a model takes a logarithm per distinct time and a gamma function per distinct x.
#[derive(Debug, Clone)]
pub struct Histories {
    /// All t_x and T, ascending.
    pub(super) times: Vec<f64>,
    /// All x, ascending.
    pub(super) xs: Vec<f64>,
    pub(super) rows: Vec<Row>,
    /// Customers with each of `xs`.
    pub(super) customers_by_x: Vec<f64>,
    ln_gaps: Option<f64>,
}

/// Customers with one history: `x`, `t_x` and `age` point into the tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub x: u32,
    pub t_x: u32,
    pub age: u32,
    pub customers: f64,
}

/// A sum over fewer rows is not worth a second thread.
const CHUNK: usize = 1 << 15;

impl Histories {
    pub fn new(histories: impl IntoIterator<Item = History>) -> Result<Self, ImpossibleHistory> {
        Self::weighted(histories.into_iter().map(|history| (history, 1.0)))
    }

    /// From histories with how many customers each stands for. Fractions are allowed, negative numbers are not.
    pub fn weighted(
        histories: impl IntoIterator<Item = (History, f64)>,
    ) -> Result<Self, ImpossibleHistory> {
        let histories: Vec<(History, f64)> = histories.into_iter().collect();
        for (history, _) in &histories {
            history.check()?;
        }
        let times = distinct(histories.iter().flat_map(|(history, _)| [history.t_x, history.age]));
        let xs = distinct(histories.iter().map(|(history, _)| f64::from(history.x)));
        let place = |table: &[f64], value: f64| table.partition_point(|t| *t < value) as u32;
        let mut rows: Vec<Row> = histories
            .par_iter()
            .map(|(history, customers)| Row {
                x: place(&xs, f64::from(history.x)),
                t_x: place(&times, history.t_x),
                age: place(&times, history.age),
                customers: *customers,
            })
            .collect();
        rows.par_sort_unstable_by_key(Row::key);
        rows.dedup_by(|row, kept| {
            let same = row.key() == kept.key();
            if same {
                kept.customers += row.customers;
            }
            same
        });
        Ok(Self::of_rows(times, xs, rows, None))
    }

    /// The sum of ln(gap) over all gaps between orders of all customers, in the unit of the histories. Needed to
    /// compare regularities k ([`super::geometric`]): a gap of 0 has no logarithm, so orders of one day must be
    /// one.
    pub fn with_ln_gaps(self, sum: f64) -> Self {
        Self { ln_gaps: Some(sum), ..self }
    }

    fn of_rows(times: Vec<f64>, xs: Vec<f64>, rows: Vec<Row>, ln_gaps: Option<f64>) -> Self {
        let mut customers_by_x = vec![0.0; xs.len()];
        for row in &rows {
            customers_by_x[row.x as usize] += row.customers;
        }
        Self { times, xs, rows, customers_by_x, ln_gaps }
    }

    pub fn customers(&self) -> f64 {
        self.customers_by_x.iter().sum()
    }

    /// Repeat orders of all customers.
    pub fn repeat_orders(&self) -> f64 {
        self.xs.iter().zip(&self.customers_by_x).map(|(x, customers)| x * customers).sum()
    }

    /// Time under observation, of all customers.
    pub fn observed(&self) -> f64 {
        self.rows.iter().map(|row| self.times[row.age as usize] * row.customers).sum()
    }

    pub fn ln_gaps(&self) -> Option<f64> {
        self.ln_gaps
    }

    /// How many kinds of history there are: what a fit costs.
    pub fn kinds(&self) -> usize {
        self.rows.len()
    }

    /// Each kind of history, with its customers.
    pub fn iter(&self) -> impl Iterator<Item = (History, f64)> + '_ {
        self.rows.iter().map(|row| (self.history(row), row.customers))
    }

    pub(super) fn history(&self, row: &Row) -> History {
        History {
            x: self.xs[row.x as usize] as u32,
            t_x: self.times[row.t_x as usize],
            age: self.times[row.age as usize],
        }
    }

    /// Sums `of` over all rows, on all threads where there are many. The parts are added up in the order of rows,
    /// so that the result is the same on every machine.
    pub(super) fn sum<const N: usize>(&self, of: impl Fn(&Row) -> [f64; N] + Sync) -> [f64; N] {
        let sum_of = |rows: &[Row]| {
            let mut sum = [0.0; N];
            for row in rows {
                let part = of(row);
                for i in 0..N {
                    sum[i] += row.customers * part[i];
                }
            }
            sum
        };
        if self.rows.len() <= CHUNK {
            return sum_of(&self.rows);
        }
        let parts: Vec<[f64; N]> = self.rows.par_chunks(CHUNK).map(sum_of).collect();
        let mut total = [0.0; N];
        for part in parts {
            for i in 0..N {
                total[i] += part[i];
            }
        }
        total
    }
}

impl Sample for Histories {
    fn kinds(&self) -> usize {
        self.kinds()
    }

    fn thinned(&self, step: usize) -> Self {
        let factor = step as f64;
        let heavier = |row: &Row| Row { customers: row.customers * factor, ..*row };
        let rows = self.rows.iter().skip(step / 2).step_by(step).map(heavier).collect();
        Self::of_rows(self.times.clone(), self.xs.clone(), rows, self.ln_gaps)
    }
}

impl Row {
    fn key(&self) -> (u32, u32, u32) {
        (self.x, self.age, self.t_x)
    }
}

/// The values, ascending, each once. They are finite and not negative, so that their bits sort as they do.
fn distinct(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut bits: Vec<u64> = values.map(|value| value.abs().to_bits()).collect();
    bits.par_sort_unstable();
    bits.dedup();
    bits.into_iter().map(f64::from_bits).collect()
}
