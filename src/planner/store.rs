//! SQL of a pass: who is due, and the writing of what was decided.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};

use super::decide::{Action, Entry, Pass, enrolled_at};
use super::episode::window;
use super::steps::{self, PlannedStep};
use crate::db::Conn;
use crate::db::schema::{assignments, enrolments, rollups};
use crate::each_backend;
use crate::ledger::{
    self, Enrolment, EnrolmentStatus, Facts, Instants, NewDecision, Outcome, Reason,
};
use crate::outbox::{self, MessageStatus, NewMessage, Tally};
use crate::primitives::{
    CustomerId, Delay, EnrolmentId, MessageId, RuleId, StoreId, Timestamp, Zone,
};
use crate::rules::{self, RuleStatus, StoredRule, TriggerKind};
use crate::scoring::{VisitorSegment, is_of_visitors};
use crate::secret::Secret;
use crate::situation::{Arm, Situation};
use crate::stores::Store;

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
}

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
    Ok(found.into_iter().map(|id| id.customer_id).collect())
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
    .bind::<diesel::sql_types::Text, _>(segment)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(until)
    .bind::<BigInt, _>(rule.id)
    .load(conn)?;
    Ok(found.into_iter().map(|id| id.customer_id).collect())
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
    Ok(found.into_iter().map(|id| id.customer_id).collect())
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
    Ok(found.into_iter().map(|id| id.customer_id).collect())
}

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
    Ok(found.into_iter().map(|id| id.customer_id).collect())
}

/// Customers whose open enrolment an order ended, by state: what a process that has just started looks at once.
pub fn bought_while_enrolled(conn: &mut Conn, store: StoreId) -> QueryResult<Vec<CustomerId>> {
    let found: Vec<Id> = diesel::sql_query(
        "SELECT DISTINCT e.customer_id FROM enrolments e JOIN rollups r ON r.customer_id = e.customer_id \
         WHERE e.store_id = $1 AND e.status IN ('active', 'waiting') AND r.last_placed_at > e.stops_after",
    )
    .bind::<BigInt, _>(store)
    .load(conn)?;
    Ok(found.into_iter().map(|id| id.customer_id).collect())
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
        found.extend(rows.into_iter().map(|id| id.customer_id));
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
    let sql = match since {
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
    let found: Vec<Id> = diesel::sql_query(sql).bind::<BigInt, _>(store).load(conn)?;
    Ok(found.into_iter().map(|id| id.customer_id).collect())
}

/// Lets the messages knock now that waited for an event, where it came.
pub fn hasten(
    conn: &mut Conn,
    pass: &Pass,
    waiting: &[RuleId],
    situations: &[Situation],
) -> QueryResult<()> {
    for situation in situations {
        let is_in =
            |e: &&Enrolment| e.status == EnrolmentStatus::Active && waiting.contains(&e.rule_id);
        let ids: Vec<EnrolmentId> =
            situation.enrolments.iter().filter(is_in).map(|e| e.id).collect();
        if ids.is_empty() {
            continue;
        }
        let messages = outbox::store::of_enrolments(conn, &[situation.customer], &ids)?;
        let (moments, enrolments) = (&situation.moments, &situation.enrolments);
        for id in steps::hastened(pass.rules, moments, enrolments, &messages, pass.now) {
            outbox::store::hasten(conn, situation.customer, id, pass.now)?;
        }
    }
    Ok(())
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
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("status = 'waiting'"))
        .filter(enrolments::retry_at.le(now))
        .filter(enrolments::rule_id.eq_any(ids))
        .select(enrolments::customer_id)
        .load(conn)
}

