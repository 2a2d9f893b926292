//! When a customer buys a product again: the rhythm of customer and product together. Pure, but for `store` and `run`.
//!
//! The days from one purchase of a product to the next are log-normal, and of each purchase it is open whether there
//! is a next at all. Both, *when* and *whether*, have a part of the product (shrunk to its category, and that to the
//! shop) and a part of the person (all products together: some buy early, some often); *when* has a part of this very
//! pair besides, and *whether* grows with the number of times already bought. Each part is as large as the data
//! support, by empirical Bayes. Those not yet back count: their gap is longer than the silence so far, or without end
//! (a cure fraction; Boag 1949, Farewell 1982). A larger quantity lasts longer, by an exponent from 0 (no effect) to 1
//! (proportional) that is learnt, and is 0 while nothing speaks for it.
//!
//! It knows no clock and no customer by name: of people it keeps nothing, a customer's part is formed from the own
//! purchases when asked. Only `store` and `run` know a database: they keep what was learnt, and for each customer the few
//! products that `basket` expects them to buy again.

pub mod basket;
mod learn;
mod normal;
mod pair;
pub mod run;
pub mod store;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::pair::{Pair, Person};

/// One product bought on one day. A quantity that is not a positive number is no purchase (a return, a misprint).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Purchase {
    pub customer: i64,
    pub product: i64,
    pub category: Option<i64>,
    /// Days since any fixed day, in the shop's zone.
    pub day: i32,
    pub quantity: f64,
}

/// What is asked of a forecast at most: beyond a year nobody plans, and few shops' data reach.
pub const YEAR: f64 = 365.0;

/// Under this chance of a repurchase within a year there is nothing to expect, and no day is named.
pub const LEAST_CHANCE: f64 = 0.1;

/// More than this in ln(days), and gaps tell nothing to count from: one in three lies below 0.4 or above 2.7 times the
/// usual one.
pub const VAGUE: f64 = 1.0;

/// All that a shop's rhythms are predicted by. It can be stored, and predicts the same when read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    /// Of gaps: closed ones, and those still open.
    pub gaps: Gaps,
    pub spread: Spread,
    shop: Part,
    /// Log odds that there is a next purchase, after the 1st, the 2nd, the 3rd or 4th, and any later one.
    again: [f64; pair::ORDINALS],
    categories: BTreeMap<i64, Part>,
    /// Only those bought often enough to tell; the others go by their category.
    products: BTreeMap<i64, Part>,
}

/// What a rhythm was learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gaps {
    pub closed: u64,
    /// One per customer and product.
    pub open: u64,
}

/// Standard deviations of ln(days), and of the log odds of a next purchase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// From gap to gap of one pair.
    pub within: f64,
    /// From pair to pair, product and person being the same.
    pub pair: f64,
    pub person: f64,
    pub product: f64,
    pub category: f64,
    pub again_person: f64,
    pub again_product: f64,
}

/// The part of a product, a category or the shop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Part {
    /// Mean of ln(days), the levels above included.
    mean: f64,
    /// Variance of that mean: how little is known of it.
    doubt: f64,
    /// Log odds of a next purchase, beside the shop's.
    again: f64,
    /// The exponent on quantity.
    lasts: f64,
    /// Mean of ln(quantity).
    quantity: f64,
}

/// When the next purchase is due. Days are counted as in [`Purchase::day`], and are after the day it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// If it comes within a year, then by this day in one case of five.
    pub day20: i32,
    pub day50: i32,
    pub day80: i32,
    /// P(it comes within a year).
    pub p_within_year: f64,
}

/// The product that a customer is due for next.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Due {
    pub product: i64,
    /// The middle day, by [`Expected::day50`].
    pub day: i32,
    /// P(it is bought again within a year).
    pub probability: f64,
}

/// The time to the next purchase, as a distribution, given the silence so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    last_day: i32,
    silent_days: f64,
    /// Of ln(days from purchase to purchase).
    mean: f64,
    sd: f64,
    /// P(there is a next purchase), as it was at the last one.
    again: f64,
}

/// One customer with all that he bought, ready to be asked.
#[derive(Debug, Clone)]
pub struct Customer<'a> {
    rhythm: &'a Rhythm,
    person: Person,
    /// By ascending product.
    bought: Vec<(Pair, Part, i32)>,
    as_of: i32,
}

