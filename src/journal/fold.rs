//! Folds facts into a customer: profile, rollup, visits, orders. Pure.
//!
//! The meaning of a history is the fold of its facts in order of (occurred_at, source_key). A fact that is
//! later than all before is folded on; for an earlier one the shell folds the whole history anew, unless
//! nothing in the fold depends on its place: see [`Folded::takes_in_place`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Body, CartChange, Context, Payload, Source};
use crate::customers::{
    Basket, ConsentTold, DAYS_KEPT, DayKnown, DayTold, Floors, OpenVisit, OrderEmail, Profile,
    Rollup, Viewed, VisitDepth,
};
use crate::identity::Identifiers;
use crate::orders::store::Log;
use crate::orders::summary::Summary;
use crate::orders::{Order, OrderStated, Refund, Statement};
use crate::primitives::{Currency, CustomerId, Delay, FactId, Timestamp, Zone};
use crate::products::ProductRef;
use crate::visits;

/// A fact as the journal keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub id: FactId,
    pub customer: CustomerId,
    pub source: Source,
    pub source_key: String,
    /// The identity, or order, through which it is the customer's.
    pub subject: crate::identity::Identity,
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
    pub live: bool,
    pub payload: Payload,
}

impl Fact {
    pub fn position(&self) -> (Timestamp, &str) {
        (self.occurred_at, &self.source_key)
    }

    /// The earliest due time it may trigger (design: invariant 8).
    fn floor(&self) -> Timestamp {
        if self.live { self.received_at.minus(Delay::hours(72)) } else { self.received_at }
    }
}

/// The store's settings that folding depends on. When they change, `homing rebuild` folds anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub zone: Zone,
    pub currency: Currency,
}

/// How many of the products last viewed are kept for mails to show.
const VIEWED_KEPT: usize = 12;

/// A customer as the facts so far make them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Folded {
    pub profile: Profile,
    pub rollup: Rollup,
    /// All orders; after loading, only when a fact about orders is to be folded.
    pub log: Log,
    /// The visits that folding made or changed, by start.
    pub visits: BTreeMap<Timestamp, OpenVisit>,
    /// The orders that folding made or changed.
    pub touched_orders: std::collections::BTreeSet<String>,
    /// Whether a day of the year was told anew, or taken back.
    pub days_changed: bool,
}

/// The whole history of a customer folded: facts sorted by position. `external_id` is the shop's own id for them.
pub fn fold_all<'a>(
    external_id: Option<&str>,
    facts: impl IntoIterator<Item = &'a Fact>,
    frame: &Frame,
) -> Folded {
    let mut folded = Folded { profile: Profile::of(external_id), ..Folded::default() };
    let mut has_orders = false;
    for fact in facts {
        has_orders |= fact.payload.body.order_id().is_some();
        folded.take(fact);
    }
    if has_orders {
        folded.sum_up_orders(frame);
    }
    folded
}

impl Folded {
    /// Whether folding `fact` on, now, gives the same as folding it in its place.
    ///
    /// True for what comes last. True also for an order's facts where there never was a basket: orders are made
    /// of statements in any order, and their place matters to the baskets they close alone. That lets a file of
    /// orders, newest first, be folded without reading every history again.
    pub fn takes_in_place(&self, fact: &Fact) -> bool {
        let is_last = self
            .rollup
            .position
            .as_ref()
            .is_none_or(|(at, key)| (*at, key.as_str()) < fact.position());
        let is_order = fact.payload.body.order_id().is_some();
        is_last || (is_order && self.rollup.carts_count == 0)
    }

    /// Folds one fact on. After facts about orders, [`Folded::sum_up_orders`] is due.
    pub fn take(&mut self, fact: &Fact) {
        let at = fact.occurred_at;
        let payload = &fact.payload;
        if self
            .rollup
            .position
            .as_ref()
            .is_none_or(|(last, key)| (*last, key.as_str()) < fact.position())
        {
            self.rollup.position = Some((at, fact.source_key.clone()));
        }
        self.profile.created_at = Some(self.profile.created_at.map_or(at, |known| known.min(at)));
        if payload.body.order_id().is_some() {
            self.take_order_email(fact);
        } else {
            self.take_profile(fact);
        }
        match &payload.body {
            Body::OrderStated(stated) => self.take_statement(fact, stated),
            Body::OrderRefunded { order_id, amount } => self.take_refund(fact, order_id, *amount),
            body if body.is_behaviour() && !payload.context.bot => self.take_behaviour(fact),
            _ => {}
        }
    }

