//! Claiming: judges messages that are due at the door, each anew, and leases those that may leave. One transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use diesel::prelude::*;

use super::door::{self, House, Knock, Verdict};
use super::lease::{self, Leases};
use super::queue::{self, Knocking, Lane};
use super::{Message, MessageStatus, Tally, settle};
use crate::db::schema::{messages, orders};
use crate::db::{Conn, few_lengths, kept};
use crate::ledger::{self, EnrolmentStatus, Facts, Instants, NewDecision, Outcome, Reason};
use crate::primitives::{CustomerId, Delay, EmailAddress, RuleId, Timestamp};
use crate::restores;
use crate::rules::condition::Needs;
use crate::rules::{self, Class, StoredRule};
use crate::situation::{self, Situation};
use crate::stores::Store;

/// For whom, and when, messages are judged and settled.
#[derive(Clone, Copy)]
pub struct Desk<'d> {
    pub store: &'d Store,
    pub at: Instants,
}

/// A message that may leave, leased to the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub message: Message,
    pub address: EmailAddress,
    /// When it was leased, by the machine's clock.
    pub claimed: Timestamp,
    /// As its customer entered it.
    pub rule: Arc<StoredRule>,
    /// Which of the step's wordings it has: the variant that was drawn, and whether its question led to the other exit.
    pub variant: Option<String>,
    pub by_other_exit: bool,
}

/// What one call made of the messages that were due.
#[derive(Debug, Default)]
pub struct Claimed {
    pub claims: Vec<Claim>,
    /// How many were looked at: zero means that nothing is due.
    pub judged: usize,
    pub tally: Tally,
}

/// Judges due messages, at most `limit`, and leases those that may leave to `owner`: the oldest, and before them what
/// must not wait.
///
/// Needs a write transaction. Two workers never receive the same message. `limit` is at most one second of the
/// sending rate: what the door said must not grow old.
pub fn claim_due(conn: &mut Conn, desk: &Desk, limit: i64, owner: &str) -> QueryResult<Claimed> {
    // Three places of four are for what must not wait behind a backlog, the others for who waits longest: neither
    // starves the other.
    judge_due(conn, desk, owner, &[(queue::URGENT, limit - limit / 4), (queue::ALL, limit)])
}

/// Judges the oldest due messages of rules in shadow alone: they need no way out. As [`claim_due`] otherwise.
pub fn judge_shadows(conn: &mut Conn, desk: &Desk, limit: i64) -> QueryResult<Claimed> {
    judge_due(conn, desk, "", &[(queue::IN_SHADOW, limit)])
}

fn judge_due(
    conn: &mut Conn,
    desk: &Desk,
    owner: &str,
    lanes: &[(Lane, i64)],
) -> QueryResult<Claimed> {
    if restores::pause(conn)?.is_some() {
        return Ok(Claimed::default());
    }
    let Knocking { found, messages } = queue::knocking(conn, desk, lanes)?;
    if found == 0 {
        return Ok(Claimed::default());
    }
    judge_all(conn, desk, messages, owner).map(|claimed| Claimed { judged: found, ..claimed })
}

/// Judges claimed messages anew, since too much time went by before they could be handed over. Those that may
/// still leave are returned with a fresh lease; the others are no longer leased.
pub fn claim_again(
    conn: &mut Conn,
    desk: &Desk,
    claim: &Claim,
    owner: &str,
) -> QueryResult<Claimed> {
    situation::store::lock(conn, claim.message.customer_id)?;
    if lease::take_back(conn, claim, owner)? == 0 {
        return Ok(Claimed::default());
    }
    let again: Vec<Message> = Message::query()
        .filter(messages::customer_id.eq(claim.message.customer_id))
        .filter(messages::id.eq(claim.message.id))
        .get_results(conn)?;
    judge_all(conn, desk, again, owner)
}

