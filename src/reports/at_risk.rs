//! The worklist: who is slipping away, most at stake first.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, SmallInt, Text};

use super::{CAP, Shown, capped_count, id_list};
use crate::db::Conn;
use crate::primitives::{CustomerId, RuleId, Timestamp};
use crate::stores::Store;

/// The segments whose members are listed (design: Precisely).
pub const SEGMENTS: [&str; 4] = ["cant_lose_them", "at_risk", "need_attention", "about_to_sleep"];

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Of `SEGMENTS`; empty: all.
    pub segments: Vec<&'static str>,
    /// Net spend so far, minor units.
    pub min_spent: i64,
    /// Ticked ones; empty: all.
    pub customers: Vec<CustomerId>,
}

/// Where the page before ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cursor {
    pub rank: f64,
    pub customer: CustomerId,
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub email: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub external_id: Option<String>,
    #[diesel(sql_type = Text)]
    pub consent: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub suppressed: Option<String>,
    #[diesel(sql_type = Text)]
    pub segment: String,
    #[diesel(sql_type = SmallInt)]
    pub r: i16,
    #[diesel(sql_type = SmallInt)]
    pub f: i16,
    #[diesel(sql_type = SmallInt)]
    pub m: i16,
    #[diesel(sql_type = Double)]
    pub days_since: f64,
    #[diesel(sql_type = Integer)]
    pub frequency: i32,
    #[diesel(sql_type = Integer)]
    pub orders_count: i32,
    #[diesel(sql_type = BigInt)]
    pub spent: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub last_order_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Double>)]
    pub usual_gap_days: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub p_order_90d: Option<f64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub value_at_risk: Option<i64>,
    #[diesel(sql_type = Double)]
    pub risk_rank: f64,
}

impl Filter {
    /// Those of one segment who pass, or of all where it is empty: something to select from, named `l`.
    fn list(&self, store: &Store, shown: Shown, segment: &str) -> String {
        let (store, edition) = (store.id.0, shown.edition);
        let mut list = match self.customers.is_empty() {
            true => format!(
                "at_risk_list WHERE store_id = {store} AND edition = {edition} AND segment = '{segment}'"
            ),
            // Found by themselves: the list is in no order of theirs.
            false => format!(
                "{} WHERE store_id = {store} AND risk_rank IS NOT NULL AND customer_id IN ({}){}",
                shown.table(),
                id_list(self.customers.iter().map(|c| c.0)),
                if segment.is_empty() {
                    String::new()
                } else {
                    format!(" AND segment = '{segment}'")
                },
            ),
        };
        if self.min_spent > 0 {
            list += &format!(" AND spent >= {}", self.min_spent);
        }
        format!("(SELECT customer_id, risk_rank, spent FROM {list}) l")
    }

    /// The segments whose parts of the list are asked; an empty one stands for all.
    fn parts(&self) -> &[&'static str] {
        if self.segments.is_empty() { &[""] } else { &self.segments }
    }
}

/// The next `limit` of the list after `after`. Of several segments each is asked by itself, then merged.
pub fn page(
    conn: &mut Conn,
    store: &Store,
    shown: Shown,
    filter: &Filter,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let mut rows = Vec::new();
    for segment in filter.parts() {
        rows.extend(part(conn, shown, &filter.list(store, shown, segment), after, limit)?);
    }
    rows.sort_by(|a, b| {
        b.risk_rank.total_cmp(&a.risk_rank).then(a.customer_id.cmp(&b.customer_id))
    });
    rows.truncate(limit as usize);
    Ok(rows)
}

