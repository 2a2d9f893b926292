//! Settling: writes down what became of a hand-over.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::claim::Desk;
use super::lease::values;
use super::{Message, MessageStatus, Tally, backoff, doubt};
use crate::db::schema::{messages, suppressions};
use crate::db::{Conn, few_lengths, kept, parameters};
use crate::each_backend;
use crate::ledger::{self, EnrolmentStatus, Facts, Instants, NewDecision, Outcome, Reason};
use crate::mail::Delivery;
use crate::primitives::{
    CustomerId, EmailAddress, EnrolmentId, MessageId, StoreId, Timestamp, clean_text,
};

/// What a worker reports of one claimed message.
#[derive(Debug, Clone)]
pub struct Report {
    /// As it was claimed.
    pub message: Message,
    pub address: EmailAddress,
    pub subject: Option<String>,
    pub ending: Ending,
}

#[derive(Debug, Clone)]
pub enum Ending {
    Handed(Delivery),
    /// It could not be put into words; nothing was handed over.
    NotComposed {
        why: String,
        reason: Reason,
    },
}

/// What a settled message is from now on.
struct Settled {
    status: MessageStatus,
    scheduled_at: Timestamp,
    held_for: Option<Reason>,
    sent_at: Option<Timestamp>,
    outcome: Outcome,
    reason: Option<Reason>,
    facts: Facts,
    words: String,
}

/// Writes down reports, all of them by a few statements. A late one still counts, until the message is tried again.
pub fn settle(conn: &mut Conn, desk: &Desk, reports: &[Report]) -> QueryResult<Tally> {
    let mut tally = Tally::default();
    let mut ledger = Vec::new();
    let mut over = Vec::new();
    let settled: Vec<Settled> = reports.iter().map(|report| judge(desk, report)).collect();
    let mut written = write_all(conn, reports, &settled)?;
    for (report, settled) in reports.iter().zip(settled) {
        let subject = report.subject.as_deref();
        let Some((customer, variant, exit)) = (match written.remove(&report.message.id) {
            // The first word counts, where two are told of one message at once.
            Some(row) => Some(row),
            None => write(conn, &report.message, &settled, subject)?,
        }) else {
            continue;
        };
        let facts = settled.facts.with_known("variant", variant).with_known("exit", exit);
        let settled = Settled { facts, ..settled };
        if let Ending::Handed(Delivery::Permanent { hard: true, .. }) = &report.ending {
            let note = format!("hard bounce: {}", settled.words);
            suppress(conn, desk.store.id, &report.address, "hard_bounce", &note, desk.at.now)?;
        }
        tally.count(settled.outcome);
        let (status, reason) = (settled.status, settled.reason);
        // A deferral that goes on is no news.
        if settled.outcome != Outcome::Deferred || report.message.held_for != reason {
            ledger.push(NewDecision { customer, ..line(desk.at, &report.message, settled) });
        }
        let enrolment = report.message.enrolment_id;
        if status == MessageStatus::Scheduled {
            // The doubt may have closed it.
            ledger::store::reopen(conn, customer, enrolment)?;
        } else {
            over.push((customer, enrolment, reason.unwrap_or(Reason::GaveUp)));
        }
    }
    close_those_done(conn, &over)?;
    ledger::store::record(conn, &ledger, || desk.at.new_id())?;
    Ok(tally)
}

