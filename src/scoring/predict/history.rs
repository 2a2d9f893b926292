//! A shop's order days, and what was known of a customer on any day of the past. Pure.
//!
//! Nothing after the asked day is looked at: a backtest and a forecast are the same call with another day.

use super::super::models::{Histories, History};

/// A calendar day, counted from any fixed one.
pub type Day = i32;

/// The models' unit of time: parameters then read as in the papers, and no gap is shorter than a seventh.
pub const DAYS_A_UNIT: f64 = 7.0;

/// One customer's orders of one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Purchase {
    pub day: Day,
    /// What the orders of the day came to, in any unit that is the same for all; 0 where it is not known.
    pub amount: f64,
}

/// All order days of all customers, by the customers' keys: the sequence they came in leaves no trace.
#[derive(Debug, Clone, Default)]
pub struct OrderLog {
    /// Sorted.
    keys: Vec<u64>,
    /// Where each customer's purchases begin; one more than there are customers.
    starts: Vec<u32>,
    purchases: Vec<Purchase>,
    /// The same of the days of visits; empty where none are known.
    visit_starts: Vec<u32>,
    visits: Vec<Day>,
}

/// One customer of a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Customer<'a> {
    pub key: u64,
    /// Oldest first.
    pub purchases: &'a [Purchase],
    /// The days that visits began on, oldest first; one of the day is one each.
    pub visits: &'a [Day],
}

impl Customer<'_> {
    /// What was known at the end of a day; `None` where the first order is later.
    pub fn known(&self, as_of: Day) -> Option<Known> {
        let known = Known::at(self.purchases, as_of)?;
        let seen = &self.visits[..self.visits.partition_point(|day| *day <= as_of)];
        Some(known.visited(seen.len() as u32, seen.last().copied()))
    }
}

impl OrderLog {
    /// From purchases in any order. A key names a customer: equal keys are one. Orders of one day become one.
    pub fn new(purchases: impl IntoIterator<Item = (u64, Purchase)>) -> Self {
        let mut all: Vec<(u64, Purchase)> = purchases.into_iter().collect();
        all.sort_unstable_by(|(a, at), (b, bt)| {
            (a, at.day).cmp(&(b, bt.day)).then(at.amount.total_cmp(&bt.amount))
        });
        let mut log = Self { starts: vec![0], ..Self::default() };
        for (key, purchase) in all {
            let same_customer = log.keys.last() == Some(&key);
            if !same_customer {
                log.keys.push(key);
                log.starts.push(log.purchases.len() as u32);
            }
            match log.purchases.last_mut() {
                Some(last) if same_customer && last.day == purchase.day => {
                    last.amount += purchase.amount;
                }
                _ => log.purchases.push(purchase),
            }
        }
        // `starts` was begun with 0 and then got each customer's: shift it into place.
        log.starts.remove(0);
        log.starts.push(log.purchases.len() as u32);
        log
    }

    /// With the days that customers visited on, in any order. Visits of people who never bought are left out.
    pub fn with_visits(mut self, visits: impl IntoIterator<Item = (u64, Day)>) -> Self {
        let mut all: Vec<(u64, Day)> = visits.into_iter().collect();
        all.sort_unstable();
        (self.visits, self.visit_starts) = (Vec::new(), vec![0]);
        for key in &self.keys {
            let from = all.partition_point(|(visitor, _)| visitor < key);
            let own = all[from..].iter().take_while(|(visitor, _)| visitor == key);
            self.visits.extend(own.map(|(_, day)| *day));
            self.visit_starts.push(self.visits.len() as u32);
        }
        self
    }

    pub fn customers(&self) -> usize {
        self.keys.len()
    }

