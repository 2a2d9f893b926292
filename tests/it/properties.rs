//! What must hold whatever people do and whatever a shop sets: whole lives by the engine that plans and sends.

use homing::backtest::Contest;
use homing::backtest::life::{self, History};
use homing::backtest::{Event, World};
use homing::customers::{ConsentTold, Traits};
use homing::identity::{Identifiers, Identity};
use homing::journal::fold::{Fact, Frame};
use homing::journal::{
    Body, CartChange, Context, OrderStated, OrderStatus, Payload, ProductRef, Source,
};
use homing::ledger::Outcome;
use homing::primitives::{CustomerId, Delay, FactId, StoreId, Timestamp};
use homing::rules::ShopDocument;
use homing::secret::Secret;
use homing::stores::{Scoring, Sending, Store};
use proptest::prelude::*;

const SHOP: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[sending]
SENDING

[[rule]]
key = "browse"
status = "live"
trigger = { kind = "visited_without_buying", after = "1h", useful_for = "300h" }
[[rule.step]]
template = "browse-reminder"
[[rule.step]]
wait = "5h"
template = "browse-reminder"
[[rule.step]]
wait_until = "visit"
at_most = "2d"
template = "browse-reminder"
send_at = "10:00"

[[rule]]
key = "cart"
status = "live"
stop_on = []
trigger = { kind = "cart_abandoned", after = "2h" }
[[rule.step]]
template = "cart-reminder"
[[rule.step]]
template = "cart-reminder"

[[rule]]
key = "again"
status = "live"
stop_on = []
trigger = { kind = "order", after = "1h", useful_for = "200h" }
[[rule.step]]
template = "repurchase-nudge"
[[rule.step]]
wait = "1h"
template = "repurchase-nudge"

[[rule]]
key = "daily"
status = "live"
stop_on = []
trigger = { kind = "schedule", cron = "0 11 * * *" }
[[rule.step]]
template = "win-back"

[[rule]]
key = "owed"
class = "service"
status = "live"
stop_on = []
trigger = { kind = "order", after = "10m" }
[[rule.step]]
template = "first-order-thanks"
"#;

fn from() -> Timestamp {
    "2026-03-01T16:00:00Z".parse().unwrap()
}

fn fact(n: usize, minute: i64, what: u8) -> Fact {
    let at = from().plus(Delay::seconds(minute * 60));
    let currency = "CNY".parse().unwrap();
    let tea = || ProductRef { id: "longjing".into(), ..ProductRef::default() };
    let body = match what {
        0..=3 => Body::ProductViewed { product: tea(), currency: Some(currency) },
        4 | 5 => Body::CartChanged {
            cart_id: None,
            change: CartChange::Added,
            products: vec![tea()],
            currency: Some(currency),
        },
        6 | 7 => Body::OrderStated(OrderStated {
            order_id: format!("o{n}"),
            status: OrderStatus::Paid,
            placed_at: Some(at),
            total: 9_800,
            currency,
            refunded: None,
            coupon: None,
            channel: None,
            lines: vec![tea()],
        }),
        _ => {
            let consent = Some(ConsentTold { granted: what != 9, at: Some(at), channel: None });
            Body::Identified { traits: Box::new(Traits { consent, ..Traits::default() }) }
        }
    };
    Fact {
        id: FactId(n as i64 + 1),
        customer: CustomerId(1),
        source: Source::Tracking,
        source_key: format!("{n:04}"),
        subject: Identity::external("ann"),
        occurred_at: at,
        received_at: at,
        live: true,
        payload: Payload {
            identifiers: Identifiers {
                external_id: Some("ann".into()),
                email: "ann@mail.example".parse().ok(),
                ..Identifiers::default()
            },
            context: Context::default(),
            body,
        },
    }
}

