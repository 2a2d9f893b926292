//! The runs of a scoring: which is under way, which was the last, and which is shown.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;

use crate::db::schema::{rollups, scoring_runs};
use crate::db::{Backend, Conn};
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::scoring::Summary;

/// One scoring of a store that ran to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub as_of: Timestamp,
    /// For a time in the past: shown until the next live run, and no rule has seen it.
    pub historic: bool,
    pub ran_at: Timestamp,
    pub store_gap_days: Option<f64>,
    /// Of the at-risk list. `None`: a replica of before there were editions made the run.
    pub edition: Option<i64>,
    pub summary: Summary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scoring) enum Table {
    Live,
    Historic,
}

impl Table {
    pub(in crate::scoring) fn shown(historic: bool) -> Self {
        if historic { Self::Historic } else { Self::Live }
    }

    pub(in crate::scoring) fn name(self) -> &'static str {
        match self {
            Self::Live => "scores",
            Self::Historic => "historic_scores",
        }
    }
}

type RunRow = (Timestamp, bool, Timestamp, Option<f64>, Option<i64>, String);

fn run_columns() -> (
    scoring_runs::as_of,
    scoring_runs::historic,
    scoring_runs::ran_at,
    scoring_runs::store_gap_days,
    scoring_runs::edition,
    scoring_runs::summary,
) {
    use scoring_runs::{as_of, edition, historic, ran_at, store_gap_days, summary};
    (as_of, historic, ran_at, store_gap_days, edition, summary)
}

fn run_of((as_of, historic, ran_at, store_gap_days, edition, summary): RunRow) -> Run {
    // A summary of an older form counts as none; the next run writes it anew.
    let summary = serde_json::from_str(&summary).unwrap_or_else(|_| Summary::empty());
    Run { as_of, historic, ran_at, store_gap_days, edition, summary }
}

/// The run whose scores are shown, without its counts.
#[derive(Debug, Clone, Copy, PartialEq, Queryable)]
pub struct Shown {
    /// Times in the scores relate to this.
    pub as_of: Timestamp,
    pub ran_at: Timestamp,
    /// A look into the past, until the next live run.
    pub historic: bool,
    pub store_gap_days: Option<f64>,
    /// Of the at-risk list: the newest there is, where a replica of before there were editions made the run.
    pub edition: i64,
}

impl Shown {
    /// The table that its scores are in.
    pub fn table(&self) -> &'static str {
        Table::shown(self.historic).name()
    }
}

/// The run whose scores are shown; `None` until the first has finished.
pub fn shown_run(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Shown>> {
    scoring_runs::table
        .filter(scoring_runs::store_id.eq(store).and(scoring_runs::finished.eq(true)))
        .order(scoring_runs::id.desc())
        .select((
            scoring_runs::as_of,
            scoring_runs::ran_at,
            scoring_runs::historic,
            scoring_runs::store_gap_days,
            sql::<BigInt>("COALESCE(edition, (SELECT MAX(e.edition) FROM scoring_runs e WHERE e.store_id = scoring_runs.store_id), 0)"),
        ))
        .first(conn)
        .optional()
}

/// As [`shown_run`], with its counts.
pub fn shown(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Run>> {
    let row = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store).and(scoring_runs::finished.eq(true)))
        .order(scoring_runs::id.desc())
        .select(run_columns())
        .first::<RunRow>(conn)
        .optional()?;
    Ok(row.map(run_of))
}

/// The table whose scores are shown: `historic_scores` during a look into the past, else `scores`.
pub fn shown_table(conn: &mut Conn, store: StoreId) -> QueryResult<&'static str> {
    Ok(shown_run(conn, store)?.map_or(Table::Live.name(), |shown| shown.table()))
}

/// The last live run that finished.
pub(in crate::scoring) fn last_live(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Run>> {
    let row = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store).and(scoring_runs::finished.eq(true)))
        .filter(scoring_runs::historic.eq(false))
        .order(scoring_runs::id.desc())
        .select(run_columns())
        .first::<RunRow>(conn)
        .optional()?;
    Ok(row.map(run_of))
}

