//! A customer's running totals and moments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DayKnown;
use crate::primitives::{Currency, Delay, EmailAddress, Timestamp};
use crate::products::ProductRef;
use crate::text_enum;

/// Totals and moments of one customer. A moment is a time that a rule can count from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollup {
    /// The last fact folded in order; an earlier one means folding anew.
    pub position: Option<(Timestamp, String)>,
    pub first_seen_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub visits_count: i32,
    pub page_views: i32,
    pub product_views: i32,
    pub carts_count: i32,
    pub checkouts_count: i32,
    pub orders_count: i32,
    /// Distinct days, in the store's zone, with a counting order.
    pub order_days: i32,
    /// Minor units of the store's currency, net of refunds.
    pub spent: i64,
    /// Counting orders in another currency: they are in no sum.
    pub foreign_orders: i32,
    pub first_order_at: Option<Timestamp>,
    pub last_order_at: Option<Timestamp>,
    /// Days since 1970 in the store's zone.
    pub last_order_day: Option<i32>,
    /// Median of the days between successive order days.
    pub median_gap_days: Option<f64>,
    /// Sum of ln(days) over the gaps between successive order days: how regular they are.
    pub log_gap_sum: f64,
    /// Of the last order day, net of refunds, in minor units of the store's currency.
    pub last_order_value: i64,
    /// Any order placed, counting or not: it closes visits and baskets.
    pub last_placed_at: Option<Timestamp>,
    pub state: State,
}

impl Rollup {
    /// The open basket last touched: what cart and checkout rules speak of.
    pub fn basket(&self) -> Option<&Basket> {
        self.state.baskets.iter().max_by_key(|basket| (basket.updated_at, basket.started_at))
    }

    /// The open basket whose checkout was last touched.
    pub fn checkout(&self) -> Option<&Basket> {
        self.state
            .baskets
            .iter()
            .filter(|b| b.checkout_started_at.is_some())
            .max_by_key(|b| b.checkout_started_at)
    }
}

/// What folding needs to go on, and mails need to be about something. Kept as JSON in `rollups.state`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit: Option<OpenVisit>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub baskets: Vec<Basket>,
    /// Products viewed, newest first, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub viewed: Vec<Viewed>,
    #[serde(skip_serializing_if = "is_default")]
    pub floors: Floors,
    /// Days of the year that the profile tells, by the traits' names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub days: BTreeMap<String, DayKnown>,
    /// The address the customer gave last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// The address of the latest order that carries one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_email: Option<OrderEmail>,
    #[serde(skip_serializing_if = "is_default")]
    pub consent: super::Consent,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Ordered by the fact's position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderEmail {
    pub at: Timestamp,
    pub source_key: String,
    pub email: EmailAddress,
}

/// For each moment, the earliest due time it may trigger: late news causes no late mail (design: invariant 8).
///
/// An imported fact triggers only what falls due after its arrival, one from a live source may be 72 hours late.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Floors {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cart: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_order: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_order: Option<Timestamp>,
}

text_enum! {
    /// How far a visit went.
    pub enum VisitDepth {
        Page = "page",
        Product = "product",
        Cart = "cart",
        Checkout = "checkout",
    }
}

/// The visit that the next behaviour fact may extend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenVisit {
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub page_views: i32,
    pub product_views: i32,
    pub depth: VisitDepth,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
}

/// A basket nobody has ordered yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Basket {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout_id: Option<String>,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    /// The last word from its checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout_started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<ProductRef>,
    /// By the checkout's own word, in minor units of `currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_value: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
}

impl Basket {
    /// A basket untouched for so long is forgotten.
    pub const LIFE: Delay = Delay::days(30);

    /// What it is worth in minor units; `None` where a price is missing.
    pub fn value(&self) -> Option<i64> {
        let sum = || {
            self.products.iter().try_fold(0_i64, |sum, product| {
                let price = product.price? as f64 * product.quantity.unwrap_or(1.0);
                Some(sum.saturating_add(price.round() as i64))
            })
        };
        self.stated_value.or_else(|| if self.products.is_empty() { None } else { sum() })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Viewed {
    pub product_id: String,
    pub at: Timestamp,
}
