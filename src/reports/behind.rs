//! The rows behind an experiment's figures: the orders of an arm, and its customers.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::rows::order::Order;
use super::trial::Cohort;
use crate::db::Conn;
use crate::primitives::{CustomerId, Timestamp};

/// An order of a customer of one arm, within their window.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct ArmOrder {
    #[diesel(embed)]
    pub order: Order,
    #[diesel(sql_type = BigInt)]
    pub assigned_at: Timestamp,
}

/// A customer of one arm whose window is over.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct ArmCustomer {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    pub assigned_at: Timestamp,
    /// Within their window.
    #[diesel(sql_type = BigInt)]
    pub orders: i64,
    /// Of these, net of refunds, in minor units of the store's currency.
    #[diesel(sql_type = BigInt)]
    pub revenue: i64,
}

/// Which customers of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    All,
    /// Those with an order.
    Converted,
}

/// The orders behind an arm's figures, newest first, after `after`: (placed_at, order id) of the page before.
pub fn orders(
    conn: &mut Conn,
    cohort: &Cohort,
    arm: &str,
    now: Timestamp,
    after: Option<&(Timestamp, String)>,
    limit: i64,
) -> QueryResult<Vec<ArmOrder>> {
    let window = cohort.window.micros();
    let (at, id) = after.cloned().unwrap_or((Timestamp::MAX, String::new()));
    diesel::sql_query(format!(
        "SELECT {}, u.assigned_at \
         FROM ({}) u JOIN orders o ON o.customer_id = u.customer_id AND o.counts AND o.placed_at > u.assigned_at \
         AND o.placed_at <= u.assigned_at + {window} WHERE u.arm = $1 AND u.assigned_at + {window} <= {} \
         AND (o.placed_at < $2 OR (o.placed_at = $3 AND o.order_id > $4)) \
         ORDER BY o.placed_at DESC, o.order_id LIMIT {limit}",
        Order::COLUMNS,
        cohort.people(),
        now.0
    ))
    .bind::<Text, _>(arm)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<Text, _>(id)
    .load(conn)
}

/// The customers behind an arm's figures, who became eligible last first, after `after`: (assigned_at, customer) of
/// the page before.
pub fn customers(
    conn: &mut Conn,
    cohort: &Cohort,
    arm: &str,
    whom: Whom,
    now: Timestamp,
    after: Option<(Timestamp, i64)>,
    limit: i64,
) -> QueryResult<Vec<ArmCustomer>> {
    let window = cohort.window.micros();
    let (at, id) = after.unwrap_or((Timestamp::MAX, i64::MAX));
    let converted = match whom {
        Whom::All => "",
        Whom::Converted => "HAVING COUNT(o.order_id) > 0",
    };
    diesel::sql_query(format!(
        "SELECT u.customer_id, u.assigned_at, COUNT(o.order_id) AS orders, CAST(COALESCE(SUM(CASE WHEN o.currency = $1 \
         THEN o.total - o.refunded ELSE 0 END), 0) AS BIGINT) AS revenue \
         FROM ({}) u LEFT JOIN orders o ON o.customer_id = u.customer_id AND o.counts AND o.placed_at > u.assigned_at \
         AND o.placed_at <= u.assigned_at + {window} WHERE u.arm = $2 AND u.assigned_at + {window} <= {} \
         AND (u.assigned_at < $3 OR (u.assigned_at = $4 AND u.customer_id < $5)) \
         GROUP BY u.customer_id, u.assigned_at {converted} \
         ORDER BY u.assigned_at DESC, u.customer_id DESC LIMIT {limit}",
        cohort.people(),
        now.0
    ))
    .bind::<Text, _>(cohort.store.currency.as_str())
    .bind::<Text, _>(arm)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(id)
    .load(conn)
}
