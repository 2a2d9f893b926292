//! What rules earned: an order is credited once, refunds take it back, and cause is known by those held out.

use diesel::prelude::*;
use homing::clicks::{Agent, Hit, What, store as clicks};
use homing::db::{Db, DbError, schema};
use homing::experiments::Answer;
use homing::journal::{Body, NewFact};
use homing::ledger::Instants;
use homing::primitives::{CustomerId, Delay, MessageId, RuleId, StoreId, Timestamp};
use homing::reports::credit::{self, Credit, Span};
use homing::reports::effects;
use homing::reports::rules::{self, Listed};

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
                credit::orders(conn, &store, browse, span, after.as_ref(), 1).map_err(DbError::from)
            };
            test.db.read_here(read).unwrap().pop()
        };
        let first = page(None).expect("an order");
        assert_eq!((first.order_id.as_str(), first.clicked, first.refunded), ("B", false, 800));
        let second = page(Some((first.placed_at, first.order_id))).expect("another");
        assert_eq!((second.order_id.as_str(), second.clicked), ("A", true));
        assert_eq!(second.message_id, click.message);
        assert_eq!(page(Some((second.placed_at, second.order_id))), None);
        let nobodys = |conn: &mut _| {
            credit::orders(conn, &store, RuleId(999), span, None, 9).map_err(DbError::from)
        };
        assert_eq!(test.db.read_here(nobodys).unwrap(), []);
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
            effects::experiment(conn, &store, &browse, span, test.now).map_err(DbError::from)
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

        let ids = |arm: &'static str, limit| {
            let read = |conn: &mut _| {
                effects::arm_orders(conn, &store, &browse, arm, span, test.now, None, limit)
                    .map_err(DbError::from)
            };
            test.db.read_here(read).unwrap().into_iter().map(|o| o.order_id).collect::<Vec<_>>()
        };
        assert_eq!((ids("treatment", 500).len(), ids("holdout", 500).len()), (100, 20));
        assert!(ids("holdout", 3).iter().all(|id| id.starts_with('W')));

        // Nobody was ever held out of all rules.
        let global = |conn: &mut _| {
            effects::global(conn, &store, span, test.now).map_err(DbError::from)
        };
        assert_eq!(test.db.read_here(global).unwrap(), None);
    }
}
