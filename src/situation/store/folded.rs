//! The situation of a customer as folding makes them: what a replay of history decides by. Asks no database.

use super::rows::{CustomerRow, OrdersAt, RollupRow, ScoreRow, situation_of};
use crate::customers::Basket;
use crate::journal::fold::Folded;
use crate::primitives::{Currency, CustomerId, EmailAddress, Timestamp};
use crate::scoring::assess::Scored;
use crate::situation::Situation;
use crate::stores::Store;

/// A score as it stood at some time.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreThen {
    pub scored: Scored,
    pub segment_since: Timestamp,
}

/// Of one customer's first and last order.
#[derive(Debug, Clone, Default)]
pub struct FirstAndLast(OrdersAt);

impl FirstAndLast {
    pub fn of(customer: CustomerId, folded: &Folded) -> Self {
        let rollup = &folded.rollup;
        let mut found = OrdersAt::new();
        for (id, order) in folded.log.orders.iter().rev().filter(|(_, order)| order.counts()) {
            let at = order.placed_at();
            if Some(at) == rollup.first_order_at || Some(at) == rollup.last_order_at {
                // From the last id to the first: of two at one instant the smaller id stands for both.
                let until = order.last_placed_at().unwrap_or(at).max(at);
                found.insert((customer, at), (id.clone(), until));
            }
        }
        Self(found)
    }
}

/// What is known of one customer at one time of a replay.
pub struct Then<'t> {
    pub customer: CustomerId,
    pub store: &'t Store,
    pub folded: &'t Folded,
    pub orders: &'t FirstAndLast,
    pub suppressed: bool,
    pub score: Option<&'t ScoreThen>,
}

impl Then<'_> {
    /// Without enrolments and arms: those are the replay's own.
    pub fn situation(&self) -> Situation {
        let person = person(self.customer, self.folded);
        let rollup = rollup(self.customer, self.folded, &self.store.currency);
        let score = self.score.map(score);
        let told = Some((&rollup, &self.folded.rollup.state));
        situation_of(self.store, &person, told, score.as_ref(), &self.orders.0, self.suppressed)
    }
}

fn person(id: CustomerId, folded: &Folded) -> CustomerRow {
    let profile = &folded.profile;
    CustomerRow {
        id,
        identified: profile.identified,
        phone: profile.phone.clone(),
        traits: serde_json::to_string(&profile.traits).unwrap_or_default(),
        external_id: profile.external_id.clone(),
        email_key: profile.email.as_ref().map(EmailAddress::identity_key),
        email: profile.email.clone(),
        locale: profile.locale.clone(),
        timezone: profile.timezone.clone(),
        country: profile.country.clone(),
        city: profile.city.clone(),
        tags: serde_json::to_string(&profile.tags).unwrap_or_default(),
        consent: profile.consent.state(),
    }
}

fn rollup(id: CustomerId, folded: &Folded, currency: &Currency) -> RollupRow {
    let rollup = &folded.rollup;
    let (basket, visit) = (rollup.basket(), rollup.state.visit.as_ref());
    let in_store_currency = |b: &&Basket| b.currency.as_ref().is_none_or(|c| c == currency);
    RollupRow {
        customer_id: id,
        first_seen_at: rollup.first_seen_at,
        last_order_value: rollup.last_order_value,
        last_seen_at: rollup.last_seen_at,
        visits_count: rollup.visits_count,
        page_views: rollup.page_views,
        product_views: rollup.product_views,
        carts_count: rollup.carts_count,
        checkouts_count: rollup.checkouts_count,
        visit_started_at: visit.map(|v| v.started_at),
        visit_product_views: visit.map_or(0, |v| v.product_views),
        cart_started_at: basket.map(|b| b.started_at),
        cart_updated_at: basket.map(|b| b.updated_at),
        cart_value: basket.filter(in_store_currency).and_then(Basket::value),
        checkout_started_at: rollup.checkout().and_then(|b| b.checkout_started_at),
        orders_count: rollup.orders_count,
        order_days: rollup.order_days,
        spent: rollup.spent,
        foreign_orders: rollup.foreign_orders,
        first_order_at: rollup.first_order_at,
        last_order_at: rollup.last_order_at,
        last_placed_at: rollup.last_placed_at,
        // Handed over beside the row: it need not be written out to be read again.
        state: String::new(),
    }
}

fn score(then: &ScoreThen) -> ScoreRow {
    let scored = &then.scored;
    let told = scored.forecast.as_ref();
    ScoreRow {
        customer_id: scored.customer_id,
        r: i16::from(scored.rfm.r),
        f: i16::from(scored.rfm.f),
        m: i16::from(scored.rfm.m),
        segment: scored.segment.to_owned(),
        segment_since: then.segment_since,
        usual_gap_days: scored.usual_gap_days,
        // How long somebody is on the list is kept by live runs alone.
        at_risk_since: None,
        p_order_30d: told.map(|told| told.p_order_30d).or(scored.p_first_order_30d),
        p_order_90d: told.map(|told| told.p_order_90d),
        expected_orders_30d: told.map(|told| told.expected_orders_30d),
        expected_orders_365d: told.map(|told| told.expected_orders_365d),
        order_value: told.map(|told| told.order_value),
        p_alive: told.map(|told| told.p_alive),
        expected_orders_90d: told.map(|told| told.expected_orders_90d),
        value_at_risk: told.map(|told| told.value_at_risk),
        last_order_at: scored.last_order_at,
        next_order_expected_at: told.and_then(|told| told.next_order_expected_at),
    }
}