impl Rhythm {
    /// Learns from all purchases up to the end of `as_of`; later ones and the order of rows change nothing.
    pub fn learn(purchases: &[Purchase], as_of: i32) -> Self {
        learn::learn(purchases, as_of)
    }

    /// One customer at the end of `as_of`, from the own purchases, in any order. Whose they are is not looked at.
    pub fn customer(&self, purchases: &[Purchase], as_of: i32) -> Customer<'_> {
        let mut rows: Vec<Purchase> = purchases
            .iter()
            .filter(|row| counts(row, as_of))
            .map(|row| Purchase { customer: 0, ..*row })
            .collect();
        sort(&mut rows);
        let bought: Vec<(Pair, Part, i32)> = rows
            .chunk_by(|a, b| a.product == b.product)
            .map(|rows| {
                let part = self.part(rows[0].product, rows[0].category);
                (Pair::of(rows, as_of, part.quantity), part, rows[rows.len() - 1].day)
            })
            .collect();
        let mut days = Vec::new();
        let share = share_of_days(&rows, &mut days);
        let mut person = Person::default();
        for _ in 0..40 {
            let before = person;
            person = self.look_at(person, &bought, share);
            if (person.pace - before.pace).abs() + (person.again - before.again).abs() < 1e-7 {
                break;
            }
        }
        Customer { rhythm: self, person, bought, as_of }
    }

    /// Whether gaps of one pair are alike enough to be called a rhythm. Traders who fill their shelves have none.
    pub fn is_regular(&self) -> bool {
        self.spread.within <= VAGUE
    }

    /// How the shop's products are bought again: P(a next purchase) after the first one, usual days between.
    pub fn usual(&self) -> (f64, f64) {
        (chance(self.again[0]), self.shop.mean.exp())
    }

    /// The usual days between, and P(a next purchase) after the first one, of a product bought often enough to tell.
    pub fn of_product(&self, product: i64) -> Option<(f64, f64)> {
        let part = self.products.get(&product)?;
        Some((part.mean.exp(), chance(self.again[0] + part.again)))
    }

    /// Forgets all products but the `most` best known: the others go by their category.
    pub fn keep(&mut self, most: usize) {
        if self.products.len() <= most {
            return;
        }
        let mut doubts: Vec<f64> = self.products.values().map(|part| part.doubt).collect();
        doubts.sort_unstable_by(f64::total_cmp);
        let limit = doubts[most];
        self.products.retain(|_, part| part.doubt < limit);
    }

    /// By how much a product lasts longer when more of it is bought: 0 not at all, 1 in proportion.
    pub fn lasts(&self, product: i64, category: Option<i64>) -> f64 {
        self.part(product, category).lasts
    }

    fn part(&self, product: i64, category: Option<i64>) -> Part {
        if let Some(part) = self.products.get(&product) {
            return *part;
        }
        let above =
            category.and_then(|category| self.categories.get(&category)).unwrap_or(&self.shop);
        Part { doubt: above.doubt + self.spread.product.powi(2), ..*above }
    }

    fn look_at(&self, person: Person, bought: &[(Pair, Part, i32)], share: f64) -> Person {
        let mut sight = pair::Sight::default();
        for (pair, part, _) in bought {
            let seen = pair.see(part, person, &self.spread, &self.again);
            sight.add(&seen, part.mean);
        }
        person.after(&sight.worth(share), &self.spread)
    }
}

