//! SQL of scoring: who is scored, what was found, and the lists that are read from it.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, SmallInt, Text};

use super::assess::{Measure, Person, Scored};
use super::learning::{Learning, Report};
use super::{Kind, Rfm, Summary};
use crate::customers::Rollup;
use crate::db::schema::{customers, learnings, rollups, scoring_runs, segment_history};
use crate::db::{Backend, Conn};
use crate::each_backend;
use crate::primitives::{CustomerId, StoreId, Timestamp, Zone};
use crate::stores::Store;

// ---------------------------------------------------------------------------------------------- people

/// What scoring reads of a rollup.
#[derive(Queryable, Selectable)]
#[diesel(table_name = rollups)]
struct RollupRow {
    customer_id: CustomerId,
    orders_count: i32,
    order_days: i32,
    spent: i64,
    first_order_at: Option<Timestamp>,
    last_order_at: Option<Timestamp>,
    last_order_day: Option<i32>,
    last_order_value: i64,
    median_gap_days: Option<f64>,
    log_gap_sum: f64,
    last_seen_at: Option<Timestamp>,
    visits_count: i32,
    product_views: i32,
    carts_count: i32,
    checkouts_count: i32,
}

/// The next people of a store after `after`, by id, at most `limit` rows read; and where to go on, if anywhere.
///
/// Merged and erased customers are nobody here, nor is who neither ordered nor visited.
pub fn people_after(
    conn: &mut Conn,
    store: StoreId,
    after: CustomerId,
    limit: i64,
    zone: &Zone,
    people: &mut Vec<Person>,
) -> QueryResult<Option<CustomerId>> {
    let rows: Vec<RollupRow> = customers::table
        .inner_join(rollups::table.on(rollups::customer_id.eq(customers::id)))
        .filter(customers::store_id.eq(store).and(customers::id.gt(after)))
        .filter(customers::merged_into.is_null().and(customers::erased_at.is_null()))
        .order(customers::id)
        .limit(limit)
        .select(RollupRow::as_select())
        .load(conn)?;
    let next = (rows.len() as i64 == limit).then(|| rows[rows.len() - 1].customer_id);
    people.extend(rows.into_iter().filter_map(|row| person(row, zone)));
    Ok(next)
}

/// Those of `ids` who are somebody, by id.
pub(super) fn people_of(
    conn: &mut Conn,
    store: &Store,
    ids: &[CustomerId],
) -> QueryResult<Vec<Person>> {
    let rows: Vec<RollupRow> = customers::table
        .inner_join(rollups::table.on(rollups::customer_id.eq(customers::id)))
        .filter(customers::store_id.eq(store.id).and(customers::id.eq_any(ids)))
        .filter(customers::merged_into.is_null().and(customers::erased_at.is_null()))
        .order(customers::id)
        .select(RollupRow::as_select())
        .load(conn)?;
    Ok(rows.into_iter().filter_map(|row| person(row, &store.timezone)).collect())
}

/// When whose rollup changed.
pub(super) type Change = (Timestamp, CustomerId);

/// The next customers, at most `limit`, whose rollup changed in (`place`, `until`], in order of (time, id), and where to
/// go on, if anywhere.
pub(super) fn changed_after(
    conn: &mut Conn,
    store: StoreId,
    place: Change,
    until: Timestamp,
    limit: i64,
) -> QueryResult<(Vec<CustomerId>, Option<Change>)> {
    let (at, id) = place;
    let rows: Vec<Change> = rollups::table
        .filter(rollups::store_id.eq(store))
        // The first two are a range of the index, the third settles ties.
        .filter(rollups::changed_at.ge(at).and(rollups::changed_at.le(until)))
        .filter(rollups::changed_at.gt(at).or(rollups::customer_id.gt(id)))
        .order((rollups::changed_at, rollups::customer_id))
        .select((rollups::changed_at, rollups::customer_id))
        .limit(limit)
        .load(conn)?;
    let next = rows.last().copied().filter(|_| rows.len() as i64 == limit);
    Ok((rows.into_iter().map(|(_, id)| id).collect(), next))
}

