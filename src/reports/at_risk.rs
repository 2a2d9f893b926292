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
    fn sql(&self) -> String {
        let mut sql = String::new();
        if !self.segments.is_empty() {
            let list: Vec<String> = self.segments.iter().map(|s| format!("'{s}'")).collect();
            sql.push_str(&format!(" AND s.segment IN ({})", list.join(",")));
        }
        if !self.customers.is_empty() {
            let ids = id_list(self.customers.iter().map(|c| c.0));
            sql.push_str(&format!(" AND s.customer_id IN ({ids})"));
        }
        if self.min_spent > 0 {
            sql.push_str(&format!(" AND s.spent >= {}", self.min_spent));
        }
        sql
    }
}

/// The next `limit` of the list after `after`. Of several segments each is asked by its own index, then merged.
pub fn page(
    conn: &mut Conn,
    store: &Store,
    shown: Shown,
    filter: &Filter,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    if filter.segments.len() < 2 {
        return part(conn, store, shown, filter, after, limit);
    }
    let mut rows = Vec::new();
    for segment in &filter.segments {
        let one = Filter { segments: vec![segment], ..filter.clone() };
        rows.extend(part(conn, store, shown, &one, after, limit)?);
    }
    rows.sort_by(|a, b| {
        b.risk_rank.total_cmp(&a.risk_rank).then(a.customer_id.cmp(&b.customer_id))
    });
    rows.truncate(limit as usize);
    Ok(rows)
}

fn part(
    conn: &mut Conn,
    store: &Store,
    shown: Shown,
    filter: &Filter,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let cursor = if after.is_some() {
        "AND s.risk_rank <= $1 AND (s.risk_rank < $2 OR s.customer_id > $3)"
    } else {
        ""
    };
    let sql = format!(
        "SELECT s.customer_id, c.name, c.email, c.external_id, c.consent, x.reason AS suppressed, s.segment, s.r, s.f, s.m, \
         CAST({} - COALESCE(s.last_order_at, 0) AS DOUBLE PRECISION) / 86400000000.0 AS days_since, s.frequency, s.orders_count, s.spent, s.last_order_at, s.usual_gap_days, s.p_order_90d, s.value_at_risk, s.risk_rank \
         FROM {} s JOIN customers c ON c.id = s.customer_id \
         LEFT JOIN suppressions x ON x.store_id = c.store_id AND x.email_key = c.email_key \
         WHERE s.store_id = {} AND s.risk_rank IS NOT NULL AND c.erased_at IS NULL AND c.merged_into IS NULL {} {cursor} \
         ORDER BY s.risk_rank DESC, s.customer_id LIMIT {limit}",
        shown.as_of.0,
        shown.table(),
        store.id.0,
        filter.sql(),
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
    let from = format!(
        "FROM {} s WHERE s.store_id = {} AND s.risk_rank IS NOT NULL {}",
        shown.table(),
        store.id.0,
        filter.sql()
    );
    let count = capped_count(conn, &from)?;
    if count > CAP {
        return Ok((count, None));
    }
    #[derive(QueryableByName)]
    struct Sum {
        #[diesel(sql_type = BigInt)]
        spent: i64,
    }
    let sql = format!("SELECT CAST(COALESCE(SUM(s.spent), 0) AS BIGINT) AS spent {from}");
    let sum: Sum = diesel::sql_query(sql).get_result(conn)?;
    Ok((count, Some(sum.spent)))
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
