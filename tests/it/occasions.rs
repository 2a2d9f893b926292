//! Rules on days of the year and on schedules, on both databases.

use homing::customers::Traits;
use homing::journal::{Body, NewFact};
use homing::planner::Positions;
use homing::primitives::{Delay, Timestamp};
use serde_json::json;

use crate::on_both_backends;
use crate::support::shop::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Agrees to mail, and tells a birthday.
fn born(who: &str, told_at: Timestamp, birthday: &str, zone: Option<&str>) -> NewFact {
    let mut fact = consents(who, told_at, true);
    if let Body::Identified { traits } = &mut fact.body {
        let other = [("birthday".to_owned(), json!(birthday))].into_iter().collect();
        let timezone = zone.map(str::to_owned);
        **traits = Traits { timezone, other, consent: traits.consent.clone(), ..Traits::default() };
    }
    fact
}

on_both_backends! {
    async fn a_birthday_begins_in_the_customers_own_zone_and_comes_once_a_year(test: TestDb) {
        let cake = rule("cake", "kind = \"date\", field = \"birthday\"", "");
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &cake));
        let told = test.now.minus(Delay::days(30));
        shop.tell(vec![
            born("ann", told, "1990-06-02", Some("America/New_York")),
            born("bob", told, "--06-02", None),
            born("cat", told, "1990-06-03T00:00:00Z", None),
            born("dan", told, "the second of June", None),
        ]);
        // Midnight in Shanghai, the store's zone, and four in the morning UTC in New York.
        assert_eq!(shop.plan(at("2026-06-01T15:59:59Z")).enrolled, 0);
        assert_eq!(shop.plan(at("2026-06-01T16:00:00Z")).enrolled, 1);
        assert_eq!(shop.ledger("bob"), ["cake enrolled"]);
        assert_eq!(shop.plan(at("2026-06-02T03:59:59Z")).considered, 0);
        assert_eq!(shop.plan(at("2026-06-02T04:00:00Z")).enrolled, 1);
        assert_eq!(shop.ledger("ann"), ["cake enrolled"]);
        assert_eq!(shop.plan(at("2026-06-02T15:00:00Z")).considered, 0, "once");
        assert_eq!(shop.ledger("dan"), [""; 0]);
        assert_eq!(shop.send(at("2026-06-02T15:00:00Z")).await.sent, 2);
        // Another year, and by then Ann has moved.
        shop.tell(vec![born("ann", at("2027-06-01T00:00:00Z"), "1990-06-02", Some("Asia/Tokyo"))]);
        assert_eq!(shop.plan(at("2027-06-01T15:00:00Z")).enrolled, 1);
        assert_eq!(shop.ledger("ann").len(), 3);
        shop.tell(vec![born("ann", at("2027-06-01T20:00:00Z"), "1990-06-02", Some("America/New_York"))]);
        shop.plan(at("2027-06-02T05:00:00Z"));
        assert_eq!(shop.ledger("ann").len(), 3, "moving again is no second birthday");
    }

    async fn a_leap_day_is_kept_on_the_28th_and_an_offset_moves_it(test: TestDb) {
        let settings = rule("cake", "kind = \"date\", field = \"birthday\"", "")
            + &rule("early", "kind = \"date\", field = \"birthday\", offset = \"-3d\"", "");
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &settings));
        shop.tell(vec![born("ann", test.now, "1992-02-29", None)]);
        let midnight = |day: &str| at(&format!("{day}T16:00:00Z")).minus(Delay::days(1));
        assert_eq!(shop.plan(midnight("2027-02-25")).enrolled, 1);
        assert_eq!(shop.send(midnight("2027-02-25")).await.sent, 1);
        assert_eq!(shop.tick(midnight("2027-02-28")).await.sent, 1);
        assert_eq!(shop.ledger("ann"), ["early enrolled", "early 1 sent", "cake enrolled", "cake 1 sent"]);
        assert_eq!(shop.tick(midnight("2028-02-26")).await.sent, 1, "three days before the 29th");
        assert_eq!(shop.plan(midnight("2028-02-28")).enrolled, 0);
        assert_eq!(shop.plan(midnight("2028-02-29")).enrolled, 1);
    }

    async fn a_birthday_told_by_a_file_on_the_day_is_too_late_and_a_remembering_process_misses_none(test: TestDb) {
        let shop = Shop::open(&test, &rule("cake", "kind = \"date\", field = \"birthday\"", ""));
        let noon = test.now;
        let mut positions = Positions::default();
        let mut plan = |now| shop.plan_from(now, Some(&mut positions));
        plan(noon);
        // Shanghai's first of June began twelve hours ago.
        shop.tell_at(noon, vec![NewFact { live: false, ..born("ann", noon, "1990-06-01", None) }, born("bob", noon, "1990-06-01", None)]);
        let then = noon.plus(Delay::seconds(5));
        assert_eq!(plan(then).enrolled, 1, "what a live source tells may be three days late");
        assert_eq!((shop.ledger("ann").len(), shop.ledger("bob").len()), (0, 1));
        shop.tell_at(then, vec![born("cat", then, "1990-06-02", None)]);
        plan(then.plus(Delay::seconds(5)));
        plan(noon.plus(Delay::seconds(300)));
        assert_eq!(plan(noon.plus(Delay::seconds(310))).considered, 0, "nothing is new, and no day begins");
        let mut now = at("2026-06-01T15:55:00Z");
        plan(now);
        while shop.ledger("cat").is_empty() && now < at("2026-06-01T16:01:00Z") {
            now = now.plus(Delay::seconds(5));
            plan(now);
        }
        assert_eq!(now, at("2026-06-01T16:00:00Z"));
    }

    async fn the_anniversary_of_a_first_order_is_found_by_its_index(test: TestDb) {
        let shop = Shop::open(&test, &rule("year", "kind = \"date\", field = \"first_order\"", ""));
        // Shanghai's 10th of June 2024, and the last hour before it.
        let early = at("2024-06-09T16:30:00Z");
        shop.tell(vec![
            consents("ann", early, true),
            orders("ann", early, "1"),
            consents("bob", early, true),
            orders("bob", early.minus(Delay::hours(1)), "2"),
        ]);
        assert_eq!(shop.plan(at("2026-06-08T16:00:00Z")).enrolled, 1);
        assert_eq!(shop.ledger("bob"), ["year enrolled"]);
        assert_eq!(shop.plan(at("2026-06-09T16:00:00Z")).enrolled, 1);
        assert_eq!(shop.ledger("ann"), ["year enrolled"]);
    }

    async fn a_schedule_asks_the_whole_store_once_in_pages(test: TestDb) {
        let campaign = "kind = \"schedule\", cron = \"0 10 * * *\"";
        let more = "audience = { never = \"bought\" }";
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &rule("sale", campaign, more)));
        let then = test.now.minus(Delay::days(5));
        let mut facts: Vec<NewFact> = (0..650).map(|n| consents(&format!("c{n}"), then, n % 65 != 0)).collect();
        facts.push(orders("c1", then, "1"));
        shop.tell_at(then, facts);
        let ten = at("2026-06-02T02:00:00Z");
        let mut positions = Positions::default();
        let mut plan = |now| shop.plan_from(now, Some(&mut positions));
        // What a firing before had to say is made up first.
        assert_eq!(plan(test.now).enrolled, 639);
        assert_eq!(plan(ten.minus(Delay::seconds(1))).considered, 0);
        // Those who were written to a day ago are in the rule still.
        let tally = plan(ten);
        assert_eq!((tally.considered, tally.enrolled), (639, 0));
        assert_eq!(plan(ten.plus(Delay::seconds(5))), Default::default());
        assert_eq!(shop.ledger("c1"), [""; 0], "who is not asked has no row");
        assert_eq!(shop.ledger("c0"), [""; 0]);
        // Whoever comes after the firing was not asked.
        shop.tell(vec![consents("new", ten.plus(Delay::seconds(60)), true)]);
        assert_eq!(plan(ten.plus(Delay::seconds(70))).enrolled, 0);
        assert_eq!(shop.plan(ten.plus(Delay::seconds(90))).considered, 0, "nor by a process that remembers nothing");
    }

    async fn firings_missed_in_an_outage_are_made_up_once_and_in_summer_time(test: TestDb) {
        let campaign = "kind = \"schedule\", cron = \"30 2 * * *\", useful_for = \"72h\"";
        let settings = NO_GUARDRAILS.to_owned() + &rule("sale", campaign, "");
        let shop = Shop::open(&test, &settings);
        shop.tell(vec![consents("ann", test.now.minus(Delay::days(30)), true)]);
        // Four were missed; the last one is made up, for as long as it is of use.
        assert_eq!(shop.plan(test.now.plus(Delay::days(4))).enrolled, 1);
        let row = shop.messages("ann");
        assert_eq!(row.len(), 1);
        assert_eq!(row[0].1, at("2026-06-04T18:30:00Z"));
    }
}