fn person(row: RollupRow, zone: &Zone) -> Option<Person> {
    let rollup = Rollup {
        orders_count: row.orders_count,
        order_days: row.order_days,
        spent: row.spent,
        first_order_at: row.first_order_at,
        last_order_at: row.last_order_at,
        last_order_day: row.last_order_day,
        last_order_value: row.last_order_value,
        median_gap_days: row.median_gap_days,
        log_gap_sum: row.log_gap_sum,
        last_seen_at: row.last_seen_at,
        visits_count: row.visits_count,
        product_views: row.product_views,
        carts_count: row.carts_count,
        checkouts_count: row.checkouts_count,
        ..Rollup::default()
    };
    Person::of(row.customer_id, &rollup, zone)
}

/// The next customers of a store after `after`, by id: neither merged nor erased, with a rollup or without.
pub(super) fn customers_after(
    conn: &mut Conn,
    store: StoreId,
    after: CustomerId,
    limit: i64,
) -> QueryResult<Vec<CustomerId>> {
    customers::table
        .filter(customers::store_id.eq(store).and(customers::id.gt(after)))
        .filter(customers::merged_into.is_null().and(customers::erased_at.is_null()))
        .order(customers::id)
        .limit(limit)
        .select(customers::id)
        .load(conn)
}

// ------------------------------------------------------------------------------------------------ runs

/// One scoring of a store that ran to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub as_of: Timestamp,
    /// For a time in the past: shown until the next live run, and no rule has seen it.
    pub historic: bool,
    pub ran_at: Timestamp,
    pub store_gap_days: Option<f64>,
    pub summary: Summary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Live,
    Historic,
}

impl Table {
    pub(super) fn shown(historic: bool) -> Self {
        if historic { Self::Historic } else { Self::Live }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Live => "scores",
            Self::Historic => "historic_scores",
        }
    }
}

type RunRow = (Timestamp, bool, Timestamp, Option<f64>, String);

fn run_columns() -> (
    scoring_runs::as_of,
    scoring_runs::historic,
    scoring_runs::ran_at,
    scoring_runs::store_gap_days,
    scoring_runs::summary,
) {
    use scoring_runs::{as_of, historic, ran_at, store_gap_days, summary};
    (as_of, historic, ran_at, store_gap_days, summary)
}

fn run_of((as_of, historic, ran_at, store_gap_days, summary): RunRow) -> Run {
    // A summary of an older form counts as none; the next run writes it anew.
    let summary = serde_json::from_str(&summary).unwrap_or_else(|_| Summary::empty());
    Run { as_of, historic, ran_at, store_gap_days, summary }
}

/// The run whose scores are shown; `None` until the first has finished.
pub fn shown(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Run>> {
    let row = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store).and(scoring_runs::finished.eq(true)))
        .order(scoring_runs::id.desc())
        .select(run_columns())
        .first::<RunRow>(conn)
        .optional()?;
    Ok(row.map(run_of))
}

/// As of when the shown scores are, and whether they are a look into the past; without the run's counts.
pub fn shown_as_of(conn: &mut Conn, store: StoreId) -> QueryResult<Option<(Timestamp, bool)>> {
    scoring_runs::table
        .filter(scoring_runs::store_id.eq(store).and(scoring_runs::finished.eq(true)))
        .order(scoring_runs::id.desc())
        .select((scoring_runs::as_of, scoring_runs::historic))
        .first(conn)
        .optional()
}

/// The table whose scores are shown: `historic_scores` during a look into the past, else `scores`.
pub fn shown_table(conn: &mut Conn, store: StoreId) -> QueryResult<&'static str> {
    let historic = shown_as_of(conn, store)?.is_some_and(|(_, historic)| historic);
    Ok(Table::shown(historic).name())
}

/// The last live run that finished.
pub(super) fn last_live(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Run>> {
    let row = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store).and(scoring_runs::finished.eq(true)))
        .filter(scoring_runs::historic.eq(false))
        .order(scoring_runs::id.desc())
        .select(run_columns())
        .first::<RunRow>(conn)
        .optional()?;
    Ok(row.map(run_of))
}

