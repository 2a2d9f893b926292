//! Any rule and any document, for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::condition::{Did, Field, Op, SEGMENTS};
use super::{
    Class, Condition, DayOffset, Exit, Otherwise, Rule, RuleStatus, ShopDocument, Step, StepEvent,
    StopOn, Trigger, TriggerKind, Variant, Wording,
};
use crate::primitives::Delay;
use crate::stores::{
    Cap, ConsentMode, Details, Dkim, InDoubtPolicy, QuietHours, Rate, Retention, Scoring, Sending,
};

pub fn templates() -> Vec<String> {
    ["browse-reminder", "cart-reminder", "first-order-thanks", "repurchase-nudge", "win-back"]
        .map(str::to_owned)
        .to_vec()
}

/// One line that means something: quotes, backslashes, emoji and right-to-left letters included.
fn any_line() -> impl Strategy<Value = String> {
    "[ -~]{0,20}|[a-zäß茶שלום🍵\"'\\\\#]{1,12}"
        .prop_map(|text| text.trim().to_owned())
        .prop_filter("not empty", |text| !text.is_empty())
}

fn any_delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        (1..400i64).prop_map(Delay::days),
        (1..500i64).prop_map(Delay::hours),
        (1..1_000_000i64).prop_map(Delay::seconds)
    ]
}

/// 0 to 1, in the six decimals that a document keeps.
fn any_share() -> impl Strategy<Value = f64> {
    (0..=1_000_000u32).prop_map(|n| f64::from(n) / 1e6)
}

fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

/// A value that fits the field, in the form of a document.
fn any_value(field: Field) -> BoxedStrategy<serde_json::Value> {
    match field {
        Field::R | Field::F | Field::M => (1..=5i64).prop_map(|n| json!(n)).boxed(),
        Field::PAlive | Field::POrder30d | Field::POrder90d => {
            any_share().prop_map(|n| json!(n)).boxed()
        }
        Field::Segment => any_of(&SEGMENTS).prop_map(|text| json!(text)).boxed(),
        Field::Consent => {
            any_of(&["none", "granted", "withdrawn"]).prop_map(|text| json!(text)).boxed()
        }
        Field::Country
        | Field::City
        | Field::Locale
        | Field::Timezone
        | Field::Tags
        | Field::FirstChannel
        | Field::LastChannel
        | Field::FirstCampaign
        | Field::LastCampaign => any_line().prop_map(|text| json!(text)).boxed(),
        Field::HasEmail | Field::HasPhone | Field::Identified => {
            any::<bool>().prop_map(|flag| json!(flag)).boxed()
        }
        _ if field.ops().contains(&Op::In) => (0..1_000i64).prop_map(|n| json!(n)).boxed(),
        _ => (0..1_000_000_000i64).prop_map(|n| json!(n as f64 / 1e3)).boxed(),
    }
}

fn any_comparison() -> impl Strategy<Value = serde_json::Value> {
    any_of(Field::ALL)
        .prop_flat_map(|field| {
            (Just(field), any_of(field.ops()), vec(any_value(field), 1..4), any::<bool>())
        })
        .prop_map(|(field, op, values, flag)| {
            let value = match op {
                Op::In | Op::NotIn => json!(values),
                Op::IsSet => json!(flag),
                _ => values[0].clone(),
            };
            json!({ "field": field, "op": op, "value": value })
        })
}

fn any_behaviour() -> impl Strategy<Value = serde_json::Value> {
    let of = prop_oneof![
        Just(None),
        any_line().prop_map(|p| Some(("product", p))),
        any_line().prop_map(|c| Some(("category", c)))
    ];
    let asked = (any_of(Did::ALL), any::<bool>(), of, 1..9u32, option::of(any_delay()));
    asked.prop_map(|(what, never, of, at_least, within)| {
        let mut told = json!({ (if never { "never" } else { "did" }): what });
        if let Some((key, value)) = of.filter(|_| what != Did::Visited) {
            told[key] = json!(value);
        }
        if !never {
            told["at_least"] = json!(at_least);
        }
        if let Some(within) = within {
            told["within"] = json!(within);
        }
        told
    })
}

fn any_trait() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        (any_line(), any_of(&["eq", "ne", "contains"]))
            .prop_map(|(v, op)| json!({ "op": op, "value": v })),
        ((0..100i64), any_of(&["eq", "ne", "lt", "gte"]))
            .prop_map(|(n, op)| json!({ "op": op, "value": n })),
        (vec(any_line(), 1..4), any_of(&["in", "not_in"]))
            .prop_map(|(v, op)| json!({ "op": op, "value": v })),
        (any::<bool>(), any_of(&["eq", "ne", "is_set"]))
            .prop_map(|(v, op)| json!({ "op": op, "value": v })),
    ]
    .prop_map(|mut told| {
        told["trait"] = json!("plan");
        told
    })
}

