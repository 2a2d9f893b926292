//! All that is known of one customer: every query begins with their id.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, SmallInt, Text};

use super::Shown;
use crate::db::Conn;
use crate::db::schema::mail_events;
use crate::primitives::{CustomerId, Timestamp};
use crate::stores::Store;

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Profile {
    #[diesel(sql_type = BigInt)]
    pub id: CustomerId,
    #[diesel(sql_type = Bool)]
    pub identified: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub external_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub email: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub phone: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub locale: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub timezone: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub country: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub city: Option<String>,
    #[diesel(sql_type = Text)]
    pub tags: String,
    #[diesel(sql_type = Text)]
    pub consent: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub consent_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    pub consent_source: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub created_at: Timestamp,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub merged_into: Option<CustomerId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub erased_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    pub suppressed: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub first_seen_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub last_seen_at: Option<Timestamp>,
    #[diesel(sql_type = Integer)]
    pub visits_count: i32,
    #[diesel(sql_type = Integer)]
    pub product_views: i32,
    #[diesel(sql_type = Integer)]
    pub orders_count: i32,
    #[diesel(sql_type = Integer)]
    pub foreign_orders: i32,
    #[diesel(sql_type = BigInt)]
    pub spent: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub first_order_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub last_order_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub cart_updated_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub cart_value: Option<i64>,
}

/// `None` where the store has nobody of that id.
pub fn profile(conn: &mut Conn, store: &Store, id: CustomerId) -> QueryResult<Option<Profile>> {
    diesel::sql_query(
        "SELECT c.id, c.identified, c.external_id, c.email, c.phone, c.name, c.locale, c.timezone, c.country, c.city, c.tags, \
         c.consent, c.consent_at, c.consent_source, c.created_at, c.merged_into, c.erased_at, x.reason AS suppressed, \
         r.first_seen_at, r.last_seen_at, COALESCE(r.visits_count, 0) AS visits_count, COALESCE(r.product_views, 0) AS product_views, \
         COALESCE(r.orders_count, 0) AS orders_count, COALESCE(r.foreign_orders, 0) AS foreign_orders, COALESCE(r.spent, 0) AS spent, \
         r.first_order_at, r.last_order_at, r.cart_updated_at, r.cart_value \
         FROM customers c LEFT JOIN rollups r ON r.customer_id = c.id \
         LEFT JOIN suppressions x ON x.store_id = c.store_id AND x.email_key = c.email_key \
         WHERE c.id = $1 AND c.store_id = $2",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(store.id)
    .get_result(conn)
    .optional()
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Score {
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = SmallInt)]
    pub r: i16,
    #[diesel(sql_type = SmallInt)]
    pub f: i16,
    #[diesel(sql_type = SmallInt)]
    pub m: i16,
    #[diesel(sql_type = Text)]
    pub segment: String,
    #[diesel(sql_type = BigInt)]
    pub segment_since: Timestamp,
    #[diesel(sql_type = Double)]
    pub days_since: f64,
    #[diesel(sql_type = Integer)]
    pub frequency: i32,
    #[diesel(sql_type = BigInt)]
    pub spent: i64,
    #[diesel(sql_type = Nullable<Double>)]
    pub usual_gap_days: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub p_alive: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub p_order_90d: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub expected_orders_90d: Option<f64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub value_at_risk: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub value_at_risk_week_ago: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub next_order_from: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub next_order_until: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Double>)]
    pub risk_rank: Option<f64>,
}

/// As of the run that is shown: days since the last order, or since the last visit of who never ordered.
pub fn score(conn: &mut Conn, shown: Shown, id: CustomerId) -> QueryResult<Option<Score>> {
    diesel::sql_query(format!(
        "SELECT s.kind, s.r, s.f, s.m, s.segment, s.segment_since, \
         CAST({} - COALESCE(s.last_order_at, r.last_seen_at, {}) AS DOUBLE PRECISION) / 86400000000.0 AS days_since, \
         s.frequency, s.spent, s.usual_gap_days, s.p_alive, s.p_order_90d, s.expected_orders_90d, s.value_at_risk, s.value_at_risk_week_ago, \
         s.next_order_from, s.next_order_until, s.risk_rank \
         FROM {} s LEFT JOIN rollups r ON r.customer_id = s.customer_id WHERE s.customer_id = $1",
        shown.as_of.0,
        shown.as_of.0,
        shown.table(),
    ))
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .optional()
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct SegmentStay {
    #[diesel(sql_type = BigInt)]
    pub since: Timestamp,
    #[diesel(sql_type = Text)]
    pub segment: String,
}

/// Newest first.
pub fn segments(conn: &mut Conn, id: CustomerId, limit: i64) -> QueryResult<Vec<SegmentStay>> {
    diesel::sql_query(format!(
        "SELECT since, segment FROM segment_history WHERE customer_id = $1 ORDER BY since DESC LIMIT {limit}",
    ))
    .bind::<BigInt, _>(id)
    .load(conn)
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Order {
    #[diesel(sql_type = Text)]
    pub order_id: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = BigInt)]
    pub placed_at: Timestamp,
    #[diesel(sql_type = Bool)]
    pub counts: bool,
    #[diesel(sql_type = Text)]
    pub currency: String,
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub refunded: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub coupon: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub channel: Option<String>,
}

