//! How far the mixture is to be corrected over one horizon, tried where it was not learnt. Pure.

use rayon::prelude::*;

use super::backtest::{ByModel, Origin};
use super::baselines::{Baseline, Rates, Standing};
use super::features::{self, Moments};
use super::history::Day;
use super::learn::Shop;
use super::metrics::surprise;
use super::recalibrate::{self, Chance, ChanceRows, CountRows, Counts};
use super::weigh::{self, Bar};
use super::{Correction, Scores};

/// How much of a learnt correction may be used.
const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// What the shares are before the backtest has spoken, and how much loss a step of 1 away from it must save.
const CHANCE_SHARE: (f64, f64) = (0.75, 0.01);
const COUNT_SHARE: (f64, f64) = (0.5, 0.03);

/// Counts keep some of the mixture in any case: a shop's few heaviest customers decide the squared error, and chance
/// decides them.
const MOST_COUNT_SHARE: f64 = 0.75;

/// Days of the past of which each missed the total by another fifth or so leave half of a correction.
const UNSTEADY: f64 = 0.2;

const LEAST_LEVEL: f64 = 0.8;

/// Origins that are learnt from and tried in turn.
const TURNS: usize = 3;

/// One horizon's corrections, being learnt.
pub(super) struct Horizon<'a> {
    index: usize,
    days: Day,
    origins: Vec<(&'a Origin, &'a Standing)>,
    by_log_score: &'a ByModel,
    by_error: &'a ByModel,
    /// The mixture per origin and customer.
    logits: Vec<Vec<f64>>,
    middles: Vec<f64>,
    mixed: Vec<Vec<f64>>,
    shops: Vec<Moments>,
    bars: Vec<Bar>,
}

/// What was tried on customers and days that it was not learnt on: sums over origins of means over customers.
#[derive(Default)]
struct Trial {
    chance: [f64; SHARES.len()],
    count: [f64; SHARES.len()],
    squared: [f64; SHARES.len()],
    baselines: [f64; 2],
    models: ByModel,
    parts: f64,
}

impl<'a> Horizon<'a> {
    pub fn new(
        shop: &'a Shop,
        standings: &'a [Standing],
        index: usize,
        by_log_score: &'a ByModel,
        by_error: &'a ByModel,
    ) -> Self {
        let windows = || shop.origins.iter().map(|origin| &origin.windows[index]);
        let logits: Vec<Vec<f64>> = windows()
            .map(|w| {
                w.p_order.iter().map(|p| recalibrate::logit(weigh::mix(by_log_score, p))).collect()
            })
            .collect();
        let mixed: Vec<Vec<f64>> = windows()
            .map(|w| w.expected.iter().map(|e| weigh::mix(by_error, e).max(1e-12)).collect())
            .collect();
        Self {
            index,
            days: shop.horizons[index],
            origins: shop.origins.iter().zip(standings).collect(),
            by_log_score,
            by_error,
            middles: logits.iter().map(|rows| Moments::of(rows.iter().copied()).mean).collect(),
            shops: mixed.iter().map(|rows| ln_moments(rows)).collect(),
            bars: windows().map(Bar::of).collect(),
            logits,
            mixed,
        }
    }

    /// What was told of each day as a factor off what came, in logarithms: of how many order, and of orders.
    fn missed(&self) -> [Vec<f64>; 2] {
        let off = |came: f64, told: f64| (came.max(1.0) / told).ln();
        let days = self.origins.iter().zip(&self.logits).zip(&self.mixed);
        let missed = days.map(|(((origin, _), logits), mixed)| {
            let orders = &origin.windows[self.index].orders;
            let ordered = orders.iter().filter(|orders| **orders > 0.0).count() as f64;
            let chances = logits.iter().map(|logit| recalibrate::chance(*logit)).sum();
            (off(ordered, chances), off(orders.iter().sum(), mixed.iter().sum()))
        });
        let (chance, count) = missed.unzip();
        [chance, count]
    }

