//! What the mixture of models gets wrong in a systematic way, learnt from the shop's own past. Pure.
//!
//! "Orders again" is a logistic regression and expected orders an exponential one, both with what the models say as the
//! offset: with all coefficients 0 nothing is changed. Coefficients are held back by a ridge, and the whole is shrunk
//! by the share that did best where it was not learnt.

use super::backtest::Origin;
use super::features::{FEATURES, Moments};
use super::linear::{dot, solve};
use super::minimise::minimise;
use super::weigh::Bar;

/// Ridge on the chance's coefficients, in customers.
const CHANCE_RIDGE: f64 = 20.0;

/// Ridge on the counts' coefficients: in units of the loss, plus as many returning customers as outweigh a unit.
const COUNT_RIDGE: (f64, f64) = (0.03, 60.0);

pub const CHANCE_TERMS: usize = FEATURES + 2;
pub const COUNT_TERMS: usize = FEATURES + 1;

/// Terms of a chance besides its level.
const SLOPES: usize = CHANCE_TERMS - 1;

/// So that certainty can still be corrected.
const LEAST_P: f64 = 1e-9;

pub fn logit(p: f64) -> f64 {
    let p = p.clamp(LEAST_P, 1.0 - LEAST_P);
    (p / (1.0 - p)).ln()
}

pub fn chance(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Where the two meet when more is told of the chance of an order than of the orders expected, which cannot be.
///
/// They are learnt apart, each by what it is judged by, so either may be the wrong one: each gives way by half.
pub fn between(chance: f64, expected: f64) -> f64 {
    0.5 * (chance + expected)
}

/// Correction of the log odds: a level, a slope on the models' own log odds, and the features.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Chance {
    pub coefficients: [f64; CHANCE_TERMS],
}

impl Chance {
    /// `middle` is the shop's mean log odds on that day.
    pub fn terms(logit: f64, middle: f64, features: &[f64; FEATURES]) -> [f64; CHANCE_TERMS] {
        let mut terms = [1.0; CHANCE_TERMS];
        terms[1] = logit - middle;
        terms[2..].copy_from_slice(features);
        terms
    }

    /// The most likely coefficients under the ridge, by Newton's method. Each origin has a level of its own, so that when
    /// orders came is not taken for who orders; of the levels remains what they share. All origins together weigh as much
    /// as one customer each, since they tell of the same customers, the better informed ones more.
    pub fn learn(origins: &[ChanceRows<'_>]) -> Self {
        let all: f64 = origins.iter().map(|rows| rows.origin.weight).sum();
        let n = SLOPES + origins.len();
        let mut at = vec![0.0; n];
        for _ in 0..12 {
            let (mut slope, mut bend) = (vec![0.0; n], vec![vec![0.0; n]; n]);
            let ridges = [CHANCE_RIDGE; SLOPES].into_iter();
            let ridges = ridges.chain(origins.iter().map(|o| CHANCE_RIDGE * o.origin.weight / all));
            for (i, ridge) in ridges.enumerate() {
                (slope[i], bend[i][i]) = (-ridge * at[i], ridge);
            }
            for (level, rows) in (SLOPES..).zip(origins) {
                let share = rows.origin.weight / all;
                for row in rows.iter() {
                    let terms = &row.terms[1..];
                    let p = chance(row.logit + at[level] + dot(&at[..SLOPES], terms));
                    let off = share * (f64::from(u8::from(row.ordered)) - p);
                    let weight = share * (p * (1.0 - p)).max(1e-9);
                    for (i, term) in terms.iter().enumerate() {
                        slope[i] += off * term;
                        bend[level][i] += weight * term;
                        for (bend, other) in bend[i].iter_mut().zip(&terms[..=i]) {
                            *bend += weight * term * other;
                        }
                    }
                    slope[level] += off;
                    bend[level][level] += weight;
                }
            }
            let step = solve(bend, slope);
            // Half a step where a whole one would overshoot: from far off, Newton's can.
            let longest = step.iter().map(|s| s.abs()).fold(0.0, f64::max);
            let length = (1.0 / longest).min(1.0);
            at.iter_mut().zip(&step).for_each(|(at, step)| *at += length * step);
            if longest < 1e-7 {
                break;
            }
        }
        let mut coefficients = [steady(&at[SLOPES..]); CHANCE_TERMS];
        coefficients[1..].copy_from_slice(&at[..SLOPES]);
        Self { coefficients }
    }

    pub fn correction(&self, terms: &[f64; CHANCE_TERMS]) -> f64 {
        dot(&self.coefficients, terms)
    }
}

/// What a chance is learnt from: one origin's customers of one half or both.
pub struct ChanceRows<'a> {
    pub origin: &'a Origin,
    pub horizon: usize,
    /// The mixture's log odds, a row per customer of the origin.
    pub logits: &'a [f64],
    pub middle: f64,
    /// The half to look at; `None`: both.
    pub half: Option<bool>,
}

