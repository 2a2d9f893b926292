//! A customer's rows, and the situation that they tell of. Pure: a replay of history makes the same rows in memory.

use std::collections::HashMap;

use diesel::prelude::*;

use crate::customers::State;
use crate::db::schema::{customers, rollups, scores};
use crate::primitives::{CustomerId, EmailAddress, Timestamp, Zone};
use crate::rules::condition::Subject;
use crate::situation::{
    BasketMoment, ConsentState, Moments, OrderMoment, Situation, Standing, VisitMoment,
};
use crate::stores::Store;

#[derive(HasQuery)]
#[diesel(table_name = customers)]
pub struct CustomerRow {
    pub id: CustomerId,
    pub identified: bool,
    pub external_id: Option<String>,
    pub email: Option<EmailAddress>,
    pub email_key: Option<String>,
    pub phone: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    pub country: Option<String>,
    pub city: Option<String>,
    pub tags: String,
    pub traits: String,
    pub consent: ConsentState,
}

#[derive(HasQuery)]
#[diesel(table_name = rollups)]
pub struct RollupRow {
    pub customer_id: CustomerId,
    pub first_seen_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub visits_count: i32,
    pub page_views: i32,
    pub product_views: i32,
    pub carts_count: i32,
    pub checkouts_count: i32,
    pub visit_started_at: Option<Timestamp>,
    pub visit_product_views: i32,
    pub cart_started_at: Option<Timestamp>,
    pub cart_updated_at: Option<Timestamp>,
    pub cart_value: Option<i64>,
    pub checkout_started_at: Option<Timestamp>,
    pub orders_count: i32,
    pub order_days: i32,
    pub spent: i64,
    pub foreign_orders: i32,
    pub first_order_at: Option<Timestamp>,
    pub last_order_at: Option<Timestamp>,
    pub last_order_value: i64,
    pub last_placed_at: Option<Timestamp>,
    pub state: String,
}

#[derive(HasQuery)]
#[diesel(table_name = scores)]
pub struct ScoreRow {
    pub customer_id: CustomerId,
    pub r: i16,
    pub f: i16,
    pub m: i16,
    pub segment: String,
    pub segment_since: Timestamp,
    pub usual_gap_days: Option<f64>,
    pub p_alive: Option<f64>,
    pub p_order_30d: Option<f64>,
    pub p_order_90d: Option<f64>,
    pub expected_orders_30d: Option<f64>,
    pub expected_orders_90d: Option<f64>,
    pub expected_orders_365d: Option<f64>,
    pub order_value: Option<i64>,
    pub value_at_risk: Option<i64>,
    pub at_risk_since: Option<Timestamp>,
    pub last_order_at: Option<Timestamp>,
    pub next_order_expected_at: Option<Timestamp>,
}

impl RollupRow {
    /// A document changed by hand costs its floors, not the pass.
    pub fn state(&self) -> State {
        serde_json::from_str(&self.state).unwrap_or_default()
    }
}

/// First and last orders, by customer and time: their ids, and until when their sources placed them. Of two at one
/// instant the smaller id stands for both.
pub type OrdersAt = HashMap<(CustomerId, Timestamp), (String, Timestamp)>;

/// Without what other tables keep of the customer: stays, rhythms, enrolments and arms.
pub fn situation_of(
    store: &Store,
    person: &CustomerRow,
    rollup: Option<(&RollupRow, &State)>,
    score: Option<&ScoreRow>,
    orders: &OrdersAt,
    is_suppressed: bool,
) -> Situation {
    let told = rollup.map(|(rollup, state)| moments(rollup, state, score, orders));
    let zone = zone(person, store);
    Situation {
        customer: person.id,
        identity: identity(person),
        standing: Standing {
            address: person.email.clone(),
            consent: person.consent,
            suppressed: is_suppressed,
            zone: zone.clone(),
        },
        moments: Moments { zone, store_zone: store.timezone.clone(), ..told.unwrap_or_default() },
        subject: subject(person, rollup.map(|(rollup, _)| rollup), score, store),
        enrolments: Vec::new(),
        arms: Vec::new(),
    }
}

fn identity(person: &CustomerRow) -> String {
    match (&person.external_id, &person.email_key) {
        (Some(id), _) => format!("ext:{id}"),
        (None, Some(key)) => format!("email:{key}"),
        // Nobody without an address gets as far as an experiment.
        (None, None) => format!("id:{}", person.id),
    }
}

fn zone(person: &CustomerRow, store: &Store) -> Zone {
    let own = person.timezone.as_deref().and_then(|name| name.parse().ok());
    own.unwrap_or_else(|| store.timezone.clone())
}

