//! Messages: what will go, went, was held back; and the line that shows that none is lost.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::{CAP, capped_count};
use crate::db::Conn;
use crate::primitives::Timestamp;
use crate::stores::Store;

/// The statuses of the reconciliation line, in its order.
pub const STATUSES: [&str; 6] = ["scheduled", "sending", "sent", "failed", "cancelled", "in_doubt"];

/// Messages scheduled for `since` or later, by status, each counted to its end: the sum must be exact.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reconciliation {
    /// In the order of [`STATUSES`].
    pub by_status: [i64; 6],
    /// Of the scheduled: held back for now, and why.
    pub held: Vec<(String, i64)>,
    /// Of the cancelled: why.
    pub cancelled: Vec<(String, i64)>,
}

impl Reconciliation {
    pub fn planned(&self) -> i64 {
        self.by_status.iter().sum()
    }
}

#[derive(QueryableByName)]
struct StatusCount {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct ReasonCount {
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub fn reconciliation(
    conn: &mut Conn,
    store: &Store,
    since: Timestamp,
) -> QueryResult<Reconciliation> {
    let (id, since) = (store.id.0, since.0);
    let mut line = Reconciliation::default();
    let statuses = STATUSES.map(|s| format!("'{s}'")).join(",");
    // Naming the statuses lets both databases go through the index by status and time.
    let counts: Vec<StatusCount> = diesel::sql_query(format!(
        "SELECT status, COUNT(*) AS n FROM messages WHERE store_id = {id} AND status IN ({statuses}) \
         AND scheduled_at >= {since} GROUP BY status",
    ))
    .load(conn)?;
    for row in counts {
        if let Some(place) = STATUSES.iter().position(|status| *status == row.status) {
            line.by_status[place] = row.n;
        }
    }
    let mut reasons = |status: &str, column: &str| -> QueryResult<Vec<(String, i64)>> {
        let rows: Vec<ReasonCount> = diesel::sql_query(format!(
            "SELECT {column} AS reason, COUNT(*) AS n FROM (SELECT {column} FROM messages WHERE store_id = {id} \
             AND status = '{status}' AND scheduled_at >= {since} ORDER BY scheduled_at DESC LIMIT {CAP}) newest \
             WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC",
        ))
        .load(conn)?;
        Ok(rows.into_iter().filter_map(|row| Some((row.reason?, row.n))).collect())
    };
    line.held = reasons("scheduled", "held_for")?;
    line.cancelled = reasons("cancelled", "cancelled_for")?;
    Ok(line)
}

pub fn size(conn: &mut Conn, store: &Store, status: &str) -> QueryResult<i64> {
    capped_count(
        conn,
        &format!("FROM messages WHERE store_id = {} AND status = '{status}'", store.id.0),
    )
}
