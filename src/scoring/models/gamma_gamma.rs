//! Gamma-Gamma: what a customer's orders are worth on average.
//!
//! Fader & Hardie 2013, "The gamma-gamma model of monetary value". A customer's amounts are Gamma(p, ν) about a
//! mean of their own, and ν ~ Gamma(q, v) over customers; amounts do not depend on how often one orders. It needs
//! (n, z̄): how many orders, and their mean amount. Which orders these are is the caller's convention: all of them
//! (n = x + 1) here in Homing, repeat orders only (n = x) in the papers. Money is a number in currency units.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::fit::{self, FitError, Sample};
use super::special::{digamma_rise, ln_beta};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GammaGamma {
    pub p: f64,
    pub q: f64,
    pub v: f64,
}

/// The amounts that a shop's customers spent: those of customers with a positive mean, sorted by n.
#[derive(Debug, Clone)]
pub struct Amounts {
    /// All n, ascending.
    ns: Vec<f64>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    /// Into `ns`.
    n: u32,
    total: f64,
    weight: f64,
}

impl Amounts {
    /// From (n, mean amount) of each customer. Those without an order, and those whose orders came to nothing or
    /// less, tell of no amount and are left out.
    pub fn new(customers: impl IntoIterator<Item = (u32, f64)>) -> Self {
        let tells = |(n, mean): &(u32, f64)| *n > 0 && *mean > 0.0 && mean.is_finite();
        let mut customers: Vec<(u32, f64)> = customers.into_iter().filter(tells).collect();
        customers.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut counts: Vec<u32> = customers.iter().map(|(n, _)| *n).collect();
        counts.dedup();
        let place = |n: u32| counts.partition_point(|count| *count < n) as u32;
        let rows = customers
            .iter()
            .map(|(n, mean)| Row { n: place(*n), total: f64::from(*n) * mean, weight: 1.0 })
            .collect();
        Self { ns: counts.into_iter().map(f64::from).collect(), rows }
    }

    /// The mean over customers of their mean amounts; 0 where there are none.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.rows.iter().map(|row| row.total / self.ns[row.n as usize]).sum();
        if self.rows.is_empty() { 0.0 } else { sum / self.rows.len() as f64 }
    }
}

impl Sample for Amounts {
    fn kinds(&self) -> usize {
        self.rows.len()
    }

    fn thinned(&self, step: usize) -> Self {
        let factor = step as f64;
        let heavier = |row: &Row| Row { weight: row.weight * factor, ..*row };
        let rows = self.rows.iter().skip(step / 2).step_by(step).map(heavier).collect();
        Self { ns: self.ns.clone(), rows }
    }
}

impl GammaGamma {
    /// E[mean amount | n, z̄] = p (v + n z̄) / (p n + q − 1), which lies between the customer's own mean and the
    /// shop's, p v / (q − 1), the nearer to the own the more orders there are. n = 0 gives the shop's mean, and
    /// `None` means that there is none: with q ≤ 1 the shop's tail is so long that its mean is infinite.
    ///
    /// ```
    /// use homing::scoring::models::GammaGamma;
    ///
    /// let cdnow = GammaGamma { p: 6.25, q: 3.74, v: 15.44 };
    /// assert!((cdnow.expected(0, 0.0).unwrap() - 35.22).abs() < 0.01);
    /// assert!((cdnow.expected(2, 22.35).unwrap() - 24.66).abs() < 0.01);
    /// ```
    pub fn expected(&self, n: u32, mean: f64) -> Option<f64> {
        let n = f64::from(n);
        let weight = self.p * n + self.q - 1.0;
        (weight > 0.0).then(|| self.p * (self.v + n * mean) / weight)
    }

    /// ln L and its derivatives by ln p, ln q and ln v, of the mean amounts themselves.
    pub fn log_likelihood(&self, amounts: &Amounts) -> (f64, [f64; 3]) {
        let Self { p, q, v } = *self;
        let by_n: Vec<[f64; 3]> = amounts
            .ns
            .iter()
            .map(|n| {
                let shape = p * n;
                [-ln_beta(shape, q), n * digamma_rise(shape, q), digamma_rise(q, shape)]
            })
            .collect();
        let of = |row: &Row| {
            let n = amounts.ns[row.n as usize];
            let [norm, by_p, by_q] = by_n[row.n as usize];
            let own = -(v / row.total).ln_1p();
            let shop = -(row.total / v).ln_1p();
            [
                norm + p * n * own + q * shop - (row.total / n).ln(),
                by_p + n * own,
                by_q + shop,
                q - (p * n + q) * v / (v + row.total),
            ]
            .map(|part| part * row.weight)
        };
        let add = |a: [f64; 4], b: [f64; 4]| std::array::from_fn(|i| a[i] + b[i]);
        // In parts of one size, added up in their order: the same on every machine.
        let parts: Vec<[f64; 4]> = amounts
            .rows
            .par_chunks(1 << 15)
            .map(|rows| rows.iter().map(of).fold([0.0; 4], add))
            .collect();
        let [log, by_p, by_q, by_v] = parts.into_iter().fold([0.0; 4], add);
        (log, [p * by_p, q * by_q, by_v])
    }

    /// The parameters under which the amounts are most likely.
    pub fn fit(amounts: &Amounts) -> Result<(Self, f64), FitError> {
        if amounts.rows.len() < 2 {
            return Err(FitError::TooFewAmounts);
        }
        let scale = amounts.mean();
        let of_logs = |at: &[f64; 3]| Self { p: at[0].exp(), q: at[1].exp(), v: at[2].exp() };
        let bounds = fit::bounds(1.0 / scale, [false, false, true]);
        // A shop's mean of p v / (q − 1), by amounts that vary as much within customers as between, more, and less.
        let starts = [(2.0, 3.0), (6.0, 4.0), (1.0, 2.0), (10.0, 20.0)]
            .map(|(p, q): (f64, f64)| [p.ln(), q.ln(), (scale * (q - 1.0) / p).ln()]);
        let peak =
            fit::from_best(amounts, starts, bounds, |at, data| of_logs(at).log_likelihood(data));
        Ok((of_logs(&peak.at), peak.value))
    }
}
