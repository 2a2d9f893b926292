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
pub use crate::scoring::store::Shown;
use crate::scoring::store::shown_run;
use crate::stores::Store;

/// Counts stop here: "10,000+" says enough, and a larger count would cost a scan.
pub const CAP: i64 = 10_000;

/// `None` until the first run has finished.
pub fn shown(conn: &mut Conn, store: &Store) -> QueryResult<Option<Shown>> {
    shown_run(conn, store.id)
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
