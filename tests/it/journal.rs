//! The journal: a fact counts once, and its order of arrival is nothing (design: invariants 1, 2, 3, 10).

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use homing::customers::{ConsentTold, Profile, Rollup, Traits};
use homing::db::schema::{identities, stores};
use homing::db::{Conn, Db, DbError};
use homing::identity::{self, Identifiers, Identity};
use homing::journal::{
    Appended, Body, CartChange, Context, Journal, NewFact, OrderStated, OrderStatus, ProductRef,
    Source, rebuild,
};
use homing::orders::store::Log;
use homing::primitives::{CustomerId, StoreId, Timestamp};
use homing::{customers, orders, privacy, stores as stores_room, visits};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::on_both_backends;
use crate::support::TestDb;

fn start(test: &TestDb) -> Journal {
    Journal::start(test.db.clone(), test.secret(), test.clock()).0
}

const DEFAULT: StoreId = StoreId(1);

/// Seconds after a fixed morning.
fn at(seconds: i64) -> Timestamp {
    Timestamp(1_780_000_000_000_000 + seconds * 1_000_000)
}

fn who(anonymous: Option<&str>, external: Option<&str>, email: Option<&str>) -> Identifiers {
    Identifiers {
        anonymous_id: anonymous.map(Into::into),
        external_id: external.map(Into::into),
        email: email.map(|e| e.parse().unwrap()),
        phone: None,
    }
}

fn fact(key: &str, seconds: i64, identifiers: Identifiers, body: Body) -> NewFact {
    NewFact {
        source: Source::Tracking,
        source_key: key.to_owned(),
        occurred_at: at(seconds),
        live: true,
        identifiers,
        body,
        context: Context::default(),
    }
}

fn page() -> Body {
    Body::PageViewed { title: None, referrer: None }
}

fn product(id: &str) -> ProductRef {
    ProductRef {
        id: id.to_owned(),
        price: Some(1_000),
        quantity: Some(1.0),
        ..ProductRef::default()
    }
}

fn viewed(id: &str) -> Body {
    Body::ProductViewed { product: product(id), currency: None }
}

fn cart(id: &str, change: CartChange) -> Body {
    Body::CartChanged { cart_id: None, change, products: vec![product(id)], currency: None }
}

fn order(order_id: &str, status: OrderStatus, total: i64) -> Body {
    Body::OrderStated(OrderStated {
        order_id: order_id.to_owned(),
        status,
        placed_at: None,
        total,
        currency: "EUR".parse().unwrap(),
        refunded: None,
        coupon: None,
        channel: None,
        lines: vec![product("p1")],
    })
}

fn refund(order_id: &str, amount: Option<i64>) -> Body {
    Body::OrderRefunded { order_id: order_id.to_owned(), amount }
}

fn consent(granted: bool, seconds: Option<i64>) -> Body {
    let told = ConsentTold { granted, at: seconds.map(at), channel: None };
    Body::Identified { traits: Box::new(Traits { consent: Some(told), ..Traits::default() }) }
}

fn customer_of(db: &Db, store: StoreId, argument: &str) -> Option<customers::store::Stored> {
    db.read_here(|conn| {
        let id = identity::store::find_customer(conn, store, argument)?;
        let found = id.map(|id| customers::store::load(conn, &[id])).transpose()?;
        Ok::<_, DbError>(found.and_then(|mut all| all.pop()))
    })
    .unwrap()
}

fn differences(db: &Db, store: StoreId) -> Vec<rebuild::Difference> {
    let store =
        db.read_here(|conn| stores_room::store::find(conn, store).map_err(DbError::from)).unwrap();
    rebuild::check(db, &store, |_| {}).unwrap()
}

