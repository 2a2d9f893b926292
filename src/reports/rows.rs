//! The rows behind figures: an order and a decision as all lists read them, and of Today the orders, buyers and visitors
//! of a span, newest first.
//!
//! Each page is read along an index from where the one before ended: it costs as much as it shows, however long the span.

pub mod decisions;
pub mod order;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use self::order::Order;
use super::credit::Span;
use crate::db::Conn;
use crate::primitives::{CustomerId, Timestamp};
use crate::stores::Store;

/// A customer, with when they last did it in the span, how often, and for how much.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Person {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    pub at: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub times: i64,
    /// Of orders in the store's currency, in minor units; of visits, the products viewed.
    #[diesel(sql_type = BigInt)]
    pub sum: i64,
}

/// Where a page ended: a time and a customer.
pub type After = (Timestamp, i64);

/// The orders that GMV counts, after `after`: (placed_at, order id) of the page before.
pub fn orders(
    conn: &mut Conn,
    store: &Store,
    span: Span,
    after: Option<&(Timestamp, String)>,
    limit: i64,
) -> QueryResult<Vec<Order>> {
    let (at, id) = after.cloned().unwrap_or((Timestamp::MAX, String::new()));
    diesel::sql_query(format!(
        "SELECT {} FROM orders o \
         WHERE o.store_id = {} AND {} AND o.placed_at <= $1 AND (o.placed_at < $2 OR o.order_id > $3) \
         ORDER BY o.placed_at DESC, o.order_id LIMIT {limit}",
        Order::COLUMNS,
        store.id.0,
        placed_within('o', span)
    ))
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<Text, _>(id)
    .load(conn)
}

/// What Today counts of the orders called `of`.
fn placed_within(of: char, span: Span) -> String {
    format!(
        "{of}.placed_at >= {} AND {of}.placed_at < {} AND {of}.status IN ('open', 'paid', 'refunded')",
        span.from.0, span.until.0
    )
}

/// Those who placed an order, by their last one.
pub fn buyers(
    conn: &mut Conn,
    store: &Store,
    span: Span,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Person>> {
    let (at, id) = after.unwrap_or((Timestamp::MAX, i64::MAX));
    let within = |of: char| placed_within(of, span);
    let (own, all, later) = (within('o'), within('a'), within('b'));
    // Of two orders placed at one instant the one with the smaller id is passed over.
    diesel::sql_query(format!(
        "SELECT o.customer_id, o.placed_at AS at, \
         (SELECT COUNT(*) FROM orders a WHERE a.customer_id = o.customer_id AND {all}) AS times, \
         (SELECT CAST(COALESCE(SUM(CASE WHEN a.currency = $1 THEN a.total ELSE 0 END), 0) AS BIGINT) FROM orders a \
          WHERE a.customer_id = o.customer_id AND {all}) AS sum \
         FROM orders o WHERE o.store_id = {} AND {own} \
         AND o.placed_at <= $2 AND (o.placed_at < $3 OR o.customer_id < $4) \
         AND NOT EXISTS (SELECT 1 FROM orders b WHERE b.customer_id = o.customer_id AND {later} \
          AND (b.placed_at > o.placed_at OR (b.placed_at = o.placed_at AND b.order_id > o.order_id))) \
         ORDER BY o.placed_at DESC, o.customer_id DESC LIMIT {limit}",
        store.id.0
    ))
    .bind::<Text, _>(store.currency.as_str())
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(id)
    .load(conn)
}

/// Those who visited, by their last visit.
pub fn visitors(
    conn: &mut Conn,
    store: &Store,
    span: Span,
    after: Option<After>,
    limit: i64,
) -> QueryResult<Vec<Person>> {
    let (at, id) = after.unwrap_or((Timestamp::MAX, i64::MAX));
    let within = |of: char| {
        format!("{of}.started_at >= {} AND {of}.started_at < {}", span.from.0, span.until.0)
    };
    let (own, all, later) = (within('v'), within('a'), within('b'));
    diesel::sql_query(format!(
        "SELECT v.customer_id, v.started_at AS at, \
         (SELECT COUNT(*) FROM visits a WHERE a.customer_id = v.customer_id AND {all}) AS times, \
         (SELECT CAST(COALESCE(SUM(a.product_views), 0) AS BIGINT) FROM visits a \
          WHERE a.customer_id = v.customer_id AND {all}) AS sum \
         FROM visits v WHERE v.store_id = {} AND {own} \
         AND v.started_at <= $1 AND (v.started_at < $2 OR v.customer_id < $3) \
         AND NOT EXISTS (SELECT 1 FROM visits b WHERE b.customer_id = v.customer_id AND {later} \
          AND b.started_at > v.started_at) \
         ORDER BY v.started_at DESC, v.customer_id DESC LIMIT {limit}",
        store.id.0
    ))
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(id)
    .load(conn)
}
