//! What runs learnt: parameters, the measure of the store, and the report on them.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

use crate::db::Conn;
use crate::db::schema::learnings;
use crate::primitives::{StoreId, Timestamp};
use crate::scoring::assess::Measure;
use crate::scoring::learning::{Learning, Report};

/// How many learnings are kept: enough to see how predictions drift.
const LEARNINGS_KEPT: i64 = 60;

/// Keeps what was learnt, and forgets the oldest.
pub(in crate::scoring) fn keep_learning(
    conn: &mut Conn,
    store: StoreId,
    as_of: Timestamp,
    now: Timestamp,
    learning: &Learning,
    measure: &Measure,
    report: &Report,
) -> QueryResult<()> {
    let json =
        |error: serde_json::Error| diesel::result::Error::SerializationError(Box::new(error));
    let newest: Option<i64> = learnings::table
        .filter(learnings::store_id.eq(store))
        .select(diesel::dsl::max(learnings::id))
        .first(conn)?;
    let id = newest.unwrap_or(0) + 1;
    diesel::insert_into(learnings::table)
        .values((
            learnings::store_id.eq(store),
            learnings::id.eq(id),
            learnings::as_of.eq(as_of),
            learnings::learned_at.eq(now),
            learnings::document.eq(serde_json::to_string(learning).map_err(json)?),
            learnings::measure.eq(serde_json::to_string(measure).map_err(json)?),
            learnings::report.eq(serde_json::to_string(report).map_err(json)?),
        ))
        .execute(conn)?;
    diesel::delete(learnings::table)
        .filter(learnings::store_id.eq(store).and(learnings::id.le(id - LEARNINGS_KEPT)))
        .execute(conn)?;
    Ok(())
}

/// Keeps the measure of a run that learnt nothing new.
pub(in crate::scoring) fn keep_measure(
    conn: &mut Conn,
    store: StoreId,
    measure: &Measure,
) -> QueryResult<()> {
    let json = serde_json::to_string(measure)
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
    sql_query(
        "UPDATE learnings SET measure = $1 WHERE store_id = $2 \
         AND id = (SELECT MAX(id) FROM learnings WHERE store_id = $3)",
    )
    .bind::<Text, _>(json)
    .bind::<BigInt, _>(store)
    .bind::<BigInt, _>(store)
    .execute(conn)?;
    Ok(())
}

/// What the last live run learnt, and by what measure it scored. `None` before the first, or after one of an older form.
pub fn newest_learning(
    conn: &mut Conn,
    store: StoreId,
) -> QueryResult<Option<(Learning, Measure)>> {
    let row: Option<(String, String)> = learnings::table
        .filter(learnings::store_id.eq(store))
        .order(learnings::id.desc())
        .select((learnings::document, learnings::measure))
        .first(conn)
        .optional()?;
    Ok(row.and_then(|(document, measure)| {
        Some((serde_json::from_str(&document).ok()?, serde_json::from_str(&measure).ok()?))
    }))
}

/// What was learnt, when, and the report on it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Learnt {
    pub as_of: Timestamp,
    pub learned_at: Timestamp,
    pub learning: Learning,
    pub report: Report,
}

/// The last learnings of a store, newest first, at most `limit`. One of an older form is left out.
pub fn learnings(conn: &mut Conn, store: StoreId, limit: i64) -> QueryResult<Vec<Learnt>> {
    let rows: Vec<(Timestamp, Timestamp, String, String)> = learnings::table
        .filter(learnings::store_id.eq(store))
        .order(learnings::id.desc())
        .select((learnings::as_of, learnings::learned_at, learnings::document, learnings::report))
        .limit(limit)
        .load(conn)?;
    Ok(rows
        .into_iter()
        .filter_map(|(as_of, learned_at, document, report)| {
            let learning = serde_json::from_str(&document).ok()?;
            let report = serde_json::from_str(&report).ok()?;
            Some(Learnt { as_of, learned_at, learning, report })
        })
        .collect())
}
