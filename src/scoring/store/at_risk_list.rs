//! The at-risk list in its own order.
//!
//! An index over `scores` would have a night, in which most ranks move a little, rewrite scattered pages by the
//! hundred thousand. So a run writes the list whole, in order, as an edition that is shown once the run has finished;
//! where few ranks moved, it amends the edition before.

use std::cmp::Ordering;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text};

use crate::db::schema::at_risk_list;
use crate::db::{Conn, Prepared};
use crate::primitives::{CustomerId, StoreId};
use crate::scoring::assess::Scored;
use crate::{each_backend, insert_new};

/// The segment under which everyone stands.
pub(in crate::scoring) const ANY_SEGMENT: &str = "";

/// A customer's place on the list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::scoring) struct Entry {
    pub segment: &'static str,
    pub rank: f64,
    pub customer: CustomerId,
    pub spent: i64,
    /// At risk; where that is not known, the net spend.
    pub value: i64,
}

impl Entry {
    /// `None` for who is not on the list.
    pub fn of(scored: &Scored) -> Option<Self> {
        Some(Self {
            segment: scored.segment,
            rank: scored.risk_rank?,
            customer: scored.customer_id,
            spent: scored.spent,
            value: scored.forecast.map_or(scored.spent, |told| told.value_at_risk),
        })
    }

    /// In the order of the list.
    pub fn before(&self, other: &Self) -> Ordering {
        other.rank.total_cmp(&self.rank).then(self.customer.cmp(&other.customer))
    }
}

/// Which of the two lists that a customer stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::scoring) enum Which {
    Everyone,
    TheirSegment,
}

#[derive(Insertable)]
#[diesel(table_name = at_risk_list, treat_none_as_default_value = false)]
struct Row {
    store_id: StoreId,
    edition: i64,
    segment: &'static str,
    risk_rank: f64,
    customer_id: CustomerId,
    spent: i64,
    value: i64,
}

/// Adds entries to an edition. Cheap where they come in order.
pub(in crate::scoring) fn keep(
    conn: &mut Conn,
    store: StoreId,
    edition: i64,
    which: Which,
    entries: &[Entry],
) -> QueryResult<()> {
    let rows: Vec<Row> = entries
        .iter()
        .map(|entry| Row {
            store_id: store,
            edition,
            segment: match which {
                Which::Everyone => ANY_SEGMENT,
                Which::TheirSegment => entry.segment,
            },
            risk_rank: entry.rank,
            customer_id: entry.customer,
            spent: entry.spent,
            value: entry.value,
        })
        .collect();
    insert_new!(conn, at_risk_list::table, rows)
}

/// Where a customer stands, and is to stand no more.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::scoring) struct Left {
    pub segment: String,
    pub rank: f64,
    pub customer: CustomerId,
}

/// Takes entries out of an edition and puts others in.
pub(in crate::scoring) fn amend(
    conn: &mut Conn,
    store: StoreId,
    edition: i64,
    left: &[Left],
    joined: &[Entry],
) -> QueryResult<()> {
    // Also from where they are about to stand: then it is no matter what the edition holds of them.
    let places = joined.iter().map(|entry| (entry.segment.to_owned(), entry.rank, entry.customer));
    let left = left.iter().map(|left| (left.segment.clone(), left.rank, left.customer));
    for (segment, rank, customer) in left.chain(places) {
        let gone: Prepared<()> = Prepared::new("DELETE FROM at_risk_list WHERE store_id = ");
        let gone = gone.value(store.0).sql(" AND edition = ").value(edition);
        let gone = gone.sql(" AND segment IN (").text(ANY_SEGMENT).sql(", ").text(segment);
        let gone = gone.sql(") AND risk_rank = ").value(rank);
        let gone = gone.sql(" AND customer_id = ").value(customer.0);
        each_backend!(conn, c => gone.execute(c))?;
    }
    keep(conn, store, edition, Which::Everyone, joined)?;
    keep(conn, store, edition, Which::TheirSegment, joined)
}

#[derive(Queryable)]
struct Place {
    edition: i64,
    segment: String,
    rank: f64,
    customer: CustomerId,
}

/// Takes out some entries of the editions before `edition`, about so many; false when nothing was left.
pub(in crate::scoring) fn forget_before(
    conn: &mut Conn,
    store: StoreId,
    edition: i64,
    entries: i64,
) -> QueryResult<bool> {
    let of_store = at_risk_list::table.filter(at_risk_list::store_id.eq(store)).select((
        at_risk_list::edition,
        at_risk_list::segment,
        at_risk_list::risk_rank,
        at_risk_list::customer_id,
    ));
    let first: Option<Place> = of_store
        .filter(at_risk_list::edition.lt(edition))
        .order((at_risk_list::edition, at_risk_list::segment))
        .first(conn)
        .optional()?;
    let Some(first) = first else { return Ok(false) };
    let last: Option<Place> = of_store
        .filter(at_risk_list::edition.eq(first.edition))
        .filter(at_risk_list::segment.eq(&first.segment))
        .order((at_risk_list::risk_rank.desc(), at_risk_list::customer_id))
        .offset(entries)
        .first(conn)
        .optional()?;
    let within = "DELETE FROM at_risk_list WHERE store_id = $1 AND edition = $2 AND segment = $3";
    // The first half is a range of the order, the second settles ties. SQLite numbers parameters as they first appear.
    let upto = "AND risk_rank >= $4 AND (risk_rank > $5 OR customer_id <= $6)";
    match last {
        None => diesel::sql_query(within)
            .bind::<BigInt, _>(store)
            .bind::<BigInt, _>(first.edition)
            .bind::<Text, _>(first.segment)
            .execute(conn)?,
        Some(last) => diesel::sql_query(format!("{within} {upto}"))
            .bind::<BigInt, _>(store)
            .bind::<BigInt, _>(first.edition)
            .bind::<Text, _>(first.segment)
            .bind::<Double, _>(last.rank)
            .bind::<Double, _>(last.rank)
            .bind::<BigInt, _>(last.customer)
            .execute(conn)?,
    };
    Ok(true)
}
