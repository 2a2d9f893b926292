//! The backtest against the real thing: a log fed live, in order of time, is decided as the backtest decides it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use homing::backtest::World;
use homing::backtest::life::{self, History};
use homing::backtest::{self, Contest, Progress, Report, Window};
use homing::db::DbError;
use homing::identity::Identifiers;
use homing::journal::fold::Frame;
use homing::journal::{self, NewFact};
use homing::ledger;
use homing::planner::Positions;
use homing::planner::watch::Stopped;
use homing::primitives::{CustomerId, Delay, Timestamp};
use homing::{planner, rules, scoring};

use diesel::prelude::*;

use crate::on_both_backends;
use crate::support::shop::*;

const HOUR: Delay = Delay::hours(1);

/// Chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What some people did within ten days, on the hour, by the hour.
fn log(from: Timestamp) -> BTreeMap<Timestamp, Vec<NewFact>> {
    let mut chance = Chance(7);
    let mut log: BTreeMap<Timestamp, Vec<NewFact>> = BTreeMap::new();
    for n in 0..14 {
        let who = format!("c{n}");
        let mut tell = |fact: NewFact| log.entry(fact.occurred_at).or_default().push(fact);
        let mut at = from.plus(hours(1 + chance.below(20) as i64));
        if chance.below(5) > 0 {
            tell(consents(&who, at, chance.below(8) > 0));
        }
        // Some are seen in a browser first, and sign in later.
        let browser = format!("b{n}");
        let mut is_known = chance.below(3) > 0;
        for k in 0..8 {
            at = at.plus(hours(1 + chance.below(36) as i64));
            let mut fact = match chance.below(10) {
                0..=4 => views(&who, at, "longjing"),
                5..=6 => puts_in_basket(&who, at, "longjing"),
                7 => consents(&who, at, chance.below(2) > 0),
                _ => orders(&who, at, &format!("{who}-{k}")),
            };
            if chance.below(4) == 0 {
                fact.identifiers.anonymous_id = Some(browser.clone());
                is_known = true;
            } else if !is_known {
                fact = views(&who, at, "biluochun");
                fact.identifiers =
                    Identifiers { anonymous_id: Some(browser.clone()), ..Identifiers::default() };
            }
            tell(fact);
        }
        // Everybody is somebody in the end.
        let mut signs_in = views(&who, at.plus(HOUR), "longjing");
        signs_in.identifiers.anonymous_id = Some(browser);
        tell(signs_in);
    }
    log
}

type Line = (Timestamp, String, Option<i32>, String, Option<String>);

fn settings() -> String {
    let browse = "kind = \"visited_without_buying\", after = \"2h\", useful_for = \"24h\"";
    let back = "kind = \"win_back\", after = \"3d\", useful_for = \"24h\"";
    let stay = "kind = \"segment_entered\", segment = \"promising\", after = \"5h\"";
    let frequent = "audience = { all = [ { field = \"visits_count\", op = \"gt\", value = 1 } ] }";
    let looked = "audience = { all = [ { did = \"viewed\", product = \"longjing\", at_least = 2, within = \"7d\" } ] }";
    let bought = "audience = { all = [ { did = \"ordered\" }, { not = { received = \"browse\", within = \"2d\" } } ] }";
    "[sending]\nrate = \"1000/s\"\nholdout = 0.1\n".to_owned()
        + &rule("browse", browse, "at_most_every = \"2d\"\nholdout = 0.2")
        + &step("20h")
        + &rule(
            "cart",
            "kind = \"cart_abandoned\", after = \"3h\"",
            "stop_on = [\"order\", \"visit\"]",
        )
        // A basket that changes puts this off to another day.
        + "send_at = \"10:00\"\n"
        + &step("1d")
        + &rule("thanks", "kind = \"order\", after = \"6h\"", "class = \"service\"")
        + &rule("back", back, frequent)
        + &rule("stay", stay, "priority = 70")
        + &rule("looked", "kind = \"order\", after = \"20h\"", looked)
        + &rule("slipping", "kind = \"at_risk\", useful_for = \"24h\"", "priority = 60")
        + &rule("noon", "kind = \"schedule\", cron = \"0 12 * * 3\"", bought)
}