/// Placed before `before`, newest first; tests and drafts are no orders.
pub fn orders(
    conn: &mut Conn,
    id: CustomerId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<Order>> {
    diesel::sql_query(format!(
        "SELECT order_id, status, placed_at, counts, currency, total, refunded, coupon, channel FROM orders \
         WHERE customer_id = $1 AND placed_at < $2 AND status NOT IN ('draft', 'test') \
         ORDER BY placed_at DESC, order_id DESC LIMIT {limit}",
    ))
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(before)
    .load(conn)
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Line {
    #[diesel(sql_type = Text)]
    pub order_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub product_id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Double)]
    pub quantity: f64,
}

/// The lines of these orders, by order and place; names from the catalogue where the line has none.
pub fn lines(
    conn: &mut Conn,
    store: &Store,
    id: CustomerId,
    orders: &[Order],
) -> QueryResult<Vec<Line>> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (0..orders.len()).map(|n| format!("${}", n + 2)).collect();
    let mut query = diesel::sql_query(format!(
        "SELECT l.order_id, l.product_id, COALESCE(l.name, p.name) AS name, l.quantity FROM order_lines l \
         LEFT JOIN products p ON p.store_id = {} AND p.product_id = l.product_id \
         WHERE l.customer_id = $1 AND l.order_id IN ({}) ORDER BY l.order_id, l.line LIMIT 500",
        store.id.0,
        places.join(","),
    ))
    .into_boxed()
    .bind::<BigInt, _>(id);
    for order in orders {
        query = query.bind::<Text, _>(order.order_id.clone());
    }
    query.load(conn)
}

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Visit {
    #[diesel(sql_type = BigInt)]
    pub started_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub ended_at: Timestamp,
    #[diesel(sql_type = Integer)]
    pub page_views: i32,
    #[diesel(sql_type = Integer)]
    pub product_views: i32,
    #[diesel(sql_type = Text)]
    pub depth: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub channel: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub campaign: Option<String>,
}

/// Begun before `before`, newest first.
pub fn visits(
    conn: &mut Conn,
    id: CustomerId,
    before: Timestamp,
    limit: i64,
) -> QueryResult<Vec<Visit>> {
    diesel::sql_query(format!(
        "SELECT started_at, ended_at, page_views, product_views, depth, channel, campaign FROM visits \
         WHERE customer_id = $1 AND started_at < $2 ORDER BY started_at DESC LIMIT {limit}",
    ))
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(before)
    .load(conn)
}

/// A fact that a visit, an order or a message does not tell already.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Told {
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = BigInt)]
    pub occurred_at: Timestamp,
    #[diesel(sql_type = Text)]
    pub payload: String,
}

/// Products looked at, carts, checkouts, refunds and words on consent in `[from, before)`, newest first.
///
/// Among the newest facts received only: nobody's timeline may cost a scan of a robot's million facts.
pub fn told(
    conn: &mut Conn,
    id: CustomerId,
    from: Timestamp,
    before: Timestamp,
) -> QueryResult<Vec<Told>> {
    diesel::sql_query(
        "SELECT kind, occurred_at, payload FROM \
         (SELECT kind, occurred_at, payload FROM facts WHERE customer_id = $1 ORDER BY id DESC LIMIT 3000) newest \
         WHERE occurred_at >= $2 AND occurred_at < $3 \
         AND kind IN ('product_viewed', 'cart_changed', 'checkout_started', 'order_refunded', 'consent_changed') \
         ORDER BY occurred_at DESC LIMIT 1000",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(before)
    .load(conn)
}

/// A link of a mail that a person followed.
#[derive(Debug, Clone, PartialEq, HasQuery)]
#[diesel(table_name = mail_events)]
pub struct Click {
    pub message_id: i64,
    pub rule_id: i64,
    pub at: Timestamp,
    pub target: Option<String>,
}

/// From `from` to before `until`, newest first.
pub fn clicks(
    conn: &mut Conn,
    id: CustomerId,
    from: Timestamp,
    until: Timestamp,
) -> QueryResult<Vec<Click>> {
    Click::query()
        .filter(mail_events::customer_id.eq(id).and(mail_events::kind.eq("click")))
        .filter(mail_events::verdict.eq("human"))
        .filter(mail_events::at.ge(from).and(mail_events::at.lt(until)))
        .order(mail_events::at.desc())
        .limit(100)
        .load(conn)
}

/// How much there is of each, for the tabs.
#[derive(Debug, Clone, Copy, Default, PartialEq, QueryableByName)]
pub struct Counts {
    #[diesel(sql_type = BigInt)]
    pub decisions: i64,
    #[diesel(sql_type = BigInt)]
    pub orders: i64,
    #[diesel(sql_type = BigInt)]
    pub messages: i64,
    #[diesel(sql_type = BigInt)]
    pub devices: i64,
}

pub fn counts(conn: &mut Conn, store: &Store, id: CustomerId) -> QueryResult<Counts> {
    let (store, id) = (store.id.0, id.0);
    diesel::sql_query(format!(
        "SELECT (SELECT COUNT(*) FROM decisions WHERE customer_id = {id}) AS decisions, \
         (SELECT COUNT(*) FROM orders WHERE customer_id = {id} AND status NOT IN ('draft', 'test')) AS orders, \
         (SELECT COUNT(*) FROM messages WHERE customer_id = {id}) AS messages, \
         (SELECT COUNT(*) FROM identities WHERE customer_id = {id} AND store_id = {store} AND identity LIKE 'anon:%') AS devices",
    ))
    .get_result(conn)
}
