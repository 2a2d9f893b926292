//! The at-risk list: an index range of what the last scoring found, and what is told of each customer on it.

use std::str::FromStr;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, SmallInt, Text};

use super::store::{ANY_SEGMENT, Shown, rfm, shown_run};
use super::why_now::{Language, Silence, why_now};
use super::{Rfm, gap};
use crate::db::{Conn, Prepared};
use crate::each_backend;
use crate::primitives::{Currency, CustomerId, Money, Timestamp};
use crate::stores::Store;

/// What is asked of the at-risk list.
#[derive(Debug, Clone, PartialEq)]
pub struct WorklistQuery {
    pub segment: Option<String>,
    /// In minor units: of the value at risk, and of the net spend where that is not known.
    pub min_value: Option<i64>,
    pub after: Option<WorklistPlace>,
    pub limit: i64,
    pub language: Language,
}

impl WorklistQuery {
    pub fn first(limit: i64, language: Language) -> Self {
        Self { segment: None, min_value: None, after: None, limit, language }
    }
}

/// A place on the list: the rank's bits, which keep every digit, and the customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorklistPlace {
    pub rank: f64,
    pub customer: CustomerId,
}

impl std::fmt::Display for WorklistPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{}", self.rank.to_bits(), self.customer)
    }
}

impl FromStr for WorklistPlace {
    type Err = &'static str;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let invalid = "this cursor was not given out by this list";
        let (bits, customer) = raw.split_once('.').ok_or(invalid)?;
        let rank = f64::from_bits(u64::from_str_radix(bits, 16).map_err(|_| invalid)?);
        let customer = customer.parse().map_err(|_| invalid)?;
        if rank.is_finite() { Ok(Self { rank, customer }) } else { Err(invalid) }
    }
}

/// A page of the at-risk list. Times relate to the scoring's `as_of`.
#[derive(Debug, Clone, PartialEq)]
pub struct Worklist {
    /// `None`: nothing is scored yet.
    pub as_of: Option<Timestamp>,
    pub historic: bool,
    pub items: Vec<WorklistItem>,
    pub next: Option<WorklistPlace>,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct WorklistCustomer {
    pub id: CustomerId,
    pub external_id: Option<String>,
    pub email: Option<String>,
    pub name: Option<String>,
}

/// One line of the worklist, in the contract's shape.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct WorklistItem {
    pub customer: WorklistCustomer,
    pub segment: String,
    pub rfm: Rfm,
    pub orders_count: i32,
    /// Net of refunds.
    pub spent: Money,
    pub last_order_at: Timestamp,
    pub days_since_last_order: f64,
    pub usual_gap_days: Option<f64>,
    /// By how many usual gaps the next order is late.
    pub overdue: f64,
    pub p_alive: Option<f64>,
    pub expected_orders_90d: Option<f64>,
    pub value_at_risk: Option<Money>,
    pub why_now: String,
    pub next_message_at: Option<Timestamp>,
}

#[derive(Queryable)]
struct WorklistRow {
    customer_id: CustomerId,
    external_id: Option<String>,
    email: Option<String>,
    name: Option<String>,
    segment: String,
    r: i16,
    f: i16,
    m: i16,
    orders_count: i32,
    frequency: i32,
    spent: i64,
    last_order_at: Option<Timestamp>,
    usual_gap_days: Option<f64>,
    p_alive: Option<f64>,
    p_order_90d: Option<f64>,
    expected_orders_90d: Option<f64>,
    value_at_risk: Option<i64>,
    risk_rank: f64,
    next_message_at: Option<Timestamp>,
}

type Columns = (
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Text,
    SmallInt,
    SmallInt,
    SmallInt,
    Integer,
    Integer,
    BigInt,
    Nullable<BigInt>,
    Nullable<Double>,
    Nullable<Double>,
    Nullable<Double>,
    Nullable<Double>,
    Nullable<BigInt>,
    Double,
    Nullable<BigInt>,
);

