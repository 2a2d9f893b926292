//! Whole bodies, as SDKs send them and as nobody should.

use std::collections::HashMap;

use proptest::prelude::*;

use super::claims::{self, Holder};
use super::*;
use crate::journal::{Body, Source};
use crate::primitives::{CustomerId, StoreId};
use crate::secret::Secret;

fn received_at() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn read_as(trust: Trust, call: Call, text: &str) -> Outcome {
    let key = Secret::new("0123456789abcdef").identify_key(StoreId(1));
    let arrival = Arrival {
        received_at: received_at(),
        trust,
        currency: &"CNY".parse().unwrap(),
        identify_key: &key,
        user_agent: Some("Mozilla/5.0"),
        nonce: 7,
    };
    Envelope::open(text, call).unwrap().read(&arrival)
}

fn one(kind: Kind, text: &str) -> Result<NewFact, EventError> {
    let mut outcome = read_as(Trust::Server, Call::One(kind), text);
    match outcome.refused.pop() {
        Some(refused) => Err(refused.error),
        None => Ok(outcome.facts.pop().expect("a fact")),
    }
}

#[test]
fn ids_come_absent_null_empty_and_as_numbers() {
    for none in [
        "{}",
        r#"{"userId":null,"anonymousId":""}"#,
        r#"{"userId":" ","anonymousId":"undefined"}"#,
        r#"{"userId":{"id":1}}"#,
    ] {
        assert_eq!(one(Kind::Page, none), Err(EventError::NoId), "{none}");
    }
    let fact = one(Kind::Page, r#"{"userId":42,"anonymousId":"a-1"}"#).unwrap();
    assert_eq!(fact.identifiers.external_id.as_deref(), Some("42"));
    assert_eq!(fact.identifiers.anonymous_id.as_deref(), Some("a-1"));
    let long = format!(r#"{{"userId":"{}"}}"#, "x".repeat(201));
    assert_eq!(one(Kind::Page, &long), Err(EventError::IdTooLong("userId")));
}

#[test]
fn the_path_says_what_a_lone_event_is() {
    let fact = one(Kind::Page, r#"{"type":"track","event":"x","userId":"u"}"#).unwrap();
    assert_eq!(fact.body.kind(), "page_viewed");
    assert_eq!(one(Kind::Track, r#"{"type":"page","userId":"u"}"#), Err(EventError::NoEventName));
}

#[test]
fn a_bad_event_costs_none_of_its_neighbours() {
    let oversized = format!(r#"{{"type":"page","userId":"u","x":"{}"}}"#, "x".repeat(MAX_EVENT));
    let batch = format!(
        r#"{{"batch":[
            {{"type":"page","userId":"u","messageId":"1"}}, 7, {{"type":"page"}}, {{"type":"dance","userId":"u"}},
            {{"type":"track","userId":"u"}}, {oversized}, {{"type":"group","userId":"u"}},
            {{"type":"alias","userId":"u"}}, {{"type":"page","userId":"u","timestamp":"never"}},
            {{"type":"track","event":"Order Completed","userId":"u","properties":{{"total":1}}}},
            {{"type":"page","userId":"u","messageId":"2"}}]}}"#
    );
    let outcome = read_as(Trust::Server, Call::Batch, &batch);
    let keys: Vec<&str> = outcome.facts.iter().map(|fact| fact.source_key.as_str()).collect();
    assert_eq!(keys, ["1", "2"]);
    let refused: Vec<usize> = outcome.refused.iter().map(|refused| refused.position).collect();
    assert_eq!(refused, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_batch_gives_its_context_to_events_without_one() {
    let outcome = read_as(
        Trust::Server,
        Call::Batch,
        r#"{"context":{"locale":"zh-CN"},"batch":[{"type":"page","userId":"u"},
            {"type":"page","userId":"u","context":{"timezone":"Asia/Shanghai"}}]}"#,
    );
    assert_eq!(outcome.facts[0].context.locale.as_deref(), Some("zh-CN"));
    assert_eq!(outcome.facts[1].context.locale, None);
}

#[test]
fn imports_are_history() {
    let batch = r#"{"batch":[{"type":"page","userId":"u","timestamp":"2020-01-01T00:00:00Z"}]}"#;
    assert!(!read_as(Trust::Server, Call::Import, batch).facts[0].live);
    assert!(read_as(Trust::Server, Call::Batch, batch).facts[0].live);
}

#[test]
fn message_ids_are_kept_hashed_or_made() {
    let key = |text: &str| one(Kind::Page, text).unwrap().source_key;
    assert_eq!(key(r#"{"userId":"u","messageId":"ajs-next-1-2"}"#), "ajs-next-1-2");
    assert_eq!(key(r#"{"userId":"u","messageId":17}"#), "17");
    let long =
        |tail: &str| key(&format!(r#"{{"userId":"u","messageId":"{}{tail}"}}"#, "x".repeat(100)));
    assert!(long("a").starts_with("sha256:") && long("a") != long("b") && long("a").len() <= 100);
    assert!(key(r#"{"userId":"u","messageId":"a\u0000b"}"#).starts_with("sha256:"));

    let timed = r#"{"userId":"u","timestamp":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(key(timed), key(timed), "a repeat says the same");
    let batch = r#"{"batch":[{"type":"page","userId":"u"},{"type":"page","userId":"u"}]}"#;
    let facts = read_as(Trust::Server, Call::Batch, batch).facts;
    assert_ne!(facts[0].source_key, facts[1].source_key, "without a time two may be two");
}

#[test]
fn traits_are_read_where_each_sdk_puts_them() {
    for text in [
        r#"{"userId":"u","traits":{"email":"Ann@Shop.Example","name":"Ann"}}"#,
        r#"{"userId":"u","context":{"traits":{"email":"Ann@Shop.Example","name":"Ann"}}}"#,
        r#"{"userId":"u","traits":{},"context":{"traits":{"email":"Ann@Shop.Example","name":"Ann"}}}"#,
    ] {
        let fact = one(Kind::Identify, text).unwrap();
        assert_eq!(fact.identifiers.email.unwrap().as_str(), "Ann@shop.example");
        let Body::Identified { traits } = fact.body else { panic!() };
        assert_eq!(traits.name.as_deref(), Some("Ann"));
    }
    let fact = one(Kind::Identify, r#"{"userId":"u","traits":{"email":"nobody","name":"Ann"}}"#);
    assert_eq!(fact.unwrap().identifiers.email, None, "a bad address costs only itself");
}

#[test]
fn a_guest_is_known_by_the_address_of_the_order() {
    let email = |ids: &str| {
        let text = format!(
            r#"{{{ids},"event":"Order Completed","properties":{{"order_id":1,"total":1,"email":"ann@shop.example"}}}}"#
        );
        one(Kind::Track, &text).unwrap().identifiers.email
    };
    assert_eq!(email(r#""anonymousId":"a""#).unwrap().as_str(), "ann@shop.example");
    assert_eq!(email(r#""userId":"u""#), None);
}

#[test]
fn an_alias_to_itself_says_nothing() {
    let outcome =
        read_as(Trust::Server, Call::One(Kind::Alias), r#"{"userId":"u","previousId":"u"}"#);
    assert!(outcome.facts.is_empty() && outcome.refused.is_empty());
    let fact = one(Kind::Alias, r#"{"userId":"u","previousId":"anon-1"}"#).unwrap();
    assert_eq!(fact.body, Body::Aliased { previous_id: "anon-1".into() });
    assert_eq!(one(Kind::Alias, r#"{"anonymousId":"a","previousId":"b"}"#), Err(EventError::NoId));
}

#[test]
fn hostile_text_is_kept_as_far_as_it_is_sound() {
    let fact = one(
        Kind::Track,
        r#"{"userId":"u\u0000\u202e7","event":"Tea \ud83c\udf75 \u0007drunk","properties":{"a\u0000":"שלום","d":{"d":{"d":{"d":{"d":{"d":1}}}}}}}"#,
    )
    .unwrap();
    assert_eq!(fact.identifiers.external_id.as_deref(), Some("u7"));
    let Body::Tracked { event, properties } = fact.body else { panic!() };
    assert_eq!(event, "Tea 🍵 drunk");
    assert_eq!(properties["a"], "שלום");
    let name = format!(r#"{{"userId":"u","traits":{{"name":"{}"}}}}"#, "N".repeat(30_000));
    let Body::Identified { traits } = one(Kind::Identify, &name).unwrap().body else { panic!() };
    assert_eq!(traits.name.unwrap().len(), 200);
}

#[test]
fn a_page_knows_its_title_and_where_it_was_reached_from() {
    let fact = one(
        Kind::Page,
        r#"{"anonymousId":"a","name":"Home","properties":{"title":"Tea"},
            "context":{"page":{"url":"https://shop.example/tea#x","referrer":"$direct"},
                       "userAgent":"Googlebot","campaign":{"source":"Weibo","name":"618"}}}"#,
    )
    .unwrap();
    assert_eq!(fact.source, Source::Tracking);
    assert_eq!(fact.body, Body::PageViewed { title: Some("Tea".into()), referrer: None });
    assert_eq!(fact.context.page_url.as_deref(), Some("https://shop.example/tea"));
    assert_eq!(fact.context.channel.as_deref(), Some("weibo"));
    assert_eq!(fact.context.campaign.as_deref(), Some("618"));
    assert!(fact.context.bot);
}

mod browsers {
    use super::*;

    const IDENTIFY: &str = r#"{"userId":"u","anonymousId":"a","traits":{"email":"a@b.example","name":"Ann","email_consent":true}}"#;

    /// The customer who came up a moment ago.
    const BLANK: i64 = 9;

    fn settled(text: &str, held: &[(&str, i64, bool)]) -> (NewFact, bool) {
        let mut outcome = read_as(Trust::Browser, Call::One(Kind::Identify), text);
        let unproven = !outcome.unproven.is_empty();
        let mut fact = outcome.facts.pop().unwrap();
        let holders: HashMap<String, Holder> = held
            .iter()
            .map(|(identity, id, identified)| {
                (
                    identity.to_string(),
                    Holder {
                        customer: CustomerId(*id),
                        identified: *identified,
                        blank: *id == BLANK,
                    },
                )
            })
            .collect();
        if unproven {
            claims::settle(&mut fact, &holders);
        }
        (fact, unproven)
    }

    fn says_something((fact, _): (NewFact, bool)) -> bool {
        let Body::Identified { traits } = &fact.body else { panic!() };
        assert_eq!(traits.name.is_some(), traits.consent.is_some());
        assert_eq!(traits.name.is_some(), fact.identifiers.email.is_some());
        assert_eq!(fact.identifiers.anonymous_id.as_deref(), Some("a"), "the link stays");
        traits.name.is_some()
    }

    #[test]
    fn a_user_id_that_nobody_has_may_be_introduced_and_no_other_changed() {
        assert!(says_something(settled(IDENTIFY, &[])));
        assert!(!says_something(settled(IDENTIFY, &[("ext:u", 1, true)])));
        let linked = [("ext:u", 1, true), ("anon:a", 1, true)];
        assert!(!says_something(settled(IDENTIFY, &linked)), "a link is no proof");
    }

    #[test]
    fn an_introduction_may_be_overtaken_by_what_follows_it() {
        let own = [("ext:u", BLANK, true), ("anon:a", BLANK, true)];
        assert!(says_something(settled(IDENTIFY, &own)));
        assert!(!says_something(settled(IDENTIFY, &[("ext:u", BLANK, true)])), "another's");
    }

    #[test]
    fn the_shops_hash_is_proof_and_another_is_not() {
        let with =
            |hash: &str| IDENTIFY.replacen('{', &format!(r#"{{"context":{{"hash":"{hash}"}},"#), 1);
        let key = Secret::new("0123456789abcdef").identify_key(StoreId(1));
        let hash = {
            use hmac::{Hmac, Mac};
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_str().as_bytes()).unwrap();
            mac.update(b"u");
            mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        assert!(says_something(settled(&with(&hash), &[("ext:u", 1, true)])));
        assert!(!says_something(settled(&with(&hash.replace('a', "b")), &[("ext:u", 1, true)])));
    }

    #[test]
    fn a_visitor_may_tell_of_himself_alone() {
        let visitor = IDENTIFY.replace(r#""userId":"u","#, "");
        assert!(says_something(settled(&visitor, &[("anon:a", 1, false)])));
        assert!(says_something(settled(
            &visitor,
            &[("anon:a", 1, false), ("email:a@b.example", 1, false)]
        )));
        assert!(!says_something(settled(&visitor, &[("email:a@b.example", 2, false)])));
        assert!(!says_something(settled(&visitor, &[("anon:a", 1, true)])), "linked to somebody");
    }

    #[test]
    fn the_addresses_in_a_browsers_other_events_are_left_aside() {
        let track =
            r#"{"anonymousId":"a","event":"x","context":{"traits":{"email":"a@b.example"}}}"#;
        let email = |trust| {
            read_as(trust, Call::One(Kind::Track), track).facts[0].identifiers.email.clone()
        };
        assert!(email(Trust::Server).is_some());
        assert!(email(Trust::Browser).is_none());
    }
}

/// JSON in every type, with the API's own words as names.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(|n| serde_json::json!(n)),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,12}".prop_map(Into::into),
        "track|page|identify|alias|Order Completed|Order Refunded|Cart Viewed|Product Added|-1|NaN|CNY"
            .prop_map(Into::into),
    ];
    let name = "type|userId|anonymousId|previousId|event|properties|context|traits|page|products|price|\
                quantity|total|order_id|currency|timestamp|sentAt|messageId|email|email_consent|url|referrer|campaign";
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec((name, inner), 0..10)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_event_becomes_a_sound_fact_or_a_refusal(events in proptest::collection::vec(any_json(), 0..6)) {
        let text = serde_json::json!({ "batch": events }).to_string();
        let outcome = read_as(Trust::Browser, Call::Batch, &text);
        prop_assert!(outcome.facts.len() + outcome.refused.len() <= events.len());
        for fact in &outcome.facts {
            prop_assert!((0..=received_at().0).contains(&fact.occurred_at.0));
            prop_assert!(!fact.source_key.is_empty() && fact.source_key.chars().count() <= 100);
            prop_assert!(!fact.identifiers.is_empty());
            let kept = serde_json::to_string(&fact.body).unwrap();
            prop_assert!(!kept.contains("\\u0000"));
            prop_assert_eq!(&serde_json::from_str::<Body>(&kept).unwrap(), &fact.body);
            if let Body::OrderStated(order) = &fact.body {
                prop_assert!(order.total >= 0 && !order.order_id.is_empty());
            }
        }
    }
}