fn judge(desk: &Desk, report: &Report) -> Settled {
    let now = desk.at.now;
    let message = &report.message;
    let settled = |status, outcome, reason, words: &str| Settled {
        status,
        scheduled_at: message.scheduled_at,
        held_for: None,
        sent_at: None,
        outcome,
        reason,
        facts: Facts::new()
            .with("attempt", message.attempts)
            .with_known("reply", clean_text(words, 300)),
        words: clean_text(words, 300).unwrap_or_default(),
    };
    let again = |reason, outcome, words: &str| match backoff::next_attempt(
        message.id,
        message.attempts,
        now,
        message.useful_until,
    ) {
        Some(at) => {
            let mut settled = settled(MessageStatus::Scheduled, outcome, Some(reason), words);
            settled.scheduled_at = at;
            settled.held_for = Some(reason);
            settled.facts = settled.facts.with("next_attempt_at", at);
            settled
        }
        None => settled(MessageStatus::Failed, Outcome::Failed, Some(Reason::GaveUp), words),
    };
    match &report.ending {
        Ending::NotComposed { why, reason } => {
            settled(MessageStatus::Failed, Outcome::Failed, Some(*reason), why)
        }
        Ending::Handed(Delivery::Accepted { reply }) => Settled {
            sent_at: Some(now),
            ..settled(MessageStatus::Sent, Outcome::Sent, None, reply)
        },
        Ending::Handed(Delivery::Temporary { reply }) => {
            again(Reason::TemporaryFailure, Outcome::Deferred, reply)
        }
        Ending::Handed(Delivery::NotSent { why }) => {
            again(Reason::TemporaryFailure, Outcome::Deferred, why)
        }
        Ending::Handed(Delivery::Permanent { reply, .. }) => {
            settled(MessageStatus::Failed, Outcome::Failed, Some(Reason::RefusedByServer), reply)
        }
        Ending::Handed(Delivery::InDoubt { why }) => {
            if doubt::is_sent_again(desk, message) {
                again(Reason::NoAnswer, Outcome::InDoubt, why)
            } else {
                let reason = Some(Reason::NoAnswer);
                settled(MessageStatus::InDoubt, Outcome::InDoubt, reason, why)
            }
        }
    }
}

/// Whose message it is, and which wording it has: the variant, and the exit of its question.
type Written = (CustomerId, Option<String>, Option<String>);

#[derive(QueryableByName)]
struct WrittenRow {
    #[diesel(sql_type = BigInt)]
    id: MessageId,
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
    #[diesel(sql_type = Nullable<Text>)]
    variant: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    exit: Option<String>,
}

/// Writes what is still its customer's and open to the word; [`write`] is for the others, and says the same of one.
fn write_all(
    conn: &mut Conn,
    reports: &[Report],
    settled: &[Settled],
) -> QueryResult<HashMap<MessageId, Written>> {
    let mut told = HashSet::new();
    let firsts: Vec<(&Report, &Settled)> =
        reports.iter().zip(settled).filter(|(report, _)| told.insert(report.message.id)).collect();
    if firsts.is_empty() {
        return Ok(HashMap::new());
    }
    let firsts = few_lengths(&firsts);
    let sql = format!(
        "UPDATE messages SET status = v.column4, scheduled_at = v.column5, held_for = v.column6, sent_at = v.column7, \
         last_reply = v.column8, subject = v.column9, lease_until = NULL, lease_owner = NULL FROM ({}) AS v \
         WHERE messages.customer_id = v.column1 AND messages.id = v.column2 AND messages.attempts = v.column3 \
         AND (messages.status = 'sending' OR (messages.status = 'in_doubt' AND v.column10 <> 'in_doubt') \
         OR (messages.status = 'scheduled' AND v.column4 = 'sent')) \
         AND messages.customer_id IN ({}) RETURNING id, customer_id, variant, exit",
        values(firsts.len(), 10, 0),
        parameters(1 + 10 * firsts.len(), firsts.len())
    );
    let rows: Vec<WrittenRow> = each_backend!(conn, c => {
        let mut query = diesel::sql_query(sql).into_boxed();
        for (Report { message, subject, .. }, settled) in &firsts {
            query = query
                .bind::<BigInt, _>(message.customer_id)
                .bind::<BigInt, _>(message.id)
                .bind::<Integer, _>(message.attempts)
                .bind::<Text, _>(settled.status)
                .bind::<BigInt, _>(settled.scheduled_at)
                .bind::<Nullable<Text>, _>(settled.held_for)
                .bind::<Nullable<BigInt>, _>(settled.sent_at)
                .bind::<Text, _>(&settled.words)
                .bind::<Nullable<Text>, _>(subject.as_deref())
                .bind::<Text, _>(settled.outcome);
        }
        for (Report { message, .. }, _) in &firsts {
            query = query.bind::<BigInt, _>(message.customer_id);
        }
        kept(query).load(c)
    })?;
    let rows = rows.into_iter().map(|row| (row.id, (row.customer_id, row.variant, row.exit)));
    Ok(rows.collect())
}

