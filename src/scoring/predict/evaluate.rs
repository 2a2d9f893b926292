//! A forecast judged by what came of it: the models, the combination and the baselines by the same figures. Pure.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::baselines::Baseline;
use super::contest::{Contest, Loss};
use super::history::{DAYS_A_UNIT, Day, Known, OrderLog, next_order, orders_between};
use super::metrics::{self, Decile};
use super::{Learned, window};
use crate::scoring::models::{Model, Params};

/// The short horizon that is always looked at besides the one asked for.
const MONTH: Day = 30;

/// A log parted at the end of a day: what was known, and what came in the days after it.
#[derive(Debug, Clone)]
pub struct Holdout {
    pub split: Day,
    pub horizon: Day,
    pub known: Vec<Known>,
    /// Order days in (split, split + horizon].
    orders: Vec<f64>,
    /// Order days in the month after the split, where the horizon holds it.
    month: Option<Vec<f64>>,
    /// Days from the split to the next order, or to the end of the horizon, and whether it came.
    waits: Vec<(f64, bool)>,
}

/// What was predicted of each customer of a holdout, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    pub p_order: Vec<f64>,
    pub p_order_month: Vec<f64>,
    pub expected: Vec<f64>,
    /// P(an order by the time it came, or by the end); `None` where the forecaster has no such thing.
    pub p_by_then: Option<Vec<f64>>,
}

/// The figures of one forecast. `None` where one does not apply.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    pub mae: Option<f64>,
    pub rmse: Option<f64>,
    pub total_error_pct: Option<f64>,
    pub log_loss: Option<f64>,
    pub brier: Option<f64>,
    pub ece_pct: Option<f64>,
    /// What `ece_pct` would be by chance alone, were every probability right.
    pub ece_noise_pct: Option<f64>,
    pub auc: Option<f64>,
    pub auc_30d: Option<f64>,
    pub ece_30d_pct: Option<f64>,
    pub ece_30d_noise_pct: Option<f64>,
    pub window80_coverage_pct: Option<f64>,
}

/// The combination beside the best single model in hindsight, by each headline figure: whether it does harm.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Contests {
    pub mae: Option<Contest>,
    pub rmse: Option<Contest>,
    pub log_loss: Option<Contest>,
}

impl Contests {
    pub fn all(&self) -> [(&'static str, Option<Contest>); 3] {
        [("mae", self.mae), ("rmse", self.rmse), ("log_loss", self.log_loss)]
    }
}

impl Holdout {
    /// Customers first seen after the split are out: nothing was known of them.
    pub fn of(log: &OrderLog, split: Day, horizon: Day) -> Self {
        let end = split + horizon;
        let mut holdout = Self {
            split,
            horizon,
            known: vec![],
            orders: vec![],
            month: (horizon >= MONTH).then(Vec::new),
            waits: vec![],
        };
        for customer in log.all() {
            let Some(known) = customer.known(split) else { continue };
            let own = customer.purchases;
            holdout.known.push(known);
            holdout.orders.push(f64::from(orders_between(own, split, end)));
            if let Some(month) = &mut holdout.month {
                month.push(f64::from(orders_between(own, split, split + MONTH)));
            }
            let next = next_order(own, split).filter(|day| *day <= end);
            holdout.waits.push((f64::from(next.unwrap_or(end) - split), next.is_some()));
        }
        holdout
    }

    pub fn orders(&self) -> u64 {
        self.orders.iter().sum::<f64>() as u64
    }

    /// By one model alone.
    pub fn by_model(&self, params: &Params) -> Forecast {
        let weeks = |days: f64| days / DAYS_A_UNIT;
        let horizon = weeks(f64::from(self.horizon));
        let rows = self.known.par_iter().zip(&self.waits).map(|(known, (wait, _))| {
            let outlook = params.outlook(&known.history());
            [
                outlook.p_order(horizon),
                outlook.p_order(weeks(f64::from(MONTH))),
                outlook.expected(horizon),
                outlook.p_order(weeks(*wait)),
            ]
        });
        Forecast::of_rows(rows.collect())
    }

