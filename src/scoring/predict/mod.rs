//! Who orders again, when and how often: the shop's own past decides which model to believe, and corrects it. Pure.
//!
//! On real shops no model wins always. So all are fitted ([`super::models`]); [`backtest`] replays several days of the
//! shop's past and asks each model about a time that has since gone by; [`weigh`] mixes them by how they did;
//! [`recalibrate`] corrects what the mixture gets wrong in a systematic way, by no more than has proved itself where it
//! was not learnt; and two plain [`baselines`] are asked as well, and taken where they were better. All that was
//! chosen, with the scores it was chosen by, is in [`Learned`]; it is the same whatever the order of the input.
//!
//! It knows no clock, no money but as a feature, and no database; `docs/prediction.md` says in plain words what it does.

pub mod backtest;
pub mod baselines;
pub mod contest;
mod correct;
mod curve;
pub mod evaluate;
mod features;
pub mod history;
mod learn;
pub mod linear;
pub mod metrics;
mod minimise;
pub mod opening;
pub mod recalibrate;
pub mod season;
mod weigh;
pub mod window;

#[cfg(test)]
mod tests;

pub use curve::{Curve, Mixture};
pub use history::{Customer, Day, Known, OrderLog, Purchase};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::baselines::{Baseline, Rates, Standing};
use self::features::{Moments, Scale};
use self::opening::Opening;
use self::recalibrate::{Chance, Counts};
use self::season::Clock;
use super::models::{Fitted, Model, Params};

/// Everything that a customer of the shop is predicted by. It can be stored, and predicts the same when read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// At the end of this day.
    pub as_of: Day,
    pub sufficiency: Sufficiency,
    pub choice: Choice,
    pub members: Vec<Member>,
    pub backtest: Backtest,
    /// The time that models and predictions run on.
    pub clock: Clock,
    /// Who was there before the log began, if that tells the past better.
    #[serde(default)]
    pub opening: Option<Opening>,
    scale: Scale,
    standing: Option<Standing>,
    /// By ascending horizon.
    corrections: Vec<Correction>,
}

/// One model of the mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub model: Model,
    /// To everyone.
    pub fitted: Fitted,
    /// Where customers of before the log are told by a fit of their own.
    #[serde(default)]
    pub parted: Option<Parted>,
    /// Its part in probabilities.
    pub chance_weight: f64,
    /// Its part in expected orders.
    pub count_weight: f64,
}

/// A model fitted to those of before the log, and to those who came since.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Parted {
    pub before: Fitted,
    pub since: Fitted,
}

impl Member {
    /// The parameters that a customer is told by, who was there before the log or not.
    fn params(&self, before: bool) -> &Params {
        match &self.parted {
            None => &self.fitted.params,
            Some(parted) if before => &parted.before.params,
            Some(parted) => &parted.since.params,
        }
    }
}

/// Whether the shop's own past was enough to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "data", rename_all = "snake_case")]
pub enum Sufficiency {
    Enough,
    /// Not enough data yet: predictions are what is usual in shops. About so many more repeat orders are wanted.
    TooFew {
        more_repeat_orders: u32,
    },
    /// Not enough data yet: all customers came on one day, so that age and season cannot be told apart, or hardly any
    /// time has passed since.
    TooYoung,
}

/// What predictions are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    Combination,
    /// A plain rule did better in the backtest, and is used.
    Baseline(Baseline),
    /// What is usual in shops.
    Pooled,
}

/// How everything did on the shop's own past, each where it was not learnt; fewer is better.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Backtest {
    pub origins: Vec<Replayed>,
    pub horizons: Vec<Scores>,
    /// What the past was asked before the models were weighed, in this sequence.
    #[serde(default)]
    pub asked: Vec<Asked>,
}

/// Whether the past is told better by something that shops may or may not have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    #[serde(flatten)]
    pub about: About,
    /// Log loss of a mixture of equal parts over all days and horizons, with it and without.
    pub with: f64,
    pub without: f64,
    /// It told the past so much better that it is used, unless a later one did better still.
    pub better: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum About {
    /// The shop's own clock.
    Season,
    /// Customers first seen by the end of this day as a population of their own.
    Opening { until: Day },
}

/// A day of the past that was replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    pub day: Day,
    pub customers: usize,
}