impl Customer<'_> {
    /// When this product is due again; `None` if he never bought it, or will hardly buy it again within a year.
    pub fn next(&self, product: i64) -> Option<Expected> {
        self.forecast(product).and_then(|forecast| forecast.expected(self.as_of))
    }

    /// Of all his products the one due next: the earliest middle day, then the likelier.
    pub fn next_due(&self) -> Option<Due> {
        self.bought
            .iter()
            .filter_map(|(pair, part, last)| {
                let expected = self.foresee(pair, part, *last).expected(self.as_of)?;
                let (day, probability) = (expected.day50, expected.p_within_year);
                Some(Due { product: pair.product, day, probability })
            })
            .min_by(|a, b| a.day.cmp(&b.day).then(b.probability.total_cmp(&a.probability)))
    }

    /// The whole distribution, for a product once bought.
    pub fn forecast(&self, product: i64) -> Option<Forecast> {
        let at = self.bought.binary_search_by_key(&product, |(pair, ..)| pair.product).ok()?;
        let (pair, part, last) = &self.bought[at];
        Some(self.foresee(pair, part, *last))
    }

    /// The same as if he bought so many again on this later day: what the purchase to come would lead to.
    pub fn forecast_from(&self, product: i64, day: i32, quantity: f64) -> Option<Forecast> {
        let at = self.bought.binary_search_by_key(&product, |(pair, ..)| pair.product).ok()?;
        let (pair, part, _) = &self.bought[at];
        Some(self.foresee(&pair.bought_again(quantity), part, day))
    }

    fn foresee(&self, pair: &Pair, part: &Part, last_day: i32) -> Forecast {
        let spread = &self.rhythm.spread;
        let seen = pair.see(part, self.person, spread, &self.rhythm.again);
        Forecast {
            last_day,
            silent_days: pair.silent_days(),
            mean: seen.open_mean,
            sd: (seen.open_sd.powi(2) + part.doubt + self.person.doubt).sqrt(),
            again: seen.open_again,
        }
    }
}

impl Forecast {
    fn tail(&self, days: f64) -> f64 {
        normal::tail((days.ln() - self.mean) / self.sd)
    }

    /// Standard deviation of ln(days), all that is not known included.
    pub fn spread(&self) -> f64 {
        self.sd
    }

    /// The middle of all gaps from such a purchase on, whatever the silence so far.
    pub fn usual_gap(&self) -> f64 {
        self.mean.exp()
    }

    /// P(the next purchase comes in the coming `days`).
    pub fn p_within(&self, days: f64) -> f64 {
        let silent = self.tail(self.silent_days);
        let later = self.tail(self.silent_days + days.max(0.0));
        let open = 1.0 - self.again + self.again * silent;
        if open > 0.0 { (self.again * (silent - later) / open).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Days from the last purchase to the next at this share of all cases, among those that come within `days` from now.
    pub fn gap_at(&self, share: f64, days: f64) -> f64 {
        let (silent, later) = (self.tail(self.silent_days), self.tail(self.silent_days + days));
        // What is long overdue has no tail left to divide: then in equal parts of the window, and soon.
        if silent - later < 1e-12 {
            return self.silent_days + share * days;
        }
        let upper = silent - share * (silent - later);
        let gap = (self.mean + self.sd * normal::quantile_of_tail(upper)).exp();
        gap.clamp(self.silent_days, self.silent_days + days)
    }

    fn expected(&self, as_of: i32) -> Option<Expected> {
        let p_within_year = self.p_within(YEAR);
        if p_within_year < LEAST_CHANCE {
            return None;
        }
        let day = |share| {
            let gap = self.gap_at(share, YEAR).round() as i32;
            self.last_day.saturating_add(gap).max(as_of.saturating_add(1))
        };
        Some(Expected { day20: day(0.2), day50: day(0.5), day80: day(0.8), p_within_year })
    }
}

fn chance(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

fn counts(row: &Purchase, as_of: i32) -> bool {
    row.day <= as_of && row.quantity > 0.0 && row.quantity.is_finite()
}

/// Days with purchases over purchases, of one customer. `days` is scratch.
fn share_of_days(rows: &[Purchase], days: &mut Vec<i32>) -> f64 {
    days.clear();
    days.extend(rows.iter().map(|row| row.day));
    days.sort_unstable();
    days.dedup();
    days.len() as f64 / rows.len().max(1) as f64
}

/// By customer, product and day; quantities and categories too, so that no order of rows is left to matter.
fn sort(rows: &mut [Purchase]) {
    use rayon::slice::ParallelSliceMut;
    let key = |a: &Purchase| (a.customer, a.product, a.day, a.category);
    let compare = |a: &Purchase, b: &Purchase| {
        key(a).cmp(&key(b)).then_with(|| a.quantity.total_cmp(&b.quantity))
    };
    if rows.len() < 10_000 {
        rows.sort_unstable_by(compare);
    } else {
        rows.par_sort_unstable_by(compare);
    }
}
