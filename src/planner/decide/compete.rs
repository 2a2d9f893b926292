//! Which of the rules that want a customer has them now: the ladder, and the pause between two messages.

use std::cmp::Reverse;

use super::Hearing;
use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Outcome, Reason};
use crate::planner::action::{Action, Entry};
use crate::planner::episode::{Episode, Silence, is_of_visit_or_basket};
use crate::primitives::{CustomerId, Delay, EnrolmentId, Timestamp};
use crate::rules::{Class, Rung, StoredRule};
use crate::situation::Situation;

/// A rule that wants the customer in this pass.
pub struct Claim {
    pub rule: usize,
    pub entry: Entry,
    pub from: Timestamp,
}

/// Hears the rules that want the customer, strongest first.
pub fn compete(
    pass: &Hearing,
    situation: &Situation,
    mut claims: Vec<Claim>,
    standing: &mut Vec<Enrolment>,
    actions: &mut Vec<Action>,
) {
    claims.sort_by(|a, b| strength(pass, a.rule).cmp(&strength(pass, b.rule)));
    let mut winner: Option<usize> = None;
    for Claim { rule: index, mut entry, from } in claims {
        let rule = &pass.rules[index];
        let is_gone = |e: &Enrolment| Some(e.id) == entry.waiting && !e.is_open();
        if standing.iter().any(is_gone) {
            continue;
        }
        match above(pass, rule, &entry, situation, standing) {
            Above::Enrolled(key) => {
                entry.facts = entry.facts.with("winner", key);
                let (status, outcome) = (EnrolmentStatus::Stopped, Outcome::Stopped);
                actions.push(Action::Refuse { entry, status, outcome, reason: Reason::Outranked });
                continue;
            }
            Above::Open { key, asked_at } => {
                let retry_at = asked_at.max(Timestamp(pass.now.0 + 1));
                wait(pass, entry, key, retry_at, standing, actions);
                continue;
            }
            Above::Nobody => {}
        }
        // Service mail is owed: it waits for nobody outside its own episode.
        if let Some(first) = winner
            && rule.rule.class == Class::Marketing
        {
            let pause = pass.store.sending.min_gap.unwrap_or(Delay::days(1));
            wait(pass, entry, &pass.rules[first].rule.key, pass.now.plus(pause), standing, actions);
            continue;
        }
        winner = winner.or(Some(index));
        outrank(pass, rule, &entry, standing, actions);
        match standing.iter_mut().find(|e| Some(e.id) == entry.waiting) {
            Some(row) => (row.status, row.retry_at) = (EnrolmentStatus::Active, None),
            None => standing.push(as_row(pass, &entry, EnrolmentStatus::Active, None)),
        }
        actions.push(Action::Enrol { entry, from });
    }
}

/// Ends what lower rungs have open in the episode that `rule` enters now.
fn outrank(
    pass: &Hearing,
    rule: &StoredRule,
    entry: &Entry,
    standing: &mut [Enrolment],
    actions: &mut Vec<Action>,
) {
    if !is_of_visit_or_basket(rule) {
        return;
    }
    for row in standing.iter_mut().filter(|e| e.is_open()) {
        let Some(index) = pass.rules.iter().position(|low| low.id == row.rule_id) else { continue };
        let low = &pass.rules[index];
        if is_of_visit_or_basket(low)
            && low.rung() > rule.rung()
            && row.touches(entry.episode, entry.episode_until)
        {
            let facts = Facts::new().with("winner", &rule.rule.key);
            let (enrolment, from, reason) = (row.id, row.status, Reason::Outranked);
            (row.status, row.retry_at) = (EnrolmentStatus::Stopped, None);
            actions.push(Action::Stop { rule: index, enrolment, from, reason, facts });
        }
    }
}

/// An entry as the row that it will be; who and its id are not told yet.
fn as_row(
    pass: &Hearing,
    entry: &Entry,
    status: EnrolmentStatus,
    retry_at: Option<Timestamp>,
) -> Enrolment {
    let (nobody, no_id) = (CustomerId(0), EnrolmentId(0));
    let row = entry.row(&pass.rules[entry.rule], nobody, no_id, status, pass.now);
    Enrolment { retry_at, ..row }
}

/// Whether a higher rung has, or will have, the same episode.
enum Above<'r> {
    Nobody,
    Enrolled(&'r str),
    /// Its moment is open: it is asked at that time.
    Open {
        key: &'r str,
        asked_at: Timestamp,
    },
}

fn above<'r>(
    pass: &Hearing<'r>,
    rule: &StoredRule,
    entry: &Entry,
    situation: &Situation,
    standing: &[Enrolment],
) -> Above<'r> {
    if !is_of_visit_or_basket(rule) {
        return Above::Nobody;
    }
    let mut open = Above::Nobody;
    let higher = pass.heard().map(|(_, high)| high);
    for high in higher.filter(|h| is_of_visit_or_basket(h) && h.rung() < rule.rung()) {
        let key = high.rule.key.as_str();
        let mut rows = standing
            .iter()
            .filter(|e| e.rule_id == high.id && e.touches(entry.episode, entry.episode_until));
        let row = rows.next_back();
        let asked_at = match row.map(|e| e.status) {
            Some(EnrolmentStatus::Active | EnrolmentStatus::Completed) => {
                return Above::Enrolled(key);
            }
            Some(EnrolmentStatus::Waiting) => row.and_then(|e| e.retry_at),
            Some(_) => None,
            None => Episode::current(high, &situation.moments, pass.now)
                .ok()
                .filter(|h| h.start <= entry.episode_until && entry.episode <= h.moment)
                .and_then(|h| match h.due(high, pass.now) {
                    Err(Silence::NotDueYet { due_at }) => Some(due_at),
                    _ => None,
                }),
        };
        if let Some(asked_at) = asked_at
            && matches!(open, Above::Nobody)
        {
            open = Above::Open { key, asked_at };
        }
    }
    open
}

/// Lets an entry wait until `retry_at`, or until the last instant at which it still is of use.
fn wait(
    pass: &Hearing,
    mut entry: Entry,
    winner: &str,
    retry_at: Timestamp,
    standing: &mut Vec<Enrolment>,
    actions: &mut Vec<Action>,
) {
    if pass.now >= entry.useful_until {
        let (status, outcome) = (EnrolmentStatus::Expired, Outcome::Expired);
        let reason = Reason::UsefulUntilPassed;
        actions.push(Action::Refuse { entry, status, outcome, reason });
        return;
    }
    let retry_at = retry_at.min(entry.useful_until);
    let row = standing.iter_mut().find(|e| Some(e.id) == entry.waiting);
    match row {
        Some(row) if row.retry_at == Some(retry_at) => {}
        Some(row) => {
            row.retry_at = Some(retry_at);
            actions.push(Action::WaitOn { rule: entry.rule, enrolment: row.id, retry_at });
        }
        None => {
            entry.facts = entry.facts.with("winner", winner).with("retry_at", retry_at);
            standing.push(as_row(pass, &entry, EnrolmentStatus::Waiting, Some(retry_at)));
            actions.push(Action::Wait { entry, retry_at });
        }
    }
}

/// Smaller is stronger: the rung, then the priority, then what a message of it is expected to bring, then the key, so
/// that no two are alike.
fn strength<'p>(pass: &Hearing<'p>, index: usize) -> (Rung, Reverse<u8>, Reverse<i64>, &'p str) {
    let rule = &pass.pass.rules[index];
    let worth = pass.worth.get(index).copied().unwrap_or(0);
    (rule.rung(), Reverse(rule.rule.priority), Reverse(worth), &rule.rule.key)
}
