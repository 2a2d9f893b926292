//! Addresses never to be written to at all, by service mail either.

use diesel::prelude::*;

use crate::db::Conn;
use crate::db::schema::suppressions;
use crate::each_backend;
use crate::primitives::{EmailAddress, StoreId, Timestamp};
use crate::text_enum;

text_enum! {
    /// Why an address is on the list.
    pub enum SuppressionReason {
        HardBounce = "hard_bounce",
        Complaint = "complaint",
        /// By hand.
        Operator = "operator",
        Erased = "erased",
    }
}

#[derive(Debug, Clone, PartialEq, HasQuery, serde::Serialize)]
#[diesel(table_name = suppressions)]
pub struct Suppression {
    /// In lower case: suppression does not depend on how an address is written.
    #[diesel(column_name = email_key)]
    pub email: String,
    pub reason: SuppressionReason,
    pub note: Option<String>,
    pub created_at: Timestamp,
}

/// The list after `after`, by address.
pub fn list(
    conn: &mut Conn,
    store: StoreId,
    after: Option<&str>,
    limit: i64,
) -> QueryResult<Vec<Suppression>> {
    Suppression::query()
        .filter(suppressions::store_id.eq(store))
        .filter(suppressions::email_key.gt(after.unwrap_or_default().to_owned()))
        .order(suppressions::email_key)
        .limit(limit)
        .get_results(conn)
}

pub fn find(
    conn: &mut Conn,
    store: StoreId,
    address: &EmailAddress,
) -> QueryResult<Option<Suppression>> {
    Suppression::query()
        .filter(suppressions::store_id.eq(store))
        .filter(suppressions::email_key.eq(address.identity_key()))
        .get_result(conn)
        .optional()
}

/// Puts an address on the list; false if it was there, which leaves the reason that it had.
pub fn add(
    conn: &mut Conn,
    store: StoreId,
    address: &EmailAddress,
    reason: SuppressionReason,
    note: Option<&str>,
    now: Timestamp,
) -> QueryResult<bool> {
    // The enum cannot express ON CONFLICT.
    let rows = each_backend!(conn, c => diesel::insert_into(suppressions::table)
        .values((
            suppressions::store_id.eq(store),
            suppressions::email_key.eq(address.identity_key()),
            suppressions::reason.eq(reason),
            suppressions::note.eq(note),
            suppressions::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(rows > 0)
}
