//! A database that was put back from a backup: nothing is planned or sent until an operator lifts the pause.
//!
//! What happened between the backup and its return is not in it. Mail that it takes for due may have left long ago.

use diesel::prelude::*;

use crate::db::Conn;
use crate::db::schema::restores;
use crate::each_backend;
use crate::primitives::Timestamp;

/// A return from a backup that nobody has dealt with yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, HasQuery)]
#[diesel(table_name = restores)]
pub struct Pause {
    pub restored_at: Timestamp,
    /// When the last thing that the backup knows of was written down; `None` when it knows nothing.
    pub knows_until: Option<Timestamp>,
}

/// The pause in force, if there is one.
pub fn pause(conn: &mut Conn) -> QueryResult<Option<Pause>> {
    let open = Pause::query().filter(restores::lifted_at.is_null());
    open.order(restores::restored_at.desc()).first(conn).optional()
}

/// Pauses the database, as one that was put back at `now`.
pub fn begin(conn: &mut Conn, now: Timestamp, knows_until: Option<Timestamp>) -> QueryResult<()> {
    let row = (restores::restored_at.eq(now), restores::knows_until.eq(knows_until));
    each_backend!(conn, c => diesel::insert_into(restores::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))
    .map(|_| ())
}

/// Lifts every pause. What becomes of the mail in between is the caller's to write down, in the same transaction.
pub fn lift(conn: &mut Conn, now: Timestamp) -> QueryResult<usize> {
    let open = restores::table.filter(restores::lifted_at.is_null());
    diesel::update(open).set(restores::lifted_at.eq(Some(now))).execute(conn)
}