pub fn any_condition() -> impl Strategy<Value = Condition> {
    let received = option::of(any_delay()).prop_map(|within| match within {
        Some(within) => json!({ "received": "win-back", "within": within }),
        None => json!({ "received": "win-back" }),
    });
    let tag = any_line().prop_map(|tag| json!({ "tag": tag }));
    prop_oneof![6 => any_comparison(), 3 => any_behaviour(), 1 => received, 1 => tag, 1 => any_trait()]
        .prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 1..4).prop_map(|all| json!({ "all": all })),
                vec(inner.clone(), 1..4).prop_map(|any| json!({ "any": any })),
                inner.prop_map(|not| json!({ "not": not })),
            ]
        })
        .prop_map(|json| serde_json::from_value(json).expect("the strategy makes what is allowed"))
}

fn any_trigger() -> impl Strategy<Value = Trigger> {
    let kind = (0..11u8, any_delay(), option::of(any_delay()), any_of(&SEGMENTS), 0..9u32, 0..9u32)
        .prop_map(|(kind, after, more, segment, min_visits, min_product_views)| match kind {
            0 => TriggerKind::VisitedWithoutBuying { after, min_visits, min_product_views },
            1 => TriggerKind::CartAbandoned { after },
            2 => TriggerKind::CheckoutAbandoned { after },
            3 => TriggerKind::FirstOrder { after },
            4 => TriggerKind::Order { after },
            5 => TriggerKind::RepurchaseDue { after: more.map(|_| after) },
            6 => TriggerKind::WinBack {
                after,
                until: more.map(|more| Delay::seconds(after.as_seconds() + more.as_seconds())),
            },
            7 => TriggerKind::SegmentEntered { segment: segment.to_owned(), after },
            8 => TriggerKind::Date {
                field: ["birthday", "first_order"][min_visits as usize % 2].to_owned(),
                offset: DayOffset(min_product_views as i32 - 4),
            },
            9 => TriggerKind::Schedule {
                cron: format!("{min_visits} 9 * * {}", min_product_views % 7)
                    .parse()
                    .expect("a cron line"),
            },
            _ => TriggerKind::AtRisk {
                p_alive_below: (min_visits > 0).then(|| f64::from(min_visits) / 10.0),
                value_above: (min_product_views > 0).then(|| f64::from(min_product_views) * 12.5),
            },
        });
    (kind, any_delay()).prop_map(|(kind, useful_for)| Trigger { kind, useful_for })
}

fn any_step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![Just(Delay::ZERO), any_delay()];
    let question = prop_oneof![
        3 => Just(Step::sends("")),
        1 => (any_of(StepEvent::ALL), any_delay(), any_exits()).prop_map(|(event, at_most, (then, otherwise))| Step {
            wait_until: Some(event), at_most: Some(at_most), then, otherwise, ..Step::sends("")
        }),
        1 => (any_condition(), any_exits()).prop_map(|(condition, (then, otherwise))| Step {
            only_if: Some(condition), then, otherwise, ..Step::sends("")
        }),
    ];
    let variants = option::of((any_line(), 1..9u32)).prop_map(|told| {
        let variant = |name: &str, weight, subject: Option<String>| Variant {
            name: name.to_owned(),
            weight,
            template: None,
            subject,
            coupon: None,
        };
        told.map_or_else(Vec::new, |(subject, weight)| {
            vec![variant("a", 1, None), variant("b", weight, Some(subject))]
        })
    });
    let send_at = option::of(
        (0..24i8, 0..60i8).prop_map(|(h, m)| format!("{h:02}:{m:02}").parse().expect("a time")),
    );
    (wait, 0..5usize, option::of(any_line()), option::of(any_line()), question, variants, send_at)
        .prop_map(|(wait, template, subject, coupon, question, variants, send_at)| Step {
            wait: if question.at_most.is_some() { Delay::ZERO } else { wait },
            template: templates()[template].clone(),
            subject,
            coupon,
            variants,
            send_at,
            ..question
        })
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    vec(any_step(), 1..4).prop_map(|mut steps| {
        // Before the first mail there is nothing to click.
        if steps[0].wait_until == Some(StepEvent::Click) {
            steps[0].wait_until = Some(StepEvent::Visit);
        }
        steps
    })
}

fn any_exits() -> impl Strategy<Value = (Exit, Otherwise)> {
    let words = |template: usize, subject| {
        Otherwise::Send(Wording { template: templates()[template].clone(), subject, coupon: None })
    };
    prop_oneof![
        any_of(&[Exit::Skip, Exit::End]).prop_map(|no| (Exit::Send, Otherwise::Go(no))),
        (any_of(Exit::ALL), 0..5usize, option::of(any_line()))
            .prop_map(move |(yes, template, subject)| (yes, words(template, subject))),
    ]
}

