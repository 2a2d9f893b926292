//! From a shop's orders to what predicts its customers. Pure.

use rayon::prelude::*;

use super::backtest::{self, ByModel, Fits, MODELS, Origin};
use super::baselines::{Baseline, Rates, Standing};
use super::curve::MOST_HORIZONS;
use super::features::{self, Moments, Scale};
use super::history::{Customer, Day, Known, OrderLog};
use super::metrics::surprise;
use super::opening::Opening;
use super::recalibrate::{self, Chance, ChanceRows, CountRows, Counts};
use super::season::Clock;
use super::weigh::{self, Bar};
use super::{Backtest, Choice, Correction, Learned, Member, Parted, Replayed, Scores, Sufficiency};
use crate::scoring::models::{Fitted, Geometric, History, Model, Params};

/// Fewer repeat orders than this do not tell a shop from another.
const ENOUGH_REPEAT_ORDERS: u32 = 50;

/// Less time than this is no past.
const LEAST_SPAN: Day = 21;

/// MBG/NBD as it is usual in shops: between those of the published data sets, in weeks.
const USUAL: Geometric<true> = Geometric { r: 0.6, alpha: 8.0, a: 0.5, b: 2.0, k: 1 };

/// Repeat orders that outweigh what is usual.
const BELIEF_IN_USUAL: f64 = 10.0;

/// How much of a learnt correction may be used.
const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// What the shares are before the backtest has spoken, and how much loss a step of 1 away from it must save.
const CHANCE_SHARE: (f64, f64) = (0.75, 0.01);
const COUNT_SHARE: (f64, f64) = (0.5, 0.03);

/// Counts keep some of the mixture in any case: a shop's few heaviest customers decide the squared error, and chance
/// decides them.
const MOST_COUNT_SHARE: f64 = 0.75;

/// Days of the past of which each missed the total by another fifth or so leave half of the correction of counts.
const UNSTEADY: f64 = 0.2;

const LEAST_LEVEL: f64 = 0.8;

/// How much better a baseline must have been to be taken instead: less is chance.
const BASELINE_LEAD: f64 = 0.995;

/// How much better the past must have been told by the shop's own clock before it is used: the clock was read off
/// the same past.
const SEASON_LEAD: f64 = 0.99;

/// The same for customers of before the log.
const OPENING_LEAD: f64 = 0.995;

/// Origins that are learnt from and tried in turn.
const TURNS: usize = 3;

pub fn learn(log: &OrderLog, as_of: Day, horizons: &[Day]) -> Learned {
    let mut horizons = horizons.to_vec();
    horizons.sort_unstable();
    horizons.dedup();
    assert!(horizons.len() <= MOST_HORIZONS, "too many horizons: {horizons:?}");
    let customers: Vec<Customer<'_>> = log.all().collect();
    let known: Vec<Known> = customers.par_iter().filter_map(|own| own.known(as_of)).collect();
    let sufficiency = sufficiency(&known, as_of);
    let first_day = known.iter().map(|known| known.first_day).min().unwrap_or(as_of);
    if matches!(sufficiency, Sufficiency::TooFew { .. }) || as_of - first_day < LEAST_SPAN {
        return pooled(as_of, &known, sufficiency);
    }
    let sample = log.sample(backtest::SAMPLE);
    let replay = |clock: &Clock, opening: Option<Opening>| {
        backtest::replay(&sample, first_day, as_of, &horizons, clock, opening)
    };
    let (mut clock, mut opening) = (Clock::default(), None);
    let mut origins = replay(&clock, opening);
    let seasonal = Clock::learn(&sample, first_day, as_of);
    if !seasonal.is_even() {
        let with = replay(&seasonal, opening);
        if loss(&with) < SEASON_LEAD * loss(&origins) {
            (origins, clock) = (with, seasonal);
        }
    }
    for suspected in Opening::suspected(&known, first_day, as_of) {
        let with = replay(&clock, Some(suspected));
        if loss(&with) < OPENING_LEAD * loss(&origins) {
            (origins, opening) = (with, Some(suspected));
        }
    }
    let timed: Vec<Known> = match clock.is_even() {
        true => known,
        false => customers.par_iter().filter_map(|own| clock.known(own, as_of)).collect(),
    };
    let Ok(fitted) = Fits::of(&timed, &clock, opening) else {
        return pooled(as_of, &timed, sufficiency);
    };
    let known = sample.iter().filter_map(|own| clock.known(own, as_of)).collect();
    Shop { as_of, horizons, known, fitted, origins, clock }.learn(sufficiency)
}

