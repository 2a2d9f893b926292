//! SQL of the journal: keys and facts.

use std::collections::HashSet;
use std::ops::ControlFlow;

use diesel::connection::{DefaultLoadingMode, SimpleConnection};
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;

use super::fold::Fact;
use super::{Payload, Source, on_all_cores};
use crate::db::Conn;
use crate::db::bulk::TOGETHER;
use crate::db::schema::{fact_keys, facts, rollups};
use crate::identity::Identity;
use crate::insert_new;
use crate::primitives::{CustomerId, FactId, StoreId, Timestamp};

const CHUNK: usize = 2_500;

#[derive(HasQuery, Insertable)]
#[diesel(table_name = facts, treat_none_as_default_value = false)]
struct Row {
    customer_id: CustomerId,
    id: FactId,
    store_id: StoreId,
    kind: String,
    source: Source,
    source_key: String,
    subject: Identity,
    occurred_at: Timestamp,
    received_at: Timestamp,
    live: bool,
    payload: String,
}

/// A fact whose stored form cannot be read: a newer version wrote it, or a hand did.
fn unreadable(id: FactId, error: &serde_json::Error) -> diesel::result::Error {
    diesel::result::Error::DeserializationError(format!("fact {id} cannot be read: {error}").into())
}

impl Row {
    fn into_fact(self) -> QueryResult<Fact> {
        let payload: Payload =
            serde_json::from_str(&self.payload).map_err(|e| unreadable(self.id, &e))?;
        Ok(Fact {
            id: self.id,
            customer: self.customer_id,
            source: self.source,
            source_key: self.source_key,
            subject: self.subject,
            occurred_at: self.occurred_at,
            received_at: self.received_at,
            live: self.live,
            payload,
        })
    }
}

/// A fact as it is stored: reading what it says costs more than loading it, and can be shared among cores.
pub struct Unread(Row);

impl Unread {
    pub fn customer(&self) -> CustomerId {
        self.0.customer_id
    }

    /// # Errors
    /// What it says is in no form that is known.
    pub fn read(self) -> QueryResult<Fact> {
        self.0.into_fact()
    }
}

/// The store's facts about the customers from `first` to `last`, by id, that occurred until then; of each customer in
/// the order they came in.
pub fn unread_between(
    conn: &mut Conn,
    store: StoreId,
    first: CustomerId,
    last: CustomerId,
    until: Timestamp,
) -> QueryResult<Vec<Unread>> {
    let rows = Row::query()
        .filter(facts::customer_id.between(first, last))
        .filter(facts::store_id.eq(store).and(facts::occurred_at.le(until)))
        .order((facts::customer_id, facts::id))
        .get_results(conn)?;
    Ok(rows.into_iter().map(Unread).collect())
}

/// The key of a fact in its store.
pub type Key<'a> = (Source, &'a str);

#[derive(Insertable)]
#[diesel(table_name = fact_keys, treat_none_as_default_value = false)]
struct KeyRow {
    store_id: StoreId,
    source: Source,
    source_key: String,
}

/// Those of `rows` that were not there.
fn claim(conn: &mut Conn, rows: &[KeyRow]) -> QueryResult<Vec<(Source, String)>> {
    let columns = (fact_keys::source, fact_keys::source_key);
    let into = diesel::insert_into(fact_keys::table);
    match conn {
        Conn::Postgres(pg) => {
            into.values(rows).on_conflict_do_nothing().returning(columns).get_results(pg)
        }
        Conn::Sqlite(sqlite) => {
            let mut claimed = Vec::with_capacity(rows.len());
            let (together, rest) = rows.as_chunks::<TOGETHER>();
            for rows in together {
                let query = into.values(rows).on_conflict_do_nothing().returning(columns);
                claimed.extend(query.get_results::<(Source, String)>(sqlite)?);
            }
            for row in rest {
                let query = into.values(row).on_conflict_do_nothing().returning(columns);
                claimed.extend(query.get_results::<(Source, String)>(sqlite)?);
            }
            Ok(claimed)
        }
    }
}

/// Claims the keys; returns those that were free. Within one call a key is claimed once.
pub fn claim_keys<'k>(
    conn: &mut Conn,
    store: StoreId,
    keys: &[Key<'k>],
) -> QueryResult<HashSet<Key<'k>>> {
    // In the order of the index, neighbours meet on one page.
    let mut wanted = keys.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut free = HashSet::with_capacity(wanted.len());
    for part in wanted.chunks(CHUNK) {
        let row = |(source, key): &Key<'_>| KeyRow {
            store_id: store,
            source: *source,
            source_key: (*key).to_owned(),
        };
        let rows: Vec<KeyRow> = part.iter().map(row).collect();
        let claimed = claim(conn, &rows)?;
        if claimed.len() == part.len() {
            free.extend(part);
        } else {
            let claimed: HashSet<Key<'_>> = claimed.iter().map(|(s, key)| (*s, &**key)).collect();
            free.extend(part.iter().filter(|key| claimed.contains(*key)));
        }
    }
    Ok(free)
}

pub fn insert(conn: &mut Conn, store: StoreId, new: &[Fact]) -> QueryResult<()> {
    for part in new.chunks(CHUNK) {
        let rows = on_all_cores(part, |fact| row(store, fact));
        let rows = rows.into_iter().collect::<QueryResult<Vec<_>>>()?;
        insert_new!(conn, facts::table, rows)?;
    }
    Ok(())
}

