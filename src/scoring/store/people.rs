//! Who is scored: customers and what their rollups say.

use diesel::prelude::*;

use crate::customers::Rollup;
use crate::db::Conn;
use crate::db::schema::{customers, rollups};
use crate::primitives::{CustomerId, StoreId, Timestamp, Zone};
use crate::scoring::assess::Person;
use crate::stores::Store;

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
pub(in crate::scoring) fn people_of(
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
pub(in crate::scoring) type Change = (Timestamp, CustomerId);

/// The next customers, at most `limit`, whose rollup changed in (`place`, `until`], in order of (time, id), and where to
/// go on, if anywhere.
pub(in crate::scoring) fn changed_after(
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
pub(in crate::scoring) fn customers_after(
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
