//! A rule in shadow: it decides as if it were live, sends nothing, and is nobody's rival.

use homing::primitives::Delay;

use crate::on_both_backends;
use crate::support::shop::*;

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"1h\", min_product_views = 1";
const CART: &str = "kind = \"cart_abandoned\", after = \"1h\"";

fn hours(n: i64) -> Delay {
    Delay::hours(n)
}

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
}