fn judge_all(conn: &mut Conn, desk: &Desk, due: Vec<Message>, owner: &str) -> QueryResult<Claimed> {
    let customers: Vec<CustomerId> =
        due.iter().map(|m| m.customer_id).collect::<HashSet<_>>().into_iter().collect();
    let promised = promised(conn, desk, &due)?;
    let of_steps = promised.values().flat_map(|rule| &rule.rule.steps);
    let needs = Needs {
        clicks_until: door::clicks_until(promised.values().map(Arc::as_ref), desk.at.machine),
        ..Needs::of(of_steps.filter_map(|step| step.only_if.as_ref()))
    };
    let situations: HashMap<CustomerId, Situation> =
        situation::store::load_for(conn, desk.store, &customers, &needs, desk.at.now)?
            .into_iter()
            .map(|situation| (situation.customer, situation))
            .collect();
    // Who is no customer any more has no situation; the enrolments of all others stand in theirs.
    let gone: Vec<CustomerId> =
        customers.iter().copied().filter(|id| !situations.contains_key(id)).collect();
    let of_gone = ledger::store::enrolments_of(conn, &gone)?;
    let mut others = neighbours(conn, desk, &customers, &due)?;

    let mut house = house(conn, desk)?;
    let mut claimed = Claimed { judged: due.len(), ..Claimed::default() };
    let mut ledger = Vec::new();
    let mut ended = HashSet::new();
    let mut leases = Leases::default();
    for message in due {
        if ended.contains(&(message.customer_id, message.enrolment_id)) {
            continue;
        }
        let of_customer = others.entry(message.customer_id).or_default();
        let left: Vec<Timestamp> = of_customer
            .iter()
            .filter(|m| m.class == Class::Marketing && m.id != message.id)
            // What a rule in shadow would have sent counts for itself alone.
            .filter(|m| !m.shadow || (message.shadow && m.rule_id == message.rule_id))
            .filter_map(Message::left_at)
            .collect();
        let situation = situations.get(&message.customer_id);
        let enrolment = situation
            .map_or(of_gone.as_slice(), |situation| &situation.enrolments)
            .iter()
            .find(|e| e.customer_id == message.customer_id && e.id == message.enrolment_id);
        let rule = promised.get(&(message.rule_id, message.rule_version));
        let verdict = door::judge(&Knock {
            message: &message,
            store: desk.store,
            rule: rule.map(Arc::as_ref),
            enrolment,
            situation,
            previous: of_customer
                .iter()
                .find(|m| m.enrolment_id == message.enrolment_id && m.step == message.step - 1),
            left: &left,
            house,
            now: desk.at.now,
        });
        let own = of_customer.iter_mut().find(|m| m.id == message.id);
        if !matches!(verdict, Verdict::Send | Verdict::SendOther) || message.shadow {
            // What else is written of this customer must find what was leased of theirs.
            if leases.has_any_of(message.customer_id) {
                claimed.claims.extend(leases.write(conn, desk, owner)?);
            }
        }
        match verdict.clone() {
            Verdict::Send | Verdict::SendOther if message.shadow => {
                let would_send = expire(conn, &message, Reason::Shadow, Some(desk.at.now))?;
                let (outcome, reason) = (Outcome::Suppressed, Reason::Shadow);
                ledger.push(line(desk, &message, outcome, Some(reason), Facts::new()));
                settle::close_if_done(conn, message.customer_id, message.enrolment_id, reason)?;
                claimed.tally.suppressed += 1;
                if let Some(own) = own {
                    *own = would_send;
                }
            }
            Verdict::Send | Verdict::SendOther => {
                let address = situation.and_then(|s| s.standing.address.clone());
                let (Some(address), Some(rule)) = (address, rule) else { continue };
                house.sent_today += u32::from(message.class == Class::Marketing);
                let message = Message {
                    status: MessageStatus::Sending,
                    attempts: message.attempts + 1,
                    claimed_at: Some(desk.at.now),
                    ..message
                };
                if let Some(own) = own {
                    own.clone_from(&message);
                }
                leases.add(Claim {
                    message,
                    address,
                    claimed: desk.at.machine,
                    rule: rule.clone(),
                    variant: None,
                    by_other_exit: verdict == Verdict::SendOther,
                });
            }
            Verdict::Defer { until, reason, facts } => {
                hold(conn, &message, until, Some(reason), None)?;
                if message.held_for != Some(reason) {
                    ledger.push(line(desk, &message, Outcome::Deferred, Some(reason), facts));
                    claimed.tally.deferred += 1;
                }
                if let Some(own) = own {
                    own.scheduled_at = until;
                }
            }
            Verdict::Reschedule { at, useful_until } => {
                hold(conn, &message, at, None, Some(useful_until))?;
                if let Some(own) = own {
                    own.scheduled_at = at;
                }
            }
            Verdict::Stop { reason, facts } => {
                end(conn, desk, &message, Outcome::Stopped, reason, facts, &mut ledger)?;
                ended.insert((message.customer_id, message.enrolment_id));
                claimed.tally.stopped += 1;
            }
            Verdict::Bar { reason, facts } => {
                end(conn, desk, &message, Outcome::Suppressed, reason, facts, &mut ledger)?;
                ended.insert((message.customer_id, message.enrolment_id));
                claimed.tally.suppressed += 1;
            }
            Verdict::Cancel { reason } => {
                // A merge may have dropped the enrolment, where the customer was in the rule already.
                let why = reason.unwrap_or(Reason::AlreadyEnrolled);
                super::store::cancel(conn, message.customer_id, message.enrolment_id, why)?;
                ended.insert((message.customer_id, message.enrolment_id));
                ledger.push(line(desk, &message, Outcome::Stopped, Some(why), Facts::new()));
            }
            Verdict::Skip { facts } => {
                let reason = Reason::Branch;
                let skipped = expire(conn, &message, reason, message.claimed_at)?;
                if let Some(own) = own {
                    *own = skipped;
                }
                ledger.push(line(desk, &message, Outcome::NotEligible, Some(reason), facts));
                settle::close_if_done(conn, message.customer_id, message.enrolment_id, reason)?;
            }
            Verdict::Expire { facts } => {
                let reason = Reason::UsefulUntilPassed;
                let expired = expire(conn, &message, reason, message.claimed_at)?;
                if let Some(own) = own {
                    *own = expired;
                }
                ledger.push(line(desk, &message, Outcome::Expired, Some(reason), facts));
                settle::close_if_done(conn, message.customer_id, message.enrolment_id, reason)?;
                claimed.tally.expired += 1;
            }
        }
    }
    claimed.claims.extend(leases.write(conn, desk, owner)?);
    ledger::store::record(conn, &ledger, || desk.at.new_id())?;
    Ok(claimed)
}

