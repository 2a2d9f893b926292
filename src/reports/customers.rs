//! Finding customers, and the list of them.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};

use super::{capped_count, id_list};
use crate::db::Conn;
use crate::db::schema::customers;
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::scoring;
use crate::stores::Store;

/// Names are also searched in their middle among so many of the newest customers: more would be a scan.
pub const SEARCHED_WITHIN: i64 = 20_000;

#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = BigInt)]
    pub id: CustomerId,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub email: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub external_id: Option<String>,
    #[diesel(sql_type = Bool)]
    pub erased: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub segment: Option<String>,
    #[diesel(sql_type = Integer)]
    pub orders_count: i32,
    #[diesel(sql_type = BigInt)]
    pub spent: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub last_order_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub last_seen_at: Option<Timestamp>,
    #[diesel(sql_type = Integer)]
    pub visits_count: i32,
    /// Where the next page begins; see [`Cursor`].
    #[diesel(sql_type = BigInt)]
    pub cursor: i64,
}

/// What someone is called: name, address, the shop's id.
pub type Called = (Option<String>, Option<String>, Option<String>);

/// What `ids` are called.
pub fn called(
    conn: &mut Conn,
    store: StoreId,
    ids: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, Called>> {
    let found: Vec<(CustomerId, Called)> = customers::table
        .filter(customers::store_id.eq(store).and(customers::id.eq_any(ids)))
        .select((customers::id, (customers::name, customers::email, customers::external_id)))
        .load(conn)?;
    Ok(found.into_iter().collect())
}

/// The last row of the page before: its id, or when it entered the segment asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cursor {
    pub at: i64,
    pub id: i64,
}

const COLUMNS: &str = "c.id, c.name, c.email, c.external_id, c.erased_at IS NOT NULL AS erased, s.segment, \
    COALESCE(r.orders_count, 0) AS orders_count, COALESCE(r.spent, 0) AS spent, r.last_order_at, r.last_seen_at, \
    COALESCE(r.visits_count, 0) AS visits_count";

const ROLLUP: &str = "LEFT JOIN rollups r ON r.customer_id = c.id";

/// The customer's score as shown now.
fn score(conn: &mut Conn, store: &Store) -> QueryResult<String> {
    let table = scoring::store::shown_table(conn, store.id)?;
    Ok(format!("LEFT JOIN {table} s ON s.customer_id = c.id"))
}

/// Newest first. Who was merged into another is found under that one.
pub fn newest(
    conn: &mut Conn,
    store: &Store,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let before = after.map_or(i64::MAX, |cursor| cursor.id);
    let score = score(conn, store)?;
    diesel::sql_query(format!(
        "SELECT {COLUMNS}, c.id AS cursor FROM customers c {score} {ROLLUP} \
         WHERE c.store_id = {} AND c.id < {before} AND c.merged_into IS NULL ORDER BY c.id DESC LIMIT {limit}",
        store.id.0,
    ))
    .load(conn)
}

/// Of one segment, who entered it last first. `segment` is one of the known names.
pub fn of_segment(
    conn: &mut Conn,
    store: &Store,
    segment: &str,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let table = scoring::store::shown_table(conn, store.id)?;
    let cursor = after.map_or(String::new(), |Cursor { at, id }| {
        format!("AND s.segment_since <= {at} AND (s.segment_since < {at} OR s.customer_id < {id})")
    });
    diesel::sql_query(format!(
        "SELECT {COLUMNS}, s.segment_since AS cursor FROM {table} s JOIN customers c ON c.id = s.customer_id \
         {ROLLUP} WHERE s.store_id = {} AND s.segment = $1 {cursor} \
         ORDER BY s.segment_since DESC, s.customer_id DESC LIMIT {limit}",
        store.id.0,
    ))
    .bind::<Text, _>(segment)
    .load(conn)
}

/// By when they last did something, `last_order` or `last_seen`, latest first; who never did is not there.
pub fn by_moment(
    conn: &mut Conn,
    store: &Store,
    moment: &str,
    after: Option<Cursor>,
    limit: i64,
) -> QueryResult<Vec<Row>> {
    let score = score(conn, store)?;
    let column = if moment == "last_order" { "r.last_order_at" } else { "r.last_seen_at" };
    let cursor = after.map_or(String::new(), |Cursor { at, id }| {
        format!("AND {column} <= {at} AND ({column} < {at} OR c.id < {id})")
    });
    diesel::sql_query(format!(
        "SELECT {COLUMNS}, {column} AS cursor FROM rollups r JOIN customers c ON c.id = r.customer_id \
         {score} WHERE r.store_id = {} AND {column} IS NOT NULL {cursor} \
         AND c.merged_into IS NULL ORDER BY {column} DESC, c.id DESC LIMIT {limit}",
        store.id.0,
    ))
    .load(conn)
}

