//! Steps on both databases: what they wait for, ask, and try out; and which version of a rule they go by.

use diesel::prelude::*;
use homing::clicks::{self, Agent, Hit, What};
use homing::customers::Traits;
use homing::db::{DbError, schema};
use homing::journal::Body;
use homing::ledger::Instants;
use homing::planner::Positions;
use homing::planner::moves::{self, Moved};
use homing::primitives::{CustomerId, Delay, MessageId, StoreId, Timestamp};

use crate::on_both_backends;
use crate::support::shop::*;

const AFTER: &str = "kind = \"order\", after = \"1h\"";

fn further(lines: &str) -> String {
    format!("\n[[rule.step]]\n{lines}\n")
}

/// Ann and Bob agreed and ordered at noon.
fn two_order(shop: &Shop) -> Timestamp {
    let noon = shop.test.now;
    for who in ["ann", "bob"] {
        let agreed = noon.minus(Delay::days(3));
        shop.tell(vec![consents(who, agreed, true), orders(who, noon, &format!("{who}-1"))]);
    }
    noon
}

/// Step, variant and exit of a customer's messages, in order.
fn wordings(shop: &Shop, who: &str) -> Vec<(i32, Option<String>, Option<String>)> {
    use schema::messages::dsl::*;
    let customer = shop.customer(who);
    let read = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
        Ok(messages
            .filter(customer_id.eq(customer))
            .order(id)
            .select((step, variant, exit))
            .load(conn)?)
    };
    shop.test.db.read_here(read).unwrap()
}

fn first_message(shop: &Shop, customer: CustomerId) -> MessageId {
    use schema::messages::dsl::*;
    let read = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
        Ok(messages.filter(customer_id.eq(customer)).order(step).select(id).first(conn)?)
    };
    shop.test.db.read_here(read).unwrap()
}

