//! SQL of the stores' table.

use diesel::prelude::*;

use super::{Details, Pause, PauseReason, Retention, Scoring, Sending, Store};
use crate::db::Conn;
use crate::db::schema::{fact_keys, stores};
use crate::primitives::{Currency, StoreId, Timestamp, Zone};

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
    retention: String,
    paused_for: Option<PauseReason>,
    paused_at: Option<Timestamp>,
    resumed_at: Option<Timestamp>,
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
            retention: serde_json::from_str::<Retention>(&self.retention).unwrap_or_default(),
            pause: (self.paused_for.zip(self.paused_at))
                .map(|(reason, since)| Pause { reason, since }),
            resumed_at: self.resumed_at,
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

/// Makes a store, still without settings of its own. Needs a write transaction that locked the settings.
pub fn create(conn: &mut Conn, key: &str, name: &str, now: Timestamp) -> QueryResult<StoreId> {
    // Stores are few and made one at a time: counting up keeps their ids small enough for lock keys.
    let last: Option<i64> = stores::table.select(diesel::dsl::max(stores::id)).get_result(conn)?;
    let id = StoreId(last.unwrap_or(0) + 1);
    diesel::insert_into(stores::table)
        .values((
            stores::id.eq(id),
            stores::key.eq(key),
            stores::name.eq(name),
            stores::timezone.eq("UTC"),
            stores::currency.eq(eur().as_str()),
            stores::locale.eq("en"),
            stores::sending.eq("{}"),
            stores::scoring.eq("{}"),
            stores::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(id)
}

/// Puts settings in force.
pub fn save(
    conn: &mut Conn,
    id: StoreId,
    details: &Details,
    sending: &Sending,
    scoring: &Scoring,
    retention: &Retention,
) -> QueryResult<()> {
    let json = |value: Result<String, serde_json::Error>| {
        value.map_err(|e| diesel::result::Error::SerializationError(Box::new(e)))
    };
    diesel::update(stores::table.filter(stores::id.eq(id)))
        .set((
            stores::name.eq(&details.name),
            stores::timezone.eq(details.timezone.name()),
            stores::currency.eq(details.currency.as_str()),
            stores::locale.eq(&details.locale),
            stores::mail_from.eq(Some(details.from.to_string())),
            stores::reply_to.eq(details.reply_to.as_ref().map(ToString::to_string)),
            stores::postal_address.eq(Some(&details.postal_address)),
            stores::sending.eq(json(serde_json::to_string(sending))?),
            stores::scoring.eq(json(serde_json::to_string(scoring))?),
            stores::retention.eq(json(serde_json::to_string(retention))?),
        ))
        .execute(conn)
        .map(|_| ())
}

/// Holds all marketing mail of the store, for a reason of the program's own. False where it is held already.
pub fn pause(
    conn: &mut Conn,
    id: StoreId,
    reason: PauseReason,
    now: Timestamp,
) -> QueryResult<bool> {
    let sending = stores::table.filter(stores::id.eq(id).and(stores::paused_for.is_null()));
    let paused = diesel::update(sending)
        .set((stores::paused_for.eq(Some(reason)), stores::paused_at.eq(Some(now))))
        .execute(conn)?;
    Ok(paused > 0)
}

/// Lifts the pause of a store's marketing mail. False where there is none.
pub fn resume(conn: &mut Conn, id: StoreId, now: Timestamp) -> QueryResult<bool> {
    let paused = stores::table.filter(stores::id.eq(id).and(stores::paused_for.is_not_null()));
    let resumed = diesel::update(paused)
        .set((
            stores::paused_for.eq(None::<PauseReason>),
            stores::paused_at.eq(None::<Timestamp>),
            stores::resumed_at.eq(Some(now)),
        ))
        .execute(conn)?;
    Ok(resumed > 0)
}

/// Whether anything has been told of the store's customers yet.
pub fn has_facts(conn: &mut Conn, id: StoreId) -> QueryResult<bool> {
    let any = fact_keys::table
        .filter(fact_keys::store_id.eq(id))
        .select(fact_keys::store_id)
        .limit(1)
        .get_result::<i64>(conn)
        .optional()?;
    Ok(any.is_some())
}
