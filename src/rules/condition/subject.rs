//! What is known of one customer when a condition is asked.

use super::{Deed, Field};
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
    pub last_order_value: Option<i64>,
    pub first_order_at: Option<Timestamp>,
    pub last_order_at: Option<Timestamp>,
    pub first_seen_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub visits_count: Option<i64>,
    pub page_views: Option<i64>,
    pub product_views: Option<i64>,
    pub carts_count: Option<i64>,
    pub checkouts_count: Option<i64>,
    pub cart_value: Option<i64>,
    pub segment: Option<String>,
    pub segment_since: Option<Timestamp>,
    pub at_risk_since: Option<Timestamp>,
    pub r: Option<i64>,
    pub f: Option<i64>,
    pub m: Option<i64>,
    pub p_alive: Option<f64>,
    pub p_order_30d: Option<f64>,
    pub p_order_90d: Option<f64>,
    pub expected_orders_30d: Option<f64>,
    pub expected_orders_90d: Option<f64>,
    pub expected_orders_365d: Option<f64>,
    pub order_value: Option<i64>,
    pub value_at_risk: Option<i64>,
    pub usual_gap_days: Option<f64>,
    pub next_order_expected_at: Option<Timestamp>,
    pub first_channel: Option<String>,
    pub last_channel: Option<String>,
    pub first_campaign: Option<String>,
    pub last_campaign: Option<String>,
    pub country: Option<String>,
    pub city: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    pub tags: Vec<String>,
    /// Whatever else the shop told, by its own names.
    pub traits: serde_json::Map<String, serde_json::Value>,
    pub has_email: bool,
    pub has_phone: bool,
    pub identified: bool,
    /// `none`, `granted` or `withdrawn`.
    pub consent: Option<String>,
    /// What they did, as far as some rule asks: see `Needs`. In any order.
    pub deeds: Vec<Deed>,
    /// The rules whose mail reached them, and when.
    pub received: Vec<(String, Timestamp)>,
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
    /// Takes over what scoring said of `other`.
    pub fn take_scores(&mut self, other: &Self) {
        self.segment.clone_from(&other.segment);
        self.segment_since = other.segment_since;
        self.at_risk_since = other.at_risk_since;
        (self.r, self.f, self.m) = (other.r, other.f, other.m);
        self.p_alive = other.p_alive;
        self.p_order_30d = other.p_order_30d;
        self.p_order_90d = other.p_order_90d;
        self.expected_orders_30d = other.expected_orders_30d;
        self.expected_orders_90d = other.expected_orders_90d;
        self.expected_orders_365d = other.expected_orders_365d;
        self.order_value = other.order_value;
        self.value_at_risk = other.value_at_risk;
        self.usual_gap_days = other.usual_gap_days;
        self.next_order_expected_at = other.next_order_expected_at;
    }

    /// Somebody of whom nothing is known, in a store of this currency.
    pub fn unknown(currency: &Currency) -> Self {
        Self {
            decimals: currency.decimals(),
            orders_count: None,
            foreign_orders: None,
            order_days: None,
            spent: None,
            last_order_value: None,
            first_order_at: None,
            last_order_at: None,
            first_seen_at: None,
            last_seen_at: None,
            visits_count: None,
            page_views: None,
            product_views: None,
            carts_count: None,
            checkouts_count: None,
            cart_value: None,
            segment: None,
            segment_since: None,
            at_risk_since: None,
            r: None,
            f: None,
            m: None,
            p_alive: None,
            p_order_30d: None,
            p_order_90d: None,
            expected_orders_30d: None,
            expected_orders_90d: None,
            expected_orders_365d: None,
            order_value: None,
            value_at_risk: None,
            usual_gap_days: None,
            next_order_expected_at: None,
            first_channel: None,
            last_channel: None,
            first_campaign: None,
            last_campaign: None,
            country: None,
            city: None,
            locale: None,
            timezone: None,
            tags: Vec::new(),
            traits: serde_json::Map::new(),
            has_email: false,
            has_phone: false,
            identified: false,
            consent: None,
            deeds: Vec::new(),
            received: Vec::new(),
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
            Field::LastOrderValue => {
                money(self.last_order_value).filter(|_| self.last_order_at.is_some())
            }
            Field::DaysSinceFirstVisit => days(self.first_seen_at),
            Field::DaysSinceLastVisit => days(self.last_seen_at),
            Field::VisitsCount => count(self.visits_count),
            Field::PageViews => count(self.page_views),
            Field::ProductViews => count(self.product_views),
            Field::CartsCount => count(self.carts_count),
            Field::CheckoutsCount => count(self.checkouts_count),
            Field::CartValue => money(self.cart_value),
            Field::Segment => self.segment.as_deref().map(Known::Text),
            Field::DaysInSegment => days(self.segment_since),
            Field::DaysAtRisk => days(self.at_risk_since),
            Field::R => count(self.r),
            Field::F => count(self.f),
            Field::M => count(self.m),
            Field::PAlive => self.p_alive.map(Known::Number),
            Field::POrder30d => self.p_order_30d.map(Known::Number),
            Field::POrder90d => self.p_order_90d.map(Known::Number),
            Field::ExpectedOrders30d => self.expected_orders_30d.map(Known::Number),
            Field::ExpectedOrders90d => self.expected_orders_90d.map(Known::Number),
            Field::ExpectedOrders365d => self.expected_orders_365d.map(Known::Number),
            Field::OrderValue => money(self.order_value),
            Field::ValueAtRisk => money(self.value_at_risk),
            Field::UsualGapDays => self.usual_gap_days.map(Known::Number),
            Field::DaysUntilNextOrder => {
                self.next_order_expected_at.map(|at| Known::Number(at.days_since(now)))
            }
            Field::FirstChannel => self.first_channel.as_deref().map(Known::Text),
            Field::LastChannel => self.last_channel.as_deref().map(Known::Text),
            Field::FirstCampaign => self.first_campaign.as_deref().map(Known::Text),
            Field::LastCampaign => self.last_campaign.as_deref().map(Known::Text),
            Field::Country => self.country.as_deref().map(Known::Text),
            Field::City => self.city.as_deref().map(Known::Text),
            Field::Locale => self.locale.as_deref().map(Known::Text),
            Field::Timezone => self.timezone.as_deref().map(Known::Text),
            Field::Tags => (!self.tags.is_empty()).then_some(Known::Tags(&self.tags)),
            Field::HasEmail => Some(Known::Flag(self.has_email)),
            Field::HasPhone => Some(Known::Flag(self.has_phone)),
            Field::Identified => Some(Known::Flag(self.identified)),
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