/// Feeds the log as it happens, with a pass after every hour, and returns the ledgers.
async fn live(shop: &Shop<'_>, from: Timestamp, to: Timestamp) -> BTreeMap<CustomerId, Vec<Line>> {
    let db = &shop.test.db;
    let (mut log, mut positions, mut now) = (log(from), Positions::default(), from);
    while now < to {
        if now.day_in(&shop.store().timezone) != now.minus(HOUR).day_in(&shop.store().timezone) {
            scoring::score_store(db, &shop.store(), now).unwrap();
        }
        if let Some(facts) = log.remove(&now) {
            shop.tell_at(now, facts);
            let before = now.minus(Delay::seconds(1));
            scoring::rescore_changed(db, &shop.store(), before, now, now).unwrap();
            let live = db
                .read_here(|conn| rules::store::live(conn, shop.store().id).map_err(DbError::from))
                .unwrap();
            planner::stays::follow_changed(db, &shop.store(), &live, before, now, now).unwrap();
        }
        // The first looks at the whole window, the second at what changed.
        shop.plan_from(now, Some(&mut positions));
        shop.plan_from(now, Some(&mut positions));
        shop.send(now).await;
        // What was of use until this hour is not just after it; and each step's time hangs on the one before.
        for moment in 1..=3 {
            let after = Timestamp(now.0 + moment);
            shop.plan_from(after, Some(&mut positions));
            shop.send(after).await;
        }
        now = now.plus(HOUR);
    }
    let mut ledgers = BTreeMap::new();
    for n in 0..14 {
        let customer = shop.customer(&format!("c{n}"));
        let read = |conn: &mut _| {
            ledger::store::of_customer(conn, customer, None, 500).map_err(DbError::from)
        };
        let lines = db.read_here(read).unwrap().into_iter().map(|d| {
            (d.at, d.rule, d.step, d.outcome.to_string(), d.reason.map(|r| r.to_string()))
        });
        let mut lines: Vec<Line> = lines.collect();
        lines.sort();
        ledgers.insert(customer, lines);
    }
    ledgers
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn contest(shop: &Shop, key: &str) -> Contest {
    let read = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
        let rule = rules::store::find_by_key(conn, shop.store().id, key)?.expect("the rule");
        Ok((rule.rule, rules::store::live(conn, shop.store().id)?))
    };
    let (rule, live) = shop.test.db.read_here(read).unwrap();
    Contest::new(shop.store(), rule, live)
}

fn backtested(shop: &Shop, key: &str, from: &str, to: &str) -> Report {
    let window = Window { from: from.parse().unwrap(), to: to.parse().unwrap() };
    let progress = Progress { seen: &|_, _| {}, cancelled: &AtomicBool::new(false) };
    let secret = shop.test.secret();
    backtest::run(&shop.test.db, &secret, &contest(shop, key), window, &progress).unwrap()
}

/// What a replay of what is stored decides, customer by customer.
fn replayed(shop: &Shop, from: Timestamp, to: Timestamp) -> BTreeMap<CustomerId, Vec<Line>> {
    let (contest, store) = (contest(shop, "browse"), shop.store());
    let frame = Frame { zone: store.timezone.clone(), currency: store.currency.clone() };
    let (secret, rules) = (shop.test.secret(), contest.rules_from(from));
    let customers: Vec<CustomerId> = (0..14).map(|n| shop.customer(&format!("c{n}"))).collect();
    let facts = shop
        .test
        .db
        .read_here(|conn| journal::store::of_customers(conn, &customers).map_err(DbError::from));
    let facts = facts.unwrap();
    let histories: Vec<History> = facts
        .chunk_by(|a, b| a.customer == b.customer)
        .map(|facts| {
            let customer = facts[0].customer;
            let n = customers.iter().position(|id| *id == customer).unwrap();
            let (external_id, arms) = (Some(format!("c{n}")), Vec::new());
            History { customer, external_id, facts: facts.to_vec(), arms }
        })
        .collect();
    let mut world = World::new(&store, &frame, &rules, contest.tested(), &secret, from, to);
    let asked = backtest::scores::Asked::by(&rules, &store.currency);
    let courses: Vec<_> = histories.iter().map(|h| life::course(&world, h.clone())).collect();
    let (first, last) = (from.day_number(&frame.zone), to.day_number(&frame.zone));
    let scores =
        backtest::scores::Scores::learn(frame.zone.clone(), first, last, &courses, None, asked);
    world.scores = Some(&scores);
    let lives = histories.into_iter().map(|history| {
        let customer = history.customer;
        let events = life::replay(&world, history).events.into_iter();
        let mut lines: Vec<Line> = events
            .map(|e| {
                let reason = e.reason.map(|reason| reason.to_string());
                (e.at, rules[e.rule].rule.key.clone(), e.step, e.outcome.to_string(), reason)
            })
            .collect();
        lines.sort();
        (customer, lines)
    });
    lives.collect()
}

