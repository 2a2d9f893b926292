//! Who shares a phone number or a device with a customer: perhaps one person under two names, perhaps a household.
//!
//! Such a link is weak: it merges nobody, and an order of the other may only hold mail back (design: invariant 10).

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::{Situation, WeakLink, WeakOrder};
use crate::db::schema::{orders, rollups};
use crate::db::{Conn, few_lengths, kept, parameters};
use crate::each_backend;
use crate::journal::OrderStatus;
use crate::primitives::{CustomerId, StoreId, Timestamp};

/// What more share is no household: a till's browser, a switchboard, `000`.
const HOUSEHOLD: usize = 5;

#[derive(QueryableByName)]
struct Pair {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    other_id: CustomerId,
}

/// Adds to each the last order of somebody who shares something with them.
pub(super) fn add(
    conn: &mut Conn,
    store: StoreId,
    situations: &mut [Situation],
) -> QueryResult<()> {
    let ids: Vec<CustomerId> = situations.iter().map(|situation| situation.customer).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let pairs = pairs(conn, store, Some(&ids))?;
    if pairs.is_empty() {
        return Ok(());
    }
    let others: Vec<CustomerId> = pairs.iter().map(|(_, other, _)| *other).collect();
    let placed: HashMap<CustomerId, Option<Timestamp>> = rollups::table
        .filter(rollups::customer_id.eq_any(others))
        .select((rollups::customer_id, rollups::last_placed_at))
        .load(conn)?
        .into_iter()
        .collect();
    for situation in situations {
        let own = pairs.iter().filter(|(customer, ..)| *customer == situation.customer);
        let orders = own.filter_map(|(_, customer, link)| {
            let placed_at = placed.get(customer).copied().flatten()?;
            Some(WeakOrder { link: *link, customer: *customer, placed_at })
        });
        situation.moments.weak_order = orders.max_by_key(|order| order.placed_at);
    }
    Ok(())
}

/// All orders, up to `until`, of people who share something with each customer of the store, oldest first.
pub fn orders_of_others(
    conn: &mut Conn,
    store: StoreId,
    until: Timestamp,
) -> QueryResult<HashMap<CustomerId, Vec<WeakOrder>>> {
    let pairs = pairs(conn, store, None)?;
    let others: Vec<CustomerId> = pairs.iter().map(|(_, other, _)| *other).collect();
    let mut placed: HashMap<CustomerId, Vec<Timestamp>> = HashMap::new();
    for part in others.chunks(super::store::BATCH) {
        let of_part: Vec<(CustomerId, Timestamp)> = orders::table
            .filter(orders::customer_id.eq_any(part).and(orders::placed_at.le(until)))
            .filter(
                orders::status.ne_all([OrderStatus::Draft, OrderStatus::Test].map(|s| s.as_str())),
            )
            .select((orders::customer_id, orders::placed_at))
            .load(conn)?;
        for (customer, at) in of_part {
            placed.entry(customer).or_default().push(at);
        }
    }
    let mut found: HashMap<CustomerId, Vec<WeakOrder>> = HashMap::new();
    for (customer, other, link) in pairs {
        let theirs = placed.get(&other).into_iter().flatten();
        let orders = theirs.map(|at| WeakOrder { link, customer: other, placed_at: *at });
        found.entry(customer).or_default().extend(orders);
    }
    for orders in found.values_mut() {
        orders.sort_by_key(|order| order.placed_at);
    }
    Ok(found)
}

/// Who shares something with whom: of `ids`, or of the whole store.
fn pairs(
    conn: &mut Conn,
    store: StoreId,
    ids: Option<&[CustomerId]>,
) -> QueryResult<Vec<(CustomerId, CustomerId, WeakLink)>> {
    let mut found = Vec::new();
    let ids = ids.map(few_lengths);
    for (link, sql) in queries(store, ids.as_ref().map(Vec::len)) {
        let pairs: Vec<Pair> = each_backend!(&mut *conn, c => {
            let query = diesel::sql_query(sql).into_boxed();
            kept(ids.iter().flatten().fold(query, |query, id| query.bind::<BigInt, _>(id))).load(c)
        })?;
        found.extend(pairs.into_iter().map(|pair| (pair.customer_id, pair.other_id, link)));
    }
    Ok(found)
}

/// What [`pairs`] asks, of so many customers, or of all. By index ranges from each customer's own phone number and identities; devices that name one
/// customer alone end the look after one row.
pub fn queries(store: StoreId, customers: Option<usize>) -> [(WeakLink, String); 2] {
    let among = |column: &str| match customers {
        Some(n) => format!(" AND {column} IN ({})", parameters(1, n)),
        None => String::new(),
    };
    let few = |table: &str, columns: &str| {
        format!(
            "(SELECT COUNT(*) FROM (SELECT 1 AS one FROM {table} c WHERE {columns} LIMIT {}) AS few) <= {HOUSEHOLD}",
            HOUSEHOLD + 1
        )
    };
    // `CROSS JOIN` keeps SQLite to this order: from each customer to what they share, and on to who shares it. Left to
    // itself it reads all links of the store for every customer.
    let by_phone = format!(
        "SELECT mine.id AS customer_id, theirs.id AS other_id FROM customers mine CROSS JOIN customers theirs \
         WHERE mine.store_id = {store}{} AND mine.phone IS NOT NULL AND mine.merged_into IS NULL AND {} \
         AND theirs.store_id = mine.store_id AND theirs.phone = mine.phone AND theirs.phone IS NOT NULL \
         AND theirs.merged_into IS NULL AND theirs.id <> mine.id",
        among("mine.id"),
        few(
            "customers",
            "c.store_id = mine.store_id AND c.phone = mine.phone AND c.phone IS NOT NULL AND c.merged_into IS NULL"
        ),
    );
    let by_device = format!(
        "SELECT DISTINCT mine.customer_id, theirs.customer_id AS other_id FROM identities mine \
         CROSS JOIN identity_links a CROSS JOIN identity_links b CROSS JOIN identities theirs \
         WHERE mine.store_id = {store}{} \
         AND a.store_id = mine.store_id AND a.target = mine.identity AND a.identity LIKE 'anon:%' AND {} \
         AND b.store_id = a.store_id AND b.identity = a.identity AND b.target <> a.target \
         AND theirs.store_id = b.store_id AND theirs.identity = b.target AND theirs.customer_id <> mine.customer_id",
        among("mine.customer_id"),
        few("identity_links", "c.store_id = a.store_id AND c.identity = a.identity"),
    );
    [(WeakLink::Phone, by_phone), (WeakLink::Device, by_device)]
}
