//! The shop's own past as a series of forecasts whose outcome is known. Pure.
//!
//! On each of several days of the past the models are fitted to what was known by then, and asked about a time that has
//! since gone by. Outcomes are looked up in the log as known today, so nothing after today is ever used.

use std::collections::HashMap;

use rayon::prelude::*;

use super::super::models::{FitError, Fitted, Geometric, History, Model, Params};
use super::features::{self, FEATURES, Scale};
use super::history::{Customer, Day, Known, histories, orders_between, scatter};
use super::opening::Opening;
use super::season::Clock;

pub const MODELS: usize = Model::ALL.len();

/// A number for each model, in the order of [`Model::ALL`].
pub type ByModel = [f64; MODELS];

/// Where in the known time the forecasts are made: early ones can be judged over long times, late ones know more.
const ORIGINS: [f64; 6] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

/// With fewer repeat orders a fit of a past day is chance.
const LEAST_REPEAT_ORDERS: u32 = 20;

/// And with fewer, of a part of the customers: parting them must not cost more than it tells.
const LEAST_OF_A_PART: u32 = 100;

/// An outcome over less than this says nothing about months.
const SHORTEST_WINDOW: Day = 7;

/// Customers whose past is replayed: more would not move a weight by a hundredth.
pub const SAMPLE: usize = 10_000;

/// What the models said of one stretch of time, and what happened in it. A row per customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The time asked about, in days.
    pub days: Day,
    pub p_order: Vec<ByModel>,
    pub expected: Vec<ByModel>,
    pub orders: Vec<f64>,
}

/// What the models said of all customers. A row per customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub p_order: Vec<ByModel>,
    pub expected: Vec<ByModel>,
}

/// One day of the past.
#[derive(Debug, Clone)]
pub struct Origin {
    pub day: Day,
    pub known: Vec<Known>,
    pub features: Vec<[f64; FEATURES]>,
    /// To which half a customer belongs: what is learnt on one is tried on the other.
    pub half: Vec<bool>,
    /// How much it tells, from 0 to 1: the more orders were known, and the longer the time since, the more.
    pub weight: f64,
    /// One for each horizon asked for; those that today cuts short are as long as they can be.
    pub windows: Vec<Window>,
}

/// The models fitted to what was known on a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fits {
    /// To everyone.
    pub all: [Fitted; MODELS],
    /// To those of before the log, and to those who came since.
    pub parted: Option<(Opening, [Fitted; MODELS], [Fitted; MODELS])>,
}

impl Fits {
    pub fn of(known: &[Known], clock: &Clock, opening: Option<Opening>) -> Result<Self, FitError> {
        let parted = opening.and_then(|opening| {
            let (before, since): (Vec<Known>, Vec<Known>) =
                known.iter().partition(|known| opening.holds(known));
            let enough = |part: &[Known]| repeat_orders(part) >= LEAST_OF_A_PART;
            if !(enough(&before) && enough(&since)) {
                return None;
            }
            Some((opening, fit(&before, clock).ok()?, fit(&since, clock).ok()?))
        });
        Ok(Self { all: fit(known, clock)?, parted })
    }

    /// The fit that a customer is told by.
    fn whose(&self, known: &Known) -> &[Fitted; MODELS] {
        match &self.parted {
            None => &self.all,
            Some((opening, before, _)) if opening.holds(known) => before,
            Some((_, _, since)) => since,
        }
    }

    /// What each model says of each customer: P(order) and expected orders in each of the next `times` (in the models'
    /// unit). A row per customer, for each of the times. Customers whom no model can tell apart are asked about once: most
    /// ordered once, and share their day with others.
    pub fn ask(&self, known: &[Known], passed: &[History], times: &[f64]) -> Vec<Said> {
        let mut kinds: HashMap<(u32, u64, u64, bool), u32> = HashMap::new();
        let mut first: Vec<usize> = Vec::new();
        let kind_of: Vec<u32> = known
            .iter()
            .zip(passed)
            .enumerate()
            .map(|(i, (known, history))| {
                let before = self.parted.is_some_and(|(opening, ..)| opening.holds(known));
                let key = (history.x, history.t_x.to_bits(), history.age.to_bits(), before);
                *kinds.entry(key).or_insert_with(|| {
                    first.push(i);
                    first.len() as u32 - 1
                })
            })
            .collect();
        let said: Vec<Vec<(ByModel, ByModel)>> =
            first.par_iter().map(|i| ask(self.whose(&known[*i]), &passed[*i], times)).collect();
        let of_time = |time: usize| {
            let rows = kind_of.iter().map(|kind| said[*kind as usize][time]);
            let (p_order, expected) = rows.unzip();
            Said { p_order, expected }
        };
        (0..times.len()).map(of_time).collect()
    }

    /// As [`twin`], where it is so for everyone.
    pub fn twin(&self, model: usize) -> Option<usize> {
        let of = |fitted| twin(fitted, model);
        match &self.parted {
            None => of(&self.all),
            Some((_, before, since)) => of(before).filter(|_| of(since).is_some()),
        }
    }
}

