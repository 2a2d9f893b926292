//! `GET /api/v1/reports/rules/{key}/orders` and `…/customers`: the rows behind the figures of `GET /reports/rules`.

use actix_web::web::{Data, Json, Path, Query};
use serde::{Deserialize, Serialize};

use super::effects::Days;
use super::page::{Page, Place, cursor, limit, shown};
use super::{App, Problem, read};
use crate::db::Conn;
use crate::http::auth::ApiKey;
use crate::primitives::{Currency, CustomerId, MessageId, Money, RuleId, Timestamp};
use crate::reports::behind::{self, ArmCustomer, ArmOrder, Whom};
use crate::reports::credit::{self, CreditedOrder, Span};
use crate::reports::rows::order::Order;
use crate::reports::rules;
use crate::reports::trial::{self, Cohort, Trial};
use crate::stores::Store;

/// Which rows. Beside these `from` and `to`, as in the report.
#[derive(Deserialize)]
pub struct Ask {
    figure: Option<String>,
    step: Option<String>,
    variant: Option<String>,
    converted: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Whose figure it is.
enum Figure {
    /// To one rule, or to any.
    Credited(Option<RuleId>),
    /// Of one arm: what it is called, and whose experiment it is.
    Arm(Trial, crate::primitives::Delay, String),
}

const FIGURES: [&str; 4] = ["credited", "treatment", "holdout", "variant"];

impl Ask {
    /// `key`: a rule's, or `global` for the holdout of the whole store.
    fn figure(&self, conn: &mut Conn, store: &Store, key: &str) -> Result<Figure, Problem> {
        let asked = self.figure.as_deref().unwrap_or("credited");
        let Some(figure) = FIGURES.into_iter().find(|figure| *figure == asked) else {
            return Err(Problem::bad_request(format!(
                "figure: `{}` is not one of: {}",
                shown(asked),
                FIGURES.join(", ")
            )));
        };
        if key == trial::GLOBAL {
            return match figure {
                "credited" => Ok(Figure::Credited(None)),
                "treatment" | "holdout" => {
                    Ok(Figure::Arm(Trial::Global, trial::GLOBAL_WINDOW, figure.to_owned()))
                }
                _ => Err(Problem::bad_request(
                    "figure: of `global` there are credited, treatment and holdout alone",
                )),
            };
        }
        let found = rules::all(conn, store)?.into_iter().find(|one| one.key == key);
        let rule = found.ok_or_else(|| {
            let detail = format!("there is no rule `{}`", shown(key));
            Problem::unknown("/problems/unknown-rule", detail)
        })?;
        let window = trial::window(&rule.rule);
        Ok(match figure {
            "credited" => Figure::Credited(Some(rule.id)),
            "variant" => {
                let (step, variant) = self.wording()?;
                Figure::Arm(Trial::Wording { rule: rule.id, step }, window, variant)
            }
            arm => Figure::Arm(Trial::Holdout(rule.id), window, arm.to_owned()),
        })
    }

    fn wording(&self) -> Result<(i32, String), Problem> {
        let step = self.step.as_deref().and_then(|raw| raw.parse().ok()).filter(|n| *n > 0);
        match (step, &self.variant) {
            (Some(step), Some(variant)) => Ok((step, variant.clone())),
            _ => Err(Problem::bad_request(
                "figure: `variant` needs `step`, its number from 1, and `variant`, its name",
            )),
        }
    }

