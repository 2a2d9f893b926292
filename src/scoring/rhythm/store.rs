//! SQL of product rhythms: what they are learnt from, what was learnt, and what each customer is expected to buy again.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::upsert::excluded;
use serde::{Deserialize, Serialize};

use super::Rhythm;
use super::basket::{Bought, Repurchase};
use crate::db::schema::{repurchases, rhythms};
use crate::db::{Conn, few_lengths, kept, parameters};
use crate::each_backend;
use crate::primitives::{CustomerId, StoreId, Timestamp};

// ---------------------------------------------------------------------------------- what is learnt from

#[derive(QueryableByName)]
struct LineRow {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
    #[diesel(sql_type = BigInt)]
    last_order_at: Timestamp,
    #[diesel(sql_type = Text)]
    product_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    category: Option<String>,
    #[diesel(sql_type = BigInt)]
    placed_at: Timestamp,
    #[diesel(sql_type = Double)]
    quantity: f64,
}

/// One customer's purchases, product by product, and when they ordered last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Basket {
    pub customer: CustomerId,
    pub last_order_at: Timestamp,
    pub bought: Vec<Bought>,
}

/// What `ids` bought in counting orders, in order of id. Who bought nothing with a product's id is left out.
pub(super) fn baskets(conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<Vec<Basket>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<LineRow> = sql_query(format!(
        "SELECT l.customer_id, r.last_order_at, l.product_id, p.category, o.placed_at, l.quantity FROM order_lines l \
         JOIN orders o ON o.customer_id = l.customer_id AND o.order_id = l.order_id \
         JOIN rollups r ON r.customer_id = l.customer_id \
         LEFT JOIN products p ON p.store_id = o.store_id AND p.product_id = l.product_id \
         WHERE l.customer_id IN ({}) AND o.counts AND l.product_id IS NOT NULL AND l.quantity > 0 \
         AND r.last_order_at IS NOT NULL ORDER BY l.customer_id",
        list(ids)
    ))
    .load(conn)?;
    let mut baskets: Vec<Basket> = Vec::new();
    for row in rows {
        let bought = Bought {
            product_id: row.product_id,
            category: row.category,
            at: row.placed_at,
            quantity: row.quantity,
        };
        match baskets.last_mut() {
            Some(basket) if basket.customer == row.customer_id => basket.bought.push(bought),
            _ => baskets.push(Basket {
                customer: row.customer_id,
                last_order_at: row.last_order_at,
                bought: vec![bought],
            }),
        }
    }
    Ok(baskets)
}

