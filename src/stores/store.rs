//! SQL of the stores' table.

use diesel::prelude::*;

use super::{Scoring, Sending, Store};
use crate::db::Conn;
use crate::db::schema::stores;
use crate::primitives::{Currency, StoreId, Zone};

#[derive(HasQuery)]
#[diesel(table_name = stores)]
struct Row {
    id: StoreId,
    key: String,
    name: String,
    timezone: String,
    currency: String,
    locale: String,
    mail_from: Option<String>,
    reply_to: Option<String>,
    postal_address: Option<String>,
    sending: String,
    scoring: String,
}

impl Row {
    /// What was written passed the door; a row changed by hand falls back to the defaults rather than stop the house.
    fn into_store(self) -> Store {
        Store {
            id: self.id,
            key: self.key,
            name: self.name,
            timezone: self.timezone.parse().unwrap_or_else(|_| Zone::utc()),
            currency: self.currency.parse().unwrap_or_else(|_| eur()),
            locale: self.locale,
            mail_from: self.mail_from,
            reply_to: self.reply_to,
            postal_address: self.postal_address,
            sending: serde_json::from_str::<Sending>(&self.sending).unwrap_or_default(),
            scoring: serde_json::from_str::<Scoring>(&self.scoring).unwrap_or_default(),
        }
    }
}

fn eur() -> Currency {
    "EUR".parse().expect("EUR is a currency")
}

pub fn find(conn: &mut Conn, id: StoreId) -> QueryResult<Store> {
    Row::query().filter(stores::id.eq(id)).get_result(conn).map(Row::into_store)
}

pub fn find_by_key(conn: &mut Conn, key: &str) -> QueryResult<Option<Store>> {
    Ok(Row::query().filter(stores::key.eq(key)).get_result(conn).optional()?.map(Row::into_store))
}

/// All stores, oldest first.
pub fn all(conn: &mut Conn) -> QueryResult<Vec<Store>> {
    Ok(Row::query().order(stores::id).get_results(conn)?.into_iter().map(Row::into_store).collect())
}
