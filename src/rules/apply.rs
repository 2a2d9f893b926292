//! Puts a document in force, in one write transaction; or only says what that would change.

use diesel::prelude::*;

use super::difference::{Change, difference};
use super::{ShopDocument, store};
use crate::db::Conn;
use crate::primitives::{StoreId, Timestamp};
use crate::stores::{self, Store};

/// What applying a document changed, or would change.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    pub changes: Vec<Change>,
    /// Days or money are counted otherwise from now on, but what is known of customers was counted before.
    pub needs_rebuild: bool,
}

/// Applies the document to the store with this key, which is made when it is new. Doing it again changes nothing.
///
/// Needs a write transaction. Rules that the document does not name are retired.
pub fn apply(
    conn: &mut Conn,
    key: &str,
    document: &ShopDocument,
    now: Timestamp,
) -> QueryResult<Applied> {
    store::lock(conn)?;
    let applied = preview(conn, key, document)?;
    if applied.changes.is_empty() {
        return Ok(applied);
    }
    let id = match stores::store::find_by_key(conn, key)? {
        Some(store) => store.id,
        None => stores::store::create(conn, key, &document.store.name, now)?,
    };
    stores::store::save(
        conn,
        id,
        &document.store,
        &document.sending,
        &document.scoring,
        &document.retention,
    )?;
    for rule in &document.rules {
        store::put(conn, id, rule, now)?;
    }
    store::arrange(conn, id, document.rules.iter().map(|rule| rule.key.as_str()))?;
    for stored in store::all(conn, id)? {
        if !document.rules.iter().any(|rule| rule.key == stored.rule.key) {
            store::retire(conn, stored.id, now)?;
        }
    }
    Ok(applied)
}

/// What [`apply`] would change. Reads only.
pub fn preview(conn: &mut Conn, key: &str, document: &ShopDocument) -> QueryResult<Applied> {
    let Some(current) = stores::store::find_by_key(conn, key)? else {
        let changes = difference(key, None, &[], document);
        return Ok(Applied { changes, needs_rebuild: false });
    };
    let rules = store::all(conn, current.id)?;
    let changes = difference(key, Some(&current), &rules, document);
    let counts_otherwise =
        current.timezone != document.store.timezone || current.currency != document.store.currency;
    let needs_rebuild = counts_otherwise && stores::store::has_facts(conn, current.id)?;
    Ok(Applied { changes, needs_rebuild })
}

impl ShopDocument {
    /// The store as it would be with these settings.
    pub fn on(&self, store: &Store) -> Store {
        let details = self.store.clone();
        Store {
            name: details.name,
            timezone: details.timezone,
            currency: details.currency,
            locale: details.locale,
            mail_from: Some(details.from.to_string()),
            reply_to: details.reply_to.map(|address| address.to_string()),
            postal_address: Some(details.postal_address),
            sending: self.sending.clone(),
            scoring: self.scoring.clone(),
            retention: self.retention.clone(),
            ..store.clone()
        }
    }
}

/// The store's settings and rules as a document; `None` until settings are applied.
pub fn export(conn: &mut Conn, key: &str) -> QueryResult<Option<ShopDocument>> {
    match stores::store::find_by_key(conn, key)? {
        Some(current) => export_of(conn, current.id),
        None => Ok(None),
    }
}

/// As [`export`], of a store that there is.
pub fn export_of(conn: &mut Conn, store: StoreId) -> QueryResult<Option<ShopDocument>> {
    let current = stores::store::find(conn, store)?;
    let Some(details) = current.details() else { return Ok(None) };
    let rules = store::all(conn, current.id)?.into_iter().map(|stored| stored.rule).collect();
    Ok(Some(ShopDocument {
        store: details,
        sending: current.sending,
        scoring: current.scoring,
        retention: current.retention,
        rules,
    }))
}