/// The at-risk list from `query.after` on: an index range, whatever the store's size.
pub fn worklist(conn: &mut Conn, store: &Store, query: &WorklistQuery) -> QueryResult<Worklist> {
    let Some(shown) = shown_run(conn, store.id)? else {
        return Ok(Worklist { as_of: None, historic: false, items: vec![], next: None });
    };
    let Shown { as_of, historic, edition, .. } = shown;
    let mut page: Prepared<Columns> = Prepared::new(format!(
        "SELECT s.customer_id, c.external_id, c.email, c.name, s.segment, s.r, s.f, s.m, s.orders_count, s.frequency, \
         s.spent, s.last_order_at, s.usual_gap_days, s.p_alive, s.p_order_90d, s.expected_orders_90d, s.value_at_risk, \
         l.risk_rank, \
         (SELECT MIN(m.scheduled_at) FROM messages m WHERE m.customer_id = s.customer_id AND m.status = 'scheduled' AND NOT m.shadow) \
         AS next_message_at \
         FROM at_risk_list l JOIN {} s ON s.customer_id = l.customer_id JOIN customers c ON c.id = l.customer_id \
         WHERE c.erased_at IS NULL AND c.merged_into IS NULL AND l.store_id = ",
        shown.table()
    ))
    .value(store.id.0);
    page = page.sql(" AND l.edition = ").value(edition);
    page = page.sql(" AND l.segment = ");
    page = page.text(query.segment.clone().unwrap_or_else(|| ANY_SEGMENT.to_owned()));
    if let Some(min_value) = query.min_value {
        page = page.sql(" AND l.value >= ").value(min_value);
    }
    if let Some(WorklistPlace { rank, customer }) = query.after {
        // The first half is a range of the index, the second settles ties.
        page = page.sql(" AND l.risk_rank <= ").value(rank);
        page = page.sql(" AND (l.risk_rank < ").value(rank);
        page = page.sql(" OR l.customer_id > ").value(customer.0).sql(")");
    }
    page = page.sql(" ORDER BY l.risk_rank DESC, l.customer_id LIMIT ").value(query.limit);
    let rows: Vec<WorklistRow> = each_backend!(conn, c => page.load(c))?;

    let next = rows
        .last()
        .filter(|_| rows.len() as i64 == query.limit)
        .map(|row| WorklistPlace { rank: row.risk_rank, customer: row.customer_id });
    let items = rows
        .into_iter()
        .filter_map(|row| item(row, as_of, &store.currency, query.language))
        .collect();
    Ok(Worklist { as_of: Some(as_of), historic, items, next })
}

fn item(
    row: WorklistRow,
    as_of: Timestamp,
    currency: &Currency,
    language: Language,
) -> Option<WorklistItem> {
    // A buyer has a last order; a row without one was made by hand.
    let last_order_at = row.last_order_at?;
    let days_since_last_order = as_of.days_since(last_order_at).max(0.0);
    let silence = Silence {
        order_days: row.frequency,
        days_since_last_order,
        usual_gap_days: row.usual_gap_days,
        p_order_90d: row.p_order_90d,
    };
    let money = |minor| Money::new(minor, currency.clone());
    Some(WorklistItem {
        customer: WorklistCustomer {
            id: row.customer_id,
            external_id: row.external_id,
            email: row.email,
            name: row.name,
        },
        segment: row.segment,
        rfm: rfm(row.r, row.f, row.m),
        orders_count: row.orders_count,
        spent: money(row.spent),
        last_order_at,
        days_since_last_order: round_to(days_since_last_order, 10.0),
        usual_gap_days: row.usual_gap_days.map(|gap| round_to(gap, 10.0)),
        overdue: round_to(gap::overdue(days_since_last_order, row.usual_gap_days), 100.0),
        p_alive: row.p_alive.map(shown_estimate),
        expected_orders_90d: row.expected_orders_90d.map(shown_estimate),
        value_at_risk: row.value_at_risk.map(money),
        why_now: why_now(silence, language),
        next_message_at: row.next_message_at,
    })
}

/// An estimate as it is shown: to four places, which is already more than it knows.
pub fn shown_estimate(value: f64) -> f64 {
    round_to(value, 10_000.0)
}

/// Days to a tenth: more digits than a day's noise has say nothing.
fn round_to(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}
