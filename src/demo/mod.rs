//! A sample store that seems alive: two years of a tea shop's visits and orders, made from a seed and a day.
//!
//! Pure: it knows no table and no clock. `homing demo` writes what it makes through the journal, as any source would.

mod catalogue;
mod chance;
mod life;
mod people;
mod season;
mod tell;

use std::collections::HashMap;

use crate::journal::{Body, NewFact};
use crate::primitives::{Delay, Timestamp, Zone};
use chance::Chance;
use life::Life;
use season::Season;

/// The store's settings and rules, as an operator would write them.
pub const SHOP: &str = include_str!("shop.toml");

pub const ZONE: &str = "Asia/Shanghai";
const DAYS: usize = 731;
const CUSTOMERS: usize = 5_000;
/// Visitors who never say who they are.
const GUESTS: usize = 12_000;

/// How long the rules have been live, in days.
const LIVE: i64 = 21;

#[derive(PartialEq)]
pub struct Sample {
    /// Until here the shop ran without Homing.
    pub live_since: Timestamp,
    /// What was before, customer by customer, each oldest first.
    pub history: Vec<NewFact>,
    /// What has happened since, oldest first.
    pub recent: Vec<NewFact>,
}

/// Makes the sample store as it stands at `now`. The same seed and day give the same facts.
pub fn generate(seed: u64, now: Timestamp) -> Sample {
    let zone: Zone = ZONE.parse().expect("the sample's zone is in the built-in zone database");
    let season = Season::until(now, DAYS, &zone);
    let known = (1..=CUSTOMERS).map(|n| Life::known(&season, Chance::new(seed, n as u64), n));
    let guests =
        (1..=GUESTS).map(|n| Life::guest(&season, Chance::new(seed, (CUSTOMERS + n) as u64), n));
    let mut facts: Vec<NewFact> = known.chain(guests).flat_map(|life| life.facts(now)).collect();
    number_orders(&mut facts);

    let live_since = now.minus(Delay::days(LIVE));
    for fact in &mut facts {
        fact.live = fact.occurred_at >= live_since;
    }
    let (history, mut recent): (Vec<_>, Vec<_>) = facts.into_iter().partition(|fact| !fact.live);
    recent.sort_by_key(|fact| fact.occurred_at);
    Sample { live_since, history, recent }
}

