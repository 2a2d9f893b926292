//! An order as it stands behind a figure.

use diesel::prelude::*;

use crate::db::schema::orders;
use crate::primitives::{Currency, CustomerId, Money, Timestamp};

#[derive(Debug, Clone, PartialEq, HasQuery, QueryableByName)]
#[diesel(table_name = orders)]
pub struct Order {
    pub customer_id: CustomerId,
    pub order_id: String,
    pub placed_at: Timestamp,
    pub status: String,
    pub currency: Currency,
    /// Minor units, as `refunded`.
    pub total: i64,
    pub refunded: i64,
}

impl Order {
    /// What a statement reads of the orders that it calls `o`.
    pub(in crate::reports) const COLUMNS: &str =
        "o.customer_id, o.order_id, o.placed_at, o.status, o.currency, o.total, o.refunded";

    pub fn total(&self) -> Money {
        Money::new(self.total, self.currency.clone())
    }

    pub fn refunded(&self) -> Money {
        Money::new(self.refunded, self.currency.clone())
    }

    /// What is left of it after refunds.
    pub fn net(&self) -> Money {
        Money::new(self.total - self.refunded, self.currency.clone())
    }
}