/// What a thousand messages of each rule brought: orders within a week after those of the last 28 days, in minor units
/// of the store's currency.
pub fn worth(
    conn: &mut Conn,
    store: &Store,
    rules: &[RuleId],
    now: Timestamp,
) -> QueryResult<HashMap<RuleId, i64>> {
    #[derive(QueryableByName)]
    struct Brought {
        #[diesel(sql_type = BigInt)]
        rule_id: RuleId,
        #[diesel(sql_type = BigInt)]
        sent: i64,
        #[diesel(sql_type = BigInt)]
        brought: i64,
    }
    let (since, week) = (now.minus(Delay::days(28)).0, Delay::days(7).micros());
    let ids = rules.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(", ");
    let rows: Vec<Brought> = diesel::sql_query(format!(
        "SELECT m.rule_id, COUNT(DISTINCT m.id) AS sent, CAST(COALESCE(SUM(o.total - o.refunded), 0) AS BIGINT) AS brought \
         FROM messages m LEFT JOIN orders o ON o.customer_id = m.customer_id AND o.counts AND o.currency = $1 \
         AND o.placed_at > m.sent_at AND o.placed_at <= m.sent_at + {week} \
         WHERE m.rule_id IN ({ids}) AND m.status = 'sent' AND m.scheduled_at >= {since} GROUP BY m.rule_id"
    ))
    .bind::<diesel::sql_types::Text, _>(store.currency.as_str())
    .load(conn)?;
    let per_thousand = |row: &Brought| row.brought.saturating_mul(1_000) / row.sent.max(1);
    Ok(rows.iter().map(|row| (row.rule_id, per_thousand(row))).collect())
}

/// Writes what was decided about some customers, whose rows are locked. Returns what was written.
///
/// Where another planner has an episode already, nothing of that customer's entry is written.
pub fn write(
    conn: &mut Conn,
    pass: &Pass,
    at: Instants,
    decided: Vec<(CustomerId, Vec<Action>)>,
) -> QueryResult<Tally> {
    let mut writing = Writing::new(pass, at);
    for (customer, actions) in decided {
        for action in actions {
            writing.take(conn, customer, action)?;
        }
    }
    writing.finish(conn)
}

/// The row of a planned step. Its variant is drawn by `identity`, as the holdout is, and kept with it.
pub(super) fn message_of(
    rule: &StoredRule,
    secret: &Secret,
    identity: &str,
    customer: CustomerId,
    enrolment: EnrolmentId,
    planned: PlannedStep,
    id: MessageId,
) -> NewMessage {
    let PlannedStep { step, planned_for, useful_until } = planned;
    let lot = || {
        let step = step.to_string();
        let parts = [rule.rule.key.as_bytes(), step.as_bytes(), identity.as_bytes()];
        secret.keyed_fraction("variant", &parts)
    };
    let wanted = rule.rule.steps.get(step as usize - 1);
    let variant = wanted
        .filter(|wanted| !wanted.variants.is_empty())
        .and_then(|wanted| Some(wanted.variant_of(lot())?.name.clone()));
    NewMessage {
        variant,
        customer_id: customer,
        id,
        store_id: rule.store,
        rule_id: rule.id,
        rule_version: rule.version,
        enrolment_id: enrolment,
        step,
        class: rule.rule.class,
        status: MessageStatus::Scheduled,
        scheduled_at: planned_for,
        useful_until,
        planned_for,
        attempts: 0,
        shadow: rule.status == RuleStatus::Shadow,
    }
}

/// Rows that are written together at the end, since most of a busy pass is new enrolments.
struct Writing<'w> {
    pass: &'w Pass<'w>,
    at: Instants,
    tally: Tally,
    enrolments: Vec<Enrolment>,
    messages: Vec<NewMessage>,
    decisions: Vec<NewDecision>,
    arms: Vec<(CustomerId, String, Arm, f64)>,
}

impl<'w> Writing<'w> {
    fn new(pass: &'w Pass<'w>, at: Instants) -> Self {
        Self {
            pass,
            at,
            tally: Tally::default(),
            enrolments: Vec::new(),
            messages: Vec::new(),
            decisions: Vec::new(),
            arms: Vec::new(),
        }
    }

