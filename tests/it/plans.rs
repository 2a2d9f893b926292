//! What runs all day reads large tables by their indexes: held on a filled database, by what it really does there.
//!
//! PostgreSQL counts its sequential scans, so it is asked. SQLite does not: it tells the plan of each statement that it
//! was given.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use diesel::connection::{Connection, InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use homing::db::{Backend, Conn, Db, DbError};
use homing::journal::Journal;
use homing::ledger::Instants;
use homing::mail::{Composer, Transport};
use homing::metrics::Metrics;
use homing::outbox::claim::{self, Desk};
use homing::outbox::worker::{self, Clocks, PostOffice};
use homing::planner::{self, Positions};
use homing::primitives::{Clock, CustomerId, Delay, StoreId, Timestamp};
use homing::reports;
use homing::rules::Condition;
use homing::rules::condition::{Comparison, Field};
use homing::situation::audience;
use homing::stores::Store;
use tokio_util::sync::CancellationToken;

use crate::on_both_backends;
use crate::support::TestDb;
use crate::support::shop::*;

/// Enough that a scan of any of them, or of a sixteenth of it, costs more than an index.
const CUSTOMERS: i64 = 20_000;

/// Those that grow with customers and with what they do.
const LARGE: [&str; 15] = [
    "customers",
    "identities",
    "identity_links",
    "fact_keys",
    "facts",
    "rollups",
    "visits",
    "order_keys",
    "orders",
    "order_lines",
    "scores",
    "at_risk_list",
    "enrolments",
    "decisions",
    "messages",
];

/// People of long ago, who look at nothing any more: what is hot must not come across them.
fn fill(db: &Db, now: Timestamp) {
    let long_ago = now.minus(Delay::days(400)).0;
    let ahead = now.plus(Delay::days(300)).0;
    let words = "'{\"told\":\"' || 'some words that a row of this table might well hold, and some more of them' || '\"}'";
    let tables = [
        "customers (id, store_id, identified, external_id, email, email_key, tags, traits, consent, created_at) \
         SELECT i, 1, TRUE, 'old-' || i, 'old' || i || '@mail.example', 'old' || i || '@mail.example', '[]', '{}', 'granted', LONG_AGO + i",
        "identities (store_id, identity, customer_id) SELECT 1, 'ext:old-' || i, i",
        "identity_links (store_id, identity, target, occurred_at, source_key) SELECT 1, 'anon:old-' || i, 'ext:old-' || i, LONG_AGO + i, 'k'",
        "fact_keys (store_id, source, source_key) SELECT 1, 'tracking', 'old-' || i",
        "facts (customer_id, id, store_id, kind, source, source_key, subject, occurred_at, received_at, live, payload) \
         SELECT i, i, 1, 'page_viewed', 'tracking', 'old-' || i, 'ext:old-' || i, LONG_AGO + i, LONG_AGO + i, TRUE, WORDS",
        "rollups (customer_id, store_id, changed_at, position_at, position_key, last_seen_at, visits_count, page_views, product_views, \
         carts_count, checkouts_count, visit_started_at, visit_product_views, orders_count, order_days, spent, foreign_orders, \
         first_order_at, last_order_at, last_placed_at, state) SELECT i, 1, LONG_AGO + i, LONG_AGO + i, 'k', LONG_AGO + i, 1, 1, 1, 0, 0, \
         LONG_AGO + i, 1, 1, 1, 9800, 0, LONG_AGO + i, LONG_AGO + i, LONG_AGO + i, '{}'",
        "visits (customer_id, started_at, store_id, ended_at, page_views, product_views, depth, channel, campaign) \
         SELECT i, LONG_AGO + i, 1, LONG_AGO + i, 1, 1, 'product', 'search', WORDS",
        "order_keys (store_id, order_id, customer_id, subject, claim) SELECT 1, 'o' || i, i, 'ext:old-' || i, 'a'",
        "orders (customer_id, order_id, store_id, status, placed_at, counts, currency, total, refunded, told_by, best, stated_refunded, floor_at) \
         SELECT i, 'o' || i, 1, 'paid', LONG_AGO + i, TRUE, 'CNY', 9800, 0, '{}', 'a', 0, 0",
        "order_lines (customer_id, order_id, line, product_id, name, quantity) SELECT i, 'o' || i, 1, 'longjing', 'Tea', 1",
        "scores (customer_id, store_id, kind, r, f, m, segment, segment_since, frequency, spent, orders_count, risk_rank) \
         SELECT i, 1, 'buyer', 1, 1, 1, 'at_risk', LONG_AGO + i, 1, 9800, 1, i",
        "at_risk_list (store_id, edition, segment, risk_rank, customer_id, spent, value) SELECT 1, 1, '', i, i, 9800, i",
        "at_risk_list (store_id, edition, segment, risk_rank, customer_id, spent, value) SELECT 1, 1, 'at_risk', i, i, 9800, i",
        "enrolments (customer_id, id, store_id, rule_id, rule_version, episode, episode_until, due_at, useful_until, status, stops_after, created_at) \
         SELECT i, i, 1, RULE, 1, LONG_AGO + i, LONG_AGO + i, LONG_AGO + i, LONG_AGO + i, 'completed', LONG_AGO + i, LONG_AGO + i",
        "decisions (customer_id, id, store_id, at, rule_id, enrolment_id, step, outcome, facts, message_id) \
         SELECT i, i, 1, LONG_AGO + i, RULE, i, 1, 'sent', WORDS, i",
        // One in ten waits for its time, far ahead.
        "messages (customer_id, id, store_id, rule_id, rule_version, enrolment_id, step, class, status, scheduled_at, useful_until, planned_for, \
         attempts, claimed_at, sent_at, address, subject) SELECT i, i, 1, RULE, 1, i, 1, 'marketing', \
         CASE WHEN i % 10 = 0 THEN 'scheduled' ELSE 'sent' END, CASE WHEN i % 10 = 0 THEN AHEAD ELSE LONG_AGO END + i, AHEAD + i, LONG_AGO + i, \
         1, LONG_AGO + i, LONG_AGO + i, 'old' || i || '@mail.example', WORDS",
    ];
    let fill = |conn: &mut Conn| -> Result<(), DbError> {
        for table in tables {
            let sql = format!(
                "INSERT INTO {} FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CUSTOMERS}) SELECT i FROM n) AS n",
                table
                    .replace("LONG_AGO", &long_ago.to_string())
                    .replace("AHEAD", &ahead.to_string())
                    .replace("WORDS", words)
                    .replace("RULE", "(SELECT min(id) FROM rules)")
            );
            conn.batch_execute(&sql)?;
        }
        Ok(())
    };
    db.write_here(fill).expect("a full database");
    db.write_here(|conn| conn.batch_execute("ANALYZE").map_err(DbError::from)).expect("statistics");
}

