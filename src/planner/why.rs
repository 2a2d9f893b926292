//! Why a live rule has nothing in the ledger for what a customer did last: recomputed, never stored. Pure.

use std::borrow::Cow;

use super::episode::{Episode, Silence};
use crate::ledger::{Decision, Facts, Outcome, Reason};
use crate::primitives::Timestamp;
use crate::rules::{Class, StoredRule, TriggerKind};
use crate::situation::{ConsentState, Moments, Situation};

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
        let moments = &with_firing(rule, &situation.moments, now);
        if Episode::last(rule, moments, now).is_ok_and(|episode| has_row(&episode)) {
            continue;
        }
        let episode = Episode::current(rule, moments, now);
        let (reason, facts) = match &episode {
            Ok(episode) => match episode.due(rule, now) {
                Ok(due_at) if moments.firing.is_some() => {
                    let (reason, facts) = passed_over(rule, situation, about(episode), now);
                    (reason, facts.with("due_at", due_at))
                }
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

/// A schedule's last firing while it is of use, else its next one: what `why` is asked about.
fn with_firing<'m>(rule: &StoredRule, moments: &'m Moments, now: Timestamp) -> Cow<'m, Moments> {
    let TriggerKind::Schedule { cron } = &rule.rule.trigger.kind else {
        return Cow::Borrowed(moments);
    };
    let zone = &moments.store_zone;
    let is_asked = |at: &Timestamp| {
        *at > now.minus(rule.rule.trigger.useful_for)
            && rule.live_since.is_none_or(|live| *at > live)
    };
    let fires = cron.last_until(now, zone).filter(is_asked).or_else(|| cron.next_after(now, zone));
    Cow::Owned(Moments { firing: fires.map(|at| (rule.id, at)), ..moments.clone() })
}

/// Why a firing passed somebody over: it asks those alone who fit and can be written to.
fn passed_over(
    rule: &StoredRule,
    situation: &Situation,
    facts: Facts,
    now: Timestamp,
) -> (Reason, Facts) {
    let standing = &situation.standing;
    match &rule.rule.audience {
        _ if standing.address.is_none() => (Reason::NoAddress, facts),
        _ if rule.rule.class == Class::Marketing && standing.consent != ConsentState::Granted => {
            (Reason::NoConsent, facts.with("consent", standing.consent))
        }
        Some(audience) if !audience.holds(&situation.subject, now) => {
            (Reason::Audience, facts.with("audience", audience.facts(&situation.subject, now)))
        }
        // Its page is still to come.
        _ => (Reason::NotDueYet, facts),
    }
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
