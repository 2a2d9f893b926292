//! What is too old to be kept goes: the ledger's lines, settled messages, clicks and opens, as `[retention]` says.
//!
//! Nothing goes that a decision still asks for: whoever is still in a rule keeps all that was decided and sent there,
//! a message in doubt stays, and so does mail for whose arrival a rule asks. The journal and what is folded from it
//! stay whole: `homing rebuild` finds no difference. Rows go in portions, each a short transaction of its own, and on
//! PostgreSQL partition by partition: whoever writes meanwhile waits for none but the portion at hand.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::db::{Conn, Db, DbError, lock_store};
use crate::primitives::{Delay, Timestamp};
use crate::rules::condition::Condition;
use crate::rules::{self, StoredRule};
use crate::stores::{Retention, Store};

/// Rows of a transaction.
const PORTION: usize = 2_000;
/// Between two of them the others write.
const BREATH: Duration = Duration::from_millis(20);

/// Rows of one kind that are too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// As `[retention]` calls them.
    pub what: &'static str,
    /// Older than this.
    pub before: Timestamp,
    table: &'static str,
    keys: &'static str,
    condition: String,
}

/// Rows that went, or would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    pub what: &'static str,
    pub before: Timestamp,
    pub rows: u64,
}

/// What the store's settings let go at `now`, in an order in which nothing is left that names what is gone.
pub fn stale(conn: &mut Conn, store: &Store, now: Timestamp) -> QueryResult<Vec<Stale>> {
    let Retention { decisions, messages, clicks } = store.retention;
    let id = store.id.0;
    let in_no_rule = |enrolment: &str| {
        format!(
            "NOT EXISTS (SELECT 1 FROM enrolments e WHERE e.customer_id = {enrolment} AND e.status IN ('active', 'waiting'))"
        )
    };
    let mut found = Vec::new();
    // Clicks of a mail that is gone say nothing.
    if let Some(kept) = [clicks, messages].into_iter().flatten().min() {
        let before = now.minus(kept.max(Retention::LEAST));
        found.push(Stale {
            what: "clicks",
            before,
            table: "mail_events",
            keys: "customer_id, message_id, id",
            condition: format!("store_id = {id} AND at < {}", before.0),
        });
    }
    if let Some(kept) = messages {
        let counted = store.sending.cap.map(|cap| cap.within);
        let counted = counted.into_iter().chain(store.sending.min_gap);
        let kept = counted.chain([Retention::LEAST]).fold(kept, Delay::max);
        let before = now.minus(kept);
        let rules = rules::store::all(conn, store.id)?;
        let asked_for = asked_for(&rules, kept);
        let asked_for: Vec<String> = asked_for.iter().map(|rule| rule.id.0.to_string()).collect();
        let spared = match asked_for.is_empty() {
            true => String::new(),
            false => format!(" AND rule_id NOT IN ({})", asked_for.join(", ")),
        };
        let open = in_no_rule("messages.customer_id AND e.id = messages.enrolment_id");
        found.push(Stale {
            what: "messages",
            before,
            table: "messages",
            keys: "customer_id, id",
            condition: format!(
                "store_id = {id} AND status IN ('sent', 'failed', 'cancelled') AND scheduled_at < {0} \
                 AND COALESCE(sent_at, scheduled_at) < {0} AND {open}{spared}",
                before.0
            ),
        });
    }
    if let Some(kept) = decisions {
        let before = now.minus(kept.max(Retention::LEAST));
        let open = in_no_rule("decisions.customer_id AND e.id = decisions.enrolment_id");
        found.push(Stale {
            what: "decisions",
            before,
            table: "decisions",
            keys: "customer_id, id",
            condition: format!("store_id = {id} AND at < {} AND {open}", before.0),
        });
    }
    Ok(found)
}

/// Rules whose mail some rule asks for over a longer time than it is kept.
fn asked_for(rules: &[StoredRule], kept: Delay) -> Vec<&StoredRule> {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    for condition in rules.iter().flat_map(|stored| stored.rule.conditions()) {
        condition.visit(&mut |leaf| {
            if let Condition::Received(received) = leaf
                && received.within.is_none_or(|within| within > kept)
            {
                keys.insert(received.rule.clone());
            }
        });
    }
    rules.iter().filter(|stored| keys.contains(&stored.rule.key)).collect()
}

/// How much would go.
pub fn count(conn: &mut Conn, stale: &Stale) -> QueryResult<Gone> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let Stale { what, before, table, condition, .. } = stale;
    let sql = format!("SELECT COUNT(*) AS n FROM {table} WHERE {condition}");
    let count: Count = diesel::sql_query(sql).get_result(conn)?;
    Ok(Gone { what, before: *before, rows: count.n.unsigned_abs() })
}

/// Deletes it, until all of it is gone or `is_over` says that the time is.
pub fn let_go(
    db: &Db,
    store: &Store,
    stale: &Stale,
    is_over: &dyn Fn() -> bool,
) -> Result<Gone, DbError> {
    let mut gone = Gone { what: stale.what, before: stale.before, rows: 0 };
    let parts = db.read_here(|conn| parts(conn, stale.table).map_err(DbError::from))?;
    for part in parts {
        loop {
            if is_over() {
                return Ok(gone);
            }
            let rows = db.write_here(|conn| -> Result<_, DbError> {
                // A merge may be moving them.
                lock_store(conn, store.id)?;
                Ok(delete_portion(conn, stale, &part)?)
            })?;
            gone.rows += rows as u64;
            if rows < PORTION {
                break;
            }
            std::thread::sleep(BREATH);
        }
    }
    Ok(gone)
}

/// The table's partitions, or the table itself.
fn parts(conn: &mut Conn, table: &str) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Part {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let found: Vec<Part> = match conn {
        Conn::Sqlite(_) => Vec::new(),
        Conn::Postgres(pg) => diesel::sql_query(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1",
        )
        .bind::<Text, _>(table)
        .load(pg)?,
    };
    match found.is_empty() {
        true => Ok(vec![table.to_owned()]),
        false => Ok(found.into_iter().map(|part| part.name).collect()),
    }
}

fn delete_portion(conn: &mut Conn, stale: &Stale, part: &str) -> QueryResult<usize> {
    let Stale { table, keys, condition, .. } = stale;
    let sql = match conn {
        // Found by where they lie, so that each is read once; the condition calls the partition by its table's name.
        Conn::Postgres(_) => format!(
            "DELETE FROM {part} WHERE ctid = ANY(ARRAY(SELECT {table}.ctid FROM {part} AS {table} WHERE {condition} LIMIT {PORTION}))"
        ),
        Conn::Sqlite(_) => format!(
            "DELETE FROM {table} WHERE ({keys}) IN (SELECT {keys} FROM {table} WHERE {condition} LIMIT {PORTION})"
        ),
    };
    diesel::sql_query(sql).execute(conn)
}
