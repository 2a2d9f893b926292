//! Faults of the sender that can be had in process: lost answers, late words, clocks that jump, a backlog.

use std::collections::BTreeSet;

use homing::db::DbError;
use homing::ledger::Instants;
use homing::mail::Delivery;
use homing::outbox::claim::{self, Claim, Desk};
use homing::outbox::doubt;
use homing::outbox::settle::{self, Ending, Report};
use homing::primitives::{Delay, StoreId, Timestamp};

use crate::on_both_backends;
use crate::support::TestDb;
use crate::support::shop::{NO_GUARDRAILS, Shop, consents, rule, views};

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"1h\", useful_for = \"72h\"";

fn with_visits<'t>(test: &'t TestDb, settings: &str, people: &[String]) -> Shop<'t> {
    let shop = Shop::open(test, settings);
    for who in people {
        shop.tell_at(
            test.now,
            vec![
                consents(who, test.now.minus(Delay::hours(2)), true),
                views(who, test.now, "longjing"),
            ],
        );
    }
    shop
}

fn people(name: &str, n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{name}{n:02}")).collect()
}

fn at_desk<T>(
    shop: &Shop,
    at: Instants,
    f: impl FnOnce(&mut homing::db::Conn, &Desk) -> diesel::QueryResult<T>,
) -> T {
    let store = shop.store();
    let done = shop
        .test
        .db
        .write_here(|conn| -> Result<_, DbError> { Ok(f(conn, &Desk { store: &store, at })?) });
    done.expect("the desk")
}

fn claim(shop: &Shop, at: Timestamp, limit: i64, owner: &str) -> Vec<Claim> {
    at_desk(shop, Instants::at(at), |conn, desk| claim::claim_due(conn, desk, limit, owner)).claims
}

fn report(claim: &Claim, delivery: Delivery) -> Report {
    Report {
        message: claim.message.clone(),
        address: claim.address.clone(),
        subject: None,
        ending: Ending::Handed(delivery),
    }
}

on_both_backends! {
    async fn a_late_word_that_it_did_not_leave_ends_the_doubt_too(test: TestDb) {
        let shop = with_visits(&test, &(NO_GUARDRAILS.to_owned() + &rule("browse", BROWSE, "")), &people("p", 1));
        let due = test.now.plus(Delay::hours(1));
        shop.plan(due);
        let claims = claim(&shop, due, 5, "frozen");
        let thawed = due.plus(Delay::seconds(20));
        assert_eq!(at_desk(&shop, Instants::at(thawed), |conn, desk| doubt::settle_lost(conn, desk, |_| false)).in_doubt, 1);
        let word = report(&claims[0], Delivery::NotSent { why: "connection refused".into() });
        at_desk(&shop, Instants::at(thawed), |conn, desk| settle::settle(conn, desk, &[word]));
        assert_eq!(shop.messages("p00")[0].0, "1 scheduled temporary_failure");
        assert_eq!(shop.tick(thawed.plus(Delay::hours(1))).await.sent, 1);
        assert_eq!(shop.memory.accepted().len(), 1);
    }

    async fn a_claim_whose_answer_was_lost_is_taken_back_and_not_in_doubt(test: TestDb) {
        let shop = with_visits(&test, &(NO_GUARDRAILS.to_owned() + &rule("browse", BROWSE, "")), &people("p", 3));
        let due = test.now.plus(Delay::hours(1));
        shop.plan(due);
        assert_eq!(claim(&shop, due, 5, "unlucky").len(), 3);
        let given = test.db.write_here(|conn| homing::outbox::lease::give_back(conn, StoreId(1), "unlucky").map_err(DbError::from));
        assert_eq!(given.unwrap(), 3);
        assert_eq!((shop.counts().scheduled, shop.counts().in_doubt), (3, 0));
        assert_eq!(shop.tick(due).await.sent, 3);
    }

    async fn a_backlog_drains_in_order_and_lets_urgent_mail_by(test: TestDb) {
        let slow = rule("campaign", BROWSE, "");
        let owed = rule("receipt", "kind = \"cart_abandoned\", after = \"1h\", useful_for = \"72h\"", "class = \"service\"");
        let shop = with_visits(&test, &(NO_GUARDRAILS.to_owned() + &slow + &owed), &people("old", 24));
        let due = test.now.plus(Delay::hours(1));
        shop.plan(due);
        let later = test.now.plus(Delay::hours(2));
        for who in people("new", 4) {
            shop.tell_at(later, vec![
                consents(&who, later, true),
                crate::support::shop::puts_in_basket(&who, later, "longjing"),
            ]);
        }
        let now = later.plus(Delay::hours(1));
        shop.plan(now);
        let mut claimed: Vec<Vec<String>> = Vec::new();
        for n in 0..5 {
            let claims = claim(&shop, now, 8, &format!("w{n}"));
            claimed.push(claims.iter().map(|claim| claim.address.as_str().chars().take(3).collect()).collect());
        }
        let urgent = |n: usize| claimed[n].iter().filter(|who| *who == "new").count();
        assert_eq!((claimed[0].len(), urgent(0)), (8, 4), "what is owed goes first: {claimed:?}");
        assert_eq!(claimed.iter().map(Vec::len).sum::<usize>(), 28, "and nothing is left behind");
        let ids: Vec<_> = shop.test.db.read_here(|conn| {
            use diesel::prelude::*;
            use homing::db::schema::messages::dsl::*;
            messages.filter(status.eq("sending")).order(id).select(id).load::<i64>(conn).map_err(DbError::from)
        }).unwrap();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 28);
    }

    async fn clocks_that_jump_send_nothing_twice_and_lose_nothing(test: TestDb) {
        let shop = with_visits(&test, &(NO_GUARDRAILS.to_owned() + &rule("browse", BROWSE, "")), &people("p", 20));
        let mut positions = homing::planner::Positions::default();
        // The machine's clock, as a process sees it: set back, far ahead, and right at last.
        let jumps = [60, 61, 30, 600, -600, 62, 3_000, 63, 64].map(|minutes| test.now.plus(Delay::seconds(minutes * 60)));
        for (n, now) in jumps.into_iter().enumerate() {
            shop.plan_from(now, Some(&mut positions));
            // A replica whose clock is right claims, and dies; this one takes its leases for dead as its clock says.
            let claims = claim(&shop, test.now.plus(Delay::seconds(3_600 + n as i64)), 1, "another");
            at_desk(&shop, Instants::at(now), |conn, desk| doubt::settle_lost(conn, desk, |_| false));
            for claim in &claims {
                let word = report(claim, Delivery::Accepted { reply: "250 ok".into() });
                at_desk(&shop, Instants::at(now), |conn, desk| settle::settle(conn, desk, &[word]));
            }
            shop.send(now).await;
        }
        let counts = shop.counts();
        assert_eq!((counts.planned, counts.sent, counts.in_doubt), (20, 20, 0), "{counts:?}");
        let mails = shop.memory.accepted();
        let to: BTreeSet<_> = mails.iter().map(|mail| mail.envelope_to.as_str().to_owned()).collect();
        assert_eq!(to.len(), mails.len(), "nobody twice");
    }
}
