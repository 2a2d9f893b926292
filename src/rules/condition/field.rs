//! What can be asked about a customer: each field with the values it has, and the comparisons that fit them.

use super::Op;
use crate::scoring::{Segment, VisitorSegment};
use crate::text_enum;

text_enum! {
    /// What can be asked about a customer.
    pub enum Field {
        OrdersCount = "orders_count",
        OrderDays = "order_days",
        /// Net of refunds, in major units of the store's currency.
        Spent = "spent",
        AverageOrderValue = "average_order_value",
        /// Of the last day with an order, net of refunds.
        LastOrderValue = "last_order_value",
        DaysSinceFirstOrder = "days_since_first_order",
        DaysSinceLastOrder = "days_since_last_order",
        DaysSinceFirstVisit = "days_since_first_visit",
        DaysSinceLastVisit = "days_since_last_visit",
        VisitsCount = "visits_count",
        PageViews = "page_views",
        ProductViews = "product_views",
        CartsCount = "carts_count",
        CheckoutsCount = "checkouts_count",
        /// What lies in the open basket.
        CartValue = "cart_value",
        Segment = "segment",
        DaysInSegment = "days_in_segment",
        /// Of those on the at-risk list alone.
        DaysAtRisk = "days_at_risk",
        R = "r",
        F = "f",
        M = "m",
        PAlive = "p_alive",
        POrder30d = "p_order_30d",
        POrder90d = "p_order_90d",
        ExpectedOrders30d = "expected_orders_30d",
        ExpectedOrders90d = "expected_orders_90d",
        ExpectedOrders365d = "expected_orders_365d",
        /// What the orders of one day are expected to come to.
        OrderValue = "order_value",
        ValueAtRisk = "value_at_risk",
        UsualGapDays = "usual_gap_days",
        /// Negative once it is overdue.
        DaysUntilNextOrder = "days_until_next_order",
        /// Of the first visit, and of the last; unknown where it came from nowhere in particular.
        FirstChannel = "first_channel",
        LastChannel = "last_channel",
        FirstCampaign = "first_campaign",
        LastCampaign = "last_campaign",
        Country = "country",
        City = "city",
        Locale = "locale",
        Timezone = "timezone",
        Tags = "tags",
        HasEmail = "has_email",
        HasPhone = "has_phone",
        /// Has an id of the shop, not only a browser's or an address.
        Identified = "identified",
        Consent = "consent",
    }
}

/// The segments that a rule can name: of buyers, then of visitors.
pub const SEGMENTS: [&str; Segment::ALL.len() + VisitorSegment::ALL.len()] = {
    let mut names = [""; Segment::ALL.len() + VisitorSegment::ALL.len()];
    let mut n = 0;
    while n < names.len() {
        names[n] = match n.checked_sub(Segment::ALL.len()) {
            None => Segment::ALL[n].as_str(),
            Some(visitor) => VisitorSegment::ALL[visitor].as_str(),
        };
        n += 1;
    }
    names
};

const CONSENTS: [&str; 3] = ["none", "granted", "withdrawn"];

/// No number that a rule can ask for is larger.
pub const LARGE: f64 = 1e12;

/// What values a field has.
pub(super) enum Kind {
    Whole { min: f64, max: f64 },
    Number { min: f64, max: f64 },
    Text,
    OneOf(&'static [&'static str]),
    Tags,
    Flag,
}

impl Field {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::OrdersCount
            | Self::OrderDays
            | Self::VisitsCount
            | Self::PageViews
            | Self::ProductViews
            | Self::CartsCount
            | Self::CheckoutsCount => Kind::Whole { min: 0.0, max: LARGE },
            Self::R | Self::F | Self::M => Kind::Whole { min: 1.0, max: 5.0 },
            Self::PAlive | Self::POrder30d | Self::POrder90d => Kind::Number { min: 0.0, max: 1.0 },
            Self::DaysUntilNextOrder => Kind::Number { min: -LARGE, max: LARGE },
            Self::Spent
            | Self::AverageOrderValue
            | Self::LastOrderValue
            | Self::OrderValue
            | Self::UsualGapDays
            | Self::DaysInSegment
            | Self::DaysAtRisk
            | Self::DaysSinceFirstVisit
            | Self::ExpectedOrders30d
            | Self::ExpectedOrders365d
            | Self::CartValue
            | Self::ValueAtRisk
            | Self::DaysSinceFirstOrder
            | Self::DaysSinceLastOrder
            | Self::DaysSinceLastVisit
            | Self::ExpectedOrders90d => Kind::Number { min: 0.0, max: LARGE },
            Self::Country
            | Self::City
            | Self::Locale
            | Self::Timezone
            | Self::FirstChannel
            | Self::LastChannel
            | Self::FirstCampaign
            | Self::LastCampaign => Kind::Text,
            Self::Segment => Kind::OneOf(&SEGMENTS),
            Self::Consent => Kind::OneOf(&CONSENTS),
            Self::Tags => Kind::Tags,
            Self::HasEmail | Self::HasPhone | Self::Identified => Kind::Flag,
        }
    }

    /// Whether it comes of scoring, and changes with the days.
    pub fn is_of_scores(self) -> bool {
        let own = [Self::Segment, Self::DaysInSegment, Self::R, Self::F, Self::M];
        own.contains(&self) || self == Self::UsualGapDays || self.is_forecast()
    }

    /// Whether it comes of the customer's profile.
    pub(super) fn is_of_profile(self) -> bool {
        matches!(
            self,
            Self::Country
                | Self::City
                | Self::Locale
                | Self::Timezone
                | Self::Tags
                | Self::HasEmail
                | Self::HasPhone
                | Self::Identified
                | Self::Consent
        )
    }

    /// Whether it is foretold by what the store has learnt.
    pub fn is_forecast(self) -> bool {
        matches!(
            self,
            Self::PAlive
                | Self::POrder30d
                | Self::POrder90d
                | Self::ExpectedOrders30d
                | Self::ExpectedOrders90d
                | Self::ExpectedOrders365d
                | Self::OrderValue
                | Self::ValueAtRisk
                | Self::DaysUntilNextOrder
                | Self::DaysAtRisk
        )
    }

    /// The comparisons that make sense for it.
    pub fn ops(self) -> &'static [Op] {
        use Op::{Contains, Eq, Gt, Gte, In, IsSet, Lt, Lte, Ne, NotIn};
        match self.kind() {
            Kind::Whole { .. } => &[Eq, Ne, Lt, Lte, Gt, Gte, In, NotIn, IsSet],
            Kind::Number { .. } => &[Eq, Ne, Lt, Lte, Gt, Gte, IsSet],
            Kind::Text => &[Eq, Ne, In, NotIn, Contains, IsSet],
            Kind::OneOf(_) => &[Eq, Ne, In, NotIn, IsSet],
            Kind::Tags => &[Contains, IsSet],
            Kind::Flag => &[Eq, Ne],
        }
    }
}
