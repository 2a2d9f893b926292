//! Backups: made while everything goes on, put back paused, so that nothing old is sent.

use diesel::Connection;
use diesel::connection::SimpleConnection;
use homing::db::DbError;
use homing::ledger::Instants;
use homing::outbox::claim::Desk;
use homing::outbox::doubt;
use homing::primitives::{Clock, Delay, Timestamp};
use homing::{ledger, restores, rules};

use crate::on_both_backends;
use crate::support::shop::{NO_GUARDRAILS, Shop, consents, rule, step, views};
use crate::support::{Finished, MailSink, Program, on_postgres, on_sqlite};

const SHOP: &str = r#"
[store]
name = "Lakeside Tea"
timezone = "Asia/Shanghai"
currency = "CNY"
locale = "en"
from = "Lakeside Tea <hello@lakeside.example>"
postal_address = "1 Lake Road, Hangzhou"

[sending]
quiet_hours = ""

[[rule]]
key = "browsed-not-bought"
status = "live"
trigger = { kind = "visited_without_buying", after = "1h", useful_for = "24h" }

[[rule.step]]
template = "browse-reminder"

[[rule.step]]
wait = "3d"
template = "browse-reminder"
"#;

/// A program on a file of its own, with a secret of its own and mails in a folder.
fn shop() -> Program {
    let program = Program::alone().with("HOMING_SMTP_URL", "file:mail");
    program.write("shop.toml", SHOP);
    program.must(&["apply", "shop.toml"]);
    program
}

fn visit(program: &Program, who: &str) {
    let key = program.must(&["key", "create", "--scope", "ingest", "--name", who]);
    let serving = program.serve();
    let batch = serde_json::json!({ "writeKey": key.trim(), "batch": [
        { "type": "identify", "userId": who, "traits": { "email": format!("{who}@mail.example"), "email_consent": true } },
        { "type": "track", "userId": who, "event": "Product Viewed", "properties": { "product_id": "longjing" } },
    ] });
    let answer = ureq::post(serving.at("/v1/batch")).send_json(batch).expect("taken");
    assert_eq!(answer.status(), 200);
}

fn in_hours(hours: i64) -> String {
    Clock::System.now().plus(Delay::hours(hours)).to_string()
}

fn tick(program: &Program, hours: i64) -> serde_json::Value {
    let printed = program.must(&["tick", "--at", &in_hours(hours), "--yes", "--format", "json"]);
    serde_json::from_str(&printed).expect("counts")
}

fn refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, code, "{}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
}

