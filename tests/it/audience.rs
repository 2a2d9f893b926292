//! Audiences on both databases: one query says of a whole store what the rules say of each customer.

use homing::customers::Traits;
use homing::db::DbError;
use homing::journal::{Body, CartChange, Context, NewFact, ProductRef};
use homing::primitives::{CustomerId, Delay, Timestamp};
use homing::rules::Condition;
use homing::rules::condition::{Did, Field, Needs, Op};
use homing::situation::{audience, store as situations};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::on_both_backends;
use crate::support::shop::*;

/// Who fits by the query, and who by asking each customer.
fn both(shop: &Shop, condition: &Condition, now: Timestamp) -> (Vec<CustomerId>, Vec<CustomerId>) {
    let store = shop.store();
    let asked = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
        let all = audience::members(conn, &store, None, now, CustomerId(0), 10_000)?;
        let found = audience::members(conn, &store, Some(condition), now, CustomerId(0), 10_000)?;
        let n = audience::count(conn, &store, Some(condition), now)?;
        assert_eq!(n, found.len() as i64, "{condition}");
        let needs = Needs::of([condition]);
        let known = situations::load_for(conn, &store, &all, &needs, now)?;
        let fits = known.iter().filter(|s| condition.holds(&s.subject, now));
        Ok((found, fits.map(|s| s.customer).collect()))
    };
    shop.test.db.read_here(asked).unwrap()
}

fn told(mut fact: NewFact, change: impl FnOnce(&mut NewFact)) -> NewFact {
    change(&mut fact);
    fact
}

fn product(id: &str) -> ProductRef {
    let category = if id.ends_with('w') { "Ware" } else { "Green_Tea" };
    ProductRef {
        id: id.into(),
        category: Some(category.into()),
        price: Some(19_99),
        ..ProductRef::default()
    }
}

/// Forty people with histories that differ in everything that can be asked about.
fn people(noon: Timestamp) -> Vec<NewFact> {
    let mut facts = Vec::new();
    for n in 0..40_i64 {
        let who = format!("p{n}");
        let day = |days: i64| noon.minus(Delay::hours(days * 24 + n));
        let mut other = serde_json::Map::new();
        match n % 5 {
            0 => drop(other.insert("plan".into(), json!("Gold"))),
            1 => drop(other.insert("plan".into(), json!(n))),
            2 => drop(other.insert("plan".into(), json!(["gold", "Old", 3]))),
            3 => drop(other.insert("plan".into(), json!(n % 2 == 0))),
            _ => {}
        }
        let traits = Traits {
            country: (n % 3 > 0).then(|| ["CN", "de", "US"][n as usize % 3].to_owned()),
            city: (n % 4 > 0).then(|| ["Berlin", "NEW_york", "München"][n as usize % 3].to_owned()),
            tags: (n % 3 == 0).then(|| vec!["VIP".to_owned(), format!("t{}", n % 4)]),
            phone: (n % 6 == 0).then(|| format!("+4930{n:04}")),
            other,
            ..Traits::default()
        };
        facts.push(told(consents(&who, day(100), n % 4 != 1), |fact| {
            if let Body::Identified { traits: known } = &mut fact.body {
                let consent = known.consent.clone();
                **known = Traits { consent, ..traits };
            }
        }));
        for k in 0..n % 4 {
            facts.push(told(
                views(&who, day(k * 13 + 1), ["longjing", "pu-erh", "gaiwan-w"][k as usize]),
                |fact| {
                    fact.context = Context {
                        channel: (k != 1)
                            .then(|| ["google", "WeChat", "mail"][n as usize % 3].to_owned()),
                        campaign: (n % 2 == 0).then(|| format!("sale_{k}")),
                        bot: n % 7 == 3,
                        ..Context::default()
                    };
                    if let Body::ProductViewed { product: seen, .. } = &mut fact.body {
                        *seen = product(&seen.id);
                    }
                },
            ));
        }
        if n % 3 == 1 {
            facts.push(told(views(&who, day(n % 20), "x"), |fact| {
                fact.body = Body::CartChanged {
                    cart_id: None,
                    change: if n % 2 == 0 { CartChange::Added } else { CartChange::Removed },
                    products: vec![product("longjing"), product("gaiwan-w")],
                    currency: Some("CNY".parse().unwrap()),
                };
            }));
        }
        for k in 0..n % 5 {
            facts.push(told(orders(&who, day(k * 21 + 2), &format!("o{n}-{k}")), |fact| {
                if let Body::OrderStated(order) = &mut fact.body {
                    order.total = 1_000 + n * 37 * k;
                    order.lines =
                        vec![product(["longjing", "pu-erh", "gaiwan-w"][(n + k) as usize % 3])];
                    if k == 3 {
                        order.status = homing::journal::OrderStatus::Cancelled;
                    }
                }
            }));
        }
    }
    facts
}

