//! Doubt: messages of which nobody knows whether they left, since who sent them died, or a backup was put back; and what
//! ends it.

use diesel::prelude::*;

use super::claim::Desk;
use super::settle::close_if_done;
use super::{Message, MessageStatus, Tally};
use crate::db::Conn;
use crate::db::schema::messages;
use crate::ledger::{self, Facts, Instants, NewDecision, Outcome, Reason};
use crate::primitives::{CustomerId, MessageId, RuleId, StoreId, Timestamp};
use crate::rules::Class;
use crate::stores::InDoubtPolicy;

/// Service mail in doubt is owed and goes again, marketing mail only where the operator wants it to.
pub fn is_sent_again(desk: &Desk, message: &Message) -> bool {
    message.class == Class::Service || desk.store.sending.in_doubt == InDoubtPolicy::Resend
}

/// Whether `settle_lost` would find anything.
pub fn has_lost(
    conn: &mut Conn,
    store: StoreId,
    machine: Timestamp,
    is_dead: impl Fn(&str) -> bool,
) -> QueryResult<bool> {
    let leased: Vec<(Option<Timestamp>, Option<String>)> = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::status.eq(MessageStatus::Sending))
        .select((messages::lease_until, messages::lease_owner))
        .load(conn)?;
    Ok(leased.iter().any(|(until, owner)| {
        until.is_some_and(|until| until < machine) || owner.as_deref().is_some_and(&is_dead)
    }))
}

/// Decides what workers left behind who died between claim and settlement: whose lease ran out by the machine's
/// clock, or whose owner `is_dead`. Returns how many.
///
/// Nobody knows whether these messages left. Marketing mail stays in doubt; mail that is sent again keeps its
/// Message-ID.
pub fn settle_lost(
    conn: &mut Conn,
    desk: &Desk,
    is_dead: impl Fn(&str) -> bool,
) -> QueryResult<Tally> {
    let leased: Vec<(CustomerId, MessageId, Timestamp, Option<String>)> = messages::table
        .filter(messages::store_id.eq(desk.store.id))
        .filter(messages::status.eq(MessageStatus::Sending))
        .select((
            messages::customer_id,
            messages::id,
            messages::lease_until.assume_not_null(),
            messages::lease_owner,
        ))
        .load(conn)?;
    let mut tally = Tally::default();
    let mut ledger = Vec::new();
    for (customer, id, lease_until, owner) in leased {
        if lease_until >= desk.at.machine && !owner.as_deref().is_some_and(&is_dead) {
            continue;
        }
        let row =
            Message::query().filter(messages::customer_id.eq(customer)).filter(messages::id.eq(id));
        let message = row.get_result(conn)?;
        let again = is_sent_again(desk, &message);
        let status = if again { MessageStatus::Scheduled } else { MessageStatus::InDoubt };
        let lost = messages::table
            .filter(messages::customer_id.eq(customer))
            .filter(messages::id.eq(id))
            .filter(messages::status.eq(MessageStatus::Sending))
            .filter(messages::lease_until.eq(lease_until));
        let written = diesel::update(lost)
            .set((
                messages::status.eq(status),
                messages::lease_until.eq(None::<Timestamp>),
                messages::lease_owner.eq(None::<String>),
            ))
            .execute(conn)?;
        // Renewed or settled in between: its owner lives.
        if written == 0 {
            continue;
        }
        tally.in_doubt += 1;
        ledger.push(NewDecision {
            customer,
            store: message.store_id,
            at: desk.at.now,
            rule: message.rule_id,
            enrolment: Some(message.enrolment_id),
            step: Some(message.step),
            outcome: Outcome::InDoubt,
            reason: Some(Reason::SenderLost),
            facts: Facts::new().with("attempt", message.attempts).with("sent_again", again),
            message: Some(id),
        });
        if !again {
            close_if_done(conn, customer, message.enrolment_id, Reason::SenderLost)?;
        }
    }
    ledger::store::record(conn, &ledger, || desk.at.new_id())?;
    Ok(tally)
}

/// How many messages one transaction takes into doubt.
const DOUBTED: i64 = 500;