    /// Each customer's key and purchases, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[Purchase])> {
        self.keys
            .iter()
            .zip(self.starts.windows(2))
            .map(|(key, bounds)| (*key, &self.purchases[bounds[0] as usize..bounds[1] as usize]))
    }

    /// Each customer, by key.
    pub fn all(&self) -> impl Iterator<Item = Customer<'_>> {
        self.iter().enumerate().map(|(i, (key, purchases))| {
            let visits = match self.visit_starts.get(i..i + 2) {
                Some(bounds) => &self.visits[bounds[0] as usize..bounds[1] as usize],
                None => &[],
            };
            Customer { key, purchases, visits }
        })
    }

    /// The log of at most about `most` customers, as [`OrderLog::sample`] chooses them.
    pub fn part(&self, most: usize) -> Self {
        let chosen = self.sample(most);
        let purchases = chosen.iter().flat_map(|own| own.purchases.iter().map(|p| (own.key, *p)));
        let visits = chosen.iter().flat_map(|own| own.visits.iter().map(|day| (own.key, *day)));
        let part = Self::new(purchases);
        if self.visit_starts.is_empty() { part } else { part.with_visits(visits) }
    }

    /// The last day that anybody ordered on.
    pub fn last_day(&self) -> Option<Day> {
        self.purchases.iter().map(|purchase| purchase.day).max()
    }

    /// The part of the customers that a backtest looks at: at most about `most`, chosen by their keys alone.
    pub fn sample(&self, most: usize) -> Vec<Customer<'_>> {
        let share = (most as f64 / self.customers().max(1) as f64).min(1.0);
        let limit = (share * u64::MAX as f64) as u64;
        self.all().filter(|customer| scatter(customer.key) <= limit).collect()
    }
}

