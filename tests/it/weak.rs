//! Customers who share a phone number or a device: an order of one holds back what would ask the other to buy.

use std::sync::atomic::AtomicBool;

use homing::backtest::{self, Contest, Progress, Window};
use homing::customers::Traits;
use homing::db::{Conn, DbError};
use homing::journal::{Body, NewFact};
use homing::ledger;
use homing::primitives::{Delay, StoreId, Timestamp};
use homing::rules;
use homing::situation::weak;

use diesel::prelude::*;

use crate::on_both_backends;
use crate::support::shop::*;

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"4h\", useful_for = \"48h\"";

fn with_phone(who: &str, at: Timestamp, phone: &str) -> NewFact {
    let mut told = consents(who, at, true);
    if let Body::Identified { traits } = &mut told.body {
        let phone = Some(phone.to_owned());
        **traits = Traits { phone, consent: traits.consent.clone(), ..Traits::default() };
    }
    told
}

fn on_device(mut fact: NewFact, device: &str) -> NewFact {
    fact.identifiers.anonymous_id = Some(device.to_owned());
    fact
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

/// The facts of a customer's newest decision.
fn facts(shop: &Shop, who: &str) -> serde_json::Map<String, serde_json::Value> {
    let customer = shop.customer(who);
    let read =
        |conn: &mut _| ledger::store::of_customer(conn, customer, None, 1).map_err(DbError::from);
    shop.test.db.read_here(read).unwrap().remove(0).facts
}

on_both_backends! {
    async fn an_order_by_the_same_phone_is_seen_when_it_falls_due_and_at_the_door(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned() + &rule("browse", BROWSE, "") + &step("20h")
            + &rule("owed", "kind = \"order\", after = \"30h\"", "");
        let shop = Shop::open(&test, &settings);
        let (noon, before) = (test.now, test.now.minus(Delay::days(3)));
        let phone = "+8613800000001";
        shop.tell(vec![
            with_phone("ann", before, phone),
            with_phone("ann-at-work", before, phone),
            with_phone("bob", before, "+8613800000002"),
            views("ann", noon, "longjing"),
            views("bob", noon, "longjing"),
        ]);
        assert_eq!(shop.tick(noon.plus(hours(4))).await.sent, 2, "nobody bought yet");
        shop.tell(vec![orders("ann-at-work", noon.plus(hours(5)), "1001")]);
        let next = shop.tick(noon.plus(hours(24))).await;
        assert_eq!((next.sent, next.stopped), (1, 1));
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse 1 sent", "browse 2 stopped/bought"]);
        let said = facts(&shop, "ann");
        assert_eq!(said["weak_link"], "phone");
        assert_eq!(said["other_customer"], serde_json::json!(shop.customer("ann-at-work")));
        assert_eq!(shop.ledger("bob"), ["browse enrolled", "browse 1 sent", "browse 2 sent"]);

        // The next visit began before an order of hers under the other name, told in time: it is not planned at all.
        let second = noon.plus(Delay::days(2));
        shop.tell(vec![views("ann", second, "longjing"), orders("ann-at-work", second.plus(hours(1)), "1002")]);
        let late = shop.tick(second.plus(hours(4))).await;
        assert_eq!((late.enrolled, late.suppressed), (0, 1));
        assert_eq!(shop.ledger("ann").last().unwrap(), "browse suppressed/bought");
        assert_eq!(facts(&shop, "ann")["weak_link"], "phone");
        // What is about an order that was placed goes to whoever placed it.
        shop.tell(vec![orders("ann", second.plus(hours(2)), "1003"), orders("ann-at-work", second.plus(hours(3)), "1004")]);
        assert_eq!(shop.tick(second.plus(hours(32))).await.sent, 1);
        assert_eq!(shop.ledger("ann").last().unwrap(), "owed 1 sent");
        shop.counts();
    }

    async fn who_shares_something_is_found_without_reading_the_store(test: TestDb) {
        for (link, sql) in weak::queries(StoreId(1), Some(2)) {
            let plan = test.db.read_here(|conn| -> Result<_, DbError> {
                Ok(match conn {
                    // Its planner goes by how much there is: an empty table is read whole.
                    Conn::Postgres(_) => Vec::new(),
                    Conn::Sqlite(_) => diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load::<Step>(conn)?,
                })
            }).unwrap();
            for Step { detail } in plan.iter().filter(|step| step.detail.starts_with("SCAN") || step.detail.starts_with("SEARCH")) {
                let by_store_alone = detail.ends_with("(store_id=?)");
                assert!(detail == "SCAN few" || (detail.starts_with("SEARCH") && !by_store_alone), "{link}: {detail}");
            }
        }
    }

    async fn an_order_by_the_same_device_holds_back_and_a_tills_browser_links_nobody(test: TestDb) {
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &rule("browse", BROWSE, "")));
        let (noon, before) = (test.now, test.now.minus(Delay::days(3)));
        let mut told = vec![
            on_device(consents("ann", before, true), "tablet"),
            on_device(consents("carl", before.plus(hours(1)), true), "tablet"),
        ];
        let many: Vec<String> = (0..6).map(|n| format!("clerk{n}")).collect();
        for who in &many {
            told.push(on_device(consents(who, before, true), "till"));
        }
        told.extend([views("carl", noon, "longjing"), views("clerk0", noon, "longjing")]);
        told.extend([orders("ann", noon.plus(hours(1)), "1001"), orders("clerk1", noon.plus(hours(1)), "1002")]);
        shop.tell(told);
        let tally = shop.tick(noon.plus(hours(4))).await;
        assert_eq!((tally.sent, tally.suppressed), (1, 1));
        assert_eq!(shop.ledger("carl"), ["browse suppressed/bought"]);
        assert_eq!(facts(&shop, "carl")["weak_link"], "device");
        assert_eq!(shop.ledger("clerk0"), ["browse enrolled", "browse 1 sent"]);

        // The backtest says the same.
        let contest = test.db.read_here(|conn| -> Result<_, DbError> {
            let live = rules::store::live(conn, shop.store().id)?;
            Ok(Contest::new(shop.store(), live[0].rule.clone(), live))
        }).unwrap();
        let window = Window { from: "2026-05-30".parse().unwrap(), to: "2026-06-03".parse().unwrap() };
        let progress = Progress { seen: &|_, _| {}, cancelled: &AtomicBool::new(false) };
        let report = backtest::run(&test.db, &test.secret(), &contest, window, &progress).unwrap();
        assert_eq!((report.would_send, report.suppressed, report.entered), (1, 1, 2));
        assert!(report.note.contains("shares a phone number or a device"), "{}", report.note);
    }
}
