//! How a life is told: visits become the calls that a shop's pages and back office would have made.

use super::chance::Chance;
use super::life::{Depth, Visit};
use super::people::{Consent, Habit, Person, channel};
use super::season::{Season, campaign};
use crate::journal::{
    Body, CartChange, ConsentTold, Context, Identifiers, NewFact, OrderStated, OrderStatus,
    ProductRef, Source, Traits,
};
use crate::primitives::{Currency, Delay, Timestamp};

/// Tells one life, visit by visit.
pub struct Teller<'a> {
    season: &'a Season,
    chance: Chance,
    /// Tells this life's ids and keys apart from all others'.
    name: String,
    habit: Habit,
    person: Option<Person>,
    signed_up_at: Option<Timestamp>,
    orders: u32,
    facts: Vec<NewFact>,
}

/// One visit as it goes on.
struct Scene<'v> {
    visit: &'v Visit,
    at: Timestamp,
    anonymous_id: String,
    context: Context,
    campaign: Option<&'static str>,
    cart_id: String,
}

impl<'a> Teller<'a> {
    pub fn new(
        season: &'a Season,
        chance: Chance,
        number: usize,
        habit: Habit,
        person: Option<Person>,
    ) -> Self {
        let kind = if person.is_some() { "c" } else { "g" };
        let name = format!("{kind}{number}");
        Self {
            season,
            chance,
            name,
            habit,
            person,
            signed_up_at: None,
            orders: 0,
            facts: Vec::new(),
        }
    }

    /// `visits` are sorted, oldest first. The facts are not: refunds follow days later.
    pub fn tell(mut self, visits: &[Visit]) -> Vec<NewFact> {
        for (index, visit) in visits.iter().enumerate() {
            let mut scene = self.scene(visit, index);
            if !visit.elsewhere {
                self.tell_browsing(&mut scene);
            }
            let is_last = index + 1 == visits.len();
            if let Some(person) = self.person.clone() {
                // Whoever orders signs up when they do; the others at once, or before we lose sight of them.
                let signs_up =
                    visit.depth == Depth::Order || self.habit == Habit::Browser || is_last;
                if signs_up && self.signed_up_at.is_none() {
                    self.tell_sign_up(&mut scene, &person);
                }
                if self.signed_up_at.is_some() {
                    self.tell_buying(&mut scene, &person);
                }
            }
        }
        self.tell_goodbye();
        self.facts
    }