    fn whom(&self) -> Result<Whom, Problem> {
        match self.converted.as_deref() {
            None | Some("false") => Ok(Whom::All),
            Some("true") => Ok(Whom::Converted),
            Some(raw) => Err(Problem::bad_request(format!(
                "converted: `{}` is neither true nor false",
                shown(raw)
            ))),
        }
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

/// One customer behind a figure.
#[derive(Serialize)]
pub struct CustomerItem {
    customer_id: CustomerId,
    assigned_at: Timestamp,
    orders: i64,
    revenue: Money,
}

/// Where a page of orders ended. Text form `MICROSECONDS.order id`.
struct OrderPlace(Timestamp, String);

impl std::str::FromStr for OrderPlace {
    type Err = std::num::ParseIntError;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let (at, id) = raw.split_once('.').unwrap_or((raw, ""));
        Ok(Self(Timestamp(at.parse()?), id.to_owned()))
    }
}

/// The orders behind a rule's figures, newest first.
pub async fn orders(
    key: ApiKey,
    app: Data<App>,
    rule: Path<String>,
    ask: Query<Ask>,
    days: Query<Days>,
) -> Result<Json<Page<OrderItem>>, Problem> {
    let (now, limit) = (app.clock.now(), limit(ask.limit.as_deref())?);
    let after: Option<OrderPlace> = cursor(ask.cursor.as_deref())?;
    let after = after.map(|OrderPlace(at, id)| (at, id));
    read(&app, &key, move |conn, store| {
        let span = days.span(store, now)?;
        let items: Vec<OrderItem> = match ask.figure(conn, store, &rule)? {
            Figure::Credited(rule) => {
                let orders = credit::orders(conn, store, rule, span, after.as_ref(), limit)?;
                orders.into_iter().map(credited_item).collect()
            }
            Figure::Arm(trial, window, arm) => {
                let cohort = Cohort { store, trial, span, window };
                let orders = behind::orders(conn, &cohort, &arm, now, after.as_ref(), limit)?;
                orders.into_iter().map(arm_order_item).collect()
            }
        };
        let place = |item: &OrderItem| format!("{}.{}", item.placed_at.0, item.order_id);
        Ok(Json(Page::of(items, limit, place)))
    })
    .await
}

/// The customers behind an arm's figures, who became eligible last first.
pub async fn customers(
    key: ApiKey,
    app: Data<App>,
    rule: Path<String>,
    ask: Query<Ask>,
    days: Query<Days>,
) -> Result<Json<Page<CustomerItem>>, Problem> {
    let (now, limit) = (app.clock.now(), limit(ask.limit.as_deref())?);
    let after: Option<Place> = cursor(ask.cursor.as_deref())?;
    let after = after.map(|place| (Timestamp(place.at), place.id));
    read(&app, &key, move |conn, store| {
        let span: Span = days.span(store, now)?;
        let whom = ask.whom()?;
        let Figure::Arm(trial, window, arm) = ask.figure(conn, store, &rule)? else {
            return Err(Problem::bad_request(
                "figure: customers are behind treatment, holdout and variant; behind `credited` are orders",
            ));
        };
        let cohort = Cohort { store, trial, span, window };
        let found = behind::customers(conn, &cohort, &arm, whom, now, after, limit)?;
        let items: Vec<CustomerItem> =
            found.into_iter().map(|one| customer_item(one, &store.currency)).collect();
        let place = |item: &CustomerItem| {
            Place { at: item.assigned_at.0, id: item.customer_id.0 }.to_string()
        };
        Ok(Json(Page::of(items, limit, place)))
    })
    .await
}

fn item(order: Order) -> OrderItem {
    OrderItem {
        total: order.total(),
        refunded: order.refunded(),
        net: order.net(),
        order_id: order.order_id,
        customer_id: order.customer_id,
        placed_at: order.placed_at,
        message_id: None,
        by: None,
        assigned_at: None,
    }
}

fn credited_item(found: CreditedOrder) -> OrderItem {
    OrderItem {
        message_id: Some(found.message_id),
        by: Some(if found.clicked { "click" } else { "send" }),
        ..item(found.order)
    }
}

fn arm_order_item(found: ArmOrder) -> OrderItem {
    OrderItem { assigned_at: Some(found.assigned_at), ..item(found.order) }
}

fn customer_item(one: ArmCustomer, currency: &Currency) -> CustomerItem {
    CustomerItem {
        customer_id: one.customer_id,
        assigned_at: one.assigned_at,
        orders: one.orders,
        revenue: Money::new(one.revenue, currency.clone()),
    }
}
