//! The outbox as lists show it.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use crate::db::Conn;
use crate::db::schema::rules;
use crate::primitives::{CustomerId, MessageId, RuleId, StoreId, Timestamp};

/// Which messages, and where the page before ended: (scheduled_at, id) of its last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    pub status: Option<String>,
    pub rule: Option<RuleId>,
    pub after: Option<(i64, i64)>,
    pub limit: i64,
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Message {
    #[diesel(sql_type = BigInt)]
    pub id: MessageId,
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    /// Its key.
    #[diesel(sql_type = Text)]
    pub rule: String,
    #[diesel(sql_type = Integer)]
    pub step: i32,
    #[diesel(sql_type = Text)]
    pub class: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = BigInt)]
    pub scheduled_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub planned_for: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub useful_until: Timestamp,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub sent_at: Option<Timestamp>,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub subject: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub held_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cancelled_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_reply: Option<String>,
}

const SELECT: &str = "SELECT m.id, m.customer_id, r.key AS rule, m.step, m.class, m.status, m.scheduled_at, m.planned_for, \
     m.useful_until, m.sent_at, m.attempts, m.subject, m.held_for, m.cancelled_for, m.last_reply \
     FROM messages m JOIN rules r ON r.id = m.rule_id";

/// A page of a store's messages, newest first. Of one status: by `scheduled_at`, latest first, as its index has them.
pub fn list(conn: &mut Conn, store: StoreId, wanted: &Wanted) -> QueryResult<Vec<Message>> {
    // Numbers of our own stand in the text; words from outside are bound.
    let mut sql = format!("{SELECT} WHERE m.store_id = {}", store.0);
    if wanted.status.is_some() {
        sql += " AND m.status = $1";
    }
    if let Some(rule) = wanted.rule {
        sql += &format!(" AND m.rule_id = {}", rule.0);
    }
    let by_time = wanted.status.is_some() && wanted.rule.is_none();
    if let Some((at, id)) = wanted.after {
        sql += &if by_time {
            format!(" AND m.scheduled_at <= {at} AND (m.scheduled_at < {at} OR m.id < {id})")
        } else {
            format!(" AND m.id < {id}")
        };
    }
    sql += if by_time { " ORDER BY m.scheduled_at DESC, m.id DESC" } else { " ORDER BY m.id DESC" };
    sql += &format!(" LIMIT {}", wanted.limit);
    let mut query = diesel::sql_query(sql).into_boxed();
    if let Some(status) = &wanted.status {
        query = query.bind::<Text, _>(status);
    }
    query.load(conn)
}

/// `None` where the store has no message of that id.
pub fn find(conn: &mut Conn, store: StoreId, id: MessageId) -> QueryResult<Option<Message>> {
    diesel::sql_query(format!("{SELECT} WHERE m.store_id = $1 AND m.id = $2"))
        .bind::<BigInt, _>(store)
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .optional()
}

/// The rule of that key, retired ones too: their messages are there still.
pub fn rule_id(conn: &mut Conn, store: StoreId, key: &str) -> QueryResult<Option<RuleId>> {
    rules::table
        .filter(rules::store_id.eq(store).and(rules::key.eq(key)))
        .select(rules::id)
        .first(conn)
        .optional()
}
