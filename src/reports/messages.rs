//! Messages with their rule's key and whom they are to: one row for the outbox, a customer's page and the API.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use crate::db::Conn;
use crate::db::schema::rules;
use crate::primitives::{CustomerId, MessageId, RuleId, StoreId, Timestamp};

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
    /// Its key.
    #[diesel(sql_type = Text)]
    pub rule: String,
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
    #[diesel(sql_type = Nullable<BigInt>)]
    pub sent_at: Option<Timestamp>,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub subject: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub held_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cancelled_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_reply: Option<String>,
    /// Of a rule in shadow: it never leaves.
    #[diesel(sql_type = diesel::sql_types::Bool)]
    pub shadow: bool,
}

/// The rows of `which` (conditions, order and limit over `messages m`, of trusted text), in `order`.
///
/// The page is found by its index alone, and joined afterwards: a join first could lead the planner to a sort.
fn select(which: &str, order: &str) -> String {
    format!(
        "SELECT m.id, m.customer_id, c.name, c.email, c.external_id, m.rule_id, r.key AS rule, m.rule_version, m.step, m.class, \
         m.status, m.planned_for, m.scheduled_at, m.useful_until, m.sent_at, m.attempts, m.address, m.subject, m.held_for, \
         m.cancelled_for, m.last_reply, m.shadow FROM (SELECT * FROM messages m WHERE {which}) m \
         JOIN rules r ON r.id = m.rule_id JOIN customers c ON c.id = m.customer_id {order}"
    )
}

/// Which messages, and where the page before ended: (scheduled_at, id) of its last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    pub status: Option<String>,
    pub rule: Option<RuleId>,
    pub after: Option<(i64, i64)>,
    pub limit: i64,
}

/// A page of a store's messages, newest first; of one status or one rule, by `scheduled_at`, latest first.
pub fn list(conn: &mut Conn, store: StoreId, wanted: &Wanted) -> QueryResult<Vec<Message>> {
    match (&wanted.status, wanted.rule) {
        (None, None) => {
            let mut which = format!("m.store_id = {}", store.0);
            if let Some((_, id)) = wanted.after {
                which += &format!(" AND m.id < {id}");
            }
            let order = "ORDER BY m.id DESC";
            which += &format!(" {order} LIMIT {}", wanted.limit);
            diesel::sql_query(select(&which, order)).load(conn)
        }
        (Some(status), rule) => latest(conn, store, status, rule, wanted),
        // The index has a rule's messages status by status: what is latest of each is latest of all.
        (None, rule) => {
            let mut all = Vec::new();
            for status in super::outbox::STATUSES {
                all.extend(latest(conn, store, status, rule, wanted)?);
            }
            all.sort_by_key(|message| std::cmp::Reverse((message.scheduled_at, message.id)));
            all.truncate(usize::try_from(wanted.limit).unwrap_or(0));
            Ok(all)
        }
    }
}

fn latest(
    conn: &mut Conn,
    store: StoreId,
    status: &str,
    rule: Option<RuleId>,
    wanted: &Wanted,
) -> QueryResult<Vec<Message>> {
    // Numbers of our own stand in the text; words from outside are bound.
    let mut which = format!("m.store_id = {} AND m.status = $1", store.0);
    if let Some(RuleId(rule)) = rule {
        which += &format!(" AND m.rule_id = {rule}");
    }
    if let Some((at, id)) = wanted.after {
        which += &format!(" AND m.scheduled_at <= {at} AND (m.scheduled_at < {at} OR m.id < {id})");
    }
    let order = "ORDER BY m.scheduled_at DESC, m.id DESC";
    which += &format!(" {order} LIMIT {}", wanted.limit);
    diesel::sql_query(select(&which, order)).bind::<Text, _>(status).load(conn)
}

/// What is still to go comes soonest first, what is over newest first.
fn is_ahead(status: &str) -> bool {
    matches!(status, "scheduled" | "sending")
}

/// A page of one status, and of one rule where asked, for someone who looks at what is next.
pub fn of_status(
    conn: &mut Conn,
    store: StoreId,
    status: &'static str,
    rule: Option<i64>,
    after: Option<(Timestamp, MessageId)>,
    limit: i64,
) -> QueryResult<Vec<Message>> {
    let (way, beyond) = if is_ahead(status) { ("ASC", '>') } else { ("DESC", '<') };
    let mut which = format!("m.store_id = {} AND m.status = '{status}'", store.0);
    if let Some(rule) = rule {
        which += &format!(" AND m.rule_id = {rule}");
    }
    if let Some((Timestamp(at), MessageId(id))) = after {
        which += &format!(
            " AND m.scheduled_at {beyond}= {at} AND (m.scheduled_at {beyond} {at} OR m.id {beyond} {id})"
        );
    }
    let order = format!("ORDER BY m.scheduled_at {way}, m.id {way}");
    which += &format!(" {order} LIMIT {limit}");
    diesel::sql_query(select(&which, &order)).load(conn)
}

/// A customer's, scheduled, or once scheduled, before `before`; newest first.
pub fn of_customer(
    conn: &mut Conn,
    customer: CustomerId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<Message>> {
    let order = "ORDER BY m.scheduled_at DESC, m.id DESC";
    let which = format!("m.customer_id = $1 AND m.scheduled_at < $2 {order} LIMIT {limit}");
    diesel::sql_query(select(&which, order))
        .bind::<BigInt, _>(customer)
        .bind::<BigInt, _>(before)
        .load(conn)
}

/// `None` where the store has no message of that id.
pub fn find(conn: &mut Conn, store: StoreId, id: MessageId) -> QueryResult<Option<Message>> {
    diesel::sql_query(select("m.store_id = $1 AND m.id = $2", ""))
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