on_both_backends! {
    async fn a_fact_counts_once(test: TestDb) {
        let journal = start(&test);
        let view = fact("m1", 0, who(Some("a"), None, None), page());
        let first = journal.append(DEFAULT, vec![view.clone(), view.clone()]).await.unwrap();
        assert!(matches!(first[..], [Appended::New { .. }, Appended::Repeated]), "{first:?}");
        assert_eq!(journal.append(DEFAULT, vec![view]).await.unwrap(), [Appended::Repeated]);
        assert_eq!(customer_of(&test.db, DEFAULT, "anon:a").unwrap().rollup.page_views, 1);
    }

    async fn what_is_acknowledged_is_durable(test: TestDb) {
        let journal = start(&test);
        journal.append(DEFAULT, vec![fact("m1", 0, who(Some("a"), None, None), page())]).await.unwrap();
        let other = Db::open(test.url.parse().unwrap()).unwrap();
        assert!(customer_of(&other, DEFAULT, "anon:a").is_some());
    }

    async fn a_visitor_who_signs_in_brings_the_visits_along(test: TestDb) {
        let journal = start(&test);
        let visitor = || who(Some("a"), None, None);
        let before = vec![
            fact("m1", 0, visitor(), viewed("p1")),
            fact("m2", 60, visitor(), cart("p1", CartChange::Added)),
            fact("m3", 9_000, visitor(), page()),
        ];
        let outcomes = journal.append(DEFAULT, before).await.unwrap();
        let Appended::New { customer: anonymous, .. } = outcomes[0] else { panic!("{outcomes:?}") };
        let signed_in = fact("m4", 9_100, who(Some("a"), Some("7"), Some("Ann@Shop.example")), consent(true, None));
        journal.append(DEFAULT, vec![signed_in]).await.unwrap();

        let known = customer_of(&test.db, DEFAULT, "ext:7").unwrap();
        assert_eq!((known.rollup.visits_count, known.rollup.product_views, known.rollup.carts_count), (2, 1, 1));
        assert_eq!(known.profile.email.as_ref().unwrap().as_str(), "Ann@shop.example", "written to as given");
        for name in ["anon:a", "ann@SHOP.example", &anonymous.to_string()] {
            assert_eq!(customer_of(&test.db, DEFAULT, name).unwrap().id, known.id, "{name}");
        }
        assert_eq!(differences(&test.db, DEFAULT), []);
    }

    async fn two_identified_people_are_never_merged(test: TestDb) {
        let journal = start(&test);
        // One browser, one address, an alias from one id to the other: none of it makes them one.
        journal.append(DEFAULT, vec![
            fact("m1", 0, who(Some("a"), Some("1"), Some("home@shop.example")), page()),
            fact("m2", 1, who(Some("a"), Some("2"), Some("home@shop.example")), page()),
            fact("m3", 2, who(None, Some("2"), None), Body::Aliased { previous_id: "1".into() }),
        ]).await.unwrap();
        let (one, two) = (customer_of(&test.db, DEFAULT, "ext:1").unwrap(), customer_of(&test.db, DEFAULT, "ext:2").unwrap());
        assert_ne!(one.id, two.id);
        assert_eq!((one.rollup.page_views, two.rollup.page_views), (1, 1));
        assert_eq!(customer_of(&test.db, DEFAULT, "home@shop.example").unwrap().id, one.id, "the earlier link holds it");
        assert_eq!(differences(&test.db, DEFAULT), []);
    }

    async fn a_late_earlier_link_moves_the_browser_to_its_true_owner(test: TestDb) {
        let journal = start(&test);
        journal.append(DEFAULT, vec![
            fact("m1", 100, who(Some("a"), None, None), viewed("p1")),
            fact("m2", 200, who(Some("a"), Some("late"), None), page()),
        ]).await.unwrap();
        assert_eq!(customer_of(&test.db, DEFAULT, "ext:late").unwrap().rollup.product_views, 1);
        journal.append(DEFAULT, vec![fact("m3", 50, who(Some("a"), Some("early"), None), page())]).await.unwrap();
        assert_eq!(customer_of(&test.db, DEFAULT, "ext:late").unwrap().rollup.product_views, 0);
        assert_eq!(customer_of(&test.db, DEFAULT, "ext:early").unwrap().rollup.product_views, 1);
        assert_eq!(differences(&test.db, DEFAULT), []);
    }

    async fn one_stores_ids_say_nothing_in_another(test: TestDb) {
        let journal = start(&test);
        let other = new_store(&test.db, 2);
        let placed = || fact("m1", 0, who(None, Some("7"), None), order("1001", OrderStatus::Paid, 500));
        journal.append(DEFAULT, vec![placed()]).await.unwrap();
        assert!(matches!(journal.append(other, vec![placed()]).await.unwrap()[..], [Appended::New { .. }]));
        let (here, there) = (customer_of(&test.db, DEFAULT, "ext:7").unwrap(), customer_of(&test.db, other, "ext:7").unwrap());
        assert_ne!(here.id, there.id);
        assert_eq!((here.rollup.orders_count, there.rollup.orders_count), (1, 1));
    }

    async fn a_refund_waits_for_its_order_and_is_capped_at_its_total(test: TestDb) {
        let journal = start(&test);
        journal.append(DEFAULT, vec![fact("r1", 50, Identifiers::default(), refund("1001", Some(9_900)))]).await.unwrap();
        journal.append(DEFAULT, vec![fact("m1", 10, who(None, Some("7"), None), order("1001", OrderStatus::Paid, 500))]).await.unwrap();
        let buyer = customer_of(&test.db, DEFAULT, "ext:7").unwrap();
        assert_eq!((buyer.rollup.orders_count, buyer.rollup.spent, buyer.rollup.last_placed_at), (0, 0, Some(at(10))));
        assert_eq!(differences(&test.db, DEFAULT), []);
    }

    async fn an_order_closes_the_basket_begun_before_it_and_no_later_one(test: TestDb) {
        let journal = start(&test);
        let ann = || who(None, Some("7"), None);
        journal.append(DEFAULT, vec![
            fact("m1", 0, ann(), cart("p1", CartChange::Added)),
            fact("m2", 100, ann(), order("1001", OrderStatus::Paid, 500)),
            fact("m3", 200, ann(), cart("p2", CartChange::Added)),
            // The page of thanks is loaded again.
            fact("m4", 300, ann(), order("1001", OrderStatus::Paid, 500)),
        ]).await.unwrap();
        let rollup = customer_of(&test.db, DEFAULT, "ext:7").unwrap().rollup;
        assert_eq!(rollup.basket().map(|b| (b.started_at, b.products[0].id.clone())), Some((at(200), "p2".to_owned())));
        assert_eq!((rollup.carts_count, rollup.orders_count), (2, 1));
    }

    async fn the_erased_leave_a_tombstone_and_no_late_fact_brings_them_back(test: TestDb) {
        let journal = start(&test);
        let ann = || who(Some("a"), Some("7"), Some("ann@shop.example"));
        journal.append(DEFAULT, vec![
            fact("m1", 0, ann(), viewed("p1")),
            fact("m2", 10, ann(), order("1001", OrderStatus::Paid, 500)),
        ]).await.unwrap();
        let before = customer_of(&test.db, DEFAULT, "ext:7").unwrap();
        let store = test.db.read_here(|conn| stores_room::store::find(conn, DEFAULT).map_err(DbError::from)).unwrap();
        assert!(privacy::erase(&test.db, &test.secret(), &store, before.id, test.now).unwrap());
        assert!(!privacy::erase(&test.db, &test.secret(), &store, before.id, test.now).unwrap(), "once is enough");

        let outcomes = journal.append(DEFAULT, vec![
            fact("m3", 20, who(None, Some("7"), None), viewed("p2")),
            fact("m4", 30, who(None, None, Some("ANN@shop.example")), order("1002", OrderStatus::Paid, 700)),
            fact("m5", 40, who(Some("b"), Some("8"), Some("ann@shop.example")), page()),
        ]).await.unwrap();
        assert_eq!(outcomes[0], Appended::Dropped);
        assert_eq!(outcomes[1], Appended::New { customer: before.id, first: true }, "orders stay with the tombstone");
        for gone in ["ext:7", "anon:a", "ann@shop.example"] {
            assert!(customer_of(&test.db, DEFAULT, gone).is_none(), "{gone}");
        }
        let other = customer_of(&test.db, DEFAULT, "ext:8").unwrap();
        assert_eq!(other.profile.email, None, "the address stays forgotten");
        let tombstone = customer_of(&test.db, DEFAULT, &before.id.to_string()).unwrap();
        assert_eq!((tombstone.rollup.orders_count, tombstone.rollup.spent), (2, 1_200));
        assert_eq!((tombstone.profile.email, tombstone.rollup.visits_count), (None, 0));
        assert_eq!(differences(&test.db, DEFAULT), []);
        let kept = test.db.read_here(|conn| privacy::export(conn, before.id).map_err(DbError::from)).unwrap();
        let kept = serde_json::to_string(&kept).unwrap();
        assert!(!kept.contains("ann@") && !kept.contains("ext:7"), "{kept}");
    }

    async fn every_arrival_of_one_history_gives_the_same_customers(test: TestDb) {
        let journal = start(&test);
        let mut runner = TestRunner::new(Config { cases: 24, max_shrink_iters: 400, failure_persistence: None, ..Config::default() });
        let stores = std::sync::atomic::AtomicI64::new(10);
        let next_store = || new_store(&test.db, stores.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        runner.run(&(any_history(), any::<u64>()), |(history, seed)| {
            let (straight, shuffled) = (next_store(), next_store());
            // The journal's blocking face is for threads that drive no runtime.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    journal_in(&journal, straight, history.clone(), None);
                    journal_in(&journal, shuffled, history.clone(), Some(seed));
                });
            });
            prop_assert_eq!(differences(&test.db, straight), vec![]);
            prop_assert_eq!(differences(&test.db, shuffled), vec![]);
            let (left, right) = (by_identity(&test.db, straight), by_identity(&test.db, shuffled));
            for (identity, person) in &left {
                prop_assert_eq!(Some(person), right.get(identity), "{}", identity);
            }
            prop_assert_eq!(left.len(), right.len());
            Ok(())
        }).unwrap();
    }
}