/// What a mixture of equal parts loses over all origins and horizons: for choosing between clocks.
fn loss(origins: &[Origin]) -> f64 {
    let even = [1.0 / MODELS as f64; MODELS];
    let windows = origins.iter().flat_map(|o| o.windows.iter().map(move |w| (w, o.weight)));
    let (mut sum, mut all) = (0.0, 0.0);
    for (window, weight) in windows {
        let rows = window.p_order.iter().zip(&window.orders);
        let lost: f64 = rows.map(|(p, y)| surprise(weigh::mix(&even, p), *y > 0.0)).sum();
        sum += weight * lost / window.orders.len() as f64;
        all += weight;
    }
    if all > 0.0 { sum / all } else { f64::INFINITY }
}

fn sufficiency(known: &[Known], as_of: Day) -> Sufficiency {
    let repeat_orders: u32 = known.iter().map(|known| known.order_days - 1).sum();
    let first = known.iter().map(|known| known.first_day).min();
    let last = known.iter().map(|known| known.first_day).max();
    if repeat_orders < ENOUGH_REPEAT_ORDERS {
        Sufficiency::TooFew { more_repeat_orders: ENOUGH_REPEAT_ORDERS - repeat_orders }
    } else if first == last || first.is_none_or(|first| as_of - first < LEAST_SPAN) {
        Sufficiency::TooYoung
    } else {
        Sufficiency::Enough
    }
}

/// What is usual in shops. Of this one, no more is believed than how many order again, and that as far as there are
/// orders to tell it.
fn pooled(as_of: Day, known: &[Known], sufficiency: Sufficiency) -> Learned {
    let new = Params::MbgNbd(USUAL).outlook(&History { x: 0, t_x: 0.0, age: 0.0 });
    let usual: f64 = known.iter().map(|known| new.expected(known.history().age)).sum();
    let own: f64 = known.iter().map(|known| known.history().x).map(f64::from).sum();
    let slower = (usual + BELIEF_IN_USUAL) / (own + BELIEF_IN_USUAL);
    let params = Params::MbgNbd(Geometric { alpha: USUAL.alpha * slower, ..USUAL });
    let fitted = Fitted { params, log_likelihood: 0.0 };
    let raw: Vec<_> = known.iter().map(|k| features::raw(k, &k.history())).collect();
    let (chance_weight, count_weight) = (1.0, 1.0);
    let sole = Member { model: Model::MbgNbd, fitted, parted: None, chance_weight, count_weight };
    Learned {
        as_of,
        sufficiency,
        choice: Choice::Pooled,
        members: vec![sole],
        backtest: Backtest::default(),
        clock: Clock::default(),
        opening: None,
        scale: Scale::of(&raw),
        standing: None,
        corrections: vec![],
    }
}

/// A shop that can be learnt from.
struct Shop {
    as_of: Day,
    horizons: Vec<Day>,
    /// Customers as of today, or a fair sample.
    known: Vec<Known>,
    fitted: Fits,
    origins: Vec<Origin>,
    clock: Clock,
}

impl Shop {
    fn learn(self, sufficiency: Sufficiency) -> Learned {
        let longest = self.horizons.len().wrapping_sub(1);
        let (by_log_score, by_error) = if self.origins.is_empty() || self.horizons.is_empty() {
            ([1.0 / MODELS as f64; MODELS], [1.0 / MODELS as f64; MODELS])
        } else {
            let origins: Vec<&Origin> = self.origins.iter().collect();
            rayon::join(
                || weigh::by_log_score(&origins, longest),
                || weigh::by_error(&origins, longest),
            )
        };
        let passed = |known: &Known| self.clock.history(known);
        let raw: Vec<_> = self.known.iter().map(|k| features::raw(k, &passed(k))).collect();
        let scale = Scale::of(&raw);
        let features: Vec<_> = raw.iter().map(|raw| scale.apply(raw)).collect();
        let standings: Vec<Standing> =
            self.origins.par_iter().map(|origin| Standing::of(&origin.known)).collect();
        let learnt: Vec<(Correction, Scores)> = if self.origins.is_empty() {
            vec![]
        } else {
            (0..self.horizons.len())
                .into_par_iter()
                .map(|horizon| {
                    let one = Horizon::new(&self, &standings, horizon, &by_log_score, &by_error);
                    one.learn(&self, &features)
                })
                .collect()
        };
        let choice = learnt.last().map_or(Choice::Combination, |(_, scores)| {
            let better = |score: f64| score < BASELINE_LEAD * scores.combined;
            match (scores.rfm_rate, scores.overdue) {
                (rfm, overdue) if better(rfm) && rfm <= overdue => {
                    Choice::Baseline(Baseline::RfmRate)
                }
                (_, overdue) if better(overdue) => Choice::Baseline(Baseline::Overdue),
                _ => Choice::Combination,
            }
        });
        // What has become the same model today need not be asked twice.
        let (mut by_log_score, mut by_error) = (by_log_score, by_error);
        for i in 0..MODELS {
            if let Some(twin) = self.fitted.twin(i) {
                for weights in [&mut by_log_score, &mut by_error] {
                    weights[twin] += std::mem::take(&mut weights[i]);
                }
            }
        }
        let members = Model::ALL.into_iter().enumerate().map(|(i, model)| Member {
            model,
            fitted: self.fitted.all[i],
            parted: self
                .fitted
                .parted
                .map(|(_, before, since)| Parted { before: before[i], since: since[i] }),
            chance_weight: by_log_score[i],
            count_weight: by_error[i],
        });
        let replayed =
            |origin: &Origin| Replayed { day: origin.day, customers: origin.known.len() };
        let (corrections, horizons) = learnt.into_iter().unzip();
        Learned {
            as_of: self.as_of,
            sufficiency,
            choice,
            members: members.collect(),
            backtest: Backtest { origins: self.origins.iter().map(replayed).collect(), horizons },
            clock: self.clock,
            opening: self.fitted.parted.map(|(opening, ..)| opening),
            scale,
            standing: Some(Standing::of(&self.known)),
            corrections,
        }
    }
}

