//! From a shop's orders to what predicts its customers. Pure.

use rayon::prelude::*;

use super::backtest::{self, Fits, MODELS, Origin, Said};
use super::baselines::{Baseline, Standing};
use super::correct::Horizon;
use super::curve::MOST_HORIZONS;
use super::features::{self, Scale};
use super::history::{Customer, Day, Known, OrderLog};
use super::metrics::surprise;
use super::opening::Opening;
use super::season::Clock;
use super::weigh;
use super::{
    About, Asked, Backtest, Choice, Correction, Learned, Member, Parted, Replayed, Scores,
    Sufficiency,
};
use crate::scoring::models::{Fitted, Geometric, History, Model, Params};

/// Fewer repeat orders than this do not tell a shop from another.
const ENOUGH_REPEAT_ORDERS: u32 = 50;

/// Less time than this is no past.
const LEAST_SPAN: Day = 21;

/// MBG/NBD as it is usual in shops: between those of the published data sets, in weeks.
const USUAL: Geometric<true> = Geometric { r: 0.6, alpha: 8.0, a: 0.5, b: 2.0, k: 1 };

/// Repeat orders that outweigh what is usual.
const BELIEF_IN_USUAL: f64 = 10.0;

/// How much better a baseline must have been to be taken instead: less is chance.
const BASELINE_LEAD: f64 = 0.995;

/// How much better the past must have been told by the shop's own clock before it is used: the clock was read off
/// the same past.
const SEASON_LEAD: f64 = 0.99;

/// Customers of whom the past is asked what it is told better by.
const SCOUTS: usize = 5_000;

/// The same for customers of before the log.
const OPENING_LEAD: f64 = 0.995;

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
    let Chosen { clock, opening, origins, asked } =
        choose(&sample, &known, first_day, as_of, &horizons);
    let timed: Vec<Known> = match clock.is_even() {
        true => known,
        false => customers.par_iter().filter_map(|own| clock.known(own, as_of)).collect(),
    };
    let Ok(fitted) = Fits::of(&timed, &clock, opening) else {
        return pooled(as_of, &timed, sufficiency);
    };
    let known: Vec<Known> = sample.iter().filter_map(|own| clock.known(own, as_of)).collect();
    let passed: Vec<History> = known.iter().map(|known| clock.history(known)).collect();
    let times: Vec<f64> =
        horizons.iter().map(|days| clock.ahead(as_of, f64::from(*days))).collect();
    let said = fitted.ask(&known, &passed, &times);
    Shop { as_of, horizons, known, passed, said, fitted, origins, clock, asked }.learn(sufficiency)
}

/// How the past is replayed, and what came of it.
struct Chosen {
    clock: Clock,
    opening: Option<Opening>,
    origins: Vec<Origin>,
    asked: Vec<Asked>,
}

/// Asks the replayed past whether the shop's own clock tells it better, and customers of before the log as a population
/// of their own. In a large shop a part of the customers is asked: what holds for five thousand holds for all.
fn choose(
    sample: &[Customer<'_>],
    known: &[Known],
    first_day: Day,
    as_of: Day,
    horizons: &[Day],
) -> Chosen {
    let scouts: Vec<Customer<'_>> = match sample.len().div_ceil(SCOUTS) {
        0 | 1 => vec![],
        apart => sample.iter().step_by(apart).copied().collect(),
    };
    let asked_of = if scouts.is_empty() { sample } else { &scouts };
    let replay = |customers: &[Customer<'_>], clock: &Clock, opening: Option<Opening>| {
        backtest::replay(customers, first_day, as_of, horizons, clock, opening)
    };
    let seasonal = Clock::learn(sample, first_day, as_of);
    let suspected = Opening::suspected(known, first_day, as_of);
    let (mut clock, mut opening, mut asked) = (Clock::default(), None, vec![]);
    if seasonal.is_even() && suspected.is_empty() {
        return Chosen { origins: replay(sample, &clock, None), clock, opening, asked };
    }
    let mut origins = replay(asked_of, &clock, None);
    let mut better = |about: About, lead: f64, with: Vec<Origin>| {
        let (found, without) = (loss(&with), loss(&origins));
        let better = found < lead * without;
        if found.is_finite() && without.is_finite() {
            asked.push(Asked { about, with: found, without, better });
        }
        if better {
            origins = with;
        }
        better
    };
    if !seasonal.is_even() && better(About::Season, SEASON_LEAD, replay(asked_of, &seasonal, None))
    {
        clock = seasonal;
    }
    for one in suspected {
        let about = About::Opening { until: one.until };
        if better(about, OPENING_LEAD, replay(asked_of, &clock, Some(one))) {
            opening = Some(one);
        }
    }
    if !scouts.is_empty() {
        origins = replay(sample, &clock, opening);
    }
    Chosen { clock, opening, origins, asked }
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
pub(super) struct Shop {
    pub as_of: Day,
    pub horizons: Vec<Day>,
    /// Customers as of today, or a fair sample.
    pub known: Vec<Known>,
    pub passed: Vec<History>,
    /// What the models say of them today, over each horizon.
    pub said: Vec<Said>,
    pub fitted: Fits,
    pub origins: Vec<Origin>,
    pub clock: Clock,
    pub asked: Vec<Asked>,
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
        let rows = self.known.iter().zip(&self.passed);
        let raw: Vec<_> = rows.map(|(known, passed)| features::raw(known, passed)).collect();
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
            backtest: Backtest {
                origins: self.origins.iter().map(replayed).collect(),
                horizons,
                asked: self.asked,
            },
            clock: self.clock,
            opening: self.fitted.parted.map(|(opening, ..)| opening),
            scale,
            standing: Some(Standing::of(&self.known)),
            corrections,
        }
    }
}