/// Times of marketing and of service mail that left, by the rules above under these settings.
fn left(sending: &str, facts: &[Fact]) -> (Vec<Timestamp>, Vec<Timestamp>) {
    let templates: Vec<String> =
        ["browse-reminder", "cart-reminder", "first-order-thanks", "repurchase-nudge", "win-back"]
            .map(str::to_owned)
            .to_vec();
    let text = SHOP.replace("SENDING", sending);
    let document =
        ShopDocument::parse("shop.toml", &text, &templates).unwrap_or_else(|e| panic!("{e}"));
    let blank = Store {
        id: StoreId(1),
        key: "default".into(),
        name: String::new(),
        timezone: homing::primitives::Zone::utc(),
        currency: "CNY".parse().unwrap(),
        locale: "en".into(),
        mail_from: None,
        reply_to: None,
        postal_address: None,
        sending: Sending::default(),
        scoring: Scoring::default(),
        retention: Default::default(),
        pause: None,
        resumed_at: None,
    };
    let contest = Contest::of_document(&blank, &document, "browse").unwrap();
    let (store, rules) = (&contest.store, contest.rules_from(from()));
    let frame = Frame { zone: store.timezone.clone(), currency: store.currency.clone() };
    let secret = Secret::new("of properties alone");
    let to = from().plus(Delay::days(25));
    let world = World::new(store, &frame, &rules, contest.tested(), &secret, from(), to);
    let history = History {
        customer: CustomerId(1),
        external_id: Some("ann".into()),
        facts: facts.to_vec(),
        arms: Vec::new(),
    };
    let lived = life::replay(&world, history);
    let sent = lived.events.iter().filter(|event| event.outcome == Outcome::Sent);
    let (owed, marketing): (Vec<_>, Vec<_>) =
        sent.partition(|event| rules[event.rule].rule.key == "owed");
    let at = |events: Vec<&Event>| events.iter().map(|event| event.at).collect();
    (at(marketing), at(owed))
}

fn any_facts() -> impl Strategy<Value = Vec<Fact>> {
    let one = (0..20 * 1_440_i64, 0..10_u8);
    prop::collection::vec(one, 1..40).prop_map(|mut all| {
        all.sort_unstable();
        all.into_iter().enumerate().map(|(n, (minute, what))| fact(n, minute, what)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_cap_and_no_gap_is_ever_exceeded(
        facts in any_facts(),
        cap in 1..4_usize,
        days in 1..8_i64,
        gap in 0..30_i64,
        is_quiet in any::<bool>(),
    ) {
        let quiet = if is_quiet { "21:00-09:00" } else { "" };
        let gap_text = if gap == 0 { String::new() } else { format!("{gap}h") };
        let sending = format!(
            "consent = \"opt_out\"\nquiet_hours = \"{quiet}\"\ncap = \"{cap} per {days}d\"\nmin_gap = \"{gap_text}\""
        );
        let (marketing, _) = left(&sending, &facts);
        prop_assert!(marketing.is_sorted());
        for at in &marketing {
            let within = |other: &&Timestamp| **other <= *at && other.plus(Delay::days(days)) > *at;
            let n = marketing.iter().filter(within).count();
            prop_assert!(n <= cap, "{n} in {days} days up to {at}: {marketing:?}");
        }
        for pair in marketing.windows(2) {
            prop_assert!(pair[1] >= pair[0].plus(Delay::hours(gap)), "{pair:?} within {gap} hours");
        }
    }

    #[test]
    fn without_consent_there_is_no_marketing_mail_and_what_is_owed_goes(facts in any_facts()) {
        let sending = "consent = \"opt_in\"\nquiet_hours = \"\"\ncap = \"\"\nmin_gap = \"\"";
        let (marketing, owed) = left(sending, &facts);
        for at in &marketing {
            let told = facts.iter().filter(|fact| fact.occurred_at <= *at);
            // The newest word stands, and of two at one time the refusal.
            let word = told.filter_map(|fact| match &fact.payload.body {
                Body::Identified { traits } => {
                    traits.consent.as_ref().map(|told| (fact.occurred_at, !told.granted))
                }
                _ => None,
            });
            prop_assert_eq!(word.max().map(|(_, refused)| refused), Some(false), "at {}", at);
        }
        let orders = facts.iter().filter(|fact| fact.payload.body.order_id().is_some()).count();
        prop_assert!(owed.len() <= orders);
        // Who ordered once is thanked, consent or not.
        prop_assert!(orders != 1 || owed.len() == 1);
    }
}
