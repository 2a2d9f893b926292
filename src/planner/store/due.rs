//! Who is due by state: their moment and the delay have passed, and they have no enrolment for the episode.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::super::episode::window;
use super::{Id, ids};
use crate::db::Conn;
use crate::primitives::{CustomerId, Timestamp};
use crate::rules::{RuleStatus, StoredRule, TriggerKind};
use crate::scoring::{VisitorSegment, is_of_visitors};

/// Which of the customers whose moment lies in a rule's window a pass looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    Window,
    /// Those who fell due after this instant.
    DueSince(Timestamp),
    /// Those whose rollup changed at or after this instant of the real clock.
    ChangedSince(Timestamp),
}

/// Customers for whom `rule` is due by state and has no enrolment for the episode.
///
/// An index range over the moment, or over the time of change: its cost follows what is due, not how many
/// customers there are. What it returns is asked again, under lock, with all that it leaves out.
pub fn due(
    conn: &mut Conn,
    rule: &StoredRule,
    now: Timestamp,
    reach: Reach,
) -> QueryResult<Vec<CustomerId>> {
    let trigger = &rule.rule.trigger;
    let live_since = rule.live_since.unwrap_or(now);
    let window_from = now.minus(window(rule));
    // What is asked for from before counts as due when the rule went live, however long before that it was.
    let mut after = match rule.rule.include_past {
        Some(past) if live_since > window_from => live_since.minus(past),
        _ => window_from.max(live_since),
    };
    if let Reach::DueSince(since) = reach {
        after = after.max(since);
    }
    // In times of the moment, which is what the index is over.
    let (after, until) = (after.minus(trigger.kind.after()), now.minus(trigger.kind.after()));
    if let TriggerKind::SegmentEntered { segment, .. } = &trigger.kind {
        return due_in_segment(conn, rule, segment, after, until);
    }
    if let TriggerKind::RepurchaseDue { after: None } = &trigger.kind {
        return due_by_rhythm(conn, rule, after, until);
    }
    if let TriggerKind::AtRisk { .. } = &trigger.kind {
        return due_by_stay(conn, rule, after, until);
    }
    let (moment, start, more) = match &trigger.kind {
        TriggerKind::VisitedWithoutBuying { .. } => (
            "last_seen_at",
            "r.visit_started_at",
            "AND (r.last_placed_at IS NULL OR r.last_placed_at < r.visit_started_at)",
        ),
        TriggerKind::CartAbandoned { .. } => ("cart_updated_at", "r.cart_started_at", ""),
        TriggerKind::CheckoutAbandoned { .. } => ("checkout_started_at", "r.cart_started_at", ""),
        // Once in a life: whatever the episode.
        TriggerKind::FirstOrder { .. } => ("first_order_at", "0", ""),
        _ => ("last_order_at", "r.last_order_at", ""),
    };
    // The unary plus keeps the databases off the moment's index where the time of change leaves fewer rows.
    let (range, changed, bound) = match reach {
        Reach::ChangedSince(at) => (format!("+r.{moment}"), "r.changed_at >= $5", Some(at)),
        _ => (format!("r.{moment}"), "CAST($5 AS BIGINT) IS NULL", None),
    };
    let known = known(rule);
    let sql = format!(
        "SELECT r.customer_id FROM rollups r WHERE r.store_id = $1 AND {range} > $2 AND {range} <= $3 {more} \
         AND NOT EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = r.customer_id AND e.rule_id = $4 \
         AND e.episode <= r.{moment} AND e.episode_until >= {start}{known}) AND {changed}"
    );
    let found: Vec<Id> = diesel::sql_query(sql)
        .bind::<BigInt, _>(rule.store)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(until)
        .bind::<BigInt, _>(rule.id)
        .bind::<Nullable<BigInt>, _>(bound)
        .load(conn)?;
    Ok(ids(found))
}

/// What a rule only would have done, while it was in shadow, is nothing to it once it is live.
fn known(rule: &StoredRule) -> &'static str {
    if rule.status == RuleStatus::Shadow { "" } else { " AND NOT e.shadow" }
}

