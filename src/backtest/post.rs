//! Messages in a replay: planned, judged at the door, sent at once. Pure; `outbox::claim` and `outbox::settle` do the
//! same to rows.

use super::ledger::Event;
use super::world::World;
use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Outcome, Reason};
use crate::outbox::door::{self, Knock, Verdict};
use crate::outbox::{Message, MessageStatus};
use crate::planner::steps::{self, PlannedStep};
use crate::primitives::{CustomerId, EnrolmentId, MessageId, RuleId, Timestamp, Zone};
use crate::rules::{Class, StoredRule};
use crate::situation::{Moments, Situation};

/// The messages of one customer, in the order in which they were planned.
#[derive(Debug, Clone, Default)]
pub struct Post {
    messages: Vec<Message>,
    ids: i64,
}

/// What the door said of one message.
pub struct Said {
    pub event: Option<Event>,
    /// The enrolment that it ended, how, and why.
    pub ends: Option<(EnrolmentId, EnrolmentStatus, Option<Reason>)>,
}

impl Post {
    pub fn plan(
        &mut self,
        rule: &StoredRule,
        enrolment: EnrolmentId,
        from: Timestamp,
        zone: &Zone,
    ) {
        let planned = steps::planned(&rule.rule, from, zone);
        for PlannedStep { step, planned_for, useful_until } in planned {
            self.ids += 1;
            self.messages.push(Message {
                customer_id: CustomerId(0),
                id: MessageId(self.ids),
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
                held_for: None,
                cancelled_for: None,
                attempts: 0,
                claimed_at: None,
                sent_at: None,
                shadow: false,
            });
        }
    }

    /// The rules whose mail has left, by their keys, and when.
    pub fn received(&self, rules: &[StoredRule]) -> Vec<(String, Timestamp)> {
        let key = |id: RuleId| rules.iter().find(|r| r.id == id).map(|r| r.rule.key.clone());
        let left = self.messages.iter().filter_map(|m| Some((key(m.rule_id)?, m.left_at()?)));
        left.collect()
    }

    /// A visitor's messages are the customer's from now on.
    pub fn take_over(&mut self, other: Self) {
        for message in other.messages {
            self.ids += 1;
            self.messages.push(Message { id: MessageId(self.ids), ..message });
        }
    }

    /// Takes back what an enrolment still has to come; returns how many.
    pub fn cancel(&mut self, enrolment: EnrolmentId, reason: Reason) -> usize {
        let is_open =
            |m: &&mut Message| m.enrolment_id == enrolment && m.status == MessageStatus::Scheduled;
        let open = self.messages.iter_mut().filter(is_open);
        open.map(|message| {
            message.status = MessageStatus::Cancelled;
            message.cancelled_for = Some(reason);
            message.held_for = None;
        })
        .count()
    }

    /// The episode goes on: what is unsent is due `due_at` or later.
    pub fn put_off(
        &mut self,
        rule: &StoredRule,
        enrolment: EnrolmentId,
        due_at: Timestamp,
        zone: &Zone,
    ) {
        let of_it: Vec<Message> =
            self.messages.iter().filter(|m| m.enrolment_id == enrolment).cloned().collect();
        for (message, to) in of_it.iter().zip(steps::put_off(&rule.rule, due_at, zone, &of_it)) {
            let own = self.messages.iter_mut().find(|own| own.id == message.id);
            if let (Some(to), Some(own)) = (to, own)
                && own.status == MessageStatus::Scheduled
            {
                own.scheduled_at = to.scheduled_at;
                own.planned_for = to.planned_for;
                own.useful_until = to.useful_until;
            }
        }
    }

    /// Brings forward what waited for an event that came: it knocks now.
    pub fn hasten(
        &mut self,
        rules: &[StoredRule],
        moments: &Moments,
        enrolments: &[Enrolment],
        now: Timestamp,
    ) {
        for message in steps::hastened(rules, moments, enrolments, &self.messages, now) {
            if let Some(own) = self.messages.iter_mut().find(|own| own.id == message) {
                own.scheduled_at = now;
            }
        }
    }

    fn scheduled(&self) -> impl Iterator<Item = (usize, &Message)> {
        let all = self.messages.iter().enumerate();
        all.filter(|(_, message)| message.status == MessageStatus::Scheduled)
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.scheduled().map(|(_, message)| message.scheduled_at).min()
    }

    /// The place of the message that knocks first.
    pub fn first_due(&self, now: Timestamp) -> Option<usize> {
        self.scheduled()
            .filter(|(_, message)| message.scheduled_at <= now)
            .min_by_key(|(_, message)| (message.scheduled_at, message.id))
            .map(|(place, _)| place)
    }

