//! SQL of orders, lines, refunds and of who holds an order.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::{Order, OrderStatus, Refund, Standing};
use crate::db::Conn;
use crate::db::schema::{order_keys, order_lines, orders, refunds};
use crate::identity::Identity;
use crate::primitives::{Currency, CustomerId, StoreId, Timestamp};
use crate::{each_backend, insert_new};

const CHUNK: usize = 1_500;

/// Who holds an order: the look-up from its id to its customer, and the claim that won it.
#[derive(Debug, Clone, PartialEq, Eq, HasQuery, Insertable)]
#[diesel(table_name = order_keys, treat_none_as_default_value = false)]
pub struct Holder {
    pub store_id: StoreId,
    pub order_id: String,
    pub customer_id: CustomerId,
    pub subject: Identity,
    pub claim: String,
}

pub fn holders(conn: &mut Conn, store: StoreId, order_ids: &[&str]) -> QueryResult<Vec<Holder>> {
    let mut found = Vec::new();
    for part in order_ids.chunks(CHUNK) {
        let query = Holder::query()
            .filter(order_keys::store_id.eq(store).and(order_keys::order_id.eq_any(part)));
        found.extend(query.get_results(conn)?);
    }
    Ok(found)
}

/// Holders of orders that nobody held.
pub fn create_holders(conn: &mut Conn, rows: &[Holder]) -> QueryResult<()> {
    insert_new!(conn, order_keys::table, rows)
}

/// In place of those before.
pub fn save_holders(conn: &mut Conn, rows: &[Holder]) -> QueryResult<()> {
    for part in rows.chunks(CHUNK) {
        each_backend!(&mut *conn, c => diesel::insert_into(order_keys::table)
            .values(part)
            .on_conflict((order_keys::store_id, order_keys::order_id))
            .do_update()
            .set((
                order_keys::customer_id.eq(excluded(order_keys::customer_id)),
                order_keys::subject.eq(excluded(order_keys::subject)),
                order_keys::claim.eq(excluded(order_keys::claim)),
            ))
            .execute(c))?;
    }
    Ok(())
}

pub fn hand_over(
    conn: &mut Conn,
    store: StoreId,
    order_id: &str,
    owner: CustomerId,
) -> QueryResult<usize> {
    let order = order_keys::store_id.eq(store).and(order_keys::order_id.eq(order_id));
    diesel::update(order_keys::table.filter(order))
        .set(order_keys::customer_id.eq(owner))
        .execute(conn)
}

#[derive(HasQuery, Insertable)]
#[diesel(table_name = orders, treat_none_as_default_value = false)]
struct OrderRow {
    customer_id: CustomerId,
    order_id: String,
    store_id: StoreId,
    status: OrderStatus,
    placed_at: Timestamp,
    counts: bool,
    currency: Currency,
    total: i64,
    refunded: i64,
    coupon: Option<String>,
    channel: Option<String>,
    told_by: String,
    best: String,
    stated_refunded: i64,
    floor_at: Timestamp,
}

#[derive(HasQuery, Insertable)]
#[diesel(table_name = refunds, treat_none_as_default_value = false)]
struct RefundRow {
    customer_id: CustomerId,
    order_id: String,
    source_key: String,
    refunded_at: Timestamp,
    amount: Option<i64>,
}

#[derive(Insertable)]
#[diesel(table_name = order_lines, treat_none_as_default_value = false)]
struct LineRow {
    customer_id: CustomerId,
    order_id: String,
    line: i32,
    product_id: Option<String>,
    name: Option<String>,
    quantity: f64,
    unit_price: Option<i64>,
}

/// One customer's orders, and the refunds that still wait for theirs, by order id and source key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    pub orders: BTreeMap<String, Order>,
    pub waiting: BTreeMap<String, BTreeMap<String, Refund>>,
}

