//! Runs one `[[rule.test]]`: the made-up customer lives by the engine that plans and sends. Pure.

use std::collections::HashMap;

use super::Contest;
use super::ledger::Event;
use super::life::{self, History};
use super::world::World;
use crate::customers::{ConsentTold, Traits};
use crate::identity::{Identifiers, Identity};
use crate::journal::fold::{Fact, Frame};
use crate::journal::{Body, Context, Payload, Source};
use crate::ledger::{Outcome, Reason};
use crate::planner::why;
use crate::primitives::{CustomerId, Delay, EmailAddress, FactId, StoreId, Timestamp};
use crate::rules::{MadeUp, RuleTest, ShopDocument, Words};
use crate::scoring::assess::Scored;
use crate::scoring::forecast::Forecast;
use crate::scoring::{Kind, Rfm};
use crate::secret::Secret;
use crate::situation::store::folded::ScoreThen;
use crate::stores::{Scoring, Sending, Store};

/// What came of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    pub passed: bool,
    /// What was decided, in the ledger's words.
    pub came: Vec<String>,
}

/// Reads with the words that a test may expect: those of the ledger.
pub fn with_words<T>(read: impl FnOnce(Words) -> T) -> T {
    let outcomes: Vec<&str> = Outcome::ALL.iter().map(|word| word.as_str()).collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|word| word.as_str()).collect();
    read(Words { outcomes: &outcomes, reasons: &reasons })
}

const SOMEBODY: CustomerId = CustomerId(1);

/// The rule's last decision until the test's time, or for what no decision was made about the reason why, must be the
/// expected one. Of several made at once, one: who enters may be sent the first mail at the same instant.
///
/// Holdouts are set aside, or nobody could tell who gets mail; a test that expects one finds everybody held out.
///
/// The document must hold the rule: tests are read with it.
pub fn judge(document: &ShopDocument, test: &RuleTest) -> Tested {
    let mut document = document.clone();
    document.sending.holdout = 0.0;
    let holds_out = test.outcome == Outcome::HeldOut.as_str();
    for rule in &mut document.rules {
        rule.holdout = if holds_out && rule.key == test.rule { 1.0 } else { 0.0 };
    }
    let Some(contest) = Contest::of_document(&blank_store(), &document, &test.rule) else {
        return Tested { passed: false, came: vec!["no such rule".to_owned()] };
    };
    let store = &contest.store;
    let first = test.facts.iter().map(|(at, _)| *at).min().map_or(test.at, |at| at.min(test.at));
    // Everything went live long enough before for all that is told to count.
    let from = first.minus(Delay::days(1));
    let frame = Frame { zone: store.timezone.clone(), currency: store.currency.clone() };
    let (rules, tested) = (contest.rules_from(from), contest.tested());
    let listed = test.customer.email.as_ref().filter(|_| test.customer.suppressed);
    let suppressions: HashMap<String, Timestamp> =
        listed.map(|email| (email.identity_key(), from)).into_iter().collect();
    let secret = Secret::new("of the tests of rules alone");
    let to = Timestamp(test.at.0 + 1);
    let mut world = World::new(store, &frame, &rules, tested, &secret, from, to);
    world.suppressions = Some(&suppressions);
    let history = History {
        customer: SOMEBODY,
        external_id: Some(test.customer.external_id.clone()),
        facts: facts(test, from.minus(Delay::seconds(1))),
        arms: Vec::new(),
    };
    let score = test.customer.is_scored().then(|| score(test, from));
    let stays = test.customer.at_risk_since.map(|since| (rules[tested].id, since));
    let (lived, situation) = life::live_to_the_end(&world, history, score, stays);
    let is_silent = |e: &&Event| e.rule == tested;
    let last = lived.events.iter().filter(is_silent).map(|event| event.at).max();
    let mut came: Vec<(Outcome, Option<Reason>)> = lived
        .events
        .iter()
        .filter(|event| event.rule == tested && Some(event.at) == last)
        .map(|event| (event.outcome, event.reason))
        .collect();
    let own = [rules[tested].clone()];
    let silent = why::unrecorded(&own, &situation, |_| last.is_some(), test.at);
    came.extend(silent.into_iter().map(|line| (line.outcome, line.reason)));
    let fits = |(outcome, reason): &(Outcome, Option<Reason>)| {
        let reason = reason.map(Reason::as_str);
        outcome.as_str() == test.outcome
            && test.reason.as_deref().is_none_or(|wanted| Some(wanted) == reason)
    };
    Tested {
        passed: came.iter().any(fits),
        came: came
            .iter()
            .map(|(outcome, reason)| match reason {
                Some(reason) => format!("{outcome} ({reason})"),
                None => outcome.to_string(),
            })
            .collect(),
    }
}

