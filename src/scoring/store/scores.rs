//! The rows of `scores` and `historic_scores`.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, SmallInt, Text};

use super::runs::Table;
use crate::db::bulk::TOGETHER;
use crate::db::schema::segment_history;
use crate::db::{Conn, Prepared, few_lengths, few_sizes};
use crate::each_backend;
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::scoring::Kind;
use crate::scoring::assess::Scored;

/// A row of `scores` or `historic_scores`, in the order of [`written_columns`].
#[derive(Debug, Clone, PartialEq, Queryable)]
pub(in crate::scoring) struct StoredScore {
    pub customer_id: CustomerId,
    pub kind: Kind,
    pub r: i16,
    pub f: i16,
    pub m: i16,
    pub segment: String,
    pub segment_since: Timestamp,
    pub frequency: i32,
    pub spent: i64,
    pub orders_count: i32,
    pub last_order_at: Option<Timestamp>,
    pub usual_gap_days: Option<f64>,
    pub forecast: StoredForecast,
    pub at_risk_since: Option<Timestamp>,
    pub risk_rank: Option<f64>,
}

type Columns = (
    BigInt,
    Text,
    SmallInt,
    SmallInt,
    SmallInt,
    Text,
    BigInt,
    Integer,
    BigInt,
    Integer,
    Nullable<BigInt>,
    Nullable<Double>,
    ForecastColumns,
    Nullable<BigInt>,
    Nullable<Double>,
);

type ForecastColumns = (
    Nullable<Double>,
    Nullable<Double>,
    Nullable<Double>,
    Nullable<Double>,
    Nullable<Double>,
    Nullable<Double>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
);

/// The columns of a forecast; all null where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Queryable)]
pub struct StoredForecast {
    pub p_alive: Option<f64>,
    pub p_order_30d: Option<f64>,
    pub p_order_90d: Option<f64>,
    pub expected_orders_30d: Option<f64>,
    pub expected_orders_90d: Option<f64>,
    pub expected_orders_365d: Option<f64>,
    /// Minor units, as all money here.
    pub order_value: Option<i64>,
    pub value_at_risk: Option<i64>,
    pub value_at_risk_week_ago: Option<i64>,
    pub next_order_from: Option<Timestamp>,
    pub next_order_expected_at: Option<Timestamp>,
    pub next_order_until: Option<Timestamp>,
}

