//! The catalogue, as facts and imports tell it; the newest word on a product stands.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::upsert::excluded;
use serde::{Deserialize, Serialize};

use crate::db::schema::products;
use crate::db::{Conn, few_lengths, kept};
use crate::each_backend;
use crate::primitives::{Currency, StoreId, Timestamp};

/// A product as a fact names it; the newest word makes the catalogue entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProductRef {
    /// product_id, else the sku, else the name.
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Unit price, in minor units of the fact's currency (the store's when it names none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<f64>,
}

/// A catalogue entry.
#[derive(Debug, Clone, PartialEq, HasQuery, Insertable)]
#[diesel(table_name = products, treat_none_as_default_value = false)]
pub struct Product {
    pub store_id: StoreId,
    pub product_id: String,
    pub name: Option<String>,
    pub category: Option<String>,
    pub brand: Option<String>,
    pub url: Option<String>,
    pub image_url: Option<String>,
    /// Minor units of `currency`.
    pub price: Option<i64>,
    pub currency: Option<Currency>,
    pub told_at: Timestamp,
}

impl Product {
    /// What a fact says of a product; `None` when it says nothing but its id.
    pub fn told(
        store: StoreId,
        told: &ProductRef,
        currency: Option<&Currency>,
        told_at: Timestamp,
    ) -> Option<Self> {
        let says_more = told.name.is_some()
            || told.image_url.is_some()
            || told.url.is_some()
            || told.category.is_some();
        (says_more && !told.id.is_empty()).then(|| Self {
            store_id: store,
            product_id: told.id.clone(),
            name: told.name.clone(),
            category: told.category.clone(),
            brand: told.brand.clone(),
            url: told.url.clone(),
            image_url: told.image_url.clone(),
            price: told.price,
            currency: told.price.and(currency).cloned(),
            told_at,
        })
    }

    /// What a later word leaves unsaid stays as it was.
    fn or(self, earlier: Self) -> Self {
        Self {
            name: self.name.or(earlier.name),
            category: self.category.or(earlier.category),
            brand: self.brand.or(earlier.brand),
            url: self.url.or(earlier.url),
            image_url: self.image_url.or(earlier.image_url),
            currency: if self.price.is_some() { self.currency } else { earlier.currency },
            price: self.price.or(earlier.price),
            ..self
        }
    }
}

const CHUNK: usize = 2_000;

pub fn find(conn: &mut Conn, store: StoreId, ids: &[String]) -> QueryResult<Vec<Product>> {
    let mut found = Vec::new();
    for part in ids.chunks(CHUNK) {
        let wanted = products::store_id.eq(store);
        let wanted = wanted.and(products::product_id.eq_any(few_lengths(part)));
        found.extend(kept(Product::query().filter(wanted)).get_results(conn)?);
    }
    Ok(found)
}

/// What words on products come to, against what is known.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// The entries to write.
    pub changed: Vec<Product>,
    /// How many of them are new.
    pub created: usize,
}

/// Takes words on products in; an older word fills only what is unsaid. Writes those that changed.
pub fn tell(conn: &mut Conn, store: StoreId, told: Vec<Product>) -> QueryResult<News> {
    let news = news(conn, store, told)?;
    write(conn, &news.changed)?;
    Ok(news)
}

/// What [`tell`] would change.
pub fn news(conn: &mut Conn, store: StoreId, told: Vec<Product>) -> QueryResult<News> {
    let mut newest: BTreeMap<String, Product> = BTreeMap::new();
    let take = |known: &mut BTreeMap<String, Product>, word: Product| {
        let merged = match known.remove(&word.product_id) {
            Some(earlier) if earlier.told_at <= word.told_at => word.or(earlier),
            Some(later) => later.or(word),
            None => word,
        };
        known.insert(merged.product_id.clone(), merged);
    };
    told.into_iter().for_each(|word| take(&mut newest, word));
    let ids: Vec<String> = newest.keys().cloned().collect();
    let stored = find(conn, store, &ids)?;
    stored.iter().cloned().for_each(|word| take(&mut newest, word));
    for same in &stored {
        // A mere sighting is no change worth a write.
        let unchanged = newest
            .get(&same.product_id)
            .is_some_and(|p| Product { told_at: same.told_at, ..p.clone() } == *same);
        if unchanged {
            newest.remove(&same.product_id);
        }
    }
    let created =
        newest.len() - stored.iter().filter(|p| newest.contains_key(&p.product_id)).count();
    Ok(News { changed: newest.into_values().collect(), created })
}

fn write(conn: &mut Conn, changed: &[Product]) -> QueryResult<()> {
    for part in changed.chunks(CHUNK) {
        each_backend!(&mut *conn, c => diesel::insert_into(products::table)
            .values(part)
            .on_conflict((products::store_id, products::product_id))
            .do_update()
            .set((
                products::name.eq(excluded(products::name)),
                products::category.eq(excluded(products::category)),
                products::brand.eq(excluded(products::brand)),
                products::url.eq(excluded(products::url)),
                products::image_url.eq(excluded(products::image_url)),
                products::price.eq(excluded(products::price)),
                products::currency.eq(excluded(products::currency)),
                products::told_at.eq(excluded(products::told_at)),
            ))
            .execute(c))?;
    }
    Ok(())
}
