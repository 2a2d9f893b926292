//! The outbox on both databases: judged at the door, never claimed twice, honest about what nobody knows.

use std::collections::BTreeSet;

use diesel::prelude::*;
use homing::db::{DbError, schema};
use homing::ledger::{Instants, Outcome};
use homing::mail::Delivery;
use homing::outbox::claim::{self, Claim, Desk};
use homing::outbox::doubt::{self, Word};
use homing::outbox::settle::{self, Ending, Report};
use homing::primitives::{Delay, MessageId, StoreId, Timestamp};

use crate::on_both_backends;
use crate::support::shop::*;
use crate::support::{Answer, MailSink, TestDb};

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"1h\", min_product_views = 1";

fn hours(n: i64) -> Delay {
    Delay::hours(n)
}

fn minutes(n: i64) -> Delay {
    Delay::seconds(60 * n)
}

/// A shop without guardrails and one browse rule, in which `people` agreed and looked at a tea at noon.
fn with_visits<'t>(test: &'t TestDb, settings: &str, people: &[&str]) -> Shop<'t> {
    let shop = Shop::open(test, settings);
    let facts = people.iter().flat_map(|who| {
        [consents(who, test.now.minus(hours(1)), true), views(who, test.now, "longjing")]
    });
    shop.tell_at(test.now, facts.collect());
    shop
}

fn free(more: &str) -> String {
    NO_GUARDRAILS.to_owned() + &rule("browse", BROWSE, more)
}

/// Claims at `now` as a worker of that name would.
fn claim(shop: &Shop, now: Timestamp, owner: &str) -> Vec<Claim> {
    let (store, at) = (shop.store(), Instants::at(now));
    let claimed = shop.test.db.write_here(|conn| -> Result<_, DbError> {
        Ok(claim::claim_due(conn, &Desk { store: &store, at }, 5, owner)?)
    });
    claimed.expect("a claim").claims
}

fn desk_at<T>(
    shop: &Shop,
    now: Timestamp,
    f: impl FnOnce(&mut homing::db::Conn, &Desk) -> diesel::QueryResult<T>,
) -> T {
    let store = shop.store();
    let desk = Desk { store: &store, at: Instants::at(now) };
    shop.test.db.write_here(|conn| f(conn, &desk).map_err(DbError::from)).expect("settled")
}

fn report(claim: &Claim, delivery: Delivery) -> Report {
    Report {
        message: claim.message.clone(),
        address: claim.address.clone(),
        subject: None,
        ending: Ending::Handed(delivery),
    }
}

fn accepted() -> Delivery {
    Delivery::Accepted { reply: "250 ok".into() }
}

