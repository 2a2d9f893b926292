//! How many customers an audience holds now: one set-based query.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text};

use crate::db::Conn;
use crate::each_backend;
use crate::primitives::{CustomerId, Timestamp};
use crate::rules::Condition;
use crate::rules::condition::sql::{Asked, Dialect, Param, Query};
use crate::stores::Store;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Member {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
}

fn asked(conn: &Conn, store: &Store, now: Timestamp) -> Asked {
    let dialect = match conn {
        Conn::Sqlite(_) => Dialect::Sqlite,
        Conn::Postgres(_) => Dialect::Postgres,
    };
    Asked { store: store.id, decimals: store.currency.decimals(), now, dialect }
}

/// Runs a statement with the parameters of a query.
macro_rules! run {
    ($conn:expr, $sql:expr, $params:expr) => {
        each_backend!($conn, c => {
            let mut query = diesel::sql_query($sql).into_boxed();
            for param in $params {
                query = match param {
                    Param::Whole(n) => query.bind::<BigInt, _>(n),
                    Param::Number(n) => query.bind::<Double, _>(n),
                    Param::Text(text) => query.bind::<Text, _>(text),
                };
            }
            query.load(c)
        })
    };
}

/// How many customers fit at `now`; all of the store's for `None`.
pub fn count(
    conn: &mut Conn,
    store: &Store,
    audience: Option<&Condition>,
    now: Timestamp,
) -> QueryResult<i64> {
    let (sql, params) = counting(conn, store, audience, now);
    let found: Vec<Count> = run!(conn, sql, params)?;
    Ok(found.first().map_or(0, |count| count.n))
}

/// A store is counted in one pass over its rollups. SQLite would rather follow an index to most of their rows one by
/// one, which costs it seven times as much at a million.
fn counting(
    conn: &Conn,
    store: &Store,
    audience: Option<&Condition>,
    now: Timestamp,
) -> (String, Vec<Param>) {
    let asked = asked(conn, store, now);
    let Query { from, params } = Query::of(audience, &asked);
    let from = match asked.dialect {
        Dialect::Sqlite => from.replacen("FROM rollups r", "FROM rollups r NOT INDEXED", 1),
        Dialect::Postgres => from,
    };
    (format!("SELECT COUNT(*) AS n {from}"), params)
}

/// Who fits at `now`, after a customer and by id, at most `limit`: a page, read along the key from where the one before it
/// ended.
pub fn members(
    conn: &mut Conn,
    store: &Store,
    audience: Option<&Condition>,
    now: Timestamp,
    after: CustomerId,
    limit: i64,
) -> QueryResult<Vec<CustomerId>> {
    let asked = asked(conn, store, now);
    let mut query = Query::of(audience, &asked);
    let after = query.bind(Param::Whole(after.0));
    let Query { from, params } = query;
    let from = match asked.dialect {
        // SQLite would rather find all of the store by an index and sort it, for every page anew: a campaign to a
        // million would be a million pages' work. The plus keeps that index out of its sight.
        Dialect::Sqlite => from.replacen("WHERE r.store_id", "WHERE +r.store_id", 1),
        Dialect::Postgres => from,
    };
    let sql = format!(
        "SELECT r.customer_id {from} AND r.customer_id > {after} ORDER BY r.customer_id LIMIT {limit}"
    );
    let found: Vec<Member> = run!(conn, sql, params)?;
    Ok(found.into_iter().map(|member| member.customer_id).collect())
}

/// The way the database would take to count them, in its own words.
pub fn explain(
    conn: &mut Conn,
    store: &Store,
    audience: Option<&Condition>,
    now: Timestamp,
) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        detail: String,
    }
    #[derive(QueryableByName)]
    struct PlanLine {
        #[diesel(sql_type = Text)]
        #[diesel(column_name = "QUERY PLAN")]
        line: String,
    }
    let (sql, params) = counting(conn, store, audience, now);
    Ok(match conn {
        Conn::Sqlite(_) => {
            let lines: Vec<Line> = run!(conn, format!("EXPLAIN QUERY PLAN {sql}"), params)?;
            lines.into_iter().map(|line| line.detail).collect()
        }
        Conn::Postgres(_) => {
            let lines: Vec<PlanLine> = run!(conn, format!("EXPLAIN {sql}"), params)?;
            lines.into_iter().map(|line| line.line).collect()
        }
    })
}
