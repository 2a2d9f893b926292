//! What a store's past taught, and how good it was on that past. Pure; `run` loads the orders and keeps the outcome.

use serde::{Deserialize, Serialize};

use super::models::GammaGamma;
use super::models::gamma_gamma::Amounts;
use super::predict::baselines::Baseline;
use super::predict::evaluate::{Figures, Holdout};
use super::predict::metrics::Decile;
use super::predict::{Choice, Day, Known, Learned, OrderLog, Sufficiency};
use super::prospect::{NotYet, Prospects};

/// All that buyers are forecast by. It is stored, and forecasts the same when read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// How many buyers the store had: many more, and it is learnt anew.
    pub buyers: usize,
    pub orders: Learned,
    pub spend: Spend,
    /// How visitors become buyers; `None` while too few were seen to.
    pub prospects: Option<Prospects>,
    /// And why not.
    #[serde(default)]
    pub no_prospects: Option<NotYet>,
}

/// What the orders of one day are expected to come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Spend {
    GammaGamma(GammaGamma),
    /// Too few amounts, or too wild ones, for a model: everyone's own mean, shrunk to the store's as if that were one
    /// more order.
    Mean {
        store: f64,
    },
}

impl Spend {
    /// From what everyone spent on how many order days.
    fn learn(known: &[Known]) -> Self {
        let amounts = Amounts::new(known.iter().map(|k| (k.order_days, mean(k))));
        match GammaGamma::fit(&amounts) {
            Ok((model, _)) if model.expected(0, 0.0).is_some() => Self::GammaGamma(model),
            _ => Self::Mean { store: amounts.mean() },
        }
    }

    /// In the unit of the amounts, for one order day of this customer's.
    pub fn expected(&self, known: &Known) -> f64 {
        let (n, own) = (known.order_days, mean(known));
        let modelled = match self {
            Self::GammaGamma(model) if own > 0.0 => model.expected(n, own),
            Self::GammaGamma(model) => model.expected(0, 0.0),
            Self::Mean { store } => Some((f64::from(n) * own + store) / (f64::from(n) + 1.0)),
        };
        modelled.unwrap_or(own)
    }
}

fn mean(known: &Known) -> f64 {
    known.amount / f64::from(known.order_days.max(1))
}

impl Learning {
    /// Whether it still holds on `today`, in a store of so many buyers now: parameters of a shop move slowly, but for an
    /// import.
    pub fn holds(&self, today: Day, buyers: usize, for_days: Day) -> bool {
        let age = today - self.orders.as_of;
        let grown = buyers.abs_diff(self.buyers);
        (0..for_days).contains(&age) && grown * 10 <= self.buyers
    }

    /// Learns from the orders up to the end of `as_of`; later ones change nothing.
    pub fn of(log: &OrderLog, as_of: Day) -> Self {
        let known: Vec<Known> = log.all().filter_map(|customer| customer.known(as_of)).collect();
        Self {
            buyers: known.len(),
            orders: Learned::from_log(log, as_of, &Learned::HORIZONS),
            spend: Spend::learn(&known),
            prospects: None,
            no_prospects: None,
        }
    }
}

/// The forecasts that would have been made in the past, beside what came: the calibration report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The end of this day.
    pub as_of: Day,
    pub sufficiency: Sufficiency,
    pub choice: Choice,
    /// A horizon for which the past is too short is absent.
    pub horizons: Vec<Judged>,
}

/// The forecast of one horizon, made `horizon_days` before the report's day and knowing nothing after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    pub horizon_days: Day,
    pub made_on: Day,
    /// By whom it was judged: known on that day, and in a large shop a fair part of them.
    pub customers: usize,
    /// Order days of theirs that came.
    pub orders: u64,
    /// What forecasts of that day were made by.
    pub choice: Choice,
    pub combined: Figures,
    pub rfm_rate: Option<Figures>,
    pub overdue: Option<Figures>,
    pub deciles: Vec<Decile>,
}

/// Customers by whom a forecast is judged at most: with so many, chance makes a calibration error of half a percent, and to
/// learn a large shop anew for each horizon takes longer than all its scoring.
const JUDGES: usize = 50_000;