on_both_backends! {
    async fn what_is_due_leaves_once_and_completes(test: TestDb) {
        let shop = with_visits(&test, &(free("") + &step("3d")), &["ann"]);
        let due = test.now.plus(hours(1));
        let tally = shop.tick(due).await;
        assert_eq!((tally.enrolled, tally.sent), (1, 1));
        assert_eq!(shop.tick(due).await, Default::default(), "a second pass sends nothing");
        let mails = shop.memory.accepted();
        assert_eq!(mails.len(), 1);
        let text = String::from_utf8(mails[0].bytes.clone()).unwrap();
        for part in ["List-Unsubscribe: <https://shop.example/u/", "Date: Mon, 01 Jun 2026 05:00:00", "Tea longjing"] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
        shop.tick(due.plus(Delay::days(3))).await;
        assert_eq!(shop.memory.accepted().len(), 2);
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse 1 sent", "browse 2 sent"]);
        let statuses: Vec<String> = test.db.read_here(|conn| {
            schema::enrolments::table.select(schema::enrolments::status).load(conn).map_err(DbError::from)
        }).unwrap();
        assert_eq!(statuses, ["completed"]);
        assert_eq!(shop.counts().sent, 2);
    }

    async fn no_message_is_claimed_twice(test: TestDb) {
        let people: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        let shop = with_visits(&test, &free(""), &people);
        let due = test.now.plus(hours(1));
        shop.plan(due);
        let left = std::sync::atomic::AtomicI64::new(40);
        let claimed: Vec<MessageId> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|n| {
                let (shop, left) = (&shop, &left);
                scope.spawn(move || {
                    let mut own = Vec::new();
                    while left.load(std::sync::atomic::Ordering::SeqCst) > 0 {
                        let claims = claim(shop, due, &format!("worker-{n}"));
                        left.fetch_sub(claims.len() as i64, std::sync::atomic::Ordering::SeqCst);
                        own.extend(claims.iter().map(|claim| claim.message.id));
                    }
                    own
                })
            }).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        let distinct: BTreeSet<MessageId> = claimed.iter().copied().collect();
        assert_eq!((distinct.len(), claimed.len()), (40, 40));
        assert_eq!(shop.counts().sending, 40);
    }

    async fn in_a_backlog_service_and_what_is_soon_useless_go_first_then_the_oldest(test: TestDb) {
        let settings = free("")
            + &rule("thanks", "kind = \"order\", after = \"30m\"", "class = \"service\"")
            + &rule("flash", "kind = \"cart_abandoned\", after = \"30m\", useful_for = \"30m\"", "");
        let people: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        let shop = with_visits(&test, &settings, &people);
        let later = test.now.plus(hours(1));
        shop.tell(vec![
            consents("hasty", later, true), puts_in_basket("hasty", later, "longjing"),
            consents("buyer", later, true), orders("buyer", later, "1001"),
        ]);
        let due = later.plus(minutes(30));
        shop.plan(due);
        let claims: Vec<Claim> = (0..4).flat_map(|_| claim(&shop, due, "worker")).collect();
        let rules: Vec<&str> = claims.iter().map(|claim| claim.rule.rule.key.as_str()).collect();
        let first: BTreeSet<&str> = rules[..2].iter().copied().collect();
        assert_eq!((first, rules[2]), (BTreeSet::from(["flash", "thanks"]), "browse"));
        let oldest: Vec<_> = claims[2..].iter().map(|claim| (claim.message.scheduled_at, claim.message.id)).collect();
        assert!(oldest.is_sorted() && oldest.len() == 12, "{oldest:?}");
        assert_eq!(shop.counts().sending, 14);
    }

    async fn a_sender_that_dies_leaves_doubt_and_a_late_word_ends_it(test: TestDb) {
        let shop = with_visits(&test, &free(""), &["ann"]);
        let due = test.now.plus(hours(1));
        shop.plan(due);
        let claims = claim(&shop, due, "dead");
        let soon = due.plus(Delay::seconds(14));
        assert_eq!(desk_at(&shop, soon, |conn, desk| doubt::settle_lost(conn, desk, |_| false)).in_doubt, 0);
        let late = due.plus(Delay::seconds(16));
        assert_eq!(desk_at(&shop, late, |conn, desk| doubt::settle_lost(conn, desk, |_| false)).in_doubt, 1);
        assert_eq!(shop.counts().in_doubt, 1);
        assert_eq!(shop.tick(late.plus(hours(1))).await.sent, 0, "marketing mail is not sent again by itself");

        let told = desk_at(&shop, late, |conn, desk| settle::settle(conn, desk, &[report(&claims[0], accepted())]));
        assert_eq!(told.sent, 1);
        assert_eq!(
            shop.ledger("ann"),
            ["browse enrolled", "browse 1 in_doubt/sender_lost", "browse 1 sent"]
        );
        assert_eq!(shop.counts().sent, 1);
        let again = desk_at(&shop, late, |conn, desk| settle::settle(conn, desk, &[report(&claims[0], accepted())]));
        assert_eq!(again.sent, 0, "a report counts once");
    }

    async fn service_mail_in_doubt_is_sent_again_with_the_same_message_id(test: TestDb) {
        let shop = with_visits(&test, &free("class = \"service\""), &["ann"]);
        let due = test.now.plus(hours(1));
        shop.memory.answer_next(Delivery::InDoubt { why: "no answer after the final dot".into() });
        shop.tick(due).await;
        assert_eq!(shop.messages("ann")[0].0, "1 scheduled no_answer");
        shop.plan(due);
        shop.tick(due.plus(minutes(6))).await;
        let id = &shop.memory.accepted()[0].message_id;
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse 1 in_doubt/no_answer", "browse 1 sent"]);
        assert!(id.ends_with("@lakeside.example>"), "{id}");
    }

    async fn an_operator_ends_a_doubt(test: TestDb) {
        let shop = with_visits(&test, &free(""), &["ann", "bob"]);
        let due = test.now.plus(hours(1));
        for _ in 0..2 {
            shop.memory.answer_next(Delivery::InDoubt { why: "no answer".into() });
        }
        assert_eq!(shop.tick(due).await.in_doubt, 2);
        let ids: Vec<MessageId> = test.db.read_here(|conn| {
            schema::messages::table.order(schema::messages::id).select(schema::messages::id).load(conn).map_err(DbError::from)
        }).unwrap();
        let words = [Word::SendAgain, Word::TakeAsSent];
        for (id, word) in ids.iter().zip(words) {
            let at = Instants::at(due.plus(hours(1)));
            let ended = test.db.write_here(|conn| doubt::resolve_in_doubt(conn, StoreId(1), *id, word, at).map_err(DbError::from));
            assert!(ended.unwrap());
        }
        assert_eq!(shop.counts().sent, 1);
        shop.tick(due.plus(hours(1))).await;
        assert_eq!((shop.counts().sent, shop.memory.accepted().len()), (2, 1));
    }

    async fn the_door_sees_what_happened_since_the_plan(test: TestDb) {
        let people = ["buyer", "leaver", "bounced", "ann"];
        let shop = with_visits(&test, &free(""), &people);
        let due = test.now.plus(hours(1));
        shop.plan(due);
        shop.tell(vec![
            orders("buyer", due.minus(minutes(1)), "1001"),
            consents("leaver", due.minus(minutes(1)), false),
        ]);
        test.db.write_here(|conn| {
            let address = "bounced@mail.example".parse().unwrap();
            settle::suppress(conn, StoreId(1), &address, "operator", "", due).map_err(DbError::from)
        }).unwrap();
        let tally = shop.send(due).await;
        assert_eq!((tally.stopped, tally.suppressed, tally.sent), (1, 2, 1));
        assert_eq!(shop.ledger("buyer"), ["browse enrolled", "browse 1 stopped/bought"]);
        assert_eq!(shop.ledger("leaver"), ["browse enrolled", "browse 1 suppressed/no_consent"]);
        assert_eq!(shop.ledger("bounced"), ["browse enrolled", "browse 1 suppressed/suppressed"]);
        assert_eq!(shop.memory.accepted()[0].envelope_to.as_str(), "ann@mail.example");
        assert_eq!(shop.counts().cancelled, 3);
    }

    async fn quiet_hours_defer_to_their_end_in_the_customers_zone(test: TestDb) {
        let settings = "[sending]\ncap = \"\"\nmin_gap = \"\"\n".to_owned() + &rule("browse", BROWSE, "");
        let shop = Shop::open(&test, &settings);
        // 20:30 in Shanghai: due at 21:30.
        let evening = test.now.plus(minutes(8 * 60 + 30));
        shop.tell(vec![consents("ann", evening.minus(hours(1)), true), views("ann", evening, "longjing")]);
        let tally = shop.tick(evening.plus(hours(1))).await;
        assert_eq!((tally.enrolled, tally.deferred, tally.sent), (1, 1, 0));
        let nine = test.now.plus(hours(21));
        assert_eq!(shop.messages("ann"), [("1 scheduled quiet_hours".to_owned(), nine)]);
        assert_eq!(shop.counts().deferred, [("quiet_hours".to_owned(), 1)]);
        assert_eq!(shop.tick(nine).await.sent, 1);
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse 1 deferred/quiet_hours", "browse 1 sent"]);
    }

    async fn gap_and_cap_hold_mail_up_and_what_waits_too_long_expires(test: TestDb) {
        let sending = "[sending]\nquiet_hours = \"\"\ncap = \"2 per 7d\"\nmin_gap = \"16h\"\n";
        let settings = sending.to_owned() + &rule("browse", BROWSE, "") + &step("1h") + &step("1d") ;
        let shop = with_visits(&test, &settings, &["ann"]);
        let due = test.now.plus(hours(1));
        shop.tick(due).await;
        let second = due.plus(hours(1));
        assert_eq!(shop.tick(second).await.deferred, 1);
        assert_eq!(shop.messages("ann")[1], ("2 scheduled min_gap".to_owned(), due.plus(hours(16))));
        assert_eq!(shop.tick(due.plus(hours(16))).await.sent, 1);
        // The third waits a day from when the second left, and then for room under the cap: past its use.
        let third = due.plus(hours(16)).plus(Delay::days(1));
        shop.tick(third).await;
        assert_eq!(shop.messages("ann")[2], ("3 scheduled cap".to_owned(), third.plus(hours(72)).plus_micro()));
        let tally = shop.tick(third.plus(hours(73))).await;
        assert_eq!((tally.expired, tally.sent), (1, 0));
        assert_eq!(shop.ledger("ann")[4..], ["browse 3 deferred/cap", "browse 3 expired/useful_until_passed"]);
    }

    async fn temporary_failures_return_and_permanent_ones_end(test: TestDb) {
        let shop = with_visits(&test, &(free("") + &step("1d")), &["ann"]);
        let due = test.now.plus(hours(1));
        shop.memory.answer_next(Delivery::Temporary { reply: "451 later".into() });
        assert_eq!(shop.tick(due).await.deferred, 1);
        assert_eq!(shop.send(due.plus(minutes(4))).await, Default::default());
        shop.memory.answer_next(Delivery::NotSent { why: "connection refused".into() });
        shop.send(due.plus(minutes(6))).await;
        shop.send(due.plus(minutes(30))).await;
        assert_eq!(shop.memory.accepted().len(), 1);
        shop.memory.answer_next(Delivery::Permanent { reply: "550 no such user".into(), hard: true });
        assert_eq!(shop.send(due.plus(minutes(30)).plus(Delay::days(1))).await.failed, 1);
        assert_eq!(
            shop.ledger("ann"),
            ["browse enrolled", "browse 1 deferred/temporary_failure", "browse 1 sent", "browse 2 failed/refused_by_server"],
            "a deferral that goes on is no news"
        );
        let next = due.plus(Delay::days(3));
        shop.tell(vec![views("ann", next, "longjing")]);
        shop.tick(next.plus(hours(1))).await;
        assert_eq!(shop.ledger("ann")[4..], ["browse suppressed/suppressed"], "nobody lives there");
    }

    async fn a_step_counts_its_wait_from_when_the_one_before_left(test: TestDb) {
        let shop = with_visits(&test, &(free("") + &step("1d")), &["ann"]);
        let due = test.now.plus(hours(1));
        shop.plan(due);
        let outage_over = due.plus(hours(30));
        assert_eq!(shop.send(outage_over).await.sent, 1, "not both at once");
        let second = outage_over.plus(Delay::days(1));
        assert_eq!(shop.messages("ann")[1], ("2 scheduled".to_owned(), second));
        assert_eq!(shop.send(second).await.sent, 1);
    }

    async fn a_paused_rule_holds_its_messages_until_it_is_live_again(test: TestDb) {
        let settings = free("");
        let shop = with_visits(&test, &settings, &["ann"]);
        let due = test.now.plus(hours(1));
        shop.plan(due);
        shop.apply(&settings.replace("\"live\"", "\"paused\""), due);
        assert_eq!(shop.tick(due).await.deferred, 1);
        assert_eq!(shop.tick(due.plus(hours(1))).await, Default::default());
        shop.apply(&settings, due.plus(minutes(90)));
        assert_eq!(shop.tick(due.plus(minutes(91))).await.sent, 1);
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse 1 deferred/paused", "browse 1 sent"]);
    }

    async fn a_rule_of_many_sends_at_the_stores_rate_and_a_stop_finishes_what_is_in_the_air(test: TestDb) {
        let people: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        let settings = free("").replace("min_gap", "rate = \"20/s\"\nmin_gap");
        let shop = with_visits(&test, &settings, &people);
        let due = test.now.plus(hours(1));
        shop.plan(due);
        let begun = std::time::Instant::now();
        let stop = shop.stop.clone();
        let stopper = tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            stop.cancel();
        });
        let sent = shop.send(due).await.sent;
        stopper.await.unwrap();
        let counts = shop.counts();
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
        assert!((1..30).contains(&sent), "{sent}");
        assert_eq!((counts.sending, counts.in_doubt), (0, 0), "nothing is left in the air");
        assert_eq!((counts.sent + counts.scheduled, counts.sent as u64), (30, sent));
    }

    async fn a_real_server_that_hangs_up_at_the_final_dot_leaves_doubt(test: TestDb) {
        let Some(sink) = MailSink::start(Answer::HangsUp(".")) else { return };
        let mut shop = with_visits(&test, &free(""), &["ann"]);
        let url = homing::config::SmtpUrl(sink.url());
        let office = homing::outbox::PostOffice {
            db: test.db.clone(),
            composer: homing::mail::Composer::load(None).unwrap(),
            transport: Some(homing::mail::Transport::from_url(&url).unwrap()),
            secret: test.secret(),
            public_url: "https://shop.example".into(),
            metrics: homing::metrics::Metrics::default(),
        };
        shop.office = std::sync::Arc::new(office);
        let tally = shop.tick(test.now.plus(hours(1))).await;
        assert_eq!((tally.sent, tally.in_doubt), (0, 1));
        assert_eq!(shop.ledger("ann"), ["browse enrolled".to_owned(), format!("browse 1 {}/no_answer", Outcome::InDoubt)]);
    }
}

trait PlusMicro {
    fn plus_micro(self) -> Self;
}

impl PlusMicro for Timestamp {
    fn plus_micro(self) -> Self {
        Timestamp(self.0 + 1)
    }
}