/// When the newest run began, if it has not finished.
pub(super) fn under_way(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Timestamp>> {
    let newest = scoring_runs::table
        .filter(scoring_runs::store_id.eq(store))
        .order(scoring_runs::id.desc())
        .select((scoring_runs::finished, scoring_runs::ran_at))
        .first::<(bool, Timestamp)>(conn)
        .optional()?;
    Ok(newest.and_then(|(finished, ran_at)| (!finished).then_some(ran_at)))
}

/// How many of the store's rollups changed after `since`, counted up to `limit`.
pub(super) fn changed_since(
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
pub(super) fn begin_run(
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

pub(super) fn newest_run(conn: &mut Conn, store: StoreId) -> QueryResult<Option<i64>> {
    scoring_runs::table
        .filter(scoring_runs::store_id.eq(store))
        .order(scoring_runs::id.desc())
        .select(scoring_runs::id)
        .first(conn)
        .optional()
}

pub(super) fn finish_run(conn: &mut Conn, store: StoreId, id: i64, run: &Run) -> QueryResult<()> {
    let summary = serde_json::to_string(&run.summary).unwrap_or_default();
    diesel::update(scoring_runs::table.find((store, id)))
        .set((
            scoring_runs::finished.eq(true),
            scoring_runs::buyers.eq(run.summary.buyers() as i64),
            scoring_runs::visitors.eq(run.summary.visitors() as i64),
            scoring_runs::store_gap_days.eq(run.store_gap_days),
            scoring_runs::summary.eq(summary),
        ))
        .execute(conn)?;
    Ok(())
}

/// Two replicas that score one store take turns, transaction by transaction. SQLite's writer lock already does.
pub(super) fn lock_scoring(conn: &mut Conn, store: StoreId) -> QueryResult<()> {
    match conn {
        Conn::Postgres(pg) => sql_query("SELECT pg_advisory_xact_lock($1)")
            .bind::<BigInt, _>(0x7363_6f72_0000_0000 | store.0)
            .execute(pg)
            .map(|_| ()),
        Conn::Sqlite(_) => Ok(()),
    }
}

// ------------------------------------------------------------------------------------------- learnings

/// How many learnings are kept: enough to see how predictions drift.
const LEARNINGS_KEPT: i64 = 60;

/// Keeps what was learnt, and forgets the oldest.
pub(super) fn keep_learning(
    conn: &mut Conn,
    store: StoreId,
    as_of: Timestamp,
    now: Timestamp,
    learning: &Learning,
    measure: &Measure,
    report: &Report,
) -> QueryResult<()> {
    let json =
        |error: serde_json::Error| diesel::result::Error::SerializationError(Box::new(error));
    let newest: Option<i64> = learnings::table
        .filter(learnings::store_id.eq(store))
        .select(diesel::dsl::max(learnings::id))
        .first(conn)?;
    let id = newest.unwrap_or(0) + 1;
    diesel::insert_into(learnings::table)
        .values((
            learnings::store_id.eq(store),
            learnings::id.eq(id),
            learnings::as_of.eq(as_of),
            learnings::learned_at.eq(now),
            learnings::document.eq(serde_json::to_string(learning).map_err(json)?),
            learnings::measure.eq(serde_json::to_string(measure).map_err(json)?),
            learnings::report.eq(serde_json::to_string(report).map_err(json)?),
        ))
        .execute(conn)?;
    diesel::delete(learnings::table)
        .filter(learnings::store_id.eq(store).and(learnings::id.le(id - LEARNINGS_KEPT)))
        .execute(conn)?;
    Ok(())
}

/// Keeps the measure of a run that learnt nothing new.
pub(super) fn keep_measure(conn: &mut Conn, store: StoreId, measure: &Measure) -> QueryResult<()> {
    let json = serde_json::to_string(measure)
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
    sql_query(
        "UPDATE learnings SET measure = $1 WHERE store_id = $2 \
         AND id = (SELECT MAX(id) FROM learnings WHERE store_id = $3)",
    )
    .bind::<Text, _>(json)
    .bind::<BigInt, _>(store)
    .bind::<BigInt, _>(store)
    .execute(conn)?;
    Ok(())
}

/// What the last live run learnt, and by what measure it scored. `None` before the first, or after one of an older form.
pub fn newest_learning(
    conn: &mut Conn,
    store: StoreId,
) -> QueryResult<Option<(Learning, Measure)>> {
    let row: Option<(String, String)> = learnings::table
        .filter(learnings::store_id.eq(store))
        .order(learnings::id.desc())
        .select((learnings::document, learnings::measure))
        .first(conn)
        .optional()?;
    Ok(row.and_then(|(document, measure)| {
        Some((serde_json::from_str(&document).ok()?, serde_json::from_str(&measure).ok()?))
    }))
}

/// What was learnt, when, and the report on it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Learnt {
    pub as_of: Timestamp,
    pub learned_at: Timestamp,
    pub learning: Learning,
    pub report: Report,
}

/// The last learnings of a store, newest first, at most `limit`. One of an older form is left out.
pub fn learnings(conn: &mut Conn, store: StoreId, limit: i64) -> QueryResult<Vec<Learnt>> {
    let rows: Vec<(Timestamp, Timestamp, String, String)> = learnings::table
        .filter(learnings::store_id.eq(store))
        .order(learnings::id.desc())
        .select((learnings::as_of, learnings::learned_at, learnings::document, learnings::report))
        .limit(limit)
        .load(conn)?;
    Ok(rows
        .into_iter()
        .filter_map(|(as_of, learned_at, document, report)| {
            let learning = serde_json::from_str(&document).ok()?;
            let report = serde_json::from_str(&report).ok()?;
            Some(Learnt { as_of, learned_at, learning, report })
        })
        .collect())
}

// ---------------------------------------------------------------------------------------------- scores

/// A row of `scores` or `historic_scores`.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub(super) struct StoredScore {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Text)]
    pub kind: Kind,
    #[diesel(sql_type = SmallInt)]
    pub r: i16,
    #[diesel(sql_type = SmallInt)]
    pub f: i16,
    #[diesel(sql_type = SmallInt)]
    pub m: i16,
    #[diesel(sql_type = Text)]
    pub segment: String,
    #[diesel(sql_type = BigInt)]
    pub segment_since: Timestamp,
    #[diesel(sql_type = Integer)]
    pub frequency: i32,
    #[diesel(sql_type = BigInt)]
    pub spent: i64,
    #[diesel(sql_type = Integer)]
    pub orders_count: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub last_order_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Double>)]
    pub usual_gap_days: Option<f64>,
    #[diesel(embed)]
    pub forecast: StoredForecast,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub at_risk_since: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Double>)]
    pub risk_rank: Option<f64>,
}

