//! Decides what becomes of one customer in all live rules at `now`. Pure: it neither awaits nor asks a database.
//!
//! Running it twice plans the same mail once: what it decided is in the situation the next time.

mod ask;
mod compete;

use super::action::{Action, Entry};
use super::episode::{Episode, Silence, is_of_visit_or_basket};
use crate::ledger::{Enrolment, EnrolmentStatus, Facts};
use crate::outbox::door::ended_by;
use crate::primitives::{Money, Timestamp};
use crate::rules::{RuleStatus, StoredRule, TriggerKind};
use crate::secret::Secret;
use crate::situation::Situation;
use crate::stores::Store;

pub use ask::is_meant_for;
use ask::{Answer, ask, refusal_facts};
use compete::{Claim, compete};

/// What stays the same for all customers of a pass.
#[derive(Clone, Copy)]
pub struct Pass<'p> {
    pub store: &'p Store,
    /// The live rules, all of them: the ladder needs to know who else serves a customer. And those in shadow.
    pub rules: &'p [StoredRule],
    pub secret: &'p Secret,
    /// What each rule brings a thousand messages, by the place of the rule; where nothing is said, nothing is known.
    pub worth: &'p [i64],
    pub now: Timestamp,
}

/// A pass as one group of rules sees it: the live ones among themselves, or beside them one that is in shadow.
struct Hearing<'p> {
    pass: &'p Pass<'p>,
    shadow: Option<usize>,
}

impl<'p> std::ops::Deref for Hearing<'p> {
    type Target = Pass<'p>;
    fn deref(&self) -> &Pass<'p> {
        self.pass
    }
}

impl<'p> Hearing<'p> {
    /// The rules that are heard, with their places in the pass.
    fn heard(&self) -> impl Iterator<Item = (usize, &'p StoredRule)> {
        let shadow = self.shadow;
        self.pass
            .rules
            .iter()
            .enumerate()
            .filter(move |(index, rule)| !is_in_shadow(rule) || shadow == Some(*index))
    }

    /// Whether these rules know of `enrolment`: what a rule only would have done is known to itself alone.
    fn knows(&self, enrolment: &Enrolment) -> bool {
        !enrolment.shadow
            || self.shadow.is_some_and(|index| self.pass.rules[index].id == enrolment.rule_id)
    }
}

fn is_in_shadow(rule: &StoredRule) -> bool {
    rule.status == RuleStatus::Shadow
}

/// What is to be done about one customer, in the order in which it is to be done.
///
/// A rule in shadow is heard beside the live ones as if it were one of them, and only what becomes of itself is
/// kept: nobody loses a turn to it.
pub fn plan(pass: &Pass, situation: &Situation) -> Vec<Action> {
    let mut actions = hear(&Hearing { pass, shadow: None }, situation);
    for (index, _) in pass.rules.iter().enumerate().filter(|(_, rule)| is_in_shadow(rule)) {
        let alike = hear(&Hearing { pass, shadow: Some(index) }, situation);
        actions.extend(alike.into_iter().filter(|action| action.rule() == Some(index)));
    }
    actions
}

fn hear(pass: &Hearing, situation: &Situation) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut claims = Vec::new();
    let mut standing = review(pass, situation, &mut actions);

    for (index, rule) in pass.heard() {
        let waiting = standing
            .iter()
            .find(|e| e.rule_id == rule.id && e.retry_at.is_some_and(|at| at <= pass.now));
        let claim = match waiting {
            Some(row) => {
                Claim { rule: index, from: pass.now, entry: waited(index, row, situation) }
            }
            None => match due_entry(pass, rule, index, situation, &standing) {
                Ok(entry) => Claim { rule: index, from: entry.due_at, entry },
                Err(_) => continue,
            },
        };
        match ask(pass, rule, &claim.entry, situation, &standing, &mut actions) {
            Answer::Wants => claims.push(claim),
            Answer::Refused { status, outcome, reason } => {
                let mut entry = claim.entry;
                entry.facts = refusal_facts(pass, rule, situation, reason, entry.facts);
                actions.push(Action::Refuse { entry, status, outcome, reason });
            }
        }
    }
    compete(pass, situation, claims, &mut standing, &mut actions);
    actions
}