    /// Facts about orders are not always folded in their place, so of the address they carry the latest by position
    /// stands, and only where the customer gave none otherwise. An order can be someone else's word about this customer.
    fn take_order_email(&mut self, fact: &Fact) {
        let Identifiers { external_id, email: Some(email), .. } = &fact.payload.identifiers else {
            return;
        };
        if external_id.is_some() && *external_id != self.profile.external_id {
            return;
        }
        let told = OrderEmail {
            at: fact.occurred_at,
            source_key: fact.source_key.clone(),
            email: email.clone(),
        };
        let latest = &mut self.rollup.state.order_email;
        if latest.as_ref().is_none_or(|known| *known < told) {
            *latest = Some(told);
        }
        self.settle_email();
    }

    fn settle_email(&mut self) {
        let state = &self.rollup.state;
        self.profile.email = state
            .email
            .clone()
            .or_else(|| state.order_email.as_ref().map(|told| told.email.clone()));
    }

    fn take_profile(&mut self, fact: &Fact) {
        let Payload { identifiers, context, body } = &fact.payload;
        if identifiers.email.is_some() {
            self.rollup.state.email.clone_from(&identifiers.email);
            self.settle_email();
        }
        if let Some(phone) = &identifiers.phone {
            self.profile.phone = Some(phone.clone());
        }
        // What a browser is set to is known only until the person says otherwise.
        if self.profile.locale.is_none() {
            self.profile.locale.clone_from(&context.locale);
        }
        if self.profile.timezone.is_none() {
            self.profile.timezone.clone_from(&context.timezone);
        }
        match body {
            Body::Identified { traits } => {
                self.profile.take(traits);
                for (name, value) in &traits.other {
                    self.take_day(name, value.as_str(), fact);
                }
                if let Some(told) = &traits.consent {
                    self.take_consent(told, fact.occurred_at);
                }
            }
            Body::ConsentChanged(told) => self.take_consent(told, fact.occurred_at),
            _ => {}
        }
    }

    /// A day that is told again is no news: its floor stays that of the first word on it.
    fn take_day(&mut self, name: &str, told: Option<&str>, fact: &Fact) {
        let days = &mut self.rollup.state.days;
        let known = days.get(name).map(|known| known.day);
        match told.and_then(|told| told.parse::<DayTold>().ok()) {
            Some(day) if known == Some(day) => return,
            Some(day) if known.is_some() || days.len() < DAYS_KEPT => {
                days.insert(name.to_owned(), DayKnown { day, floor: fact.floor() });
            }
            None if known.is_some() => drop(days.remove(name)),
            _ => return,
        }
        self.days_changed = true;
    }

    fn take_consent(&mut self, told: &ConsentTold, at: Timestamp) {
        self.rollup.state.consent.take(told, at);
        self.profile.consent = self.rollup.state.consent.clone();
    }