/// The columns of a forecast; all null where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, QueryableByName)]
pub struct StoredForecast {
    #[diesel(sql_type = Nullable<Double>)]
    pub p_alive: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub p_order_30d: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub p_order_90d: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub expected_orders_30d: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub expected_orders_90d: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    pub expected_orders_365d: Option<f64>,
    /// Minor units, as all money here.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub order_value: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub value_at_risk: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub value_at_risk_week_ago: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub next_order_from: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub next_order_expected_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub next_order_until: Option<Timestamp>,
}

impl StoredForecast {
    pub(super) fn of(scored: &Scored) -> Self {
        let Some(told) = scored.forecast else {
            return Self { p_order_30d: scored.p_first_order_30d, ..Self::default() };
        };
        Self {
            p_alive: Some(told.p_alive),
            p_order_30d: Some(told.p_order_30d),
            p_order_90d: Some(told.p_order_90d),
            expected_orders_30d: Some(told.expected_orders_30d),
            expected_orders_90d: Some(told.expected_orders_90d),
            expected_orders_365d: Some(told.expected_orders_365d),
            order_value: Some(told.order_value),
            value_at_risk: Some(told.value_at_risk),
            value_at_risk_week_ago: told.value_at_risk_week_ago,
            next_order_from: told.next_order_from,
            next_order_expected_at: told.next_order_expected_at,
            next_order_until: told.next_order_until,
        }
    }

