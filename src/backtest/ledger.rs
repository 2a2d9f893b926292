//! One customer's ledger in a replay: the enrolments, arms and decisions that the planner's actions make. Pure;
//! `planner::store` writes the same to rows.

use super::post::Post;
use super::world::World;
use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Outcome, Reason};
use crate::planner::action::{Action, Entry, enrolled_at};
use crate::planner::decide::is_meant_for;
use crate::primitives::{CustomerId, EnrolmentId, Timestamp};
use crate::situation::{Arm, Situation};

/// One decision of the replay, as the ledger would hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub at: Timestamp,
    /// Its place among the rules.
    pub rule: usize,
    pub enrolment: EnrolmentId,
    /// `None`: of the enrolment as a whole.
    pub step: Option<i32>,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub facts: Facts,
    /// How many messages it takes back, or never lets be.
    pub messages: usize,
    /// Whether the rule was meant for the customer, whatever stood in the way; of the first word on an enrolment.
    pub meant: bool,
}

#[derive(Default)]
pub struct Ledger {
    pub enrolments: Vec<Enrolment>,
    pub arms: Vec<(String, Arm)>,
    pub events: Vec<Event>,
    /// The last id given to an enrolment.
    ids: i64,
}

impl Ledger {
    /// Its enrolments are numbered after `last`: what two of one customer's ledgers hold must not be taken for the
    /// same when the one joins the other.
    pub fn numbered_after(last: i64) -> Self {
        Self { ids: last, ..Self::default() }
    }

    /// Does what was decided: to the rows kept here, and to the messages in the post.
    pub fn take(
        &mut self,
        action: Action,
        world: &World,
        situation: &Situation,
        post: &mut Post,
        now: Timestamp,
    ) {
        let customer = situation.customer;
        match action {
            Action::Assign { experiment, arm, .. } => self.arms.push((experiment, arm)),
            Action::Enrol { entry, from } => {
                let status = EnrolmentStatus::Active;
                let id = self.enter(world, customer, &entry, status, None, None, now);
                post.plan(&world.rules[entry.rule], id, from, &entry.zone);
                self.events.push(answer(entry, id, Outcome::Enrolled, None, now));
            }
            Action::Wait { entry, retry_at } => {
                let status = EnrolmentStatus::Waiting;
                let id = self.enter(world, customer, &entry, status, None, Some(retry_at), now);
                let why = Some(Reason::Outranked);
                self.events.push(answer(entry, id, Outcome::Deferred, why, now));
            }
            Action::Refuse { entry, status, outcome, reason } => {
                let id = self.enter(world, customer, &entry, status, Some(reason), None, now);
                let rule = &world.rules[entry.rule];
                let event = answer(entry, id, outcome, Some(reason), now);
                self.events.push(Event {
                    meant: event.meant
                        && outcome != Outcome::NotEligible
                        && is_meant_for(rule, situation, now),
                    messages: match outcome {
                        Outcome::Suppressed => rule.rule.steps.len(),
                        _ => 0,
                    },
                    ..event
                });
            }
            Action::WaitOn { enrolment, retry_at, .. } => {
                if let Some(row) = self.row(enrolment)
                    && row.status == EnrolmentStatus::Waiting
                {
                    row.retry_at = Some(retry_at);
                }
            }
            Action::Stop { rule, enrolment, reason, facts, .. } => {
                let Some(row) = self.row(enrolment) else { return };
                (row.status, row.reason, row.retry_at) =
                    (EnrolmentStatus::Stopped, Some(reason), None);
                self.events.push(Event {
                    at: now,
                    rule,
                    enrolment,
                    step: None,
                    outcome: Outcome::Stopped,
                    reason: Some(reason),
                    facts,
                    messages: post.cancel(enrolment, reason),
                    meant: false,
                });
            }
            Action::Stretch { rule, enrolment, until, due_at, zone } => {
                let rule = &world.rules[rule];
                if let Some(row) = self.row(enrolment) {
                    row.episode_until = until;
                    row.due_at = due_at;
                    row.useful_until = due_at.plus(rule.rule.trigger.useful_for);
                }
                post.put_off(rule, enrolment, due_at, &zone);
            }
        }
    }

    /// Ends an enrolment that is under way; one that has ended stays as it ended.
    pub fn end(&mut self, id: EnrolmentId, status: EnrolmentStatus, reason: Option<Reason>) {
        if let Some(row) = self.row(id)
            && row.status == EnrolmentStatus::Active
        {
            (row.status, row.reason) = (status, reason);
        }
    }

    /// Takes over enrolments of a visitor who turned out to be this customer: of two for one episode the customer's
    /// own stands.
    pub fn take_over(&mut self, enrolments: Vec<Enrolment>) {
        for enrolment in enrolments {
            let is_same = |own: &Enrolment| {
                own.rule_id == enrolment.rule_id && own.episode == enrolment.episode
            };
            if !self.enrolments.iter().any(is_same) {
                self.enrolments.push(enrolment);
            }
        }
    }

    fn row(&mut self, id: EnrolmentId) -> Option<&mut Enrolment> {
        self.enrolments.iter_mut().find(|row| row.id == id)
    }

    /// A new row, or the answer to one that waited.
    #[expect(clippy::too_many_arguments, reason = "one row's columns")]
    fn enter(
        &mut self,
        world: &World,
        customer: CustomerId,
        entry: &Entry,
        status: EnrolmentStatus,
        reason: Option<Reason>,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> EnrolmentId {
        if let Some(row) = entry.waiting.and_then(|id| self.row(id)) {
            (row.status, row.reason) = (status, reason);
            (row.enrolled_at, row.retry_at) = (enrolled_at(status, now), retry_at);
            return row.id;
        }
        self.ids += 1;
        let id = EnrolmentId(self.ids);
        let row = entry.row(&world.rules[entry.rule], customer, id, status, now);
        self.enrolments.push(Enrolment { reason, retry_at, ..row });
        id
    }
}

/// The first word on an enrolment, or the answer to one that waited. It plans and takes back no message.
fn answer(
    entry: Entry,
    enrolment: EnrolmentId,
    outcome: Outcome,
    reason: Option<Reason>,
    now: Timestamp,
) -> Event {
    let meant = entry.waiting.is_none();
    let (rule, facts) = (entry.rule, entry.facts);
    Event { at: now, rule, enrolment, step: None, outcome, reason, facts, messages: 0, meant }
}