fn moments(
    rollup: &RollupRow,
    state: &State,
    score: Option<&ScoreRow>,
    orders: &OrdersAt,
) -> Moments {
    let order = |at: Option<Timestamp>, floor| {
        let at = at?;
        let known = orders.get(&(rollup.customer_id, at));
        Some(OrderMoment {
            order_id: known.map(|(id, _)| id.clone()),
            at,
            told_until: known.map_or(at, |(_, until)| *until),
            floor,
        })
    };
    let checkout = state
        .baskets
        .iter()
        .filter(|b| b.checkout_started_at.is_some())
        .max_by_key(|b| b.checkout_started_at);
    let in_checkout = checkout.map(|b| b.started_at).or(rollup.cart_started_at);
    Moments {
        visit: rollup.visit_started_at.zip(rollup.last_seen_at).map(
            |(started_at, last_seen_at)| VisitMoment {
                started_at,
                last_seen_at,
                product_views: rollup.visit_product_views,
                floor: state.floors.last_seen,
            },
        ),
        visits_count: rollup.visits_count,
        cart: rollup
            .cart_started_at
            .zip(rollup.cart_updated_at)
            .map(|(started_at, at)| BasketMoment { started_at, at, floor: state.floors.cart }),
        checkout: in_checkout
            .zip(rollup.checkout_started_at)
            .map(|(started_at, at)| BasketMoment { started_at, at, floor: state.floors.checkout }),
        open_baskets: state
            .baskets
            .iter()
            .map(|b| {
                (
                    b.started_at,
                    b.checkout_started_at.map_or(b.updated_at, |at| at.max(b.updated_at)),
                )
            })
            .collect(),
        first_order: order(rollup.first_order_at, state.floors.first_order),
        last_order: order(rollup.last_order_at, state.floors.last_order),
        last_placed_at: rollup.last_placed_at,
        next_order_expected_at: score
            .filter(|score| score.last_order_at == rollup.last_order_at)
            .and_then(|score| score.next_order_expected_at),
        segment: score.map(|score| (score.segment.clone(), score.segment_since)),
        days: state.days.clone(),
        ..Moments::default()
    }
}

fn subject(
    person: &CustomerRow,
    rollup: Option<&RollupRow>,
    score: Option<&ScoreRow>,
    store: &Store,
) -> Subject {
    let count = |f: fn(&RollupRow) -> i32| Some(rollup.map_or(0, |rollup| i64::from(f(rollup))));
    Subject {
        orders_count: count(|r| r.orders_count),
        foreign_orders: count(|r| r.foreign_orders),
        order_days: count(|r| r.order_days),
        spent: Some(rollup.map_or(0, |r| r.spent)),
        last_order_value: rollup.map(|r| r.last_order_value),
        first_order_at: rollup.and_then(|r| r.first_order_at),
        last_order_at: rollup.and_then(|r| r.last_order_at),
        first_seen_at: rollup.and_then(|r| r.first_seen_at),
        last_seen_at: rollup.and_then(|r| r.last_seen_at),
        visits_count: count(|r| r.visits_count),
        page_views: count(|r| r.page_views),
        product_views: count(|r| r.product_views),
        carts_count: count(|r| r.carts_count),
        checkouts_count: count(|r| r.checkouts_count),
        cart_value: rollup.and_then(|r| r.cart_value),
        segment: score.map(|s| s.segment.clone()),
        segment_since: score.map(|s| s.segment_since),
        at_risk_since: score.and_then(|s| s.at_risk_since),
        r: score.map(|s| i64::from(s.r)),
        f: score.map(|s| i64::from(s.f)),
        m: score.map(|s| i64::from(s.m)),
        p_alive: score.and_then(|s| s.p_alive),
        p_order_30d: score.and_then(|s| s.p_order_30d),
        p_order_90d: score.and_then(|s| s.p_order_90d),
        expected_orders_30d: score.and_then(|s| s.expected_orders_30d),
        expected_orders_90d: score.and_then(|s| s.expected_orders_90d),
        expected_orders_365d: score.and_then(|s| s.expected_orders_365d),
        order_value: score.and_then(|s| s.order_value),
        value_at_risk: score.and_then(|s| s.value_at_risk),
        usual_gap_days: score.and_then(|s| s.usual_gap_days),
        next_order_expected_at: score.and_then(|s| s.next_order_expected_at),
        country: person.country.clone(),
        city: person.city.clone(),
        locale: person.locale.clone(),
        timezone: person.timezone.clone(),
        tags: serde_json::from_str(&person.tags).unwrap_or_default(),
        traits: serde_json::from_str(&person.traits).unwrap_or_default(),
        has_email: person.email.is_some(),
        has_phone: person.phone.is_some(),
        identified: person.identified,
        consent: Some(person.consent.to_string()),
        ..Subject::unknown(&store.currency)
    }
}
