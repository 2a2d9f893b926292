//! Why a rule did or did not write, as of any time: the ledger up to then, and for a rule that ran then without a row
//! the reason, recomputed from the customer's own facts.
//!
//! Its cost is one customer's: every query goes by the customer, or by the store's few rules.

use diesel::prelude::*;

use super::known::as_known_at;
use crate::customers;
use crate::db::Conn;
use crate::db::schema::at_risk_stays;
use crate::journal;
use crate::journal::fold::{Frame, fold_all};
use crate::ledger::{self, Decision, Facts, Outcome, Reason};
use crate::planner::why;
use crate::primitives::{CustomerId, EmailAddress, RuleId, Timestamp};
use crate::rules::{self, RuleStatus, StoredRule, TriggerKind};
use crate::scoring::{self, is_of_visitors};
use crate::situation::store::folded::{FirstAndLast, Then};
use crate::situation::{self, Situation, entered_at};
use crate::stores::Store;

/// The reasons of the rules that ran at `at` and have no row for what the customer did last; of `rule` alone where it
/// is named. `recorded` is the ledger up to then.
pub fn unrecorded(
    conn: &mut Conn,
    store: &Store,
    customer: CustomerId,
    rule: Option<&str>,
    recorded: &[Decision],
    at: Timestamp,
) -> QueryResult<Vec<Decision>> {
    let then = rules::store::as_of(conn, store.id, at)?;
    let (running, off): (Vec<StoredRule>, Vec<StoredRule>) = then
        .into_iter()
        .filter(|stored| rule.is_none_or(|key| key == stored.rule.key))
        .partition(|stored| matches!(stored.status, RuleStatus::Live | RuleStatus::Shadow));
    let Some(situation) = situation_then(conn, store, customer, at)? else { return Ok(Vec::new()) };
    let is_known = |rule: &StoredRule| recorded.iter().any(|line| line.rule == rule.rule.key);
    let mut lines = why::unrecorded(&running, &situation.then, is_known, at);
    if !situation.is_scored {
        // What was estimated then is not kept: whoever reads this must not take the answer for more than it is.
        let asks =
            |line: &Decision| running.iter().any(|r| r.rule.key == line.rule && asks_scores(r));
        for line in lines.iter_mut().filter(|line| asks(line)) {
            line.facts.insert("past_scores".to_owned(), "not kept".into());
        }
    }
    // Who asks about one rule is told that it did not run.
    lines.extend(off.iter().filter(|_| rule.is_some()).map(|stored| Decision {
        id: None,
        at,
        rule: stored.rule.key.clone(),
        step: None,
        outcome: Outcome::NotEligible,
        reason: Some(Reason::Paused),
        facts: Facts::new().with("rule_status", stored.status).with("recomputed", true).into_map(),
        message_id: None,
    }));
    Ok(lines)
}

/// Whether what it says depends on estimates, beside the stays that are kept.
fn asks_scores(rule: &StoredRule) -> bool {
    let fields = rule.rule.conditions().flat_map(|condition| condition.fields());
    let by_rhythm = matches!(rule.rule.trigger.kind, TriggerKind::RepurchaseDue { after: None });
    by_rhythm || { fields }.any(|field| field.is_of_scores())
}

/// A customer as they were known at a time.
struct KnownThen {
    then: Situation,
    /// Whether the scores are those of then: none was made since.
    is_scored: bool,
}

/// What was known of a customer at `at`; `None` of one who is somebody else by now, or was forgotten.
fn situation_then(
    conn: &mut Conn,
    store: &Store,
    customer: CustomerId,
    at: Timestamp,
) -> QueryResult<Option<KnownThen>> {
    // Who is loaded as of now is there to be asked about, and brings arms along.
    let Some(now) = situation::store::load(conn, store, &[customer])?.pop() else {
        return Ok(None);
    };
    let Some(stored) = customers::store::load(conn, &[customer])?.pop() else { return Ok(None) };
    let facts = as_known_at(journal::store::of_customers(conn, &[customer])?, at);
    let frame = Frame { zone: store.timezone.clone(), currency: store.currency.clone() };
    let folded = fold_all(stored.profile.external_id.as_deref(), &facts, &frame);
    let suppressed = match &folded.profile.email {
        Some(address) => suppressed_since(conn, store, address)?.is_some_and(|since| since <= at),
        None => false,
    };
    let orders = FirstAndLast::of(customer, &folded);
    let then = Then { customer, store, folded: &folded, orders: &orders, suppressed, score: None };
    let mut then = then.situation();
    let stays = scoring::store::history_of(conn, customer)?;
    let stay = stays.iter().filter(|(since, _)| *since <= at).max_by_key(|(since, _)| *since);
    let first = folded.rollup.first_order_at.or(folded.rollup.first_seen_at);
    then.moments.segment = stay.map(|(since, segment)| {
        let of_kind = |other: &str| is_of_visitors(segment) || !is_of_visitors(other);
        let alike = stays.iter().filter(|(_, other)| of_kind(other)).map(|(since, _)| *since);
        (segment.clone(), entered_at(*since, alike.min(), first))
    });
    // It stands as it was at the last order, so it is the same as long as that is.
    let same_order = |s: &Situation| s.moments.last_order.as_ref().map(|order| order.at);
    if same_order(&now) == same_order(&then) {
        then.moments.next_order_expected_at = now.moments.next_order_expected_at;
    }
    let enrolments = ledger::store::enrolments_of(conn, &[customer])?;
    then.enrolments = enrolments.into_iter().filter(|row| row.created_at <= at).collect();
    then.arms = now.arms;
    then.moments.at_risk = stays_at(conn, customer, at)?;
    let is_scored = scoring::run::last_as_of(conn, store)?.is_none_or(|as_of| as_of <= at);
    if is_scored {
        then.subject.take_scores(&now.subject);
        then.moments.segment = now.moments.segment;
    }
    Ok(Some(KnownThen { then, is_scored }))
}

/// Beyond the lines of which `at_risk` rules they were: as long as their rows are kept, which is two weeks after they
/// left.
fn stays_at(
    conn: &mut Conn,
    customer: CustomerId,
    at: Timestamp,
) -> QueryResult<Vec<(RuleId, Timestamp)>> {
    at_risk_stays::table
        .filter(at_risk_stays::customer_id.eq(customer).and(at_risk_stays::since.le(at)))
        .filter(at_risk_stays::left_at.is_null().or(at_risk_stays::left_at.gt(at)))
        .select((at_risk_stays::rule_id, at_risk_stays::since))
        .load(conn)
}

fn suppressed_since(
    conn: &mut Conn,
    store: &Store,
    address: &EmailAddress,
) -> QueryResult<Option<Timestamp>> {
    let row = customers::suppression::find(conn, store.id, address)?;
    Ok(row.map(|row| row.created_at))
}
