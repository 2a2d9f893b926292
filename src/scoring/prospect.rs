//! Who of those that visited and never bought places a first order within 30 days. Pure.
//!
//! A logistic regression on the shop's own past: people as they stood on past days (origins), and whether they bought
//! in the 30 days after. Its ridge is chosen, its log odds are set straight, and it is judged on the last origin, which
//! it was not fitted on; where the plain base rate did better there, the base rate is used and said. Until the shop
//! has seen [`LEAST_FIRST_ORDERS`] first orders of people it knew as visitors there is no prediction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::predict::linear::{dot, solve};
use super::predict::metrics::{auc, ece_pct, log_loss};
use super::predict::recalibrate::chance;
use super::visitor::Depth;

/// About five for each thing that is looked at: with fewer, a regression tells the shop its own noise.
pub const LEAST_FIRST_ORDERS: usize = 50;

/// Channels that get a coefficient of their own; all others are one.
const CHANNELS: usize = 5;

/// A channel of fewer samples is pooled with the others.
const LEAST_SAMPLES: usize = 30;

/// Candidates for the ridge, in samples of a feature's one standard deviation.
const RIDGES: [f64; 6] = [300.0, 100.0, 30.0, 10.0, 3.0, 1.0];

/// Days ahead that are predicted; origins stand at least so far apart.
pub const HORIZON: i32 = 30;

/// As many samples tell a dozen coefficients as well as more would.
const MOST_SAMPLES: usize = 100_000;

/// Ridge on level and slope of the last correction.
const STRAIGHT: f64 = 10.0;

/// Someone who never bought, as known on one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visitor<'a> {
    pub days_since_last_visit: f64,
    pub days_since_first_visit: f64,
    pub visits: u32,
    pub depth: Depth,
    /// Where the first visit came from.
    pub channel: Option<&'a str>,
}

/// A visitor on a past day, and what became of it. Origins stand at least 30 days apart, so that a first order counts
/// for one of them alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    pub origin: i32,
    pub visitor: Visitor<'a>,
    /// First order within 30 days after the origin.
    pub ordered: bool,
}

/// Why nothing is predicted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotYet {
    #[error("not enough data yet: about {needed} more first orders of known visitors are needed")]
    TooFew { needed: usize },
    #[error(
        "not enough data yet: visitors are known on one past day alone; 30 days more are needed"
    )]
    TooYoung,
}

/// How it did on the last origin: level and slope are set on one half of its visitors and judged on the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub visitors: usize,
    pub first_orders: usize,
    pub log_loss: f64,
    /// Of the earlier origins' share of buyers, said of everyone.
    pub base_log_loss: f64,
    /// `None` where nobody bought, or everybody did.
    pub auc: Option<f64>,
    pub ece_pct: f64,
}

/// What visitors are predicted by. It can be stored, and predicts the same when read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prospects {
    pub quality: Quality,
    /// The base rate did better on the last origin, and is said of everyone.
    pub by_base_rate: bool,
    pub base_rate: f64,
    pub ridge: f64,
    view: View,
    coefficients: Vec<f64>,
    straight: [f64; 2],
}

/// How a visitor is turned into numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct View {
    /// Mean and standard deviation of each logarithm.
    scales: [(f64, f64); LOGS],
    channels: Vec<String>,
}

const LOGS: usize = 3;
/// The level, the logarithms, and three of four depths.
const FIXED: usize = 1 + LOGS + 3;

