//! Read-only queries for pages and reports: they may join any table, and write none.
//!
//! Each follows an index and reads a bounded number of rows: a page must answer at once with a million customers.

pub mod alarms;
pub mod at_risk;
pub mod behind;
pub mod calibration;
pub mod credit;
pub mod customer;
pub mod customers;
pub mod effects;
pub mod messages;
pub mod movements;
pub mod outbox;
pub mod rhythm;
pub mod rows;
pub mod rules;
pub mod shadow;
pub mod timeline;
pub mod today;
pub mod trial;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::db::Conn;
use crate::db::schema::scoring_runs;
use crate::primitives::Timestamp;
use crate::stores::Store;

/// Counts stop here: "10,000+" says enough, and a larger count would cost a scan.
pub const CAP: i64 = 10_000;

/// The scoring run whose scores are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// Times in the scores relate to this.
    pub as_of: Timestamp,
    pub ran_at: Timestamp,
    /// A look into the past, until the next live run.
    pub historic: bool,
    pub store_gap_days: Option<f64>,
}

impl Shown {
    fn table(&self) -> &'static str {
        if self.historic { "historic_scores" } else { "scores" }
    }
}

/// `None` until the first run has finished.
pub fn shown(conn: &mut Conn, store: &Store) -> QueryResult<Option<Shown>> {
    let row: Option<(Timestamp, Timestamp, bool, Option<f64>)> = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store.id).and(scoring_runs::finished.eq(true)))
        .order(scoring_runs::id.desc())
        .select((
            scoring_runs::as_of,
            scoring_runs::ran_at,
            scoring_runs::historic,
            scoring_runs::store_gap_days,
        ))
        .first(conn)
        .optional()?;
    Ok(row.map(|(as_of, ran_at, historic, store_gap_days)| Shown {
        as_of,
        ran_at,
        historic,
        store_gap_days,
    }))
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// The rows of `from` (a FROM clause with its WHERE, of trusted text), counted to `CAP` + 1 at most.
fn capped_count(conn: &mut Conn, from: &str) -> QueryResult<i64> {
    let sql =
        format!("SELECT COUNT(*) AS n FROM (SELECT 1 AS one {from} LIMIT {}) AS counted", CAP + 1);
    diesel::sql_query(sql).get_result::<Count>(conn).map(|count| count.n)
}

/// Ids as the inside of `IN (…)`.
fn id_list(ids: impl Iterator<Item = i64>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}