fn new_store(db: &Db, id: i64) -> StoreId {
    db.write_here(|conn| {
        diesel::insert_into(stores::table)
            .values((
                stores::id.eq(id),
                stores::key.eq(format!("store{id}")),
                stores::name.eq("Another"),
                stores::timezone.eq("Asia/Shanghai"),
                stores::currency.eq("EUR"),
                stores::locale.eq("en"),
                stores::sending.eq("{}"),
                stores::scoring.eq("{}"),
                stores::created_at.eq(0_i64),
            ))
            .execute(conn)?;
        Ok::<_, DbError>(())
    })
    .unwrap();
    StoreId(id)
}

/// A few people, browsers, addresses and orders, and up to 25 facts about them within two days.
fn any_history() -> impl Strategy<Value = Vec<NewFact>> {
    let name =
        |names: &'static [&'static str]| prop::option::weighted(0.5, prop::sample::select(names));
    let identifiers =
        (name(&["a", "b", "c"]), name(&["1", "2"]), name(&["ann@shop.example", "Bo@shop.example"]));
    let orders = || prop::sample::select(&["o1", "o2", "o3"][..]);
    let products = || prop::sample::select(&["p1", "p2"][..]);
    let status = prop::sample::select(OrderStatus::ALL);
    let body = prop_oneof![
        3 => Just(page()),
        3 => products().prop_map(viewed),
        3 => (products(), prop::sample::select(CartChange::ALL)).prop_map(|(p, change)| cart(p, change)),
        1 => products().prop_map(|p| Body::CheckoutStarted {
            cart_id: None, checkout_id: None, value: None, products: vec![product(p)], currency: None,
        }),
        3 => (orders(), status, 0..2_000_i64).prop_map(|(o, status, total)| order(o, status, total)),
        1 => (orders(), prop::option::of(0..2_000_i64)).prop_map(|(o, amount)| refund(o, amount)),
        1 => (any::<bool>(), prop::option::of(0..100_000_i64)).prop_map(|(granted, at)| consent(granted, at)),
        1 => prop::sample::select(&["a", "b", "c"][..]).prop_map(|a| Body::Aliased { previous_id: a.to_owned() }),
    ];
    let one = (identifiers, body, 0..170_000_i64, any::<bool>(), any::<bool>());
    prop::collection::vec(one, 1..25).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(n, ((anonymous, external, email), body, seconds, from_file, live))| {
                let identifiers = match who(anonymous, external, email) {
                    nobody if nobody.is_empty() && body.order_id().is_none() => {
                        who(Some("a"), None, None)
                    }
                    somebody => somebody,
                };
                let is_order = body.order_id().is_some();
                let source = if from_file && is_order { Source::Csv } else { Source::Tracking };
                NewFact { source, live, ..fact(&format!("k{n}"), seconds, identifiers, body) }
            })
            .collect()
    })
}

