//! What the database holds already of a batch: so a rehearsal can tell what an import would make and change.

use std::collections::HashSet;

use diesel::prelude::*;

use crate::db::Conn;
use crate::db::schema::{fact_keys, identities, order_keys};
use crate::identity::Identity;
use crate::journal::{Appended, Body, NewFact, Source};
use crate::primitives::StoreId;

/// SQLite takes 32,766 binds; PostgreSQL's planner slows down before that.
const CHUNK: usize = 2_000;

/// What becomes of one fact's order, or else person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foretold {
    Created,
    Updated,
    Unchanged,
}

impl From<&Appended> for Foretold {
    fn from(appended: &Appended) -> Self {
        match appended {
            Appended::New { first: true, .. } => Self::Created,
            Appended::New { first: false, .. } => Self::Updated,
            Appended::Repeated | Appended::Dropped => Self::Unchanged,
        }
    }
}

/// What would become of `facts` if they were appended now.
pub fn foretell(conn: &mut Conn, store: StoreId, facts: &[NewFact]) -> QueryResult<Vec<Foretold>> {
    let mut known = Known::load(conn, store, facts)?;
    let mut repeated = repeated(conn, store, facts)?;
    Ok(facts
        .iter()
        .map(|fact| match (known.meet(fact), repeated.insert(fact.source_key.clone())) {
            (_, false) => Foretold::Unchanged,
            (true, true) => Foretold::Updated,
            (false, true) => Foretold::Created,
        })
        .collect())
}

/// The orders and identities of a batch that have been told of before.
#[derive(Debug, Default)]
struct Known(HashSet<Identity>);

impl Known {
    fn load(conn: &mut Conn, store: StoreId, facts: &[NewFact]) -> QueryResult<Self> {
        let mut known = HashSet::new();
        let mut orders = Vec::new();
        let mut people = Vec::new();
        for fact in facts {
            match subject(fact) {
                Subject::Order(id) => orders.push(id),
                Subject::Person(identities) => people.extend(identities),
            }
        }
        for ids in orders.chunks(CHUNK) {
            let query = order_keys::table
                .filter(order_keys::store_id.eq(store).and(order_keys::order_id.eq_any(ids)))
                .select(order_keys::order_id);
            known.extend(query.load::<String>(conn)?.into_iter().map(|id| Identity::order(&id)));
        }
        for ids in people.chunks(CHUNK) {
            let query = identities::table
                .filter(identities::store_id.eq(store).and(identities::identity.eq_any(ids)))
                .select(identities::identity);
            known.extend(query.load::<Identity>(conn)?);
        }
        Ok(Self(known))
    }

    /// Whether the fact's subject was known; it is from now on.
    fn meet(&mut self, fact: &NewFact) -> bool {
        match subject(fact) {
            Subject::Order(id) => !self.0.insert(Identity::order(id)),
            Subject::Person(identities) => {
                let known = identities.iter().any(|identity| self.0.contains(identity));
                self.0.extend(identities);
                known
            }
        }
    }
}

/// Which of these facts the journal holds already, by their keys.
fn repeated(conn: &mut Conn, store: StoreId, facts: &[NewFact]) -> QueryResult<HashSet<String>> {
    let keys: Vec<&str> = facts.iter().map(|fact| fact.source_key.as_str()).collect();
    let mut repeated = HashSet::new();
    for keys in keys.chunks(CHUNK) {
        let in_store = fact_keys::store_id.eq(store).and(fact_keys::source.eq(Source::Csv));
        let query = fact_keys::table
            .filter(in_store.and(fact_keys::source_key.eq_any(keys)))
            .select(fact_keys::source_key);
        repeated.extend(query.load::<String>(conn)?);
    }
    Ok(repeated)
}

enum Subject<'f> {
    Order(&'f str),
    Person(Vec<Identity>),
}

fn subject(fact: &NewFact) -> Subject<'_> {
    if let Body::OrderStated(order) = &fact.body {
        return Subject::Order(&order.order_id);
    }
    let ids = &fact.identifiers;
    let ext = ids.external_id.as_deref().map(Identity::external);
    let email = ids.email.as_ref().map(Identity::email);
    let phone = ids.phone.as_deref().map(Identity::phone);
    Subject::Person([ext, email, phone].into_iter().flatten().collect())
}
