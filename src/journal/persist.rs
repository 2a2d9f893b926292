//! Keeps what folding made: profiles, rollups, visits, orders.

use std::collections::{BTreeMap, HashSet};

use diesel::QueryResult;

use super::fold::{Fact, Folded, Frame, fold_all};
use super::store;
use crate::customers::store as customers;
use crate::db::Conn;
use crate::orders;
use crate::orders::store::ToSave;
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::visits::{self, Visit};

/// Of one store, at one time.
pub(super) struct Keeper {
    pub store: StoreId,
    pub frame: Frame,
    /// When a fact last changed a rollup: the planner looks there first.
    pub changed_at: Timestamp,
}

impl Keeper {
    /// Folds whole histories from the journal, and replaces all that was folded of them before.
    pub fn fold_anew(&self, conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let histories = store::of_customers(conn, ids)?;
        let mut by_customer: BTreeMap<CustomerId, &[Fact]> = BTreeMap::new();
        for run in histories.chunk_by(|a, b| a.customer == b.customer) {
            by_customer.insert(run[0].customer, run);
        }
        visits::delete_all(conn, ids)?;
        orders::store::delete_all(conn, ids)?;
        let stored = customers::load(conn, ids)?;
        let folded: Vec<(CustomerId, Folded, bool)> = stored
            .into_iter()
            .map(|stored| {
                let facts = by_customer.get(&stored.id).copied().unwrap_or_default();
                let folded = fold_all(stored.profile.external_id.as_deref(), facts, &self.frame);
                (stored.id, folded, true)
            })
            .collect();
        self.save(conn, &folded, &HashSet::new())
    }

    pub fn save(
        &self,
        conn: &mut Conn,
        folded: &[(CustomerId, Folded, bool)],
        is_stored: &HashSet<(CustomerId, String)>,
    ) -> QueryResult<()> {
        let profiles: Vec<_> =
            folded.iter().filter(|(_, _, new)| *new).map(|(id, f, _)| (*id, &f.profile)).collect();
        customers::save_profiles(conn, self.store, &profiles)?;
        let rollups: Vec<_> = folded.iter().map(|(id, f, _)| (*id, &f.rollup)).collect();
        customers::save_rollups(conn, self.store, &self.frame.currency, self.changed_at, &rollups)?;
        let rows: Vec<Visit> = folded
            .iter()
            .flat_map(|(id, f, _)| {
                f.visits.values().map(|visit| Visit::new(*id, self.store, visit))
            })
            .collect();
        visits::save(conn, &rows)?;
        let touched = || {
            folded
                .iter()
                .flat_map(|(id, f, _)| f.touched_orders.iter().map(move |order| (*id, f, order)))
        };
        let told: Vec<ToSave<'_>> = touched()
            .filter_map(|(customer, f, order_id)| {
                let order = f.log.orders.get(order_id)?;
                let is_stored = is_stored.contains(&(customer, order_id.clone()));
                Some(ToSave { customer, order_id, order, is_stored })
            })
            .collect();
        orders::store::save(conn, self.store, &told)?;
        let waiting: Vec<_> = touched()
            .filter_map(|(customer, f, order_id)| {
                Some((customer, order_id.as_str(), f.log.waiting.get(order_id)?))
            })
            .flat_map(|(customer, order_id, told)| {
                told.iter().map(move |(key, r)| (customer, order_id, key.as_str(), r))
            })
            .collect();
        orders::store::save_refunds(conn, &waiting)
    }
}