/// A key for a customer who is known by a name (FNV-1a, 64 bits).
pub fn key_of(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// A key spread evenly over all numbers (splitmix64), so that a part of the customers is a fair sample.
pub fn scatter(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What is known of a buyer at the end of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    pub first_day: Day,
    pub last_day: Day,
    /// The day at whose end this is known.
    pub as_of: Day,
    /// Days with an order.
    pub order_days: u32,
    /// Sum of ln(gap), in [`DAYS_A_UNIT`], over the gaps between order days.
    pub ln_gaps: f64,
    /// Of all orders.
    pub amount: f64,
    pub last_amount: f64,
    /// The median of the own gaps in days; 0 with one order day.
    pub median_gap: f64,
    /// Visits so far, and the day of the last; `None` where there was none, or none is known.
    pub visits: u32,
    pub last_visit: Option<Day>,
}

impl Known {
    /// `None` where the first order is after `as_of`. `purchases` are one customer's, oldest first.
    pub fn at(purchases: &[Purchase], as_of: Day) -> Option<Self> {
        let known = &purchases[..purchases.partition_point(|purchase| purchase.day <= as_of)];
        let (first, last) = (known.first()?, known.last()?);
        let mut gaps: Vec<Day> = known.windows(2).map(|pair| pair[1].day - pair[0].day).collect();
        gaps.sort_unstable();
        Some(Self {
            first_day: first.day,
            last_day: last.day,
            as_of,
            order_days: known.len() as u32,
            ln_gaps: gaps.iter().map(|gap| (f64::from(*gap) / DAYS_A_UNIT).ln()).sum(),
            amount: known.iter().map(|purchase| purchase.amount).sum(),
            last_amount: last.amount,
            median_gap: median(&gaps),
            visits: 0,
            last_visit: None,
        })
    }

    /// One who visited so often. A visit after the day that this is known on says nothing of it.
    pub fn visited(self, visits: u32, last_visit: Option<Day>) -> Self {
        Self { visits, last_visit: last_visit.filter(|day| *day <= self.as_of), ..self }
    }

    /// The same customer on an earlier day, but not before the last order.
    pub fn earlier(self, as_of: Day) -> Self {
        Self { as_of, ..self }.visited(self.visits, self.last_visit)
    }

    /// The same customer at the end of the day of the last order.
    pub fn as_of_last_order(self) -> Self {
        self.earlier(self.last_day)
    }

    /// (x, t_x, T).
    pub fn history(&self) -> History {
        let time = |days: Day| f64::from(days) / DAYS_A_UNIT;
        History {
            x: self.order_days - 1,
            t_x: time(self.last_day - self.first_day),
            age: time(self.as_of - self.first_day),
        }
    }

    pub fn days_since_last(&self) -> f64 {
        f64::from(self.as_of - self.last_day)
    }

    /// Days since the last visit, or the last order where that was later.
    pub fn days_unseen(&self) -> f64 {
        f64::from(self.as_of - self.last_visit.unwrap_or(self.last_day).max(self.last_day))
    }
}

fn median(sorted: &[Day]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n => f64::from(sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// Days with an order in (`after`, `until`].
pub fn orders_between(purchases: &[Purchase], after: Day, until: Day) -> u32 {
    let up_to = |day| purchases.partition_point(|purchase| purchase.day <= day);
    up_to(until).saturating_sub(up_to(after)) as u32
}

/// The first order day after `after`.
pub fn next_order(purchases: &[Purchase], after: Day) -> Option<Day> {
    purchases.get(purchases.partition_point(|purchase| purchase.day <= after)).map(|p| p.day)
}

/// The histories that models are fitted to, with the time of each that `passed` tells.
pub fn histories<'a>(
    known: impl IntoIterator<Item = &'a Known>,
    passed: impl Fn(&Known) -> History,
) -> Histories {
    let mut ln_gaps = 0.0;
    let all: Vec<History> = known
        .into_iter()
        .map(|known| {
            ln_gaps += known.ln_gaps;
            passed(known)
        })
        .collect();
    // A first day never follows the last, nor the last the day that it is known on.
    Histories::new(all).expect("histories made of days").with_ln_gaps(ln_gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purchase(day: Day, amount: f64) -> Purchase {
        Purchase { day, amount }
    }

    #[test]
    fn orders_of_one_day_are_one_and_no_sequence_matters() {
        let told = [
            (7, purchase(10, 1.0)),
            (3, purchase(5, 2.0)),
            (7, purchase(3, 4.0)),
            (7, purchase(10, 0.5)),
        ];
        let mut back = told;
        back.reverse();
        let rows =
            |log: &OrderLog| log.iter().map(|(key, own)| (key, own.to_vec())).collect::<Vec<_>>();
        let log = rows(&OrderLog::new(told));
        assert_eq!(
            log,
            [(3, vec![purchase(5, 2.0)]), (7, vec![purchase(3, 4.0), purchase(10, 1.5)])]
        );
        assert_eq!(log, rows(&OrderLog::new(back)));
        assert_eq!(OrderLog::new([]).customers(), 0);
    }

    #[test]
    fn a_day_knows_nothing_of_those_after_it() {
        let own = [purchase(0, 10.0), purchase(14, 20.0), purchase(35, 99.0)];
        let known = Known::at(&own, 20).unwrap();
        assert_eq!((known.order_days, known.amount, known.median_gap), (2, 30.0, 14.0));
        let history = known.history();
        assert_eq!((history.x, history.t_x, history.age), (1, 2.0, 20.0 / 7.0));
        assert_eq!(Known::at(&own, 20), Known::at(&own[..2], 20));
        assert_eq!(Known::at(&own, -1), None);
        assert_eq!(orders_between(&own, 0, 35), 2);
        assert_eq!(orders_between(&own, 0, 34), 1);
        assert_eq!(next_order(&own, 14), Some(35));
        assert_eq!(next_order(&own, 35), None);
    }

    #[test]
    fn a_sample_is_a_fair_part_and_all_where_there_are_few() {
        let log = OrderLog::new((0..10_000).map(|key| (key, purchase(0, 1.0))));
        assert_eq!(log.sample(20_000).len(), 10_000);
        let part = log.sample(1_000).len();
        assert!((900..1_100).contains(&part), "{part}");
        let log = log.with_visits([(7, 3), (12, 5)]);
        let part = log.part(1_000);
        let whole: Vec<Customer<'_>> = log.sample(1_000);
        assert_eq!(part.all().collect::<Vec<_>>(), whole);
        assert_eq!(log.part(20_000).all().collect::<Vec<_>>(), log.all().collect::<Vec<_>>());
    }
}
