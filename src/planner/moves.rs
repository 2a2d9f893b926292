//! Moves those who are under way in a rule to the version in force, when an operator asks for it.
//!
//! What left, or is in the air, stays as it was: its steps are done. What is still to come is planned anew by the
//! version in force, from the step after them; a step is one row, so that nobody can be mailed one twice.

use diesel::prelude::*;

use super::steps::{self, PlannedStep};
use super::store::message_of;
use crate::db::schema::{enrolments, messages};
use crate::db::{Conn, Db, DbError};
use crate::ledger::{
    self, Enrolment, EnrolmentStatus, Facts, Instants, NewDecision, Outcome, Reason,
};
use crate::outbox::{self, Message, MessageStatus, NewMessage};
use crate::primitives::{CustomerId, EnrolmentId, MessageId, RuleId, Timestamp, Zone};
use crate::rules::{self, Rule, RuleStatus, StoredRule};
use crate::secret::Secret;
use crate::situation::{self, Situation};
use crate::stores::Store;

/// What became of those who were in an older version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// Go on by the version in force.
    pub moved: u64,
    /// Had all its steps already.
    pub ended: u64,
}

/// Moves everybody who is in an older version of `rule` to the one in force. Doing it again changes nothing.
///
/// # Errors
/// The database fails; who was moved until then stays so.
pub fn move_all(
    db: &Db,
    store: &Store,
    secret: &Secret,
    rule: RuleId,
    at: Instants,
) -> Result<Moved, DbError> {
    let customers = db.read_here(|conn| -> Result<_, DbError> {
        let Some(rule) = rules::store::find(conn, rule)? else { return Ok(Vec::new()) };
        Ok(in_older_versions(conn, &rule)?)
    })?;
    let mut moved = Moved::default();
    let mut busy = Vec::new();
    let move_some = |conn: &mut Conn, ids: &[CustomerId]| -> Result<Moved, DbError> {
        let Some(rule) = rules::store::find(conn, rule)? else { return Ok(Moved::default()) };
        let mut moved = Moved::default();
        for situation in situation::store::load(conn, store, ids)? {
            moved.add(move_one(conn, secret, &rule, &situation, at)?);
        }
        Ok(moved)
    };
    for batch in customers.chunks(situation::store::BATCH) {
        moved.add(db.write_here(|conn| -> Result<_, DbError> {
            let free = situation::store::lock_free(conn, batch)?;
            busy.extend(batch.iter().filter(|id| !free.contains(id)).copied());
            move_some(conn, &free)
        })?);
    }
    for customer in busy {
        moved.add(db.write_here(|conn| -> Result<_, DbError> {
            situation::store::lock(conn, customer)?;
            move_some(conn, &[customer])
        })?);
    }
    Ok(moved)
}

impl Moved {
    fn add(&mut self, other: Self) {
        self.moved += other.moved;
        self.ended += other.ended;
    }
}

/// How many are under way in an older version of `rule`, counted up to `limit`.
pub fn under_way(conn: &mut Conn, rule: RuleId, limit: i64) -> QueryResult<i64> {
    let Some(rule) = rules::store::find(conn, rule)? else { return Ok(0) };
    let ids: Vec<EnrolmentId> = enrolments::table
        .filter(enrolments::rule_id.eq(rule.id))
        .filter(enrolments::status.eq(EnrolmentStatus::Active))
        .filter(enrolments::rule_version.ne(rule.version))
        .filter(enrolments::shadow.eq(rule.status == RuleStatus::Shadow))
        .limit(limit)
        .select(enrolments::id)
        .load(conn)?;
    Ok(ids.len() as i64)
}

fn in_older_versions(conn: &mut Conn, rule: &StoredRule) -> QueryResult<Vec<CustomerId>> {
    enrolments::table
        .filter(enrolments::rule_id.eq(rule.id))
        .filter(enrolments::status.eq(EnrolmentStatus::Active))
        .filter(enrolments::rule_version.ne(rule.version))
        .select(enrolments::customer_id)
        .distinct()
        .load(conn)
}