    /// Judges the message at `place`, which is due, and does what was said.
    pub fn judge(
        &mut self,
        place: usize,
        world: &World,
        situation: &Situation,
        enrolments: &[Enrolment],
        now: Timestamp,
    ) -> Said {
        let message = self.messages[place].clone();
        let (id, enrolment) = (message.id, message.enrolment_id);
        let rule = world.rules.iter().position(|rule| rule.id == message.rule_id);
        let others = || self.messages.iter().filter(|m| m.id != id);
        let left: Vec<Timestamp> =
            others().filter(|m| m.class == Class::Marketing).filter_map(Message::left_at).collect();
        let mut of_it = others().filter(|m| m.enrolment_id == enrolment);
        let verdict = door::judge(&Knock {
            message: &message,
            store: world.store,
            rule: rule.map(|index| &world.rules[index]),
            enrolment: enrolments.iter().find(|row| row.id == enrolment),
            situation: Some(situation),
            previous: of_it.find(|m| m.step == message.step - 1),
            left: &left,
            house: world.house.at(now, situation.customer, &world.store.timezone),
            now,
        });
        let own = &mut self.messages[place];
        let (outcome, reason, facts, messages, ends) = match verdict {
            Verdict::Send | Verdict::SendOther => {
                (own.status, own.held_for) = (MessageStatus::Sent, None);
                (own.claimed_at, own.sent_at) = (Some(now), Some(now));
                own.attempts += 1;
                (Outcome::Sent, None, Facts::new(), 0, self.closed(enrolment, Reason::GaveUp))
            }
            Verdict::Defer { until, reason, facts } => {
                let is_news = own.held_for != Some(reason);
                (own.scheduled_at, own.held_for) = (until, Some(reason));
                if !is_news {
                    return Said { event: None, ends: None };
                }
                (Outcome::Deferred, Some(reason), facts, 0, None)
            }
            Verdict::Reschedule { at, useful_until } => {
                (own.scheduled_at, own.useful_until) = (at, useful_until);
                own.held_for = None;
                return Said { event: None, ends: None };
            }
            Verdict::Stop { reason, facts } => {
                let messages = self.cancel(enrolment, reason);
                let ends = Some((enrolment, EnrolmentStatus::Stopped, Some(reason)));
                (Outcome::Stopped, Some(reason), facts, messages, ends)
            }
            Verdict::Bar { reason, facts } => {
                let messages = self.cancel(enrolment, reason);
                let ends = Some((enrolment, EnrolmentStatus::Stopped, Some(reason)));
                (Outcome::Suppressed, Some(reason), facts, messages, ends)
            }
            Verdict::Cancel { reason } => {
                let reason = reason.unwrap_or(Reason::AlreadyEnrolled);
                let messages = self.cancel(enrolment, reason);
                (Outcome::Stopped, Some(reason), Facts::new(), messages, None)
            }
            Verdict::Skip { facts } => {
                let reason = Reason::Branch;
                (own.status, own.held_for) = (MessageStatus::Cancelled, None);
                own.cancelled_for = Some(reason);
                (Outcome::NotEligible, Some(reason), facts, 1, self.closed(enrolment, reason))
            }
            Verdict::Expire { facts } => {
                let reason = Reason::UsefulUntilPassed;
                (own.status, own.held_for) = (MessageStatus::Cancelled, None);
                own.cancelled_for = Some(reason);
                (Outcome::Expired, Some(reason), facts, 1, self.closed(enrolment, reason))
            }
        };
        let event = rule.map(|rule| Event {
            at: now,
            rule,
            enrolment,
            step: Some(message.step),
            outcome,
            reason,
            facts,
            messages,
            meant: false,
        });
        Said { event, ends }
    }

    /// How an enrolment ends that has nothing to come: completed if anything left.
    fn closed(
        &self,
        enrolment: EnrolmentId,
        reason: Reason,
    ) -> Option<(EnrolmentId, EnrolmentStatus, Option<Reason>)> {
        let of_it = || self.messages.iter().filter(|m| m.enrolment_id == enrolment);
        if of_it().any(|m| m.status == MessageStatus::Scheduled) {
            None
        } else if of_it().any(|m| m.left_at().is_some()) {
            Some((enrolment, EnrolmentStatus::Completed, None))
        } else {
            Some((enrolment, EnrolmentStatus::Expired, Some(reason)))
        }
    }
}
