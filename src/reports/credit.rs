//! Which rule an order is credited to. Credit is shared out, never counted twice, and says nothing about cause.
//!
//! An order goes to the mail whose link a person followed last in the seven days before it; where nobody followed any,
//! to the last mail sent in those days. It is worth what is left of it after refunds; one wholly refunded, or
//! cancelled, is worth no credit at all.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use crate::db::Conn;
use crate::primitives::{Currency, CustomerId, Delay, MessageId, RuleId, Timestamp};
use crate::stores::Store;

/// How long before an order a click or a mail may lie.
pub const WITHIN: Delay = Delay::days(7);

/// From an instant up to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// What a rule is credited with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Credit {
    #[diesel(sql_type = BigInt)]
    pub rule_id: RuleId,
    #[diesel(sql_type = BigInt)]
    pub orders: i64,
    /// Of these, after a click.
    #[diesel(sql_type = BigInt)]
    pub clicked: i64,
    /// Net of refunds, in minor units of the store's currency; orders in another enter no sum.
    #[diesel(sql_type = BigInt)]
    pub revenue: i64,
    /// What refunds took back of it.
    #[diesel(sql_type = BigInt)]
    pub refunded: i64,
}

/// One order with the mail that it is credited to.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct CreditedOrder {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Text)]
    pub order_id: String,
    #[diesel(sql_type = BigInt)]
    pub placed_at: Timestamp,
    #[diesel(sql_type = Text)]
    pub currency: Currency,
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub refunded: i64,
    #[diesel(sql_type = BigInt)]
    pub message_id: MessageId,
    /// By a click on it, else by its having been sent.
    #[diesel(sql_type = Bool)]
    pub clicked: bool,
}

/// The store's orders placed within `span` that some mail is credited with: `o` with `m` and whether it was a click.
///
/// Who never had a mail is left out by the index over days (`d`), before a row of theirs is visited. That is asked of
/// each buyer: the mails of a large store are more than its orders of some weeks.
fn credited(store: &Store, span: Span) -> String {
    let within = WITHIN.micros();
    format!(
        "FROM (SELECT o.customer_id, o.order_id, o.placed_at, o.currency, o.total, o.refunded, \
           (SELECT e.message_id FROM mail_events e WHERE e.customer_id = o.customer_id AND e.kind = 'click' \
             AND e.verdict = 'human' AND e.at <= o.placed_at AND e.at >= o.placed_at - {within} \
             ORDER BY e.at DESC, e.id DESC LIMIT 1) AS click, \
           (SELECT l.id FROM messages l WHERE l.customer_id = o.customer_id AND l.status = 'sent' \
             AND l.sent_at <= o.placed_at AND l.sent_at >= o.placed_at - {within} \
             ORDER BY l.sent_at DESC, l.id DESC LIMIT 1) AS send \
         FROM orders d JOIN orders o ON o.customer_id = d.customer_id AND o.order_id = d.order_id AND o.counts \
         WHERE d.store_id = {0} AND d.placed_at >= {1} AND d.placed_at < {2} \
         AND EXISTS (SELECT 1 FROM messages w WHERE w.customer_id = d.customer_id)) o \
         JOIN messages m ON m.customer_id = o.customer_id AND m.id = COALESCE(o.click, o.send)",
        store.id.0, span.from.0, span.until.0
    )
}

/// By rule, for orders placed within `span`.
pub fn by_rule(conn: &mut Conn, store: &Store, span: Span) -> QueryResult<Vec<Credit>> {
    let sum = |what: &str| {
        format!(
            "CAST(COALESCE(SUM(CASE WHEN o.currency = $1 THEN {what} ELSE 0 END), 0) AS BIGINT)"
        )
    };
    diesel::sql_query(format!(
        "SELECT m.rule_id AS rule_id, COUNT(*) AS orders, COUNT(o.click) AS clicked, {} AS revenue, {} AS refunded {} \
         GROUP BY m.rule_id",
        sum("o.total - o.refunded"),
        sum("o.refunded"),
        credited(store, span)
    ))
    .bind::<Text, _>(store.currency.as_str())
    .load(conn)
}

/// A rule's credited orders, newest first, after `after`: (placed_at, order id) of the page before.
pub fn orders(
    conn: &mut Conn,
    store: &Store,
    rule: RuleId,
    span: Span,
    after: Option<&(Timestamp, String)>,
    limit: i64,
) -> QueryResult<Vec<CreditedOrder>> {
    let (at, id) = after.cloned().unwrap_or((Timestamp::MAX, String::new()));
    diesel::sql_query(format!(
        "SELECT o.customer_id, o.order_id, o.placed_at, o.currency, o.total, o.refunded, m.id AS message_id, \
         o.click IS NOT NULL AS clicked {} WHERE m.rule_id = {} \
         AND (o.placed_at < $1 OR (o.placed_at = $2 AND o.order_id > $3)) \
         ORDER BY o.placed_at DESC, o.order_id LIMIT {limit}",
        credited(store, span),
        rule.0
    ))
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<Text, _>(id)
    .load(conn)
}
