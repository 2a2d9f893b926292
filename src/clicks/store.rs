//! SQL of clicks and opens.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::{Agent, EventKind, Hit, Machine, Seen, Verdict, What, judge};
use crate::db::schema::{customers, mail_events, messages};
use crate::db::{Conn, lock_store};
use crate::ledger::Instants;
use crate::primitives::{CustomerId, MessageId, RuleId, StoreId, Timestamp};

/// More of one message are not kept: a robot in a loop fills no table.
const MOST: i64 = 300;

/// A click or an open as it is kept.
#[derive(Debug, Clone, PartialEq, HasQuery)]
#[diesel(table_name = mail_events)]
pub struct Event {
    pub message_id: MessageId,
    pub id: i64,
    pub rule_id: RuleId,
    pub kind: EventKind,
    pub at: Timestamp,
    pub link: i32,
    pub links: i32,
    pub target: Option<String>,
    pub agent: Agent,
    pub verdict: Verdict,
    pub reason: Option<Machine>,
}

impl Event {
    fn seen(&self) -> Seen {
        let Self { kind, at, agent, link, links, .. } = *self;
        Seen { kind, at, agent, link, links }
    }
}

/// A message's events, oldest first.
pub fn of_message(
    conn: &mut Conn,
    customer: CustomerId,
    message: MessageId,
) -> QueryResult<Vec<Event>> {
    Event::query()
        .filter(mail_events::customer_id.eq(customer).and(mail_events::message_id.eq(message)))
        .order((mail_events::at, mail_events::id))
        .load(conn)
}

/// Keeps what came and judges the messages concerned anew. What speaks of a message that is not there any more, or of
/// someone who asked to be forgotten, is dropped. Needs a write transaction.
pub fn record(conn: &mut Conn, hits: &[Hit], at: Instants) -> QueryResult<()> {
    let stores: BTreeSet<StoreId> = hits.iter().map(|hit| hit.store).collect();
    for store in stores {
        // Two replicas that judge one message at once would each miss the other's event; a merge waits too.
        lock_store(conn, store)?;
        let of_store = hits.iter().filter(|hit| hit.store == store);
        let messages: BTreeSet<MessageId> = of_store.clone().map(|hit| hit.message).collect();
        for message in messages {
            let hits = of_store.clone().filter(|hit| hit.message == message);
            if let Some(mail) = find(conn, store, message)? {
                for hit in hits {
                    insert(conn, &mail, hit, at.new_id())?;
                }
                judge_anew(conn, &mail)?;
            }
        }
    }
    Ok(())
}

/// The message that was clicked, with its customer as of now.
#[derive(HasQuery)]
#[diesel(table_name = messages)]
struct Mail {
    id: MessageId,
    customer_id: CustomerId,
    rule_id: RuleId,
    claimed_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
}

fn find(conn: &mut Conn, store: StoreId, id: MessageId) -> QueryResult<Option<Mail>> {
    let found: Option<Mail> = Mail::query()
        .filter(messages::store_id.eq(store).and(messages::id.eq(id)))
        .get_result(conn)
        .optional()?;
    let Some(mail) = found else { return Ok(None) };
    let erased: Option<Timestamp> = customers::table
        .filter(customers::id.eq(mail.customer_id))
        .select(customers::erased_at)
        .get_result(conn)?;
    let kept: i64 = mail_events::table
        .filter(mail_events::customer_id.eq(mail.customer_id))
        .filter(mail_events::message_id.eq(mail.id))
        .count()
        .get_result(conn)?;
    Ok((erased.is_none() && kept < MOST).then_some(mail))
}

fn insert(conn: &mut Conn, mail: &Mail, hit: &Hit, id: i64) -> QueryResult<usize> {
    let (kind, link, links, target) = match &hit.what {
        What::Click { link, links, target } => (EventKind::Click, *link, *links, Some(target)),
        What::Open => (EventKind::Open, 0, 0, None),
    };
    diesel::insert_into(mail_events::table)
        .values((
            mail_events::customer_id.eq(mail.customer_id),
            mail_events::message_id.eq(mail.id),
            mail_events::id.eq(id),
            mail_events::store_id.eq(hit.store),
            mail_events::rule_id.eq(mail.rule_id),
            mail_events::kind.eq(kind),
            mail_events::at.eq(hit.at),
            mail_events::link.eq(i32::from(link)),
            mail_events::links.eq(i32::from(links)),
            mail_events::target.eq(target),
            mail_events::agent.eq(hit.agent),
            // Until it is judged, at once.
            mail_events::verdict.eq(Verdict::Human),
        ))
        .execute(conn)
}

fn judge_anew(conn: &mut Conn, mail: &Mail) -> QueryResult<()> {
    let events = of_message(conn, mail.customer_id, mail.id)?;
    let seen: Vec<Seen> = events.iter().map(Event::seen).collect();
    let verdicts = judge(mail.sent_at.or(mail.claimed_at), &seen);
    for (event, reason) in events.iter().zip(verdicts) {
        if event.reason == reason {
            continue;
        }
        let verdict = if reason.is_some() { Verdict::Machine } else { Verdict::Human };
        let row = mail_events::table
            .filter(mail_events::customer_id.eq(mail.customer_id))
            .filter(mail_events::message_id.eq(mail.id).and(mail_events::id.eq(event.id)));
        diesel::update(row)
            .set((mail_events::verdict.eq(verdict), mail_events::reason.eq(reason)))
            .execute(conn)?;
    }
    Ok(())
}