    /// What the expected orders of so many days come to.
    pub fn expected_value(&self, expected_orders: Option<f64>) -> Option<i64> {
        Some((expected_orders? * self.order_value? as f64).round() as i64)
    }
}

impl StoredScore {
    /// Whether a run that found `scored` has nothing to write.
    pub(super) fn says(&self, scored: &Scored) -> bool {
        let rfm = scored.rfm;
        self.kind == scored.kind
            && (self.r, self.f, self.m) == (rfm.r.into(), rfm.f.into(), rfm.m.into())
            && self.segment == scored.segment
            && self.frequency == scored.frequency
            && self.spent == scored.spent
            && self.orders_count == scored.orders_count
            && self.last_order_at == scored.last_order_at
            && self.usual_gap_days == scored.usual_gap_days
            && self.forecast == StoredForecast::of(scored)
            && self.risk_rank == scored.risk_rank
    }
}

/// A row to write: what was found, and since when it is so.
pub(super) struct ToWrite {
    pub scored: Scored,
    pub forecast: StoredForecast,
    pub segment_since: Timestamp,
    pub at_risk_since: Option<Timestamp>,
    /// Whether what is stored has [`SLOW_COLUMNS`] as they are here.
    pub stands: bool,
}

/// Columns that most nights leave as they are. SQLite writes an index anew wherever one of its columns is named, changed or
/// not: so they are named only where they change.
const SLOW_COLUMNS: [&str; 3] = ["segment", "segment_since", "next_order_expected_at"];

/// The columns that a run writes, in this order: each one's name, type and value in a row. `store_id` comes besides.
macro_rules! written {
    ($row:ident, $each:ident) => {
        $each!($row, customer_id, BigInt, $row.scored.customer_id);
        $each!($row, kind, Text, $row.scored.kind.as_str());
        $each!($row, r, SmallInt, i16::from($row.scored.rfm.r));
        $each!($row, f, SmallInt, i16::from($row.scored.rfm.f));
        $each!($row, m, SmallInt, i16::from($row.scored.rfm.m));
        $each!($row, segment, Text, $row.scored.segment);
        $each!($row, segment_since, BigInt, $row.segment_since);
        $each!($row, frequency, Integer, $row.scored.frequency);
        $each!($row, spent, BigInt, $row.scored.spent);
        $each!($row, orders_count, Integer, $row.scored.orders_count);
        $each!($row, last_order_at, Nullable<BigInt>, $row.scored.last_order_at);
        $each!($row, usual_gap_days, Nullable<Double>, $row.scored.usual_gap_days);
        $each!($row, p_alive, Nullable<Double>, $row.forecast.p_alive);
        $each!($row, p_order_30d, Nullable<Double>, $row.forecast.p_order_30d);
        $each!($row, p_order_90d, Nullable<Double>, $row.forecast.p_order_90d);
        $each!($row, expected_orders_30d, Nullable<Double>, $row.forecast.expected_orders_30d);
        $each!($row, expected_orders_90d, Nullable<Double>, $row.forecast.expected_orders_90d);
        $each!($row, expected_orders_365d, Nullable<Double>, $row.forecast.expected_orders_365d);
        $each!($row, order_value, Nullable<BigInt>, $row.forecast.order_value);
        $each!($row, value_at_risk, Nullable<BigInt>, $row.forecast.value_at_risk);
        $each!(
            $row,
            value_at_risk_week_ago,
            Nullable<BigInt>,
            $row.forecast.value_at_risk_week_ago
        );
        $each!($row, next_order_from, Nullable<BigInt>, $row.forecast.next_order_from);
        $each!(
            $row,
            next_order_expected_at,
            Nullable<BigInt>,
            $row.forecast.next_order_expected_at
        );
        $each!($row, next_order_until, Nullable<BigInt>, $row.forecast.next_order_until);
        $each!($row, at_risk_since, Nullable<BigInt>, $row.at_risk_since);
        $each!($row, risk_rank, Nullable<Double>, $row.scored.risk_rank);
    };
}

