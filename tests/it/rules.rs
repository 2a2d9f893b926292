//! Settings and rules: applied, changed, switched and exported, on both databases and through the program.

use diesel::prelude::*;
use homing::db::{Db, DbError};
use homing::primitives::{Delay, StoreId, Timestamp};
use homing::rules::{self, Applied, Rule, RuleStatus, ShopDocument, StoredRule};
use homing::stores;

use crate::on_both_backends;
use crate::support::Program;

const EXAMPLE: &str = include_str!("../../examples/shop.toml");
const STORE: StoreId = StoreId(1);

fn document(text: &str) -> ShopDocument {
    let templates =
        ["browse-reminder", "cart-reminder", "first-order-thanks", "repurchase-nudge", "win-back"];
    ShopDocument::parse("shop.toml", text, &templates.map(str::to_owned))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The example with one text in place of another.
fn edited(from: &str, to: &str) -> ShopDocument {
    assert!(EXAMPLE.contains(from), "{from}");
    document(&EXAMPLE.replacen(from, to, 1))
}

fn apply(db: &Db, document: &ShopDocument, now: Timestamp) -> Applied {
    db.write_here(|conn| rules::apply(conn, "default", document, now).map_err(DbError::from))
        .unwrap()
}

fn lines(applied: &Applied) -> Vec<String> {
    applied.changes.iter().map(ToString::to_string).collect()
}

fn rule(db: &Db, key: &str) -> StoredRule {
    let found =
        db.read_here(|conn| rules::store::find_by_key(conn, STORE, key).map_err(DbError::from));
    found.unwrap().unwrap_or_else(|| panic!("no rule {key}"))
}

fn keys(
    db: &Db,
    read: fn(&mut homing::db::Conn, StoreId) -> diesel::QueryResult<Vec<StoredRule>>,
) -> Vec<String> {
    let all = db.read_here(|conn| read(conn, STORE).map_err(DbError::from)).unwrap();
    all.into_iter().map(|stored| stored.rule.key).collect()
}

on_both_backends! {
    async fn applying_twice_changes_nothing_the_second_time(test: TestDb) {
        let example = document(EXAMPLE);
        assert_eq!(lines(&apply(&test.db, &example, test.now)), [
            "+ settings of store default",
            "+ rule browsed-not-bought (live)",
            "+ rule cart-left (live)",
            "+ rule first-order-thanks (live)",
            "+ rule repurchase (live)",
            "+ rule win-back (draft)",
        ]);
        assert_eq!(lines(&apply(&test.db, &example, test.now.plus(Delay::days(1)))), Vec::<String>::new());
        let stored = rule(&test.db, "repurchase");
        assert_eq!((stored.version, stored.live_since), (1, Some(test.now)));
    }

    async fn what_is_exported_is_what_was_applied(test: TestDb) {
        let example = document(EXAMPLE);
        let export = || test.db.read_here(|conn| rules::export(conn, "default").map_err(DbError::from)).unwrap();
        assert_eq!(export(), None, "a store without settings has none to export");
        apply(&test.db, &example, test.now);
        let exported = export().expect("settings");
        assert_eq!(exported, example);
        assert_eq!(document(&exported.print()), example);
    }

    async fn the_order_of_the_file_is_kept_and_a_new_one_is_a_change(test: TestDb) {
        let example = document(EXAMPLE);
        let exported = || test.db.read_here(|conn| rules::export(conn, "default").map_err(DbError::from)).unwrap().expect("settings");
        apply(&test.db, &example, test.now);
        let mut turned = example.clone();
        turned.rules.reverse();
        let order = "~ order of rules: win-back, repurchase, first-order-thanks, cart-left, browsed-not-bought";
        assert_eq!(lines(&apply(&test.db, &turned, test.now)), [order]);
        assert_eq!(exported(), turned);
        assert_eq!(document(&exported().print()), turned);
        assert_eq!(rule(&test.db, "win-back").version, 1, "a rule's place is no part of it");
        assert_eq!(lines(&apply(&test.db, &turned, test.now)), Vec::<String>::new());

        // A new rule stands where the file has it; that the others make room is not worth a line.
        let mut more = turned.clone();
        more.rules.insert(1, Rule { key: "second".to_owned(), ..turned.rules[0].clone() });
        assert_eq!(lines(&apply(&test.db, &more, test.now)), ["+ rule second (draft)"]);
        assert_eq!(exported(), more);
        let id = rule(&test.db, "second").id;
        test.db.write_here(|conn| rules::store::set_status(conn, id, RuleStatus::Live, test.now).map_err(DbError::from)).unwrap();
        assert_eq!(exported().rules[1].key, "second", "switching a rule on leaves it in its place");
    }

    async fn a_dry_run_says_the_same_and_writes_nothing(test: TestDb) {
        let example = document(EXAMPLE);
        let preview = test.db.read_here(|conn| rules::preview(conn, "default", &example).map_err(DbError::from)).unwrap();
        assert_eq!(preview, apply(&test.db, &example, test.now));
        let changed = edited("priority = 40", "priority = 41");
        let preview = test.db.read_here(|conn| rules::preview(conn, "default", &changed).map_err(DbError::from)).unwrap();
        assert_eq!(lines(&preview), ["~ rule win-back: priority 40 → 41"]);
        assert_eq!(rule(&test.db, "win-back").version, 1);
    }

    async fn a_change_makes_a_version_and_the_old_one_can_still_be_read(test: TestDb) {
        apply(&test.db, &document(EXAMPLE), test.now);
        let changed = edited("subject = \"还在考虑吗？我们为您留着\"", "subject = \"Hi\"\ncoupon = \"TEA\"");
        assert_eq!(lines(&apply(&test.db, &changed, test.now)), [
            "~ rule browsed-not-bought: step 2 { wait = \"3d\", template = \"browse-reminder\", subject = \"还在考虑吗？我们为您留着\" } → \
             { wait = \"3d\", template = \"browse-reminder\", subject = \"Hi\", coupon = \"TEA\" }",
        ]);
        let stored = rule(&test.db, "browsed-not-bought");
        assert_eq!((stored.version, stored.rule.steps[1].coupon.as_deref()), (2, Some("TEA")));
        let version = |n| -> Option<Rule> {
            test.db.read_here(|conn| rules::store::find_version(conn, stored.id, n).map_err(DbError::from)).unwrap()
        };
        assert_eq!(version(1).unwrap().steps[1].coupon, None);
        assert_eq!(version(2), Some(stored.rule.clone()));
        assert_eq!(version(3), None);
    }

    async fn only_going_live_and_a_changed_trigger_begin_anew(test: TestDb) {
        apply(&test.db, &document(EXAMPLE), test.now);
        let mut now = test.now;
        let mut since = |from: &str, to: &str| {
            now = now.plus(Delay::days(1));
            apply(&test.db, &edited(from, to), now);
            (rule(&test.db, "browsed-not-bought").live_since, now)
        };
        let begun = Some(test.now);
        for (from, to) in [
            ("name = \"Browsed, did not buy\"", "name = \"Looked around\""),
            ("holdout = 0.10", "holdout = 0.20"),
            ("priority = 50", "priority = 60"),
            ("at_most_every = \"30d\"", "include_past = \"14d\""),
            ("template = \"browse-reminder\"", "template = \"win-back\""),
        ] {
            assert_eq!(since(from, to).0, begun, "{to}");
        }
        let (live_since, at) = since("after = \"4h\"", "after = \"3h\"");
        assert_eq!(live_since, Some(at), "a shorter delay reaches nobody who fell due before");
        let (live_since, _) = since("after = \"4h\"", "after = \"3h\"");
        assert_eq!(live_since, Some(at), "and stays");
        let (live_since, at) = since("status = \"live\"", "status = \"shadow\"");
        assert_ne!(live_since, begun);
        assert_eq!(live_since, Some(at), "the shadow decides as if it went live now");
        assert_eq!(since("status = \"live\"", "status = \"paused\"").0, None);
        let (live_since, at) = since("priority = 50", "priority = 51");
        assert_eq!(live_since, Some(at), "live again");
    }

    async fn switching_off_and_on_is_a_version_that_is_exported(test: TestDb) {
        apply(&test.db, &document(EXAMPLE), test.now);
        let id = rule(&test.db, "cart-left").id;
        let later = test.now.plus(Delay::hours(5));
        let set = |status| test.db.write_here(|conn| rules::store::set_status(conn, id, status, later).map_err(DbError::from)).unwrap();
        assert!(set(RuleStatus::Paused));
        assert!(!set(RuleStatus::Paused), "it is already");
        let stored = rule(&test.db, "cart-left");
        assert_eq!((stored.version, stored.status, stored.rule.status, stored.live_since), (2, RuleStatus::Paused, RuleStatus::Paused, None));
        assert_eq!(keys(&test.db, rules::store::live), ["browsed-not-bought", "first-order-thanks", "repurchase"]);
        let exported = test.db.read_here(|conn| rules::export(conn, "default").map_err(DbError::from)).unwrap().unwrap();
        assert_eq!(exported.rules[1].status, RuleStatus::Paused);

        let resume = || test.db.write_here(|conn| rules::store::resume(conn, id, later).map_err(DbError::from)).unwrap();
        assert!(resume());
        assert!(!resume(), "only a pause can be lifted");
        assert_eq!(rule(&test.db, "cart-left").live_since, Some(later));
    }

    async fn a_rule_that_left_is_retired_and_can_come_back(test: TestDb) {
        let example = document(EXAMPLE);
        apply(&test.db, &example, test.now);
        let id = rule(&test.db, "cart-left").id;
        let without = ShopDocument { rules: example.rules.iter().filter(|rule| rule.key != "cart-left").cloned().collect(), ..example.clone() };
        assert_eq!(lines(&apply(&test.db, &without, test.now)), ["- rule cart-left (its ledger stays)"]);
        assert_eq!(lines(&apply(&test.db, &without, test.now)), Vec::<String>::new());
        assert!(!keys(&test.db, rules::store::all).contains(&"cart-left".to_owned()));
        let retired = rule(&test.db, "cart-left");
        assert_eq!((retired.id, retired.status), (id, RuleStatus::Paused));
        let switched = test.db.write_here(|conn| rules::store::resume(conn, id, test.now).map_err(DbError::from)).unwrap();
        assert!(!switched, "what left the settings is not switched on by hand");

        let later = test.now.plus(Delay::days(9));
        assert_eq!(lines(&apply(&test.db, &example, later)), ["+ rule cart-left (live)"]);
        let back = rule(&test.db, "cart-left");
        assert_eq!((back.id, back.status, back.live_since), (id, RuleStatus::Live, Some(later)));
        assert_eq!(lines(&apply(&test.db, &example, later)), Vec::<String>::new());
    }

    async fn a_paused_rule_that_left_and_came_back_as_it_was_is_in_force_again(test: TestDb) {
        let paused = edited("status = \"draft\"", "status = \"paused\"");
        apply(&test.db, &paused, test.now);
        let none = ShopDocument { rules: Vec::new(), ..paused.clone() };
        apply(&test.db, &none, test.now);
        apply(&test.db, &paused, test.now);
        assert_eq!(keys(&test.db, rules::store::all).len(), 5);
        assert_eq!(lines(&apply(&test.db, &paused, test.now)), Vec::<String>::new());
    }

    async fn who_applies_and_switches_at_once_takes_turns(test: TestDb) {
        let start = std::sync::Barrier::new(6);
        let put = |name: &str| {
            let changed = edited("name = \"Time for a refill\"", &format!("name = \"{name}\""));
            test.db.write_here(|conn| rules::apply(conn, "new", &changed, test.now).map_err(DbError::from)).expect("applied")
        };
        let find = || test.db.read_here(|conn| rules::store::find_by_key(conn, StoreId(2), "repurchase").map_err(DbError::from)).unwrap();
        std::thread::scope(|scope| {
            for person in 0..4 {
                let (put, start) = (&put, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..8).for_each(|n| drop(put(&format!("Refill {person}.{n}"))));
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    for n in 0..16 {
                        let Some(stored) = find() else { continue };
                        let status = if n % 2 == 0 { RuleStatus::Paused } else { RuleStatus::Live };
                        let set = test.db.write_here(|conn| rules::store::set_status(conn, stored.id, status, test.now).map_err(DbError::from));
                        set.expect("switched");
                    }
                });
            }
        });
        let stored = find().expect("the rule");
        let is_read = |version| {
            let found = test.db.read_here(|conn| rules::store::find_version(conn, stored.id, version).map_err(DbError::from));
            found.unwrap().is_some()
        };
        assert!(stored.version >= 32, "each of 32 names made a version, at least: {}", stored.version);
        assert!((1..=stored.version).all(is_read), "none is missing");
    }

    async fn another_zone_or_currency_asks_for_a_rebuild_once_there_are_facts(test: TestDb) {
        let example = document(EXAMPLE);
        assert!(!apply(&test.db, &example, test.now).needs_rebuild, "nothing is counted yet");
        test.db.write_here(|conn| {
            use homing::db::schema::fact_keys::dsl::{fact_keys, source, source_key, store_id};
            let fact = (store_id.eq(STORE), source.eq("csv"), source_key.eq("1"));
            diesel::insert_into(fact_keys).values(fact).execute(conn).map_err(DbError::from)
        }).unwrap();
        assert!(!apply(&test.db, &edited("priority = 40", "priority = 41"), test.now).needs_rebuild);
        let moved = edited("timezone = \"Asia/Shanghai\"", "timezone = \"Europe/Berlin\"");
        assert!(apply(&test.db, &moved, test.now).needs_rebuild);
        assert!(!apply(&test.db, &moved, test.now).needs_rebuild, "said once");
        let program = Program::on(&test);
        program.write("shop.toml", EXAMPLE);
        let said = program.run(&["apply", "shop.toml"]).stderr;
        assert!(said.contains("run `homing rebuild`"), "{said}");
    }

    async fn stores_have_rules_of_their_own(test: TestDb) {
        let example = document(EXAMPLE);
        let put = |key: &'static str, document: &ShopDocument| {
            test.db.write_here(|conn| rules::apply(conn, key, document, test.now).map_err(DbError::from)).unwrap()
        };
        put("default", &example);
        assert_eq!(lines(&put("lakeside", &example))[0], "+ store lakeside");
        assert_eq!(lines(&put("lakeside", &example)), Vec::<String>::new());
        put("lakeside", &ShopDocument { rules: Vec::new(), ..example.clone() });
        assert_eq!(keys(&test.db, rules::store::all).len(), 5, "the default store's are still there");
        let all = test.db.read_here(|conn| stores::store::all(conn).map_err(DbError::from)).unwrap();
        assert_eq!(all.iter().map(|store| store.key.as_str()).collect::<Vec<_>>(), ["default", "lakeside"]);
        assert_eq!(all[1].details(), Some(example.store));
    }

    async fn the_program_applies_exports_and_lists(test: TestDb) {
        let program = Program::on(&test);
        program.write("shop.toml", EXAMPLE);
        let first = program.run(&["apply", "shop.toml", "--dry-run"]);
        assert_eq!((first.code, first.stdout.lines().count()), (0, 6), "{first:?}");
        let second = program.run(&["apply", "shop.toml"]);
        assert_eq!((second.code, &second.stdout), (0, &first.stdout), "{second:?}");
        assert_eq!(program.run(&["apply", "shop.toml"]).stdout, "nothing to change\n");

        let exported = program.run(&["export-config"]);
        assert_eq!(document(&exported.stdout), document(EXAMPLE));
        program.write("exported.toml", &exported.stdout);
        assert_eq!(program.run(&["apply", "exported.toml"]).stdout, "nothing to change\n");

        let listed = program.run(&["rules", "list", "--format", "json"]);
        let items: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(items[4]["key"], "win-back");
        assert_eq!(items[4]["trigger"]["kind"], "win_back");
        assert!(program.run(&["rules", "list"]).stdout.contains("browsed-not-bought"));

        for (key, code) in [("win-back", 2), ("nothing", 2), ("cart-left", 0)] {
            let resumed = program.run(&["rules", "resume", key]);
            assert_eq!(resumed.code, code, "{resumed:?}");
        }
    }

    async fn a_wrong_file_changes_nothing_and_says_where(test: TestDb) {
        let program = Program::on(&test);
        program.write("shop.toml", EXAMPLE);
        program.run(&["apply", "shop.toml"]);
        program.write("wrong.toml", &EXAMPLE.replace("priority = 50", "priorty = 50").replace("\"win_back\"", "\"birthday\""));
        let refused = program.run(&["apply", "wrong.toml"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
        let said: Vec<&str> = refused.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(said.len(), 2, "{refused:?}");
        assert!(said[0].starts_with("error: wrong.toml:38: unknown key `priorty` in [[rule]] \"browsed-not-bought\"; allowed: key"), "{}", said[0]);
        assert!(said[1].contains("unknown kind `birthday`") && said[1].contains("date, schedule"), "{}", said[1]);
        assert_eq!(program.run(&["apply", "shop.toml"]).stdout, "nothing to change\n");
        for (arguments, said) in [
            (vec!["apply", "missing.toml"], "missing.toml cannot be read"),
            (vec!["apply", "shop.toml", "--store", "My Store"], "`My Store` is no store key"),
            (vec!["export-config", "--store", "other"], "there is no store `other`"),
        ] {
            let refused = program.run(&arguments);
            assert_eq!(refused.code, 2, "{refused:?}");
            assert!(refused.stderr.contains(said), "{refused:?}");
        }
    }
}

#[test]
fn the_ready_rules_pass_their_own_tests_and_can_be_printed_one_by_one() {
    let program = Program::alone();
    let all = program.run(&["rules", "gallery", "all"]);
    assert_eq!(all.code, 0, "{}", all.stderr);
    program.write("gallery.toml", &all.stdout);
    let tested = program.run(&["rules", "test", "gallery.toml"]);
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.lines().count() >= 16, "{}", tested.stdout);
    let listed = program.run(&["rules", "gallery", "--lang", "zh-CN"]).stdout;
    let head = EXAMPLE.split("# 1.").next().expect("the store's settings");
    for key in [
        "browse",
        "cart",
        "first-order",
        "repurchase",
        "win-back",
        "birthday",
        "review",
        "referral",
    ] {
        assert!(listed.contains(key), "{key}: {listed}");
        let one = program.run(&["rules", "gallery", key, "--lang", "zh-CN"]);
        program.write("shop.toml", &format!("{head}\n{}", one.stdout));
        let tested = program.run(&["rules", "test", "shop.toml"]);
        assert_eq!(tested.code, 0, "{key}: {}{}", tested.stdout, tested.stderr);
    }
    let unknown = program.run(&["rules", "gallery", "birthdays"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("homing rules gallery"), "{}", unknown.stderr);
}

on_both_backends! {
    async fn tests_of_rules_are_kept_and_come_back_out(test: TestDb) {
        let program = Program::on(&test);
        program.write("shop.toml", homing::gallery::FILE);
        let applied = program.run(&["apply", "shop.toml"]);
        assert_eq!(applied.code, 0, "{}", applied.stderr);
        let exported = program.run(&["export-config"]).stdout;
        assert_eq!(exported.matches("[[rule.test]]").count(), homing::gallery::FILE.matches("[[rule.test]]").count());
        program.write("again.toml", &exported);
        let tested = program.run(&["rules", "test", "again.toml"]);
        assert_eq!(tested.code, 0, "{}", tested.stdout);
        let again = program.run(&["apply", "again.toml"]);
        assert_eq!(again.stdout.trim(), "nothing to change", "{}", again.stderr);
        // A rule that the console switches keeps them; another test is a change, and says which.
        let id = rule(&test.db, "cart").id;
        let switch = |conn: &mut homing::db::Conn| {
            rules::store::set_status(conn, id, RuleStatus::Shadow, test.now).map_err(DbError::from)
        };
        assert!(test.db.write_here(switch).unwrap());
        assert_eq!(rule(&test.db, "cart").rule.tests.len(), 2);
        let other = exported.replacen("a basket left for two hours is recalled", "recalled", 1);
        program.write("other.toml", &other);
        let changed = program.run(&["apply", "other.toml", "--dry-run"]).stdout;
        assert!(changed.contains("~ rule cart:") && changed.contains("test 1"), "{changed}");
        // A wrong one is refused, and nothing is applied.
        program.write("wrong.toml", &exported.replacen("outcome = \"sent\"", "outcome = \"send\"", 1));
        let refused = program.run(&["apply", "wrong.toml"]);
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("`outcome` in `expect`"), "{}", refused.stderr);
    }
}