    pub fn learn(
        &self,
        shop: &Shop,
        features: &[[f64; features::FEATURES]],
    ) -> (Correction, Scores) {
        let all: Vec<usize> = (0..self.origins.len()).collect();
        let chance = Chance::learn(&self.chance_rows(&all, None));
        let counts = Counts::learn(&self.count_rows(&all, None));
        let trial = self.trial();
        let mean = |sum: f64| sum / trial.parts;
        let [chance_steady, count_steady] = self.missed().map(|missed| steadiness(&missed));
        let chance_share = chance_steady
            * share(CHANCE_SHARE, 1.0, |i| mean(trial.chance[i]) / mean(trial.chance[0]));
        let count_share = count_steady
            * share(COUNT_SHARE, MOST_COUNT_SHARE, |i| {
                let worse = mean(trial.squared[i]) - mean(trial.squared[0]);
                mean(trial.count[i]) - mean(trial.count[0]) + worse + 2.0 * worse.max(0.0)
            });
        let said = &shop.said[self.index];
        let today: Vec<(f64, f64)> = said
            .p_order
            .iter()
            .zip(&said.expected)
            .map(|(p_order, expected)| {
                (
                    recalibrate::logit(weigh::mix(self.by_log_score, p_order)),
                    weigh::mix(self.by_error, expected).max(1e-12),
                )
            })
            .collect();
        let middle = Moments::of(today.iter().map(|(logit, _)| *logit)).mean;
        let mixed: Vec<f64> = today.iter().map(|(_, e)| *e).collect();
        let moments = ln_moments(&mixed);
        let corrected: Vec<f64> = mixed
            .iter()
            .zip(features)
            .map(|(e, features)| {
                let terms = Counts::terms(e.ln(), &moments, features);
                e * recalibrate::factor(count_share * counts.correction(&terms))
            })
            .collect();
        let chances: Vec<f64> = today
            .iter()
            .zip(features)
            .map(|((logit, _), features)| {
                let terms = Chance::terms(*logit, middle, features);
                recalibrate::chance(logit + chance_share * chance.correction(&terms))
            })
            .collect();
        let rates = |baseline| Rates::learn(baseline, &self.origins, self.index, None);
        let correction = Correction {
            days: self.days,
            chance,
            chance_share,
            middle,
            counts,
            count_share,
            shop: moments,
            level: level_above(&chances, &corrected, mixed.iter().sum()).ln(),
            rfm_rate: rates(Baseline::RfmRate),
            overdue: rates(Baseline::Overdue),
        };
        let scores = Scores {
            horizon_days: self.days,
            models: trial.models.map(mean).to_vec(),
            mixture: mean(trial.chance[0]),
            combined: mean(at_share(&trial.chance, chance_share)),
            rfm_rate: mean(trial.baselines[0]),
            overdue: mean(trial.baselines[1]),
            chance_share,
            count_share,
        };
        (correction, scores)
    }

    /// Learns on some days and one half of the customers, tries on the other days and the other half, all round.
    fn trial(&self) -> Trial {
        let turns = if self.origins.len() >= TURNS { TURNS } else { 1 };
        let parts: Vec<(usize, bool)> =
            (0..turns).flat_map(|turn| [(turn, false), (turn, true)]).collect();
        let trials: Vec<Trial> = parts
            .into_par_iter()
            .map(|(turn, half)| {
                let (tried, learnt): (Vec<usize>, Vec<usize>) =
                    (0..self.origins.len()).partition(|i| turns == 1 || i % turns == turn);
                self.try_out(if turns == 1 { &tried } else { &learnt }, &tried, half)
            })
            .collect();
        trials.into_iter().fold(Trial::default(), Trial::plus)
    }

    fn try_out(&self, learnt: &[usize], tried: &[usize], half: bool) -> Trial {
        let mut trial = Trial::default();
        let chance = Chance::learn(&self.chance_rows(learnt, Some(!half)));
        let counts = Counts::learn(&self.count_rows(learnt, Some(!half)));
        let origins: Vec<_> = learnt.iter().map(|i| self.origins[*i]).collect();
        let rates =
            Baseline::ALL.map(|baseline| Rates::learn(baseline, &origins, self.index, Some(!half)));
        for &i in tried {
            let (origin, standing) = self.origins[i];
            let rows = &self.chance_rows(&[i], Some(half))[0];
            let n = rows.iter().count() as f64;
            if n == 0.0 {
                continue;
            }
            trial.parts += 1.0;
            for row in rows.iter() {
                let correction = chance.correction(&row.terms);
                for (sum, share) in trial.chance.iter_mut().zip(SHARES) {
                    let p = recalibrate::chance(row.logit + share * correction);
                    *sum += surprise(p, row.ordered) / n;
                }
            }
            let window = &origin.windows[self.index];
            let days = f64::from(window.days);
            for (j, known) in origin.known.iter().enumerate() {
                if origin.half[j] != half {
                    continue;
                }
                let ordered = window.orders[j] > 0.0;
                for (m, p) in window.p_order[j].iter().enumerate() {
                    trial.models[m] += surprise(*p, ordered) / n;
                }
                for (b, rates) in rates.iter().enumerate() {
                    let class = standing.class(Baseline::ALL[b], known);
                    let p = rates.as_ref().map_or(0.5, |rates| rates.predict(class, days).0);
                    trial.baselines[b] += surprise(p, ordered) / n;
                }
            }
            let rows = &self.count_rows(&[i], Some(half))[0];
            let mut expected = Vec::new();
            for (s, share) in SHARES.iter().enumerate() {
                rows.corrected(&counts.coefficients.map(|c| share * c), &mut expected);
                let (mut absolute, mut squares) = (0.0, 0.0);
                for (e, y) in expected.iter().zip(&rows.orders) {
                    absolute += (e - y).abs();
                    squares += (e - y).powi(2);
                }
                trial.count[s] += absolute / n / rows.bar.mae;
                trial.squared[s] += (squares / n).sqrt() / rows.bar.rmse;
            }
        }
        trial
    }

