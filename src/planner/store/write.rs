//! Writes what was decided: enrolments with their messages, arms, and the ledger's lines.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::super::action::{Action, Entry, enrolled_at};
use super::super::decide::Pass;
use super::super::steps::{self, PlannedStep};
use crate::db::Conn;
use crate::db::schema::{assignments, enrolments};
use crate::each_backend;
use crate::ledger::{
    self, Enrolment, EnrolmentStatus, Facts, Instants, NewDecision, Outcome, Reason,
};
use crate::outbox::{self, MessageStatus, NewMessage, Tally};
use crate::primitives::{CustomerId, EnrolmentId, MessageId, RuleId, Timestamp, Zone};
use crate::rules::{self, RuleStatus, StoredRule};
use crate::secret::Secret;
use crate::situation::{Arm, Situation};

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

/// The row of a planned step. Its variant is drawn by `identity`, as the holdout is, and kept with it.
pub fn message_of(
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

/// Whose arm of which experiment, and the share held out when it was drawn.
type Assignment = (CustomerId, String, Arm, f64);

/// Rows that are written together at the end, since most of a busy pass is new enrolments.
struct Writing<'w> {
    pass: &'w Pass<'w>,
    at: Instants,
    tally: Tally,
    enrolments: Vec<Enrolment>,
    messages: Vec<NewMessage>,
    decisions: Vec<NewDecision>,
    arms: Vec<Assignment>,
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
        assign(conn, &self.arms, at.now)?;
        Ok(self.tally)
    }
}

fn assign(conn: &mut Conn, arms: &[Assignment], now: Timestamp) -> QueryResult<()> {
    for part in arms.chunks(1_000) {
        let rows: Vec<_> = part
            .iter()
            .map(|(customer, experiment, arm, share)| {
                (
                    assignments::customer_id.eq(*customer),
                    assignments::experiment.eq(experiment.as_str()),
                    assignments::arm.eq(*arm),
                    assignments::assigned_at.eq(now),
                    assignments::share.eq(Some(*share)),
                )
            })
            .collect();
        each_backend!(&mut *conn, c => diesel::insert_into(assignments::table)
            .values(rows)
            .on_conflict_do_nothing()
            .execute(c))?;
    }
    Ok(())
}
