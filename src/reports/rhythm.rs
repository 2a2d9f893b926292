//! How products are bought again: the store's, and one customer's.

use diesel::QueryResult;
use serde::Serialize;

use crate::db::Conn;
use crate::primitives::{CustomerId, Timestamp};
use crate::products;
use crate::scoring::rhythm::basket::product_key;
use crate::scoring::rhythm::store;
use crate::stores::Store;

/// How the store's products are bought again, those bought again most first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Products {
    pub as_of: Timestamp,
    /// Repurchases that it was learnt from: a customer's purchase of a product after an earlier one.
    pub repurchases: u64,
    /// False: customers come back to products too unevenly, and no days are told.
    pub is_regular: bool,
    /// Of the store as a whole: the usual days from one purchase of a product to the next, if there is a next.
    pub usual_gap_days: Option<f64>,
    /// And the chance of a next after the first.
    pub p_again: f64,
    pub items: Vec<Product>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Product {
    pub product_id: String,
    pub name: Option<String>,
    /// Days on which a customer bought it, of the customers that were looked at; and how many were not the first.
    pub purchases: u64,
    pub repurchases: u64,
    /// Null for one bought too seldom or too unevenly to tell.
    pub usual_gap_days: Option<f64>,
    pub p_again: Option<f64>,
    /// How much longer twice the quantity lasts: 1 is no longer, 2 is twice as long.
    pub twice_lasts: f64,
}

/// `None` before anything was learnt.
pub fn products(conn: &mut Conn, store: &Store, limit: usize) -> QueryResult<Option<Products>> {
    let Some((as_of, learnt)) = store::learnt(conn, store.id)? else { return Ok(None) };
    let (p_again, usual_gap_days) = learnt.rhythm.usual();
    let is_regular = learnt.rhythm.is_regular();
    let ids: Vec<String> =
        learnt.products.iter().take(limit).map(|sold| sold.product_id.clone()).collect();
    let catalogue = products::find(conn, store.id, &ids)?;
    let items = learnt.products.into_iter().take(limit).map(|sold| {
        let entry = catalogue.iter().find(|entry| entry.product_id == sold.product_id);
        let key = product_key(&sold.product_id);
        let category = entry.and_then(|entry| entry.category.as_deref()).map(product_key);
        let told = learnt.rhythm.of_product(key);
        Product {
            name: entry.and_then(|entry| entry.name.clone()),
            product_id: sold.product_id,
            purchases: sold.purchases,
            repurchases: sold.again,
            usual_gap_days: told.filter(|_| is_regular).map(|(days, _)| tenth(days)),
            p_again: told.map(|(_, chance)| shown(chance)),
            twice_lasts: shown(2_f64.powf(learnt.rhythm.lasts(key, category))),
        }
    });
    Ok(Some(Products {
        as_of,
        repurchases: learnt.rhythm.gaps.closed,
        is_regular,
        usual_gap_days: is_regular.then(|| tenth(usual_gap_days)),
        p_again: shown(p_again),
        items: items.collect(),
    }))
}

/// A product that a customer is expected to buy again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repurchase {
    pub product_id: String,
    pub name: Option<String>,
    pub last_bought_at: Timestamp,
    /// From that purchase to the next, by its quantity.
    pub usual_gap_days: f64,
    pub expected_from: Timestamp,
    pub expected_at: Timestamp,
    pub expected_until: Timestamp,
    /// Of its coming within a year of the last order.
    pub probability: f64,
}

/// Soonest first. What was told before the customer's last order holds no more, and is left out until it is told anew.
pub fn repurchases(
    conn: &mut Conn,
    customer: CustomerId,
    last_order_at: Option<Timestamp>,
) -> QueryResult<Vec<Repurchase>> {
    let found = store::expected(conn, &[customer])?;
    Ok(found
        .into_iter()
        .filter(|row| Some(row.ordered_at) == last_order_at)
        .map(|row| Repurchase {
            product_id: row.product_id,
            name: row.name,
            last_bought_at: row.bought_at,
            usual_gap_days: tenth(row.gap_days),
            expected_from: row.expected_from,
            expected_at: row.expected_at,
            expected_until: row.expected_until,
            probability: shown(row.probability),
        })
        .collect())
}

fn tenth(days: f64) -> f64 {
    (days * 10.0).round() / 10.0
}

fn shown(estimate: f64) -> f64 {
    crate::scoring::worklist::shown_estimate(estimate)
}