/// Takes into doubt what an earlier life of this database, after the backup that it was put back from, may have
/// sent: what is due by now, and what only an event or an operator holds back. Mail that is sent again in doubt stays
/// as it is. Returns how many, at most a few hundred: zero when it is all done.
pub fn doubt_restored(
    conn: &mut Conn,
    desk: &Desk,
    held_by_events: &[RuleId],
) -> QueryResult<usize> {
    if desk.store.sending.in_doubt == InDoubtPolicy::Resend {
        return Ok(0);
    }
    let may_have_left = messages::scheduled_at
        .le(desk.at.now)
        .or(messages::held_for
            .assume_not_null()
            .eq(Reason::Paused)
            .and(messages::held_for.is_not_null()))
        .or(messages::rule_id.eq_any(held_by_events));
    let doubted: Vec<Message> = Message::query()
        .filter(messages::store_id.eq(desk.store.id))
        .filter(messages::status.eq(MessageStatus::Scheduled))
        .filter(messages::class.eq(Class::Marketing))
        .filter(messages::shadow.eq(false))
        .filter(may_have_left)
        .order((messages::scheduled_at, messages::id))
        .limit(DOUBTED)
        .get_results(conn)?;
    let mut ledger = Vec::new();
    for message in &doubted {
        let row = messages::table
            .filter(messages::customer_id.eq(message.customer_id))
            .filter(messages::id.eq(message.id));
        diesel::update(row)
            .set((
                messages::status.eq(MessageStatus::InDoubt),
                messages::held_for.eq(None::<Reason>),
                // When it left, if it did: what caps and the next step's wait count from.
                messages::claimed_at.eq(message.scheduled_at.min(desk.at.now)),
            ))
            .execute(conn)?;
        ledger.push(NewDecision {
            customer: message.customer_id,
            store: message.store_id,
            at: desk.at.now,
            rule: message.rule_id,
            enrolment: Some(message.enrolment_id),
            step: Some(message.step),
            outcome: Outcome::InDoubt,
            reason: Some(Reason::Restored),
            facts: Facts::new().with("scheduled_at", message.scheduled_at),
            message: Some(message.id),
        });
        close_if_done(conn, message.customer_id, message.enrolment_id, Reason::Restored)?;
    }
    ledger::store::record(conn, &ledger, || desk.at.new_id())?;
    Ok(doubted.len())
}

/// What an operator says of a message in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Send it again; it may then arrive twice, with the same Message-ID.
    SendAgain,
    /// Take it as sent.
    TakeAsSent,
}

/// Ends the doubt about one message by an operator's word; false when it is not in doubt.
pub fn resolve_in_doubt(
    conn: &mut Conn,
    store: StoreId,
    id: MessageId,
    word: Word,
    at: Instants,
) -> QueryResult<bool> {
    let Some(message) = super::store::find(conn, store, id)? else { return Ok(false) };
    let row = messages::table
        .filter(messages::customer_id.eq(message.customer_id))
        .filter(messages::id.eq(id))
        .filter(messages::status.eq(MessageStatus::InDoubt));
    let (written, outcome) = match word {
        Word::SendAgain => {
            let update = (
                messages::status.eq(MessageStatus::Scheduled),
                messages::scheduled_at.eq(at.now),
                // The operator judged that it still is of use.
                messages::useful_until
                    .eq(message.useful_until.max(at.now.plus(crate::primitives::Delay::days(1)))),
            );
            (diesel::update(row).set(update).execute(conn)?, Outcome::Deferred)
        }
        Word::TakeAsSent => {
            let sent_at = message.claimed_at.unwrap_or(at.now);
            let update = (messages::status.eq(MessageStatus::Sent), messages::sent_at.eq(sent_at));
            (diesel::update(row).set(update).execute(conn)?, Outcome::Sent)
        }
    };
    if written == 0 {
        return Ok(false);
    }
    if word == Word::SendAgain {
        ledger::store::reopen(conn, message.customer_id, message.enrolment_id)?;
    }
    let decision = NewDecision {
        customer: message.customer_id,
        store,
        at: at.now,
        rule: message.rule_id,
        enrolment: Some(message.enrolment_id),
        step: Some(message.step),
        outcome,
        reason: Some(Reason::Operator),
        facts: Facts::new(),
        message: Some(id),
    };
    ledger::store::record(conn, &[decision], || at.new_id())?;
    Ok(true)
}
