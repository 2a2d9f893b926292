use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::rules::samples::any_condition;

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn days_ago(days: i64) -> Option<Timestamp> {
    Some(Timestamp(now().0 - days * 86_400_000_000))
}

/// A buyer of whom most is known, but no prediction.
fn ann() -> Subject {
    Subject {
        orders_count: Some(4),
        foreign_orders: Some(1),
        order_days: Some(3),
        spent: Some(59_97),
        first_order_at: days_ago(100),
        last_order_at: days_ago(20),
        visits_count: Some(9),
        cart_value: Some(19_99),
        segment: Some("at_risk".into()),
        r: Some(2),
        city: Some("Hangzhou".into()),
        locale: Some("zh_CN".into()),
        tags: vec!["VIP".into(), "tea".into()],
        has_email: true,
        consent: Some("granted".into()),
        ..Subject::unknown(&"CNY".parse().unwrap())
    }
}

fn read(json: serde_json::Value) -> Condition {
    serde_json::from_value(json.clone()).unwrap_or_else(|e| panic!("{json}: {e}"))
}

fn asked(field: &str, op: &str, value: serde_json::Value) -> bool {
    read(json!({ "field": field, "op": op, "value": value })).holds(&ann(), now())
}

#[test]
fn comparisons_mean_what_they_say() {
    for (field, op, value) in [
        ("orders_count", "eq", json!(4)),
        ("orders_count", "ne", json!(0)),
        ("orders_count", "in", json!([1, 4])),
        ("orders_count", "not_in", json!([1, 2])),
        ("spent", "eq", json!(59.97)),
        ("spent", "gte", json!(59.97)),
        ("spent", "lt", json!(60)),
        ("average_order_value", "eq", json!(19.99)),
        ("cart_value", "lte", json!(19.99)),
        ("days_since_last_order", "eq", json!(20)),
        ("days_since_first_order", "gt", json!(99.5)),
        ("segment", "in", json!(["at_risk", "lost"])),
        ("segment", "not_in", json!(["champions"])),
        ("city", "eq", json!("hangzhou")),
        ("city", "contains", json!("ZHOU")),
        ("locale", "eq", json!("zh-CN")),
        ("tags", "contains", json!("vip")),
        ("has_email", "eq", json!(true)),
        ("has_email", "ne", json!(false)),
        ("consent", "eq", json!("granted")),
    ] {
        assert!(asked(field, op, value.clone()), "{field} {op} {value}");
    }
    for (field, op, value) in [
        ("orders_count", "gt", json!(4)),
        ("spent", "gt", json!(59.97)),
        ("average_order_value", "gt", json!(19.99)),
        ("segment", "eq", json!("lost")),
        ("tags", "contains", json!("vi")),
        ("tags", "contains", json!("coffee")),
        ("has_email", "eq", json!(false)),
    ] {
        assert!(!asked(field, op, value.clone()), "{field} {op} {value}");
    }
}

#[test]
fn what_is_unknown_answers_nothing_but_is_set() {
    for (op, value) in [("lt", json!(0.5)), ("gte", json!(0)), ("ne", json!(0.3))] {
        assert!(!asked("p_alive", op, value));
    }
    assert!(!asked("country", "not_in", json!(["CN"])));
    assert!(!asked("p_alive", "is_set", json!(true)));
    assert!(asked("p_alive", "is_set", json!(false)));
    assert!(asked("tags", "is_set", json!(true)));
    let ordered = read(json!({ "field": "days_since_last_order", "op": "is_set" }));
    assert!(ordered.holds(&ann(), now()));
    let nobody = Subject::unknown(&"CNY".parse().unwrap());
    assert!(!read(json!({ "field": "tags", "op": "is_set" })).holds(&nobody, now()));
    assert!(
        !read(json!({ "field": "average_order_value", "op": "gte", "value": 0 }))
            .holds(&nobody, now())
    );
}

#[test]
fn nesting_follows_logic() {
    let yes = json!({ "field": "orders_count", "op": "eq", "value": 4 });
    let no = json!({ "field": "orders_count", "op": "eq", "value": 0 });
    let holds = |json| read(json).holds(&ann(), now());
    assert!(holds(json!({ "all": [yes, { "not": no }] })));
    assert!(!holds(json!({ "all": [yes, no] })));
    assert!(holds(json!({ "any": [no, yes] })));
    assert!(!holds(json!({ "not": { "any": [no, yes] } })));
}