    fn scene<'v>(&mut self, visit: &'v Visit, index: usize) -> Scene<'v> {
        let device = if index > 0 && self.chance.happens(0.25) { 2 } else { 1 };
        let campaign = campaign(self.season.date(visit.day)).filter(|_| self.chance.happens(0.5));
        let source = if visit.elsewhere {
            Some("douyin")
        } else {
            channel(&mut self.chance, self.signed_up_at.is_some())
        };
        let person = self.person.as_ref();
        Scene {
            visit,
            at: visit.at,
            anonymous_id: format!("browser-{}-{device}", self.name),
            context: Context {
                channel: source.map(str::to_owned),
                campaign: campaign.map(str::to_owned),
                page_url: Some("https://lakeside.example/".to_owned()),
                locale: person.map(|p| p.locale.to_owned()),
                timezone: person.map(|p| p.place.zone.to_owned()),
                bot: false,
            },
            campaign,
            cart_id: format!("cart-{}-{index}", self.name),
        }
    }

    fn tell_browsing(&mut self, scene: &mut Scene) {
        // Not everyone signs in before they look.
        let signed_in = self.signed_up_at.is_some() && self.chance.happens(0.7);
        let account = self.person.as_ref().and_then(|person| person.account.clone());
        let who = Identifiers {
            anonymous_id: Some(scene.anonymous_id.clone()),
            external_id: account.filter(|_| signed_in),
            ..Identifiers::default()
        };
        let title = Some("湖畔茶行 Lakeside Tea".to_owned());
        self.next(scene, &who, Body::PageViewed { title, referrer: None });
        if scene.visit.depth >= Depth::Product {
            for (item, _) in &scene.visit.basket {
                let viewed = Body::ProductViewed { product: item.told(1), currency: Some(yuan()) };
                self.next(scene, &who, viewed);
            }
        }
        if scene.visit.depth >= Depth::Cart {
            let filled = Body::CartChanged {
                cart_id: Some(scene.cart_id.clone()),
                change: CartChange::Viewed,
                products: scene.products(),
                currency: Some(yuan()),
            };
            self.next(scene, &who, filled);
        }
    }

    fn tell_sign_up(&mut self, scene: &mut Scene, person: &Person) {
        let mut who = identifiers(person);
        who.anonymous_id = (!scene.visit.elsewhere).then(|| scene.anonymous_id.clone());
        self.signed_up_at = Some(scene.at);
        let traits = Box::new(traits(person, self.habit, scene.at));
        self.next(scene, &who, Body::Identified { traits });
    }

    fn tell_buying(&mut self, scene: &mut Scene, person: &Person) {
        let who = identifiers(person);
        let value = scene.visit.basket.iter().map(|(item, quantity)| item.price * quantity).sum();
        if scene.visit.depth >= Depth::Checkout && !scene.visit.elsewhere {
            let started = Body::CheckoutStarted {
                cart_id: Some(scene.cart_id.clone()),
                checkout_id: None,
                value: Some(value),
                products: scene.products(),
                currency: Some(yuan()),
            };
            self.next(scene, &who, started);
        }
        if scene.visit.depth == Depth::Order {
            self.orders += 1;
            let coupon = scene.campaign.filter(|name| matches!(*name, "618" | "singles-day"));
            let order = OrderStated {
                order_id: format!("{}-{}", self.name, self.orders),
                status: OrderStatus::Paid,
                placed_at: Some(scene.at),
                total: if coupon.is_some() { value * 88 / 100 } else { value },
                currency: yuan(),
                refunded: None,
                coupon: coupon.map(str::to_uppercase),
                channel: scene.context.channel.clone(),
                lines: scene.products(),
            };
            self.next(scene, &who, Body::OrderStated(order.clone()));
            self.tell_what_went_wrong(&who, order, scene.at);
        }
    }

    /// One order in seventy is called off within hours, one in twenty-five comes back, wholly or in part.
    fn tell_what_went_wrong(&mut self, who: &Identifiers, order: OrderStated, placed: Timestamp) {
        if self.chance.happens(0.014) {
            let at = placed.plus(Delay::seconds(self.chance.whole(600, 20_000)));
            let cancelled = OrderStated { status: OrderStatus::Cancelled, ..order };
            self.fact(at, who.clone(), Context::default(), Body::OrderStated(cancelled));
        } else if self.chance.happens(0.04) {
            let at = placed.plus(Delay::hours(self.chance.whole(60, 260)));
            let part = order.total * self.chance.whole(2, 8) / 10;
            let amount = self.chance.happens(0.6).then_some(part);
            let refunded = Body::OrderRefunded { order_id: order.order_id, amount };
            self.fact(at, who.clone(), Context::default(), refunded);
        }
    }

    fn tell_goodbye(&mut self) {
        let (Some(person), Some(signed_up)) = (&self.person, self.signed_up_at) else { return };
        if person.consent == Consent::Withdrawn {
            let who = identifiers(person);
            let at = signed_up.plus(Delay::hours(24 * self.chance.whole(10, 200)));
            let channel = Some("link".to_owned());
            let word = ConsentTold { granted: false, at: Some(at), channel };
            self.fact(at, who, Context::default(), Body::ConsentChanged(word));
        }
    }

    /// Tells what happens now in the scene, and lets some time pass.
    fn next(&mut self, scene: &mut Scene, who: &Identifiers, body: Body) {
        self.fact(scene.at, who.clone(), scene.context.clone(), body);
        scene.at = scene.at.plus(Delay::seconds(self.chance.whole(15, 150)));
    }

    fn fact(
        &mut self,
        occurred_at: Timestamp,
        identifiers: Identifiers,
        context: Context,
        body: Body,
    ) {
        self.facts.push(NewFact {
            source: Source::Demo,
            source_key: format!("{}-{}", self.name, self.facts.len() + 1),
            occurred_at,
            live: true,
            identifiers,
            body,
            context,
        });
    }
}

impl Scene<'_> {
    fn products(&self) -> Vec<ProductRef> {
        self.visit.basket.iter().map(|(item, quantity)| item.told(*quantity)).collect()
    }
}

fn identifiers(person: &Person) -> Identifiers {
    let nameless = person.account.is_none() && person.email.is_none();
    Identifiers {
        anonymous_id: None,
        external_id: person.account.clone(),
        email: person.email.clone(),
        phone: person.phone.clone().filter(|_| nameless),
    }
}

fn traits(person: &Person, habit: Habit, at: Timestamp) -> Traits {
    let granted = ConsentTold { granted: true, at: Some(at), channel: Some("sign-up".to_owned()) };
    Traits {
        name: Some(person.name.clone()),
        phone: person.phone.clone(),
        locale: Some(person.locale.to_owned()),
        timezone: Some(person.place.zone.to_owned()),
        country: Some(person.place.country.to_owned()),
        city: Some(person.place.city.to_owned()),
        tags: (habit == Habit::Trade).then(|| vec!["trade".to_owned()]),
        other: serde_json::Map::new(),
        consent: (person.consent != Consent::NotAsked).then_some(granted),
    }
}

fn yuan() -> Currency {
    "CNY".parse().expect("CNY is a currency")
}
