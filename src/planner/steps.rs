//! The messages of an enrolment: when each step is planned for, and how long it is of use. Pure.

use crate::outbox::Message;
use crate::primitives::{Delay, Timestamp};
use crate::rules::Rule;

/// One step of an enrolment, to be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedStep {
    /// From 1.
    pub step: i32,
    pub planned_for: Timestamp,
    pub useful_until: Timestamp,
}

/// All steps at once, so that the operator sees what is planned; each is judged again at the door.
pub fn planned(rule: &Rule, from: Timestamp) -> Vec<PlannedStep> {
    let mut planned_for = from;
    let steps = (1..).zip(&rule.steps).map(|(step, wanted)| {
        planned_for = planned_for.plus(wanted.wait);
        PlannedStep { step, planned_for, useful_until: planned_for.plus(rule.trigger.useful_for) }
    });
    steps.collect()
}

/// A message that a later moment of its episode puts off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOff {
    pub scheduled_at: Timestamp,
    pub planned_for: Timestamp,
    pub useful_until: Timestamp,
}

/// What becomes of an enrolment's messages, in order of their steps, when it falls due `due_at` instead; `None` for
/// those that stay where they are.
pub fn put_off(rule: &Rule, due_at: Timestamp, messages: &[Message]) -> Vec<Option<PutOff>> {
    let mut planned_for = due_at;
    let put_off = messages.iter().map(|message| {
        let wait = rule.steps.get(message.step as usize - 1).map(|step| step.wait);
        planned_for = planned_for.plus(wait.unwrap_or(Delay::ZERO));
        (planned_for > message.planned_for).then(|| PutOff {
            scheduled_at: planned_for.max(message.scheduled_at),
            planned_for,
            useful_until: planned_for.plus(rule.trigger.useful_for).max(message.useful_until),
        })
    });
    put_off.collect()
}
