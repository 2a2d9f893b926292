//! Why a live rule has nothing in the ledger for what a customer did last: recomputed, never stored. Pure.

use super::episode::{Episode, Silence};
use crate::ledger::{Decision, Facts, Outcome, Reason};
use crate::primitives::Timestamp;
use crate::rules::StoredRule;
use crate::situation::Situation;

/// One line for every live rule whose current episode has no row. `known` says whether the ledger has any line
/// of a rule: of such a rule it is no news that nothing has happened since.
pub fn unrecorded(
    live: &[StoredRule],
    situation: &Situation,
    known: impl Fn(&StoredRule) -> bool,
    now: Timestamp,
) -> Vec<Decision> {
    let mut lines = Vec::new();
    for rule in live {
        let has_row = |episode: &Episode| {
            situation.enrolments.iter().any(|e| e.rule_id == rule.id && episode.is_of(e))
        };
        if Episode::last(rule, &situation.moments, now).is_ok_and(|episode| has_row(&episode)) {
            continue;
        }
        let episode = Episode::current(rule, &situation.moments, now);
        let (reason, facts) = match &episode {
            Ok(episode) => match episode.due(rule, now) {
                // The next pass decides about it.
                Ok(due_at) => (Reason::NotDueYet, about(episode).with("due_at", due_at)),
                Err(silence) => (silence.reason(), said(&silence, about(episode), rule)),
            },
            Err(Silence::NothingHappened) if known(rule) => continue,
            Err(silence) => (silence.reason(), said(silence, Facts::new(), rule)),
        };
        lines.push(Decision {
            id: None,
            at: now,
            rule: rule.rule.key.clone(),
            step: None,
            outcome: Outcome::NotEligible,
            reason: Some(reason),
            facts: facts.with("recomputed", true).into_map(),
            message_id: None,
        });
    }
    lines
}

fn about(episode: &Episode) -> Facts {
    Facts::new().with("moment", episode.moment)
}

fn said(silence: &Silence, facts: Facts, rule: &StoredRule) -> Facts {
    match silence {
        Silence::NothingHappened => facts.with("waits_for", rule.rule.trigger.kind.name()),
        Silence::Bought { placed_at } => facts.with("placed_at", placed_at),
        Silence::TooLong { last_order_at } => facts.with("last_order_at", last_order_at),
        Silence::NotDueYet { due_at }
        | Silence::Over { due_at }
        | Silence::ToldTooLate { due_at } => facts.with("due_at", due_at),
        Silence::DueBeforeLive { due_at } => {
            facts.with("due_at", due_at).with_known("live_since", rule.live_since)
        }
    }
}
