//! The score of one customer, as it is shown.

use diesel::prelude::*;

use super::runs::{Shown, Table, shown_run};
use super::scores::{StoredForecast, stored_between};
use crate::db::Conn;
use crate::db::schema::segment_history;
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::scoring::{Kind, Rfm};

/// The score of one customer, as shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredCustomer {
    pub as_of: Timestamp,
    pub kind: Kind,
    pub segment: String,
    /// When the segment was entered; unknown in a look into the past.
    pub segment_since: Option<Timestamp>,
    pub rfm: Rfm,
    pub last_order_at: Option<Timestamp>,
    pub usual_gap_days: Option<f64>,
    pub forecast: StoredForecast,
    /// On the at-risk list.
    pub at_risk: bool,
    pub at_risk_since: Option<Timestamp>,
}

/// The shown score of a customer; `None` where there is none yet.
pub fn score_of(
    conn: &mut Conn,
    store: StoreId,
    customer: CustomerId,
) -> QueryResult<Option<ScoredCustomer>> {
    let Some(Shown { as_of, historic, .. }) = shown_run(conn, store)? else { return Ok(None) };
    let row = stored_between(conn, Table::shown(historic), store, customer, customer)?.pop();
    Ok(row.map(|row| ScoredCustomer {
        as_of,
        kind: row.kind,
        segment_since: (!historic).then_some(row.segment_since),
        rfm: rfm(row.r, row.f, row.m),
        segment: row.segment,
        last_order_at: row.last_order_at,
        usual_gap_days: row.usual_gap_days,
        forecast: row.forecast,
        at_risk: row.risk_rank.is_some(),
        at_risk_since: row.at_risk_since,
    }))
}

/// When the customer entered which segment, newest first.
pub fn history_of(conn: &mut Conn, customer: CustomerId) -> QueryResult<Vec<(Timestamp, String)>> {
    segment_history::table
        .filter(segment_history::customer_id.eq(customer))
        .order(segment_history::since.desc())
        .select((segment_history::since, segment_history::segment))
        .load(conn)
}

pub(in crate::scoring) fn rfm(r: i16, f: i16, m: i16) -> Rfm {
    let score = |value: i16| value.clamp(1, 5) as u8;
    Rfm { r: score(r), f: score(f), m: score(m) }
}
