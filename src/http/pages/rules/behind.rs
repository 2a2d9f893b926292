//! `/rules/{key}/behind`: the orders or customers behind one figure of a rule, page by page.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::effect::{Linked, SPAN};
use crate::db::{Conn, DbError};
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words;
use crate::primitives::{CustomerId, Delay, MessageId, Money, Timestamp};
use crate::reports::behind::{self as report, Whom};
use crate::reports::credit::{self, Span};
use crate::reports::customers::{self, Called};
use crate::reports::rows::order::Order;
use crate::reports::rules::{self, Listed};
use crate::reports::trial::{self, Cohort, Trial};
use crate::stores::Store;

/// Rows of a page.
const ROWS: i64 = 50;

/// One figure of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    key: String,
    of: Of,
    /// Over how many days up to now.
    days: i64,
}

/// As long as what a rule earned is looked at.
const USUAL_DAYS: i64 = SPAN.as_seconds() / 86_400;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Credited,
    Arm(&'static str),
    Variant { step: i32, name: String },
}

/// Which rows are behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    Orders,
    Customers,
    Converted,
}

impl Behind {
    pub fn credited(key: &str) -> Self {
        Self { key: key.to_owned(), of: Of::Credited, days: USUAL_DAYS }
    }

    /// Of all rules together.
    pub fn credited_to_any() -> Self {
        Self::credited(trial::GLOBAL)
    }

    pub fn arm(key: &str, arm: &'static str) -> Self {
        Self { key: key.to_owned(), of: Of::Arm(arm), days: USUAL_DAYS }
    }

    pub fn variant(key: &str, step: i32, name: &str) -> Self {
        let of = Of::Variant { step, name: name.to_owned() };
        Self { key: key.to_owned(), of, days: USUAL_DAYS }
    }

    /// Over that many days.
    pub fn within(self, days: i64) -> Self {
        Self { days: days.clamp(1, 366), ..self }
    }

    pub fn href(&self, rows: Rows) -> String {
        let rows = match rows {
            Rows::Orders => "orders",
            Rows::Customers => "customers",
            Rows::Converted => "converted",
        };
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        match &self.of {
            Of::Credited => query.append_pair("figure", "credited"),
            Of::Arm(arm) => query.append_pair("figure", arm),
            Of::Variant { step, name } => query
                .append_pair("figure", "variant")
                .append_pair("step", &step.to_string())
                .append_pair("variant", name),
        };
        if self.days != USUAL_DAYS {
            query.append_pair("days", &self.days.to_string());
        }
        format!("/rules/{}/behind?{}", self.key, query.append_pair("rows", rows).finish())
    }

    pub fn linked(&self, rows: Rows, text: String) -> Linked {
        Linked { href: self.href(rows), text }
    }

    pub fn head(&self, format: &Format, rows: Rows) -> String {
        let rows = match rows {
            Rows::Orders => "orders",
            Rows::Customers => "customers",
            Rows::Converted => "converted",
        };
        match &self.of {
            Of::Credited => format.text("effect.orders_credited", &[]),
            Of::Arm(arm) => format.text(&format!("effect.{rows}_{arm}"), &[]),
            Of::Variant { name, .. } => {
                format.text(&format!("effect.{rows}_variant"), &[("name", name)])
            }
        }
    }
}

#[derive(Debug, Default, Serialize)]
pub struct BehindPage {
    pub key: String,
    pub rule: String,
    pub href: String,
    pub head: String,
    pub sub: String,
    pub note: String,
    pub rows: Vec<Row>,
    /// The rows are orders, else customers.
    pub of_orders: bool,
    pub next: String,
    pub first: String,
    pub shown: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Row {
    pub when: String,
    pub exact: String,
    pub order: String,
    pub who: String,
    pub href: String,
    pub net: String,
    /// Of a credited order: by what; with the mail's page.
    pub why: Linked,
    pub orders: String,
}

#[derive(Deserialize)]
pub struct Query {
    figure: Option<String>,
    rows: Option<Rows>,
    step: Option<i32>,
    variant: Option<String>,
    days: Option<i64>,
    after: Option<String>,
}

impl Query {
    fn behind(&self, key: &str) -> Option<Behind> {
        Some(match self.figure.as_deref() {
            None | Some("credited") => Behind::credited(key),
            Some("treatment") => Behind::arm(key, "treatment"),
            Some("holdout") => Behind::arm(key, "holdout"),
            Some("variant") => Behind::variant(key, self.step?, self.variant.as_deref()?),
            Some(_) => return None,
        })
        .map(|behind| behind.within(self.days.unwrap_or(USUAL_DAYS)))
    }