    /// By what the shop's past taught.
    pub fn by_combination(&self, learned: &Learned) -> Forecast {
        let horizon = f64::from(self.horizon);
        let rows = self.known.par_iter().zip(&self.waits).map(|(known, (wait, _))| {
            let curve = learned.curve(known);
            [
                curve.p_order(horizon),
                curve.p_order(f64::from(MONTH)),
                curve.expected(horizon),
                curve.p_order(*wait),
            ]
        });
        Forecast::of_rows(rows.collect())
    }

    /// By a plain rule, with the rates of the known past. `None` where the past was too short to have any.
    pub fn by_baseline(&self, learned: &Learned, baseline: Baseline) -> Option<Forecast> {
        let rows: Option<Vec<[f64; 3]>> = self
            .known
            .par_iter()
            .map(|known| {
                let (p, expected) =
                    learned.by_baseline(baseline, known, f64::from(self.horizon))?;
                Some([p, learned.by_baseline(baseline, known, f64::from(MONTH))?.0, expected])
            })
            .collect();
        let rows = rows?;
        let column = |i: usize| rows.iter().map(|row| row[i]).collect();
        Some(Forecast {
            p_order: column(0),
            p_order_month: column(1),
            expected: column(2),
            p_by_then: None,
        })
    }

    pub fn judge(&self, forecast: &Forecast) -> Figures {
        let ordered = ordered(&self.orders);
        let in_month: Option<Vec<bool>> = self.month.as_deref().map(self::ordered);
        let in_month = in_month.as_deref();
        let window80 = forecast.p_by_then.as_ref().and_then(|p| {
            let rows = p.iter().zip(&self.waits).map(|(p, (_, came))| (*p, *came));
            window::coverage80_pct(rows)
        });
        Figures {
            mae: metrics::mae(&forecast.expected, &self.orders),
            rmse: metrics::rmse(&forecast.expected, &self.orders),
            total_error_pct: metrics::total_error_pct(&forecast.expected, &self.orders),
            log_loss: metrics::log_loss(&forecast.p_order, &ordered),
            brier: metrics::brier(&forecast.p_order, &ordered),
            ece_pct: metrics::ece_pct(&forecast.p_order, &ordered),
            ece_noise_pct: metrics::ece_noise_pct(&forecast.p_order),
            auc: metrics::auc(&forecast.p_order, &ordered),
            auc_30d: in_month.and_then(|month| metrics::auc(&forecast.p_order_month, month)),
            ece_30d_pct: in_month
                .and_then(|month| metrics::ece_pct(&forecast.p_order_month, month)),
            ece_30d_noise_pct: in_month
                .and_then(|_| metrics::ece_noise_pct(&forecast.p_order_month)),
            window80_coverage_pct: window80,
        }
    }

    pub fn contest(&self, combined: &Forecast, models: &[(Model, Forecast)]) -> Contests {
        let ordered = ordered(&self.orders);
        let by = |loss: &dyn Fn(&Forecast) -> Option<Loss>| {
            let models: Vec<(Model, Loss)> =
                models.iter().filter_map(|(model, told)| Some((*model, loss(told)?))).collect();
            Contest::of(&loss(combined)?, &models)
        };
        Contests {
            mae: by(&|told| Loss::mae(&told.expected, &self.orders)),
            rmse: by(&|told| Loss::rmse(&told.expected, &self.orders)),
            log_loss: by(&|told| Loss::log_loss(&told.p_order, &ordered)),
        }
    }

    /// Predicted against happened over the horizon, in ten groups of equal size.
    pub fn deciles(&self, forecast: &Forecast) -> Vec<Decile> {
        metrics::deciles(&forecast.p_order, &ordered(&self.orders))
    }

    /// The same over the first month; `None` where the horizon is shorter.
    pub fn deciles_month(&self, forecast: &Forecast) -> Option<Vec<Decile>> {
        let month = self.month.as_ref()?;
        Some(metrics::deciles(&forecast.p_order_month, &ordered(month)))
    }
}

fn ordered(orders: &[f64]) -> Vec<bool> {
    orders.iter().map(|orders| *orders > 0.0).collect()
}

impl Forecast {
    fn of_rows(rows: Vec<[f64; 4]>) -> Self {
        let column = |i: usize| rows.iter().map(|row| row[i]).collect();
        Self {
            p_order: column(0),
            p_order_month: column(1),
            expected: column(2),
            p_by_then: Some(column(3)),
        }
    }
}
