//! What rules earned: an order is credited once, refunds take it back, and cause is known by those held out.

use diesel::prelude::*;
use homing::clicks::{Agent, Hit, What, store as clicks};
use homing::db::{Db, DbError, schema};
use homing::experiments::Answer;
use homing::journal::{Body, NewFact};
use homing::ledger::Instants;
use homing::primitives::{CustomerId, Delay, MessageId, RuleId, StoreId, Timestamp};
use homing::reports::behind::{self, Whom};
use homing::reports::credit::{self, Credit, Span};
use homing::reports::rules::{self, Listed};
use homing::reports::trial::{self, Cohort, Trial};

use crate::on_both_backends;
use crate::support::shop::{NO_GUARDRAILS, Shop, consents, fact, orders, rule, views};

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"4h\"";

fn listed(shop: &Shop<'_>, key: &str) -> Listed {
    let all = |conn: &mut _| rules::all(conn, &shop.store()).map_err(DbError::from);
    let mut rules = shop.test.db.read_here(all).expect("rules");
    rules.remove(rules.iter().position(|rule| rule.key == key).expect("the rule"))
}

fn refunds(who: &str, at: Timestamp, order: &str, amount: Option<i64>) -> NewFact {
    fact(who, at, Body::OrderRefunded { order_id: order.to_owned(), amount })
}

fn sent_to(db: &Db, customer: CustomerId) -> MessageId {
    use schema::messages::dsl::*;
    let read = |conn: &mut _| -> Result<MessageId, DbError> {
        Ok(messages.filter(customer_id.eq(customer)).select(id).first(conn)?)
    };
    db.read_here(read).expect("a message")
}

