//! Who moved from which segment to which between two instants.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;

use crate::db::Conn;
use crate::db::schema::scoring_runs;
use crate::primitives::{Money, Timestamp};
use crate::rules::condition::SEGMENTS;
use crate::stores::Store;

/// The movements of a store's people, the largest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Movements {
    pub from: Timestamp,
    pub to: Timestamp,
    /// From one segment to another.
    pub moved: i64,
    /// Scored for the first time in between.
    pub entered: i64,
    pub items: Vec<Movement>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Movement {
    /// Null for who was not scored yet.
    pub from: Option<String>,
    pub to: String,
    pub customers: i64,
    /// What these people spent so far, net of refunds.
    pub revenue: Money,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Text>)]
    was: Option<String>,
    #[diesel(sql_type = Text)]
    is_now: String,
    #[diesel(sql_type = BigInt)]
    customers: i64,
    #[diesel(sql_type = BigInt)]
    spent: i64,
}

/// Whoever was in another segment at `to` than at `from`, counted by both. Who left and came back in between is not.
///
/// Before the first scoring nobody was anywhere: an earlier `from` means that scoring.
///
/// Whoever moved after `from` has entered the present segment after it: an index range, and its cost follows who moved.
pub fn movements(
    conn: &mut Conn,
    store: &Store,
    from: Timestamp,
    to: Timestamp,
) -> QueryResult<Movements> {
    let first: Option<Timestamp> = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store.id).and(scoring_runs::finished.eq(true)))
        .filter(scoring_runs::historic.eq(false))
        .order(scoring_runs::id)
        .select(scoring_runs::as_of)
        .first(conn)
        .optional()?;
    let from = first.map_or(from, |first| from.max(first));
    let names: Vec<String> = SEGMENTS.iter().map(|name| format!("'{name}'")).collect();
    let segment_at = |at: Timestamp| {
        format!(
            "(SELECT h.segment FROM segment_history h WHERE h.customer_id = s.customer_id AND h.since <= {} \
             ORDER BY h.since DESC LIMIT 1)",
            at.0
        )
    };
    let rows: Vec<Row> = diesel::sql_query(format!(
        "SELECT m.was, m.is_now, COUNT(*) AS customers, CAST(SUM(m.spent) AS BIGINT) AS spent FROM \
         (SELECT {} AS was, {} AS is_now, s.spent FROM scores s \
         WHERE s.store_id = $1 AND s.segment IN ({}) AND s.segment_since > $2) AS m \
         WHERE m.is_now IS NOT NULL AND (m.was IS NULL OR m.was <> m.is_now) GROUP BY m.was, m.is_now",
        segment_at(from),
        segment_at(to),
        names.join(", "),
    ))
    .bind::<BigInt, _>(store.id)
    .bind::<BigInt, _>(from)
    .load(conn)?;
    let count = |moved: bool| {
        rows.iter().filter(|row| row.was.is_some() == moved).map(|row| row.customers).sum()
    };
    let (moved, entered) = (count(true), count(false));
    let mut items: Vec<Movement> = rows
        .into_iter()
        .map(|row| Movement {
            from: row.was,
            to: row.is_now,
            customers: row.customers,
            revenue: Money::new(row.spent, store.currency.clone()),
        })
        .collect();
    items.sort_by(|a, b| {
        b.customers.cmp(&a.customers).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to)))
    });
    Ok(Movements { from, to, moved, entered, items })
}