/// What the store's settings need to know of the whole store.
fn house(conn: &mut Conn, desk: &Desk) -> QueryResult<House> {
    let (store, now) = (desk.store, desk.at.now);
    let mut house = House::default();
    if store.sending.daily_budget.is_some() {
        let midnight = store.timezone.start_of(now.day_in(&store.timezone));
        let left = [MessageStatus::Sent, MessageStatus::Sending, MessageStatus::InDoubt];
        // By the index of times: what leaves today was last scheduled for yesterday at the earliest.
        let today = messages::table
            .filter(messages::store_id.eq(store.id))
            .filter(messages::status.eq_any(left))
            .filter(messages::scheduled_at.ge(midnight.minus(Delay::days(1))))
            .filter(messages::claimed_at.ge(midnight))
            .filter(messages::class.eq(Class::Marketing));
        let count: i64 = diesel::QueryDsl::count(today).get_result(conn)?;
        house.sent_today = u32::try_from(count).unwrap_or(u32::MAX);
    }
    if store.sending.feed_max_age.is_some() {
        house.newest_order = orders::table
            .filter(orders::store_id.eq(store.id).and(orders::placed_at.le(now)))
            .order(orders::placed_at.desc())
            .select(orders::placed_at)
            .first(conn)
            .optional()?;
    }
    Ok(house)
}

/// The rules as their customers entered them: an older version goes on by its own words, while its rule is live.
/// Without those that were taken out of the settings.
fn promised(
    conn: &mut Conn,
    desk: &Desk,
    due: &[Message],
) -> QueryResult<HashMap<(RuleId, i32), Arc<StoredRule>>> {
    let asked: HashSet<(RuleId, i32)> = due.iter().map(|m| (m.rule_id, m.rule_version)).collect();
    let ids: Vec<RuleId> = asked.iter().map(|(id, _)| *id).collect();
    let in_force = rules::store::some(conn, desk.store.id, &ids)?;
    let mut promised = HashMap::new();
    for (id, version) in asked {
        let Some(mut rule) = in_force.iter().find(|rule| rule.id == id).cloned() else { continue };
        if rule.version != version
            && let Some(entered) = rules::store::find_version(conn, id, version)?
        {
            rule.rule = entered;
        }
        promised.insert((id, version), Arc::new(rule));
    }
    Ok(promised)
}