    fn chance_rows(&self, origins: &[usize], half: Option<bool>) -> Vec<ChanceRows<'_>> {
        let rows = |&i: &usize| ChanceRows {
            origin: self.origins[i].0,
            horizon: self.index,
            logits: &self.logits[i],
            middle: self.middles[i],
            half,
        };
        origins.iter().map(rows).collect()
    }

    fn count_rows(&self, origins: &[usize], half: Option<bool>) -> Vec<CountRows> {
        let rows = |&i: &usize| {
            let origin = self.origins[i].0;
            let chosen: Vec<usize> = (0..origin.known.len())
                .filter(|j| half.is_none_or(|half| origin.half[*j] == half))
                .collect();
            let terms = |j: &usize| {
                Counts::terms(self.mixed[i][*j].ln(), &self.shops[i], &origin.features[*j])
            };
            CountRows {
                terms: chosen.iter().map(terms).collect(),
                mixed: chosen.iter().map(|j| self.mixed[i][*j]).collect(),
                orders: chosen.iter().map(|j| origin.windows[self.index].orders[*j]).collect(),
                bar: self.bars[i],
                weight: origin.weight,
            }
        };
        origins.iter().map(rows).collect()
    }
}

impl Trial {
    fn plus(mut self, other: Self) -> Self {
        let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        add(&mut self.chance, &other.chance);
        add(&mut self.count, &other.count);
        add(&mut self.squared, &other.squared);
        add(&mut self.baselines, &other.baselines);
        add(&mut self.models, &other.models);
        self.parts += other.parts;
        self
    }
}

/// The share of the least loss, when going away from the expected one costs too.
fn share((expected, cost): (f64, f64), most: f64, loss: impl Fn(usize) -> f64) -> f64 {
    let cost_of = |i: usize| loss(i) + cost * (SHARES[i] - expected).powi(2);
    (0..SHARES.len())
        .filter(|i| SHARES[*i] <= most)
        .min_by(|a, b| cost_of(*a).total_cmp(&cost_of(*b)))
        .map_or(0.0, |i| SHARES[i])
}

/// What was lost at a share between those that were tried.
fn at_share(lost: &[f64; SHARES.len()], share: f64) -> f64 {
    let next = SHARES.partition_point(|tried| *tried < share).clamp(1, SHARES.len() - 1);
    let part = (share - SHARES[next - 1]) / (SHARES[next] - SHARES[next - 1]);
    lost[next - 1] + part * (lost[next] - lost[next - 1])
}

/// From 1, where the mixture missed by one factor on all days, down to 0 where each day by another: what was learnt of
/// who orders more is then mixed up with when, and of the coming time nobody knows.
fn steadiness(missed: &[f64]) -> f64 {
    1.0 / (1.0 + (Moments::of(missed.iter().copied()).spread / UNSTEADY).powi(2))
}

/// What expectations are multiplied by so that, each raised to where it meets its chance, they come to `total`: but no
/// less than [`LEAST_LEVEL`] of what would do without, since the others shall not pay for everything.
fn level_above(chances: &[f64], expected: &[f64], total: f64) -> f64 {
    let sum = |level: f64| -> f64 {
        let met = expected.iter().zip(chances);
        met.map(|(e, p)| (level * e).max(recalibrate::between(*p, level * e))).sum()
    };
    // If none is raised this is all there is to it, and what is raised only lowers it.
    let high = total / expected.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let (mut low, mut high) = (LEAST_LEVEL * high, high);
    if sum(low) >= total {
        return low;
    }
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        *if sum(middle) < total { &mut low } else { &mut high } = middle;
    }
    high
}

fn ln_moments(expected: &[f64]) -> Moments {
    let logs: Vec<f64> = expected.iter().map(|e| e.ln()).collect();
    Moments::of(logs.iter().copied())
}