    fn take(&mut self, conn: &mut Conn, customer: CustomerId, action: Action) -> QueryResult<()> {
        match action {
            Action::Assign { experiment, arm, share } => {
                self.arms.push((customer, experiment, arm, share));
            }
            Action::Enrol { entry, from } => {
                let new =
                    self.enter(conn, customer, &entry, EnrolmentStatus::Active, None, None)?;
                let Some(enrolment) = new else { return Ok(()) };
                self.plan_steps(customer, enrolment, &entry, from);
                self.decide(customer, Some(enrolment), &entry, Outcome::Enrolled, None);
            }
            Action::Wait { entry, retry_at } => {
                let status = EnrolmentStatus::Waiting;
                let new = self.enter(conn, customer, &entry, status, None, Some(retry_at))?;
                self.decide(customer, new, &entry, Outcome::Deferred, Some(Reason::Outranked));
            }
            Action::Refuse { entry, status, outcome, reason } => {
                let new = self.enter(conn, customer, &entry, status, Some(reason), None)?;
                if new.is_some() {
                    self.decide(customer, new, &entry, outcome, Some(reason));
                }
            }
            Action::WaitOn { enrolment, retry_at, .. } => {
                diesel::update(enrolments::table)
                    .filter(enrolments::customer_id.eq(customer))
                    .filter(enrolments::id.eq(enrolment))
                    .filter(enrolments::status.eq(EnrolmentStatus::Waiting))
                    .set(enrolments::retry_at.eq(retry_at))
                    .execute(conn)?;
            }
            Action::Stop { rule, enrolment, from, reason, facts } => {
                self.stop(conn, customer, rule, enrolment, from, reason, facts)?;
            }
            Action::Stretch { rule, enrolment, until, due_at, zone } => {
                self.stretch(conn, customer, rule, enrolment, until, due_at, &zone)?;
            }
        }
        Ok(())
    }

    /// A new row, or the answer to one that waited; `None` when another planner gave it meanwhile.
    fn enter(
        &mut self,
        conn: &mut Conn,
        customer: CustomerId,
        entry: &Entry,
        status: EnrolmentStatus,
        reason: Option<Reason>,
        retry_at: Option<Timestamp>,
    ) -> QueryResult<Option<EnrolmentId>> {
        if let Some(id) = entry.waiting {
            let enrolled_at = enrolled_at(status, self.at.now);
            let change = ledger::store::Change { status, reason, enrolled_at, retry_at };
            let from = EnrolmentStatus::Waiting;
            let is_ours = ledger::store::change(conn, customer, id, from, &change)?;
            return Ok(is_ours.then_some(id));
        }
        let id = EnrolmentId(self.at.new_id());
        let row = entry.row(&self.pass.rules[entry.rule], customer, id, status, self.at.now);
        self.enrolments.push(Enrolment { reason, retry_at, ..row });
        Ok(Some(id))
    }