/// Whose message it is now, which a merge may have changed; `None` when it is settled already, or was claimed anew.
fn write(
    conn: &mut Conn,
    message: &Message,
    settled: &Settled,
    subject: Option<&str>,
) -> QueryResult<Option<Written>> {
    // A late word of one who knows is true, whatever was thought in between. That nobody knows is no news then.
    let open: &[MessageStatus] = match settled.status {
        MessageStatus::Sent => {
            &[MessageStatus::Sending, MessageStatus::InDoubt, MessageStatus::Scheduled]
        }
        MessageStatus::Failed => &[MessageStatus::Sending, MessageStatus::InDoubt],
        _ if settled.outcome != Outcome::InDoubt => {
            &[MessageStatus::Sending, MessageStatus::InDoubt]
        }
        _ => &[MessageStatus::Sending],
    };
    let row = messages::table
        .filter(messages::store_id.eq(message.store_id))
        .filter(messages::id.eq(message.id))
        .filter(messages::attempts.eq(message.attempts))
        .filter(messages::status.eq_any(open));
    let written: Vec<Written> = diesel::update(row)
        .set((
            messages::status.eq(settled.status),
            messages::scheduled_at.eq(settled.scheduled_at),
            messages::held_for.eq(settled.held_for),
            messages::sent_at.eq(settled.sent_at),
            messages::lease_until.eq(None::<Timestamp>),
            messages::lease_owner.eq(None::<String>),
            messages::last_reply.eq(&settled.words),
            messages::subject.eq(subject),
        ))
        .returning((messages::customer_id, messages::variant, messages::exit))
        .get_results(conn)?;
    Ok(written.into_iter().next())
}

fn line(at: Instants, message: &Message, settled: Settled) -> NewDecision {
    NewDecision {
        customer: message.customer_id,
        store: message.store_id,
        at: at.now,
        rule: message.rule_id,
        enrolment: Some(message.enrolment_id),
        step: Some(message.step),
        outcome: settled.outcome,
        reason: settled.reason,
        facts: settled.facts,
        message: Some(message.id),
    }
}

/// Closes an active enrolment that has nothing to come: completed if anything left, else expired for `reason`.
pub fn close_if_done(
    conn: &mut Conn,
    customer: CustomerId,
    enrolment: EnrolmentId,
    reason: Reason,
) -> QueryResult<()> {
    close_those_done(conn, &[(customer, enrolment, reason)])
}

/// As [`close_if_done`], of many: a query for all, and a statement for each way to end.
fn close_those_done(
    conn: &mut Conn,
    over: &[(CustomerId, EnrolmentId, Reason)],
) -> QueryResult<()> {
    if over.is_empty() {
        return Ok(());
    }
    let (customers, enrolments): (Vec<CustomerId>, Vec<EnrolmentId>) =
        over.iter().map(|(customer, enrolment, _)| (*customer, *enrolment)).unzip();
    let mut steps: HashMap<EnrolmentId, Vec<Message>> = HashMap::new();
    for message in super::store::of_enrolments(conn, &customers, &enrolments)? {
        steps.entry(message.enrolment_id).or_default().push(message);
    }
    type End = (EnrolmentStatus, Option<Reason>);
    let mut ends: HashMap<End, Vec<(CustomerId, EnrolmentId)>> = HashMap::new();
    for (customer, enrolment, reason) in over {
        let steps = steps.get(enrolment).map_or(&[][..], Vec::as_slice);
        let is_open =
            |m: &Message| matches!(m.status, MessageStatus::Scheduled | MessageStatus::Sending);
        if steps.iter().any(is_open) {
            continue;
        }
        let end = match steps.iter().any(|message| message.left_at().is_some()) {
            true => (EnrolmentStatus::Completed, None),
            false => (EnrolmentStatus::Expired, Some(*reason)),
        };
        ends.entry(end).or_default().push((*customer, *enrolment));
    }
    for ((status, reason), enrolments) in ends {
        ledger::store::end_all(conn, &enrolments, status, reason)?;
    }
    Ok(())
}

/// Never to be written to again, at all. Known ones stay as they are.
pub fn suppress(
    conn: &mut Conn,
    store: StoreId,
    address: &EmailAddress,
    reason: &str,
    note: &str,
    now: Timestamp,
) -> QueryResult<()> {
    each_backend!(conn, c => diesel::insert_into(suppressions::table)
        .values((
            suppressions::store_id.eq(store),
            suppressions::email_key.eq(address.identity_key()),
            suppressions::reason.eq(reason),
            suppressions::note.eq(note),
            suppressions::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(())
}