fn blank_store() -> Store {
    Store {
        id: StoreId(1),
        key: "default".to_owned(),
        name: String::new(),
        timezone: crate::primitives::Zone::utc(),
        currency: "EUR".parse().expect("EUR is a currency"),
        locale: "en".to_owned(),
        mail_from: None,
        reply_to: None,
        postal_address: None,
        sending: Sending::default(),
        scoring: Scoring::default(),
        retention: Default::default(),
        pause: None,
        resumed_at: None,
    }
}

/// Who they are, told before everything else; then what happened.
fn facts(test: &RuleTest, before: Timestamp) -> Vec<Fact> {
    let MadeUp { external_id, email, consent, traits, .. } = &test.customer;
    let consent = consent.map(|granted| ConsentTold { granted, at: Some(before), channel: None });
    let traits = Box::new(Traits { consent, ..traits.clone() });
    let told = std::iter::once((before, Body::Identified { traits }));
    told.chain(test.facts.iter().cloned())
        .enumerate()
        .map(|(n, (at, body))| fact(n, at, body, external_id, email.as_ref()))
        .collect()
}

fn fact(
    n: usize,
    at: Timestamp,
    body: Body,
    external_id: &str,
    email: Option<&EmailAddress>,
) -> Fact {
    Fact {
        id: FactId(n as i64 + 1),
        customer: SOMEBODY,
        source: Source::Tracking,
        source_key: format!("{n:04}"),
        subject: Identity::external(external_id),
        occurred_at: at,
        received_at: at,
        live: true,
        payload: Payload {
            identifiers: Identifiers {
                external_id: Some(external_id.to_owned()),
                email: email.cloned(),
                ..Identifiers::default()
            },
            context: Context::default(),
            body,
        },
    }
}

