//! `GET /api/v1/reports/rules`: what rules earned, credited beside caused, and which wording does better.

use actix_web::web::{Data, Json, Query};
use serde::{Deserialize, Serialize};

use super::page::shown;
use super::{App, Problem, read};
use crate::experiments::{Answer, ArmFigures, Comparison, Difference};
use crate::http::auth::ApiKey;
use crate::primitives::{Currency, Delay, Money, Timestamp};
use crate::reports::credit::{self, Span};
use crate::reports::effects::{self, Effect};
use crate::reports::trial::{self, Experiment, VariantTest};
use crate::rules::RuleStatus;
use crate::stores::Store;

/// So far back where nothing is said.
const USUAL: Delay = Delay::days(90);

#[derive(Deserialize)]
pub struct Days {
    from: Option<String>,
    to: Option<String>,
}

impl Days {
    /// A day is its beginning for `from`, and its end for `to`, in the store's zone.
    pub fn span(&self, store: &Store, now: Timestamp) -> Result<Span, Problem> {
        let invalid = |name: &str, raw: &str| {
            Problem::bad_request(format!(
                "{name}: `{}` is no date such as 2026-06-01, and no instant such as 2026-06-01T00:00:00Z",
                shown(raw)
            ))
        };
        let zone = &store.timezone;
        let until = match &self.to {
            None => now,
            Some(raw) => {
                Timestamp::parse_or_end_of_day(raw, zone).map_err(|_| invalid("to", raw))?
            }
        };
        let from = match &self.from {
            None => until.minus(USUAL),
            Some(raw) => {
                Timestamp::parse_or_start_of_day(raw, zone).map_err(|_| invalid("from", raw))?
            }
        };
        if from >= until {
            return Err(Problem::bad_request(
                "to: it is not after `from`: give a later day, or leave one of them out",
            ));
        }
        Ok(Span { from, until })
    }
}

#[derive(Serialize)]
pub struct Report {
    from: Timestamp,
    to: Timestamp,
    credit_window: Delay,
    rules: Vec<RuleItem>,
    /// All marketing mail together, by the store-wide holdout.
    global: Option<ExperimentItem>,
}

#[derive(Serialize)]
struct RuleItem {
    rule: String,
    name: String,
    status: RuleStatus,
    sent: i64,
    clicked: i64,
    machine_clicks: i64,
    credited: CreditItem,
    experiment: Option<ExperimentItem>,
    /// Of each step that has, or had, several wordings.
    variants: Vec<VariantsItem>,
}

#[derive(Serialize)]
struct VariantsItem {
    step: i32,
    window: Delay,
    open: i64,
    /// Against which the others are measured: the one that the rule names first.
    first: VariantItem,
    others: Vec<AgainstItem>,
}

#[derive(Serialize)]
struct VariantItem {
    variant: String,
    figures: ArmItem,
}

/// One wording against the first. Both figures are of those who can be compared.
#[derive(Serialize)]
struct AgainstItem {
    variant: String,
    figures: ArmItem,
    /// The first wording's, of those who were drawn by the same odds.
    first: ArmItem,
    #[serde(flatten)]
    compared: ComparisonItem,
}

#[derive(Serialize)]
struct CreditItem {
    orders: i64,
    after_click: i64,
    revenue: Money,
    refunded: Money,
}

#[derive(Serialize)]
struct ExperimentItem {
    window: Delay,
    open: i64,
    treatment: ArmItem,
    holdout: ArmItem,
    #[serde(flatten)]
    compared: ComparisonItem,
    caused_revenue: Caused,
}

#[derive(Serialize)]
struct ComparisonItem {
    /// Whose odds were alike; each stratum is compared within itself.
    strata: u64,
    unmatched: u64,
    cap: Option<Money>,
    spending_before_explains: f64,
    conversion: DifferenceItem<f64>,
    orders_per_customer: DifferenceItem<f64>,
    revenue_per_customer: DifferenceItem<Money>,
}

#[derive(Serialize)]
struct ArmItem {
    customers: u64,
    converted: u64,
    conversion: Option<f64>,
    orders: u64,
    orders_per_customer: Option<f64>,
    revenue: Money,
    revenue_per_customer: Option<Money>,
}

#[derive(Serialize)]
struct DifferenceItem<T> {
    answer: Answer,
    estimate: T,
    low: Option<T>,
    high: Option<T>,
    lift: Option<f64>,
    minimum_detectable: Option<T>,
    minimum_detectable_lift: Option<f64>,
    days_to_answer: Option<f64>,
}

#[derive(Serialize)]
struct Caused {
    answer: Answer,
    /// Null until the interval excludes zero.
    amount: Option<Money>,
    estimate: Money,
    low: Option<Money>,
    high: Option<Money>,
}

