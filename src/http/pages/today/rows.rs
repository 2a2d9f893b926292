//! `/today/{rows}`: the orders, buyers or visitors of a span, page by page.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words;
use crate::primitives::{CustomerId, Timestamp};
use crate::reports::credit::Span;
use crate::reports::customers;
use crate::reports::rows::{self as report, Person};

/// Rows of a page.
const ROWS: i64 = 50;

/// Where a figure of a span leads: `what` is `orders`, `buyers` or `visitors`.
pub fn href(what: &str, from: Timestamp, until: Timestamp) -> String {
    format!("/today/{what}?from={}&until={}", from.0, until.0)
}

#[derive(Debug, Default, Serialize)]
pub struct RowsPage {
    pub what: String,
    pub head: String,
    pub sub: String,
    pub note: String,
    pub tabs: Vec<Tab>,
    pub rows: Vec<Row>,
    pub next: String,
    pub first: String,
    pub shown: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Tab {
    pub href: String,
    pub name: String,
    pub current: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Row {
    /// Of an order.
    pub order: String,
    pub status: String,
    pub who: String,
    pub href: String,
    pub when: String,
    pub exact: String,
    /// Orders of a buyer, visits of a visitor.
    pub times: String,
    /// Money of orders; products viewed in visits.
    pub sum: String,
}

#[derive(Deserialize)]
pub struct Query {
    /// Microseconds since 1970.
    from: Option<i64>,
    until: Option<i64>,
    after: Option<String>,
}

struct Found {
    at: Timestamp,
    /// By which a page ends, beside the time.
    id: String,
    customer: CustomerId,
    row: Row,
}

pub async fn page(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, PageError> {
    const WHAT: [&str; 3] = ["orders", "buyers", "visitors"];
    let what = WHAT.into_iter().find(|what| *what == *path).ok_or(PageError::NotFound)?;
    let start = desk.store.timezone.start_of(desk.now.day_in(&desk.store.timezone));
    let span = Span {
        from: query.from.map_or(start, Timestamp),
        until: query.until.map_or(desk.now, Timestamp),
    };
    let after = query.after.as_deref().and_then(parse);
    let is_further = after.is_some();
    let (store, format) = (desk.store.clone(), desk.format.clone());
    let (found, called) = desk
        .read(move |conn| {
            let limit = ROWS + 1;
            let found: Vec<Found> = match what {
                "orders" => report::orders(conn, &store, span, after.as_ref(), limit)?
                    .into_iter()
                    .map(|order| Found {
                        at: order.placed_at,
                        id: order.order_id.clone(),
                        customer: order.customer_id,
                        row: Row {
                            status: words::known(&format, "order_status", &order.status),
                            sum: format.money_of(order.total, &order.currency),
                            order: order.order_id,
                            ..Row::default()
                        },
                    })
                    .collect(),
                _ => {
                    let after = after.and_then(|(at, id)| Some((at, id.parse().ok()?)));
                    let is_money = what == "buyers";
                    let people = match is_money {
                        true => report::buyers(conn, &store, span, after, limit)?,
                        false => report::visitors(conn, &store, span, after, limit)?,
                    };
                    people.into_iter().map(|one| person(&format, one, is_money)).collect()
                }
            };
            let ids: Vec<CustomerId> = found.iter().map(|one| one.customer).collect();
            let called = customers::called(conn, store.id, &ids)?;
            Ok::<_, DbError>((found, called))
        })
        .await?;
    let format = &desk.format;
    let base = href(what, span.from, span.until);
    let more = found.len() as i64 > ROWS;
    let found: Vec<Found> = found.into_iter().take(ROWS as usize).collect();
    let next = found.last().filter(|_| more).map_or(String::new(), |last| {
        let id: String = url::form_urlencoded::byte_serialize(last.id.as_bytes()).collect();
        format!("{base}&after={}_{id}", last.at.0)
    });
    let rows = found.into_iter().map(|one| Row {
        who: words::called(format, &called, one.customer),
        href: format!("/customers/{}", one.customer),
        when: format.when(one.at),
        exact: format.exact(one.at),
        ..one.row
    });
    let rows: Vec<Row> = rows.collect();
    let page = RowsPage {
        what: what.to_owned(),
        head: format.text(&format!("rows.{what}"), &[]),
        sub: format.text(
            "rows.span",
            &[("from", &format.when(span.from)), ("until", &format.when(span.until))],
        ),
        note: format.text(&format!("rows.{what}_are"), &[]),
        tabs: WHAT
            .into_iter()
            .map(|one| Tab {
                href: href(one, span.from, span.until),
                name: format.text(&format!("rows.{one}"), &[]),
                current: one == what,
            })
            .collect(),
        shown: format.count("pager.shown", rows.len() as i64),
        rows,
        next,
        first: if is_further { base } else { String::new() },
    };
    desk.page(Room::Today, &page)
}

fn person(format: &Format, one: Person, is_money: bool) -> Found {
    Found {
        at: one.at,
        id: one.customer_id.0.to_string(),
        customer: one.customer_id,
        row: Row {
            times: format.number(one.times),
            sum: if is_money { format.money_exact(one.sum) } else { format.number(one.sum) },
            ..Row::default()
        },
    }
}

fn parse(raw: &str) -> Option<(Timestamp, String)> {
    let (at, id) = raw.split_once('_')?;
    Some((Timestamp(at.parse().ok()?), id.to_owned()))
}

impl Screen for RowsPage {
    const TEMPLATE: &'static str = "today-rows.html";

    fn samples() -> Vec<Self> {
        let of = |what: &str| Self {
            what: what.into(),
            tabs: vec![Tab { current: true, ..Tab::default() }, Tab::default()],
            rows: vec![Row { status: "paid".into(), ..Row::default() }],
            next: "/next".into(),
            first: "/first".into(),
            ..Self::default()
        };
        vec![of("orders"), of("buyers"), of("visitors"), Self::default()]
    }
}