/// The names of those columns.
fn written_columns() -> Vec<&'static str> {
    let mut names = Vec::new();
    macro_rules! name {
        ($row:ident, $column:ident, $type:ty, $value:expr) => {
            names.push(stringify!($column))
        };
    }
    written!(row, name);
    names
}

/// What is stored of the customers from `from` to `to`, both included, in order of id.
///
/// The `+` keeps SQLite from an index by store, all of which it would read for every chunk of a run.
pub(super) fn stored_between(
    conn: &mut Conn,
    table: Table,
    store: StoreId,
    from: CustomerId,
    to: CustomerId,
) -> QueryResult<Vec<StoredScore>> {
    sql_query(format!(
        "SELECT {} FROM {} WHERE customer_id >= $1 AND customer_id <= $2 AND +store_id = $3 ORDER BY customer_id",
        written_columns().join(", "),
        table.name()
    ))
    .bind::<BigInt, _>(from)
    .bind::<BigInt, _>(to)
    .bind::<BigInt, _>(store)
    .load(conn)
}

/// What is stored of `ids`, in order of id.
pub(super) fn stored_of(
    conn: &mut Conn,
    store: StoreId,
    ids: &[CustomerId],
) -> QueryResult<Vec<StoredScore>> {
    // Numbers of our own: no bind needed, and none of a limit.
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    sql_query(format!(
        "SELECT {} FROM scores WHERE customer_id IN ({}) AND +store_id = $1 ORDER BY customer_id",
        written_columns().join(", "),
        ids.join(",")
    ))
    .bind::<BigInt, _>(store)
    .load(conn)
}

/// Inserts or rewrites score rows.
///
/// SQLite takes many rows of binds; PostgreSQL a column of values each, which spares it parsing thousands of
/// placeholders.
pub(super) fn write(
    conn: &mut Conn,
    table: Table,
    store: StoreId,
    rows: &[ToWrite],
) -> QueryResult<()> {
    let (stands, moves): (Vec<&ToWrite>, Vec<&ToWrite>) = rows.iter().partition(|row| row.stands);
    write_rows(conn, table, store, &moves, &[])?;
    write_rows(conn, table, store, &stands, &SLOW_COLUMNS)
}