/// Numbers of our own: no bind needed, and none of a limit.
fn list(ids: &[CustomerId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

// ------------------------------------------------------------------------------------- what was learnt

/// What was learnt of a store's products.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    pub rhythm: Rhythm,
    /// Those bought most, most often first: the rhythm knows products by number only.
    pub products: Vec<Sold>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sold {
    pub product_id: String,
    /// Days on which a customer bought it, of the customers that were looked at.
    pub purchases: u64,
    /// Of these, such as came after an earlier one of the same customer.
    pub again: u64,
}

/// What was learnt, as of when, and until when `repurchases` knows of changes.
pub(super) struct Kept {
    pub learnt: Learnt,
    pub told_until: Timestamp,
}

/// `None` before the first learning, or after one of an older form.
pub(super) fn load(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Kept>> {
    let row: Option<(Timestamp, String)> = rhythms::table
        .find(store)
        .select((rhythms::told_until, rhythms::document))
        .first(conn)
        .optional()?;
    Ok(row.and_then(|(told_until, document)| {
        Some(Kept { learnt: serde_json::from_str(&document).ok()?, told_until })
    }))
}

/// What was learnt of a store's products, and as of when.
pub fn learnt(conn: &mut Conn, store: StoreId) -> QueryResult<Option<(Timestamp, Learnt)>> {
    let row: Option<(Timestamp, String)> = rhythms::table
        .find(store)
        .select((rhythms::as_of, rhythms::document))
        .first(conn)
        .optional()?;
    Ok(row.and_then(|(as_of, document)| Some((as_of, serde_json::from_str(&document).ok()?))))
}

pub(super) fn keep(
    conn: &mut Conn,
    store: StoreId,
    as_of: Timestamp,
    told_until: Timestamp,
    learnt: &Learnt,
) -> QueryResult<()> {
    let document = serde_json::to_string(learnt)
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
    each_backend!(conn, c => diesel::insert_into(rhythms::table)
        .values((
            rhythms::store_id.eq(store),
            rhythms::as_of.eq(as_of),
            rhythms::told_until.eq(told_until),
            rhythms::document.eq(&document),
        ))
        .on_conflict(rhythms::store_id)
        .do_update()
        .set((
            rhythms::as_of.eq(as_of),
            rhythms::told_until.eq(told_until),
            rhythms::document.eq(&document),
        ))
        .execute(c))?;
    Ok(())
}

pub(super) fn set_told_until(conn: &mut Conn, store: StoreId, at: Timestamp) -> QueryResult<()> {
    diesel::update(rhythms::table.find(store)).set(rhythms::told_until.eq(at)).execute(conn)?;
    Ok(())
}

// ------------------------------------------------------------------------- what each is expected to buy again

/// A row of `repurchases`.
#[derive(Debug, Clone, PartialEq, HasQuery, Insertable)]
#[diesel(table_name = repurchases, treat_none_as_default_value = false)]
pub(super) struct Row {
    pub customer_id: CustomerId,
    pub product_id: String,
    pub store_id: StoreId,
    pub ordered_at: Timestamp,
    pub bought_at: Timestamp,
    pub gap_days: f64,
    pub expected_from: Timestamp,
    pub expected_at: Timestamp,
    pub expected_until: Timestamp,
    pub probability: f64,
}

impl Row {
    pub fn of(store: StoreId, basket: &Basket, told: Repurchase) -> Self {
        Self {
            customer_id: basket.customer,
            product_id: told.product_id,
            store_id: store,
            ordered_at: basket.last_order_at,
            bought_at: told.bought_at,
            gap_days: told.gap_days,
            expected_from: told.expected_from,
            expected_at: told.expected_at,
            expected_until: told.expected_until,
            probability: told.probability,
        }
    }
}

/// What is stored of `ids`.
pub(super) fn stored_of(conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<Vec<Row>> {
    Row::query().filter(repurchases::customer_id.eq_any(ids)).get_results(conn)
}

pub(super) fn write(conn: &mut Conn, rows: &[Row]) -> QueryResult<()> {
    for part in rows.chunks(2_000) {
        each_backend!(&mut *conn, c => diesel::insert_into(repurchases::table)
            .values(part)
            .on_conflict((repurchases::customer_id, repurchases::product_id))
            .do_update()
            .set((
                repurchases::ordered_at.eq(excluded(repurchases::ordered_at)),
                repurchases::bought_at.eq(excluded(repurchases::bought_at)),
                repurchases::gap_days.eq(excluded(repurchases::gap_days)),
                repurchases::expected_from.eq(excluded(repurchases::expected_from)),
                repurchases::expected_at.eq(excluded(repurchases::expected_at)),
                repurchases::expected_until.eq(excluded(repurchases::expected_until)),
                repurchases::probability.eq(excluded(repurchases::probability)),
            ))
            .execute(c))?;
    }
    Ok(())
}

pub(super) fn remove(conn: &mut Conn, gone: &[Row]) -> QueryResult<()> {
    for row in gone {
        diesel::delete(repurchases::table.find((row.customer_id, &row.product_id)))
            .execute(conn)?;
    }
    Ok(())
}

/// Forgets all that the store's customers were expected to buy again.
pub(super) fn remove_all(conn: &mut Conn, store: StoreId) -> QueryResult<()> {
    diesel::delete(repurchases::table.filter(repurchases::store_id.eq(store))).execute(conn)?;
    Ok(())
}

/// A product that a customer is expected to buy again, with its name.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Expected {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Text)]
    pub product_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    /// The last order that was known when this was told; after a newer one it holds no more.
    #[diesel(sql_type = BigInt)]
    pub ordered_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub bought_at: Timestamp,
    #[diesel(sql_type = Double)]
    pub gap_days: f64,
    #[diesel(sql_type = BigInt)]
    pub expected_from: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub expected_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    pub expected_until: Timestamp,
    #[diesel(sql_type = Double)]
    pub probability: f64,
}

/// What these customers are expected to buy again, each one's soonest first.
pub fn expected(conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<Vec<Expected>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = few_lengths(ids);
    let sql = format!(
        "SELECT q.customer_id, q.product_id, p.name, q.ordered_at, q.bought_at, q.gap_days, q.expected_from, q.expected_at, \
         q.expected_until, q.probability FROM repurchases q \
         LEFT JOIN products p ON p.store_id = q.store_id AND p.product_id = q.product_id \
         WHERE q.customer_id IN ({}) ORDER BY q.customer_id, q.expected_at, q.product_id",
        parameters(1, ids.len())
    );
    each_backend!(conn, c => {
        let query = sql_query(sql).into_boxed();
        kept(ids.iter().fold(query, |query, id| query.bind::<BigInt, _>(id))).load(c)
    })
}
