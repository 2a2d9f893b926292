//! Where a field's value stands, and in what form.

use super::super::Field;
use super::Writer;

/// Where a field's value stands, and in what form.
pub(super) enum Column {
    /// A whole number that stands for `value / scale`.
    Scaled(String, f64),
    /// An instant; the value is how many days ago it is, or until it is.
    DaysSince(String),
    DaysUntil(String),
    Double(String),
    Text(String),
    /// One of our own words: compared as it is.
    Word(String),
    Tags(String),
    Flag(String),
}

impl Writer<'_> {
    /// The column of `field`, whose table is joined.
    pub(super) fn column(&mut self, field: Field) -> Column {
        self.customers |= field.is_of_profile();
        self.scores |= field.is_of_scores();
        let money = 10_f64.powi(self.asked.decimals as i32);
        let count = |name: &str| Column::Scaled(format!("r.{name}"), 1.0);
        let visit = |column: &str, order: &str| {
            Column::Text(format!(
                "(SELECT v.{column} FROM visits v WHERE v.customer_id = r.customer_id ORDER BY v.started_at {order} LIMIT 1)"
            ))
        };
        let double = |name: &str| Column::Double(format!("s.{name}"));
        match field {
            Field::OrdersCount => count("orders_count"),
            Field::OrderDays => count("order_days"),
            Field::VisitsCount => count("visits_count"),
            Field::PageViews => count("page_views"),
            Field::ProductViews => count("product_views"),
            Field::CartsCount => count("carts_count"),
            Field::CheckoutsCount => count("checkouts_count"),
            Field::Spent => Column::Scaled("r.spent".into(), money),
            Field::CartValue => Column::Scaled("r.cart_value".into(), money),
            Field::LastOrderValue => Column::Scaled(
                "CASE WHEN r.last_order_at IS NOT NULL THEN r.last_order_value END".into(),
                money,
            ),
            Field::AverageOrderValue => Column::Double(format!(
                "CASE WHEN r.orders_count > r.foreign_orders THEN \
                 CAST(r.spent AS DOUBLE PRECISION) / {money:?} / (r.orders_count - r.foreign_orders) END"
            )),
            Field::DaysSinceFirstOrder => Column::DaysSince("r.first_order_at".into()),
            Field::DaysSinceLastOrder => Column::DaysSince("r.last_order_at".into()),
            Field::DaysSinceFirstVisit => Column::DaysSince("r.first_seen_at".into()),
            Field::DaysSinceLastVisit => Column::DaysSince("r.last_seen_at".into()),
            Field::Segment => Column::Word("s.segment".into()),
            Field::DaysInSegment => Column::DaysSince("s.segment_since".into()),
            Field::DaysAtRisk => Column::DaysSince("s.at_risk_since".into()),
            Field::R => Column::Scaled("s.r".into(), 1.0),
            Field::F => Column::Scaled("s.f".into(), 1.0),
            Field::M => Column::Scaled("s.m".into(), 1.0),
            Field::PAlive => double("p_alive"),
            Field::POrder30d => double("p_order_30d"),
            Field::POrder90d => double("p_order_90d"),
            Field::ExpectedOrders30d => double("expected_orders_30d"),
            Field::ExpectedOrders90d => double("expected_orders_90d"),
            Field::ExpectedOrders365d => double("expected_orders_365d"),
            Field::UsualGapDays => double("usual_gap_days"),
            Field::OrderValue => Column::Scaled("s.order_value".into(), money),
            Field::ValueAtRisk => Column::Scaled("s.value_at_risk".into(), money),
            Field::DaysUntilNextOrder => Column::DaysUntil("s.next_order_expected_at".into()),
            Field::FirstChannel => visit("channel", ""),
            Field::LastChannel => visit("channel", "DESC"),
            Field::FirstCampaign => visit("campaign", ""),
            Field::LastCampaign => visit("campaign", "DESC"),
            Field::Country => Column::Text("c.country".into()),
            Field::City => Column::Text("c.city".into()),
            Field::Locale => Column::Text("c.locale".into()),
            Field::Timezone => Column::Text("c.timezone".into()),
            Field::Tags => Column::Tags("c.tags".into()),
            Field::HasEmail => Column::Flag("c.email IS NOT NULL".into()),
            Field::HasPhone => Column::Flag("c.phone IS NOT NULL".into()),
            Field::Identified => Column::Flag("c.identified".into()),
            Field::Consent => Column::Word("c.consent".into()),
        }
    }
}