    /// Where the page before ended: a time, and an order's or a customer's id.
    fn after(&self) -> Option<(Timestamp, String)> {
        let (at, id) = self.after.as_deref()?.split_once('_')?;
        Some((Timestamp(at.parse().ok()?), id.to_owned()))
    }
}

/// A row as found: when, which order, whose, how many, how much, and the mail that it is credited to.
struct Found {
    at: Timestamp,
    order: String,
    customer: CustomerId,
    orders: i64,
    net: Money,
    by: Option<(MessageId, bool)>,
}

impl Found {
    fn of(order: Order) -> Self {
        let (at, customer, net) = (order.placed_at, order.customer_id, order.net());
        Self { at, order: order.order_id, customer, orders: 1, net, by: None }
    }
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    let (store, now, key) = (desk.store.clone(), desk.now, path.into_inner());
    let behind = query.behind(&key).ok_or(PageError::NotFound)?;
    let rows = match behind.of {
        Of::Credited => Rows::Orders,
        _ => query.rows.unwrap_or(Rows::Orders),
    };
    let (asked, after) = (behind.clone(), query.after());
    let is_further = after.is_some();
    let (rule, found, called) = desk
        .read(move |conn| {
            let rule = rules::all(conn, &store)?.into_iter().find(|rule| rule.key == key);
            if rule.is_none() && key != trial::GLOBAL {
                return Ok::<_, DbError>(None);
            }
            let found = find(conn, &store, rule.as_ref(), &asked, rows, now, after)?;
            let ids: Vec<CustomerId> = found.iter().map(|one| one.customer).collect();
            Ok(Some((rule, found, customers::called(conn, store.id, &ids)?)))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    let format = &desk.format;
    let title = match (&rule, &behind.of) {
        (Some(rule), _) => rule.title().to_owned(),
        (None, Of::Credited) => format.text("today.every_rule", &[]),
        (None, _) => format.text("effect.global", &[]),
    };
    let more = found.len() as i64 > ROWS;
    let found: Vec<Found> = found.into_iter().take(ROWS as usize).collect();
    let href = behind.href(rows);
    let next = found.last().filter(|_| more).map_or(String::new(), |last| {
        let id = match rows {
            Rows::Orders => &last.order,
            _ => &last.customer.to_string(),
        };
        let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        format!("{href}&after={}_{id}", last.at.0)
    });
    let window = rule.as_ref().map_or(trial::GLOBAL_WINDOW, |rule| trial::window(&rule.rule));
    desk.page(
        Room::Rules,
        &BehindPage {
            href: match &rule {
                Some(rule) => format!("/rules/{}#effect", rule.key),
                None => "/rules#effect".to_owned(),
            },
            key: rule.as_ref().map_or_else(|| title.clone(), |rule| rule.key.clone()),
            rule: title,
            head: behind.head(format, rows),
            sub: format.text("effect.days", &[("n", &format.number(behind.days))]),
            note: note(format, &behind, window),
            of_orders: rows == Rows::Orders,
            shown: format.count("pager.shown", found.len() as i64),
            rows: found.into_iter().map(|one| row(format, one, &called)).collect(),
            next,
            first: if is_further { href } else { String::new() },
        },
    )
}

fn find(
    conn: &mut Conn,
    store: &Store,
    rule: Option<&Listed>,
    behind: &Behind,
    rows: Rows,
    now: Timestamp,
    after: Option<(Timestamp, String)>,
) -> diesel::QueryResult<Vec<Found>> {
    let span = Span { from: now.minus(Delay::days(behind.days)), until: now };
    let (limit, after_order) = (ROWS + 1, after.as_ref());
    let (trial, arm) = match (&behind.of, rule) {
        (Of::Credited, rule) => {
            let rule = rule.map(|rule| rule.id);
            let orders = credit::orders(conn, store, rule, span, after_order, limit)?;
            let found = orders.into_iter().map(|credited| Found {
                by: Some((credited.message_id, credited.clicked)),
                ..Found::of(credited.order)
            });
            return Ok(found.collect());
        }
        (Of::Arm(arm), None) => (Trial::Global, *arm),
        (Of::Arm(arm), Some(rule)) => (Trial::Holdout(rule.id), *arm),
        (Of::Variant { step, name }, Some(rule)) => {
            (Trial::Wording { rule: rule.id, step: *step }, name.as_str())
        }
        (Of::Variant { .. }, None) => return Ok(Vec::new()),
    };
    let window = rule.map_or(trial::GLOBAL_WINDOW, |rule| trial::window(&rule.rule));
    let cohort = Cohort { store, trial, span, window };
    let whom = match rows {
        Rows::Orders => {
            let orders = report::orders(conn, &cohort, arm, now, after_order, limit)?;
            return Ok(orders.into_iter().map(|of_arm| Found::of(of_arm.order)).collect());
        }
        Rows::Customers => Whom::All,
        Rows::Converted => Whom::Converted,
    };
    let after = after.and_then(|(at, id)| Some((at, id.parse().ok()?)));
    let found = report::customers(conn, &cohort, arm, whom, now, after, limit)?;
    Ok(found
        .into_iter()
        .map(|one| Found {
            at: one.assigned_at,
            order: String::new(),
            customer: one.customer_id,
            orders: one.orders,
            net: Money::new(one.revenue, store.currency.clone()),
            by: None,
        })
        .collect())
}

fn note(format: &Format, behind: &Behind, window: Delay) -> String {
    match behind.of {
        Of::Credited => format.text("effect.credited_is", &[]),
        _ => {
            let days = format.number(window.as_seconds() / 86_400);
            format.text("effect.behind_arm", &[("days", &days)])
        }
    }
}

fn row(format: &Format, one: Found, called: &HashMap<CustomerId, Called>) -> Row {
    Row {
        when: format.when(one.at),
        exact: format.exact(one.at),
        order: one.order,
        who: words::called(format, called, one.customer),
        href: format!("/customers/{}", one.customer),
        net: format.money_of(one.net.minor, &one.net.currency),
        why: one.by.map_or_else(Linked::default, |(message, clicked)| Linked {
            href: format!("/outbox/{message}"),
            text: format.text(if clicked { "effect.by_click" } else { "effect.by_send" }, &[]),
        }),
        orders: format.number(one.orders),
    }
}

impl Screen for BehindPage {
    const TEMPLATE: &'static str = "behind.html";

    fn samples() -> Vec<Self> {
        let why = Linked { href: "/outbox/1".into(), text: "after a click".into() };
        let orders = vec![Row { why, ..Row::default() }, Row::default()];
        vec![
            Self { rows: orders, of_orders: true, next: "/next".into(), ..Self::default() },
            Self { rows: vec![Row::default()], first: "/first".into(), ..Self::default() },
            Self::default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_leads_to_its_rows_whatever_a_wording_is_called() {
        let query = |href: &str| {
            let (_, query) = href.split_once('?').unwrap();
            web::Query::<Query>::from_query(query).unwrap().into_inner()
        };
        for behind in [
            Behind::credited("browse"),
            Behind::arm("browse", "holdout"),
            Behind::variant("browse", 2, "50 % & 谢谢"),
        ] {
            let read = query(&behind.href(Rows::Converted));
            assert_eq!((read.behind("browse"), read.rows), (Some(behind), Some(Rows::Converted)));
        }
        assert_eq!(query("?figure=all").behind("browse"), None);
        let after = query("?after=17_A_9").after();
        assert_eq!(after, Some((Timestamp(17), "A_9".to_owned())));
    }
}