fn repeat_orders(known: &[Known]) -> u32 {
    known.iter().map(|known| known.order_days - 1).sum()
}

fn fit(known: &[Known], clock: &Clock) -> Result<[Fitted; MODELS], FitError> {
    let histories = histories(known, |known| clock.history(known));
    let mut fitted = Vec::with_capacity(MODELS);
    for model in Model::ALL {
        fitted.push(model.fit(&histories)?);
    }
    Ok(fitted.try_into().expect("a fit per model"))
}

fn ask(fitted: &[Fitted; MODELS], history: &History, times: &[f64]) -> Vec<(ByModel, ByModel)> {
    let mut said = vec![([0.0; MODELS], [0.0; MODELS]); times.len()];
    for i in 0..MODELS {
        let twin = twin(fitted, i);
        let outlook = twin.is_none().then(|| fitted[i].params.outlook(history));
        for ((p_order, expected), t) in said.iter_mut().zip(times) {
            (p_order[i], expected[i]) = match (twin, &outlook) {
                (Some(twin), _) => (p_order[twin], expected[twin]),
                (None, Some(outlook)) => (outlook.p_order(*t), outlook.expected(*t)),
                (None, None) => unreachable!("who has no twin is asked"),
            };
        }
    }
    said
}

/// The earlier model that this one has become: with k = 1, a regular model is its irregular kin.
fn twin(fitted: &[Fitted; MODELS], model: usize) -> Option<usize> {
    let at_random = matches!(
        fitted[model].params,
        Params::BgCnbdK(Geometric { k: 1, .. }) | Params::MbgCnbdK(Geometric { k: 1, .. })
    );
    let kin = match Model::ALL[model] {
        Model::BgCnbdK => Model::BgNbd,
        Model::MbgCnbdK => Model::MbgNbd,
        _ => return None,
    };
    Model::ALL.iter().position(|other| *other == kin).filter(|_| at_random)
}

/// The days of the past that can be judged, oldest first: none in a shop that is too young.
///
/// `horizons` are in days; nothing after `today` is looked at.
pub fn replay(
    customers: &[Customer<'_>],
    first_day: Day,
    today: Day,
    horizons: &[Day],
    clock: &Clock,
    opening: Option<Opening>,
) -> Vec<Origin> {
    let span = f64::from(today - first_day);
    let mut days: Vec<Day> =
        ORIGINS.iter().map(|share| first_day + (span * share) as Day).collect();
    days.dedup();
    days.retain(|day| today - day >= SHORTEST_WINDOW);
    let mut origins: Vec<Origin> = days
        .into_par_iter()
        .filter_map(|day| origin(customers, day, today, horizons, clock, opening))
        .collect();
    let heaviest = origins.iter().map(|origin| origin.weight).fold(0.0, f64::max);
    origins.iter_mut().for_each(|origin| origin.weight /= heaviest);
    origins
}

fn origin(
    customers: &[Customer<'_>],
    day: Day,
    today: Day,
    horizons: &[Day],
    clock: &Clock,
    opening: Option<Opening>,
) -> Option<Origin> {
    let seen: Vec<(&Customer<'_>, Known)> =
        customers.iter().filter_map(|one| Some((one, clock.known(one, day)?))).collect();
    let known: Vec<Known> = seen.iter().map(|(_, known)| *known).collect();
    let repeat_orders = repeat_orders(&known);
    if repeat_orders < LEAST_REPEAT_ORDERS {
        return None;
    }
    let fitted = Fits::of(&known, clock, opening).ok()?;
    let passed: Vec<History> = known.iter().map(|known| clock.history(known)).collect();
    let raw: Vec<[f64; FEATURES]> =
        known.iter().zip(&passed).map(|(k, h)| features::raw(k, h)).collect();
    let scale = Scale::of(&raw);
    let lengths: Vec<Day> = horizons.iter().map(|horizon| (*horizon).min(today - day)).collect();
    let times: Vec<f64> = lengths.iter().map(|days| clock.ahead(day, f64::from(*days))).collect();
    let windows = lengths
        .into_iter()
        .zip(fitted.ask(&known, &passed, &times))
        .map(|(days, Said { p_order, expected })| {
            let orders = seen.iter().map(|(own, _)| orders_between(own.purchases, day, day + days));
            Window { days, p_order, expected, orders: orders.map(f64::from).collect() }
        })
        .collect::<Vec<_>>();
    let happened = windows.iter().all(|window| window.orders.iter().any(|orders| *orders > 0.0));
    happened.then(|| Origin {
        day,
        known,
        features: raw.iter().map(|raw| scale.apply(raw)).collect(),
        weight: f64::from(repeat_orders) * f64::from(today - day),
        half: seen.iter().map(|(own, _)| scatter(!own.key).is_multiple_of(2)).collect(),
        windows,
    })
}
