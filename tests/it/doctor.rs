//! `homing doctor` and `homing facts` from outside.

use homing::db::DbError;

use crate::on_both_backends;
use crate::support::Program;

const ORDERS: &str = "order_id,placed_at,status,currency,total,customer_id\n\
    1,2026-05-01,paid,EUR,30,c1\n2,2026-05-03,paid,EUR,30,c2\n";

fn lines(out: &str) -> Vec<serde_json::Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

on_both_backends! {
    async fn the_journal_is_listed_line_by_line(test: TestDb) {
        let program = Program::on(&test);
        program.write("o.csv", ORDERS);
        program.must(&["import", "orders", "o.csv"]);
        program.write("c.csv", "customer_id,name\nc1,Ann\n");
        program.must(&["import", "customers", "c.csv"]);
        let all = lines(&program.must(&["facts"]));
        let kinds: Vec<&str> = all.iter().map(|fact| fact["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["order_stated", "order_stated", "identified"]);
        assert_eq!(all[0]["occurred_at"], "2026-05-01T00:00:00Z");
        assert!(all[0]["source_key"].as_str().unwrap().starts_with("1:") && all[0]["id"].is_string());
        let fields: Vec<&String> = all[0].as_object().unwrap().keys().collect();
        assert_eq!(fields.len(), 7, "{fields:?}");
        assert_eq!(lines(&program.must(&["facts", "--from", "2026-05-02"])).len(), 2);
        assert_eq!(lines(&program.must(&["facts", "--source", "tracking"])).len(), 0);
        assert_eq!(lines(&program.must(&["facts", "--source", "csv", "--from", "2026-05-01T00:00:01Z"])).len(), 2);
        assert_eq!(program.run(&["facts", "--from", "soon"]).code, 2);
        assert_eq!(program.run(&["facts", "--source", "gossip"]).code, 2);
    }

    async fn a_healthy_house_is_well(test: TestDb) {
        use diesel::prelude::*;
        use homing::db::schema::stores;
        test.db.write_here(|conn| {
            let settings = (stores::mail_from.eq("Tea <hello@shop.example>"), stores::postal_address.eq("1 Lake Road"));
            diesel::update(stores::table).set(settings).execute(conn).map_err(DbError::from)
        }).unwrap();
        let program = Program::on(&test).with("HOMING_PUBLIC_URL", "https://shop.example").with("HOMING_SMTP_URL", "file:mail");
        let finished = program.run(&["doctor"]);
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        assert!(finished.stdout.lines().all(|line| line.starts_with("well")), "{}", finished.stdout);
        let is_plain = finished.stdout.contains("the connection is not encrypted, and does not leave this machine");
        assert_eq!(is_plain, test.url.starts_with("postgres"), "{}", finished.stdout);
    }

    async fn what_an_older_version_folded_is_said_and_mended(test: TestDb) {
        use diesel::prelude::*;
        use homing::db::schema::{customer_days, rollups};
        let program = Program::on(&test);
        program.write("o.csv", "order_id,placed_at,status,currency,total,customer_id\n\
            1,2026-05-01,paid,EUR,30,c1\n2,2026-05-20,paid,EUR,30,c1\n3,2026-05-02,paid,EUR,30,c2\n4,2026-05-03,paid,EUR,30,c2\n");
        program.must(&["import", "orders", "o.csv"]);
        program.write("c.csv", "customer_id,name,created_at\nc1,Ann,2024-05-01\nc2,Bob A-10-20,\n");
        program.must(&["import", "customers", "c.csv"]);
        let lines = || {
            let told = program.run(&["doctor"]).stdout;
            told.lines().filter(|line| line.contains("rollups")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(), Vec::<String>::new(), "two orders on two days in a row have no logarithm either");
        // As a database looks whose columns were added after its customers were folded.
        test.db.write_here(|conn| -> Result<(), DbError> {
            diesel::update(rollups::table).set(rollups::log_gap_sum.eq(0.0)).execute(conn)?;
            diesel::delete(customer_days::table).execute(conn)?;
            Ok(())
        }).unwrap();
        let told = lines();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|line| line.starts_with("doubtful")), "{told:?}");
        assert!(program.run(&["doctor"]).stdout.contains("homing rebuild --store default"));
        program.must(&["rebuild"]);
        assert_eq!(lines(), Vec::<String>::new());
    }

    async fn what_is_broken_is_said_with_what_to_do(test: TestDb) {
        let program = Program::on(&test);
        let finished = program.run(&["doctor"]);
        assert_eq!(finished.code, 1);
        for words in ["has no settings yet", "homing apply shop.toml", "HOMING_SMTP_URL is not set", "this machine alone"] {
            assert!(finished.stdout.contains(words), "{words}: {}", finished.stdout);
        }
        assert!(finished.stderr.contains("error: 2 things are broken"), "{}", finished.stderr);
        let program = program.with("HOMING_SMTP_URL", "smtp://user:secret-word@127.0.0.1:1");
        let finished = program.run(&["doctor"]);
        assert!(finished.stdout.contains("broken    mail"), "{}", finished.stdout);
        assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("secret-word"));
        let finished = program.run(&["--store", "absent", "doctor"]);
        assert!(finished.stdout.contains("there is no store `absent`"), "{}", finished.stdout);
    }
}

#[test]
fn a_doctor_leaves_no_trace() {
    let program = Program::alone();
    let finished = program.run(&["doctor"]);
    assert_eq!(finished.code, 1);
    assert!(finished.stdout.contains("homing migrate"), "{}", finished.stdout);
    assert_eq!(std::fs::read_dir(program.folder()).unwrap().count(), 0);
}
