//! SQL of identities and of the evidence behind them.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::Identity;
use super::resolve::{Link, Position};
use crate::db::Conn;
use crate::db::schema::{customers, identities, identity_links};
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::{each_backend, insert_new};

/// An identity, who owns it now, and the customer made for it alone, if one was.
#[derive(Debug, Clone, PartialEq, Eq, HasQuery, Insertable)]
#[diesel(table_name = identities, treat_none_as_default_value = false)]
pub struct Owned {
    pub store_id: StoreId,
    pub identity: Identity,
    pub customer_id: CustomerId,
    pub home_id: Option<CustomerId>,
}

/// SQLite takes 32,766 parameters a statement; this many rows fit with room.
const CHUNK: usize = 2_000;

pub fn find(conn: &mut Conn, store: StoreId, wanted: &[Identity]) -> QueryResult<Vec<Owned>> {
    let mut found = Vec::new();
    for part in wanted.chunks(CHUNK) {
        let query = Owned::query()
            .filter(identities::store_id.eq(store).and(identities::identity.eq_any(part)));
        found.extend(query.get_results(conn)?);
    }
    Ok(found)
}

/// The customer an id, `ext:ID` or e-mail address names; merged ids lead to whom they were merged into.
pub fn find_customer(
    conn: &mut Conn,
    store: StoreId,
    argument: &str,
) -> QueryResult<Option<CustomerId>> {
    if let Ok(id) = argument.parse::<CustomerId>() {
        return follow(conn, store, id);
    }
    let Some(identity) = Identity::parse_argument(argument) else { return Ok(None) };
    identities::table
        .filter(identities::store_id.eq(store).and(identities::identity.eq(identity)))
        .select(identities::customer_id)
        .first(conn)
        .optional()
}

/// The customer that `id` stands for now.
pub fn follow(conn: &mut Conn, store: StoreId, id: CustomerId) -> QueryResult<Option<CustomerId>> {
    let row: Option<Option<CustomerId>> = customers::table
        .filter(customers::id.eq(id).and(customers::store_id.eq(store)))
        .select(customers::merged_into)
        .first(conn)
        .optional()?;
    // Redirects are kept flat: one step reaches the end.
    Ok(row.map(|merged_into| merged_into.unwrap_or(id)))
}

/// Every identity that `customer` owns.
pub fn of_customer(conn: &mut Conn, customer: CustomerId) -> QueryResult<Vec<Identity>> {
    identities::table
        .filter(identities::customer_id.eq(customer))
        .order(identities::identity)
        .select(identities::identity)
        .load(conn)
}

/// Rows for identities that have none.
pub fn create(conn: &mut Conn, rows: &[Owned]) -> QueryResult<()> {
    insert_new!(conn, identities::table, rows)
}

/// In place of rows that may be there.
pub fn save(conn: &mut Conn, rows: &[Owned]) -> QueryResult<()> {
    for part in rows.chunks(CHUNK) {
        each_backend!(&mut *conn, c => diesel::insert_into(identities::table)
            .values(part)
            .on_conflict((identities::store_id, identities::identity))
            .do_update()
            .set((
                identities::customer_id.eq(excluded(identities::customer_id)),
                identities::home_id.eq(excluded(identities::home_id)),
            ))
            .execute(c))?;
    }
    Ok(())
}

#[derive(Insertable)]
#[diesel(table_name = identity_links, treat_none_as_default_value = false)]
struct NewLink {
    store_id: StoreId,
    identity: Identity,
    target: Identity,
    occurred_at: Timestamp,
    source_key: String,
}

impl NewLink {
    fn of(store: StoreId, link: &Link) -> Self {
        Self {
            store_id: store,
            identity: link.identity.clone(),
            target: link.target.clone(),
            occurred_at: link.position.occurred_at,
            source_key: link.position.source_key.clone(),
        }
    }
}

type LinkRow = (Identity, Identity, Timestamp, String);

fn link((identity, target, occurred_at, source_key): LinkRow) -> Link {
    Link { identity, target, position: Position { occurred_at, source_key } }
}

/// The evidence about `wanted`.
pub fn links_of(conn: &mut Conn, store: StoreId, wanted: &[Identity]) -> QueryResult<Vec<Link>> {
    let mut found = Vec::new();
    for part in wanted.chunks(CHUNK) {
        let rows: Vec<LinkRow> = identity_links::table
            .filter(identity_links::store_id.eq(store).and(identity_links::identity.eq_any(part)))
            .select((
                identity_links::identity,
                identity_links::target,
                identity_links::occurred_at,
                identity_links::source_key,
            ))
            .load(conn)?;
        found.extend(rows.into_iter().map(link));
    }
    Ok(found)
}

/// The identities that have a link to one of `targets`.
pub fn linked_to(
    conn: &mut Conn,
    store: StoreId,
    targets: &[Identity],
) -> QueryResult<Vec<Identity>> {
    let mut found = Vec::new();
    for part in targets.chunks(CHUNK) {
        let query = identity_links::table
            .filter(identity_links::store_id.eq(store).and(identity_links::target.eq_any(part)))
            .select(identity_links::identity);
        found.extend(query.load::<Identity>(conn)?);
    }
    Ok(found)
}

/// Links never seen, in rows of their own.
pub fn create_links(conn: &mut Conn, store: StoreId, links: &[Link]) -> QueryResult<()> {
    let rows: Vec<NewLink> = links.iter().map(|link| NewLink::of(store, link)).collect();
    insert_new!(conn, identity_links::table, rows)
}

/// In place of rows that may be there.
pub fn save_links(conn: &mut Conn, store: StoreId, links: &[Link]) -> QueryResult<()> {
    for part in links.chunks(CHUNK) {
        let rows: Vec<NewLink> = part.iter().map(|link| NewLink::of(store, link)).collect();
        each_backend!(&mut *conn, c => diesel::insert_into(identity_links::table)
            .values(&rows)
            .on_conflict((identity_links::store_id, identity_links::identity, identity_links::target))
            .do_update()
            .set((
                identity_links::occurred_at.eq(excluded(identity_links::occurred_at)),
                identity_links::source_key.eq(excluded(identity_links::source_key)),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// Whether anyone of the store asked to be forgotten: then every fact's identities are looked up by hash.
pub fn has_erased(conn: &mut Conn, store: StoreId) -> QueryResult<bool> {
    // `;` follows `:`, so this is the range of all that begin with `erased:`.
    let erased = identities::identity.ge("erased:").and(identities::identity.lt("erased;"));
    diesel::select(diesel::dsl::exists(
        identities::table.filter(identities::store_id.eq(store).and(erased)),
    ))
    .get_result(conn)
}