pub fn size(conn: &mut Conn, store: &Store, segment: Option<&'static str>) -> QueryResult<i64> {
    let id = store.id.0;
    match segment {
        Some(segment) => {
            let table = scoring::store::shown_table(conn, store.id)?;
            let from = format!("FROM {table} WHERE store_id = {id} AND segment = '{segment}'");
            capped_count(conn, &from)
        }
        None => capped_count(
            conn,
            &format!("FROM customers WHERE store_id = {id} AND merged_into IS NULL"),
        ),
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Whom `query` may mean, best first: an id, an address, a shop's id, a name, or the beginning of one of them;
/// then a part of a name or address among the newest.
pub fn search(conn: &mut Conn, store: &Store, query: &str, limit: i64) -> QueryResult<Vec<Row>> {
    let mut found: Vec<i64> = Vec::new();
    let store_id = store.id.0;
    if let Ok(id) = query.parse::<i64>() {
        add(&mut found, following(conn, &format!("id = {id} AND store_id = {store_id}"), &[])?);
    }
    let lower = query.to_lowercase();
    for (column, text) in [("email_key", lower.as_str()), ("external_id", query), ("name", query)] {
        let exact = format!("store_id = {store_id} AND {column} = $1");
        add(&mut found, following(conn, &exact, &[text])?);
    }
    let capital = capitalised(&lower);
    for (column, text) in [
        ("name", query),
        ("name", capital.as_str()),
        ("email_key", lower.as_str()),
        ("external_id", query),
    ] {
        if (found.len() as i64) < limit {
            // A range and no LIKE: SQLite's LIKE folds case and would not follow the index.
            let (from, until) = (text, format!("{text}\u{10FFFF}"));
            let range = format!(
                "store_id = {store_id} AND {column} >= $1 AND {column} < $2 ORDER BY {column} LIMIT {limit}"
            );
            add(&mut found, following(conn, &range, &[from, &until])?);
        }
    }
    if (found.len() as i64) < limit && lower.chars().count() > 1 {
        let like = format!("%{}%", escape_like(&lower));
        let sql = format!(
            "SELECT id FROM (SELECT id, merged_into, name, email_key FROM customers WHERE store_id = {store_id} \
             ORDER BY id DESC LIMIT {SEARCHED_WITHIN}) newest WHERE merged_into IS NULL AND \
             (LOWER(name) LIKE $1 ESCAPE '!' OR email_key LIKE $2 ESCAPE '!') ORDER BY id DESC LIMIT {limit}",
        );
        let ids: Vec<Id> = diesel::sql_query(sql)
            .bind::<Text, _>(like.clone())
            .bind::<Text, _>(like)
            .load(conn)?;
        add(&mut found, ids.into_iter().map(|row| row.id).collect());
    }
    found.truncate(limit as usize);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let score = score(conn, store)?;
    let mut rows: Vec<Row> = diesel::sql_query(format!(
        "SELECT {COLUMNS}, c.id AS cursor FROM customers c {score} {ROLLUP} WHERE c.id IN ({}) AND c.merged_into IS NULL",
        id_list(found.iter().copied()),
    ))
    .load(conn)?;
    rows.sort_by_key(|row| found.iter().position(|id| *id == row.id.0));
    Ok(rows)
}

/// The customers that match, each by the one it was merged into.
fn following(conn: &mut Conn, condition: &str, binds: &[&str]) -> QueryResult<Vec<i64>> {
    let mut query = diesel::sql_query(format!(
        "SELECT COALESCE(merged_into, id) AS id FROM customers WHERE {condition}"
    ))
    .into_boxed();
    for bind in binds {
        query = query.bind::<Text, _>((*bind).to_owned());
    }
    let rows: Vec<Id> = query.load(conn)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

fn add(found: &mut Vec<i64>, ids: Vec<i64>) {
    for id in ids {
        if !found.contains(&id) {
            found.push(id);
        }
    }
}

fn capitalised(lower: &str) -> String {
    let mut chars = lower.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn escape_like(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}