/// The edition of the at-risk list that the run just before left, where it was a live one and finished. One that was broken
/// off has changed scores and not the list.
pub(in crate::scoring) fn edition_before(
    conn: &mut Conn,
    store: StoreId,
    run: i64,
) -> QueryResult<Option<i64>> {
    let edition = scoring_runs::table
        .find((store, run - 1))
        .filter(scoring_runs::finished.eq(true).and(scoring_runs::historic.eq(false)))
        .select(scoring_runs::edition)
        .first::<Option<i64>>(conn)
        .optional()?;
    Ok(edition.flatten())
}

/// When the newest run began, if it has not finished.
pub(in crate::scoring) fn under_way(
    conn: &mut Conn,
    store: StoreId,
) -> QueryResult<Option<Timestamp>> {
    let newest = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store))
        .order(scoring_runs::id.desc())
        .select((scoring_runs::finished, scoring_runs::ran_at))
        .first::<(bool, Timestamp)>(conn)
        .optional()?;
    Ok(newest.and_then(|(finished, ran_at)| (!finished).then_some(ran_at)))
}

/// How many of the store's rollups changed after `since`, counted up to `limit`.
pub(in crate::scoring) fn changed_since(
    conn: &mut Conn,
    store: StoreId,
    since: Timestamp,
    limit: i64,
) -> QueryResult<i64> {
    let changed = rollups::table
        .filter(rollups::store_id.eq(store).and(rollups::changed_at.gt(since)))
        .select(rollups::customer_id)
        .limit(limit)
        .load::<CustomerId>(conn)?;
    Ok(changed.len() as i64)
}

/// Begins a run: from here on every older one that is still under way writes no more.
pub(in crate::scoring) fn begin_run(
    conn: &mut Conn,
    store: StoreId,
    as_of: Timestamp,
    historic: bool,
    now: Timestamp,
) -> QueryResult<i64> {
    lock_scoring(conn, store)?;
    let id = newest_run(conn, store)?.unwrap_or(0) + 1;
    diesel::insert_into(scoring_runs::table)
        .values((
            scoring_runs::store_id.eq(store),
            scoring_runs::id.eq(id),
            scoring_runs::as_of.eq(as_of),
            scoring_runs::historic.eq(historic),
            scoring_runs::ran_at.eq(now),
            scoring_runs::finished.eq(false),
            scoring_runs::buyers.eq(0),
            scoring_runs::visitors.eq(0),
            scoring_runs::summary.eq("{}"),
        ))
        .execute(conn)?;
    Ok(id)
}

pub(in crate::scoring) fn newest_run(conn: &mut Conn, store: StoreId) -> QueryResult<Option<i64>> {
    scoring_runs::table
        .filter(scoring_runs::store_id.eq(store))
        .order(scoring_runs::id.desc())
        .select(scoring_runs::id)
        .first(conn)
        .optional()
}

pub(in crate::scoring) fn finish_run(
    conn: &mut Conn,
    store: StoreId,
    id: i64,
    run: &Run,
) -> QueryResult<()> {
    let summary = serde_json::to_string(&run.summary).unwrap_or_default();
    diesel::update(scoring_runs::table.find((store, id)))
        .set((
            scoring_runs::finished.eq(true),
            scoring_runs::buyers.eq(run.summary.buyers() as i64),
            scoring_runs::visitors.eq(run.summary.visitors() as i64),
            scoring_runs::store_gap_days.eq(run.store_gap_days),
            scoring_runs::edition.eq(run.edition),
            scoring_runs::summary.eq(summary),
        ))
        .execute(conn)?;
    Ok(())
}

/// Two replicas that score one store take turns, transaction by transaction. SQLite's writer lock already does.
pub(in crate::scoring) fn lock_scoring(conn: &mut Conn, store: StoreId) -> QueryResult<()> {
    match conn {
        Conn::Postgres(pg) => sql_query("SELECT pg_advisory_xact_lock($1)")
            .bind::<BigInt, _>(0x7363_6f72_0000_0000 | store.0)
            .execute(pg)
            .map(|_| ()),
        Conn::Sqlite(_) => Ok(()),
    }
}

/// The planner of PostgreSQL knows a million new rows only once it has looked.
pub(in crate::scoring) fn analyze(
    conn: &mut Conn,
    backend: Backend,
    table: Table,
) -> QueryResult<()> {
    if backend == Backend::Postgres {
        sql_query(format!("ANALYZE {}, at_risk_list", table.name())).execute(conn)?;
    }
    Ok(())
}