/// A comparison of any field with values that this shop's customers have, or nearly have.
fn any_leaf() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "CN",
        "DE",
        "us",
        "berlin",
        "new-YORK",
        "münchen",
        "MÜNCHEN",
        "vip",
        "t0",
        "t1",
        "GOOGLE",
        "wechat",
        "sale-0",
        "sale",
        "gold",
        "e",
        "longjing",
        "gaiwan-w",
        "green-tea",
        "Ware",
        "Asia/Shanghai",
    ]);
    let segments = prop::sample::select(homing::rules::condition::SEGMENTS.to_vec());
    let numbers = prop_oneof![
        (0..6i64).prop_map(|n| json!(n)),
        (0..100i64).prop_map(|n| json!(n)),
        (0..1_000_000i64).prop_map(|n| json!(n as f64 / 1e4)),
        prop::sample::select(vec![10.0, 19.99, 20.0, 0.5, 1.0, 2.5]).prop_map(|n| json!(n)),
    ];
    let span = prop::sample::select(vec!["1d", "3d", "20d", "50d", "400d"]);
    let values = (words, segments, numbers, any::<bool>(), span, 1..4u32, 0..4u8);
    let fields = prop::sample::select(Field::ALL);
    (fields, prop::sample::select(Did::ALL), any::<prop::sample::Index>(), values).prop_map(
        |(field, did, pick, (word, segment, number, flag, span, times, form))| {
            let op = field.ops()[pick.index(field.ops().len())];
            let is_number = field.ops().contains(&Op::Lt);
            let value = match field {
                Field::Segment => json!(segment),
                Field::Consent => json!(["none", "granted", "withdrawn"][times as usize % 3]),
                _ if is_number => number.clone(),
                _ if !field.ops().contains(&Op::IsSet) => json!(flag),
                _ => json!(word),
            };
            let value = match op {
                Op::In | Op::NotIn => json!([value]),
                Op::IsSet => json!(flag),
                _ => value,
            };
            match form {
                0 => {
                    let mut asked = json!({ (if flag { "never" } else { "did" }): did });
                    if did != Did::Visited && times > 1 {
                        asked[if pick.index(2) == 0 { "product" } else { "category" }] = json!(word);
                    }
                    if !flag {
                        asked["at_least"] = json!(times);
                    }
                    if pick.index(3) > 0 {
                        asked["within"] = json!(span);
                    }
                    asked
                }
                1 if flag => json!({ "trait": "plan", "op": (["eq", "ne", "gte", "lt"][pick.index(4)]), "value": number }),
                1 if times == 1 => json!({ "trait": "plan", "op": (["eq", "ne", "is_set"][pick.index(3)]), "value": pick.index(2) == 0 }),
                1 => json!({ "trait": "plan", "op": (["eq", "ne", "contains"][pick.index(3)]), "value": word }),
                _ => json!({ "field": field, "op": op, "value": value }),
            }
        },
    )
}

fn any_condition() -> impl Strategy<Value = Value> {
    any_leaf().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({ "all": all })),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|any| json!({ "any": any })),
            inner.prop_map(|not| json!({ "not": not })),
        ]
    })
}

on_both_backends! {
    async fn the_query_and_the_question_agree_on_every_customer(test: TestDb) {
        let shop = Shop::open(&test, &rule("thanks", "kind = \"order\", after = \"1d\"", ""));
        shop.tell_at(test.now, people(test.now));
        homing::scoring::score_store(&test.db, &shop.store(), test.now).unwrap();
        // One who asked to be forgotten, and a browser that turned out to be somebody.
        let gone = shop.customer("p7");
        homing::privacy::erase(&test.db, &test.secret(), &shop.store(), gone, test.now).unwrap();
        let mut runner = TestRunner::deterministic();
        let (mut some, mut asked) = (0, 0);
        while asked < 400 {
            let raw = any_condition().new_tree(&mut runner).unwrap().current();
            // What does not fit its field is refused when it is read.
            let Ok(condition) = serde_json::from_value::<Condition>(raw.clone()) else { continue };
            let (found, fits) = both(&shop, &condition, test.now);
            assert_eq!(found, fits, "{raw}");
            assert!(!found.contains(&gone), "{raw}");
            asked += 1;
            some += usize::from(!found.is_empty() && found.len() < 39);
        }
        assert!(some > 100, "{some} of {asked} tell customers apart");
    }

    async fn who_got_mail_of_a_rule_is_known_to_the_audience(test: TestDb) {
        let thanks = rule("thanks", "kind = \"order\", after = \"1h\"", "");
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &thanks));
        let noon = test.now;
        shop.tell(vec![consents("ann", noon.minus(Delay::days(9)), true), consents("bob", noon.minus(Delay::days(9)), true), orders("ann", noon, "1")]);
        let sent = noon.plus(Delay::hours(2));
        assert_eq!(shop.tick(sent).await.sent, 1);
        let asked = |json: Value, now: Timestamp| {
            let (found, fits) = both(&shop, &serde_json::from_value(json).unwrap(), now);
            assert_eq!(found, fits);
            found
        };
        let (ann, bob) = (shop.customer("ann"), shop.customer("bob"));
        assert_eq!(asked(json!({ "received": "thanks", "within": "14d" }), sent), [ann]);
        assert_eq!(asked(json!({ "received": "thanks", "within": "14d" }), sent.plus(Delay::days(14))), []);
        assert_eq!(asked(json!({ "not": { "received": "thanks" } }), sent), [bob]);
        assert_eq!(asked(json!({ "received": "other" }), sent), []);
    }

    async fn a_rule_asks_what_was_done_when_its_moment_comes(test: TestDb) {
        let more = "audience = { all = [ { did = \"viewed\", product = \"longjing\", at_least = 2, within = \"7d\" }, { never = \"bought\" } ] }";
        let shop = Shop::open(&test, &rule("browse", "kind = \"visited_without_buying\", after = \"4h\"", more));
        let noon = test.now;
        for (who, seen) in [("ann", 2), ("bob", 1)] {
            let mut facts = vec![consents(who, noon.minus(Delay::days(30)), true)];
            facts.extend((0..seen).map(|n| views(who, noon.plus(Delay::seconds(n * 60)), "longjing")));
            shop.tell(facts);
        }
        shop.plan(noon.plus(Delay::hours(5)));
        assert_eq!(shop.ledger("ann"), ["browse enrolled"]);
        assert_eq!(shop.ledger("bob"), ["browse not_eligible/audience"]);
    }
}
