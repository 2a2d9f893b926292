//! The planner on both databases: who is due is enrolled, once, whoever plans and however often.

use diesel::prelude::*;
use homing::db::{DbError, schema};
use homing::identity::Identifiers;
use homing::planner::Positions;
use homing::primitives::{Delay, Timestamp};
use homing::scoring;

use crate::on_both_backends;
use crate::support::shop::*;

const BROWSE: &str = "kind = \"visited_without_buying\", after = \"4h\", min_product_views = 1";
const CART: &str = "kind = \"cart_abandoned\", after = \"6h\"";
const ORDER: &str = "kind = \"order\", after = \"1d\"";

/// Ann agreed long ago; at noon she looked at a tea.
fn ann_browses(shop: &Shop) -> Timestamp {
    let noon = shop.test.now;
    shop.tell(vec![
        consents("ann", noon.minus(Delay::days(30)), true),
        views("ann", noon, "longjing"),
    ]);
    noon
}

fn rows(shop: &Shop) -> (i64, i64, i64) {
    let count = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
        Ok((
            schema::enrolments::table.count().get_result(conn)?,
            schema::messages::table.count().get_result(conn)?,
            schema::decisions::table.count().get_result(conn)?,
        ))
    };
    shop.test.db.read_here(count).unwrap()
}

/// What a scoring says of somebody.
struct Estimate {
    who: String,
    p: f64,
    value: i64,
    at_risk_since: Option<Timestamp>,
}

/// A finished scoring in which these rows changed.
fn scored(shop: &Shop, run: i64, as_of: Timestamp, said: &[Estimate]) {
    use schema::{scores, scoring_runs, segment_history};
    let known: Vec<_> = said.iter().map(|one| (shop.customer(&one.who), one)).collect();
    let write = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
        for (customer, one) in &known {
            let last_order_at: Option<Option<i64>> = schema::rollups::table
                .find(customer)
                .select(schema::rollups::last_order_at)
                .first(conn)
                .optional()?;
            let long_ago = shop.test.now.minus(Delay::days(100)).0;
            diesel::delete(scores::table.find(customer)).execute(conn)?;
            diesel::insert_into(scores::table)
                .values((
                    (
                        scores::customer_id.eq(customer),
                        scores::store_id.eq(1_i64),
                        scores::kind.eq("buyer"),
                    ),
                    (scores::r.eq(2_i16), scores::f.eq(4_i16), scores::m.eq(4_i16)),
                    (scores::segment.eq("at_risk"), scores::segment_since.eq(as_of.0)),
                    (scores::frequency.eq(4), scores::spent.eq(1_i64), scores::orders_count.eq(4)),
                    (scores::p_alive.eq(one.p), scores::value_at_risk.eq(one.value)),
                    scores::last_order_at.eq(last_order_at.flatten().unwrap_or(long_ago)),
                    scores::at_risk_since.eq(one.at_risk_since.map(|at| at.0)),
                    scores::risk_rank.eq(one.at_risk_since.map(|_| 1.0)),
                ))
                .execute(conn)?;
            diesel::insert_into(segment_history::table)
                .values((
                    segment_history::customer_id.eq(customer),
                    segment_history::since.eq(as_of.0),
                    segment_history::segment.eq("at_risk"),
                ))
                .execute(conn)?;
        }
        diesel::insert_into(scoring_runs::table)
            .values((
                scoring_runs::store_id.eq(1_i64),
                scoring_runs::id.eq(run + 1),
                (scoring_runs::as_of.eq(as_of.0), scoring_runs::ran_at.eq(as_of.0)),
                (scoring_runs::historic.eq(false), scoring_runs::finished.eq(true)),
                (scoring_runs::buyers.eq(0_i64), scoring_runs::visitors.eq(0_i64)),
                scoring_runs::summary.eq("{}"),
            ))
            .execute(conn)?;
        Ok(())
    };
    shop.test.db.write_here(write).expect("scores are written");
}

