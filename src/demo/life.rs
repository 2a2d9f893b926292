//! One customer's life with the shop: the visits and orders of their habit, told as facts.

use super::catalogue::{self, Item};
use super::chance::Chance;
use super::people::{Consent, Habit, Person, channel};
use super::season::{Occasion, Season, campaign};
use crate::journal::{
    Body, CartChange, ConsentTold, Context, Identifiers, NewFact, OrderStated, OrderStatus, Source,
    Traits,
};
use crate::primitives::{Currency, Delay, Timestamp};

/// How far a visit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Page,
    Product,
    Cart,
    Checkout,
    Order,
}

type Basket = Vec<(&'static Item, i64)>;

struct Visit {
    day: usize,
    at: Timestamp,
    depth: Depth,
    /// What is looked at, and goes into the cart if it comes to that.
    basket: Basket,
    /// An order in the marketplace's own shop comes without a visit to ours.
    elsewhere: bool,
}

pub struct Life<'a> {
    season: &'a Season,
    chance: Chance,
    number: usize,
    habit: Habit,
    person: Option<Person>,
    taste: Vec<&'static Item>,
    shelf: Vec<(f64, &'static Item)>,
    visits: Vec<Visit>,
}

impl<'a> Life<'a> {
    /// The `number`th known customer.
    pub fn known(season: &'a Season, mut chance: Chance, number: usize) -> Self {
        let habit = *chance.weighted(super::people::HABITS);
        let person = Some(Person::draw(&mut chance, number));
        Self::of(season, chance, number, habit, person)
    }

    /// Somebody who never says who they are.
    pub fn guest(season: &'a Season, chance: Chance, number: usize) -> Self {
        Self::of(season, chance, number, Habit::Guest, None)
    }

    fn of(
        season: &'a Season,
        mut chance: Chance,
        number: usize,
        habit: Habit,
        person: Option<Person>,
    ) -> Self {
        let weigh = |item: &'static Item| (item.appeal, item);
        let teas: Vec<_> = catalogue::teas().map(weigh).collect();
        let taste = (0..chance.whole(1, 3)).map(|_| *chance.weighted(&teas)).collect();
        let shelf = catalogue::ITEMS.iter().map(weigh).collect();
        Self { season, chance, number, habit, person, taste, shelf, visits: Vec::new() }
    }

    /// All facts until `now`, oldest first. Order ids are this life's own until the shop numbers them.
    pub fn facts(mut self, now: Timestamp) -> Vec<NewFact> {
        let share = self.chance.fraction();
        let arrival = self.season.drawn(share);
        match self.habit {
            Habit::Guest => self.browses(arrival, 1, 3),
            Habit::Browser => self.browses(arrival, 1, 6),
            Habit::Gifts => self.buys_gifts(arrival),
            Habit::Sales => self.buys_in_sales(arrival),
            _ => self.buys_by_rhythm(arrival),
        }
        self.visits.sort_by_key(|visit| visit.at);
        self.tell(now)
    }

    // What they do.

    fn browses(&mut self, arrival: usize, least: i64, most: i64) {
        let mut day = arrival;
        for _ in 0..self.chance.whole(least, most) {
            self.looks_around(day);
            let gap = self.chance.gamma(1.2, 12.0);
            match self.season.after(day, gap) {
                Some(next) => day = next,
                None => return,
            }
        }
    }

    /// Orders a gap of their own rhythm apart, until one day they do not come back.
    fn buys_by_rhythm(&mut self, arrival: usize) {
        let usual = f64::from(self.taste[0].lasts);
        // The shape of the gaps (the higher, the more punctual), their mean, and the chance to stay after an order.
        let (shape, mean, stays) = match self.habit {
            Habit::Subscriber => (45.0, self.chance.around(usual.clamp(21.0, 60.0), 0.1), 0.965),
            Habit::Regular => {
                (6.0, self.chance.around((usual * 1.2).clamp(16.0, 75.0), 0.25), 0.92)
            }
            Habit::Trade => (8.0, self.chance.around(15.0, 0.2), 0.975),
            Habit::Occasional => (1.8, self.chance.around(75.0, 0.4), 0.78),
            _ => (1.0, 1.0, 0.0),
        };
        for _ in 0..self.chance.whole(0, 2) {
            let before = self.chance.whole(1, 9) as usize;
            self.looks_around(arrival.saturating_sub(before));
        }
        let mut day = arrival;
        loop {
            self.orders(day);
            if !self.chance.happens(stays) {
                break;
            }
            let gap = self.chance.gamma(shape, mean);
            let Some(next) = self.season.after(day, gap) else {
                // Still a customer, whose next order lies after today.
                self.looks_between(day, self.season.len());
                return;
            };
            self.looks_between(day, next);
            day = next;
        }
        // Some who have left look in once more.
        if self.chance.happens(0.2) {
            let gap = self.chance.gamma(2.0, 45.0);
            if let Some(later) = self.season.after(day, gap) {
                self.looks_around(later);
            }
        }
    }

    fn buys_gifts(&mut self, arrival: usize) {
        let season = self.season;
        self.looks_around(arrival);
        for occasion in [Occasion::SpringFestival, Occasion::MidAutumn] {
            let keeps = self.chance.between(0.5, 0.95);
            for day in season.days_of(occasion).filter(|day| *day > arrival) {
                if self.chance.happens(keeps) {
                    let ahead = self.chance.whole(5, 19) as usize;
                    let all: Vec<&'static Item> = catalogue::gifts().collect();
                    let basket = vec![(*self.chance.pick(&all), self.chance.whole(1, 4))];
                    let day = day.saturating_sub(ahead).max(arrival);
                    self.visit(day, Depth::Order, basket);
                }
            }
        }
    }

    fn buys_in_sales(&mut self, arrival: usize) {
        let season = self.season;
        self.looks_around(arrival);
        for occasion in [Occasion::MidYear, Occasion::SinglesDay] {
            for day in season.days_of(occasion).filter(|day| *day > arrival) {
                if self.chance.happens(0.8) {
                    let early = self.chance.whole(0, 2) as usize;
                    let basket = self.basket(2, 5);
                    self.visit(day.saturating_sub(early).max(arrival), Depth::Order, basket);
                }
            }
        }
    }

    fn looks_between(&mut self, day: usize, next: usize) {
        for _ in 0..self.chance.whole(0, 2) {
            if next > day + 2 && self.chance.happens(0.6) {
                let at = self.chance.whole(day as i64 + 1, next as i64 - 1) as usize;
                self.looks_around(at);
            }
        }
    }

    /// A visit without an order; a few leave a cart or a checkout behind.
    fn looks_around(&mut self, day: usize) {
        let depth = *self.chance.weighted(&[
            (0.26, Depth::Page),
            (0.55, Depth::Product),
            (0.14, Depth::Cart),
            (0.05, Depth::Checkout),
        ]);
        let mut basket = self.basket(1, 2);
        if self.chance.happens(0.4) {
            basket[0] = (*self.chance.weighted(&self.shelf), 1);
        }
        self.visit(day, depth, basket);
    }

    fn orders(&mut self, day: usize) {
        let basket = match self.habit {
            Habit::Trade => self.basket(3, 6).into_iter().map(|(item, n)| (item, n * 2)).collect(),
            Habit::Subscriber => vec![(self.taste[0], 1)],
            _ => self.basket(1, 2),
        };
        self.visit(day, Depth::Order, basket);
    }

    fn basket(&mut self, least: i64, most: i64) -> Basket {
        let mut basket: Basket = Vec::new();
        for _ in 0..self.chance.whole(least, most) {
            let item = if self.chance.happens(0.8) {
                *self.chance.pick(&self.taste)
            } else {
                *self.chance.weighted(&self.shelf)
            };
            match basket.iter_mut().find(|(there, _)| there.id == item.id) {
                Some((_, quantity)) => *quantity += 1,
                None => basket.push((item, 1)),
            }
        }
        basket
    }

    fn visit(&mut self, day: usize, depth: Depth, basket: Basket) {
        let hour = *self.chance.weighted(HOURS);
        let second = hour * 3_600 + self.chance.whole(0, 3_599);
        let at = self.season.start_of(day).plus(Delay::seconds(second));
        let elsewhere = depth == Depth::Order
            && self.habit != Habit::Trade
            && !self.visits.is_empty()
            && self.chance.happens(0.18);
        self.visits.push(Visit { day, at, depth, basket, elsewhere });
    }

    // How it is told.

    fn tell(mut self, now: Timestamp) -> Vec<NewFact> {
        let mut told = Told { life: self.number, guest: self.person.is_none(), facts: Vec::new() };
        let visits = std::mem::take(&mut self.visits);
        let mut known = false;
        let mut orders = 0;
        for (index, visit) in visits.iter().enumerate() {
            // Whoever will order signs up when they do; whoever only looks, now or never.
            let signs_up = !known
                && self.person.is_some()
                && (visit.depth == Depth::Order
                    || self.habit == Habit::Browser
                    || index + 1 == visits.len());
            self.tell_visit(&mut told, visit, index, known, signs_up, &mut orders);
            known |= signs_up;
        }
        if let Some(person) = self.person.as_ref().filter(|p| p.consent == Consent::Withdrawn) {
            let left = visits[0].at.plus(Delay::hours(24 * self.chance.whole(10, 200)));
            let word =
                ConsentTold { granted: false, at: Some(left), channel: Some("link".to_owned()) };
            told.fact(left, by_person(person), Context::default(), Body::ConsentChanged(word));
        }
        let mut facts = told.facts;
        facts.retain(|fact| fact.occurred_at <= now);
        facts.sort_by_key(|fact| fact.occurred_at);
        facts
    }

    fn tell_visit(
        &mut self,
        told: &mut Told,
        visit: &Visit,
        index: usize,
        known: bool,
        signs_up: bool,
        orders: &mut u32,
    ) {
        let device = if index > 0 && self.chance.happens(0.25) { 2 } else { 1 };
        let anonymous =
            Some(format!("{}{}-{device}", if told.guest { "g" } else { "b" }, self.number));
        let person = self.person.clone();
        let signed_in = known && self.chance.happens(0.7);
        let account = person.as_ref().and_then(|p| p.account.clone());
        let who = Identifiers {
            anonymous_id: anonymous.clone(),
            external_id: account.clone().filter(|_| signed_in),
            ..Identifiers::default()
        };
        let campaign = campaign(self.season.date(visit.day)).filter(|_| self.chance.happens(0.5));
        let source =
            if visit.elsewhere { Some("douyin") } else { channel(&mut self.chance, known) };
        let context = Context {
            channel: source.map(str::to_owned),
            campaign: campaign.map(str::to_owned),
            page_url: Some("https://lakeside.example/".to_owned()),
            locale: person.as_ref().map(|p| p.locale.to_owned()),
            timezone: person.as_ref().map(|p| p.place.zone.to_owned()),
            bot: false,
        };
        let mut at = visit.at;
        let mut later = |chance: &mut Chance| {
            let then = at;
            at = at.plus(Delay::seconds(chance.whole(15, 150)));
            then
        };
        let cart = format!("cart-{}{}-{index}", if told.guest { "g" } else { "" }, self.number);
        let currency = yuan();
        let value: i64 = visit.basket.iter().map(|(item, quantity)| item.price * quantity).sum();
        let products =
            || visit.basket.iter().map(|(item, quantity)| item.told(*quantity)).collect::<Vec<_>>();

        if !visit.elsewhere {
            let body = Body::PageViewed {
                title: Some("湖畔茶行 Lakeside Tea".to_owned()),
                referrer: None,
            };
            told.fact(later(&mut self.chance), who.clone(), context.clone(), body);
            if visit.depth >= Depth::Product {
                for (item, _) in &visit.basket {
                    let body = Body::ProductViewed {
                        product: item.told(1),
                        currency: Some(currency.clone()),
                    };
                    told.fact(later(&mut self.chance), who.clone(), context.clone(), body);
                }
            }
            if visit.depth >= Depth::Cart {
                let body = Body::CartChanged {
                    cart_id: Some(cart.clone()),
                    change: CartChange::Viewed,
                    products: products(),
                    currency: Some(currency.clone()),
                };
                told.fact(later(&mut self.chance), who.clone(), context.clone(), body);
            }
        }
        let person = match person {
            Some(person) if known || signs_up => person,
            _ => return,
        };
        let mut named = by_person(&person);
        if signs_up {
            named.anonymous_id = anonymous.filter(|_| !visit.elsewhere);
            let moment = later(&mut self.chance);
            let traits = Box::new(traits(&person, self.habit, moment));
            told.fact(moment, named.clone(), Context::default(), Body::Identified { traits });
        }
        if visit.depth >= Depth::Checkout && !visit.elsewhere {
            let body = Body::CheckoutStarted {
                cart_id: Some(cart),
                checkout_id: None,
                value: Some(value),
                products: products(),
                currency: Some(currency.clone()),
            };
            told.fact(later(&mut self.chance), named.clone(), context.clone(), body);
        }
        if visit.depth == Depth::Order {
            *orders += 1;
            let coupon = campaign.filter(|name| matches!(*name, "618" | "singles-day"));
            let mut order = OrderStated {
                order_id: format!("{}-{orders}", self.number),
                status: OrderStatus::Paid,
                placed_at: None,
                total: coupon.map_or(value, |_| value * 88 / 100),
                currency,
                refunded: None,
                coupon: coupon.map(|name| name.to_uppercase()),
                channel: context.channel.clone(),
                lines: products(),
            };
            let placed = later(&mut self.chance);
            order.placed_at = Some(placed);
            told.fact(placed, named.clone(), Context::default(), Body::OrderStated(order.clone()));
            self.tell_what_went_wrong(told, &named, order, placed);
        }
    }

    /// One order in seventy is called off within hours, one in twenty-five comes back, wholly or in part.
    fn tell_what_went_wrong(
        &mut self,
        told: &mut Told,
        named: &Identifiers,
        order: OrderStated,
        placed: Timestamp,
    ) {
        if self.chance.happens(0.014) {
            let at = placed.plus(Delay::seconds(self.chance.whole(600, 20_000)));
            let body = Body::OrderStated(OrderStated { status: OrderStatus::Cancelled, ..order });
            told.fact(at, named.clone(), Context::default(), body);
        } else if self.chance.happens(0.04) {
            let at = placed.plus(Delay::hours(self.chance.whole(60, 260)));
            let part = order.total * self.chance.whole(2, 8) / 10;
            let amount = self.chance.happens(0.6).then_some(part);
            let body = Body::OrderRefunded { order_id: order.order_id, amount };
            told.fact(at, named.clone(), Context::default(), body);
        }
    }
}

/// The facts of one life, each with a key that no other has.
struct Told {
    life: usize,
    guest: bool,
    facts: Vec<NewFact>,
}

impl Told {
    fn fact(
        &mut self,
        occurred_at: Timestamp,
        identifiers: Identifiers,
        context: Context,
        body: Body,
    ) {
        let kind = if self.guest { "guest" } else { "customer" };
        let source_key = format!("{kind}-{}-{}", self.life, self.facts.len() + 1);
        self.facts.push(NewFact {
            source: Source::Demo,
            source_key,
            occurred_at,
            live: true,
            identifiers,
            body,
            context,
        });
    }
}

fn by_person(person: &Person) -> Identifiers {
    let nameless = person.account.is_none() && person.email.is_none();
    Identifiers {
        anonymous_id: None,
        external_id: person.account.clone(),
        email: person.email.clone(),
        phone: person.phone.clone().filter(|_| nameless),
    }
}

fn traits(person: &Person, habit: Habit, at: Timestamp) -> Traits {
    let told_consent = person.consent != Consent::NotAsked;
    let consent = ConsentTold { granted: true, at: Some(at), channel: Some("sign-up".to_owned()) };
    Traits {
        name: Some(person.name.clone()),
        phone: person.phone.clone(),
        locale: Some(person.locale.to_owned()),
        timezone: Some(person.place.zone.to_owned()),
        country: Some(person.place.country.to_owned()),
        city: Some(person.place.city.to_owned()),
        tags: (habit == Habit::Trade).then(|| vec!["trade".to_owned()]),
        other: serde_json::Map::new(),
        consent: told_consent.then_some(consent),
    }
}

fn yuan() -> Currency {
    "CNY".parse().expect("CNY is a currency")
}

/// The hour of the day in the store's zone, by how many come in it.
#[rustfmt::skip]
const HOURS: &[(f64, i64)] = &[
    (1.4, 0), (0.7, 1), (0.4, 2), (0.2, 3), (0.2, 4), (0.4, 5), (1.2, 6), (3.0, 7), (5.0, 8), (6.4, 9), (7.2, 10),
    (6.6, 11), (6.4, 12), (5.6, 13), (5.0, 14), (5.0, 15), (5.0, 16), (4.8, 17), (5.0, 18), (6.4, 19), (8.6, 20),
    (9.2, 21), (6.2, 22), (3.2, 23),
];