impl StoredForecast {
    pub(in crate::scoring) fn of(scored: &Scored) -> Self {
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
    /// Whether a run that found `scored` writes nothing but a forecast, if anything.
    pub(in crate::scoring) fn tells_the_same_past(&self, scored: &Scored) -> bool {
        let rfm = scored.rfm;
        self.kind == scored.kind
            && (self.r, self.f, self.m) == (rfm.r.into(), rfm.f.into(), rfm.m.into())
            && self.segment == scored.segment
            && self.frequency == scored.frequency
            && self.spent == scored.spent
            && self.orders_count == scored.orders_count
            && self.last_order_at == scored.last_order_at
            && self.usual_gap_days == scored.usual_gap_days
    }
}

/// A row to write: what was found, and since when it is so.
pub(in crate::scoring) struct ToWrite {
    pub scored: Scored,
    pub forecast: StoredForecast,
    pub segment_since: Timestamp,
    pub at_risk_since: Option<Timestamp>,
    /// Whether a row is stored that differs in [`MOVING`] alone: so it is with most of a night.
    pub stands: bool,
}

/// What changes for everyone with each day. SQLite writes an index anew wherever one of its columns is named, changed or
/// not; of these, none is in one.
const MOVING: [&str; 13] = [
    "p_alive",
    "p_order_30d",
    "p_order_90d",
    "expected_orders_30d",
    "expected_orders_90d",
    "expected_orders_365d",
    "order_value",
    "value_at_risk",
    "value_at_risk_week_ago",
    "next_order_from",
    "next_order_until",
    "at_risk_since",
    "risk_rank",
];

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
pub(in crate::scoring) fn stored_between(
    conn: &mut Conn,
    table: Table,
    store: StoreId,
    from: CustomerId,
    to: CustomerId,
) -> QueryResult<Vec<StoredScore>> {
    let query: Prepared<Columns> = Prepared::new(format!(
        "SELECT {} FROM {} WHERE customer_id >= ",
        written_columns().join(", "),
        table.name()
    ));
    let query = query.value(from.0).sql(" AND customer_id <= ").value(to.0);
    let query = query.sql(" AND +store_id = ").value(store.0).sql(" ORDER BY customer_id");
    each_backend!(conn, c => query.load(c))
}

/// What is stored of `ids`, in order of id.
pub(in crate::scoring) fn stored_of(
    conn: &mut Conn,
    store: StoreId,
    ids: &[CustomerId],
) -> QueryResult<Vec<StoredScore>> {
    let mut query: Prepared<Columns> = Prepared::new(format!(
        "SELECT {} FROM scores WHERE customer_id IN (",
        written_columns().join(", ")
    ));
    for (n, id) in few_lengths(ids).iter().enumerate() {
        query = query.sql(if n == 0 { "" } else { "," }).value(id.0);
    }
    let query = query.sql(") AND +store_id = ").value(store.0).sql(" ORDER BY customer_id");
    each_backend!(conn, c => query.load(c))
}

/// Inserts or rewrites score rows.
pub(in crate::scoring) fn write(
    conn: &mut Conn,
    table: Table,
    store: StoreId,
    rows: &[ToWrite],
) -> QueryResult<()> {
    let (stand, others): (Vec<&ToWrite>, Vec<&ToWrite>) = rows.iter().partition(|row| row.stands);
    match conn {
        Conn::Sqlite(sqlite) => {
            for part in few_sizes(&others, TOGETHER) {
                upsert(table, store, part).execute(sqlite)?;
            }
            stand.iter().try_for_each(|row| move_on(table, row).execute(sqlite).map(|_| ()))
        }
        // A column of values each spares PostgreSQL parsing thousands of placeholders.
        Conn::Postgres(pg) => {
            upsert_columns(pg, table, store, &others, |_| true)?;
            upsert_columns(pg, table, store, &stand, |name| MOVING.contains(&name))
        }
    }
}

/// Inserts rows, or rewrites all of each.
fn upsert(table: Table, store: StoreId, rows: &[&ToWrite]) -> Prepared<()> {
    let columns = written_columns().join(", ");
    let mut query =
        Prepared::new(format!("INSERT INTO {} ({columns}, store_id) VALUES ", table.name()));
    for (n, row) in rows.iter().enumerate() {
        query = query.sql(if n == 0 { "(" } else { ", (" });
        macro_rules! bind {
            ($row:ident, $column:ident, $type:ty, $value:expr) => {
                query = query.value($value).sql(", ")
            };
        }
        written!(row, bind);
        query = query.value(store.0).sql(")");
    }
    query.sql(rewriting(|_| true))
}

/// Rewrites [`MOVING`] of a row that is stored.
fn move_on(table: Table, row: &ToWrite) -> Prepared<()> {
    let mut query = Prepared::new("UPDATE ").sql(table.name());
    let mut first = Some(" SET ");
    macro_rules! bind {
        ($row:ident, $column:ident, $type:ty, $value:expr) => {
            if MOVING.contains(&stringify!($column)) {
                query = query.sql(first.take().unwrap_or(", "));
                query = query.sql(concat!(stringify!($column), " = ")).value($value);
            }
        };
    }
    written!(row, bind);
    query.sql(" WHERE customer_id = ").value(row.scored.customer_id.0)
}

fn upsert_columns(
    pg: &mut PgConnection,
    table: Table,
    store: StoreId,
    rows: &[&ToWrite],
    is_rewritten: impl Fn(&str) -> bool,
) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let names = written_columns();
    let columns = names.join(", ");
    let places: Vec<String> = (1..=names.len()).map(|n| format!("${n}")).collect();
    let mut query = sql_query(format!(
        "INSERT INTO {} ({columns}, store_id) SELECT u.*, ${} FROM UNNEST({}) AS u ({columns}) {}",
        table.name(),
        names.len() + 1,
        places.join(", "),
        rewriting(is_rewritten)
    ))
    .into_boxed();
    macro_rules! bind {
        ($row:ident, $column:ident, $type:ty, $value:expr) => {
            query =
                query.bind::<Array<$type>, _>(rows.iter().map(|$row| $value).collect::<Vec<_>>())
        };
    }
    written!(row, bind);
    query.bind::<BigInt, _>(store).execute(pg)?;
    Ok(())
}

/// What becomes of a row that is there already.
fn rewriting(is_rewritten: impl Fn(&str) -> bool) -> String {
    let columns: Vec<String> = written_columns()[1..]
        .iter()
        .filter(|name| is_rewritten(name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    format!(" ON CONFLICT (customer_id) DO UPDATE SET {}", columns.join(", "))
}

/// Takes out those who are scored no more.
pub(in crate::scoring) fn remove(
    conn: &mut Conn,
    table: Table,
    gone: &[CustomerId],
) -> QueryResult<()> {
    for part in gone.chunks(10_000) {
        let ids = part.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        // Numbers of our own: no bind needed, and none of a limit.
        sql_query(format!("DELETE FROM {} WHERE customer_id IN ({ids})", table.name()))
            .execute(conn)?;
    }
    Ok(())
}

/// Writes who entered which segment at `now`.
pub(in crate::scoring) fn write_history(
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
pub(in crate::scoring) fn forget_historic(
    conn: &mut Conn,
    store: StoreId,
    rows: i64,
) -> QueryResult<bool> {
    let gone = sql_query(
        "DELETE FROM historic_scores WHERE customer_id IN \
         (SELECT customer_id FROM historic_scores WHERE store_id = $1 ORDER BY customer_id LIMIT $2)",
    )
    .bind::<BigInt, _>(store)
    .bind::<BigInt, _>(rows)
    .execute(conn)?;
    Ok(gone > 0)
}