    fn take_behaviour(&mut self, fact: &Fact) {
        let (at, context) = (fact.occurred_at, &fact.payload.context);
        let rollup = &mut self.rollup;
        rollup.first_seen_at = rollup.first_seen_at.or(Some(at));
        rollup.last_seen_at = Some(at);
        rollup.state.floors.last_seen = Some(fact.floor());
        let visit = match rollup.state.visit.take() {
            Some(open) if at.0 - open.ended_at.0 < visits::GAP.micros() => {
                OpenVisit { ended_at: at, ..open }
            }
            _ => {
                rollup.visits_count += 1;
                new_visit(at, context)
            }
        };
        let visit = rollup.state.visit.insert(visit);
        let depth = match &fact.payload.body {
            Body::PageViewed { .. } => {
                visit.page_views += 1;
                rollup.page_views += 1;
                VisitDepth::Page
            }
            Body::ProductViewed { product, .. } => {
                visit.product_views += 1;
                rollup.product_views += 1;
                rollup.state.viewed.retain(|viewed| viewed.product_id != product.id);
                rollup.state.viewed.insert(0, Viewed { product_id: product.id.clone(), at });
                rollup.state.viewed.truncate(VIEWED_KEPT);
                VisitDepth::Product
            }
            Body::CartChanged { .. } => VisitDepth::Cart,
            Body::CheckoutStarted { .. } => VisitDepth::Checkout,
            _ => VisitDepth::Page,
        };
        visit.depth = visit.depth.max(depth);
        self.visits.insert(visit.started_at, visit.clone());
        match &fact.payload.body {
            Body::CartChanged { cart_id, change, products, currency } => {
                let basket =
                    self.rollup.basket_for(cart_id.as_deref(), None, at, !products.is_empty());
                let Some(basket) = basket else { return };
                basket.change(*change, products, currency.as_ref(), at);
                self.rollup.state.floors.cart = Some(fact.floor());
                // Emptied is closed.
                self.rollup.state.baskets.retain(|basket| {
                    !basket.products.is_empty() || basket.checkout_started_at.is_some()
                });
            }
            Body::CheckoutStarted { cart_id, checkout_id, value, products, currency } => {
                let found =
                    self.rollup.basket_for(cart_id.as_deref(), checkout_id.as_deref(), at, true);
                let Some(basket) = found else { return };
                let is_first = basket.checkout_started_at.is_none();
                basket.updated_at = at;
                basket.checkout_started_at = Some(at);
                basket.checkout_id = checkout_id.clone().or(basket.checkout_id.take());
                basket.stated_value = value.or(basket.stated_value);
                basket.currency = currency.clone().or(basket.currency.take());
                if !products.is_empty() {
                    basket.products.clone_from(products);
                }
                self.rollup.checkouts_count += i32::from(is_first);
                self.rollup.state.floors.cart = Some(fact.floor());
                self.rollup.state.floors.checkout = Some(fact.floor());
            }
            _ => {}
        }
    }

    fn take_statement(&mut self, fact: &Fact, stated: &OrderStated) {
        let statement = Statement {
            source: fact.source.as_str(),
            rank: fact.source.order_rank(),
            occurred_at: fact.occurred_at,
            received_at: fact.received_at,
            source_key: &fact.source_key,
            floor_at: fact.floor(),
            stated,
        };
        let placed_at = statement.placed_at();
        let is_first_word = match self.log.orders.entry(stated.order_id.clone()) {
            Entry::Occupied(mut known) => {
                let is_first = !known.get().told_by.contains_key(statement.source);
                known.get_mut().tell(&statement);
                is_first
            }
            Entry::Vacant(free) => {
                let waiting = self.log.waiting.remove(&stated.order_id).unwrap_or_default();
                free.insert(Order::first_told(&statement, waiting));
                true
            }
        };
        self.touched_orders.insert(stated.order_id.clone());
        // A source that repeats itself (a reloaded page, a status changed) does not close a basket begun since.
        if stated.status.is_placed() && is_first_word {
            self.rollup.state.baskets.retain(|basket| basket.started_at > placed_at);
        }
    }

    fn take_refund(&mut self, fact: &Fact, order_id: &str, amount: Option<i64>) {
        let refund = Refund { refunded_at: fact.occurred_at, amount };
        let told = match self.log.orders.get_mut(order_id) {
            Some(order) => &mut order.refunds,
            None => self.log.waiting.entry(order_id.to_owned()).or_default(),
        };
        told.insert(fact.source_key.clone(), refund);
        self.touched_orders.insert(order_id.to_owned());
    }

    /// Brings the rollup's totals and moments of orders up to date with the log.
    pub fn sum_up_orders(&mut self, frame: &Frame) {
        let sum = Summary::of(self.log.orders.values(), &frame.zone, &frame.currency);
        let floors = Floors {
            first_order: sum.first_order_floor,
            last_order: sum.last_order_floor,
            ..std::mem::take(&mut self.rollup.state.floors)
        };
        let rollup = &mut self.rollup;
        rollup.state.floors = floors;
        rollup.orders_count = sum.orders_count;
        rollup.order_days = sum.order_days;
        rollup.spent = sum.spent;
        rollup.foreign_orders = sum.foreign_orders;
        rollup.first_order_at = sum.first_order_at;
        rollup.last_order_at = sum.last_order_at;
        rollup.last_order_day = sum.last_order_day;
        rollup.median_gap_days = sum.median_gap_days;
        rollup.log_gap_sum = sum.log_gap_sum;
        rollup.last_order_value = sum.last_order_value;
        rollup.last_placed_at = sum.last_placed_at;
    }
}