/// One horizon's corrections, being learnt.
struct Horizon<'a> {
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
    fn new(
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

    /// From 1, where the mixture missed the total of orders by one factor on all days, down to 0 where each day by another:
    /// what was learnt of who orders more is then mixed up with when, and of the coming time nobody knows.
    fn steadiness(&self) -> f64 {
        let missed = self.origins.iter().zip(&self.mixed).map(|((origin, _), mixed)| {
            let orders: f64 = origin.windows[self.index].orders.iter().sum();
            (orders.max(1.0) / mixed.iter().sum::<f64>()).ln()
        });
        1.0 / (1.0 + (Moments::of(missed).spread / UNSTEADY).powi(2))
    }

    fn learn(&self, shop: &Shop, features: &[[f64; features::FEATURES]]) -> (Correction, Scores) {
        let all: Vec<usize> = (0..self.origins.len()).collect();
        let chance = Chance::learn(&self.chance_rows(&all, None));
        let counts = Counts::learn(&self.count_rows(&all, None));
        let trial = self.trial();
        let mean = |sum: f64| sum / trial.parts;
        let chance_share =
            share(CHANCE_SHARE, 1.0, |i| mean(trial.chance[i]) / mean(trial.chance[0]));
        let count_share = self.steadiness()
            * share(COUNT_SHARE, MOST_COUNT_SHARE, |i| {
                let worse = mean(trial.squared[i]) - mean(trial.squared[0]);
                mean(trial.count[i]) - mean(trial.count[0]) + worse + 2.0 * worse.max(0.0)
            });
        let used = SHARES.iter().position(|share| *share == chance_share).unwrap_or(0);
        let t = shop.clock.ahead(shop.as_of, f64::from(self.days));
        let today: Vec<(f64, f64)> = shop
            .known
            .par_iter()
            .map(|known| {
                let (p_order, expected) = shop.fitted.ask(known, &shop.clock.history(known), t);
                (
                    recalibrate::logit(weigh::mix(self.by_log_score, &p_order)),
                    weigh::mix(self.by_error, &expected).max(1e-12),
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
        // Nobody is expected to order less often than with the probability of ordering at all.
        let floor: Vec<f64> = today
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
            level: level_above(&floor, &corrected, mixed.iter().sum()).ln(),
            rfm_rate: rates(Baseline::RfmRate),
            overdue: rates(Baseline::Overdue),
        };
        let scores = Scores {
            horizon_days: self.days,
            models: trial.models.map(mean).to_vec(),
            mixture: mean(trial.chance[0]),
            combined: mean(trial.chance[used]),
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

/// What expectations are multiplied by so that, each raised to its floor, they come to `total`: but no less than
/// [`LEAST_LEVEL`] of what would do without a floor, since those above it shall not pay for everything.
fn level_above(floor: &[f64], expected: &[f64], total: f64) -> f64 {
    let sum = |level: f64| -> f64 {
        expected.iter().zip(floor).map(|(e, floor)| (level * e).max(*floor)).sum()
    };
    // Without a floor this is all there is to it, and a floor only lowers it.
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