/// Hands a history in: in one piece, or shuffled, in several pieces, with repeats.
fn journal_in(journal: &Journal, store: StoreId, mut history: Vec<NewFact>, seed: Option<u64>) {
    let Some(mut seed) = seed else {
        history.sort_by(|a, b| (a.occurred_at, &a.source_key).cmp(&(b.occurred_at, &b.source_key)));
        journal.append_blocking(store, history).unwrap();
        return;
    };
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    for place in (1..history.len()).rev() {
        history.swap(place, draw(place + 1));
    }
    while !history.is_empty() {
        let piece: Vec<NewFact> = history.drain(..1 + draw(history.len().min(6))).collect();
        if draw(3) == 0 {
            journal.append_blocking(store, piece.clone()).unwrap();
        }
        journal.append_blocking(store, piece).unwrap();
    }
}

type Person = (Profile, Rollup, Vec<visits::Visit>, Log, BTreeSet<Identity>);

/// Everyone of a store by what names them, ids left aside.
fn by_identity(db: &Db, store: StoreId) -> BTreeMap<Identity, Person> {
    let read = |conn: &mut Conn| -> QueryResult<BTreeMap<Identity, Person>> {
        let owned: Vec<(Identity, CustomerId)> = identities::table
            .filter(identities::store_id.eq(store))
            .select((identities::identity, identities::customer_id))
            .load(conn)?;
        let mut people = BTreeMap::new();
        for (identity, id) in owned {
            // An order nobody has claimed yet is kept under its own name only while that is so.
            if identity.as_str().starts_with("order:") {
                continue;
            }
            let stored = customers::store::load(conn, &[id])?.remove(0);
            let anonymous =
                |visit| visits::Visit { customer_id: CustomerId(0), store_id: StoreId(0), ..visit };
            let all_visits = visits::of(conn, &[id])?.into_iter().map(anonymous).collect();
            let log = orders::store::load(conn, &[id])?.remove(&id).unwrap_or_default();
            let names = identity::store::of_customer(conn, id)?;
            let names =
                names.into_iter().filter(|name| !name.as_str().starts_with("order:")).collect();
            people.insert(identity, (stored.profile, stored.rollup, all_visits, log, names));
        }
        Ok(people)
    };
    db.read_here(|conn| read(conn).map_err(DbError::from)).unwrap()
}