/// The same; of a row that is stored, all but the columns `left` are written.
fn write_rows(
    conn: &mut Conn,
    table: Table,
    store: StoreId,
    rows: &[&ToWrite],
    left: &[&str],
) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let table = table.name();
    let names = written_columns();
    let columns = names.join(", ");
    let rewrite: Vec<String> = names[1..]
        .iter()
        .filter(|name| !left.contains(name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let rewrite = format!("ON CONFLICT (customer_id) DO UPDATE SET {}", rewrite.join(", "));
    match conn {
        Conn::Sqlite(sqlite) => {
            // So many binds a row; SQLite takes 32,766 of them.
            let row = format!("({}?)", "?,".repeat(names.len()));
            for part in rows.chunks(1_000) {
                let places = vec![row.as_str(); part.len()].join(",");
                let mut query = sql_query(format!(
                    "INSERT INTO {table} ({columns}, store_id) VALUES {places} {rewrite}"
                ))
                .into_boxed();
                for row in part {
                    macro_rules! bind {
                        ($row:ident, $column:ident, $type:ty, $value:expr) => {
                            query = query.bind::<$type, _>($value)
                        };
                    }
                    written!(row, bind);
                    query = query.bind::<BigInt, _>(store);
                }
                query.execute(sqlite)?;
            }
        }
        Conn::Postgres(pg) => {
            let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
            let mut query = sql_query(format!(
                "INSERT INTO {table} ({columns}, store_id) SELECT u.*, ${} FROM UNNEST({}) AS u ({columns}) {rewrite}",
                names.len() + 1,
                places.join(", ")
            ))
            .into_boxed();
            macro_rules! bind {
                ($row:ident, $column:ident, $type:ty, $value:expr) => {
                    query = query
                        .bind::<Array<$type>, _>(rows.iter().map(|$row| $value).collect::<Vec<_>>())
                };
            }
            written!(row, bind);
            query = query.bind::<BigInt, _>(store);
            query.execute(pg)?;
        }
    }
    Ok(())
}

/// Takes out those who are scored no more.
pub(super) fn remove(conn: &mut Conn, table: Table, gone: &[CustomerId]) -> QueryResult<()> {
    for part in gone.chunks(10_000) {
        let ids = part.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        // Numbers of our own: no bind needed, and none of a limit.
        sql_query(format!("DELETE FROM {} WHERE customer_id IN ({ids})", table.name()))
            .execute(conn)?;
    }
    Ok(())
}

/// Writes who entered which segment at `now`.
pub(super) fn write_history(
    conn: &mut Conn,
    entered: &[(CustomerId, &'static str)],
    now: Timestamp,
) -> QueryResult<()> {
    let rows: Vec<_> = entered
        .iter()
        .map(|(customer, segment)| {
            (
                segment_history::customer_id.eq(*customer),
                segment_history::since.eq(now),
                segment_history::segment.eq(*segment),
            )
        })
        .collect();
    // The enum cannot express a batch.
    each_backend!(conn, c => for part in rows.chunks(8_000) {
        diesel::insert_into(segment_history::table).values(part).on_conflict_do_nothing().execute(c)?;
    });
    Ok(())
}

/// Empties a little of `historic_scores`; false when nothing was left.
pub(super) fn forget_historic(conn: &mut Conn, store: StoreId, rows: i64) -> QueryResult<bool> {
    let gone = sql_query(
        "DELETE FROM historic_scores WHERE customer_id IN \
         (SELECT customer_id FROM historic_scores WHERE store_id = $1 ORDER BY customer_id LIMIT $2)",
    )
    .bind::<BigInt, _>(store)
    .bind::<BigInt, _>(rows)
    .execute(conn)?;
    Ok(gone > 0)
}

// ------------------------------------------------------------------------------------- what is read of it

/// The score of one customer, as shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredCustomer {
    pub as_of: Timestamp,
    pub kind: Kind,
    pub segment: String,
    /// When the segment was entered; unknown in a look into the past.
    pub segment_since: Option<Timestamp>,
    pub rfm: Rfm,
    pub last_order_at: Option<Timestamp>,
    pub usual_gap_days: Option<f64>,
    pub forecast: StoredForecast,
    /// On the at-risk list.
    pub at_risk: bool,
    pub at_risk_since: Option<Timestamp>,
}

/// The shown score of a customer; `None` where there is none yet.
pub fn score_of(
    conn: &mut Conn,
    store: StoreId,
    customer: CustomerId,
) -> QueryResult<Option<ScoredCustomer>> {
    let Some((as_of, historic)) = shown_as_of(conn, store)? else { return Ok(None) };
    let row = stored_between(conn, Table::shown(historic), store, customer, customer)?.pop();
    Ok(row.map(|row| ScoredCustomer {
        as_of,
        kind: row.kind,
        segment_since: (!historic).then_some(row.segment_since),
        rfm: rfm(row.r, row.f, row.m),
        segment: row.segment,
        last_order_at: row.last_order_at,
        usual_gap_days: row.usual_gap_days,
        forecast: row.forecast,
        at_risk: row.risk_rank.is_some(),
        at_risk_since: row.at_risk_since,
    }))
}

/// When the customer entered which segment, newest first.
pub fn history_of(conn: &mut Conn, customer: CustomerId) -> QueryResult<Vec<(Timestamp, String)>> {
    segment_history::table
        .filter(segment_history::customer_id.eq(customer))
        .order(segment_history::since.desc())
        .select((segment_history::since, segment_history::segment))
        .load(conn)
}

pub(super) fn rfm(r: i16, f: i16, m: i16) -> Rfm {
    let score = |value: i16| value.clamp(1, 5) as u8;
    Rfm { r: score(r), f: score(f), m: score(m) }
}

/// The planner of PostgreSQL knows a million new rows only once it has looked.
pub(super) fn analyze(conn: &mut Conn, backend: Backend, table: Table) -> QueryResult<()> {
    if backend == Backend::Postgres {
        sql_query(format!("ANALYZE {}", table.name())).execute(conn)?;
    }
    Ok(())
}
