//! What a browser may say of somebody: a user id or an address from there is a claim, not proof.
//!
//! Anyone can read a browser key in the page and send another person's id with it. So such a claim may introduce
//! somebody new, and may link its own anonymous id; it never changes what is known of somebody who exists.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;

use crate::db::Conn;
use crate::db::schema::{customers, identities};
use crate::journal::{Body, NewFact};
use crate::primitives::{CustomerId, Delay, StoreId, Timestamp};

/// Who holds an identity now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub customer: CustomerId,
    /// Has an id of the shop, not only a browser's or an address.
    pub identified: bool,
    /// Came up a moment ago, and nothing is known of them yet.
    pub blank: bool,
}

/// Requests of one page overtake each other: an event with the new user id may be stored before the identify
/// that introduces it.
const INTRODUCTION: Delay = Delay::seconds(300);

/// The identities whose holders decide about these facts: to be asked for before [`settle`].
pub fn identities_of<'f>(facts: impl Iterator<Item = &'f NewFact>) -> Vec<String> {
    let told = facts
        .filter(|fact| changes_a_profile(fact))
        .flat_map(|fact| [external(fact), email(fact), anonymous(fact)].into_iter().flatten());
    told.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Takes from an unproven fact what it may not say, and leaves it the link between its ids.
pub fn settle(fact: &mut NewFact, holders: &HashMap<String, Holder>) {
    if !changes_a_profile(fact) || is_allowed(fact, holders) {
        return;
    }
    fact.identifiers.email = None;
    fact.identifiers.phone = None;
    if let Body::Identified { traits } = &mut fact.body {
        **traits = Default::default();
    }
}

fn changes_a_profile(fact: &NewFact) -> bool {
    matches!(fact.body, Body::Identified { .. })
}

/// With a user id: only where nobody has it, or this visitor introduced it just now. Without one: only on a
/// visitor's own profile, and with an address that nobody else has.
fn is_allowed(fact: &NewFact, holders: &HashMap<String, Holder>) -> bool {
    let holder = |identity: Option<String>| holders.get(&identity?);
    let own = holder(anonymous(fact));
    if fact.identifiers.external_id.is_some() {
        return holder(external(fact)).is_none_or(|holder| {
            holder.blank && own.is_some_and(|own| own.customer == holder.customer)
        });
    }
    if own.is_some_and(|own| own.identified) {
        return false;
    }
    match holder(email(fact)) {
        None => true,
        Some(other) => own.is_some_and(|own| own.customer == other.customer),
    }
}

fn external(fact: &NewFact) -> Option<String> {
    fact.identifiers.external_id.as_ref().map(|id| format!("ext:{id}"))
}

fn email(fact: &NewFact) -> Option<String> {
    fact.identifiers.email.as_ref().map(|email| format!("email:{}", email.identity_key()))
}

fn anonymous(fact: &NewFact) -> Option<String> {
    fact.identifiers.anonymous_id.as_ref().map(|id| format!("anon:{id}"))
}

/// Who holds these identities now; identities that nobody has are absent.
pub fn holders(
    conn: &mut Conn,
    store: StoreId,
    identities: &[String],
    now: Timestamp,
) -> QueryResult<HashMap<String, Holder>> {
    let mut found = HashMap::new();
    for part in identities.chunks(500) {
        let knows_nothing = customers::email
            .is_null()
            .and(customers::phone.is_null())
            .and(customers::name.is_null())
            .and(customers::consent.eq("none"));
        let rows: Vec<(String, CustomerId, bool, bool, Timestamp)> = identities::table
            .inner_join(customers::table.on(customers::id.eq(identities::customer_id)))
            .filter(identities::store_id.eq(store))
            .filter(identities::identity.eq_any(part))
            .select((
                identities::identity,
                identities::customer_id,
                customers::identified,
                knows_nothing,
                customers::created_at,
            ))
            .load(conn)?;
        found.extend(rows.into_iter().map(|(identity, customer, identified, nothing, since)| {
            let blank = nothing && since >= now.minus(INTRODUCTION);
            (identity, Holder { customer, identified, blank })
        }));
    }
    Ok(found)
}