/// Of one horizon, averaged over the days replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub horizon_days: Day,
    /// Log loss of "orders again", in the order of the members.
    pub models: Vec<f64>,
    pub mixture: f64,
    pub combined: f64,
    pub rfm_rate: f64,
    pub overdue: f64,
    /// How much of the learnt correction is used, 0 to 1: of probabilities, of expected orders.
    pub chance_share: f64,
    pub count_share: f64,
}

/// What is corrected at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Correction {
    days: Day,
    chance: Chance,
    chance_share: f64,
    /// The shop's mean log odds.
    middle: f64,
    counts: Counts,
    count_share: f64,
    /// The shop's ln(expected).
    shop: Moments,
    /// ln of what brings the total back.
    level: f64,
    rfm_rate: Option<Rates>,
    overdue: Option<Rates>,
}

/// A kind of customer that the models cannot tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Course {
    order_days: u32,
    before: bool,
    days: [Day; 3],
}

/// What is to be expected of one customer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// P(still a customer), by the mixture.
    pub p_alive: f64,
    pub p_order_30d: f64,
    pub p_order_90d: f64,
    pub expected_orders_30d: f64,
    pub expected_orders_90d: f64,
    pub expected_orders_365d: f64,
    /// Expected in the 365 days from the last order on, as it stood at the end of that day.
    pub expected_orders_365d_at_last_order: f64,
    pub next_order: window::NextOrder,
}

impl Outlook {
    /// `at_last_order` is the same customer's as of the last order.
    pub fn of(now: &Curve<'_>, at_last_order: &Curve<'_>) -> Self {
        let year = 365.0;
        Self {
            p_alive: now.p_alive(),
            p_order_30d: now.p_order(30.0),
            p_order_90d: now.p_order(90.0),
            expected_orders_30d: now.expected(30.0),
            expected_orders_90d: now.expected(90.0),
            expected_orders_365d: now.expected(year),
            expected_orders_365d_at_last_order: at_last_order.expected(year),
            next_order: window::next_order(now),
        }
    }
}

impl Learned {
    /// Learns from the orders up to the end of `as_of`. `horizons` are the days ahead that matter most: at them the
    /// corrections are learnt; four at most. Later orders in the log change nothing.
    pub fn from_log(log: &OrderLog, as_of: Day, horizons: &[Day]) -> Self {
        learn::learn(log, as_of, horizons)
    }

    /// The horizons that the product shows.
    pub const HORIZONS: [Day; 3] = [30, 90, 365];

    /// The customer's future as a function of time, from `known.as_of` on.
    pub fn curve(&self, known: &Known) -> Curve<'_> {
        self.curve_by(known, Arc::new(self.mixture(known)))
    }

    /// What the models say of `known`'s days of orders. Whoever has the same [`Course`] shares it.
    pub fn mixture(&self, known: &Known) -> Mixture {
        Mixture::new(self, known)
    }

    /// All that the models know of a customer. Where a day is a day, it is nothing in which week the first order came.
    pub fn course(&self, known: &Known) -> Course {
        let from = if self.clock.is_even() { known.first_day } else { 0 };
        Course {
            order_days: known.order_days,
            before: self.is_before(known),
            days: [known.first_day, known.last_day, known.as_of].map(|day| day - from),
        }
    }

    fn is_before(&self, known: &Known) -> bool {
        self.opening.is_some_and(|opening| opening.holds(known))
    }

    /// As [`Learned::curve`], by the mixture of the same days.
    pub fn curve_by(&self, known: &Known, mixture: Arc<Mixture>) -> Curve<'_> {
        Curve::new(self, known, mixture)
    }

    pub fn predict(&self, known: &Known) -> Outlook {
        Outlook::of(&self.curve(known), &self.curve(&known.as_of_last_order()))
    }

    /// P(order) and expected orders in the next `days`, by a plain rule. `None` where the past was too short for rates.
    pub fn by_baseline(&self, baseline: Baseline, known: &Known, days: f64) -> Option<(f64, f64)> {
        let class = self.standing.as_ref()?.class(baseline, known);
        self.rates(baseline, class, days)
    }

    /// By the shortest horizon that holds `days`.
    fn rates(&self, baseline: Baseline, class: usize, days: f64) -> Option<(f64, f64)> {
        let reached = self.corrections.iter().find(|c| f64::from(c.days) >= days);
        let correction = reached.or(self.corrections.last())?;
        let rates = match baseline {
            Baseline::RfmRate => correction.rfm_rate.as_ref(),
            Baseline::Overdue => correction.overdue.as_ref(),
        };
        Some(rates?.predict(class, days))
    }
}