on_both_backends! {
    async fn a_step_waits_for_an_event_or_its_time_and_takes_the_exit_of_the_answer(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned()
            + &rule("thanks", AFTER, "stop_on = []")
            + &further("wait_until = \"visit\"\nat_most = \"3d\"\nthen = \"end\"\nelse = { template = \"win-back\" }\ntemplate = \"browse-reminder\"");
        let shop = Shop::open(&test, &settings);
        let noon = two_order(&shop);
        let first = noon.plus(Delay::hours(1));
        assert_eq!(shop.tick(first).await.sent, 2);
        assert_eq!(shop.messages("ann")[1], ("2 scheduled".to_owned(), first.plus(Delay::days(3))));
        let back = first.plus(Delay::days(1));
        shop.tell(vec![views("ann", back, "longjing")]);
        assert_eq!(shop.tick(back.plus(Delay::seconds(5))).await.stopped, 1);
        assert_eq!(shop.ledger("ann"), ["thanks enrolled", "thanks 1 sent", "thanks 2 stopped/branch"]);
        assert_eq!(shop.tick(first.plus(Delay::days(3)).minus(Delay::seconds(1))).await.sent, 0);
        assert_eq!(shop.tick(first.plus(Delay::days(3))).await.sent, 1);
        assert_eq!(shop.ledger("bob"), ["thanks enrolled", "thanks 1 sent", "thanks 2 sent"]);
        assert_eq!(wordings(&shop, "bob")[1], (2, None, Some("else".into())));
        shop.counts();
    }

    async fn an_event_brings_a_message_forward_in_a_process_that_remembers(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned()
            + &rule("thanks", AFTER, "stop_on = []")
            + &further("wait_until = \"order\"\nat_most = \"30d\"\ntemplate = \"win-back\"");
        let shop = Shop::open(&test, &settings);
        let noon = two_order(&shop);
        let first = noon.plus(Delay::hours(1));
        let mut positions = Positions::default();
        shop.plan_from(first, Some(&mut positions));
        assert_eq!(shop.send(first).await.sent, 2);
        let again = first.plus(Delay::seconds(120));
        shop.tell(vec![orders("ann", again, "ann-2")]);
        let now = again.plus(Delay::seconds(2));
        shop.plan_from(now, Some(&mut positions));
        assert_eq!(shop.send(now).await.sent, 1);
        assert_eq!(shop.ledger("ann").last().unwrap(), "thanks 2 sent");
        let end = first.plus(Delay::days(30));
        assert_eq!(shop.tick(end).await.sent, 0);
        assert_eq!(shop.ledger("bob"), ["thanks enrolled", "thanks 1 sent", "thanks 2 not_eligible/branch"]);
    }

    async fn a_step_asks_its_condition_when_its_time_comes(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned()
            + &rule("thanks", AFTER, "stop_on = []")
            + &further("wait = \"1d\"\nif = { did = \"viewed\", product = \"pu-erh\", within = \"1d\" }\ntemplate = \"win-back\"")
            + &further("wait = \"1d\"\ntemplate = \"cart-reminder\"");
        let shop = Shop::open(&test, &settings);
        let noon = two_order(&shop);
        let first = noon.plus(Delay::hours(1));
        shop.tick(first).await;
        shop.tell(vec![views("ann", first.plus(Delay::hours(20)), "pu-erh")]);
        assert_eq!(shop.tick(first.plus(Delay::days(1))).await.sent, 1);
        assert_eq!(shop.tick(first.plus(Delay::days(2))).await.sent, 2);
        assert_eq!(shop.ledger("ann"), ["thanks enrolled", "thanks 1 sent", "thanks 2 sent", "thanks 3 sent"]);
        assert_eq!(shop.ledger("bob"), ["thanks enrolled", "thanks 1 sent", "thanks 2 not_eligible/branch", "thanks 3 sent"]);
    }

    async fn a_time_of_day_is_that_of_the_customer(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned() + &rule("thanks", AFTER, "") + "send_at = \"10:00\"\n";
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        let mut moved = consents("bob", noon.minus(Delay::days(3)), true);
        if let Body::Identified { traits } = &mut moved.body {
            let timezone = Some("America/New_York".to_owned());
            **traits = Traits { timezone, consent: traits.consent.clone(), ..Traits::default() };
        }
        shop.tell(vec![moved]);
        two_order(&shop);
        shop.plan(noon.plus(Delay::hours(1)));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(shop.messages("ann")[0].1, at("2026-06-02T02:00:00Z"), "ten in Shanghai, a day later");
        assert_eq!(shop.messages("bob")[0].1, at("2026-06-01T14:00:00Z"), "ten in New York");
        assert_eq!(shop.send(at("2026-06-01T14:00:00Z")).await.sent, 1);
    }

    async fn who_is_under_way_moves_to_the_new_version_on_request(test: TestDb) {
        let head = NO_GUARDRAILS.to_owned() + &rule("thanks", AFTER, "");
        let shop = Shop::open(&test, &(head.clone() + &step("3d") + &step("3d")));
        let noon = two_order(&shop);
        // Half an hour after it fell due: the plan and the time differ.
        let first = noon.plus(Delay::seconds(5_400));
        assert_eq!(shop.tick(first).await.sent, 2);
        let third = |who: &str| shop.messages(who).into_iter().map(|(said, at)| format!("{said} {at}")).collect::<Vec<_>>();
        let before = third("ann");

        // The second comes a day earlier, the third not at all; and then a version with four.
        let now = noon.plus(Delay::hours(2));
        shop.apply(&(head.clone() + &step("2d")), now);
        assert_eq!(third("ann"), before, "nothing moves by itself");
        let id = test.db.read_here(|conn| homing::rules::store::find_by_key(conn, StoreId(1), "thanks").map_err(DbError::from)).unwrap().unwrap().id;
        let go = |at: Timestamp| moves::move_all(&test.db, &shop.store(), &test.secret(), id, Instants::at(at)).unwrap();
        assert_eq!(go(now), Moved { moved: 2, ended: 0 });
        assert_eq!(go(now), Moved::default(), "once");
        let said: Vec<String> = shop.messages("ann").into_iter().map(|(said, _)| said).collect();
        assert_eq!(said, ["1 sent", "2 scheduled", "3 cancelled moved"]);
        assert_eq!(shop.messages("ann")[1].1, first.plus(Delay::days(2)));
        assert_eq!(shop.ledger("ann").last().unwrap(), "thanks deferred/moved");
        shop.tell(vec![orders("bob", first.plus(Delay::days(1)), "bob-2")]);
        assert_eq!(shop.tick(first.plus(Delay::days(2))).await.sent, 2, "Ann's second, and Bob's first of another order");

        shop.apply(&(head.clone() + &step("2d") + &step("1d") + &step("1d")), first.plus(Delay::days(2)));
        assert_eq!(go(first.plus(Delay::days(2))), Moved { moved: 1, ended: 0 }, "Bob's alone: Ann is through");
        let end = first.plus(Delay::days(9));
        shop.apply(&head, end);
        assert_eq!(go(end), Moved { moved: 0, ended: 1 });
        assert_eq!(shop.tick(end).await.sent, 0);
        assert_eq!(shop.ledger("bob").last().unwrap(), "thanks stopped/moved");
        shop.counts();
    }

    async fn what_is_put_off_keeps_its_time_of_day(test: TestDb) {
        let cart = "kind = \"cart_abandoned\", after = \"1h\"";
        let settings = NO_GUARDRAILS.to_owned() + &rule("cart", cart, "") + "send_at = \"10:00\"\n" + &step("1d");
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        shop.tell(vec![consents("ann", noon.minus(Delay::days(3)), true), puts_in_basket("ann", noon, "longjing")]);
        shop.plan(noon.plus(Delay::hours(1)));
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let times = || shop.messages("ann").into_iter().map(|(_, at)| at).collect::<Vec<_>>();
        assert_eq!(times(), [at("2026-06-02T02:00:00Z"), at("2026-06-03T02:00:00Z")], "ten in Shanghai");
        // Half past nine there: an hour later it is past ten.
        let again = at("2026-06-02T01:30:00Z");
        shop.tell(vec![puts_in_basket("ann", again, "biluochun")]);
        shop.plan(again);
        assert_eq!(times(), [at("2026-06-03T02:00:00Z"), at("2026-06-04T02:00:00Z")]);
        assert_eq!(shop.tick(at("2026-06-02T02:30:00Z")).await.sent, 0);
        assert_eq!(shop.tick(at("2026-06-03T02:00:00Z")).await.sent, 1);
    }

    async fn a_step_waits_for_a_click_of_a_person(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned()
            + &rule("thanks", AFTER, "stop_on = []")
            + &further("wait_until = \"click\"\nat_most = \"3d\"\nthen = \"send\"\nelse = \"end\"\ntemplate = \"win-back\"");
        let shop = Shop::open(&test, &settings);
        let noon = two_order(&shop);
        let first = noon.plus(Delay::hours(1));
        let mut positions = Positions::default();
        shop.plan_from(first, Some(&mut positions));
        assert_eq!(shop.send(first).await.sent, 2);
        let clicks = |who: &str, at: Timestamp, links: u16| {
            let customer = shop.customer(who);
            let hit = |link| Hit {
                store: StoreId(1),
                message: first_message(&shop, customer),
                at,
                agent: Agent::Browser,
                what: What::Click { link, links, target: "https://tea.example".to_owned() },
            };
            let hits: Vec<Hit> = (0..links.min(2)).map(hit).collect();
            let write = |conn: &mut _| clicks::store::record(conn, &hits, Instants::at(at)).map_err(DbError::from);
            test.db.write_here(write).unwrap();
        };
        let later = first.plus(Delay::hours(2));
        // Bob's mail program follows both links there are; Ann one of three, twice.
        clicks("bob", later, 2);
        clicks("ann", later, 3);
        let soon = later.plus(Delay::seconds(5));
        shop.plan_from(soon, Some(&mut positions));
        assert_eq!(shop.send(soon).await.sent, 0, "a scanner might still be at it");
        let settled = later.plus(Delay::seconds(15));
        shop.plan_from(settled, Some(&mut positions));
        assert_eq!(shop.send(settled).await.sent, 1);
        assert_eq!(shop.ledger("ann"), ["thanks enrolled", "thanks 1 sent", "thanks 2 sent"]);
        // A process that has just started finds her as well; nothing is left to do for her.
        assert_eq!(shop.tick(settled.plus(Delay::days(1))).await.sent, 0);
        assert_eq!(shop.tick(first.plus(Delay::days(3))).await.stopped, 1);
        assert_eq!(shop.ledger("bob"), ["thanks enrolled", "thanks 1 sent", "thanks 2 stopped/branch"]);
    }

    async fn variants_are_drawn_by_lot_and_stay(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned() + &rule("thanks", AFTER, "")
            + "variants = [ { name = \"plain\", weight = 1 }, { name = \"warm\", weight = 3, subject = \"So good to see you\" } ]\n";
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        let people: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
        for (round, at) in [noon, noon.plus(Delay::days(9))].into_iter().enumerate() {
            let facts = people.iter().flat_map(|who| {
                [consents(who, at.minus(Delay::hours(1)), true), orders(who, at, &format!("{who}-{round}"))]
            });
            shop.tell_at(at, facts.collect());
            assert_eq!(shop.tick(at.plus(Delay::hours(1))).await.sent, 40);
        }
        let drawn: Vec<Vec<_>> = people.iter().map(|who| wordings(&shop, who)).collect();
        assert!(drawn.iter().all(|two| two.len() == 2 && two[0].1 == two[1].1), "once drawn, it stays");
        let warm = drawn.iter().filter(|two| two[0].1.as_deref() == Some("warm")).count();
        assert!((20..40).contains(&warm), "{warm} of 40, where three in four are expected");
        let said = shop.memory.accepted().iter().filter(|mail| mail.subject == "So good to see you").count();
        assert_eq!(said, 2 * warm);
    }

    async fn who_entered_a_version_finishes_on_it(test: TestDb) {
        let first = NO_GUARDRAILS.to_owned() + &rule("thanks", AFTER, "") + &step("3d") + &step("3d");
        let shop = Shop::open(&test, &first);
        let noon = two_order(&shop);
        assert_eq!(shop.tick(noon.plus(Delay::hours(1))).await.sent, 2);
        // The new version has one step, and does not stop on an order.
        let second = NO_GUARDRAILS.to_owned() + &rule("thanks", AFTER, "stop_on = []");
        shop.apply(&second, noon.plus(Delay::hours(2)));
        let then = noon.plus(Delay::hours(1)).plus(Delay::days(3));
        assert_eq!(shop.tick(then).await.sent, 2, "the old version's second step");
        shop.tell(vec![orders("ann", then.plus(Delay::hours(1)), "ann-2")]);
        assert_eq!(shop.tick(then.plus(Delay::days(3))).await.sent, 1, "Bob's third");
        assert!(shop.ledger("ann").contains(&"thanks 3 stopped/bought".to_owned()), "{:?}", shop.ledger("ann"));
        assert!(shop.ledger("bob").contains(&"thanks 3 sent".to_owned()));
    }
}