impl Report {
    /// Judges what would have been forecast 30, 90 and 365 days ago, in a large shop by a part of its customers.
    pub fn of(log: &OrderLog, learned: &Learned) -> Self {
        let part;
        let log = if log.customers() > JUDGES {
            part = log.part(JUDGES);
            &part
        } else {
            log
        };
        Self {
            as_of: learned.as_of,
            sufficiency: learned.sufficiency,
            choice: learned.choice,
            horizons: Learned::HORIZONS
                .into_iter()
                .filter_map(|horizon| Judged::of(log, learned.as_of, horizon))
                .collect(),
        }
    }
}

impl Judged {
    /// `None` where the log did not go on for as long before the forecast as the forecast looks ahead.
    fn of(log: &OrderLog, as_of: Day, horizon: Day) -> Option<Self> {
        let made_on = as_of - horizon;
        let firsts = log.iter().filter_map(|(_, purchases)| purchases.first());
        let first_day = firsts.map(|purchase| purchase.day).min()?;
        if first_day > made_on - horizon {
            return None;
        }
        let learned = Learned::from_log(log, made_on, &[horizon]);
        let holdout = Holdout::of(log, made_on, horizon);
        let combined = holdout.by_combination(&learned);
        let baseline =
            |baseline: Baseline| Some(holdout.judge(&holdout.by_baseline(&learned, baseline)?));
        Some(Self {
            horizon_days: horizon,
            made_on,
            customers: holdout.known.len(),
            orders: holdout.orders(),
            choice: learned.choice,
            rfm_rate: baseline(Baseline::RfmRate),
            overdue: baseline(Baseline::Overdue),
            deciles: holdout.deciles(&combined),
            combined: holdout.judge(&combined),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::predict::Purchase;

    /// Sixty people who order every 20 to 40 days, and forty who ordered once.
    fn log() -> OrderLog {
        OrderLog::new((0..100_u64).flat_map(|who| {
            let start = (who % 30) as Day;
            let gap = 20 + (who % 21) as Day;
            let orders = if who < 60 { 12 } else { 1 };
            (0..orders).map(move |n| {
                (who, Purchase { day: start + n * gap, amount: 1_000.0 + who as f64 })
            })
        }))
    }

    #[test]
    fn what_is_learnt_can_be_stored_and_read_back() {
        let learning = Learning::of(&log(), 240);
        let json = serde_json::to_string(&learning).unwrap();
        assert_eq!(serde_json::from_str::<Learning>(&json).unwrap(), learning);
        let report = Report::of(&log(), &learning.orders);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn a_report_speaks_of_horizons_that_the_past_holds_twice() {
        let report = Report::of(&log(), &Learning::of(&log(), 240).orders);
        let days: Vec<Day> = report.horizons.iter().map(|judged| judged.horizon_days).collect();
        assert_eq!(days, [30, 90]);
        for judged in &report.horizons {
            assert_eq!(judged.made_on, 240 - judged.horizon_days);
            let told: usize = judged.deciles.iter().map(|decile| decile.customers).sum();
            assert_eq!(told, judged.customers);
        }
    }

    #[test]
    fn what_is_learnt_holds_for_days_and_not_over_an_import() {
        let learning = Learning { buyers: 100, ..Learning::of(&log(), 240) };
        assert!(learning.holds(240, 100, 7) && learning.holds(246, 110, 7));
        assert!(!learning.holds(247, 100, 7), "a week is over");
        assert!(!learning.holds(241, 111, 7), "many more buyers");
        assert!(!learning.holds(239, 100, 7), "a look back knows nothing of later");
    }

    #[test]
    fn spend_lies_between_the_own_mean_and_the_store_s() {
        let learning = Learning::of(&log(), 240);
        let rich = Known {
            first_day: 0,
            last_day: 100,
            as_of: 240,
            order_days: 3,
            ln_gaps: 2.0,
            amount: 9_000.0,
            last_amount: 3_000.0,
            median_gap: 50.0,
            visits: 0,
            last_visit: None,
        };
        let expected = learning.spend.expected(&rich);
        assert!((1_000.0..3_000.0).contains(&expected), "{expected}");
        let nothing = Spend::learn(&[]);
        assert_eq!(nothing, Spend::Mean { store: 0.0 });
        assert_eq!(nothing.expected(&rich), 2_250.0);
    }
}
