//! The queue: whose turn it is of the messages that are due, the oldest first, and before them what must not wait.

use std::collections::{HashMap, VecDeque};

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::claim::Desk;
use super::{Message, MessageStatus};
use crate::db::schema::messages;
use crate::db::{Conn, few_lengths, kept};
use crate::primitives::{CustomerId, MessageId};

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    id: MessageId,
}

/// Some of the due messages, by an index that has the oldest of them first, however many are due.
pub struct Lane {
    /// SQLite would take another of its indexes, and read all that is due; PostgreSQL knows its rows.
    index: &'static str,
    condition: &'static str,
    /// Whether it has no mail but that of rules in shadow.
    shadows: bool,
}

/// What must not wait behind a backlog: mail that is owed, and mail that is of use for a day or less. In the words of
/// its index.
pub const URGENT: Lane = Lane {
    index: "messages_due_urgent",
    condition: "(m.class = 'service' OR m.useful_until - m.planned_for <= 86400000000)",
    shadows: false,
};

pub const ALL: Lane = Lane { index: "messages_by_status", condition: "TRUE", shadows: false };

/// What rules in shadow planned.
pub const IN_SHADOW: Lane =
    Lane { index: "messages_in_shadow", condition: "m.shadow", shadows: true };

/// Messages whose turn it is, with their customers held.
pub struct Knocking {
    /// How many were found. It may be more than there are messages: other workers took some meanwhile.
    pub found: usize,
    pub messages: Vec<Message>,
}

/// From each lane as many as bring the whole to its number. Needs a write transaction.
pub fn knocking(conn: &mut Conn, desk: &Desk, lanes: &[(Lane, i64)]) -> QueryResult<Knocking> {
    let mut keys: Vec<Key> = Vec::new();
    for (lane, up_to) in lanes {
        // A lane may find again what one before it found.
        for key in oldest(conn, desk, lane, *up_to)? {
            if (keys.len() as i64) < *up_to && !keys.iter().any(|known| known.id == key.id) {
                keys.push(key);
            }
        }
    }
    if keys.is_empty() {
        return Ok(Knocking { found: 0, messages: Vec::new() });
    }
    let customers: Vec<CustomerId> = keys.iter().map(|key| key.customer_id).collect();
    // Read anew under the lock: another worker may have taken some between the look and the lock.
    let mut all_due = Message::query()
        .filter(messages::customer_id.eq_any(few_lengths(&customers)))
        .filter(messages::status.eq(MessageStatus::Scheduled))
        .filter(messages::scheduled_at.le(desk.at.now))
        .order((messages::scheduled_at, messages::id))
        .into_boxed();
    if lanes.iter().all(|(lane, _)| lane.shadows) {
        all_due = all_due.filter(messages::shadow.eq(true));
    }
    // A lane says whose turn it is, not which message: what one customer is due leaves in the order in which it fell due.
    let mut of_customers: HashMap<CustomerId, VecDeque<Message>> = HashMap::new();
    for message in kept(all_due).get_results(conn)? {
        of_customers.entry(message.customer_id).or_default().push_back(message);
    }
    let first = |customer: &CustomerId| of_customers.get_mut(customer)?.pop_front();
    Ok(Knocking { found: keys.len(), messages: customers.iter().filter_map(first).collect() })
}

fn oldest(conn: &mut Conn, desk: &Desk, lane: &Lane, limit: i64) -> QueryResult<Vec<Key>> {
    let Lane { index, condition, .. } = lane;
    let (from, lock) = match conn {
        // Customers held by another worker, or by the planner, are stepped over, not waited for.
        Conn::Postgres(_) => (
            "messages m JOIN rollups r ON r.customer_id = m.customer_id".to_owned(),
            "FOR UPDATE OF r SKIP LOCKED",
        ),
        // The write transaction already shuts out every other writer.
        Conn::Sqlite(_) => (format!("messages m INDEXED BY {index}"), ""),
    };
    let query = diesel::sql_query(format!(
        "SELECT m.customer_id, m.id FROM {from} WHERE m.store_id = $1 AND m.status = 'scheduled' \
         AND m.scheduled_at <= $2 AND {condition} ORDER BY m.scheduled_at, m.id LIMIT $3 {lock}"
    ))
    .bind::<BigInt, _>(desk.store.id)
    .bind::<BigInt, _>(desk.at.now)
    .bind::<BigInt, _>(limit);
    kept(query).load(conn)
}
