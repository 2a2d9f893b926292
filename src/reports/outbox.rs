//! Messages: what will go, went, was held back; and the line that shows that none is lost.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::{CAP, capped_count};
use crate::db::Conn;
use crate::primitives::{CustomerId, MessageId, Timestamp};
use crate::stores::Store;

/// The statuses of the reconciliation line, in its order.
pub const STATUSES: [&str; 6] = ["scheduled", "sending", "sent", "failed", "cancelled", "in_doubt"];

/// Messages scheduled for `since` or later, by status, each counted to its end: the sum must be exact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reconciliation {
    /// In the order of [`STATUSES`].
    pub by_status: [i64; 6],
    /// Of the scheduled: held back for now, and why.
    pub held: Vec<(String, i64)>,
    /// Of the cancelled: why.
    pub cancelled: Vec<(String, i64)>,
}

impl Reconciliation {
    pub fn planned(&self) -> i64 {
        self.by_status.iter().sum()
    }
}

#[derive(QueryableByName)]
struct StatusCount {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct ReasonCount {
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub fn reconciliation(
    conn: &mut Conn,
    store: &Store,
    since: Timestamp,
) -> QueryResult<Reconciliation> {
    let (id, since) = (store.id.0, since.0);
    let mut line = Reconciliation::default();
    let statuses = STATUSES.map(|s| format!("'{s}'")).join(",");
    // Naming the statuses lets both databases go through the index by status and time.
    let counts: Vec<StatusCount> = diesel::sql_query(format!(
        "SELECT status, COUNT(*) AS n FROM messages WHERE store_id = {id} AND status IN ({statuses}) \
         AND scheduled_at >= {since} GROUP BY status",
    ))
    .load(conn)?;
    for row in counts {
        if let Some(place) = STATUSES.iter().position(|status| *status == row.status) {
            line.by_status[place] = row.n;
        }
    }
    let mut reasons = |status: &str, column: &str| -> QueryResult<Vec<(String, i64)>> {
        let rows: Vec<ReasonCount> = diesel::sql_query(format!(
            "SELECT {column} AS reason, COUNT(*) AS n FROM (SELECT {column} FROM messages WHERE store_id = {id} \
             AND status = '{status}' AND scheduled_at >= {since} ORDER BY scheduled_at DESC LIMIT {CAP}) newest \
             WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC",
        ))
        .load(conn)?;
        Ok(rows.into_iter().filter_map(|row| Some((row.reason?, row.n))).collect())
    };
    line.held = reasons("scheduled", "held_for")?;
    line.cancelled = reasons("cancelled", "cancelled_for")?;
    Ok(line)
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = BigInt)]
    pub id: MessageId,
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub email: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub external_id: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub rule_id: i64,
    #[diesel(sql_type = Integer)]
    pub step: i32,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = BigInt)]
    pub scheduled_at: Timestamp,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub sent_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    pub held_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cancelled_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub subject: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_reply: Option<String>,
}

/// The last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cursor {
    pub at: Timestamp,
    pub id: MessageId,
}

/// What is still to go comes soonest first, what is over newest first.
pub fn is_ahead(status: &str) -> bool {
    matches!(status, "scheduled" | "sending")
}

/// Messages of one status, and of one rule where asked; a rule's are looked for among so many of the status.
const LOOKED_THROUGH: i64 = 20_000;

pub fn page(
    conn: &mut Conn,
    store: &Store,
    status: &'static str,
    rule: Option<i64>,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let ahead = is_ahead(status);
    let (way, beyond) = if ahead { ("ASC", '>') } else { ("DESC", '<') };
    let cursor = after.map_or(String::new(), |Cursor { at, id }| {
        let (at, id) = (at.0, id.0);
        format!(
            "AND scheduled_at {beyond}= {at} AND (scheduled_at {beyond} {at} OR id {beyond} {id})"
        )
    });
    let (inner, outer) = match rule {
        None => (limit, String::new()),
        Some(rule) => (LOOKED_THROUGH, format!("WHERE m.rule_id = {rule}")),
    };
    diesel::sql_query(format!(
        "SELECT m.id, m.customer_id, c.name, c.email, c.external_id, m.rule_id, m.step, m.status, m.scheduled_at, m.sent_at, \
         m.held_for, m.cancelled_for, m.subject, m.last_reply FROM \
         (SELECT id, customer_id, rule_id, step, status, scheduled_at, sent_at, held_for, cancelled_for, subject, last_reply \
          FROM messages WHERE store_id = {} AND status = '{status}' {cursor} ORDER BY scheduled_at {way}, id {way} LIMIT {inner}) m \
         JOIN customers c ON c.id = m.customer_id {outer} ORDER BY m.scheduled_at {way}, m.id {way} LIMIT {limit}",
        store.id.0,
    ))
    .load(conn)
}

pub fn size(conn: &mut Conn, store: &Store, status: &str) -> QueryResult<i64> {
    capped_count(
        conn,
        &format!("FROM messages WHERE store_id = {} AND status = '{status}'", store.id.0),
    )
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Message {
    #[diesel(sql_type = BigInt)]
    pub id: MessageId,
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub email: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub external_id: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub rule_id: i64,
    #[diesel(sql_type = Integer)]
    pub rule_version: i32,
    #[diesel(sql_type = Integer)]
    pub step: i32,
    #[diesel(sql_type = Text)]
    pub class: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = BigInt)]
    pub planned_for: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub scheduled_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub useful_until: Timestamp,
    #[diesel(sql_type = Nullable<Text>)]
    pub held_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cancelled_for: Option<String>,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub sent_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub subject: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_reply: Option<String>,
}

/// `None` where the store has no message of that id.
pub fn message(conn: &mut Conn, store: &Store, id: MessageId) -> QueryResult<Option<Message>> {
    diesel::sql_query(
        "SELECT m.id, m.customer_id, c.name, c.email, c.external_id, m.rule_id, m.rule_version, m.step, m.class, m.status, \
         m.planned_for, m.scheduled_at, m.useful_until, m.held_for, m.cancelled_for, m.attempts, m.sent_at, m.address, m.subject, \
         m.last_reply FROM messages m JOIN customers c ON c.id = m.customer_id WHERE m.store_id = $1 AND m.id = $2",
    )
    .bind::<BigInt, _>(store.id)
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .optional()
}

/// A message's own decisions, oldest first.
pub fn history(
    conn: &mut Conn,
    customer: CustomerId,
    message: MessageId,
) -> QueryResult<Vec<super::customer::Decision>> {
    diesel::sql_query(
        "SELECT id, at, rule_id, step, outcome, reason, facts, message_id FROM decisions \
         WHERE customer_id = $1 AND message_id = $2 ORDER BY id LIMIT 50",
    )
    .bind::<BigInt, _>(customer)
    .bind::<BigInt, _>(message)
    .load(conn)
}