on_both_backends! {
    async fn what_is_decided_live_is_what_the_backtest_decides(test: TestDb) {
        let shop = Shop::open(&test, &settings());
        // Midnight in Shanghai.
        let from: Timestamp = "2026-06-01T16:00:00Z".parse().unwrap();
        let to = from.plus(Delay::days(11));
        let live = live(&shop, from, to).await;
        let replayed = replayed(&shop, from, to);
        for (customer, lines) in &live {
            let theirs = &replayed[customer];
            let text = |lines: &[Line]| lines.iter().map(|l| format!("{l:?}\n")).collect::<String>();
            assert_eq!(text(lines), text(theirs), "live, and replayed, of customer {customer}");
        }
        let told: Vec<&Line> = live.values().flatten().collect();
        for outcome in ["enrolled", "sent", "deferred", "suppressed", "held_out", "stopped", "not_eligible"] {
            assert!(told.iter().any(|line| line.3 == outcome), "the log holds no {outcome}");
        }
        for rule in ["browse", "cart", "thanks", "back", "stay", "looked", "slipping", "noon"] {
            assert!(told.iter().any(|line| line.1 == rule), "the log holds nothing of {rule}");
        }

        // And the report adds up what was decided.
        let report = backtested(&shop, "browse", "2026-06-02", "2026-06-13");
        let count = |outcome: &str| {
            told.iter().filter(|line| line.1 == "browse" && line.3 == outcome).count() as u64
        };
        assert_eq!(report.would_send, count("sent"));
        assert_eq!(report.held_out, count("held_out"));
        assert_eq!(report.per_day.iter().map(|day| day.sends).sum::<u64>(), report.would_send);
        assert_eq!(report.per_day.iter().map(|day| day.entered).sum::<u64>(), report.entered);
        assert_eq!(report.per_day.len(), 11);
    }

    async fn a_daily_budget_and_a_silent_feed_hold_back_in_a_backtest_too(test: TestDb) {
        let settings = |more: &str| {
            let browse = "kind = \"visited_without_buying\", after = \"1h\", useful_for = \"72h\"";
            format!("{NO_GUARDRAILS}rate = \"1000/s\"\n{more}\n{}", rule("browse", browse, ""))
        };
        let shop = Shop::open(&test, &settings("daily_budget = 4"));
        // Morning in Shanghai; all at one instant.
        let morning = at("2026-06-02T01:00:00Z");
        let people: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
        let facts = people.iter().flat_map(|who| [consents(who, morning, true), views(who, morning, "longjing")]);
        shop.tell_at(morning, facts.collect());
        let report = backtested(&shop, "browse", "2026-06-01", "2026-06-08");
        let sends: Vec<u64> = report.per_day.iter().map(|day| day.sends).filter(|n| *n > 0).collect();
        assert_eq!((sends, report.would_send, report.deferred), (vec![4, 4, 2], 10, 6), "{}", report.note);
        assert!(report.note.contains("The daily budget (4) is applied"), "{}", report.note);
        // And live it is no other.
        let mut live = Vec::new();
        for day in 0..4 {
            let now = morning.plus(HOUR).plus(Delay::days(day));
            live.push(shop.tick(now).await.sent);
        }
        assert_eq!(live, [4, 4, 2, 0]);

        // The last order came in on the second: from the fourth on, nobody knows who bought.
        shop.apply(&settings("feed_max_age = \"2d\""), at("2026-06-02T00:00:00Z"));
        shop.tell(vec![consents("ann", morning, true), orders("ann", morning, "1001")]);
        let late = morning.plus(Delay::days(5));
        shop.tell_at(late, vec![views("p0", late, "longjing")]);
        let report = backtested(&shop, "browse", "2026-06-01", "2026-06-12");
        assert_eq!(report.would_send, 10, "not the visit after the feed fell silent");
        assert!(report.outcomes.iter().any(|o| o.reason == Some(ledger::Reason::FeedStale)), "{:?}", report.outcomes);
    }

    async fn why_is_told_as_of_any_time_from_what_was_known_then(test: TestDb) {
        let shop = Shop::open(&test, &rule("browse", "kind = \"visited_without_buying\", after = \"4h\"", ""));
        let noon = test.now;
        shop.tell(vec![
            consents("ann", noon.minus(Delay::days(3)), true),
            views("ann", noon, "longjing"),
            orders("ann", noon.plus(hours(2)), "1001"),
            views("ann", noon.plus(hours(30)), "longjing"),
        ]);
        shop.tick(noon.plus(hours(34))).await;
        let why = |at: Timestamp| -> Vec<String> {
            let customer = shop.customer("ann");
            let read = |conn: &mut homing::db::Conn| -> Result<_, DbError> {
                let store = shop.store();
                let recorded =
                    ledger::store::of_customer_after(conn, customer, None, Some(at), None, 50)?;
                let why = backtest::then::unrecorded(conn, &store, customer, None, &recorded, at)?;
                Ok(why.into_iter().chain(recorded).collect::<Vec<_>>())
            };
            let lines = test.db.read_here(read).unwrap();
            let words = |d: &ledger::Decision| match d.reason {
                Some(reason) => format!("{}/{reason}", d.outcome),
                None => d.outcome.to_string(),
            };
            lines.iter().map(words).collect()
        };
        assert_eq!(why(noon.minus(HOUR)), ["not_eligible/nothing_happened"]);
        assert_eq!(why(noon.plus(HOUR)), ["not_eligible/not_due_yet"]);
        assert_eq!(why(noon.plus(hours(3))), ["not_eligible/bought"]);
        assert_eq!(why(noon.plus(hours(31))), ["not_eligible/not_due_yet"]);
        // 22:00 in Shanghai: it entered, and waits for the morning.
        assert_eq!(why(noon.plus(hours(35))), ["deferred/quiet_hours", "enrolled"]);
        assert_eq!(why(noon.minus(Delay::days(400))), [""; 0], "no rule ran then");
    }

    async fn a_rule_that_bounces_pauses_itself_and_an_operator_lifts_it(test: TestDb) {
        let settings = "[sending]\nrate = \"1000/s\"\nquiet_hours = \"\"\n".to_owned()
            + &rule("browse", "kind = \"visited_without_buying\", after = \"1h\"", "");
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        let people: Vec<String> = (0..60).map(|n| format!("p{n}")).collect();
        let facts = people.iter().flat_map(|who| [consents(who, noon, true), views(who, noon, "longjing")]);
        shop.tell_at(noon, facts.collect());
        for _ in 0..8 {
            shop.memory.answer_next(homing::mail::Delivery::Permanent { reply: "550 no such user".into(), hard: true });
        }
        let due = noon.plus(HOUR);
        let tally = shop.tick(due).await;
        assert_eq!((tally.sent, tally.failed), (52, 8));
        let store = shop.store();
        let watch = |now| homing::planner::watch::watch(&test.db, &store, now).unwrap();
        assert_eq!(watch(due.plus(HOUR)), [Stopped::Rule { key: "browse".to_owned(), reason: rules::PauseReason::Bounces }]);
        assert_eq!(watch(due.plus(HOUR)), [], "it is paused already");
        let find = || test.db.read_here(|conn| rules::store::find_by_key(conn, store.id, "browse").map_err(DbError::from)).unwrap().unwrap();
        assert_eq!(find().status, rules::RuleStatus::Paused);
        // The same settings once more, and others: neither lifts it.
        shop.apply(&settings, due.plus(HOUR));
        shop.apply(&settings.replace("1h", "2h"), due.plus(HOUR));
        assert_eq!((find().status, find().pause.map(|p| p.reason)), (rules::RuleStatus::Paused, Some(rules::PauseReason::Bounces)));
        // Nor does switching it off and on again.
        let set = |status| test.db.write_here(|conn| rules::store::set_status(conn, find().id, status, due.plus(HOUR)).map_err(DbError::from)).unwrap();
        set(rules::RuleStatus::Paused);
        set(rules::RuleStatus::Live);
        assert_eq!((find().status, find().rule.status), (rules::RuleStatus::Paused, rules::RuleStatus::Live));
        assert!(find().pause.is_some());
        let resumed = test.db.write_here(|conn| rules::store::resume(conn, find().id, due.plus(hours(2))).map_err(DbError::from));
        assert!(resumed.unwrap());
        let now = find();
        assert_eq!((now.status, now.pause, now.live_since), (rules::RuleStatus::Live, None, Some(due.plus(hours(2)))));
        assert_eq!(watch(due.plus(hours(3))), [], "what was before is settled");
    }

    async fn complaints_pause_the_stores_marketing_mail_and_owed_mail_still_goes(test: TestDb) {
        let settings = NO_GUARDRAILS.to_owned() + "rate = \"1000/s\"\n"
            + &rule("browse", "kind = \"visited_without_buying\", after = \"1h\"", "")
            + &rule("thanks", "kind = \"order\", after = \"1h\"", "class = \"service\"");
        let shop = Shop::open(&test, &settings);
        let noon = test.now;
        let people: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
        let visit = |at: Timestamp| people.iter().map(move |who| views(who, at, "longjing"));
        shop.tell_at(noon, people.iter().map(|who| consents(who, noon, true)).chain(visit(noon)).collect());
        let due = noon.plus(HOUR);
        assert_eq!(shop.tick(due).await.sent, 10);
        let complain = |n: i64, at: Timestamp| {
            use homing::db::schema::suppressions as s;
            test.db.write_here(|conn| -> Result<_, DbError> {
                let row = (s::store_id.eq(1_i64), s::email_key.eq(format!("c{n}@mail.example")), s::reason.eq("complaint"), s::created_at.eq(at.0));
                Ok(diesel::insert_into(s::table).values(row).execute(conn)?)
            }).unwrap();
        };
        (0..3).for_each(|n| complain(n, due.plus(Delay::seconds(n))));
        let watch = |now| homing::planner::watch::watch(&test.db, &shop.store(), now).unwrap();
        let paused = watch(due.plus(HOUR));
        assert_eq!(paused, [Stopped::Sending(rules::PauseReason::Complaints)]);
        assert!(paused[0].to_string().ends_with("homing rules resume --sending"));
        assert_eq!(watch(due.plus(HOUR)), [], "once");

        // Planning goes on, and what is owed leaves; applying settings lifts nothing.
        let next = noon.plus(Delay::days(1));
        shop.apply(&settings.replace("1000/s", "900/s"), next);
        shop.tell_at(next, visit(next).chain([orders("p0", next, "1001")]).collect());
        let tally = shop.tick(next.plus(HOUR)).await;
        assert_eq!((tally.enrolled, tally.sent, tally.deferred), (10, 1, 9));
        assert_eq!(shop.ledger("p1").last().unwrap(), "browse 1 deferred/paused");
        assert_eq!(shop.ledger("p0").last().unwrap(), "thanks 1 sent");

        let later = next.plus(hours(2));
        test.db.write_here(|conn| -> Result<_, DbError> {
            assert!(homing::stores::store::resume(conn, shop.store().id, later)?);
            Ok(homing::outbox::store::release_all_paused(conn, shop.store().id, later)?)
        }).unwrap();
        assert_eq!(shop.tick(later).await.sent, 9);
        assert_eq!(watch(later.plus(HOUR)), [], "those who complained before have been heard");
    }
}