/// What is still to come of an enrolment by `rule`, the version in force, each with when it knocks. `messages`: all that
/// it has; `zone`: the customer's. What would be due already is due now. Pure.
///
/// As everywhere, the plan hangs on the plan of the step before, and the time on when that left.
fn still_to_come(
    rule: &Rule,
    enrolment: &Enrolment,
    messages: &[Message],
    zone: &Zone,
    now: Timestamp,
) -> Vec<(PlannedStep, Timestamp)> {
    let done = messages.iter().filter(|m| m.status != MessageStatus::Scheduled);
    let last = done.max_by_key(|message| message.step);
    let (done, planned, left) = match last {
        Some(last) => (last.step, last.planned_for, last.left_at().unwrap_or(last.planned_for)),
        None => (0, enrolment.due_at, enrolment.due_at),
    };
    let plan = steps::planned_after(rule, done, planned, zone, Timestamp::MIN);
    let times = steps::planned_after(rule, done, left, zone, now);
    let both = plan.into_iter().zip(times);
    let coming = both.map(|(plan, time)| {
        (PlannedStep { useful_until: time.useful_until, ..plan }, time.planned_for)
    });
    coming.collect()
}

fn move_one(
    conn: &mut Conn,
    secret: &Secret,
    rule: &StoredRule,
    situation: &Situation,
    at: Instants,
) -> QueryResult<Moved> {
    let mut moved = Moved::default();
    let is_to_move = |row: &&Enrolment| {
        let in_step = row.shadow == (rule.status == RuleStatus::Shadow);
        row.rule_id == rule.id
            && row.status == EnrolmentStatus::Active
            && row.rule_version != rule.version
            && in_step
    };
    for enrolment in situation.enrolments.iter().filter(is_to_move) {
        let customer = situation.customer;
        let known = outbox::store::of_enrolment(conn, customer, enrolment.id)?;
        let zone = &situation.standing.zone;
        let coming = still_to_come(&rule.rule, enrolment, &known, zone, at.now);
        let mut new = Vec::new();
        for (planned, scheduled_at) in &coming {
            let id = MessageId(at.new_id());
            let message =
                message_of(rule, secret, &situation.identity, customer, enrolment.id, *planned, id);
            let message = NewMessage { scheduled_at: *scheduled_at, ..message };
            match known.iter().find(|known| known.step == planned.step) {
                Some(known) => outbox::store::rewrite(conn, known.id, &message)?,
                None => new.push(message),
            }
        }
        outbox::store::plan(conn, &new)?;
        let surplus = |m: &&Message| {
            m.status == MessageStatus::Scheduled && !coming.iter().any(|(c, _)| c.step == m.step)
        };
        let surplus: Vec<MessageId> = known.iter().filter(surplus).map(|m| m.id).collect();
        outbox::store::cancel_these(conn, customer, &surplus, Reason::Moved)?;
        set_version(conn, enrolment, rule)?;
        let facts = Facts::new()
            .with("from_version", enrolment.rule_version)
            .with("to_version", rule.version)
            .with("steps_to_come", coming.iter().map(|(c, _)| c.step).collect::<Vec<_>>());
        let outcome = match coming.first() {
            Some(_) => {
                moved.moved += 1;
                Outcome::Deferred
            }
            None => {
                outbox::settle::close_if_done(conn, customer, enrolment.id, Reason::Moved)?;
                moved.ended += 1;
                Outcome::Stopped
            }
        };
        let facts = facts.with_known("next_at", coming.first().map(|(_, at)| at));
        let line = NewDecision {
            customer,
            store: rule.store,
            at: at.now,
            rule: rule.id,
            enrolment: Some(enrolment.id),
            step: None,
            outcome,
            reason: Some(Reason::Moved),
            facts: facts.with_known("shadow", enrolment.shadow.then_some(true)),
            message: None,
        };
        ledger::store::record(conn, &[line], || at.new_id())?;
    }
    Ok(moved)
}

fn set_version(conn: &mut Conn, enrolment: &Enrolment, rule: &StoredRule) -> QueryResult<()> {
    let row = enrolments::table
        .filter(enrolments::customer_id.eq(enrolment.customer_id))
        .filter(enrolments::id.eq(enrolment.id));
    let useful_until = enrolment.due_at.plus(rule.rule.trigger.useful_for);
    diesel::update(row)
        .set((enrolments::rule_version.eq(rule.version), enrolments::useful_until.eq(useful_until)))
        .execute(conn)?;
    // What is in the air, and has no answer yet, goes on by the words that it was rendered from.
    let waiting = messages::table
        .filter(messages::customer_id.eq(enrolment.customer_id))
        .filter(messages::enrolment_id.eq(enrolment.id))
        .filter(messages::status.eq(MessageStatus::Scheduled));
    diesel::update(waiting).set(messages::rule_version.eq(rule.version)).execute(conn)?;
    Ok(())
}