/// Numbers the orders as a shop does: in the order in which they were placed.
fn number_orders(facts: &mut [NewFact]) {
    let mut placed: HashMap<&str, Timestamp> = HashMap::new();
    for fact in facts.iter() {
        if let Some(order) = fact.body.order_id() {
            let first = placed.entry(order).or_insert(fact.occurred_at);
            *first = (*first).min(fact.occurred_at);
        }
    }
    let mut in_order: Vec<(Timestamp, String)> =
        placed.into_iter().map(|(order, at)| (at, order.to_owned())).collect();
    in_order.sort();
    let numbers: HashMap<String, String> = (10_001..)
        .zip(in_order)
        .map(|(number, (_, order)): (u32, _)| (order, number.to_string()))
        .collect();
    for fact in facts {
        if let Body::OrderStated(crate::journal::OrderStated { order_id, .. })
        | Body::OrderRefunded { order_id, .. } = &mut fact.body
        {
            order_id.clone_from(&numbers[order_id.as_str()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::LazyLock;

    use super::*;
    use crate::journal::OrderStatus;
    use crate::rules::ShopDocument;

    fn now() -> Timestamp {
        "2026-11-22T02:00:00Z".parse().unwrap()
    }

    static SAMPLE: LazyLock<Sample> = LazyLock::new(|| generate(1, now()));

    fn all() -> impl Iterator<Item = &'static NewFact> + Clone {
        SAMPLE.history.iter().chain(&SAMPLE.recent)
    }

    fn paid(fact: &NewFact) -> Option<&crate::journal::OrderStated> {
        match &fact.body {
            Body::OrderStated(order) if order.status == OrderStatus::Paid => Some(order),
            _ => None,
        }
    }

    #[test]
    fn its_settings_are_what_apply_takes_and_use_every_built_in_template() {
        let templates = [
            "browse-reminder",
            "cart-reminder",
            "first-order-thanks",
            "repurchase-nudge",
            "win-back",
        ];
        let document =
            ShopDocument::parse("shop.toml", SHOP, &templates.map(str::to_owned)).unwrap();
        let used: BTreeSet<&str> = document
            .rules
            .iter()
            .flat_map(|rule| &rule.steps)
            .map(|step| step.template.as_str())
            .collect();
        assert_eq!(used, BTreeSet::from(templates));
    }

    #[test]
    fn a_seed_gives_one_store_and_another_seed_another() {
        assert!(generate(1, now()) == *SAMPLE);
        assert!(generate(2, now()) != *SAMPLE);
    }

    #[test]
    fn every_fact_has_a_key_of_its_own_and_lies_in_the_two_years_before_now() {
        let sample = &*SAMPLE;
        let live_since = sample.live_since;
        assert!(sample.history.iter().all(|fact| !fact.live && fact.occurred_at < live_since));
        assert!(sample.recent.iter().all(|fact| fact.live && fact.occurred_at >= live_since));
        assert!(sample.recent.is_sorted_by_key(|fact| fact.occurred_at));
        let keys: BTreeSet<&str> = all().map(|fact| fact.source_key.as_str()).collect();
        assert_eq!(keys.len(), all().count());
        let earliest = now().minus(Delay::days(732));
        assert!(all().all(|fact| fact.occurred_at > earliest && fact.occurred_at <= now()));
    }

    #[test]
    fn the_totals_are_those_of_a_living_shop() {
        let orders: Vec<_> = all().filter_map(paid).collect();
        let mut per_buyer: BTreeMap<String, u32> = BTreeMap::new();
        for fact in all().filter(|fact| paid(fact).is_some()) {
            let who = &fact.identifiers;
            let name = who.external_id.clone().or(who.email.clone().map(|e| e.to_string()));
            *per_buyer.entry(name.expect("an order has a buyer")).or_default() += 1;
        }
        let once = per_buyer.values().filter(|count| **count == 1).count() as f64;
        let average = orders.iter().map(|order| order.total).sum::<i64>() / orders.len() as i64;
        let behaviour = all().filter(|fact| fact.body.is_behaviour()).count();
        assert!((2_900..3_700).contains(&per_buyer.len()), "{} buyers", per_buyer.len());
        assert!((9_000..16_000).contains(&orders.len()), "{} orders", orders.len());
        assert!((0.3..0.55).contains(&(once / per_buyer.len() as f64)), "{once} bought once");
        assert!((14_000..32_000).contains(&average), "{average} fen an order");
        assert!((60_000..130_000).contains(&behaviour), "{behaviour} facts of behaviour");
    }

    #[test]
    fn the_year_shows_in_the_orders() {
        let zone: Zone = ZONE.parse().unwrap();
        let on = |from: &str, days: i64| {
            let from = zone.start_of(from.parse().unwrap());
            let span = from..from.plus(Delay::days(days));
            let orders = all().filter(|fact| paid(fact).is_some());
            orders.filter(|fact| span.contains(&fact.occurred_at)).count() as f64 / days as f64
        };
        let usual = on("2026-05-01", 28);
        assert!(on("2026-06-18", 1) > 2.5 * usual, "618: {} to {usual}", on("2026-06-18", 1));
        assert!(on("2026-11-11", 1) > 2.5 * usual, "11.11: {} to {usual}", on("2026-11-11", 1));
        let holiday = on("2026-02-15", 8);
        assert!(holiday < 0.5 * usual, "Spring Festival: {holiday} to {usual}");
    }

    /// The last four weeks are what a console shows first.
    #[test]
    fn of_those_who_come_by_these_days_few_buy() {
        let since = now().minus(Delay::days(28));
        let lately = all().filter(|fact| fact.occurred_at >= since);
        let visitors: BTreeSet<_> = lately
            .clone()
            .filter(|fact| fact.body.is_behaviour())
            .map(|fact| &fact.identifiers.anonymous_id)
            .collect();
        let orders = lately.filter(|fact| paid(fact).is_some()).count();
        let share = orders as f64 / visitors.len() as f64;
        assert!((0.03..0.15).contains(&share), "{orders} orders of {} visitors", visitors.len());
    }

    #[test]
    fn whoever_has_not_consented_and_whoever_left_a_cart_are_among_them() {
        let kinds: BTreeMap<&str, usize> =
            SAMPLE.recent.iter().fold(BTreeMap::new(), |mut counts, fact| {
                *counts.entry(fact.body.kind()).or_default() += 1;
                counts
            });
        for kind in
            ["cart_changed", "checkout_started", "order_stated", "identified", "consent_changed"]
        {
            assert!(kinds.get(kind).is_some_and(|n| *n >= 3), "{kind}: {kinds:?}");
        }
        let identified: Vec<_> = all()
            .filter_map(|fact| match &fact.body {
                Body::Identified { traits } => Some(traits.consent.is_some()),
                _ => None,
            })
            .collect();
        let consenting = identified.iter().filter(|granted| **granted).count() as f64;
        assert!((0.65..0.8).contains(&(consenting / identified.len() as f64)));
    }
}