on_both_backends! {
    async fn an_order_is_credited_once_and_refunds_take_it_back(test: TestDb) {
        let shop = Shop::open(&test, &format!("{NO_GUARDRAILS}{}", rule("browse", BROWSE, "")));
        let now = test.now;
        for who in ["ann", "ben", "cat", "dan"] {
            shop.tell(vec![
                consents(who, now.minus(Delay::days(1)), true),
                views(who, now, "longjing"),
            ]);
        }
        let sent = now.plus(Delay::hours(5));
        assert_eq!(shop.tick(sent).await.sent, 4);
        let ann = shop.customer("ann");
        let click = Hit {
            store: StoreId(1),
            message: sent_to(&test.db, ann),
            at: sent.plus(Delay::hours(1)),
            agent: Agent::Browser,
            what: What::Click { link: 0, links: 3, target: "https://tea.example".to_owned() },
        };
        let record = |conn: &mut _| {
            clicks::record(conn, std::slice::from_ref(&click), Instants::at(click.at))
                .map_err(DbError::from)
        };
        test.db.write_here(record).expect("a click is kept");
        let day = |n| sent.plus(Delay::days(n));
        shop.tell(vec![
            orders("ann", day(1), "A"),
            orders("ben", day(2), "B"),
            orders("cat", day(3), "C"),
            orders("dan", day(8), "D"),
            refunds("ben", day(4), "B", Some(800)),
            refunds("cat", day(5), "C", None),
        ]);
        let span = Span { from: now, until: day(30) };
        let store = shop.store();
        let found = |conn: &mut _| credit::by_rule(conn, &store, span).map_err(DbError::from);
        let browse = listed(&shop, "browse").id;
        let expected =
            Credit { rule_id: browse, orders: 2, clicked: 1, revenue: 18_800, refunded: 800 };
        assert_eq!(test.db.read_here(found).unwrap(), [expected], "C came back whole, D came late");

        let page = |after: Option<(Timestamp, String)>| {
            let read = |conn: &mut _| {
                credit::orders(conn, &store, Some(browse), span, after.as_ref(), 1).map_err(DbError::from)
            };
            test.db.read_here(read).unwrap().pop()
        };
        let first = page(None).expect("an order");
        assert_eq!((first.order.order_id.as_str(), first.clicked, first.order.refunded), ("B", false, 800));
        let second = page(Some((first.order.placed_at, first.order.order_id))).expect("another");
        assert_eq!((second.order.order_id.as_str(), second.clicked), ("A", true));
        assert_eq!(second.message_id, click.message);
        assert_eq!(page(Some((second.order.placed_at, second.order.order_id))), None);
        let of = |rule| {
            let read = |conn: &mut _| {
                credit::orders(conn, &store, rule, span, None, 9).map_err(DbError::from)
            };
            test.db.read_here(read).unwrap()
        };
        assert_eq!(of(Some(RuleId(999))), []);
        let ids: Vec<String> = of(None).into_iter().map(|credited| credited.order.order_id).collect();
        assert_eq!(ids, ["B", "A"], "of all rules together");
    }

    async fn cause_is_known_by_those_held_out(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", BROWSE, "holdout = 0.5"));
        let assigned = test.now.minus(Delay::days(60));
        let mut facts = Vec::new();
        // Of those with the rule every other one buys, of those held out every tenth, at different times before and after.
        for n in 0..400_i64 {
            let who = format!("c{n}");
            facts.push(consents(&who, assigned.minus(Delay::days(400)), true));
            let is_treated = n % 2 == 0;
            if (is_treated && n % 4 == 0) || (!is_treated && n % 20 == 1) {
                facts.push(orders(&who, assigned.plus(Delay::days(2)), &format!("W{n}")));
            }
            if n % 3 == 0 {
                facts.push(orders(&who, assigned.minus(Delay::days(30)), &format!("B{n}")));
                facts.push(orders(&who, assigned.plus(Delay::days(20)), &format!("L{n}")));
            }
        }
        shop.tell_at(test.now, facts);
        let assign = |conn: &mut homing::db::Conn| -> Result<(), DbError> {
            use schema::assignments::dsl::*;
            for n in 0..401_i64 {
                // The last, who was here before, is still in the window.
                let (who, at) = match n {
                    400 => ("late".to_owned(), test.now.minus(Delay::days(3))),
                    n => (format!("c{n}"), assigned),
                };
                let found = homing::identity::store::find_customer(
                    conn, StoreId(1), &format!("ext:{who}"),
                )?;
                diesel::insert_into(assignments)
                    .values((
                        customer_id.eq(found.expect("a customer")),
                        experiment.eq("browse"),
                        arm.eq(if n % 2 == 0 { "treatment" } else { "holdout" }),
                        assigned_at.eq(at),
                    ))
                    .execute(conn)?;
            }
            Ok(())
        };
        shop.tell(vec![consents("late", test.now.minus(Delay::days(4)), true)]);
        test.db.write_here(assign).expect("assignments");

        let (store, browse) = (shop.store(), listed(&shop, "browse"));
        let span = Span { from: test.now.minus(Delay::days(90)), until: test.now };
        let read = |conn: &mut _| {
            trial::experiment(conn, &store, &browse, span, test.now).map_err(DbError::from)
        };
        let seen = test.db.read_here(read).unwrap().expect("an experiment");
        let (with, without) = (seen.comparison.treatment, seen.comparison.holdout);
        assert_eq!((with.customers, without.customers, seen.open), (200, 200, 1));
        assert_eq!((with.converted, with.orders, with.revenue), (100, 100, 980_000.0));
        assert_eq!((without.converted, without.orders), (20, 20), "before and after is not within");
        assert_eq!(seen.comparison.conversion.answer, Answer::More);
        assert_eq!(seen.comparison.revenue.answer, Answer::More);
        let (low, high) = seen.comparison.conversion.interval.unwrap();
        assert!(0.0 < low && low < 0.4 && 0.4 < high, "{low}..{high}");

        let trial = Trial::Holdout(browse.id);
        let window = trial::window(&browse.rule);
        let cohort = Cohort { store: &store, trial, span, window };
        let ids = |arm: &'static str, limit| {
            let read = |conn: &mut _| {
                behind::orders(conn, &cohort, arm, test.now, None, limit).map_err(DbError::from)
            };
            test.db.read_here(read).unwrap().into_iter().map(|of_arm| of_arm.order.order_id).collect::<Vec<_>>()
        };
        assert_eq!((ids("treatment", 500).len(), ids("holdout", 500).len()), (100, 20));
        assert!(ids("holdout", 3).iter().all(|id| id.starts_with('W')));

        let people = |whom, after: Option<(Timestamp, i64)>, limit| {
            let read = |conn: &mut _| {
                behind::customers(conn, &cohort, "treatment", whom, test.now, after, limit)
                    .map_err(DbError::from)
            };
            test.db.read_here(read).unwrap()
        };
        assert_eq!((people(Whom::All, None, 500).len(), people(Whom::Converted, None, 500).len()), (200, 100));
        let (mut paged, mut after) = (Vec::new(), None);
        while let Some(last) = people(Whom::Converted, after, 7).last().cloned() {
            paged.extend(people(Whom::Converted, after, 7));
            after = Some((last.assigned_at, last.customer_id.0));
        }
        assert_eq!(paged, people(Whom::Converted, None, 500), "page by page the same, none twice");
        assert!(paged.iter().all(|one| (one.orders, one.revenue) == (1, 9_800)));

        // Nobody was ever held out of all rules.
        let global = |conn: &mut _| {
            trial::global(conn, &store, span, test.now).map_err(DbError::from)
        };
        assert_eq!(test.db.read_here(global).unwrap(), None);
    }

    async fn a_share_that_was_changed_compares_only_those_drawn_alike(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", BROWSE, "holdout = 0.5"));
        let mut facts = Vec::new();
        // A tenth was held out when everybody bought, half when nobody did: the rule did nothing.
        let of = |n: i64| match n {
            0..500 => (n % 10 != 0, 0.1, 60),
            _ => (n % 2 == 0, 0.5, 40),
        };
        for n in 0..1_000_i64 {
            let (who, (_, _, days)) = (format!("c{n}"), of(n));
            let assigned = test.now.minus(Delay::days(days));
            facts.push(consents(&who, assigned.minus(Delay::days(9)), true));
            if (n < 500 && n % 20 < 10) || n % 50 < 2 {
                facts.push(orders(&who, assigned.plus(Delay::days(2)), &format!("W{n}")));
            }
        }
        shop.tell_at(test.now, facts);
        let assign = |conn: &mut homing::db::Conn| -> Result<(), DbError> {
            use schema::assignments::dsl::*;
            for n in 0..1_000_i64 {
                let (is_treated, held, days) = of(n);
                let found = homing::identity::store::find_customer(
                    conn, StoreId(1), &format!("ext:c{n}"),
                )?;
                diesel::insert_into(assignments)
                    .values((
                        customer_id.eq(found.expect("a customer")),
                        experiment.eq("browse"),
                        arm.eq(if is_treated { "treatment" } else { "holdout" }),
                        assigned_at.eq(test.now.minus(Delay::days(days))),
                        share.eq(Some(held)),
                    ))
                    .execute(conn)?;
            }
            Ok(())
        };
        test.db.write_here(assign).expect("assignments");
        let (store, browse) = (shop.store(), listed(&shop, "browse"));
        let span = Span { from: test.now.minus(Delay::days(90)), until: test.now };
        let read = |conn: &mut _| {
            trial::experiment(conn, &store, &browse, span, test.now).map_err(DbError::from)
        };
        let seen = test.db.read_here(read).unwrap().expect("an experiment").comparison;
        assert_eq!((seen.strata, seen.unmatched), (2, 0));
        assert_eq!((seen.treatment.customers, seen.holdout.customers), (700, 300));
        let mean = |n: u64, of: u64| n as f64 / of as f64;
        let apart = mean(seen.treatment.converted, 700) - mean(seen.holdout.converted, 300);
        assert!(apart > 0.2, "mixed up, the treated bought {apart} more");
        assert_eq!(seen.conversion.answer, Answer::Unknown);
        assert!(seen.conversion.estimate.abs() < 0.05, "{}", seen.conversion.estimate);
    }

    async fn wordings_are_compared_by_whom_they_were_drawn_for(test: TestDb) {
        let variants = "variants = [ { name = \"plain\" }, { name = \"warm\", subject = \"So good to see you\" } ]\n";
        let settings = format!(
            "{NO_GUARDRAILS}{}{variants}",
            rule("thanks", "kind = \"order\", after = \"1h\"", "stop_on = []")
        );
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        let people: Vec<String> = (0..300).map(|n| format!("c{n}")).collect();
        let facts = people.iter().flat_map(|who| {
            [consents(who, noon.minus(Delay::hours(1)), true), orders(who, noon, &format!("{who}-0"))]
        });
        shop.tell_at(noon, facts.collect());
        assert_eq!(shop.tick(noon.plus(Delay::hours(1))).await.sent, 300);
        let drawn = |conn: &mut homing::db::Conn| -> Result<Vec<(CustomerId, Option<String>)>, DbError> {
            use schema::messages::dsl::*;
            Ok(messages.select((customer_id, variant)).load(conn)?)
        };
        let drawn: std::collections::HashMap<_, _> =
            test.db.read_here(drawn).unwrap().into_iter().collect();
        // Whoever had the warm one comes back, but for one in nine; of the others one in nine.
        let mut back = 0;
        let later = noon.plus(Delay::days(3));
        let mut facts = Vec::new();
        for (n, who) in people.iter().enumerate() {
            let is_warm = drawn[&shop.customer(who)].as_deref() == Some("warm");
            if is_warm != (n % 9 == 0) {
                facts.push(orders(who, later, &format!("{who}-1")));
                back += usize::from(is_warm);
            }
        }
        shop.tell_at(later, facts);
        // They enter again, and are counted once.
        let again = later.plus(Delay::hours(1));
        assert!(shop.tick(again).await.sent > 100);
        let end = noon.plus(Delay::days(15));
        let (store, thanks) = (shop.store(), listed(&shop, "thanks"));
        let span = Span { from: noon.minus(Delay::days(1)), until: end };
        let read = |conn: &mut _| {
            trial::variants(conn, &store, &thanks, span, end).map_err(DbError::from)
        };
        let tests = test.db.read_here(read).unwrap();
        let [seen] = tests.as_slice() else { panic!("{tests:?}") };
        assert_eq!((seen.step, seen.first.as_str(), seen.open), (1, "plain", 0));
        let (name, against) = &seen.others[0];
        let (warm, plain) = (against.treatment, against.holdout);
        assert_eq!((name.as_str(), warm.customers + plain.customers), ("warm", 300));
        assert_eq!((warm.converted as usize, plain), (back, seen.first_figures));
        assert_eq!(against.conversion.answer, Answer::More);
        let trial = Trial::Wording { rule: thanks.id, step: 1 };
        let cohort = Cohort { store: &store, trial, span, window: seen.window };
        let behind = |conn: &mut _| {
            let orders = behind::orders(conn, &cohort, "warm", end, None, 500)?;
            let who = behind::customers(conn, &cohort, "warm", Whom::Converted, end, None, 500)?;
            Ok::<_, DbError>((orders.len(), who.len()))
        };
        assert_eq!(test.db.read_here(behind).unwrap(), (back, back));
        // Where nothing was drawn there is nothing to compare.
        let early = Span { from: noon.minus(Delay::days(9)), until: noon.minus(Delay::days(1)) };
        let read = |conn: &mut _| {
            trial::variants(conn, &store, &thanks, early, end).map_err(DbError::from)
        };
        assert!(test.db.read_here(read).unwrap()[0].others.is_empty());
    }
}