fn due_in_segment(
    conn: &mut Conn,
    rule: &StoredRule,
    segment: &str,
    after: Timestamp,
    until: Timestamp,
) -> QueryResult<Vec<CustomerId>> {
    let visitors: Vec<String> =
        VisitorSegment::ALL.iter().map(|segment| format!("'{segment}'")).collect();
    let of_buyers = match is_of_visitors(segment) {
        true => String::new(),
        false => format!(" AND h.segment NOT IN ({})", visitors.join(", ")),
    };
    // As `situation::entered_at`: who was found in it by the first scoring entered it before.
    let entered = format!(
        "(CASE WHEN EXISTS (SELECT 1 FROM segment_history h WHERE h.customer_id = s.customer_id \
         AND h.since < s.segment_since{of_buyers}) THEN s.segment_since \
         ELSE COALESCE(r.first_order_at, r.first_seen_at, s.segment_since) END)"
    );
    let found: Vec<Id> = diesel::sql_query(format!(
        "SELECT s.customer_id FROM scores s JOIN rollups r ON r.customer_id = s.customer_id \
         WHERE s.store_id = $1 AND s.segment = $2 AND s.segment_since > $3 AND s.segment_since <= $4 AND {entered} > {} \
         AND NOT EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = s.customer_id AND e.rule_id = $5 \
         AND e.episode <= {entered} AND e.episode_until >= {entered}{})",
        after.0,
        known(rule)
    ))
    .bind::<BigInt, _>(rule.store)
    .bind::<Text, _>(segment)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(until)
    .bind::<BigInt, _>(rule.id)
    .load(conn)?;
    Ok(ids(found))
}

/// By the day that scoring expects a product to be bought again on, and of who buys none again, the next order; one that
/// an order has overtaken is asked again under lock.
fn due_by_rhythm(
    conn: &mut Conn,
    rule: &StoredRule,
    after: Timestamp,
    until: Timestamp,
) -> QueryResult<Vec<CustomerId>> {
    let not_enrolled = |customer: &str, ordered_at: &str| {
        format!(
            "NOT EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = {customer} AND e.rule_id = {} \
             AND e.episode <= {ordered_at} AND e.episode_until >= {ordered_at})",
            rule.id
        )
    };
    let sql = format!(
        "SELECT q.customer_id FROM repurchases q WHERE q.store_id = $1 AND q.expected_at > $2 AND q.expected_at <= $3 AND {} \
         UNION SELECT s.customer_id FROM scores s WHERE s.store_id = $4 \
         AND s.next_order_expected_at > $5 AND s.next_order_expected_at <= $6 AND {} \
         AND NOT EXISTS (SELECT 1 FROM repurchases q WHERE q.customer_id = s.customer_id AND q.ordered_at = s.last_order_at)",
        not_enrolled("q.customer_id", "q.ordered_at"),
        not_enrolled("s.customer_id", "s.last_order_at"),
    );
    let found: Vec<Id> = diesel::sql_query(sql)
        .bind::<BigInt, _>(rule.store)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(until)
        .bind::<BigInt, _>(rule.store)
        .bind::<BigInt, _>(after)
        .bind::<BigInt, _>(until)
        .load(conn)?;
    Ok(ids(found))
}

/// By the day on which they came to be beyond the rule's line.
fn due_by_stay(
    conn: &mut Conn,
    rule: &StoredRule,
    after: Timestamp,
    until: Timestamp,
) -> QueryResult<Vec<CustomerId>> {
    let found: Vec<Id> = diesel::sql_query(format!(
        "SELECT y.customer_id FROM at_risk_stays y WHERE y.rule_id = $1 AND y.left_at IS NULL \
         AND y.since > $2 AND y.since <= $3 \
         AND NOT EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = y.customer_id AND e.rule_id = $4 \
         AND e.episode <= y.since AND e.episode_until >= y.since{})",
        known(rule)
    ))
    .bind::<BigInt, _>(rule.id)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(until)
    .bind::<BigInt, _>(rule.id)
    .load(conn)?;
    Ok(ids(found))
}
