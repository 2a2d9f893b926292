//! SQL of who a link is for.

use diesel::prelude::*;

use super::UnsubscribeToken;
use crate::customers::ConsentState;
use crate::db::Conn;
use crate::db::schema::customers;
use crate::primitives::{CustomerId, EmailAddress, Timestamp};

/// The person behind a link, as known now.
#[derive(Debug, Clone, PartialEq, HasQuery)]
#[diesel(table_name = customers)]
pub struct Recipient {
    pub id: CustomerId,
    pub external_id: Option<String>,
    pub email: Option<EmailAddress>,
    pub locale: Option<String>,
    pub consent: ConsentState,
    pub erased_at: Option<Timestamp>,
    merged_into: Option<CustomerId>,
}

/// Follows a merge to whom the customer belongs now; `None`: there is no such customer in that store.
pub fn recipient(conn: &mut Conn, token: &UnsubscribeToken) -> QueryResult<Option<Recipient>> {
    let mut find = |id: CustomerId| {
        Recipient::query()
            .filter(customers::id.eq(id))
            .filter(customers::store_id.eq(token.store))
            .get_result(conn)
            .optional()
    };
    // A redirect points at its owner, never at another redirect.
    match find(token.customer)? {
        Some(Recipient { merged_into: Some(owner), .. }) => find(owner),
        found => Ok(found),
    }
}