on_both_backends! {
    async fn a_visit_is_planned_when_due_and_only_once(test: TestDb) {
        let settings = rule("browse", BROWSE, "") + &step("3d");
        let shop = Shop::open(&test, &settings);
        let noon = ann_browses(&shop);
        assert_eq!(shop.plan(noon.plus(hours(3))).considered, 0);
        let due = noon.plus(hours(4));
        assert_eq!(shop.plan(due).enrolled, 1);
        assert_eq!(shop.messages("ann"), [
            ("1 scheduled".to_owned(), due),
            ("2 scheduled".to_owned(), due.plus(Delay::days(3))),
        ]);
        assert_eq!(shop.plan(due), Default::default(), "planning twice is planning once");
        assert_eq!(shop.ledger("ann"), ["browse enrolled"]);
        assert_eq!(rows(&shop), (1, 2, 1));
    }

    async fn a_learned_repurchase_falls_due_when_the_rhythm_says_and_an_order_moves_it(test: TestDb) {
        let shop = Shop::open(&test, &rule("refill", "kind = \"repurchase_due\"", ""));
        let day = |n: i64| test.now.minus(Delay::days(n));
        // Forty others teach the store's rhythm; Ann and Ben ordered every twenty days until a week ago.
        let mut facts = vec![consents("ann", day(200), true), consents("ben", day(200), true)];
        for n in 0..40 {
            let others = (0..12).map(|k| of(orders(&format!("c{n}"), day(9 + n % 9 + k * (16 + n % 9)), &format!("c{n}-{k}")), &[]));
            facts.extend(others);
        }
        for who in ["ann", "ben"] {
            facts.extend((0..12).map(|k| of(orders(who, day(7 + k * 20), &format!("{who}-{k}")), &[])));
        }
        shop.tell_at(test.now, facts);
        scoring::score_store(&test.db, &shop.store(), test.now).unwrap();
        let expected = |who: &str| {
            let score = test.db.read_here(|conn| scoring::store::score_of(conn, shop.store().id, shop.customer(who))
                .map_err(DbError::from)).unwrap().unwrap();
            score.forecast.next_order_expected_at.unwrap()
        };
        let due = expected("ann");
        assert!(due > day(7).plus(Delay::days(10)) && due < day(7).plus(Delay::days(40)), "{due}");
        assert_eq!(expected("ben"), due);

        let back = due.minus(hours(2));
        shop.tell_at(back, vec![of(orders("ben", back, "ben-again"), &[])]);
        let rescored = scoring::rescore_changed(&test.db, &shop.store(), test.now, back, back).unwrap();
        assert_eq!(rescored, 1);
        assert!(expected("ben") > due);

        shop.plan(due.minus(hours(1)));
        assert_eq!(shop.ledger("ann"), Vec::<String>::new());
        shop.plan(due);
        assert_eq!(shop.ledger("ann"), ["refill enrolled"]);
        assert_eq!(shop.ledger("ben"), Vec::<String>::new());
        shop.plan(due.plus(hours(1)));
        assert_eq!(shop.ledger("ann").len(), 1, "once for one order");
    }

    async fn a_product_that_runs_out_is_what_a_learned_repurchase_is_about(test: TestDb) {
        let rule = rule("refill", "kind = \"repurchase_due\"", "").replace("browse-reminder", "repurchase-nudge");
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &rule));
        let day = |n: i64| test.now.minus(Delay::days(n));
        let mut facts = vec![consents("ann", day(400), true), consents("ben", day(400), true)];
        // Coffee runs out in three weeks, two bags in six; a kettle is bought once.
        for n in 0..40 {
            let (who, mut ago) = (format!("c{n}"), 390 - n);
            facts.push(of(orders(&who, day(ago), &format!("{who}-kettle")), &[("kettle", 1.0)]));
            for k in 0.. {
                let bags = 1 + (n + k) % 2;
                facts.push(of(orders(&who, day(ago), &format!("{who}-{k}")), &[("coffee", bags as f64)]));
                ago -= bags * (19 + (n + 3 * k) % 5);
                if ago < 1 {
                    break;
                }
            }
        }
        for (who, bags) in [("ann", 1.0), ("ben", 2.0)] {
            facts.push(of(orders(who, day(47), &format!("{who}-1")), &[("coffee", 1.0)]));
            facts.push(of(orders(who, day(26), &format!("{who}-2")), &[("coffee", 1.0)]));
            facts.push(of(orders(who, day(5), &format!("{who}-3")), &[("kettle", 1.0), ("coffee", bags)]));
        }
        shop.tell_at(test.now, facts);
        scoring::score_store(&test.db, &shop.store(), test.now).unwrap();
        let expected = |who: &str| {
            test.db.read_here(|conn| scoring::rhythm::store::expected(conn, &[shop.customer(who)])
                .map_err(DbError::from)).unwrap()
        };
        let [coffee] = &expected("ann")[..] else { panic!("{:?}", expected("ann")) };
        assert_eq!((coffee.product_id.as_str(), coffee.bought_at), ("coffee", day(5)));
        let days = |at: Timestamp| at.days_since(day(5));
        assert!((18.0..26.0).contains(&days(coffee.expected_at)), "{coffee:?}");
        let two_bags = expected("ben")[0].expected_at;
        assert!(days(two_bags) > 1.5 * days(coffee.expected_at), "{two_bags}");

        let due = coffee.expected_at;
        shop.plan(due.minus(hours(1)));
        assert_eq!(shop.ledger("ann"), [""; 0]);
        shop.tick(due).await;
        assert_eq!(shop.ledger("ann"), ["refill enrolled", "refill 1 sent"]);
        assert_eq!(shop.ledger("ben"), [""; 0]);
        let mail = &shop.memory.accepted()[0];
        let text = String::from_utf8_lossy(&mail.bytes).into_owned();
        assert!(text.contains("Tea coffee") && !text.contains("Tea kettle"), "{text}");
        let told = test.db.read_here(|conn| homing::ledger::store::of_customer(conn, shop.customer("ann"), None, 9)
            .map_err(DbError::from)).unwrap();
        assert_eq!(told[1].facts["product"], "Tea coffee");

        // An order is told anew alone, from what was learnt.
        let back = due.plus(hours(2));
        shop.tell_at(back, vec![of(orders("ben", back, "ben-4"), &[("coffee", 1.0)])]);
        scoring::rescore_changed(&test.db, &shop.store(), test.now, back, back).unwrap();
        assert_eq!(expected("ben")[0].bought_at, back);
        assert!(expected("ben")[0].expected_at > back.plus(Delay::days(14)));
    }

    async fn two_planners_at_once_make_one_enrolment(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", BROWSE, ""));
        let noon = test.now;
        let people: Vec<String> = (0..60).map(|n| format!("c{n}")).collect();
        let facts = people.iter().flat_map(|who| {
            [consents(who, noon.minus(hours(1)), true), views(who, noon, "longjing")]
        });
        shop.tell_at(noon, facts.collect());
        let due = noon.plus(hours(4));
        let (db, store, secret) = (&test.db, &shop.store(), &test.secret());
        let at = homing::ledger::Instants::at(due);
        let enrolled: u64 = std::thread::scope(|scope| {
            let plan = || homing::planner::pass(db, store, secret, at, None).unwrap().enrolled;
            let planners: Vec<_> = (0..4).map(|_| scope.spawn(plan)).collect();
            planners.into_iter().map(|planner| planner.join().unwrap()).sum()
        });
        assert_eq!(enrolled, 60);
        assert_eq!(rows(&shop), (60, 60, 60));
    }

    async fn a_process_that_remembers_how_far_it_looked_misses_nothing(test: TestDb) {
        let settings = rule("browse", BROWSE, "") + &rule("thanks", ORDER, "");
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &settings));
        let noon = ann_browses(&shop);
        let mut positions = Positions::default();
        let mut plan = |now| shop.plan_from(now, Some(&mut positions));
        assert_eq!(plan(noon.plus(hours(4)).minus(Delay::seconds(8))).considered, 0, "the whole window");
        assert_eq!(plan(noon.plus(hours(4)).minus(Delay::seconds(3))).considered, 0, "what is new");
        assert_eq!(plan(noon.plus(hours(4)).plus(Delay::seconds(2))).enrolled, 1, "fell due since");
        assert_eq!(plan(noon.plus(hours(4)).plus(Delay::seconds(7))).considered, 0);

        // Told late of something that fell due before the last pass.
        let arrives = noon.plus(hours(4)).plus(Delay::seconds(9));
        shop.tell_at(arrives, vec![
            consents("bob", noon.minus(Delay::days(1)), true),
            views("bob", noon.minus(hours(1)), "longjing"),
        ]);
        assert_eq!(plan(arrives.plus(Delay::seconds(3))).enrolled, 1);

        // An order ends what is open.
        let buys = arrives.plus(Delay::seconds(6));
        shop.tell(vec![orders("ann", buys, "1001")]);
        assert_eq!(plan(buys.plus(Delay::seconds(2))).stopped, 1);
        assert_eq!(shop.ledger("ann"), ["browse enrolled", "browse stopped/bought"]);
        assert_eq!(shop.messages("ann")[0].0, "1 cancelled bought");
        let counts = shop.counts();
        assert_eq!((counts.scheduled, counts.cancelled), (1, 1));
        assert_eq!(counts.cancelled_for, [("bought".to_owned(), 1)]);
    }

    async fn refusals_at_due_time_are_in_the_ledger_once(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", BROWSE, ""));
        let noon = test.now;
        shop.tell(vec![views("bob", noon, "longjing"), consents("eve", noon, true)]);
        shop.tell(vec![fact("eve", noon, homing::journal::Body::PageViewed { title: None, referrer: None })]);
        for _ in 0..2 {
            shop.plan(noon.plus(hours(5)));
        }
        assert_eq!(shop.ledger("bob"), ["browse suppressed/no_consent"]);
        assert_eq!(shop.ledger("eve"), ["browse not_eligible/audience"]);
        assert_eq!(rows(&shop), (2, 0, 2));
    }

    async fn late_news_causes_no_late_mail(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", BROWSE, ""));
        let noon = test.now;
        let mut imported = views("ann", noon, "longjing");
        imported.live = false;
        let arrives = noon.plus(hours(5));
        shop.tell_at(arrives, vec![consents("ann", noon, true), imported]);
        assert_eq!(shop.plan(arrives.plus(hours(1))).considered, 1);
        assert_eq!(shop.ledger("ann"), [""; 0], "it fell due before it was known");

        let mut in_time = views("bob", noon, "longjing");
        in_time.live = false;
        shop.tell_at(noon.plus(hours(3)), vec![consents("bob", noon, true), in_time]);
        shop.plan(noon.plus(hours(5)));
        assert_eq!(shop.ledger("bob"), ["browse enrolled"]);
    }

    async fn a_lower_rung_waits_for_the_basket_and_is_stopped_by_it(test: TestDb) {
        let shop = Shop::open(&test, &(rule("browse", BROWSE, "") + &rule("cart", CART, "")));
        let noon = ann_browses(&shop);
        shop.tell(vec![puts_in_basket("ann", noon.plus(Delay::seconds(300)), "longjing")]);
        // Putting a tea into the basket went on with the visit.
        let browse_due = noon.plus(Delay::seconds(300)).plus(hours(4));
        assert_eq!(shop.plan(browse_due).deferred, 1);
        assert_eq!(shop.plan(browse_due.plus(hours(1))), Default::default());
        let tally = shop.plan(browse_due.plus(hours(2)));
        assert_eq!((tally.enrolled, tally.stopped), (1, 1));
        assert_eq!(
            shop.ledger("ann"),
            ["browse deferred/outranked", "browse stopped/outranked", "cart enrolled"]
        );
    }

    async fn a_waiting_rule_has_its_turn_when_the_stronger_one_declines(test: TestDb) {
        let nobody = "audience = { all = [ { field = \"orders_count\", op = \"gt\", value = 9 } ] }";
        let settings = rule("browse", BROWSE, "") + &rule("cart", CART, nobody);
        let shop = Shop::open(&test, &settings);
        let noon = ann_browses(&shop);
        shop.tell(vec![puts_in_basket("ann", noon.plus(Delay::seconds(300)), "longjing")]);
        shop.plan(noon.plus(Delay::seconds(300)).plus(hours(4)));
        shop.plan(noon.plus(Delay::seconds(300)).plus(hours(6)));
        let mut ledger = shop.ledger("ann");
        ledger.sort();
        assert_eq!(
            ledger,
            ["browse deferred/outranked", "browse enrolled", "cart not_eligible/audience"]
        );
        assert_eq!(shop.counts().scheduled, 1);
    }

    async fn a_basket_that_changes_moves_what_is_unsent(test: TestDb) {
        let shop = Shop::open(&test, &rule("cart", CART, ""));
        let noon = ann_browses(&shop);
        shop.tell(vec![puts_in_basket("ann", noon, "longjing")]);
        shop.plan(noon.plus(hours(6)));
        let again = noon.plus(hours(7));
        shop.tell(vec![puts_in_basket("ann", again, "biluochun")]);
        let mut positions = Positions::default();
        shop.plan_from(again, Some(&mut positions));
        shop.plan_from(again.plus(Delay::seconds(5)), Some(&mut positions));
        assert_eq!(shop.messages("ann"), [("1 scheduled".to_owned(), again.plus(hours(6)))]);
        shop.plan(again.plus(hours(6)));
        assert_eq!(shop.ledger("ann"), ["cart enrolled"], "one episode, however often it changes");
    }

    async fn a_visitor_refused_stays_refused_for_that_visit_after_signing_in(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", BROWSE, ""));
        let noon = test.now;
        let anonymous = || Identifiers { anonymous_id: Some("b1".into()), ..Identifiers::default() };
        let mut seen = views("ann", noon, "longjing");
        seen.identifiers = anonymous();
        shop.tell(vec![seen]);
        assert_eq!(shop.plan(noon.plus(hours(4))).suppressed, 1, "no address");
        let mut signs_in = consents("ann", noon.plus(hours(4)), true);
        signs_in.identifiers.anonymous_id = Some("b1".into());
        shop.tell(vec![signs_in]);
        shop.plan(noon.plus(hours(5)));
        assert_eq!(shop.ledger("ann"), ["browse suppressed/no_consent"]);
    }

    async fn orders_are_thanked_for_once_whoever_tells_of_them(test: TestDb) {
        let shop = Shop::open(&test, &(NO_GUARDRAILS.to_owned() + &rule("thanks", ORDER, "")));
        let noon = ann_browses(&shop);
        shop.tell(vec![orders("ann", noon, "1001")]);
        assert_eq!(shop.plan(noon.plus(Delay::days(1))).enrolled, 1);
        let mut told_again = orders("ann", noon.plus(Delay::seconds(20)), "1001");
        told_again.source = homing::journal::Source::Csv;
        told_again.occurred_at = noon.plus(Delay::seconds(20));
        shop.tell_at(noon.plus(Delay::days(1)), vec![told_again]);
        shop.plan(noon.plus(Delay::days(1)).plus(hours(1)));
        assert_eq!(shop.ledger("ann"), ["thanks enrolled"], "neither stopped nor enrolled again");
        shop.tell(vec![orders("ann", noon.plus(Delay::days(2)), "1002")]);
        shop.plan(noon.plus(Delay::days(3)));
        assert_eq!(
            shop.ledger("ann"),
            ["thanks enrolled", "thanks stopped/bought", "thanks enrolled"]
        );
    }

    async fn a_segment_entered_counts_from_when_it_was(test: TestDb) {
        let trigger = "kind = \"segment_entered\", segment = \"at_risk\", after = \"1d\"";
        let shop = Shop::open(&test, &rule("risk", trigger, ""));
        let noon = ann_browses(&shop);
        let customer = shop.customer("ann");
        test.db.write_here(|conn| -> Result<_, DbError> {
            use schema::{scores, segment_history};
            diesel::insert_into(segment_history::table)
                .values((
                    segment_history::customer_id.eq(customer),
                    segment_history::since.eq(noon.minus(Delay::days(30)).0),
                    segment_history::segment.eq("loyal_customers"),
                ))
                .execute(conn)?;
            diesel::insert_into(scores::table)
                .values((
                    (scores::customer_id.eq(customer), scores::store_id.eq(1_i64), scores::kind.eq("buyer")),
                    (scores::r.eq(2_i16), scores::f.eq(4_i16), scores::m.eq(4_i16)),
                    (scores::segment.eq("at_risk"), scores::segment_since.eq(noon.0)),
                    (scores::frequency.eq(4), scores::spent.eq(1_i64)),
                    scores::orders_count.eq(4),
                ))
                .execute(conn)
                .map_err(DbError::from)
        }).unwrap();
        assert_eq!(shop.plan(noon.plus(hours(23))).considered, 0);
        assert_eq!(shop.plan(noon.plus(hours(24))).enrolled, 1);
        assert_eq!(shop.plan(noon.plus(hours(25))).considered, 0);
    }

    async fn who_is_found_in_a_segment_by_the_first_scoring_did_not_enter_it_then(test: TestDb) {
        let shop = Shop::open(&test, NO_GUARDRAILS);
        let noon = test.now;
        let long_ago = noon.minus(Delay::days(900));
        // A file of old orders, and somebody who orders today.
        let told = |who: &str, at: Timestamp| {
            let mut order = orders(who, at, &format!("{who}-1"));
            order.live = false;
            [consents(who, at, true), order]
        };
        shop.tell_at(noon, (0..8).flat_map(|n| told(&format!("old{n}"), long_ago.plus(Delay::days(n)))).collect());
        shop.tell(vec![consents("ann", noon, true), orders("ann", noon, "ann-1")]);
        scoring::score_store(&test.db, &shop.store(), noon).unwrap();
        let segment_of = |who: &str| {
            use schema::scores;
            let row = scores::table.find(shop.customer(who)).select(scores::segment);
            test.db.read_here(|conn| row.first::<String>(conn).map_err(DbError::from)).unwrap()
        };
        let (new, gone) = (segment_of("ann"), segment_of("old0"));
        assert_ne!(new, gone);
        let on = |key: &str, segment: &str| {
            rule(key, &format!("kind = \"segment_entered\", segment = \"{segment}\", after = \"1h\""), "")
        };
        let settings = NO_GUARDRAILS.to_owned() + &on("new", &new) + &on("gone", &gone);
        shop.apply(&settings, noon.minus(Delay::days(365)));
        let soon = noon.plus(hours(2));
        let tally = shop.plan(soon);
        assert_eq!((tally.considered, tally.enrolled), (1, 1), "who was imported is not even looked at");
        assert_eq!(shop.ledger("ann"), ["new enrolled"]);
        assert_eq!(shop.ledger("old0"), [""; 0]);
        // A second order does not make her enter it again.
        shop.tell(vec![orders("ann", soon, "ann-2")]);
        scoring::score_store(&test.db, &shop.store(), soon).unwrap();
        shop.plan(soon.plus(hours(2)));
        assert_eq!(shop.ledger("ann").iter().filter(|line| *line == "new enrolled").count(), 1);
    }

    async fn at_risk_counts_from_the_day_the_rule_s_line_was_crossed(test: TestDb) {
        let line = "kind = \"at_risk\", p_alive_below = 0.4, value_above = 100";
        let shop = Shop::open(&test, &rule("risk", line, ""));
        let day = |n: i64| test.now.plus(Delay::days(n));
        for who in ["ann", "bob", "cay"] {
            shop.tell(vec![consents(who, day(-200), true)]);
        }
        let said = |who: &str, p, value| Estimate { who: who.to_owned(), p, value, at_risk_since: None };
        let scored = |n, all: &[Estimate]| scored(&shop, n, day(n), all);

        scored(0, &[said("ann", 0.8, 20_000), said("bob", 0.3, 20_000), said("cay", 0.3, 5_000)]);
        assert_eq!(shop.plan(day(0)).enrolled, 0, "whom the first scoring finds there did not get there today");
        scored(10, &[said("ann", 0.35, 20_000)]);
        assert_eq!(shop.plan(day(10)).enrolled, 1);
        assert_eq!(shop.plan(day(10)), Default::default());
        scored(11, &[said("ann", 0.45, 20_000)]);
        shop.plan(day(11));
        scored(12, &[said("ann", 0.38, 20_000), said("cay", 0.3, 10_001)]);
        assert_eq!(shop.plan(day(12)).enrolled, 1, "a value rose; a chance that trembles is no news");
        assert_eq!(shop.ledger("ann"), ["risk enrolled"]);
        assert_eq!(shop.ledger("cay"), ["risk enrolled"]);

        shop.tell(vec![orders("ann", day(13), "back")]);
        scored(13, &[said("ann", 0.99, 0)]);
        shop.plan(day(13));
        scored(20, &[said("ann", 0.2, 20_000)]);
        shop.plan(day(20));
        assert_eq!(shop.ledger("ann"), ["risk enrolled", "risk stopped/bought", "risk enrolled"]);
        assert_eq!(shop.ledger("bob"), [""; 0]);

        // Fifteen days on the safe side end a stay, without an order too.
        scored(30, &[said("bob", 0.5, 20_000)]);
        shop.plan(day(30));
        scored(45, &[said("bob", 0.3, 20_000)]);
        shop.plan(day(45));
        assert_eq!(shop.ledger("bob"), ["risk enrolled"]);
        let told = test.db.read_here(|conn| homing::ledger::store::of_customer(conn, shop.customer("bob"), None, 9)
            .map_err(DbError::from)).unwrap();
        assert_eq!(told[0].facts["p_alive"], 0.3);
        assert_eq!(told[0].facts["value_at_risk"]["amount"], "200.00");
    }

    async fn who_is_scored_anew_alone_leaves_the_line_alone(test: TestDb) {
        let shop = Shop::open(&test, &rule("risk", "kind = \"at_risk\", p_alive_below = 0.4", ""));
        let day = |n: i64| test.now.plus(Delay::days(n));
        for who in ["ann", "bob"] {
            shop.tell(vec![consents(who, day(-200), true)]);
        }
        let said = |who: &str, p| Estimate { who: who.to_owned(), p, value: 9, at_risk_since: None };
        scored(&shop, 0, day(0), &[said("ann", 0.3), said("bob", 0.3)]);
        shop.plan(day(0));
        let here = || {
            let open = schema::at_risk_stays::table.filter(schema::at_risk_stays::left_at.is_null());
            test.db.read_here(|conn| open.count().get_result::<i64>(conn).map_err(DbError::from)).unwrap()
        };
        assert_eq!(here(), 2);
        shop.tell(vec![orders("ann", day(1), "back")]);
        let safe = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
            // Of both, but only one of them was scored anew.
            Ok(diesel::update(schema::scores::table).set(schema::scores::p_alive.eq(0.9)).execute(conn)?)
        };
        test.db.write_here(safe).unwrap();
        let rules = test.db.read_here(|conn| homing::rules::store::running(conn, shop.store().id)
            .map_err(DbError::from)).unwrap();
        let follow = |from, until| {
            homing::planner::stays::follow_changed(&test.db, &shop.store(), &rules, from, until, day(1)).unwrap();
        };
        follow(day(1), day(2));
        assert_eq!(here(), 2, "nobody changed after that");
        follow(day(0), day(1));
        assert_eq!(here(), 1);
    }

    async fn who_was_at_risk_before_the_rule_went_live_is_left_alone_unless_asked_for(test: TestDb) {
        let listed = "kind = \"at_risk\"";
        let shop = Shop::open(&test, "");
        let day = |n: i64| test.now.plus(Delay::days(n));
        for who in ["ann", "bob"] {
            shop.tell(vec![consents(who, day(-200), true)]);
        }
        let said = |who: &str, since: Option<i64>| Estimate {
            who: who.to_owned(), p: if since.is_some() { 0.3 } else { 0.9 }, value: 9, at_risk_since: since.map(day),
        };
        scored(&shop, 1, day(-40), &[said("ann", None), said("bob", Some(-40))]);
        scored(&shop, 2, day(-5), &[said("ann", Some(-5))]);
        shop.apply(&rule("risk", listed, ""), day(0));
        assert_eq!(shop.plan(day(0)).considered, 0);
        shop.apply(&rule("risk", listed, "include_past = \"14d\""), day(0));
        assert_eq!(shop.plan(day(1)).enrolled, 1);
        assert_eq!((shop.ledger("ann").len(), shop.ledger("bob").len()), (1, 0));
        // Off and on again: it is the same stay still.
        let off = rule("risk", listed, "include_past = \"14d\"").replace("\"live\"", "\"paused\"");
        shop.apply(&off, day(2));
        shop.apply(&rule("risk", listed, "include_past = \"14d\""), day(3));
        shop.plan(day(3));
        assert_eq!(shop.ledger("ann").len(), 1);
    }

    async fn the_holdout_gets_nothing_and_stays_out(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", BROWSE, "holdout = 1.0"));
        let noon = ann_browses(&shop);
        assert_eq!(shop.plan(noon.plus(hours(4))).held_out, 1);
        let next = noon.plus(Delay::days(1));
        shop.tell(vec![views("ann", next, "longjing")]);
        shop.plan(next.plus(hours(4)));
        assert_eq!(shop.ledger("ann"), ["browse held_out/holdout", "browse held_out/holdout"]);
        assert_eq!(shop.counts().planned, 0);
    }

    async fn a_rule_that_is_not_live_plans_nothing(test: TestDb) {
        let settings = rule("browse", BROWSE, "").replace("\"live\"", "\"paused\"");
        let shop = Shop::open(&test, &settings);
        let noon = ann_browses(&shop);
        assert_eq!(shop.plan(noon.plus(hours(4))), Default::default());
        // Going live now leaves alone what fell due before.
        shop.apply(&rule("browse", BROWSE, ""), noon.plus(hours(5)));
        shop.plan(noon.plus(hours(6)));
        assert_eq!(shop.ledger("ann"), [""; 0]);
    }
}
