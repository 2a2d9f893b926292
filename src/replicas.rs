//! The processes that serve one database. Each says now and then that it lives; none leads.

use diesel::prelude::*;
use diesel::upsert::excluded;

use crate::db::Conn;
use crate::db::schema::replicas;
use crate::each_backend;
use crate::primitives::{Delay, Timestamp};
use crate::secret::random_token;

/// How often a process says that it lives: one row's update, so that idling stays cheap.
pub const BEAT: Delay = Delay::seconds(15);
/// Silent for longer than this it is dead, or stands still.
pub const ALIVE: Delay = Delay::seconds(50);
/// A process that died is named for so long.
const REMEMBERED: Delay = Delay::days(1);

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, HasQuery, Insertable)]
#[diesel(table_name = replicas)]
pub struct Replica {
    /// Drawn at its start: process numbers repeat, and so do names of hosts.
    pub id: String,
    pub host: String,
    pub process: i64,
    /// Where it listens.
    pub address: String,
    pub version: String,
    pub started_at: Timestamp,
    /// By its own machine's clock.
    pub seen_at: Timestamp,
}

impl Replica {
    /// This process.
    pub fn new(address: String, now: Timestamp) -> Self {
        Self {
            id: random_token(),
            host: host(),
            process: i64::from(std::process::id()),
            address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
            seen_at: now,
        }
    }

    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.seen_at.plus(ALIVE) > now
    }
}

fn host() -> String {
    let told = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let told = told.trim();
    if told.is_empty() { "an unnamed host".to_owned() } else { told.to_owned() }
}

/// Says that `replica` lives at `now`.
pub fn beat(conn: &mut Conn, replica: &Replica, now: Timestamp) -> QueryResult<()> {
    let row = Replica { seen_at: now, ..replica.clone() };
    each_backend!(conn, c => diesel::insert_into(replicas::table)
        .values(&row)
        .on_conflict(replicas::id)
        .do_update()
        .set(replicas::seen_at.eq(excluded(replicas::seen_at)))
        .execute(c))
    .map(|_| ())
}

/// Takes leave: a stop in good order is no death. Those who died long ago are forgotten with it.
pub fn leave(conn: &mut Conn, replica: &Replica, now: Timestamp) -> QueryResult<()> {
    let gone = replicas::id.eq(&replica.id).or(replicas::seen_at.lt(now.minus(REMEMBERED)));
    diesel::delete(replicas::table.filter(gone)).execute(conn).map(|_| ())
}

/// How many live.
pub fn alive(conn: &mut Conn, now: Timestamp) -> QueryResult<u32> {
    let alive = replicas::table.filter(replicas::seen_at.gt(now.minus(ALIVE)));
    let n: i64 = diesel::QueryDsl::count(alive).get_result(conn)?;
    Ok(u32::try_from(n).unwrap_or(u32::MAX))
}

/// All that were heard of within a day, the longest-serving first.
pub fn heard_of(conn: &mut Conn, now: Timestamp) -> QueryResult<Vec<Replica>> {
    let recent = Replica::query().filter(replicas::seen_at.ge(now.minus(REMEMBERED)));
    recent.order((replicas::started_at, replicas::id)).get_results(conn)
}