pub fn any_rule() -> impl Strategy<Value = Rule> {
    let told =
        ("[a-z0-9][a-z0-9_-]{0,20}", any_line(), any_of(Class::ALL), any_of(RuleStatus::ALL));
    let limits = (0..=100u8, any_share(), option::of(any_delay()), option::of(any_delay()));
    let stop_on = proptest::sample::subsequence(vec![StopOn::Order, StopOn::Visit], 0..=2);
    let tests = vec(any_test(), 0..2);
    let work = (any_trigger(), option::of(any_condition()), any_steps(), tests);
    (told, limits, stop_on, work).prop_map(|(told, limits, stop_on, work)| Rule {
        key: format!("{}-", told.0),
        name: told.1,
        class: told.2,
        status: told.3,
        priority: limits.0,
        holdout: limits.1,
        at_most_every: limits.2,
        include_past: limits.3,
        stop_on,
        trigger: work.0,
        audience: work.1,
        steps: work.2,
        tests: work.3,
    })
}

/// As it is kept: its words in the order in which they are printed.
fn any_test() -> impl Strategy<Value = serde_json::Value> {
    let facts = vec(any_line(), 0..3).prop_map(|products| -> Vec<serde_json::Value> {
        let viewed = |product| {
            serde_json::json!({"kind": "product_viewed", "at": "2026-05-01T10:00", "product": product})
        };
        products.into_iter().map(viewed).collect()
    });
    (any_line(), facts, 1..6i64, any::<bool>()).prop_map(|(name, facts, r, suppressed)| {
        serde_json::json!({
            "name": name,
            "at": "2026-06-01T15:00:00Z",
            "customer": {"r": r, "suppressed": suppressed, "p_alive": 0.25},
            "facts": facts,
            "expect": {"outcome": "sent"},
        })
    })
}

fn any_sending() -> impl Strategy<Value = Sending> {
    let time = || (0..24i8, 0..60i8).prop_map(|(h, m)| jiff::civil::Time::constant(h, m, 0, 0));
    let quiet_hours = (time(), time())
        .prop_filter("not empty", |(from, until)| from != until)
        .prop_map(|(from, until)| QuietHours { from, until });
    let cap = (1..99u32, any_delay()).prop_map(|(messages, within)| Cap { messages, within });
    let policies = (any_of(ConsentMode::ALL), any_of(InDoubtPolicy::ALL));
    (
        option::of(quiet_hours),
        option::of(cap),
        option::of(any_delay()),
        policies,
        1..=10_000u32,
        any_share(),
        (
            option::of(1..1_000_000u32),
            option::of(any_delay()),
            any::<bool>(),
            any::<bool>(),
            option::of(any_dkim()),
        ),
    )
        .prop_map(
            |(quiet_hours, cap, min_gap, (consent, in_doubt), per_second, holdout, more)| {
                let (daily_budget, feed_max_age, track_clicks, track_opens, dkim) = more;
                Sending {
                    quiet_hours,
                    cap,
                    min_gap,
                    consent,
                    rate: Rate { per_second },
                    in_doubt,
                    holdout,
                    daily_budget,
                    feed_max_age,
                    track_clicks,
                    track_opens,
                    dkim,
                }
            },
        )
}

fn any_dkim() -> impl Strategy<Value = Dkim> {
    let name = "[a-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,2}";
    (name, name, any_line()).prop_map(|(domain, selector, key_file)| Dkim {
        domain: domain.parse().expect("a domain"),
        selector: selector.parse().expect("a selector"),
        key_file,
    })
}

fn any_details() -> impl Strategy<Value = Details> {
    let zone = any_of(&["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York"]);
    let currency = any_of(&["CNY", "EUR", "JPY", "KWD"]);
    let locale = any_of(&["en", "zh-CN", "de", "zh-Hant-TW"]);
    let from = any_line().prop_filter("no brackets", |name| !name.contains(['<', '>']));
    (any_line(), zone, currency, locale, from, any::<bool>(), any_line()).prop_map(
        |(name, zone, currency, locale, from, replies, postal_address)| Details {
            name,
            timezone: zone.parse().expect("a zone"),
            currency: currency.parse().expect("a currency"),
            locale: locale.to_owned(),
            from: format!("\"{}\" <a@b.example>", from.replace('\\', "\\\\").replace('"', "\\\""))
                .parse()
                .expect("a sender"),
            reply_to: replies.then(|| "care@b.example".parse().expect("an address")),
            postal_address,
        },
    )
}

pub fn any_document() -> impl Strategy<Value = ShopDocument> {
    (any_details(), any_sending(), any_delay(), vec(any_rule(), 0..4)).prop_map(
        |(store, sending, risk_horizon, mut rules)| {
            for (n, rule) in rules.iter_mut().enumerate() {
                rule.key.push_str(&n.to_string());
            }
            let kept = (risk_horizon >= Retention::LEAST).then_some(risk_horizon);
            let retention = Retention { decisions: kept, messages: None, clicks: kept };
            ShopDocument { store, sending, scoring: Scoring { risk_horizon }, retention, rules }
        },
    )
}