fn part(
    conn: &mut Conn,
    shown: Shown,
    list: &str,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let cursor = if after.is_some() {
        "AND l.risk_rank <= $1 AND (l.risk_rank < $2 OR l.customer_id > $3)"
    } else {
        ""
    };
    let sql = format!(
        "SELECT l.customer_id, c.name, c.email, c.external_id, c.consent, x.reason AS suppressed, s.segment, s.r, s.f, s.m, \
         CAST({} - COALESCE(s.last_order_at, 0) AS DOUBLE PRECISION) / 86400000000.0 AS days_since, s.frequency, s.orders_count, s.spent, s.last_order_at, s.usual_gap_days, s.p_order_90d, s.value_at_risk, l.risk_rank \
         FROM {list} JOIN {} s ON s.customer_id = l.customer_id JOIN customers c ON c.id = l.customer_id \
         LEFT JOIN suppressions x ON x.store_id = c.store_id AND x.email_key = c.email_key \
         WHERE c.erased_at IS NULL AND c.merged_into IS NULL {cursor} \
         ORDER BY l.risk_rank DESC, l.customer_id LIMIT {limit}",
        shown.as_of.0,
        shown.table(),
    );
    let query = diesel::sql_query(sql);
    match after {
        Some(Cursor { rank, customer }) => query
            .bind::<Double, _>(rank)
            .bind::<Double, _>(rank)
            .bind::<BigInt, _>(customer)
            .load(conn),
        None => query.load(conn),
    }
}

/// How many, at most `CAP` + 1, and what they spent so far where the count is whole.
pub fn size(
    conn: &mut Conn,
    store: &Store,
    shown: Shown,
    filter: &Filter,
) -> QueryResult<(i64, Option<i64>)> {
    #[derive(QueryableByName)]
    struct Part {
        #[diesel(sql_type = BigInt)]
        customers: i64,
        #[diesel(sql_type = BigInt)]
        spent: i64,
    }
    let (mut customers, mut spent) = (0, 0);
    for segment in filter.parts() {
        let sql = format!(
            "SELECT COUNT(*) AS customers, CAST(COALESCE(SUM(spent), 0) AS BIGINT) AS spent \
             FROM (SELECT l.spent FROM {} LIMIT {}) AS counted",
            filter.list(store, shown, segment),
            CAP + 1
        );
        let part: Part = diesel::sql_query(sql).get_result(conn)?;
        customers += part.customers;
        spent += part.spent;
    }
    if customers > CAP {
        return Ok((CAP + 1, None));
    }
    Ok((customers, Some(spent)))
}

/// How many are on the list, at most `CAP` + 1.
pub fn count(conn: &mut Conn, store: &Store, shown: Shown) -> QueryResult<i64> {
    capped_count(conn, &format!("FROM {}", Filter::default().list(store, shown, "")))
}

/// The next planned message of a customer.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Planned {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    pub message_id: i64,
    #[diesel(sql_type = BigInt)]
    pub rule_id: RuleId,
    #[diesel(sql_type = Integer)]
    pub step: i32,
    #[diesel(sql_type = BigInt)]
    pub scheduled_at: Timestamp,
    #[diesel(sql_type = Nullable<Text>)]
    pub held_for: Option<String>,
}

/// Each customer's earliest scheduled message.
pub fn next_messages(
    conn: &mut Conn,
    customers: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, Planned>> {
    if customers.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<Planned> = diesel::sql_query(format!(
        "SELECT customer_id, id AS message_id, rule_id, step, scheduled_at, held_for FROM messages \
         WHERE customer_id IN ({}) AND status = 'scheduled' ORDER BY scheduled_at DESC, id DESC",
        id_list(customers.iter().map(|c| c.0)),
    ))
    .load(conn)?;
    // The earliest comes last and stays.
    Ok(rows.into_iter().map(|row| (row.customer_id, row)).collect())
}

/// What the ledger last said of a customer.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct LastWord {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    pub at: Timestamp,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
}

pub fn last_words(
    conn: &mut Conn,
    customers: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, LastWord>> {
    if customers.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = id_list(customers.iter().map(|c| c.0));
    let rows: Vec<LastWord> = diesel::sql_query(format!(
        "SELECT d.customer_id, d.at, d.outcome, d.reason FROM decisions d JOIN \
         (SELECT customer_id, MAX(id) AS id FROM decisions WHERE customer_id IN ({ids}) GROUP BY customer_id) l \
         ON l.customer_id = d.customer_id AND l.id = d.id WHERE d.customer_id IN ({ids})",
    ))
    .load(conn)?;
    Ok(rows.into_iter().map(|row| (row.customer_id, row)).collect())
}
