//! A rule in shadow: it decides as if it were live, sends nothing, and is nobody's rival.

use homing::backtest::{self, Contest, Progress, Window};
use homing::db::DbError;
use homing::primitives::Delay;
use homing::reports::shadow;
use homing::rules;

use crate::on_both_backends;
use crate::support::shop::*;

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"1h\", min_product_views = 1";
const CART: &str = "kind = \"cart_abandoned\", after = \"1h\"";

fn in_shadow(rule: String) -> String {
    rule.replace("status = \"live\"", "status = \"shadow\"")
}

on_both_backends! {
    async fn what_would_have_been_sent_is_written_down_and_nothing_leaves(test: TestDb) {
        let settings = in_shadow(rule("browse", BROWSE, "")) + &step("20h");
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        shop.tell(vec![
            consents("ann", noon.minus(Delay::days(1)), true),
            consents("bob", noon.minus(Delay::days(1)), false),
            views("ann", noon, "longjing"),
            views("bob", noon, "longjing"),
        ]);
        let due = noon.plus(hours(1));
        let tally = shop.tick(due).await;
        assert_eq!((tally.enrolled, tally.sent, tally.suppressed), (1, 0, 2));
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse 1 suppressed/shadow"]);
        assert_eq!(shop.ledger("bob"), ["browse suppressed/no_consent"]);
        assert_eq!(shop.messages("ann")[0], ("1 cancelled shadow".to_owned(), due));
        // Its second step counts from when the first would have left.
        let next = due.plus(hours(20));
        shop.tick(next).await;
        let said = shop.ledger("ann");
        assert_eq!(said.last().map(String::as_str), Some("browse 2 suppressed/shadow"), "{said:?}");
        assert!(shop.memory.accepted().is_empty());
        assert_eq!(shop.counts().cancelled_for, [("shadow".to_owned(), 2)]);
    }

    async fn a_shadow_is_decided_also_where_no_mail_can_leave_and_counts_for_no_cap(test: TestDb) {
        let settings = "[sending]\nquiet_hours = \"\"\ncap = \"1 per 7d\"\nmin_gap = \"\"\n".to_owned()
            + &rule("browse", BROWSE, "")
            + &in_shadow(rule("cart", CART, ""));
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        shop.tell(vec![
            consents("ann", noon.minus(Delay::days(1)), true),
            puts_in_basket("ann", noon, "longjing"),
            views("ann", noon.plus(Delay::seconds(60)), "longjing"),
        ]);
        shop.tick(noon.plus(hours(1))).await;
        assert_eq!(shop.ledger("ann"), ["cart enrolled", "cart 1 suppressed/shadow"]);
        shop.tick(noon.plus(hours(2))).await;
        assert_eq!(shop.ledger("ann")[2..], ["browse enrolled", "browse 1 sent"]);
    }

    async fn going_live_the_rule_begins_anew_and_takes_no_episode_from_itself(test: TestDb) {
        let cart = rule("cart", CART, "");
        let settings = |rule: String| NO_GUARDRAILS.to_owned() + &rule + &step("3d");
        let shop = Shop::open(&test, &settings(in_shadow(cart.clone())));
        let noon = test.now;
        shop.tell(vec![
            consents("ann", noon.minus(Delay::days(1)), true),
            puts_in_basket("ann", noon, "longjing"),
        ]);
        shop.tick(noon.plus(hours(1))).await;
        assert_eq!(shop.ledger("ann"), ["cart enrolled", "cart 1 suppressed/shadow"]);

        shop.apply(&settings(cart), noon.plus(hours(2)));
        assert_eq!(shop.tick(noon.plus(hours(2))).await.sent, 0, "it fell due before");
        assert_eq!(shop.messages("ann")[1].0, "2 cancelled shadow");
        // The same basket, looked at again.
        let again = noon.plus(hours(3));
        shop.tell(vec![puts_in_basket("ann", again, "biluochun")]);
        assert_eq!(shop.tick(again.plus(hours(1))).await.sent, 1);
        assert_eq!(shop.ledger("ann")[2..], ["cart enrolled", "cart 1 sent"]);
        shop.counts();
    }

    async fn its_days_in_shadow_are_those_that_the_backtest_replays(test: TestDb) {
        let settings = in_shadow(rule("browse", BROWSE, "holdout = 0.3")) + &step("20h");
        let shop = Shop::open(&test, &(settings.clone() + "\n").replace("shadow", "draft"));
        let noon = test.now;
        shop.apply(&settings, noon);
        // Three days: everybody looks at something each noon, and some buy in time.
        for day in 0..4 {
            let at = noon.plus(Delay::days(day));
            for n in 0..12 {
                let who = format!("c{day}-{n}");
                shop.tell_at(at, vec![
                    consents(&who, at.minus(hours(1)), n % 5 != 0),
                    views(&who, at, "longjing"),
                ]);
                if n % 4 == 0 {
                    shop.tell_at(at.plus(Delay::seconds(1_800)), vec![orders(&who, at.plus(Delay::seconds(1_700)), &who)]);
                }
            }
            for hour in 1..24 {
                shop.tick(at.plus(hours(hour))).await;
            }
        }
        let (store, now) = (shop.store(), noon.plus(Delay::days(4)));
        let read = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
            let stored = rules::store::find_by_key(conn, store.id, "browse")?.expect("the rule");
            let run = shadow::last(conn, &store, stored.id, now)?.expect("days in shadow");
            let decided = shadow::decided(conn, &store, stored.id, run.from, run.to)?;
            Ok((run, decided))
        };
        let (run, decided) = test.db.read_here(read).unwrap();
        assert_eq!((run.began, run.ended), (noon, None));
        assert_eq!((run.from.to_string(), run.to.to_string()), ("2026-06-02".into(), "2026-06-05".into()));
        let contest = Contest::new(store.clone(), run.rule, Vec::new());
        let going = std::sync::atomic::AtomicBool::new(false);
        let progress = Progress { seen: &|_, _| {}, cancelled: &going };
        let window = Window { from: run.from, to: run.to };
        let report = backtest::run(&test.db, &test.secret(), &contest, window, &progress).unwrap();
        let mut busy = 0;
        for day in &report.per_day {
            let [entered, _] = decided.days.get(&day.date).copied().unwrap_or_default();
            assert_eq!(day.enrolled, entered, "{}", day.date);
            busy += entered;
        }
        assert!(busy > 10, "{busy}");
        for (outcome, reason) in [("enrolled", None), ("held_out", Some("holdout"))] {
            let kind = (outcome.to_owned(), reason.map(str::to_owned));
            let there = report.outcomes.iter().find(|one| one.outcome.as_str() == outcome);
            assert_eq!(decided.outcomes.get(&kind).copied(), there.map(|one| one.n), "{outcome}");
        }
    }
}