    fn plan_steps(
        &mut self,
        customer: CustomerId,
        enrolment: EnrolmentId,
        entry: &Entry,
        from: Timestamp,
    ) {
        let rule = &self.pass.rules[entry.rule];
        for planned in steps::planned(&rule.rule, from, &entry.zone) {
            let (secret, identity) = (self.pass.secret, &entry.identity);
            let id = MessageId(self.at.new_id());
            self.messages
                .push(message_of(rule, secret, identity, customer, enrolment, planned, id));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one row's columns")]
    fn stop(
        &mut self,
        conn: &mut Conn,
        customer: CustomerId,
        rule: usize,
        enrolment: EnrolmentId,
        from: EnrolmentStatus,
        reason: Reason,
        facts: Facts,
    ) -> QueryResult<()> {
        let is_ours = match from {
            EnrolmentStatus::Waiting => {
                let change = ledger::store::Change {
                    status: EnrolmentStatus::Stopped,
                    reason: Some(reason),
                    enrolled_at: None,
                    retry_at: None,
                };
                ledger::store::change(conn, customer, enrolment, from, &change)?
            }
            _ => {
                let status = EnrolmentStatus::Stopped;
                ledger::store::end(conn, customer, enrolment, status, Some(reason))?
            }
        };
        if is_ours {
            let steps = outbox::store::cancel(conn, customer, enrolment, reason)?;
            let facts = facts.with("cancelled_steps", steps);
            let rule = &self.pass.rules[rule];
            self.record(customer, rule.id, Some(enrolment), Outcome::Stopped, Some(reason), facts);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one action's fields")]
    fn stretch(
        &mut self,
        conn: &mut Conn,
        customer: CustomerId,
        rule: usize,
        enrolment: EnrolmentId,
        until: Timestamp,
        due_at: Timestamp,
        zone: &Zone,
    ) -> QueryResult<()> {
        let stored = &self.pass.rules[rule];
        let useful_until = due_at.plus(stored.rule.trigger.useful_for);
        ledger::store::stretch(conn, customer, enrolment, until, due_at, useful_until)?;
        let messages = outbox::store::of_enrolment(conn, customer, enrolment)?;
        // By the steps of the version that they entered.
        let older = match messages.first().map(|message| message.rule_version) {
            Some(version) if version != stored.version => {
                rules::store::find_version(conn, stored.id, version)?
            }
            _ => None,
        };
        let rule = older.as_ref().unwrap_or(&stored.rule);
        let put_off = steps::put_off(rule, due_at, zone, &messages);
        for (message, put_off) in messages.iter().zip(put_off) {
            if let Some(to) = put_off {
                let (at, until) = (to.scheduled_at, to.useful_until);
                outbox::store::replan(conn, message, at, to.planned_for, until)?;
            }
        }
        Ok(())
    }

    fn decide(
        &mut self,
        customer: CustomerId,
        enrolment: Option<EnrolmentId>,
        entry: &Entry,
        outcome: Outcome,
        reason: Option<Reason>,
    ) {
        let rule = self.pass.rules[entry.rule].id;
        self.record(customer, rule, enrolment, outcome, reason, entry.facts.clone());
    }

    fn record(
        &mut self,
        customer: CustomerId,
        rule: RuleId,
        enrolment: Option<EnrolmentId>,
        outcome: Outcome,
        reason: Option<Reason>,
        facts: Facts,
    ) {
        let is_shadow = |r: &&StoredRule| r.id == rule && r.status == RuleStatus::Shadow;
        let is_shadow = self.pass.rules.iter().any(|r| is_shadow(&r));
        let facts = facts.with_known("shadow", is_shadow.then_some(true));
        self.decisions.push(NewDecision {
            customer,
            store: self.pass.store.id,
            at: self.at.now,
            rule,
            enrolment,
            step: None,
            outcome,
            reason,
            facts,
            message: None,
        });
    }

    fn finish(mut self, conn: &mut Conn) -> QueryResult<Tally> {
        let new: BTreeSet<EnrolmentId> = self.enrolments.iter().map(|e| e.id).collect();
        let written = ledger::store::enrol(conn, &self.enrolments)?;
        let was_lost = |id: &EnrolmentId| new.contains(id) && !written.contains(id);
        self.messages.retain(|message| !was_lost(&message.enrolment_id));
        self.decisions.retain(|decision| !decision.enrolment.as_ref().is_some_and(was_lost));
        outbox::store::plan(conn, &self.messages)?;
        for decision in &self.decisions {
            self.tally.count(decision.outcome);
        }
        let at = self.at;
        ledger::store::record(conn, &self.decisions, || at.new_id())?;
        for part in self.arms.chunks(1_000) {
            let rows: Vec<_> = part
                .iter()
                .map(|(customer, experiment, arm, share)| {
                    (
                        assignments::customer_id.eq(*customer),
                        assignments::experiment.eq(experiment.as_str()),
                        assignments::arm.eq(*arm),
                        assignments::assigned_at.eq(at.now),
                        assignments::share.eq(Some(*share)),
                    )
                })
                .collect();
            each_backend!(&mut *conn, c => diesel::insert_into(assignments::table)
                .values(rows)
                .on_conflict_do_nothing()
                .execute(c))?;
        }
        Ok(self.tally)
    }
}
