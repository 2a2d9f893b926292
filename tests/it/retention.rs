//! What is too old goes; who is still in a rule keeps theirs, and nothing is planned or sent a second time for it.

use homing::db::{Conn, DbError};
use homing::journal::rebuild;
use homing::primitives::{Delay, Timestamp};
use homing::retention::{self, Gone, Stale};

use crate::on_both_backends;
use crate::support::shop::*;

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"1h\", min_product_views = 1";
const CART: &str = "kind = \"cart_abandoned\", after = \"1h\"";
const FIRST: &str = "kind = \"first_order\", after = \"1h\"";
const KEPT: &str = "[retention]\ndecisions = \"100d\"\nmessages = \"110d\"\n";

fn stale(shop: &Shop, now: Timestamp) -> Vec<Stale> {
    let store = shop.store();
    let find = |conn: &mut Conn| retention::stale(conn, &store, now).map_err(DbError::from);
    shop.test.db.read_here(find).unwrap()
}

fn rows(gone: Vec<Gone>) -> Vec<(&'static str, u64)> {
    gone.into_iter().map(|gone| (gone.what, gone.rows)).collect()
}

fn counted(shop: &Shop, now: Timestamp) -> Vec<(&'static str, u64)> {
    let count = |one: &Stale| {
        shop.test.db.read_here(|conn| retention::count(conn, one).map_err(DbError::from)).unwrap()
    };
    rows(stale(shop, now).iter().map(count).collect())
}

fn let_go(shop: &Shop, now: Timestamp) -> Vec<(&'static str, u64)> {
    let go = |one: &Stale| retention::let_go(&shop.test.db, &shop.store(), one, &|| false).unwrap();
    rows(stale(shop, now).iter().map(go).collect())
}

on_both_backends! {
    async fn what_is_old_goes_and_nobody_is_written_to_again(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned() + KEPT + &rule("browse", BROWSE, "") + &rule("thanks", FIRST, "") + &step("150d");
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        shop.tell(vec![
            consents("ann", noon.minus(Delay::days(1)), true),
            consents("bob", noon.minus(Delay::days(1)), true),
            views("ann", noon, "longjing"),
            orders("bob", noon, "A"),
        ]);
        shop.tick(noon.plus(Delay::hours(1))).await;
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse 1 sent"]);
        let of_bob = shop.ledger("bob");
        assert_eq!((of_bob.len(), shop.messages("bob").len()), (2, 2), "his second step is to come");

        assert_eq!(counted(&shop, noon.plus(Delay::days(99))), [("clicks", 0), ("messages", 0), ("decisions", 0)]);
        let young = noon.plus(Delay::days(105));
        assert_eq!(counted(&shop, young), [("clicks", 0), ("messages", 0), ("decisions", 2)]);
        let later = noon.plus(Delay::days(120));
        let due = [("clicks", 0), ("messages", 1), ("decisions", 2)];
        assert_eq!(counted(&shop, later), due, "of those who are through");
        assert_eq!(let_go(&shop, later), due);
        assert_eq!(let_go(&shop, later), [("clicks", 0), ("messages", 0), ("decisions", 0)]);
        assert!(shop.ledger("ann").is_empty() && shop.messages("ann").is_empty());
        assert_eq!((shop.ledger("bob"), shop.messages("bob").len()), (of_bob, 2));

        let differences = rebuild::check(&test.db, &shop.store(), |_| ()).unwrap();
        assert_eq!(differences, []);
        let tally = shop.tick(later).await;
        assert_eq!((tally.enrolled, tally.sent), (0, 0), "her visit had its mail");
    }

    async fn mail_is_kept_for_as_long_as_a_rule_asks_whether_it_came(test: TestDb) {
        let asks = "audience = { not = { received = \"browse\" } }";
        let settings = NO_GUARDRAILS.to_owned() + KEPT + &rule("browse", BROWSE, "") + &rule("cart", CART, asks);
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        shop.tell(vec![
            consents("ann", noon.minus(Delay::days(1)), true),
            views("ann", noon, "longjing"),
        ]);
        shop.tick(noon.plus(Delay::hours(1))).await;
        let later = noon.plus(Delay::days(200));
        assert_eq!(let_go(&shop, later), [("clicks", 0), ("messages", 0), ("decisions", 2)]);
        assert_eq!(shop.messages("ann").len(), 1);
    }
}
