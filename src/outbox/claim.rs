//! Claiming: takes due messages, judges each at the door, and leases those that may leave. One transaction.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::door::{self, House, Knock, Verdict};
use super::{Message, MessageStatus, Tally, settle};
use crate::db::Conn;
use crate::db::schema::{messages, orders};
use crate::ledger::{self, EnrolmentStatus, Facts, Instants, NewDecision, Outcome, Reason};
use crate::primitives::{CustomerId, Delay, EmailAddress, MessageId, RuleId, Timestamp};
use crate::restores;
use crate::rules::condition::Needs;
use crate::rules::{self, Class, StoredRule};
use crate::situation::{self, Situation};
use crate::stores::Store;

/// Dead without a word for so long, by the machine's clock.
pub const LEASE: Delay = Delay::seconds(15);

/// What the door needs to know beside the messages.
#[derive(Clone, Copy)]
pub struct Desk<'d> {
    pub store: &'d Store,
    /// All rules of the store that ever were live, as they stand now.
    pub rules: &'d HashMap<RuleId, StoredRule>,
    pub at: Instants,
}

/// A message that may leave, leased to the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub message: Message,
    pub address: EmailAddress,
    /// When it was leased, by the machine's clock.
    pub claimed: Timestamp,
}

/// What one call made of the messages that were due.
#[derive(Debug, Default)]
pub struct Claimed {
    pub claims: Vec<Claim>,
    /// How many were looked at: zero means that nothing is due.
    pub judged: usize,
    pub tally: Tally,
}

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    id: MessageId,
}

/// Judges the oldest due messages, at most `limit`, and leases those that may leave to `owner`.
///
/// Needs a write transaction. Two workers never receive the same message. `limit` is at most one second of the
/// sending rate: what the door said must not grow old.
pub fn claim_due(conn: &mut Conn, desk: &Desk, limit: i64, owner: &str) -> QueryResult<Claimed> {
    judge_due(conn, desk, limit, owner, "")
}

/// Judges the oldest due messages of rules in shadow alone: they need no way out. As [`claim_due`] otherwise.
pub fn judge_shadows(conn: &mut Conn, desk: &Desk, limit: i64) -> QueryResult<Claimed> {
    judge_due(conn, desk, limit, "", " AND m.shadow")
}

fn judge_due(
    conn: &mut Conn,
    desk: &Desk,
    limit: i64,
    owner: &str,
    which: &str,
) -> QueryResult<Claimed> {
    if restores::pause(conn)?.is_some() {
        return Ok(Claimed::default());
    }
    // Three places of four are for what must not wait behind a backlog, the others for who waits longest: neither
    // starves the other.
    let mut keys = oldest_due(conn, desk, limit - limit / 4, &format!("{which}{URGENT}"))?;
    if (keys.len() as i64) < limit {
        let known: HashSet<MessageId> = keys.iter().map(|key| key.id).collect();
        let oldest = oldest_due(conn, desk, limit, which)?;
        let more = oldest.into_iter().filter(|key| !known.contains(&key.id));
        keys.extend(more.take(limit as usize - known.len()));
    }
    if keys.is_empty() {
        return Ok(Claimed::default());
    }
    let customers: Vec<CustomerId> = keys.iter().map(|key| key.customer_id).collect();
    let ids: Vec<MessageId> = keys.iter().map(|key| key.id).collect();
    // Read anew under the lock: another worker may have taken some between the look and the lock.
    let due: Vec<Message> = Message::query()
        .filter(messages::customer_id.eq_any(&customers))
        .filter(messages::id.eq_any(&ids))
        .filter(messages::status.eq(MessageStatus::Scheduled))
        .filter(messages::scheduled_at.le(desk.at.now))
        .order((messages::scheduled_at, messages::id))
        .get_results(conn)?;
    judge_all(conn, desk, due, owner).map(|claimed| Claimed { judged: keys.len(), ..claimed })
}