/// Whatever runs all day: facts come in, what is due is planned and sent, and lists are looked at.
async fn a_day(db: &Db, test: &TestDb, store: &Arc<Store>) {
    let due = test.now.plus(Delay::hours(1));
    let (journal, writer) = Journal::start(db.clone(), test.secret(), Clock::Fixed(test.now));
    let facts = (0..10).flat_map(|n| {
        let who = format!("c{n}");
        [
            consents(&who, test.now.minus(Delay::hours(1)), true),
            views(&who, test.now, "longjing"),
            orders(&format!("b{n}"), test.now, &format!("new-{n}")),
        ]
    });
    std::thread::scope(|scope| {
        scope
            .spawn(|| journal.append_blocking(StoreId(1), facts.collect()).expect("facts"))
            .join()
            .unwrap();
    });
    drop(journal);
    writer.finish();

    let (transport, memory) = Transport::in_memory();
    let office = Arc::new(PostOffice {
        db: db.clone(),
        composer: Composer::load(None).unwrap(),
        transport: Some(transport),
        secret: test.secret(),
        public_url: "https://shop.example".into(),
        metrics: Metrics::default(),
    });
    let clocks = Clocks { business: Clock::Fixed(due), machine: Clock::Fixed(due) };
    let mut positions = Positions::default();
    for _ in 0..2 {
        planner::pass(db, store, &test.secret(), Instants::at(due), Some(&mut positions))
            .expect("a pass");
        worker::settle_lost(db, store, Instants::at(due)).expect("nothing is lost");
        worker::deliver_due(&office, store, clocks, &CancellationToken::new())
            .await
            .expect("sending");
    }
    assert_eq!(memory.accepted().len(), 10);
    db.write_here(|conn| -> Result<_, DbError> {
        Ok(claim::judge_shadows(conn, &Desk { store, at: Instants::at(due) }, 10)?)
    })
    .expect("no shadows");
    db.read_here(|conn| -> Result<_, DbError> {
        let wanted = reports::messages::Wanted { limit: 50, ..Default::default() };
        reports::messages::list(conn, StoreId(1), &wanted)?;
        let sent = reports::messages::Wanted { status: Some("sent".into()), ..wanted };
        reports::messages::list(conn, StoreId(1), &sent)?;
        reports::customers::newest(conn, store, None, 50)?;
        let id = CustomerId(CUSTOMERS / 2);
        reports::customer::profile(conn, store, id)?;
        reports::timeline::page(conn, id, None, 50)?;
        homing::ledger::store::of_customer(conn, id, None, 50)?;
        let day = reports::today::Day::at(due.day_in(&store.timezone), due, &store.timezone);
        reports::today::due(conn, store, day)?;
        campaign(conn, store, due)?;
        at_risk(conn, store, due)
    })
    .expect("lists");
    // A process that has just started looks at all that its rules may reach.
    planner::pass(db, store, &test.secret(), Instants::at(due), None).expect("a pass");
}

