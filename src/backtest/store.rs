//! SQL of a backtest: who there is, and what is stored of them. Reads only.

use std::collections::HashMap;

use diesel::prelude::*;

use crate::db::Conn;
use crate::db::schema::{assignments, customers, orders, products, suppressions};
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::situation::Arm;

/// The next `limit` customers after `after`, by id, with the shop's own id for each; without those who are
/// somebody else by now, or forgotten.
pub fn people_after(
    conn: &mut Conn,
    store: StoreId,
    after: CustomerId,
    limit: i64,
) -> QueryResult<Vec<(CustomerId, Option<String>)>> {
    customers::table
        .filter(customers::store_id.eq(store).and(customers::id.gt(after)))
        .filter(customers::merged_into.is_null().and(customers::erased_at.is_null()))
        .order(customers::id)
        .limit(limit)
        .select((customers::id, customers::external_id))
        .load(conn)
}

pub fn count_people(conn: &mut Conn, store: StoreId) -> QueryResult<i64> {
    let people = customers::table
        .filter(customers::store_id.eq(store))
        .filter(customers::merged_into.is_null().and(customers::erased_at.is_null()));
    diesel::QueryDsl::count(people).get_result(conn)
}

/// When the store's orders were placed, up to `until`, oldest first.
pub fn orders(conn: &mut Conn, store: StoreId, until: Timestamp) -> QueryResult<Vec<Timestamp>> {
    orders::table
        .filter(orders::store_id.eq(store).and(orders::placed_at.le(until)))
        .order(orders::placed_at)
        .select(orders::placed_at)
        .load(conn)
}

/// Experiments drawn for the customers of an id range.
pub fn arms_between(
    conn: &mut Conn,
    from: CustomerId,
    to: CustomerId,
) -> QueryResult<HashMap<CustomerId, Vec<(String, Arm)>>> {
    let drawn: Vec<(CustomerId, String, Arm)> = assignments::table
        .filter(assignments::customer_id.between(from, to))
        .select((assignments::customer_id, assignments::experiment, assignments::arm))
        .load(conn)?;
    let mut arms: HashMap<CustomerId, Vec<(String, Arm)>> = HashMap::new();
    for (customer, experiment, arm) in drawn {
        arms.entry(customer).or_default().push((experiment, arm));
    }
    Ok(arms)
}

/// The catalogue's categories, by product.
pub fn categories(conn: &mut Conn, store: StoreId) -> QueryResult<HashMap<String, String>> {
    let all: Vec<(String, Option<String>)> = products::table
        .filter(products::store_id.eq(store).and(products::category.is_not_null()))
        .select((products::product_id, products::category))
        .load(conn)?;
    Ok(all.into_iter().filter_map(|(product, category)| Some((product, category?))).collect())
}

/// Addresses never to be written to, and since when.
pub fn suppressions(conn: &mut Conn, store: StoreId) -> QueryResult<HashMap<String, Timestamp>> {
    let all: Vec<(String, Timestamp)> = suppressions::table
        .filter(suppressions::store_id.eq(store))
        .select((suppressions::email_key, suppressions::created_at))
        .load(conn)?;
    Ok(all.into_iter().collect())
}
