//! Who in a rule is to be looked at again: what they did since may end it, put it off, or go on with it.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::{Id, ids};
use crate::db::Conn;
use crate::db::schema::{enrolments, rollups};
use crate::ledger::EnrolmentStatus;
use crate::primitives::{CustomerId, RuleId, StoreId, Timestamp};
use crate::rules::{StoredRule, TriggerKind};

/// Customers with an enrolment that can still lead to a message, whose rollup changed at or after `since`: what
/// they did may end it or go on with it.
pub fn changed_while_enrolled(
    conn: &mut Conn,
    store: StoreId,
    since: Timestamp,
) -> QueryResult<Vec<CustomerId>> {
    let found: Vec<Id> = diesel::sql_query(
        "SELECT r.customer_id FROM rollups r WHERE r.store_id = $1 AND r.changed_at >= $2 \
         AND EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = r.customer_id \
         AND e.status IN ('active', 'waiting'))",
    )
    .bind::<BigInt, _>(store)
    .bind::<BigInt, _>(since)
    .load(conn)?;
    Ok(ids(found))
}

/// Customers whose open enrolment an order ended, by state: what a process that has just started looks at once.
pub fn bought_while_enrolled(conn: &mut Conn, store: StoreId) -> QueryResult<Vec<CustomerId>> {
    let found: Vec<Id> = diesel::sql_query(
        "SELECT DISTINCT e.customer_id FROM enrolments e JOIN rollups r ON r.customer_id = e.customer_id \
         WHERE e.store_id = $1 AND e.status IN ('active', 'waiting') AND r.last_placed_at > e.stops_after",
    )
    .bind::<BigInt, _>(store)
    .load(conn)?;
    Ok(ids(found))
}

/// Customers whose visit or basket went on since it was enrolled, by state: what is planned of it is put off.
pub fn went_on_while_enrolled(
    conn: &mut Conn,
    store: StoreId,
    rules: &[StoredRule],
) -> QueryResult<Vec<CustomerId>> {
    let mut found = Vec::new();
    for rule in rules {
        let (moment, start) = match rule.rule.trigger.kind {
            TriggerKind::VisitedWithoutBuying { .. } => ("last_seen_at", "visit_started_at"),
            TriggerKind::CartAbandoned { .. } => ("cart_updated_at", "cart_started_at"),
            TriggerKind::CheckoutAbandoned { .. } => ("checkout_started_at", "cart_started_at"),
            _ => continue,
        };
        // The plus keeps SQLite from the rule's whole past: those that are open have an index of their own.
        let rows: Vec<Id> = diesel::sql_query(format!(
            "SELECT e.customer_id FROM enrolments e JOIN rollups r ON r.customer_id = e.customer_id \
             WHERE e.store_id = $1 AND +e.rule_id = $2 AND e.status IN ('active', 'waiting') \
             AND r.{moment} > e.episode_until AND r.{start} <= e.episode_until"
        ))
        .bind::<BigInt, _>(store)
        .bind::<BigInt, _>(rule.id)
        .load(conn)?;
        found.extend(ids(rows));
    }
    Ok(found)
}

/// Customers in these rules who did something since they entered, by state: some step may have waited for that.
pub fn came_while_enrolled(conn: &mut Conn, rules: &[RuleId]) -> QueryResult<Vec<CustomerId>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    enrolments::table
        .inner_join(rollups::table.on(rollups::customer_id.eq(enrolments::customer_id)))
        .filter(enrolments::rule_id.eq_any(rules))
        .filter(enrolments::status.eq(EnrolmentStatus::Active))
        .filter(
            rollups::last_seen_at
                .gt(enrolments::enrolled_at)
                .or(rollups::last_placed_at.gt(enrolments::enrolled_at)),
        )
        .select(enrolments::customer_id)
        .distinct()
        .load(conn)
}

/// Customers in some rule who followed a link of a mail since `since`, by the machine's clock, or ever: some step may
/// have waited for that.
pub fn clicked_while_enrolled(
    conn: &mut Conn,
    store: StoreId,
    since: Option<Timestamp>,
) -> QueryResult<Vec<CustomerId>> {
    let clicked = "v.kind = 'click' AND v.verdict = 'human'";
    // By the time of the clicks, or by who is enrolled: whichever are few.
    let text = match since {
        Some(since) => format!(
            "SELECT DISTINCT v.customer_id FROM mail_events v WHERE v.store_id = $1 AND v.at >= {} AND {clicked} \
             AND EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = v.customer_id AND e.status = 'active')",
            since.0
        ),
        None => format!(
            "SELECT DISTINCT e.customer_id FROM enrolments e WHERE e.store_id = $1 AND e.status IN ('active', 'waiting') \
             AND EXISTS (SELECT 1 FROM mail_events v WHERE v.customer_id = e.customer_id AND {clicked})"
        ),
    };
    let found: Vec<Id> = diesel::sql_query(text).bind::<BigInt, _>(store).load(conn)?;
    Ok(ids(found))
}

/// Customers in whose waiting enrolments a stronger rule should have spoken by now.
pub fn waited_long_enough(
    conn: &mut Conn,
    store: StoreId,
    rules: &[StoredRule],
    now: Timestamp,
) -> QueryResult<Vec<CustomerId>> {
    let ids: Vec<RuleId> = rules.iter().map(|rule| rule.id).collect();
    enrolments::table
        .filter(enrolments::store_id.eq(store))
        // In the words of the index of those that wait: a parameter would not find it, and all would be read.
        .filter(sql::<Bool>("status = 'waiting'"))
        .filter(enrolments::retry_at.le(now))
        .filter(enrolments::rule_id.eq_any(ids))
        .select(enrolments::customer_id)
        .load(conn)
}