#[test]
fn a_backup_is_made_beside_a_server_and_comes_back_paused() {
    let program = shop();
    visit(&program, "ann");
    let serving = program.serve();
    let said = program.must(&["backup", "kept.db"]);
    assert!(said.contains("2 facts") && said.contains("kept.secret"), "{said}");
    assert!(serving.log().contains("listens"), "it still runs");
    drop(serving);
    visit(&program, "bob");
    for name in ["kept.db", "kept.secret"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(program.folder().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}: nobody else may read it");
    }
    refused(&program.run(&["backup", "kept.db"]), 2, &["kept.db exists already"]);

    refused(&program.run(&["restore", "kept.db"]), 2, &["homing.db exists already", "--force"]);
    let restored = program.run(&["restore", "kept.db", "--force"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(
        restored.stderr.contains("paused") && restored.stderr.contains("homing resume"),
        "{}",
        restored.stderr
    );
    assert_eq!(program.must(&["facts"]).lines().count(), 2, "Bob came later");
    let aside = std::fs::read_dir(program.folder()).unwrap().flatten();
    let aside: Vec<String> =
        aside.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(aside.iter().any(|name| name.starts_with("homing.db.before-")), "{aside:?}");
    assert!(!aside.iter().any(|name| name.contains("partial")), "{aside:?}");

    // Two hours later the reminder is due, and may have left long ago: nothing is planned, and all say why.
    assert_eq!(tick(&program, 2)["enrolled"], 0);
    let doctor = program.run(&["doctor"]);
    assert!(
        doctor.stdout.contains("broken    restored") && doctor.stdout.contains("homing resume"),
        "{}",
        doctor.stdout
    );
    let serving = program.serve();
    assert!(serving.log().contains("until `homing resume`"), "{}", serving.log());
    drop(serving);

    assert!(program.must(&["resume"]).contains("begin anew"));
    assert!(program.must(&["resume"]).contains("Nothing is paused"));
    assert!(!program.run(&["doctor"]).stdout.contains("restored"));
    // Ann's hour ends after the pause was lifted, so she is written to.
    assert_eq!(tick(&program, 2)["sent"], 1);
    program.must(&["rebuild", "--check"]);
}

#[test]
fn a_house_that_only_moved_goes_on_as_if_nothing_had_happened() {
    let program = shop();
    visit(&program, "ann");
    program.must(&["backup", "kept.db"]);
    let other = Program::alone().with("HOMING_SMTP_URL", "file:mail");
    let kept = program.folder().join("kept.db");
    assert_eq!(other.run(&["restore", kept.to_str().unwrap()]).code, 0);
    let secret = |program: &Program| std::fs::read(program.folder().join("homing.secret")).unwrap();
    assert_eq!(secret(&program), secret(&other), "links in mails already sent still work");
    other.must(&["resume", "--nothing-was-sent"]);
    assert_eq!(tick(&other, 2)["sent"], 1);
}

#[test]
fn what_is_no_sound_backup_changes_nothing() {
    let program = shop();
    visit(&program, "ann");
    program.must(&["backup", "kept.db"]);
    let facts = program.must(&["facts"]);
    let file = |name: &str| program.folder().join(name);

    refused(
        &program.run(&["restore", "nowhere.db", "--force"]),
        2,
        &["there is no file nowhere.db"],
    );
    program.write("letter.db", "Dear database,");
    refused(&program.run(&["restore", "letter.db", "--force"]), 2, &["it is no SQLite database"]);
    let whole = std::fs::read(file("kept.db")).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 40_000].fill(0x5a);
    std::fs::write(file("torn.db"), &torn).unwrap();
    refused(
        &program.run(&["restore", "torn.db", "--force"]),
        1,
        &["torn.db is not sound", "nothing was changed"],
    );
    let other = diesel::sqlite::SqliteConnection::establish(file("other.db").to_str().unwrap());
    other.unwrap().batch_execute("CREATE TABLE stores (id INTEGER)").unwrap();
    refused(&program.run(&["restore", "other.db", "--force"]), 2, &["it holds other tables"]);
    std::fs::write(file("short.db"), &whole[..whole.len() / 3]).unwrap();
    refused(&program.run(&["restore", "short.db", "--force"]), 1, &["short.db is not sound"]);

    // A database in use, however much it is forced.
    let serving = program.serve();
    refused(
        &program.run(&["restore", "kept.db", "--force"]),
        1,
        &["is served already, by process", "stop that one first"],
    );
    drop(serving);
    assert_eq!(program.must(&["facts"]), facts);
    assert!(!program.must(&["resume"]).contains("lifted"), "and nothing is paused");
}

#[test]
fn a_backup_of_a_newer_program_is_refused() {
    on_sqlite(async |test| {
        test.db
            .write_here(|conn| {
                let newer =
                    "INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000000')";
                conn.batch_execute(newer).map_err(DbError::from)
            })
            .unwrap();
        let file = test.folder.path().join("newer.db");
        test.db.copy_into(&file).unwrap();
        let program = Program::alone();
        let finished = program.run(&["restore", file.to_str().unwrap()]);
        refused(&finished, 2, &["was made by a newer Homing", "20990101000000"]);
        assert!(!program.folder().join("homing.db").exists());
    });
}

#[test]
fn postgres_has_tools_of_its_own_and_its_database_is_paused_by_a_mark() {
    on_postgres(async |test| {
        let program = Program::on(&test).with("HOMING_SMTP_URL", "file:mail");
        refused(&program.run(&["backup", "kept.dump"]), 2, &["pg_dump", "docs/backup.md"]);
        refused(
            &program.run(&["restore", "kept.dump"]),
            2,
            &["pg_restore", "homing restore --mark"],
        );
        let marked = program.run(&["restore", "--mark"]);
        assert_eq!(marked.code, 0, "{}", marked.stderr);
        assert!(program.run(&["doctor"]).stdout.contains("broken    restored"));
        assert!(program.must(&["resume"]).contains("lifted"));
    });
}

fn two_steps() -> String {
    let trigger = "kind = \"visited_without_buying\", after = \"1h\", useful_for = \"72h\"";
    NO_GUARDRAILS.to_owned() + &rule("browse", trigger, "include_past = \"2d\"") + &step("3d")
}

/// As `homing resume` does it.
fn resume(shop: &Shop, now: Timestamp) -> usize {
    let store = shop.store();
    let at = Instants::at(now);
    let desk = Desk { store: &store, at };
    let lifted = shop.test.db.write_here(|conn| -> Result<_, DbError> {
        let doubted = doubt::doubt_restored(conn, &desk, &[])?;
        ledger::store::end_waiting(conn, store.id, now, ledger::Reason::Restored)?;
        rules::store::begin_anew(conn, store.id, now)?;
        restores::lift(conn, now)?;
        Ok(doubted)
    });
    lifted.expect("lifted")
}

on_both_backends! {
    async fn what_may_have_left_after_the_backup_is_not_sent_again(test: TestDb) {
        let shop = Shop::open(&test, &two_steps());
        let people = ["ann", "bea", "cat"];
        for who in people {
            shop.tell(vec![consents(who, test.now.minus(Delay::hours(2)), true)]);
        }
        // Ann's first mail has left; Bea's is planned when the backup is made; Cat's visit is known, and not due yet.
        shop.tell(vec![views("ann", test.now, "longjing")]);
        shop.tick(test.now.plus(Delay::hours(1))).await;
        shop.tell(vec![views("bea", test.now.plus(Delay::hours(1)), "longjing")]);
        shop.plan(test.now.plus(Delay::hours(2)));
        shop.tell(vec![views("cat", test.now.plus(Delay::hours(2)), "longjing")]);

        let back = test.now.plus(Delay::hours(30));
        test.db.write_here(|conn| restores::begin(conn, back, None).map_err(DbError::from)).unwrap();
        assert_eq!(shop.tick(back).await, Default::default(), "a paused database plans and sends nothing");
        assert_eq!(resume(&shop, back), 1);
        shop.tick(back.plus(Delay::hours(1))).await;

        assert_eq!(shop.messages("bea")[0].0, "1 in_doubt");
        assert_eq!(shop.ledger("bea"), ["browse enrolled", "browse 1 in_doubt/restored"]);
        assert_eq!(shop.ledger("cat"), Vec::<String>::new(), "her hour was over while the database was away");
        assert_eq!(shop.memory.accepted().len(), 1, "Ann's alone, before the backup");
        // What comes later goes on: the second steps, three days after the first left or may have.
        let later = test.now.plus(Delay::days(3)).plus(Delay::hours(3));
        assert_eq!(shop.tick(later).await.sent, 2);
        shop.tell(vec![views("dan", later, "longjing"), consents("dan", later, true)]);
        assert_eq!(shop.tick(later.plus(Delay::hours(1))).await.sent, 1, "and so does what is new");
    }
}

#[test]
fn an_sqlite_file_is_served_by_one_process_and_worked_on_by_many() {
    let program = shop();
    let serving = program.serve();
    let second = program.run(&["serve"]);
    refused(&second, 1, &["is served already, by process", "PostgreSQL"]);
    for arguments in [
        vec!["migrate"],
        vec!["doctor"],
        vec!["segments"],
        vec!["score"],
        vec!["at-risk"],
        vec!["rules", "list"],
        vec!["tick"],
        vec!["rebuild", "--check"],
        vec!["apply", "shop.toml"],
        vec!["key", "list"],
        vec!["facts"],
    ] {
        let finished = program.run(&arguments);
        assert!(!finished.stderr.contains("locked"), "{arguments:?}: {}", finished.stderr);
    }
    let doctor = program.run(&["doctor"]).stdout;
    assert!(doctor.contains(&format!("it is served by process {}", serving.pid())), "{doctor}");
    serving.kill();
    assert!(
        !program.run(&["doctor"]).stdout.contains("is served by"),
        "the lock died with its process"
    );
    drop(program.serve());
}

#[test]
fn a_first_start_may_happen_several_times_at_once() {
    let program = Program::alone();
    let all: Vec<_> = (0..4).map(|_| program.start(&["migrate"])).collect();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(program.must(&["rules", "list"]).contains("key"));
}

#[test]
fn the_doctor_knows_the_replicas() {
    let Some(sink) = MailSink::start(crate::support::Answer::Accepts) else { return };
    on_postgres(async |test| {
        let program = Program::on(&test).with("HOMING_SMTP_URL", &sink.url());
        let (one, two) = (program.serve(), program.serve());
        let known =
            |pid: u32| program.run(&["doctor"]).stdout.contains(&format!("process {pid} on "));
        crate::support::wait_until("both are known", || known(one.pid()) && known(two.pid()));
        let pid = one.pid();
        assert_eq!(one.terminate(), Some(0));
        assert!(!known(pid), "who stops in good order takes leave");
        assert!(known(two.pid()));
    });
}

on_both_backends! {
    async fn a_replica_that_falls_silent_is_named_for_a_day(test: TestDb) {
        use homing::replicas::{self, Replica};
        let replica = Replica::new("127.0.0.1:8080".into(), test.now);
        let heard = |now: Timestamp| {
            test.db.read_here(|conn| replicas::heard_of(conn, now).map_err(DbError::from)).unwrap()
        };
        let beat = |now: Timestamp| {
            test.db.write_here(|conn| replicas::beat(conn, &replica, now).map_err(DbError::from)).unwrap();
        };
        beat(test.now);
        beat(test.now.plus(replicas::BEAT));
        let later = test.now.plus(Delay::seconds(60));
        assert_eq!(heard(later).len(), 1);
        assert!(heard(later)[0].is_alive(later) && !heard(later)[0].is_alive(later.plus(replicas::ALIVE)));
        assert!(heard(test.now.plus(Delay::days(2))).is_empty());
        test.db.write_here(|conn| replicas::leave(conn, &replica, later).map_err(DbError::from)).unwrap();
        assert!(heard(later).is_empty());
    }
}