/// Loads the logs of `customers`, without lines. Customers without any are absent.
pub fn load(conn: &mut Conn, customers: &[CustomerId]) -> QueryResult<HashMap<CustomerId, Log>> {
    let mut logs: HashMap<CustomerId, Log> = HashMap::new();
    for part in customers.chunks(CHUNK) {
        for row in OrderRow::query().filter(orders::customer_id.eq_any(part)).get_results(conn)? {
            let order = Order {
                status: row.status,
                total: row.total,
                currency: row.currency,
                coupon: row.coupon,
                channel: row.channel,
                told_by: serde_json::from_str(&row.told_by).unwrap_or_default(),
                best: Standing(row.best),
                stated_refunded: row.stated_refunded,
                refunds: BTreeMap::new(),
                lines: None,
                floor_at: row.floor_at,
                first_told_at: row.placed_at,
            };
            logs.entry(row.customer_id).or_default().orders.insert(row.order_id, order);
        }
        for row in RefundRow::query().filter(refunds::customer_id.eq_any(part)).get_results(conn)? {
            let log = logs.entry(row.customer_id).or_default();
            let refund = Refund { refunded_at: row.refunded_at, amount: row.amount };
            let told = match log.orders.get_mut(&row.order_id) {
                Some(order) => &mut order.refunds,
                None => log.waiting.entry(row.order_id).or_default(),
            };
            told.insert(row.source_key, refund);
        }
    }
    Ok(logs)
}

/// One counting order, as the predictions learn from it: when it was placed, and what it came to net of refunds, in
/// minor units; 0 in another currency than the store's.
pub type Counted = (CustomerId, Timestamp, i64);

/// The counting orders of the whole store, or of `customers` alone.
pub fn counting(
    conn: &mut Conn,
    store: StoreId,
    currency: &Currency,
    customers: Option<&[CustomerId]>,
) -> QueryResult<Vec<Counted>> {
    let columns = (
        orders::customer_id,
        orders::placed_at,
        orders::total,
        orders::refunded,
        orders::currency.eq(currency),
    );
    let net =
        |(customer, at, total, refunded, is_ours): (CustomerId, Timestamp, i64, i64, bool)| {
            (customer, at, if is_ours { total - refunded } else { 0 })
        };
    let mut found = Vec::new();
    match customers {
        None => {
            let query =
                orders::table.filter(orders::store_id.eq(store).and(orders::counts.eq(true)));
            found.extend(query.select(columns).load(conn)?.into_iter().map(net));
        }
        Some(customers) => {
            for part in customers.chunks(CHUNK) {
                let query = orders::table
                    .filter(orders::customer_id.eq_any(part).and(orders::counts.eq(true)));
                found.extend(query.select(columns).load(conn)?.into_iter().map(net));
            }
        }
    }
    Ok(found)
}

/// An order to write: of which customer, under which id, and whether an earlier form of it is stored.
pub struct ToSave<'a> {
    pub customer: CustomerId,
    pub order_id: &'a str,
    pub order: &'a Order,
    pub is_stored: bool,
}

