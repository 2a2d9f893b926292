//! The schema is the same on both databases, and holds on its own what no code may break.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use homing::db::{Backend, DbError};
use homing::primitives::Delay;
use homing::stores;

use crate::on_both_backends;
use crate::support::TestDb;
use crate::support::shop::*;

/// Look-ups from a global key to its customer, which invariant 14 names; and the at-risk list, in an order of its own.
const LOOKUPS: [&str; 3] = ["identities", "order_keys", "at_risk_list"];

#[derive(QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    of: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    first: String,
}

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn say(test: &TestDb, sql: &str) -> Vec<String> {
    let read = |conn: &mut homing::db::Conn| -> Result<Vec<Said>, DbError> {
        Ok(diesel::sql_query(sql).load(conn)?)
    };
    test.db.read_here(read).expect(sql).into_iter().map(|said| said.text).collect()
}

fn run(test: &TestDb, sql: &str) -> Result<(), DbError> {
    test.db.write_here(|conn| conn.batch_execute(sql).map_err(DbError::from))
}

on_both_backends! {
    async fn every_test_has_a_migrated_database_with_the_default_store(test: TestDb) {
        let pending = test.db.pending_migrations().unwrap();
        let stores = test.db.read(|conn| stores::store::all(conn).map_err(DbError::from)).await.unwrap();
        assert_eq!((pending, stores.len(), stores[0].key.as_str()), (0, 1, "default"));
    }

    async fn every_key_of_a_customers_table_begins_with_the_customer(test: TestDb) {
        let sql = match test.db.backend() {
            Backend::Postgres => "SELECT t.relname::text AS of, i.relname::text AS name, a.attname::text AS first \
                FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid \
                JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0] \
                WHERE t.relnamespace = 'public'::regnamespace AND x.indisunique AND NOT t.relispartition \
                AND EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = t.oid AND c.attname = 'customer_id')",
            Backend::Sqlite => "SELECT m.name AS \"of\", l.name AS name, (SELECT c.name FROM pragma_index_info(l.name) c WHERE seqno = 0) AS first \
                FROM sqlite_master m, pragma_index_list(m.name) l WHERE m.type = 'table' AND l.\"unique\" = 1 \
                AND EXISTS (SELECT 1 FROM pragma_table_info(m.name) c WHERE c.name = 'customer_id')",
        };
        let keys: Vec<Key> = test.db.read_here(|conn| diesel::sql_query(sql).load(conn).map_err(DbError::from)).unwrap();
        for table in ["facts", "rollups", "visits", "orders", "enrolments", "decisions", "messages", "scores", "mail_events"] {
            assert!(keys.iter().any(|key| key.of == table), "{table} has a key");
        }
        for Key { of, name, first } in keys.iter().filter(|key| !LOOKUPS.contains(&key.of.as_str())) {
            assert_eq!(first, "customer_id", "{name} of {of}");
        }
    }

    async fn on_postgresql_the_growing_tables_are_in_parts_and_go_back_and_forth_without_a_loss(test: TestDb) {
        if test.db.backend() == Backend::Sqlite {
            return;
        }
        let settings = NO_GUARDRAILS.to_owned() + &rule("browse", "kind = \"visited_without_buying\", after = \"1h\"", "");
        let shop = Shop::open(&test, &settings);
        let facts = (0..50).flat_map(|n| {
            let who = format!("c{n}");
            [consents(&who, test.now.minus(Delay::hours(1)), true), views(&who, test.now, "longjing")]
        });
        shop.tell_at(test.now, facts.collect());
        shop.tick(test.now.plus(Delay::hours(1))).await;

        const TABLES: [&str; 4] = ["facts", "visits", "decisions", "messages"];
        let rows = || TABLES.map(|table| {
            say(&test, &format!("SELECT count(*) || md5(string_agg(t::text, '|' ORDER BY t::text)) AS text FROM {table} t"))
        });
        let rules = || TABLES.map(|table| say(&test, &format!(
            "SELECT conname || ' ' || pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = '{table}'::regclass \
             UNION ALL SELECT replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index WHERE indrelid = '{table}'::regclass ORDER BY 1"
        )));
        let parts = || say(&test, "SELECT relname || count(*) AS text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent \
             WHERE c.relkind = 'p' GROUP BY relname ORDER BY 1");
        let (rows_before, rules_before) = (rows(), rules());
        assert_eq!(parts(), ["decisions16", "facts16", "messages16", "visits16"]);
        run(&test, include_str!("../../migrations/postgres/2026-01-06-500100_partitions/down.sql")).unwrap();
        assert_eq!((parts().len(), rows() == rows_before, rules() == rules_before), (0, true, true));
        run(&test, include_str!("../../migrations/postgres/2026-01-06-500100_partitions/up.sql")).unwrap();
        assert_eq!(parts().len(), 4);
        assert_eq!(rows(), rows_before);
        assert_eq!(rules(), rules_before);

        let filled: Vec<Count> = test.db.read_here(|conn| {
            diesel::sql_query("SELECT count(DISTINCT tableoid) AS n FROM messages").load(conn).map_err(DbError::from)
        }).unwrap();
        assert!(filled[0].n > 8, "fifty customers lie in most of sixteen parts: {}", filled[0].n);
        let again = "INSERT INTO messages SELECT * FROM messages LIMIT 1";
        assert!(run(&test, again).is_err(), "a message is there once");
        assert!(run(&test, "UPDATE messages SET customer_id = 1").is_err(), "nobody is customer 1");
        assert!(run(&test, "UPDATE messages SET status = 'scheduled', lease_until = 1").is_err(), "only what is sending is leased");
    }
}