/// What else the door must see: recent mail to the same customers, and the other steps of the same enrolments.
fn neighbours(
    conn: &mut Conn,
    desk: &Desk,
    customers: &[CustomerId],
    due: &[Message],
) -> QueryResult<HashMap<CustomerId, Vec<Message>>> {
    let sending = &desk.store.sending;
    let span = sending.cap.map_or(Delay::ZERO, |cap| cap.within);
    let since = desk.at.now.minus(span.max(sending.min_gap.unwrap_or(Delay::ZERO)));
    let enrolments: Vec<_> = due.iter().map(|m| m.enrolment_id).collect();
    let (customers, enrolments) = (few_lengths(customers), few_lengths(&enrolments));
    let left = messages::status
        .eq_any([MessageStatus::Sent, MessageStatus::Sending, MessageStatus::InDoubt])
        .or(messages::shadow.eq(true))
        .and(messages::sent_at.gt(since).or(messages::claimed_at.gt(since)));
    let found = Message::query()
        .filter(messages::customer_id.eq_any(customers))
        .filter(left.assume_not_null().or(messages::enrolment_id.eq_any(enrolments)));
    let found: Vec<Message> = kept(found).get_results(conn)?;
    let mut by_customer: HashMap<CustomerId, Vec<Message>> = HashMap::new();
    for message in found {
        by_customer.entry(message.customer_id).or_default().push(message);
    }
    Ok(by_customer)
}

fn hold(
    conn: &mut Conn,
    message: &Message,
    until: Timestamp,
    reason: Option<Reason>,
    useful_until: Option<Timestamp>,
) -> QueryResult<()> {
    let row = messages::table
        .filter(messages::customer_id.eq(message.customer_id))
        .filter(messages::id.eq(message.id));
    let update = diesel::update(row).set((
        messages::scheduled_at.eq(until),
        messages::held_for.eq(reason),
        messages::useful_until.eq(useful_until.unwrap_or(message.useful_until)),
    ));
    kept(update).execute(conn).map(|_| ())
}

/// Cancels this one alone.
fn expire(
    conn: &mut Conn,
    message: &Message,
    reason: Reason,
    claimed_at: Option<Timestamp>,
) -> QueryResult<Message> {
    let row = messages::table
        .filter(messages::customer_id.eq(message.customer_id))
        .filter(messages::id.eq(message.id));
    let update = diesel::update(row).set((
        messages::status.eq(MessageStatus::Cancelled),
        messages::held_for.eq(None::<Reason>),
        messages::cancelled_for.eq(reason),
        messages::claimed_at.eq(claimed_at),
    ));
    kept(update).execute(conn)?;
    Ok(Message {
        status: MessageStatus::Cancelled,
        held_for: None,
        cancelled_for: Some(reason),
        claimed_at,
        ..message.clone()
    })
}

/// Ends the whole enrolment: what it still has to come is cancelled, and one line of the ledger says so.
fn end(
    conn: &mut Conn,
    desk: &Desk,
    message: &Message,
    outcome: Outcome,
    reason: Reason,
    facts: Facts,
    ledger: &mut Vec<NewDecision>,
) -> QueryResult<()> {
    let (customer, enrolment) = (message.customer_id, message.enrolment_id);
    let steps = super::store::cancel(conn, customer, enrolment, reason)?;
    ledger::store::end(conn, customer, enrolment, EnrolmentStatus::Stopped, Some(reason))?;
    ledger.push(line(desk, message, outcome, Some(reason), facts.with("cancelled_steps", steps)));
    Ok(())
}

fn line(
    desk: &Desk,
    message: &Message,
    outcome: Outcome,
    reason: Option<Reason>,
    facts: Facts,
) -> NewDecision {
    let facts = facts.with_known("shadow", message.shadow.then_some(true));
    NewDecision {
        customer: message.customer_id,
        store: message.store_id,
        at: desk.at.now,
        rule: message.rule_id,
        enrolment: Some(message.enrolment_id),
        step: Some(message.step),
        outcome,
        reason,
        facts,
        message: Some(message.id),
    }
}