fn row(store: StoreId, fact: &Fact) -> QueryResult<Row> {
    let payload = serde_json::to_string(&fact.payload);
    Ok(Row {
        customer_id: fact.customer,
        id: fact.id,
        store_id: store,
        kind: fact.payload.body.kind().to_owned(),
        source: fact.source,
        source_key: fact.source_key.clone(),
        subject: fact.subject.clone(),
        occurred_at: fact.occurred_at,
        received_at: fact.received_at,
        live: fact.live,
        payload: payload.map_err(|e| diesel::result::Error::SerializationError(Box::new(e)))?,
    })
}

/// All facts of `customers`, each customer's in order of position.
pub fn of_customers(conn: &mut Conn, customers: &[CustomerId]) -> QueryResult<Vec<Fact>> {
    of_customers_until(conn, customers, Timestamp::MAX)
}

/// The facts of `customers` that occurred until then, each customer's in order of position.
pub fn of_customers_until(
    conn: &mut Conn,
    customers: &[CustomerId],
    until: Timestamp,
) -> QueryResult<Vec<Fact>> {
    let mut found = Vec::new();
    for part in customers.chunks(CHUNK) {
        let query = Row::query()
            .filter(facts::customer_id.eq_any(part))
            .filter(facts::occurred_at.le(until));
        for row in query.get_results(conn)? {
            found.push(row.into_fact()?);
        }
    }
    found.sort_by(|a, b| (a.customer, a.position()).cmp(&(b.customer, b.position())));
    Ok(found)
}

/// The orders that `customer` has facts about.
pub fn order_ids_of(conn: &mut Conn, customer: CustomerId) -> QueryResult<Vec<String>> {
    let subjects: Vec<Identity> = facts::table
        .filter(facts::customer_id.eq(customer))
        .filter(facts::kind.eq_any(["order_stated", "order_refunded"]))
        .select(facts::subject)
        .distinct()
        .load(conn)?;
    Ok(subjects
        .iter()
        .filter_map(|subject| subject.as_str().strip_prefix("order:"))
        .map(str::to_owned)
        .collect())
}

/// Gives the facts `customer` has through `subjects` to `owner`.
pub fn give(
    conn: &mut Conn,
    customer: CustomerId,
    subjects: &[Identity],
    owner: CustomerId,
) -> QueryResult<usize> {
    let theirs =
        facts::table.filter(facts::customer_id.eq(customer).and(facts::subject.eq_any(subjects)));
    diesel::update(theirs).set(facts::customer_id.eq(owner)).execute(conn)
}

/// The next `limit` customers of the store, after `after`, that have facts.
pub fn customers_after(
    conn: &mut Conn,
    store: StoreId,
    after: CustomerId,
    limit: i64,
) -> QueryResult<Vec<CustomerId>> {
    facts::table
        .filter(facts::store_id.eq(store).and(facts::customer_id.gt(after)))
        .select(facts::customer_id)
        .distinct()
        .order(facts::customer_id)
        .limit(limit)
        .load(conn)
}

/// A fact without what it says: who, what kind, whence, when.
#[derive(Debug, Clone, PartialEq, Eq, HasQuery, serde::Serialize)]
#[diesel(table_name = facts)]
pub struct Listed {
    pub id: FactId,
    pub customer_id: CustomerId,
    pub kind: String,
    pub source: Source,
    pub source_key: String,
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
}

/// Shows `seen` the store's facts that occurred at `from` or later, in the order they came in, until it breaks off.
///
/// Row by row, and sorted on disk where the database has to: a journal of any length fits in memory.
pub fn each(
    conn: &mut Conn,
    store: StoreId,
    from: Timestamp,
    source: Option<Source>,
    mut seen: impl FnMut(Listed) -> ControlFlow<()>,
) -> QueryResult<()> {
    let wanted = || facts::store_id.eq(store).and(facts::occurred_at.ge(from));
    match conn {
        Conn::Postgres(pg) => {
            let mut query = Listed::query().filter(wanted()).order(facts::id).into_boxed();
            if let Some(source) = source {
                query = query.filter(facts::source.eq(source));
            }
            for row in query.load_iter::<Listed, PgRowByRowLoadingMode>(pg)? {
                if seen(row?).is_break() {
                    break;
                }
            }
        }
        Conn::Sqlite(sqlite) => {
            sqlite.batch_execute("PRAGMA temp_store = FILE")?;
            let mut query = Listed::query().filter(wanted()).order(facts::id).into_boxed();
            if let Some(source) = source {
                query = query.filter(facts::source.eq(source));
            }
            for row in query.load_iter::<Listed, DefaultLoadingMode>(sqlite)? {
                if seen(row?).is_break() {
                    break;
                }
            }
            sqlite.batch_execute("PRAGMA temp_store = MEMORY")?;
        }
    }
    Ok(())
}

/// How many facts are kept, of all stores.
pub fn count(conn: &mut Conn) -> QueryResult<i64> {
    diesel::QueryDsl::count(facts::table).get_result(conn)
}

/// When a fact last changed anyone of the store, by the real clock.
pub fn last_change(conn: &mut Conn, store: StoreId) -> QueryResult<Option<Timestamp>> {
    rollups::table
        .filter(rollups::store_id.eq(store))
        .select(diesel::dsl::max(rollups::changed_at))
        .get_result(conn)
}
