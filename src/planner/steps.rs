//! The messages of an enrolment: when each step is planned for, and how long it is of use. Pure.

use crate::ledger::Enrolment;
use crate::outbox::door::happened;
use crate::outbox::{Message, MessageStatus};
use crate::primitives::{MessageId, RuleId, Timestamp, Zone};
use crate::rules::{Rule, StoredRule};
use crate::situation::Moments;

/// One step of an enrolment, to be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedStep {
    /// From 1.
    pub step: i32,
    pub planned_for: Timestamp,
    pub useful_until: Timestamp,
}

/// All steps at once, so that the operator sees what is planned; each is judged again at the door.
///
/// A step that waits for an event is planned for the end of its patience; `zone` is the customer's.
pub fn planned(rule: &Rule, from: Timestamp, zone: &Zone) -> Vec<PlannedStep> {
    planned_after(rule, 0, from, zone, Timestamp::MIN)
}

/// The steps after the first `done`, whose last left at `from`. None is planned for a time before `now`.
pub fn planned_after(
    rule: &Rule,
    done: i32,
    from: Timestamp,
    zone: &Zone,
    now: Timestamp,
) -> Vec<PlannedStep> {
    let mut planned_for = from;
    let coming = (1..).zip(&rule.steps).skip_while(|(step, _)| *step <= done);
    let steps = coming.map(|(step, wanted)| {
        planned_for = planned_for.plus(wanted.delay()).max(now);
        if let Some(time) = wanted.send_at {
            planned_for = time.from_on(planned_for, zone);
        }
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

/// What becomes of an enrolment's messages when it falls due `due_at` instead, as if it had been planned for then;
/// `None` for those that stay where they are. `rule` is of the version that they were planned by, `zone` the customer's.
pub fn put_off(
    rule: &Rule,
    due_at: Timestamp,
    zone: &Zone,
    messages: &[Message],
) -> Vec<Option<PutOff>> {
    let planned = planned(rule, due_at, zone);
    let put_off = messages.iter().map(|message| {
        let PlannedStep { planned_for, useful_until, .. } =
            *planned.iter().find(|planned| planned.step == message.step)?;
        (planned_for > message.planned_for).then(|| PutOff {
            scheduled_at: planned_for.max(message.scheduled_at),
            planned_for,
            useful_until: useful_until.max(message.useful_until),
        })
    });
    put_off.collect()
}

/// The messages that need wait no longer: what their steps wait for has come. They are still to be judged.
///
/// Those of an older version of their rule wait until their time is over, and are judged then.
pub fn hastened(
    rules: &[StoredRule],
    moments: &Moments,
    enrolments: &[Enrolment],
    messages: &[Message],
    now: Timestamp,
) -> Vec<MessageId> {
    let waits = |message: &&Message| {
        message.status == MessageStatus::Scheduled && message.scheduled_at > now
    };
    let came = |message: &&Message| {
        let rule = rules
            .iter()
            .find(|rule| rule.id == message.rule_id && rule.version == message.rule_version)?;
        let event = rule.rule.steps.get(message.step as usize - 1)?.wait_until?;
        let enrolment = enrolments.iter().find(|row| row.id == message.enrolment_id)?;
        let previous = messages.iter().find(|other| {
            other.enrolment_id == message.enrolment_id && other.step == message.step - 1
        });
        // What a guardrail holds knocks again when that lets it.
        message.held_for.is_none().then_some(())?;
        happened(event, enrolment, previous, moments)
    };
    messages.iter().filter(waits).filter(|m| came(m).is_some()).map(|m| m.id).collect()
}

/// The rules of which some step waits for an event.
pub fn wait_for_events(rules: &[StoredRule]) -> Vec<RuleId> {
    let waits = |rule: &&StoredRule| rule.rule.steps.iter().any(|step| step.wait_until.is_some());
    rules.iter().filter(waits).map(|rule| rule.id).collect()
}
