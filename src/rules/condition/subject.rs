//! What is known of one customer when a condition is asked.

use super::Field;
use crate::primitives::{Currency, Timestamp};

/// What is known of one customer when a condition is asked. Money in minor units of the store's currency.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Of the store's currency's minor unit.
    pub decimals: u32,
    pub orders_count: Option<i64>,
    /// Of these, orders in another currency: their money is in no sum.
    pub foreign_orders: Option<i64>,
    pub order_days: Option<i64>,
    pub spent: Option<i64>,
    pub first_order_at: Option<Timestamp>,
    pub last_order_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub visits_count: Option<i64>,
    pub page_views: Option<i64>,
    pub product_views: Option<i64>,
    pub carts_count: Option<i64>,
    pub checkouts_count: Option<i64>,
    pub cart_value: Option<i64>,
    pub segment: Option<String>,
    pub r: Option<i64>,
    pub f: Option<i64>,
    pub m: Option<i64>,
    pub p_alive: Option<f64>,
    pub expected_orders_90d: Option<f64>,
    pub value_at_risk: Option<i64>,
    pub country: Option<String>,
    pub city: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    pub tags: Vec<String>,
    pub has_email: bool,
    /// `none`, `granted` or `withdrawn`.
    pub consent: Option<String>,
}

/// A field's value, where it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Known<'s> {
    Number(f64),
    Text(&'s str),
    Tags(&'s [String]),
    Flag(bool),
}

impl Subject {
    /// Somebody of whom nothing is known, in a store of this currency.
    pub fn unknown(currency: &Currency) -> Self {
        Self {
            decimals: currency.decimals(),
            orders_count: None,
            foreign_orders: None,
            order_days: None,
            spent: None,
            first_order_at: None,
            last_order_at: None,
            last_seen_at: None,
            visits_count: None,
            page_views: None,
            product_views: None,
            carts_count: None,
            checkouts_count: None,
            cart_value: None,
            segment: None,
            r: None,
            f: None,
            m: None,
            p_alive: None,
            expected_orders_90d: None,
            value_at_risk: None,
            country: None,
            city: None,
            locale: None,
            timezone: None,
            tags: Vec::new(),
            has_email: false,
            consent: None,
        }
    }

    pub(super) fn value(&self, field: Field, now: Timestamp) -> Option<Known<'_>> {
        let count = |n: Option<i64>| n.map(|n| Known::Number(n as f64));
        let money = |minor: Option<i64>| minor.map(|minor| Known::Number(self.major(minor)));
        let days = |at: Option<Timestamp>| at.map(|at| Known::Number(now.days_since(at)));
        match field {
            Field::OrdersCount => count(self.orders_count),
            Field::OrderDays => count(self.order_days),
            Field::Spent => money(self.spent),
            Field::AverageOrderValue => self.average_order_value().map(Known::Number),
            Field::DaysSinceFirstOrder => days(self.first_order_at),
            Field::DaysSinceLastOrder => days(self.last_order_at),
            Field::DaysSinceLastVisit => days(self.last_seen_at),
            Field::VisitsCount => count(self.visits_count),
            Field::PageViews => count(self.page_views),
            Field::ProductViews => count(self.product_views),
            Field::CartsCount => count(self.carts_count),
            Field::CheckoutsCount => count(self.checkouts_count),
            Field::CartValue => money(self.cart_value),
            Field::Segment => self.segment.as_deref().map(Known::Text),
            Field::R => count(self.r),
            Field::F => count(self.f),
            Field::M => count(self.m),
            Field::PAlive => self.p_alive.map(Known::Number),
            Field::ExpectedOrders90d => self.expected_orders_90d.map(Known::Number),
            Field::ValueAtRisk => money(self.value_at_risk),
            Field::Country => self.country.as_deref().map(Known::Text),
            Field::City => self.city.as_deref().map(Known::Text),
            Field::Locale => self.locale.as_deref().map(Known::Text),
            Field::Timezone => self.timezone.as_deref().map(Known::Text),
            Field::Tags => (!self.tags.is_empty()).then_some(Known::Tags(&self.tags)),
            Field::HasEmail => Some(Known::Flag(self.has_email)),
            Field::Consent => self.consent.as_deref().map(Known::Text),
        }
    }

    /// Correctly rounded, as the reading of a decimal is: 1999 minor units equal the `19.99` of a document.
    fn major(&self, minor: i64) -> f64 {
        minor as f64 / 10_f64.powi(self.decimals as i32)
    }

    fn average_order_value(&self) -> Option<f64> {
        let own = self.orders_count? - self.foreign_orders.unwrap_or(0);
        (own > 0).then_some(self.major(self.spent?) / own as f64)
    }
}