pub async fn report(
    key: ApiKey,
    app: Data<App>,
    ask: Query<Days>,
) -> Result<Json<Report>, Problem> {
    let now = app.clock.now();
    read(&app, &key, move |conn, store| {
        let span = ask.span(store, now)?;
        let effects = effects::of_all(conn, store, span, now)?;
        let global = trial::global(conn, store, span, now)?;
        let currency = &store.currency;
        Ok(Json(Report {
            from: span.from,
            to: span.until,
            credit_window: credit::WITHIN,
            rules: effects.iter().map(|effect| rule_item(effect, currency)).collect(),
            global: global.map(|experiment| experiment_item(&experiment, currency)),
        }))
    })
    .await
}

fn rule_item(effect: &Effect, currency: &Currency) -> RuleItem {
    let money = |minor| Money::new(minor, currency.clone());
    let (credit, mails) = (effect.credit, effect.mails);
    RuleItem {
        rule: effect.rule.key.clone(),
        name: effect.rule.title().to_owned(),
        status: effect.rule.status,
        sent: mails.sent,
        clicked: mails.clicked,
        machine_clicks: mails.machine_clicks,
        credited: CreditItem {
            orders: credit.map_or(0, |credit| credit.orders),
            after_click: credit.map_or(0, |credit| credit.clicked),
            revenue: money(credit.map_or(0, |credit| credit.revenue)),
            refunded: money(credit.map_or(0, |credit| credit.refunded)),
        },
        experiment: effect.experiment.as_ref().map(|one| experiment_item(one, currency)),
        variants: effect.variants.iter().map(|test| variants_item(test, currency)).collect(),
    }
}

fn variants_item(test: &VariantTest, currency: &Currency) -> VariantsItem {
    let first = arm_item(&test.first_figures, currency);
    VariantsItem {
        step: test.step,
        window: test.window,
        open: test.open,
        first: VariantItem { variant: test.first.clone(), figures: first },
        others: test
            .others
            .iter()
            .map(|(name, comparison)| AgainstItem {
                variant: name.clone(),
                figures: arm_item(&comparison.treatment, currency),
                first: arm_item(&comparison.holdout, currency),
                compared: comparison_item(comparison, currency),
            })
            .collect(),
    }
}

fn experiment_item(experiment: &Experiment, currency: &Currency) -> ExperimentItem {
    let Comparison { treatment, holdout, revenue, .. } = &experiment.comparison;
    let money = |minor: f64| Money::new(minor.round() as i64, currency.clone());
    let treated = treatment.customers as f64;
    ExperimentItem {
        window: experiment.window,
        open: experiment.open,
        treatment: arm_item(treatment, currency),
        holdout: arm_item(holdout, currency),
        compared: comparison_item(&experiment.comparison, currency),
        caused_revenue: Caused {
            answer: revenue.answer,
            amount: (revenue.answer != Answer::Unknown).then(|| money(revenue.estimate * treated)),
            estimate: money(revenue.estimate * treated),
            low: revenue.interval.map(|(low, _)| money(low * treated)),
            high: revenue.interval.map(|(_, high)| money(high * treated)),
        },
    }
}

fn comparison_item(comparison: &Comparison, currency: &Currency) -> ComparisonItem {
    let Comparison { holdout, conversion, orders, revenue, .. } = comparison;
    let money = |minor: f64| Money::new(minor.round() as i64, currency.clone());
    let of_holdout = |sum: f64| (holdout.customers > 0).then(|| sum / holdout.customers as f64);
    ComparisonItem {
        strata: comparison.strata,
        unmatched: comparison.unmatched,
        cap: comparison.cap.map(money),
        spending_before_explains: comparison.explained,
        conversion: difference_item(conversion, of_holdout(holdout.converted as f64), |n| n),
        orders_per_customer: difference_item(orders, of_holdout(holdout.orders as f64), |n| n),
        revenue_per_customer: difference_item(
            revenue,
            of_holdout(holdout.revenue_winsorised),
            money,
        ),
    }
}

fn arm_item(arm: &ArmFigures, currency: &Currency) -> ArmItem {
    let money = |minor: f64| Money::new(minor.round() as i64, currency.clone());
    let each = |sum: f64| (arm.customers > 0).then(|| sum / arm.customers as f64);
    ArmItem {
        customers: arm.customers,
        converted: arm.converted,
        conversion: each(arm.converted as f64),
        orders: arm.orders,
        orders_per_customer: each(arm.orders as f64),
        revenue: money(arm.revenue),
        revenue_per_customer: each(arm.revenue_winsorised).map(money),
    }
}

fn difference_item<T>(
    difference: &Difference,
    of_holdout: Option<f64>,
    value: impl Fn(f64) -> T,
) -> DifferenceItem<T> {
    let beside = |n: f64| of_holdout.filter(|base| *base > 0.0).map(|base| n / base);
    DifferenceItem {
        answer: difference.answer,
        estimate: value(difference.estimate),
        low: difference.interval.map(|(low, _)| value(low)),
        high: difference.interval.map(|(_, high)| value(high)),
        lift: beside(difference.estimate),
        minimum_detectable: difference.minimum_detectable.map(&value),
        minimum_detectable_lift: difference.minimum_detectable.and_then(beside),
        days_to_answer: difference.days_to_answer,
    }
}