/// Pages of a campaign to everybody, and of one to a few.
fn campaign(conn: &mut Conn, store: &Store, now: Timestamp) -> Result<(), DbError> {
    let granted = Condition::Is(Comparison::word(Field::Consent, "granted"));
    for audience in [None, Some(&granted)] {
        let after = CustomerId(CUSTOMERS / 2);
        let page = audience::members(conn, store, audience, now, after, 50)?;
        assert_eq!((page.len(), page[0].0), (50, CUSTOMERS / 2 + 1));
    }
    Ok(())
}

/// The worklist: its first pages, of all segments, of one, of two, and what stands beside each name.
fn at_risk(conn: &mut Conn, store: &Store, now: Timestamp) -> Result<(), DbError> {
    let shown = reports::Shown {
        as_of: now,
        ran_at: now,
        historic: false,
        store_gap_days: Some(30.0),
        edition: 1,
    };
    for segments in [vec![], vec!["at_risk"], vec!["at_risk", "cant_lose_them"]] {
        let filter = reports::at_risk::Filter { segments, ..Default::default() };
        let rows = reports::at_risk::page(conn, store, shown, &filter, None, 50)?;
        assert_eq!(rows.len(), 50);
        let last = &rows[49];
        let cursor = reports::at_risk::Cursor { rank: last.risk_rank, customer: last.customer_id };
        reports::at_risk::page(conn, store, shown, &filter, Some(cursor), 50)?;
        // Of so many rows a part of a table holds here, a few are looked up and many are read past.
        let customers: Vec<_> = rows.iter().take(5).map(|row| row.customer_id).collect();
        reports::at_risk::next_messages(conn, &customers)?;
        reports::at_risk::last_words(conn, &customers)?;
    }
    Ok(())
}

/// Sequential scans so far, of each large table, its parts taken together.
fn scans(test: &TestDb) -> Vec<(String, i64)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let names: Vec<String> = LARGE.iter().map(|name| format!("'{name}'")).collect();
    let sql = format!(
        "SELECT regexp_replace(relname, '_[0-9]+$', '') AS name, CAST(sum(seq_scan) AS BIGINT) AS n FROM pg_stat_user_tables \
         WHERE regexp_replace(relname, '_[0-9]+$', '') IN ({}) GROUP BY 1 ORDER BY 1",
        names.join(", ")
    );
    let rows: Vec<Row> = test
        .db
        .read_here(|conn| diesel::sql_query(sql).load(conn).map_err(DbError::from))
        .expect("the server's counters");
    assert_eq!(rows.len(), LARGE.len());
    rows.into_iter().map(|row| (row.name, row.n)).collect()
}

/// Opens the database under a name of its own, and says when none of its connections is left: a connection hands in
/// its counts when it ends.
fn named(test: &TestDb, name: &str) -> Db {
    let separator = if test.url.contains('?') { '&' } else { '?' };
    Db::open(format!("{}{separator}application_name={name}", test.url).parse().unwrap())
        .expect("a database")
}

fn wait_until_gone(test: &TestDb, name: &str) {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let sql =
        format!("SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = '{name}'");
    crate::support::wait_until("its connections are closed", || {
        let open = test.db.read_here(|conn| {
            diesel::sql_query(&sql).get_result::<Count>(conn).map_err(DbError::from)
        });
        open.expect("the server's list").n == 0
    });
}

async fn on_postgresql(test: &TestDb, store: &Arc<Store>) {
    let filler = named(test, "filler");
    fill(&filler, test.now);
    drop(filler);
    wait_until_gone(test, "filler");
    let before = scans(test);
    let hot = named(test, "hot");
    a_day(&hot, test, store).await;
    drop(hot);
    wait_until_gone(test, "hot");
    let after = scans(test);
    let scanned: Vec<_> =
        before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!(scanned.is_empty(), "read from end to end: {scanned:?}");
}

/// As many as the pool may have.
const READERS: usize = 8;