/// Looks after what is open: ends what was bought or closed since, stretches episodes that go on.
/// Returns the enrolments as they stand then.
fn review(pass: &Hearing, situation: &Situation, actions: &mut Vec<Action>) -> Vec<Enrolment> {
    let mut standing: Vec<Enrolment> =
        situation.enrolments.iter().filter(|e| pass.knows(e)).cloned().collect();
    for enrolment in standing.iter_mut().filter(|e| e.is_open()) {
        let found = pass.heard().find(|(_, rule)| rule.id == enrolment.rule_id);
        // What was begun live waits while its rule is in shadow, and the other way round.
        let Some((index, rule)) = found.filter(|(_, rule)| is_in_shadow(rule) == enrolment.shadow)
        else {
            continue;
        };
        // An older version goes by these words too: what stops the rule now stops it for everybody. Its own are
        // read at the door.
        if let Some((reason, since)) = ended_by(rule, enrolment, &situation.moments) {
            let facts = Facts::new().with_known("since", since);
            let (enrolment_id, from) = (enrolment.id, enrolment.status);
            (enrolment.status, enrolment.retry_at) = (EnrolmentStatus::Stopped, None);
            actions.push(Action::Stop {
                rule: index,
                enrolment: enrolment_id,
                from,
                reason,
                facts,
            });
            continue;
        }
        stretch(pass, index, rule, enrolment, situation, actions);
    }
    standing
}

/// Puts off what is planned of a visit or a basket that went on after it was enrolled.
fn stretch(
    pass: &Hearing,
    index: usize,
    rule: &StoredRule,
    enrolment: &mut Enrolment,
    situation: &Situation,
    actions: &mut Vec<Action>,
) {
    let Ok(episode) = Episode::current(rule, &situation.moments, pass.now) else { return };
    let goes_on = is_of_visit_or_basket(rule)
        && episode.is_of(enrolment)
        && episode.moment > enrolment.episode_until;
    if !goes_on {
        return;
    }
    let due_at = episode.moment.plus(rule.rule.trigger.kind.after()).max(enrolment.due_at);
    enrolment.episode_until = episode.moment;
    enrolment.due_at = due_at;
    enrolment.useful_until = due_at.plus(rule.rule.trigger.useful_for);
    actions.push(Action::Stretch {
        rule: index,
        enrolment: enrolment.id,
        until: episode.moment,
        due_at,
        zone: situation.standing.zone.clone(),
    });
    if enrolment.retry_at.is_some_and(|at| at < due_at) {
        enrolment.retry_at = Some(due_at);
        actions.push(Action::WaitOn { rule: index, enrolment: enrolment.id, retry_at: due_at });
    }
}

/// The entry of an episode that is due and has none yet.
fn due_entry(
    pass: &Hearing,
    rule: &StoredRule,
    index: usize,
    situation: &Situation,
    standing: &[Enrolment],
) -> Result<Entry, Option<Silence>> {
    let episode = Episode::current(rule, &situation.moments, pass.now).map_err(Some)?;
    let mut own = standing.iter().filter(|e| e.rule_id == rule.id);
    // A first order happens once in a life, whichever order it turns out to have been.
    let is_once = matches!(rule.rule.trigger.kind, TriggerKind::FirstOrder { .. });
    if own.any(|e| is_once || episode.is_of(e)) {
        return Err(None);
    }
    let due_at = episode.due(rule, pass.now).map_err(Some)?;
    Ok(Entry {
        rule: index,
        waiting: None,
        episode: episode.start,
        episode_until: episode.moment,
        order_id: episode.order_id.clone(),
        stops_after: episode.stops_after,
        due_at,
        useful_until: due_at.plus(rule.rule.trigger.useful_for),
        facts: occasion(
            pass,
            rule,
            situation,
            &episode,
            Facts::new().with("moment", episode.moment).with("due_at", due_at),
        ),
        zone: situation.standing.zone.clone(),
        identity: situation.identity.clone(),
    })
}

/// What the estimates said that the rule went by; they will have changed when somebody asks.
fn occasion(
    pass: &Pass,
    rule: &StoredRule,
    situation: &Situation,
    episode: &Episode,
    facts: Facts,
) -> Facts {
    match rule.rule.trigger.kind {
        TriggerKind::AtRisk { .. } => {
            let subject = &situation.subject;
            let money = |minor| Money::new(minor, pass.store.currency.clone());
            facts
                .with_known("p_alive", subject.p_alive.map(|p| (p * 1e4).round() / 1e4))
                .with_known("value_at_risk", subject.value_at_risk.map(money))
                .with_known("segment", subject.segment.as_ref())
        }
        TriggerKind::RepurchaseDue { after: None } => {
            let mut products = situation.moments.repurchases.iter();
            match products.find(|product| Some(product.expected_at) == episode.falls_due) {
                Some(product) => facts
                    .with("product", product.name.as_ref().unwrap_or(&product.product_id))
                    .with("product_id", &product.product_id),
                None => facts,
            }
        }
        _ => facts,
    }
}

fn waited(index: usize, row: &Enrolment, situation: &Situation) -> Entry {
    Entry {
        rule: index,
        waiting: Some(row.id),
        episode: row.episode,
        episode_until: row.episode_until,
        order_id: row.order_id.clone(),
        stops_after: row.stops_after,
        due_at: row.due_at,
        useful_until: row.useful_until,
        facts: Facts::new().with("moment", row.episode_until).with("due_at", row.due_at),
        zone: situation.standing.zone.clone(),
        identity: situation.identity.clone(),
    }
}