impl Prospects {
    pub fn learn(samples: &[Sample<'_>]) -> Result<Self, NotYet> {
        let ordered = samples.iter().filter(|sample| sample.ordered).count();
        if ordered < LEAST_FIRST_ORDERS {
            return Err(NotYet::TooFew { needed: LEAST_FIRST_ORDERS - ordered });
        }
        let mut samples: Vec<&Sample<'_>> = samples.iter().collect();
        samples.sort_by(|a, b| order(a, b));
        let last = samples.last().map_or(0, |sample| sample.origin);
        let (past, held) = samples.split_at(samples.partition_point(|sample| sample.origin < last));
        let (past, held) = (thinned(past), thinned(held));
        if past.is_empty() {
            return Err(NotYet::TooYoung);
        }

        let view = View::of(&past);
        let (past_rows, held_rows) = (Rows::of(&past, &view), Rows::of(&held, &view));
        let mut fits: Vec<(f64, Vec<f64>)> = Vec::with_capacity(RIDGES.len());
        for ridge in RIDGES {
            let start = fits.last().map(|(_, coefficients)| coefficients.clone());
            fits.push((ridge, past_rows.fit(ridge, start)));
        }
        let (ridge, coefficients) = fits
            .into_iter()
            .min_by(|(_, a), (_, b)| held_rows.log_loss(a).total_cmp(&held_rows.log_loss(b)))
            .expect("there are candidates");
        let log_odds: Vec<f64> = held_rows.rows.iter().map(|row| dot(&coefficients, row)).collect();
        let quality = judge(&log_odds, &held_rows.ordered, past_rows.rate());

        let all = Rows::of(&[past, held].concat(), &view);
        Ok(Self {
            quality,
            by_base_rate: quality.log_loss > quality.base_log_loss,
            base_rate: all.rate(),
            ridge,
            coefficients: all.fit(ridge, Some(coefficients)),
            straight: set_straight(&log_odds, &held_rows.ordered),
            view,
        })
    }

    pub fn p_first_order_30d(&self, visitor: &Visitor<'_>) -> f64 {
        if self.by_base_rate {
            return self.base_rate;
        }
        chance(straightened(self.straight, dot(&self.coefficients, &self.view.row(visitor))))
    }
}

/// Every so-many-th of sorted samples: buyers and others in the proportion they came in.
fn thinned<'a, 'b>(samples: &[&'a Sample<'b>]) -> Vec<&'a Sample<'b>> {
    samples.iter().step_by(samples.len().div_ceil(MOST_SAMPLES).max(1)).copied().collect()
}

/// A sequence that depends on nothing but the samples' values.
fn order(a: &Sample<'_>, b: &Sample<'_>) -> std::cmp::Ordering {
    let key = |s: &Sample<'_>| (s.origin, s.ordered, s.visitor.visits, s.visitor.depth);
    let days = |s: &Sample<'_>| (s.visitor.days_since_last_visit, s.visitor.days_since_first_visit);
    key(a)
        .cmp(&key(b))
        .then_with(|| days(a).0.total_cmp(&days(b).0))
        .then_with(|| days(a).1.total_cmp(&days(b).1))
        .then_with(|| a.visitor.channel.cmp(&b.visitor.channel))
}

/// ln(1 + days since the last visit), ln(1 + visits), ln(1 + days since the first). What is no number is 0 days.
fn logs(visitor: &Visitor<'_>) -> [f64; LOGS] {
    let ln = |value: f64| if value > 0.0 { value.min(1e6).ln_1p() } else { 0.0 };
    [
        ln(visitor.days_since_last_visit),
        ln(f64::from(visitor.visits)),
        ln(visitor.days_since_first_visit),
    ]
}

impl View {
    fn of(samples: &[&Sample<'_>]) -> Self {
        let n = samples.len() as f64;
        let mut scales = [(0.0, 1.0); LOGS];
        for (i, scale) in scales.iter_mut().enumerate() {
            let values = || samples.iter().map(|sample| logs(&sample.visitor)[i]);
            let mean = values().sum::<f64>() / n;
            let sd = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
            *scale = (mean, if sd > 1e-9 { sd } else { 1.0 });
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for channel in samples.iter().filter_map(|sample| sample.visitor.channel) {
            *counts.entry(channel).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> =
            counts.into_iter().filter(|(_, n)| *n >= LEAST_SAMPLES).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let channels = counts.into_iter().take(CHANNELS).map(|(name, _)| name.to_owned()).collect();
        Self { scales, channels }
    }

    fn row(&self, visitor: &Visitor<'_>) -> Vec<f64> {
        let mut row = vec![0.0; FIXED + self.channels.len()];
        row[0] = 1.0;
        for ((cell, log), (mean, sd)) in row[1..].iter_mut().zip(logs(visitor)).zip(self.scales) {
            *cell = (log - mean) / sd;
        }
        match visitor.depth {
            Depth::Page => {}
            Depth::Product => row[LOGS + 1] = 1.0,
            Depth::Cart => row[LOGS + 2] = 1.0,
            Depth::Checkout => row[LOGS + 3] = 1.0,
        }
        if let Some(at) =
            self.channels.iter().position(|name| Some(name.as_str()) == visitor.channel)
        {
            row[FIXED + at] = 1.0;
        }
        row
    }
}

struct Rows {
    rows: Vec<Vec<f64>>,
    ordered: Vec<bool>,
}

impl Rows {
    fn of(samples: &[&Sample<'_>], view: &View) -> Self {
        Self {
            rows: samples.iter().map(|sample| view.row(&sample.visitor)).collect(),
            ordered: samples.iter().map(|sample| sample.ordered).collect(),
        }
    }

    /// Half a buyer and half a non-buyer keep it from certainty.
    fn rate(&self) -> f64 {
        let ordered = self.ordered.iter().filter(|ordered| **ordered).count();
        (ordered as f64 + 0.5) / (self.ordered.len() as f64 + 1.0)
    }

    fn log_loss(&self, coefficients: &[f64]) -> f64 {
        let p: Vec<f64> = self.rows.iter().map(|row| chance(dot(coefficients, row))).collect();
        log_loss(&p, &self.ordered).unwrap_or_default()
    }

    /// The most likely coefficients, all but the level held to 0.
    fn fit(&self, ridge: f64, start: Option<Vec<f64>>) -> Vec<f64> {
        let n = self.rows.first().map_or(FIXED, Vec::len);
        let mut held = vec![ridge; n];
        held[0] = 1e-6;
        let rate = self.rate();
        let mut level = vec![0.0; n];
        level[0] = (rate / (1.0 - rate)).ln();
        newton(&self.rows, &self.ordered, &held, &vec![0.0; n], start.unwrap_or(level))
    }
}

/// Level and slope, held to (0, 1), by which log odds fit what happened.
fn set_straight(log_odds: &[f64], ordered: &[bool]) -> [f64; 2] {
    let rows: Vec<Vec<f64>> = log_odds.iter().map(|odds| vec![1.0, *odds]).collect();
    let at = newton(&rows, ordered, &[STRAIGHT; 2], &[0.0, 1.0], vec![0.0, 1.0]);
    [at[0], at[1]]
}

fn straightened(straight: [f64; 2], log_odds: f64) -> f64 {
    straight[0] + straight[1] * log_odds
}

fn judge(log_odds: &[f64], ordered: &[bool], base_rate: f64) -> Quality {
    let half = |side: usize| -> (Vec<f64>, Vec<bool>) {
        let pick = |i: &usize| i % 2 == side;
        let at = (0..log_odds.len()).filter(pick);
        at.map(|i| (log_odds[i], ordered[i])).unzip()
    };
    let halves = [half(0), half(1)];
    let (mut p, mut happened) = (Vec::new(), Vec::new());
    for side in 0..2 {
        let straight = set_straight(&halves[1 - side].0, &halves[1 - side].1);
        p.extend(halves[side].0.iter().map(|odds| chance(straightened(straight, *odds))));
        happened.extend_from_slice(&halves[side].1);
    }
    Quality {
        visitors: p.len(),
        first_orders: happened.iter().filter(|ordered| **ordered).count(),
        log_loss: log_loss(&p, &happened).unwrap_or_default(),
        base_log_loss: log_loss(&vec![base_rate; p.len()], &happened).unwrap_or_default(),
        auc: auc(&p, &happened),
        ece_pct: ece_pct(&p, &happened).unwrap_or_default(),
    }
}

/// Ridge logistic regression by Newton's method (iteratively reweighted least squares): each coefficient is held to
/// its `centre` by its `ridge`. Steps are halved until the likelihood rises.
fn newton(
    rows: &[Vec<f64>],
    ordered: &[bool],
    ridge: &[f64],
    centre: &[f64],
    start: Vec<f64>,
) -> Vec<f64> {
    let n = start.len();
    let value = |at: &[f64]| {
        let held: f64 = (0..n).map(|i| 0.5 * ridge[i] * (at[i] - centre[i]).powi(2)).sum();
        let losses = rows.iter().zip(ordered).map(|(row, ordered)| {
            let odds = dot(at, row);
            softplus(if *ordered { -odds } else { odds })
        });
        held + losses.sum::<f64>()
    };
    let mut at = start;
    let mut now = value(&at);
    for _ in 0..50 {
        let mut slope: Vec<f64> = (0..n).map(|i| -ridge[i] * (at[i] - centre[i])).collect();
        let mut bend: Vec<Vec<f64>> =
            (0..n).map(|i| (0..n).map(|j| if i == j { ridge[i] } else { 0.0 }).collect()).collect();
        for (row, ordered) in rows.iter().zip(ordered) {
            let p = chance(dot(&at, row));
            let off = f64::from(u8::from(*ordered)) - p;
            let weight = p * (1.0 - p);
            for i in (0..n).filter(|i| row[*i] != 0.0) {
                slope[i] += off * row[i];
                for j in 0..=i {
                    bend[i][j] += weight * row[i] * row[j];
                }
            }
        }
        let step = solve(bend, slope);
        let mut length = 1.0;
        let next = loop {
            let next: Vec<f64> =
                at.iter().zip(&step).map(|(at, step)| at + length * step).collect();
            if value(&next) <= now || length < 1e-6 {
                break next;
            }
            length *= 0.5;
        };
        let then = value(&next);
        if then.is_nan() || then >= now {
            break;
        }
        at = next;
        if now - then < 1e-10 * (1.0 + now.abs()) {
            break;
        }
        now = then;
    }
    at
}

/// ln(1 + eˣ), without overflow.
fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A shop where recency, depth and one channel matter, and age does not. Counted out, not drawn: sample `i` of a
    /// thousand orders if its place in a scrambled sequence is below its chance.
    fn shop(origins: i32) -> Vec<Sample<'static>> {
        let visitors = |origin: i32| {
            (0..1_000_u32).map(move |i| {
                let place = f64::from((i + 137 * origin as u32).wrapping_mul(2_654_435_761) >> 8)
                    / f64::from(1 << 24);
                let days = f64::from(i % 60);
                let depth = [Depth::Page, Depth::Product, Depth::Cart, Depth::Checkout]
                    [(i / 60 % 4) as usize];
                let channel = ["search", "mail", "video"][(i / 7 % 3) as usize];
                let visitor = Visitor {
                    days_since_last_visit: days,
                    days_since_first_visit: days + f64::from(i % 31),
                    visits: 1 + i % 5,
                    depth,
                    channel: Some(channel),
                };
                let odds = -1.5 - 0.6 * days.ln_1p()
                    + 0.9 * f64::from(depth as u8)
                    + if channel == "mail" { 1.0 } else { 0.0 };
                Sample { origin, visitor, ordered: place < chance(odds) }
            })
        };
        (0..origins).flat_map(|i| visitors(30 * i)).collect()
    }

    fn keen() -> Visitor<'static> {
        Visitor {
            days_since_last_visit: 1.0,
            days_since_first_visit: 9.0,
            visits: 3,
            depth: Depth::Checkout,
            channel: Some("mail"),
        }
    }

    #[test]
    fn the_shops_own_past_is_found_again() {
        let prospects = Prospects::learn(&shop(4)).unwrap();
        let quality = prospects.quality;
        assert!(
            !prospects.by_base_rate && quality.log_loss < 0.9 * quality.base_log_loss,
            "{quality:?}"
        );
        assert!(quality.auc.unwrap() > 0.7 && quality.ece_pct < 6.0, "{quality:?}");
        let p = |visitor| prospects.p_first_order_30d(&visitor);
        let told = chance(-1.5 - 0.6 * 2.0_f64.ln() + 0.9 * 3.0 + 1.0);
        assert!((p(keen()) - told).abs() < 0.12, "{} for {told}", p(keen()));
        assert!(p(Visitor { days_since_last_visit: 50.0, ..keen() }) < p(keen()));
        assert!(p(Visitor { depth: Depth::Page, ..keen() }) < p(keen()));
        assert!(p(Visitor { channel: Some("search"), ..keen() }) < p(keen()));
        // A channel never seen is one of the others.
        assert_eq!(
            p(Visitor { channel: Some("pigeon"), ..keen() }),
            p(Visitor { channel: None, ..keen() })
        );
    }

    #[test]
    fn it_says_how_many_first_orders_are_missing() {
        let few: Vec<Sample<'_>> = shop(3).into_iter().filter(|sample| !sample.ordered).collect();
        assert_eq!(Prospects::learn(&few), Err(NotYet::TooFew { needed: 50 }));
        assert_eq!(Prospects::learn(&[]), Err(NotYet::TooFew { needed: 50 }));
        let mut known = 0;
        let few: Vec<Sample<'_>> = shop(3)
            .into_iter()
            .filter(|sample| {
                known += usize::from(sample.ordered);
                !sample.ordered || known <= 38
            })
            .collect();
        assert_eq!(Prospects::learn(&few), Err(NotYet::TooFew { needed: 12 }));
        assert_eq!(Prospects::learn(&shop(1)), Err(NotYet::TooYoung));
    }

    #[test]
    fn where_nothing_tells_buyers_from_others_no_difference_is_made_up() {
        let samples: Vec<Sample<'_>> = shop(3)
            .into_iter()
            .enumerate()
            .map(|(i, sample)| Sample { visitor: keen(), ordered: i % 10 == 0, ..sample })
            .collect();
        let prospects = Prospects::learn(&samples).unwrap();
        let p = prospects.p_first_order_30d(&keen());
        assert!((p - 0.1).abs() < 0.01, "{p}");
        assert_eq!(prospects.quality.auc.map(|auc| (auc * 10.0).round()), Some(5.0));
        let all =
            samples.iter().map(|sample| Sample { ordered: true, ..*sample }).collect::<Vec<_>>();
        let p = Prospects::learn(&all).unwrap().p_first_order_30d(&keen());
        assert!(0.9 < p && p <= 1.0, "{p}");
    }

    #[test]
    fn it_predicts_the_same_when_read_back() {
        let prospects = Prospects::learn(&shop(3)).unwrap();
        let json = serde_json::to_string(&prospects).unwrap();
        let back: Prospects = serde_json::from_str(&json).unwrap();
        assert!(
            (back.p_first_order_30d(&keen()) - prospects.p_first_order_30d(&keen())).abs() < 1e-12
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn the_order_of_samples_is_nothing(turn in 1..2_999_usize) {
            let mut samples = shop(3);
            let one = Prospects::learn(&samples).unwrap();
            samples.rotate_left(turn);
            prop_assert_eq!(Prospects::learn(&samples).unwrap(), one);
        }

        #[test]
        fn whatever_the_visitor_it_is_a_probability(days in any::<f64>(), first in any::<f64>(), visits in any::<u32>()) {
            let prospects = Prospects::learn(&shop(2)).unwrap();
            let p = prospects.p_first_order_30d(&Visitor {
                days_since_last_visit: days, days_since_first_visit: first, visits, ..keen()
            });
            prop_assert!((0.0..=1.0).contains(&p), "{}", p);
        }
    }
}
