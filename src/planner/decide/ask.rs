//! What one rule says of one customer, before the others are heard: the questions in their order.

use super::Hearing;
use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Outcome, Reason};
use crate::outbox::door::{bought_by_another, consents, facts_of};
use crate::planner::action::{Action, Entry};
use crate::primitives::Timestamp;
use crate::rules::{Class, StoredRule, TriggerKind};
use crate::situation::{Arm, Situation};

/// The name of the experiment that spans all rules of a store.
const GLOBAL_EXPERIMENT: &str = "global";

/// What one rule says about one episode, before the others are heard.
pub enum Answer {
    Refused { status: EnrolmentStatus, outcome: Outcome, reason: Reason },
    Wants,
}

/// The questions a rule asks, consent first, so that no report hides it behind a business reason.
pub fn ask(
    pass: &Hearing,
    rule: &StoredRule,
    entry: &Entry,
    situation: &Situation,
    standing: &[Enrolment],
    actions: &mut Vec<Action>,
) -> Answer {
    let refused = |outcome, reason| Answer::Refused {
        status: match outcome {
            Outcome::HeldOut => EnrolmentStatus::HeldOut,
            Outcome::Expired => EnrolmentStatus::Expired,
            _ => EnrolmentStatus::Refused,
        },
        outcome,
        reason,
    };
    let is_marketing = rule.rule.class == Class::Marketing;
    if is_marketing && !consents(pass.store.sending.consent, situation.standing.consent) {
        return refused(Outcome::Suppressed, Reason::NoConsent);
    }
    if situation.standing.address.is_none() {
        return refused(Outcome::Suppressed, Reason::NoAddress);
    }
    if situation.standing.suppressed {
        return refused(Outcome::Suppressed, Reason::Suppressed);
    }
    if (entry.waiting.is_none() && !within_limits(rule, situation))
        || !is_in_audience(rule, situation, pass.now)
    {
        return refused(Outcome::NotEligible, Reason::Audience);
    }
    let mut own = standing.iter().filter(|e| e.rule_id == rule.id && Some(e.id) != entry.waiting);
    if own.clone().any(|e| e.status == EnrolmentStatus::Active) {
        return refused(Outcome::NotEligible, Reason::AlreadyEnrolled);
    }
    if let Some(every) = rule.rule.at_most_every
        && own.any(|e| e.enrolled_at.is_some_and(|at| at.plus(every) > pass.now))
    {
        return refused(Outcome::NotEligible, Reason::RecentlyEnrolled);
    }
    if pass.now > entry.useful_until {
        return refused(Outcome::Expired, Reason::UsefulUntilPassed);
    }
    if bought_by_another(rule, entry.stops_after, &situation.moments).is_some() {
        return refused(Outcome::Suppressed, Reason::Bought);
    }
    if is_marketing && is_held_out(pass, rule, situation, actions) {
        return refused(Outcome::HeldOut, Reason::Holdout);
    }
    Answer::Wants
}

/// Whether the rule is for this customer at all, whatever stands in the way.
pub fn is_meant_for(rule: &StoredRule, situation: &Situation, now: Timestamp) -> bool {
    within_limits(rule, situation) && is_in_audience(rule, situation, now)
}

fn is_in_audience(rule: &StoredRule, situation: &Situation, now: Timestamp) -> bool {
    rule.rule.audience.as_ref().is_none_or(|audience| audience.holds(&situation.subject, now))
}

/// What the refusal was made on.
pub fn refusal_facts(
    pass: &Hearing,
    rule: &StoredRule,
    situation: &Situation,
    reason: Reason,
    facts: Facts,
) -> Facts {
    match reason {
        Reason::NoConsent => facts
            .with("consent", situation.standing.consent)
            .with("asked_for", pass.store.sending.consent),
        Reason::Audience => {
            let mut facts = facts;
            if let TriggerKind::VisitedWithoutBuying { .. } = rule.rule.trigger.kind {
                let views = situation.moments.visit.as_ref().map_or(0, |visit| visit.product_views);
                facts = facts
                    .with("visits", situation.moments.visits_count)
                    .with("product_views_of_visit", views);
            }
            match &rule.rule.audience {
                Some(audience) => {
                    facts.with("audience", audience.facts(&situation.subject, pass.now))
                }
                None => facts,
            }
        }
        Reason::Bought => facts.and(situation.moments.weak_order.as_ref().map(facts_of)),
        Reason::RecentlyEnrolled => facts.with("at_most_every", rule.rule.at_most_every),
        Reason::UsefulUntilPassed => facts.with("useful_for", rule.rule.trigger.useful_for),
        _ => facts,
    }
}

/// The trigger's own limits on the visit it counts from.
fn within_limits(rule: &StoredRule, situation: &Situation) -> bool {
    match rule.rule.trigger.kind {
        TriggerKind::VisitedWithoutBuying { min_visits, min_product_views, .. } => {
            let views = situation.moments.visit.as_ref().map_or(0, |visit| visit.product_views);
            i64::from(situation.moments.visits_count) >= i64::from(min_visits)
                && i64::from(views) >= i64::from(min_product_views)
        }
        _ => true,
    }
}

/// Draws the arms not drawn yet. Once a customer is held out of all rules, the rule's own arm is not drawn.
fn is_held_out(
    pass: &Hearing,
    rule: &StoredRule,
    situation: &Situation,
    actions: &mut Vec<Action>,
) -> bool {
    let experiments = [
        (GLOBAL_EXPERIMENT, pass.store.sending.holdout),
        (rule.rule.key.as_str(), rule.rule.holdout),
    ];
    experiments.into_iter().filter(|(_, share)| *share > 0.0).any(|(experiment, share)| {
        let known = situation.arms.iter().find(|(name, _)| name == experiment).map(|(_, arm)| *arm);
        let drawn_now = actions.iter().find_map(|action| match action {
            Action::Assign { experiment: name, arm, .. } if name == experiment => Some(*arm),
            _ => None,
        });
        let arm = known.or(drawn_now).unwrap_or_else(|| {
            let parts = [experiment.as_bytes(), situation.identity.as_bytes()];
            let is_out = pass.secret.keyed_fraction("experiment", &parts) < share;
            let arm = if is_out { Arm::Holdout } else { Arm::Treatment };
            actions.push(Action::Assign { experiment: experiment.to_owned(), arm, share });
            arm
        });
        arm == Arm::Holdout
    })
}
