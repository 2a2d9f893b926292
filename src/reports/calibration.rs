//! How good the predictions are: what is believed, what would have been forecast in the past, and what came.

use diesel::QueryResult;
use jiff::civil::Date;
use serde::Serialize;

use crate::db::Conn;
use crate::primitives::{StoreId, Timestamp};
use crate::scoring::learning::Judged;
use crate::scoring::models::Params;
use crate::scoring::predict::evaluate::Figures;
use crate::scoring::predict::metrics::Decile;
use crate::scoring::predict::{Backtest, Choice, Day, Sufficiency};
use crate::scoring::prospect::{NotYet, Prospects};
use crate::scoring::store::{Learnt, learnings};

/// The calibration report. All orders in it are days with orders: several of one day count as one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    pub as_of: Timestamp,
    pub learned_at: Timestamp,
    /// False: predictions are what is usual in shops, and `note` says how much is wanting.
    pub enough_data: bool,
    pub note: Option<String>,
    /// About so many more repeat orders are wanted.
    pub more_repeat_orders: Option<u32>,
    /// How well visitors' first orders are told; `None` while too few were seen.
    pub prospects: Option<ProspectsJudged>,
    /// About so many more first orders of known visitors are wanted.
    pub prospects_needed: Option<usize>,
    pub choice: Choice,
    /// Customers of before the log; `None` where the store's first orders are taken for first.
    pub opening: Option<OpeningInUse>,
    /// The models run on the store's own clock, in which the high season is long.
    pub season: bool,
    pub models: Vec<ModelInUse>,
    pub backtest: Backtest,
    /// What would have been forecast 30, 90 and 365 days ago, knowing nothing of what came since.
    pub horizons: Vec<Horizon>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProspectsJudged {
    pub visitors: usize,
    pub first_orders: usize,
    pub log_loss: f64,
    /// Of the usual rate, said of everyone.
    pub base_log_loss: f64,
    pub auc: Option<f64>,
    pub ece_pct: f64,
    /// The usual rate did better, and is used.
    pub by_base_rate: bool,
    pub base_rate: f64,
}

impl ProspectsJudged {
    fn of(prospects: &Prospects) -> Self {
        let quality = prospects.quality;
        Self {
            visitors: quality.visitors,
            first_orders: quality.first_orders,
            log_loss: quality.log_loss,
            base_log_loss: quality.base_log_loss,
            auc: quality.auc,
            ece_pct: quality.ece_pct,
            by_base_rate: prospects.by_base_rate,
            base_rate: prospects.base_rate,
        }
    }
}

/// Who was a customer before the log began is told by fits of their own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpeningInUse {
    pub first_day: Date,
    /// Who was first seen by the end of this day.
    pub until: Date,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInUse {
    pub model: &'static str,
    /// Fitted to everyone.
    pub params: serde_json::Map<String, serde_json::Value>,
    pub log_likelihood: f64,
    /// Fitted to those of before the log and to those who came since; `None` without an opening.
    pub params_before: Option<serde_json::Map<String, serde_json::Value>>,
    pub params_since: Option<serde_json::Map<String, serde_json::Value>>,
    /// Its part in probabilities, and in expected orders.
    pub chance_weight: f64,
    pub count_weight: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Horizon {
    pub horizon_days: Day,
    /// The forecast knew all until the end of this day.
    pub made_on: Date,
    /// By whom it was judged; of more than 50,000, a fair part.
    pub customers: usize,
    /// Days with orders of theirs that came in the horizon.
    pub orders: u64,
    pub choice: Choice,
    pub combined: Figures,
    pub rfm_rate: Option<Figures>,
    pub overdue: Option<Figures>,
    /// Ten groups of customers by their predicted chance, and how many of each ordered.
    pub deciles: Vec<Decile>,
    /// The log loss of the report before this one for the same horizon, and when that was.
    pub log_loss_before: Option<f64>,
    pub before: Option<Timestamp>,
}

/// The newest report of a store; `None` until its first scoring.
pub fn calibration(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Calibration>> {
    let mut last = learnings(conn, store, 2)?.into_iter();
    let Some(newest) = last.next() else { return Ok(None) };
    Ok(Some(Calibration::of(newest, last.next().as_ref())))
}

impl Calibration {
    fn of(newest: Learnt, before: Option<&Learnt>) -> Self {
        let learned = newest.learning.orders;
        let models = learned.members.iter().map(|member| {
            let named = |params: &Params| {
                let named = params.named().into_iter();
                named.map(|(name, value)| (name.to_owned(), value.into())).collect()
            };
            ModelInUse {
                model: member.model.as_str(),
                params: named(&member.fitted.params),
                log_likelihood: member.fitted.log_likelihood,
                params_before: member.parted.map(|parted| named(&parted.before.params)),
                params_since: member.parted.map(|parted| named(&parted.since.params)),
                chance_weight: member.chance_weight,
                count_weight: member.count_weight,
            }
        });
        Self {
            as_of: newest.as_of,
            learned_at: newest.learned_at,
            enough_data: learned.sufficiency == Sufficiency::Enough,
            note: note(learned.sufficiency),
            more_repeat_orders: match learned.sufficiency {
                Sufficiency::TooFew { more_repeat_orders } => Some(more_repeat_orders),
                _ => None,
            },
            prospects: newest.learning.prospects.as_ref().map(ProspectsJudged::of),
            prospects_needed: match newest.learning.no_prospects {
                Some(NotYet::TooFew { needed }) => Some(needed),
                _ => None,
            },
            choice: learned.choice,
            opening: learned.opening.map(|opening| OpeningInUse {
                first_day: date(opening.first_day),
                until: date(opening.until),
            }),
            season: !learned.clock.is_even(),
            models: models.collect(),
            backtest: learned.backtest.clone(),
            horizons: newest.report.horizons.into_iter().map(|j| horizon(j, before)).collect(),
        }
    }
}

/// What is wanting, in words.
fn note(sufficiency: Sufficiency) -> Option<String> {
    match sufficiency {
        Sufficiency::Enough => None,
        Sufficiency::TooFew { more_repeat_orders } => {
            Some(format!("not enough data yet (about {more_repeat_orders} more repeat orders)"))
        }
        Sufficiency::TooYoung => Some(
            "not enough data yet (all customers came on one day, or no time has passed since)"
                .to_owned(),
        ),
    }
}

fn horizon(judged: Judged, before: Option<&Learnt>) -> Horizon {
    let same = before.and_then(|before| {
        let mut horizons = before.report.horizons.iter();
        Some((before.as_of, horizons.find(|h| h.horizon_days == judged.horizon_days)?))
    });
    Horizon {
        horizon_days: judged.horizon_days,
        made_on: date(judged.made_on),
        customers: judged.customers,
        orders: judged.orders,
        choice: judged.choice,
        combined: judged.combined,
        rfm_rate: judged.rfm_rate,
        overdue: judged.overdue,
        deciles: judged.deciles,
        log_loss_before: same.and_then(|(_, h)| h.combined.log_loss),
        before: same.map(|(as_of, _)| as_of),
    }
}

fn date(day: Day) -> Date {
    let days = jiff::Span::new().try_days(i64::from(day)).unwrap_or_default();
    Date::constant(1970, 1, 1).saturating_add(days)
}