/// The terms of the index `messages_due_urgent`: mail that is owed, and mail that is of use for a day or less.
const URGENT: &str = " AND (m.class = 'service' OR m.useful_until - m.planned_for <= 86400000000)";

/// Due messages, the oldest first, whose customers nobody else holds. On PostgreSQL the customers are locked.
fn oldest_due(conn: &mut Conn, desk: &Desk, limit: i64, which: &str) -> QueryResult<Vec<Key>> {
    let due = format!(
        "WHERE m.store_id = $1 AND m.status = 'scheduled' AND m.scheduled_at <= $2{which} \
         ORDER BY m.scheduled_at, m.id LIMIT $3"
    );
    match conn {
        // Customers held by another worker, or by the planner, are stepped over, not waited for.
        Conn::Postgres(_) => diesel::sql_query(format!(
            "SELECT m.customer_id, m.id FROM messages m JOIN rollups r ON r.customer_id = m.customer_id \
             {due} FOR UPDATE OF r SKIP LOCKED"
        )),
        // The write transaction already shuts out every other writer.
        Conn::Sqlite(_) => {
            diesel::sql_query(format!("SELECT m.customer_id, m.id FROM messages m {due}"))
        }
    }
    .bind::<BigInt, _>(desk.store.id)
    .bind::<BigInt, _>(desk.at.now)
    .bind::<BigInt, _>(limit)
    .load(conn)
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
    let row = messages::table
        .filter(messages::customer_id.eq(claim.message.customer_id))
        .filter(messages::id.eq(claim.message.id))
        .filter(messages::status.eq(MessageStatus::Sending))
        .filter(messages::attempts.eq(claim.message.attempts))
        .filter(messages::lease_owner.eq(owner));
    // Back among the scheduled ones, it knocks as any other; the attempt did not take place.
    let taken_back = diesel::update(row)
        .set((
            messages::status.eq(MessageStatus::Scheduled),
            messages::attempts.eq(claim.message.attempts - 1),
            messages::lease_until.eq(None::<Timestamp>),
            messages::lease_owner.eq(None::<String>),
        ))
        .execute(conn)?;
    if taken_back == 0 {
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
        clicks_until: door::clicks_until(promised.values(), desk.at.machine),
        ..Needs::of(of_steps.filter_map(|step| step.only_if.as_ref()))
    };
    let situations: HashMap<CustomerId, Situation> =
        situation::store::load_for(conn, desk.store, &customers, &needs, desk.at.now)?
            .into_iter()
            .map(|situation| (situation.customer, situation))
            .collect();
    let enrolments = ledger::store::enrolments_of(conn, &customers)?;
    let mut others = neighbours(conn, desk, &customers, &due)?;

    let mut house = house(conn, desk)?;
    let mut claimed = Claimed { judged: due.len(), ..Claimed::default() };
    let mut ledger = Vec::new();
    let mut ended = HashSet::new();
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
        let enrolment = enrolments
            .iter()
            .find(|e| e.customer_id == message.customer_id && e.id == message.enrolment_id);
        let situation = situations.get(&message.customer_id);
        let verdict = door::judge(&Knock {
            message: &message,
            store: desk.store,
            rule: promised.get(&(message.rule_id, message.rule_version)),
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
                let Some(address) = situation.and_then(|s| s.standing.address.clone()) else {
                    continue;
                };
                let exit = (verdict == Verdict::SendOther).then_some("else");
                let message = lease(conn, desk, &message, &address, owner, exit)?;
                house.sent_today += u32::from(message.class == Class::Marketing);
                if let Some(own) = own {
                    own.clone_from(&message);
                }
                claimed.claims.push(Claim { message, address, claimed: desk.at.machine });
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
fn promised(
    conn: &mut Conn,
    desk: &Desk,
    due: &[Message],
) -> QueryResult<HashMap<(RuleId, i32), StoredRule>> {
    let mut promised = HashMap::new();
    for message in due {
        let key = (message.rule_id, message.rule_version);
        let Some(rule) = desk.rules.get(&message.rule_id) else { continue };
        if promised.contains_key(&key) {
            continue;
        }
        let mut rule = rule.clone();
        if rule.version != message.rule_version
            && let Some(entered) =
                rules::store::find_version(conn, message.rule_id, message.rule_version)?
        {
            rule.rule = entered;
        }
        promised.insert(key, rule);
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
    let left = messages::status
        .eq_any([MessageStatus::Sent, MessageStatus::Sending, MessageStatus::InDoubt])
        .or(messages::shadow.eq(true))
        .and(messages::sent_at.gt(since).or(messages::claimed_at.gt(since)));
    let found: Vec<Message> = Message::query()
        .filter(messages::customer_id.eq_any(customers))
        .filter(left.assume_not_null().or(messages::enrolment_id.eq_any(enrolments)))
        .get_results(conn)?;
    let mut by_customer: HashMap<CustomerId, Vec<Message>> = HashMap::new();
    for message in found {
        by_customer.entry(message.customer_id).or_default().push(message);
    }
    Ok(by_customer)
}

fn lease(
    conn: &mut Conn,
    desk: &Desk,
    message: &Message,
    address: &EmailAddress,
    owner: &str,
    exit: Option<&str>,
) -> QueryResult<Message> {
    let row = messages::table
        .filter(messages::customer_id.eq(message.customer_id))
        .filter(messages::id.eq(message.id));
    diesel::update(row)
        .set((
            messages::status.eq(MessageStatus::Sending),
            messages::held_for.eq(None::<Reason>),
            messages::attempts.eq(message.attempts + 1),
            messages::claimed_at.eq(desk.at.now),
            messages::lease_until.eq(desk.at.machine.plus(LEASE)),
            messages::lease_owner.eq(owner),
            messages::address.eq(address),
            messages::exit.eq(exit),
        ))
        .execute(conn)?;
    // What held it up stays with the claim: the same reason again is no news.
    Ok(Message {
        status: MessageStatus::Sending,
        attempts: message.attempts + 1,
        claimed_at: Some(desk.at.now),
        ..message.clone()
    })
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
    diesel::update(row)
        .set((
            messages::scheduled_at.eq(until),
            messages::held_for.eq(reason),
            messages::useful_until.eq(useful_until.unwrap_or(message.useful_until)),
        ))
        .execute(conn)?;
    Ok(())
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
    diesel::update(row)
        .set((
            messages::status.eq(MessageStatus::Cancelled),
            messages::held_for.eq(None::<Reason>),
            messages::cancelled_for.eq(reason),
            messages::claimed_at.eq(claimed_at),
        ))
        .execute(conn)?;
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

/// Takes back what `owner` holds and never began to hand over: the answer to its claim was lost, so that it does not
/// even know. Nothing of `owner` may be in the air. Returns how many.
pub fn give_back(conn: &mut Conn, owner: &str) -> QueryResult<usize> {
    let held = messages::table
        .filter(messages::lease_owner.eq(owner))
        .filter(messages::status.eq(MessageStatus::Sending));
    diesel::update(held)
        .set((
            messages::status.eq(MessageStatus::Scheduled),
            messages::attempts.eq(messages::attempts - 1),
            messages::lease_until.eq(None::<Timestamp>),
            messages::lease_owner.eq(None::<String>),
        ))
        .execute(conn)
}

/// Prolongs all leases of `owner`, by the machine's clock.
pub fn renew(conn: &mut Conn, owner: &str, machine: Timestamp) -> QueryResult<usize> {
    let held = messages::table
        .filter(messages::lease_owner.eq(owner))
        .filter(messages::status.eq(MessageStatus::Sending));
    diesel::update(held).set(messages::lease_until.eq(machine.plus(LEASE))).execute(conn)
}