fn new_visit(at: Timestamp, context: &Context) -> OpenVisit {
    OpenVisit {
        started_at: at,
        ended_at: at,
        page_views: 0,
        product_views: 0,
        depth: VisitDepth::Page,
        channel: context.channel.clone(),
        campaign: context.campaign.clone(),
    }
}

impl Rollup {
    /// The open basket that a cart or checkout speaks of: by its cart id, by its checkout id, else the one last
    /// touched; a new one if there is none and `may_start`. A basket that had no cart id takes the first it meets.
    fn basket_for(
        &mut self,
        cart_id: Option<&str>,
        checkout_id: Option<&str>,
        at: Timestamp,
        may_start: bool,
    ) -> Option<&mut Basket> {
        let baskets = &mut self.state.baskets;
        baskets.retain(|basket| at.0 - basket.updated_at.0 < Basket::LIFE.micros());
        let by_cart = |b: &Basket| cart_id.is_some() && b.cart_id.as_deref() == cart_id;
        let by_checkout =
            |b: &Basket| checkout_id.is_some() && b.checkout_id.as_deref() == checkout_id;
        let free = |b: &Basket| cart_id.is_none() || b.cart_id.is_none();
        let latest = || {
            let open = baskets.iter().enumerate().filter(|(_, b)| free(b));
            open.max_by_key(|(place, b)| (b.updated_at, *place)).map(|(place, _)| place)
        };
        let found = baskets
            .iter()
            .position(by_cart)
            .or_else(|| baskets.iter().position(by_checkout))
            .or_else(latest);
        let place = match found {
            Some(place) => place,
            None if may_start => {
                baskets.push(Basket {
                    cart_id: None,
                    checkout_id: None,
                    started_at: at,
                    updated_at: at,
                    checkout_started_at: None,
                    products: Vec::new(),
                    stated_value: None,
                    currency: None,
                });
                self.carts_count += 1;
                self.state.baskets.len() - 1
            }
            None => return None,
        };
        let basket = &mut self.state.baskets[place];
        if basket.cart_id.is_none() {
            basket.cart_id = cart_id.map(str::to_owned);
        }
        Some(basket)
    }
}

impl Basket {
    fn change(
        &mut self,
        change: CartChange,
        products: &[ProductRef],
        currency: Option<&Currency>,
        at: Timestamp,
    ) {
        self.updated_at = at;
        // What the checkout said it is worth is out of date.
        self.stated_value = None;
        if currency.is_some() {
            self.currency = currency.cloned();
        }
        match change {
            CartChange::Viewed => self.products = products.to_vec(),
            CartChange::Added => products.iter().for_each(|product| self.add(product)),
            CartChange::Removed => products.iter().for_each(|product| self.remove(product)),
        }
    }

    fn add(&mut self, product: &ProductRef) {
        let added = product.quantity.unwrap_or(1.0);
        match self.products.iter_mut().find(|known| known.id == product.id) {
            Some(known) => {
                let quantity = known.quantity.unwrap_or(1.0) + added;
                *known = ProductRef {
                    quantity: Some(quantity),
                    price: product.price.or(known.price),
                    ..product.clone()
                };
            }
            None => self.products.push(ProductRef { quantity: Some(added), ..product.clone() }),
        }
    }

    /// Without a quantity the product goes altogether.
    fn remove(&mut self, product: &ProductRef) {
        self.products.retain_mut(|known| {
            if known.id != product.id {
                return true;
            }
            let left =
                product.quantity.map_or(0.0, |removed| known.quantity.unwrap_or(1.0) - removed);
            known.quantity = Some(left);
            left > 0.0
        });
    }
}
