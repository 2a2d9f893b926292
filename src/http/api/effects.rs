//! `GET /api/v1/reports/rules` and the orders behind its figures.

use actix_web::web::{Data, Json, Path, Query};
use serde::{Deserialize, Serialize};

use super::page::{Page, cursor, limit, shown};
use super::{App, Problem, read};
use crate::experiments::{Answer, ArmFigures, Comparison, Difference};
use crate::http::auth::ApiKey;
use crate::primitives::{Currency, CustomerId, Delay, MessageId, Money, Timestamp};
use crate::reports::credit::{self, CreditedOrder, Span};
use crate::reports::effects::{self, ArmOrder, Effect, Experiment};
use crate::reports::rules;
use crate::rules::RuleStatus;
use crate::stores::Store;

/// So far back where nothing is said.
const USUAL: Delay = Delay::days(90);

#[derive(Deserialize)]
pub struct Ask {
    from: Option<String>,
    to: Option<String>,
    figure: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

impl Ask {
    /// A day is its beginning for `from`, and its end for `to`, in the store's zone.
    fn span(&self, store: &Store, now: Timestamp) -> Result<Span, Problem> {
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
    cap: Option<Money>,
    spending_before_explains: f64,
    conversion: DifferenceItem<f64>,
    orders_per_customer: DifferenceItem<f64>,
    revenue_per_customer: DifferenceItem<Money>,
    caused_revenue: Caused,
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

pub async fn report(key: ApiKey, app: Data<App>, ask: Query<Ask>) -> Result<Json<Report>, Problem> {
    let now = app.clock.now();
    read(&app, &key, move |conn, store| {
        let span = ask.span(store, now)?;
        let effects = effects::of_all(conn, store, span, now)?;
        let global = effects::global(conn, store, span, now)?;
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
    }
}

fn experiment_item(experiment: &Experiment, currency: &Currency) -> ExperimentItem {
    let Comparison { treatment, holdout, cap, conversion, orders, revenue, explained } =
        &experiment.comparison;
    let money = |minor: f64| Money::new(minor.round() as i64, currency.clone());
    let of_holdout = |sum: f64| (holdout.customers > 0).then(|| sum / holdout.customers as f64);
    let treated = treatment.customers as f64;
    ExperimentItem {
        window: experiment.window,
        open: experiment.open,
        treatment: arm_item(treatment, currency),
        holdout: arm_item(holdout, currency),
        cap: cap.map(money),
        spending_before_explains: *explained,
        conversion: difference_item(conversion, of_holdout(holdout.converted as f64), |n| n),
        orders_per_customer: difference_item(orders, of_holdout(holdout.orders as f64), |n| n),
        revenue_per_customer: difference_item(
            revenue,
            of_holdout(holdout.revenue_winsorised),
            money,
        ),
        caused_revenue: Caused {
            answer: revenue.answer,
            amount: (revenue.answer != Answer::Unknown).then(|| money(revenue.estimate * treated)),
            estimate: money(revenue.estimate * treated),
            low: revenue.interval.map(|(low, _)| money(low * treated)),
            high: revenue.interval.map(|(_, high)| money(high * treated)),
        },
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

/// One order behind a figure.
#[derive(Serialize)]
pub struct OrderItem {
    order_id: String,
    customer_id: CustomerId,
    placed_at: Timestamp,
    total: Money,
    refunded: Money,
    net: Money,
    /// Of a credited order: the mail, and whether it was clicked or only sent.
    message_id: Option<MessageId>,
    by: Option<&'static str>,
    /// Of an arm's: when the customer became eligible.
    assigned_at: Option<Timestamp>,
}

/// Where a page of orders ended. Text form `MICROSECONDS.order id`.
struct Place(Timestamp, String);

impl std::str::FromStr for Place {
    type Err = std::num::ParseIntError;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let (at, id) = raw.split_once('.').unwrap_or((raw, ""));
        Ok(Self(Timestamp(at.parse()?), id.to_owned()))
    }
}

const FIGURES: [&str; 3] = ["credited", "treatment", "holdout"];

/// The orders behind a rule's figures, newest first.
pub async fn orders(
    key: ApiKey,
    app: Data<App>,
    rule: Path<String>,
    ask: Query<Ask>,
) -> Result<Json<Page<OrderItem>>, Problem> {
    let (now, limit) = (app.clock.now(), limit(ask.limit.as_deref())?);
    let after: Option<Place> = cursor(ask.cursor.as_deref())?;
    let asked = ask.figure.as_deref().unwrap_or("credited");
    let Some(figure) = FIGURES.into_iter().find(|figure| *figure == asked) else {
        return Err(Problem::bad_request(format!(
            "figure: `{}` is not one of: {}",
            shown(asked),
            FIGURES.join(", ")
        )));
    };
    read(&app, &key, move |conn, store| {
        let span = ask.span(store, now)?;
        let found = rules::all(conn, store)?.into_iter().find(|one| one.key == *rule);
        let rule = found.ok_or_else(|| {
            let detail = format!("there is no rule `{}`", shown(&rule));
            Problem::unknown("/problems/unknown-rule", detail)
        })?;
        let after = after.map(|Place(at, id)| (at, id));
        let items: Vec<OrderItem> = if figure == "credited" {
            let orders = credit::orders(conn, store, rule.id, span, after.as_ref(), limit)?;
            orders.into_iter().map(credited_item).collect()
        } else {
            let page = (after.as_ref(), limit);
            let orders =
                effects::arm_orders(conn, store, &rule, figure, span, now, page.0, page.1)?;
            orders.into_iter().map(arm_order_item).collect()
        };
        let place = |item: &OrderItem| format!("{}.{}", item.placed_at.0, item.order_id);
        Ok(Json(Page::of(items, limit, place)))
    })
    .await
}

fn credited_item(order: CreditedOrder) -> OrderItem {
    let money = |minor| Money::new(minor, order.currency.clone());
    OrderItem {
        total: money(order.total),
        refunded: money(order.refunded),
        net: money(order.total - order.refunded),
        order_id: order.order_id,
        customer_id: order.customer_id,
        placed_at: order.placed_at,
        message_id: Some(order.message_id),
        by: Some(if order.clicked { "click" } else { "send" }),
        assigned_at: None,
    }
}

fn arm_order_item(order: ArmOrder) -> OrderItem {
    let money = |minor| Money::new(minor, order.currency.clone());
    OrderItem {
        total: money(order.total),
        refunded: money(order.refunded),
        net: money(order.total - order.refunded),
        order_id: order.order_id,
        customer_id: order.customer_id,
        placed_at: order.placed_at,
        message_id: None,
        by: None,
        assigned_at: Some(order.assigned_at),
    }
}