/// What of a level holds from one day of the past to the next: the mean, shrunk by how far the days disagree. A season
/// that went up and down again is no reason to raise or lower anything.
fn steady(levels: &[f64]) -> f64 {
    let n = levels.len() as f64;
    let mean = levels.iter().sum::<f64>() / n.max(1.0);
    let spread = levels.iter().map(|level| (level - mean).powi(2)).sum::<f64>() / n.max(1.0);
    let squared = mean * mean;
    if squared > 0.0 { mean * squared / (squared + spread) } else { 0.0 }
}

pub struct ChanceRow {
    pub logit: f64,
    pub terms: [f64; CHANCE_TERMS],
    pub ordered: bool,
}

impl ChanceRows<'_> {
    pub fn iter(&self) -> impl Iterator<Item = ChanceRow> + '_ {
        let orders = &self.origin.windows[self.horizon].orders;
        (0..self.logits.len())
            .filter(|i| self.half.is_none_or(|half| self.origin.half[*i] == half))
            .map(|i| ChanceRow {
                logit: self.logits[i],
                terms: Chance::terms(self.logits[i], self.middle, &self.origin.features[i]),
                ordered: orders[i] > 0.0,
            })
    }
}

/// Correction of the expected orders, by a factor each, which leaves the shop's total as it is: how many orders a shop
/// gets depends on seasons that a past half year does not tell.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub coefficients: [f64; COUNT_TERMS],
}

impl Counts {
    /// `shop` holds the moments of the models' ln(expected) that day.
    pub fn terms(
        ln_expected: f64,
        shop: &Moments,
        features: &[f64; FEATURES],
    ) -> [f64; COUNT_TERMS] {
        let mut terms = [shop.standing(ln_expected); COUNT_TERMS];
        terms[1..].copy_from_slice(features);
        terms
    }

    /// The coefficients of the least errors, absolute and squared alike, each measured by the best single model's.
    pub fn learn(origins: &[CountRows]) -> Self {
        let all: f64 = origins.iter().map(|rows| rows.weight).sum();
        let returning: f64 = origins
            .iter()
            .map(|rows| {
                let came = rows.orders.iter().filter(|orders| **orders > 0.0).count();
                came as f64 * rows.weight / all
            })
            .sum();
        let ridge = COUNT_RIDGE.0 + COUNT_RIDGE.1 / returning.max(1.0);
        let (mut expected, mut slopes) = (Vec::new(), Vec::new());
        let at = minimise(vec![0.0; COUNT_TERMS], |at, slope| {
            let coefficients: &[f64; COUNT_TERMS] = at.try_into().expect("a number per term");
            let mut value = 0.0;
            for (slope, c) in slope.iter_mut().zip(at) {
                value += 0.5 * ridge * c * c;
                *slope = ridge * c;
            }
            for rows in origins {
                let share = rows.weight / all;
                rows.corrected(coefficients, &mut expected);
                slopes.resize(expected.len(), 0.0);
                value += rows.bar.loss(&expected, &rows.orders, &mut slopes) * share;
                // Each expectation is e·f/Σ(e·f)·Σe: the sum in the middle moves with the coefficients too.
                let total: f64 = expected.iter().sum();
                let mut pull = 0.0;
                let (mut own, mut shared) = ([0.0; COUNT_TERMS], [0.0; COUNT_TERMS]);
                for ((terms, e), s) in rows.terms.iter().zip(&expected).zip(&slopes) {
                    pull += s * e;
                    for i in 0..COUNT_TERMS {
                        own[i] += terms[i] * s * e;
                        shared[i] += terms[i] * e;
                    }
                }
                for i in 0..COUNT_TERMS {
                    slope[i] += (own[i] - pull * shared[i] / total) * share;
                }
            }
            value
        });
        Self { coefficients: at.try_into().expect("a number per term") }
    }

    pub fn correction(&self, terms: &[f64; COUNT_TERMS]) -> f64 {
        dot(&self.coefficients, terms)
    }
}

/// What counts are learnt from: one origin's customers, or half of them.
pub struct CountRows {
    pub terms: Vec<[f64; COUNT_TERMS]>,
    /// The mixture's expected orders.
    pub mixed: Vec<f64>,
    pub orders: Vec<f64>,
    pub bar: Bar,
    /// The origin's.
    pub weight: f64,
}

impl CountRows {
    /// Writes the corrected expectations; their sum is that of the mixture.
    pub fn corrected(&self, coefficients: &[f64; COUNT_TERMS], expected: &mut Vec<f64>) {
        expected.clear();
        expected.extend(
            self.terms
                .iter()
                .zip(&self.mixed)
                .map(|(terms, e)| e * factor(dot(coefficients, terms))),
        );
        let level = level(&self.mixed, expected);
        expected.iter_mut().for_each(|e| *e *= level);
    }
}

/// e to the power of a correction, kept from running away on a customer unlike all others.
pub fn factor(correction: f64) -> f64 {
    correction.clamp(-4.0, 4.0).exp()
}

/// What brings corrected expectations back to the mixture's total.
pub fn level(mixed: &[f64], corrected: &[f64]) -> f64 {
    let (before, after): (f64, f64) = (mixed.iter().sum(), corrected.iter().sum());
    if after > 0.0 { before / after } else { 1.0 }
}