/// What scoring would have said, as far as the test says it; the middle fifth elsewhere.
fn score(test: &RuleTest, from: Timestamp) -> ScoreThen {
    let MadeUp { segment, segment_since, r, f, m, .. } = test.customer;
    let MadeUp { p_alive, expected_orders_90d, value_at_risk, .. } = test.customer;
    let expected_at = test.customer.expected_at;
    let is_told = p_alive.is_some()
        || expected_orders_90d.is_some()
        || value_at_risk.is_some()
        || expected_at.is_some();
    // What is expected holds of one order: the last before it. A later one overtakes it.
    let is_order = |body: &Body| matches!(body, Body::OrderStated(_));
    let last_order = |until| {
        let orders = test.facts.iter().filter(|(at, body)| *at <= until && is_order(body));
        orders.map(|(at, _)| *at).max()
    };
    let forecast = Forecast {
        p_alive: p_alive.unwrap_or(1.0),
        p_order_30d: 0.0,
        p_order_90d: 0.0,
        expected_orders_30d: 0.0,
        expected_orders_90d: expected_orders_90d.unwrap_or(0.0),
        expected_orders_365d: 0.0,
        order_value: 0,
        value_at_risk: value_at_risk.unwrap_or(0),
        value_at_risk_week_ago: None,
        next_order_from: None,
        next_order_until: None,
        next_order_expected_at: expected_at,
    };
    ScoreThen {
        segment_since: segment_since.unwrap_or(from),
        scored: Scored {
            customer_id: SOMEBODY,
            kind: Kind::Buyer,
            rfm: Rfm { r: r.unwrap_or(3), f: f.unwrap_or(3), m: m.unwrap_or(3) },
            segment: segment.unwrap_or("need_attention"),
            frequency: 0,
            spent: 0,
            orders_count: 0,
            last_order_at: expected_at.and_then(last_order),
            usual_gap_days: None,
            forecast: is_told.then_some(forecast),
            p_first_order_30d: None,
            risk_rank: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[sending]
holdout = 0.5

[[rule]]
key = "browse"
holdout = 0.2
trigger = { kind = "visited_without_buying", after = "4h", min_product_views = 1 }
audience = { all = [ { field = "orders_count", op = "eq", value = 0 } ] }
[[rule.step]]
template = "browse-reminder"
TESTS

[[rule]]
key = "rescue"
trigger = { kind = "segment_entered", segment = "at_risk" }
[[rule.step]]
template = "win-back"
[[rule.test]]
at = "2026-06-01T12:00"
customer = { segment = "at_risk", segment_since = "2026-06-01T11:00" }
expect = { outcome = "enrolled" }
"#;

    fn tested(tests: &str) -> Result<Vec<Tested>, String> {
        let outcomes: Vec<&str> = Outcome::ALL.iter().map(|word| word.as_str()).collect();
        let reasons: Vec<&str> = Reason::ALL.iter().map(|word| word.as_str()).collect();
        let words = Words { outcomes: &outcomes, reasons: &reasons };
        let templates = ["browse-reminder".to_owned(), "win-back".to_owned()];
        let text = SHOP.replace("TESTS", tests);
        let (document, tests) =
            ShopDocument::parse_with_tests("shop.toml", &text, &templates, words)
                .map_err(|errors| errors.to_string())?;
        Ok(tests.iter().map(|test| judge(&document, test)).collect())
    }

    /// What came of one test, and whether that was expected.
    fn one(body: &str) -> (bool, String) {
        let all = tested(&format!("[[rule.test]]\n{body}\n")).unwrap_or_else(|e| panic!("{e}"));
        assert!(all[1].passed, "of the other rule: {:?}", all[1].came);
        (all[0].passed, all[0].came.join(" + "))
    }

    /// The rule `rescue` with another trigger, and a test of it.
    fn of(trigger: &str, at: &str, customer: &str, facts: &str) -> String {
        let text = SHOP
            .replace("TESTS", "")
            .replace("kind = \"segment_entered\", segment = \"at_risk\"", trigger)
            .replace("at = \"2026-06-01T12:00\"", &format!("at = \"{at}\"\nfacts = [{facts}]"))
            .replace("segment = \"at_risk\", segment_since = \"2026-06-01T11:00\"", customer);
        let templates = ["browse-reminder".to_owned(), "win-back".to_owned()];
        let (document, tests) = with_words(|words| {
            ShopDocument::parse_with_tests("shop.toml", &text, &templates, words)
        })
        .unwrap_or_else(|e| panic!("{e}"));
        judge(&document, &tests[0]).came.join(" + ")
    }

    #[test]
    fn every_kind_of_trigger_can_be_tested() {
        let order = "{ kind = \"order_stated\", at = \"2026-05-01T10:00\", total = \"98.00\" }";
        let cart = "{ kind = \"cart_changed\", at = \"2026-06-01T10:00\" }";
        let checkout = "{ kind = \"checkout_started\", at = \"2026-06-01T10:00\" }";
        let entered = "enrolled + sent";
        for (trigger, at, customer, facts) in [
            ("kind = \"visited_without_buying\", after = \"2h\"", "2026-06-01T12:00", "", SEEN),
            ("kind = \"cart_abandoned\", after = \"2h\"", "2026-06-01T12:00", "", cart),
            ("kind = \"checkout_abandoned\", after = \"2h\"", "2026-06-01T12:00", "", checkout),
            ("kind = \"first_order\", after = \"2h\"", "2026-05-01T12:00", "", order),
            ("kind = \"order\", after = \"2h\"", "2026-05-01T12:00", "", order),
            ("kind = \"repurchase_due\", after = \"30d\"", "2026-05-31T10:00", "", order),
            (
                "kind = \"repurchase_due\"",
                "2026-06-01T12:00",
                "expected_at = \"2026-06-01T12:00\"",
                order,
            ),
            ("kind = \"win_back\", after = \"30d\"", "2026-05-31T10:00", "", order),
            (
                "kind = \"at_risk\", p_alive_below = 0.4",
                "2026-06-01T12:00",
                "at_risk_since = \"2026-06-01T12:00\", p_alive = 0.3",
                order,
            ),
            (
                "kind = \"segment_entered\", segment = \"lost\"",
                "2026-06-01T12:00",
                "segment = \"lost\", segment_since = \"2026-06-01T12:00\"",
                order,
            ),
            (
                "kind = \"date\", field = \"birthday\"",
                "2026-06-01T10:00",
                "traits = { birthday = \"1990-06-01\" }",
                "",
            ),
            ("kind = \"schedule\", cron = \"0 10 1 6 *\"", "2026-06-01T10:00", "", ""),
        ] {
            let came = of(trigger, at, customer, facts);
            // A day begins at night: the mail waits for the morning, and then the morning is what is told.
            let fits = came == entered || (trigger.contains("date") && came == "sent");
            assert!(fits, "{trigger}: {came}");
        }
        let overtaken = format!("{order}, {}", order.replace("05-01", "05-20"));
        let repurchase = "kind = \"repurchase_due\"";
        let expected = "expected_at = \"2026-05-15T12:00\"";
        assert_eq!(
            of(repurchase, "2026-06-01T12:00", expected, &overtaken),
            entered,
            "it left before"
        );
        let late = "expected_at = \"2026-06-01T12:00\"";
        assert_eq!(of(repurchase, "2026-06-01T11:59", late, order), "not_eligible (not_due_yet)");
        let safe = of("kind = \"at_risk\"", "2026-06-01T12:00", "p_alive = 0.9", order);
        assert_eq!(safe, "not_eligible (nothing_happened)");
    }

    const SEEN: &str = "{ kind = \"product_viewed\", at = \"2026-06-01T10:00\" }";

    #[test]
    fn a_made_up_customer_lives_by_the_engine() {
        let at = |at: &str, more: &str, facts: &str, expect: &str| {
            one(&format!("at = \"{at}\"\n{more}\nfacts = [{facts}]\nexpect = {{ {expect} }}"))
        };
        let entered = "enrolled + sent";
        assert_eq!(at("2026-06-01T14:00", "", SEEN, "outcome = \"sent\""), (true, entered.into()));
        assert_eq!(
            at("2026-06-01T14:00", "", SEEN, "outcome = \"enrolled\""),
            (true, entered.into())
        );
        assert_eq!(
            at("2026-06-01T13:59", "", SEEN, "outcome = \"enrolled\""),
            (false, "not_eligible (not_due_yet)".into())
        );
        let bought = format!("{SEEN}, {{ kind = \"order_stated\", at = \"2026-06-01T11:00\" }}");
        let wanted = "outcome = \"not_eligible\", reason = \"bought\"";
        assert!(at("2026-06-01T15:00", "", &bought, wanted).0);
        let refused = "customer = { consent = \"withdrawn\" }";
        assert_eq!(
            at(
                "2026-06-01T14:00",
                refused,
                SEEN,
                "outcome = \"suppressed\", reason = \"no_consent\""
            ),
            (true, "suppressed (no_consent)".into())
        );
        let unreachable = "customer = { email = \"\" }";
        assert_eq!(
            at("2026-06-01T14:00", unreachable, SEEN, "outcome = \"sent\""),
            (false, "suppressed (no_address)".into())
        );
        let listed = "customer = { suppressed = true }";
        assert!(
            at(
                "2026-06-01T14:00",
                listed,
                SEEN,
                "outcome = \"suppressed\", reason = \"suppressed\""
            )
            .0
        );
        assert!(at("2026-06-01T14:00", "", SEEN, "outcome = \"held_out\"").0);
        // 18:00 and four hours: night in Shanghai, noon in New York.
        let evening = SEEN.replace("10:00", "18:00");
        assert!(
            at(
                "2026-06-01T22:00",
                "",
                &evening,
                "outcome = \"deferred\", reason = \"quiet_hours\""
            )
            .0
        );
        let abroad = "customer = { timezone = \"America/New_York\" }";
        assert!(at("2026-06-01T22:00", abroad, &evening, "outcome = \"sent\"").0);
    }

    #[test]
    fn mistakes_in_tests_are_told_by_line() {
        for (test, said) in [
            (
                "at = \"noon\"\nexpect = { outcome = \"sent\" }",
                "shop.toml:20: `at` in [[rule.test]] of \"browse\" must be a time",
            ),
            (
                "at = \"2026-06-01\"\nexpect = { outcome = \"mailed\" }",
                "shop.toml:21: `outcome` in `expect` in [[rule.test]] of \"browse\" must be one of: enrolled",
            ),
            (
                "at = \"2026-06-01\"",
                "shop.toml:19: [[rule.test]] of \"browse\" has no `expect`, which is required",
            ),
            (
                "at = \"2026-06-01\"\nexpect = { outcome = \"sent\" }\nfacts = [{ kind = \"seen\" }]",
                "shop.toml:22: unknown kind `seen` in fact 1 of [[rule.test]] of \"browse\"; allowed: page_viewed",
            ),
            (
                "at = \"2026-06-01\"\ncustomer = { vip = true }",
                "unknown key `vip` in `customer` in [[rule.test]] of \"browse\"; allowed: external_id",
            ),
        ] {
            let errors = tested(&format!("[[rule.test]]\n{test}\n")).unwrap_err();
            assert!(errors.contains(said), "{errors}\n{said}");
        }
    }
}