/// Writes orders with their refunds, and the lines of those whose lines are known.
pub fn save(conn: &mut Conn, store: StoreId, told: &[ToSave<'_>]) -> QueryResult<()> {
    let (stored, new): (Vec<_>, Vec<_>) = told.iter().partition(|order| order.is_stored);
    let rows = |part: &[&ToSave<'_>]| -> Vec<OrderRow> {
        part.iter().map(|o| row(o.customer, store, o.order_id, o.order)).collect()
    };
    for part in new.chunks(CHUNK) {
        insert_new!(conn, orders::table, rows(part))?;
    }
    for part in stored.chunks(CHUNK) {
        let rows = rows(part);
        each_backend!(&mut *conn, c => diesel::insert_into(orders::table)
            .values(&rows)
            .on_conflict((orders::customer_id, orders::order_id))
            .do_update()
            .set((
                orders::status.eq(excluded(orders::status)),
                orders::placed_at.eq(excluded(orders::placed_at)),
                orders::counts.eq(excluded(orders::counts)),
                orders::currency.eq(excluded(orders::currency)),
                orders::total.eq(excluded(orders::total)),
                orders::refunded.eq(excluded(orders::refunded)),
                orders::coupon.eq(excluded(orders::coupon)),
                orders::channel.eq(excluded(orders::channel)),
                orders::told_by.eq(excluded(orders::told_by)),
                orders::best.eq(excluded(orders::best)),
                orders::stated_refunded.eq(excluded(orders::stated_refunded)),
                orders::floor_at.eq(excluded(orders::floor_at)),
            ))
            .execute(c))?;
    }
    save_lines(conn, told)?;
    let all = told.iter().flat_map(|o| {
        o.order
            .refunds
            .iter()
            .map(move |(key, refund)| (o.customer, o.order_id, key.as_str(), refund))
    });
    save_refunds(conn, &all.collect::<Vec<_>>())
}

fn row(customer: CustomerId, store: StoreId, order_id: &str, order: &Order) -> OrderRow {
    OrderRow {
        customer_id: customer,
        order_id: order_id.to_owned(),
        store_id: store,
        status: order.status,
        placed_at: order.placed_at(),
        counts: order.counts(),
        currency: order.currency.clone(),
        total: order.total,
        refunded: order.refunded(),
        coupon: order.coupon.clone(),
        channel: order.channel.clone(),
        told_by: serde_json::to_string(&order.told_by).unwrap_or_else(|_| "{}".to_owned()),
        best: order.best.0.clone(),
        stated_refunded: order.stated_refunded,
        floor_at: order.floor_at,
    }
}

fn save_lines(conn: &mut Conn, told: &[ToSave<'_>]) -> QueryResult<()> {
    for o in told.iter().filter(|o| o.is_stored && o.order.lines.is_some()) {
        let of_order =
            order_lines::customer_id.eq(o.customer).and(order_lines::order_id.eq(o.order_id));
        diesel::delete(order_lines::table.filter(of_order)).execute(conn)?;
    }
    let rows: Vec<LineRow> = told
        .iter()
        .flat_map(|o| {
            o.order.lines.iter().flatten().zip(1..).map(move |(line, number)| (o, line, number))
        })
        .map(|(o, line, number)| LineRow {
            customer_id: o.customer,
            order_id: o.order_id.to_owned(),
            line: number,
            product_id: (!line.id.is_empty()).then(|| line.id.clone()),
            name: line.name.clone(),
            quantity: line.quantity.unwrap_or(1.0),
            unit_price: line.price,
        })
        .collect();
    insert_new!(conn, order_lines::table, rows)
}

pub fn save_refunds(
    conn: &mut Conn,
    told: &[(CustomerId, &str, &str, &Refund)],
) -> QueryResult<()> {
    for part in told.chunks(CHUNK) {
        let rows: Vec<RefundRow> = part
            .iter()
            .map(|(customer, order_id, source_key, refund)| RefundRow {
                customer_id: *customer,
                order_id: (*order_id).to_owned(),
                source_key: (*source_key).to_owned(),
                refunded_at: refund.refunded_at,
                amount: refund.amount,
            })
            .collect();
        each_backend!(&mut *conn, c => diesel::insert_into(refunds::table).values(&rows).on_conflict_do_nothing().execute(c))?;
    }
    Ok(())
}

/// Forgets all that was folded of `customers`' orders; their facts remain.
pub fn delete_all(conn: &mut Conn, customers: &[CustomerId]) -> QueryResult<()> {
    for part in customers.chunks(CHUNK) {
        diesel::delete(order_lines::table.filter(order_lines::customer_id.eq_any(part)))
            .execute(conn)?;
        diesel::delete(refunds::table.filter(refunds::customer_id.eq_any(part))).execute(conn)?;
        diesel::delete(orders::table.filter(orders::customer_id.eq_any(part))).execute(conn)?;
    }
    Ok(())
}
