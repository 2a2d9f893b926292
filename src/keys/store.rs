//! SQL of the keys' table.

use diesel::prelude::*;

use super::{Key, KeyEntry, KeyHash, Scope, Trust};
use crate::db::Conn;
use crate::db::schema::{api_keys, stores};
use crate::primitives::{Currency, KeyId, StoreId, Timestamp};

/// What a new key is made with; the key itself is not among it.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub id: KeyId,
    pub store: StoreId,
    pub hash: KeyHash,
    pub scope: Scope,
    pub trust: Trust,
    pub name: String,
    pub created_at: Timestamp,
}

pub fn insert(conn: &mut Conn, key: &NewKey) -> QueryResult<()> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(key.id),
            api_keys::store_id.eq(key.store),
            api_keys::hash.eq(key.hash.to_hex()),
            api_keys::scope.eq(key.scope),
            api_keys::trust.eq(key.trust),
            api_keys::name.eq(&key.name),
            api_keys::created_at.eq(key.created_at),
        ))
        .execute(conn)
        .map(|_| ())
}

/// The key in force under this hash; `None` for unknown and revoked ones alike.
pub fn find(conn: &mut Conn, hash: KeyHash) -> QueryResult<Option<Key>> {
    let row: Option<(KeyId, StoreId, Scope, Trust, Currency)> = api_keys::table
        .inner_join(stores::table.on(stores::id.eq(api_keys::store_id)))
        .filter(api_keys::hash.eq(hash.to_hex()).and(api_keys::revoked_at.is_null()))
        .select((
            api_keys::id,
            api_keys::store_id,
            api_keys::scope,
            api_keys::trust,
            stores::currency,
        ))
        .get_result(conn)
        .optional()?;
    Ok(row.map(|(id, store, scope, trust, currency)| Key { id, store, scope, trust, currency }))
}

/// All keys of a store, the revoked ones too, oldest first.
pub fn list(conn: &mut Conn, store: StoreId) -> QueryResult<Vec<KeyEntry>> {
    type Row = (KeyId, String, Scope, Trust, Timestamp, Option<Timestamp>);
    let rows: Vec<Row> = api_keys::table
        .filter(api_keys::store_id.eq(store))
        .order(api_keys::id)
        .select((
            api_keys::id,
            api_keys::name,
            api_keys::scope,
            api_keys::trust,
            api_keys::created_at,
            api_keys::revoked_at,
        ))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(id, name, scope, trust, created_at, revoked_at)| KeyEntry {
            id,
            name,
            scope,
            trust,
            created_at,
            revoked_at,
        })
        .collect())
}

/// Ends a key. `false`: the store has no such key in force.
pub fn revoke(conn: &mut Conn, store: StoreId, id: KeyId, now: Timestamp) -> QueryResult<bool> {
    diesel::update(api_keys::table)
        .filter(api_keys::id.eq(id).and(api_keys::store_id.eq(store)))
        .filter(api_keys::revoked_at.is_null())
        .set(api_keys::revoked_at.eq(Some(now)))
        .execute(conn)
        .map(|count| count == 1)
}