/// Holds them all at once, since which of them is asked later is left to chance.
fn listen_to_readers(db: &Db, more: usize, listen: &dyn Fn(&mut Conn)) {
    if more == 0 {
        return;
    }
    db.read_here(|conn| {
        listen(conn);
        listen_to_readers(db, more - 1, listen);
        Ok::<_, DbError>(())
    })
    .expect("a reader");
}

async fn on_sqlite(test: &TestDb, store: &Arc<Store>) {
    fill(&test.db, test.now);
    let said: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let listen = |conn: &mut Conn| {
        let said = said.clone();
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                let text = query.to_string();
                let text = text.split(" -- binds:").next().unwrap_or_default().to_owned();
                said.lock().unwrap().insert(text);
            }
        });
    };
    listen_to_readers(&test.db, READERS, &listen);
    test.db
        .write_here(|conn| {
            listen(conn);
            Ok::<_, DbError>(())
        })
        .unwrap();
    a_day(&test.db, test, store).await;
    let said: Vec<String> = said.lock().unwrap().iter().cloned().collect();
    for part in [
        "FROM messages m INDEXED BY",
        "`rollups`",
        "UPDATE messages SET status = v.column4",
        "FROM customers c",
        "AND r.customer_id > ",
    ] {
        assert!(said.iter().any(|text| text.contains(part)), "{part} was not heard");
    }

    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        detail: String,
    }
    // Of rows inserted as they are it would tell the checks of references that are made only where some are broken.
    let is_statement = |text: &&String| {
        ["SELECT", "UPDATE", "DELETE", "WITH"].iter().any(|word| text.starts_with(word))
            || (text.starts_with("INSERT") && text.contains("SELECT"))
    };
    // What the schema calls its tables, and what statements call them.
    let large = LARGE.iter().copied().chain(["m", "r", "c", "s", "f", "o", "e", "d"]);
    let large: Vec<&str> = large.collect();
    for text in said.iter().filter(is_statement) {
        let plan: Vec<Line> = test
            .db
            .read_here(|conn| {
                diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}"))
                    .load(conn)
                    .map_err(DbError::from)
            })
            .unwrap_or_else(|e| panic!("{e}: {text}"));
        // A subquery may have a table's name: what is scanned then is its few rows.
        let named = |detail: &str, what: &str| {
            let name = detail.strip_prefix(what)?.split(' ').next()?;
            large.contains(&name).then(|| name.to_owned())
        };
        let made =
            |detail: &str| named(detail, "CO-ROUTINE ").or_else(|| named(detail, "MATERIALIZE "));
        let is_page = text.contains("r.customer_id > ");
        let sorts = plan.iter().any(|line| line.detail.contains("TEMP B-TREE"));
        assert!(!is_page || !sorts, "all of a store is sorted for one page of it: {text}");
        let mut made: Vec<String> = plan.iter().filter_map(|line| made(&line.detail)).collect();
        for Line { detail } in &plan {
            let Some(table) = named(detail, "SCAN ") else { continue };
            let subquery = made.iter().position(|name| *name == table);
            let Some(subquery) = subquery else { panic!("{detail}\n{text}") };
            made.swap_remove(subquery);
        }
        let changes = LARGE.iter().any(|table| {
            text.starts_with(&format!("UPDATE `{table}`"))
                || text.starts_with(&format!("DELETE  FROM `{table}`"))
        });
        let names_whose = text.contains("customer_id")
            || text.contains("`customers`.`id`")
            || text.contains("store_id");
        assert!(!changes || names_whose, "whose rows does this change? {text}");
    }
}

on_both_backends! {
    async fn nothing_that_runs_all_day_reads_a_large_table_from_end_to_end(test: TestDb) {
        let trigger = |kind: &str| format!("kind = \"{kind}\", after = \"1h\"");
        let settings = NO_GUARDRAILS.replace("cap = \"\"", "cap = \"2 per 7d\"\nrate = \"1000/s\"")
            + &rule("browse", &trigger("visited_without_buying"), "")
            + &rule("cart", &trigger("cart_abandoned"), "")
            + &rule("welcome", "kind = \"first_order\", after = \"2h\"", "")
            + &rule("back", "kind = \"win_back\", after = \"60d\"", "");
        let shop = Shop::open(&test, &settings);
        // The rules went live a year ago; whoever ordered before that is left alone.
        let store = Arc::new(shop.store());
        match test.db.backend() {
            Backend::Postgres => on_postgresql(&test, &store).await,
            Backend::Sqlite => on_sqlite(&test, &store).await,
        }
    }
}