#[test]
fn money_is_asked_in_the_decimals_of_its_currency() {
    for (code, minor) in [("JPY", 1_500), ("CNY", 150_000), ("KWD", 1_500_000)] {
        let subject = Subject { spent: Some(minor), ..Subject::unknown(&code.parse().unwrap()) };
        assert!(
            read(json!({ "field": "spent", "op": "eq", "value": 1500 })).holds(&subject, now())
        );
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for (json, said) in [
        (
            json!({ "field": "spend", "op": "gt", "value": 1 }),
            "`spend` is not one of: orders_count",
        ),
        (json!({ "field": "spent", "op": "above", "value": 1 }), "`above` is not one of: eq, ne"),
        (json!({ "field": "spent", "op": "in", "value": [1] }), "allowed: eq, ne, lt"),
        (
            json!({ "field": "spent", "op": "gt", "value": "100" }),
            "compared with `100`, but must be a number of at least 0",
        ),
        (json!({ "field": "spent", "op": "gt", "value": -1 }), "number of at least 0"),
        (json!({ "field": "spent", "op": "gt" }), "has no `value`"),
        (json!({ "field": "spent", "op": "gt", "value": null }), "compared with `null`"),
        (json!({ "field": "orders_count", "op": "eq", "value": 1.5 }), "a whole number"),
        (json!({ "field": "r", "op": "eq", "value": 6 }), "a whole number from 1 to 5"),
        (json!({ "field": "segment", "op": "eq", "value": "vip" }), "one of: champions"),
        (json!({ "field": "segment", "op": "in", "value": "lost" }), "compared with a list here"),
        (json!({ "field": "segment", "op": "in", "value": [] }), "1 to 1000 values"),
        (json!({ "field": "segment", "op": "in", "value": ["lost", 3] }), "compared with `3`"),
        (json!({ "field": "city", "op": "eq", "value": " " }), "one line of text"),
        (json!({ "field": "city", "op": "is_set", "value": 1 }), "true or false"),
        (json!({ "field": "has_email", "op": "eq", "value": "yes" }), "true or false"),
        (json!({ "all": [], "any": [] }), "unknown key `any`"),
        (json!({ "not": [] }), "must be a table, not a list"),
        (json!({}), "is empty"),
        (json!("x"), "must be a table"),
    ] {
        let error =
            serde_json::from_value::<Condition>(json.clone()).expect_err("refused").to_string();
        assert!(error.contains(said), "{json}\n{error}\n{said}");
    }
}

#[test]
fn the_ledger_gets_the_facts_that_were_asked() {
    let condition = read(json!({ "any": [
        { "field": "p_alive", "op": "lt", "value": 0.5 },
        { "field": "spent", "op": "gte", "value": 50 },
        { "field": "spent", "op": "lt", "value": 99 },
    ] }));
    let facts = serde_json::Value::Object(condition.facts(&ann(), now()));
    assert_eq!(facts, json!({ "spent": 59.97, "p_alive": null }));
    assert_eq!(condition.to_string(), "p_alive < 0.5 or spent ≥ 50 or spent < 99");
}

proptest! {
    #[test]
    fn a_condition_reads_back_as_it_is_stored(condition in any_condition()) {
        let json = serde_json::to_string(&condition).unwrap();
        prop_assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), condition);
    }

    #[test]
    fn not_is_the_opposite_and_all_is_no_more_than_any(condition in any_condition(), other in any_condition()) {
        let asked = |condition: &Condition| condition.holds(&ann(), now());
        prop_assert_ne!(asked(&condition), asked(&Condition::Not(Box::new(condition.clone()))));
        let both = vec![condition, other];
        prop_assert!(!asked(&Condition::All(both.clone())) || asked(&Condition::Any(both)));
    }

    #[test]
    fn of_nobody_known_no_comparison_holds(condition in any_condition()) {
        let nobody = Subject::unknown(&"CNY".parse().unwrap());
        if let Condition::Is(comparison) = &condition
            && comparison.op != Op::IsSet && comparison.field.ops() != Field::HasEmail.ops()
        {
            prop_assert!(!condition.holds(&nobody, now()));
        }
    }
}
