//! Keeps what folding made: profiles, rollups, visits, orders.

use std::collections::{BTreeMap, HashSet};

use diesel::QueryResult;

use super::fold::{Fact, Folded, Frame, fold_all};
use super::store;
use crate::customers::store::{self as customers, RollupToSave};
use crate::db::Conn;
use crate::orders;
use crate::orders::store::ToSave;
use crate::primitives::{CustomerId, StoreId, Timestamp};
use crate::visits::{self, Visit};

/// A customer as folding made them.
pub(super) struct Kept {
    pub id: CustomerId,
    pub folded: Folded,
    /// Made in this transaction: the profile is written already, a rollup not.
    pub is_new: bool,
    /// Whether the profile has to be written too.
    pub profile_changed: bool,
}

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
        let folded: Vec<Kept> = stored
            .into_iter()
            .map(|stored| {
                let facts = by_customer.get(&stored.id).copied().unwrap_or_default();
                let folded = fold_all(stored.profile.external_id.as_deref(), facts, &self.frame);
                // What was theirs and is another's now goes, too.
                let days_changed = folded.days_changed || !stored.rollup.state.days.is_empty();
                let folded = Folded { days_changed, ..folded };
                Kept { id: stored.id, folded, is_new: false, profile_changed: true }
            })
            .collect();
        self.save(conn, &folded, &HashSet::new())
    }

    pub fn save(
        &self,
        conn: &mut Conn,
        folded: &[Kept],
        is_stored: &HashSet<(CustomerId, String)>,
    ) -> QueryResult<()> {
        let profiles: Vec<_> = folded
            .iter()
            .filter(|kept| kept.profile_changed)
            .map(|kept| (kept.id, &kept.folded.profile))
            .collect();
        customers::save_profiles(conn, self.store, &profiles)?;
        let rollups: Vec<_> = folded
            .iter()
            .map(|kept| RollupToSave {
                customer: kept.id,
                rollup: &kept.folded.rollup,
                is_stored: !kept.is_new,
            })
            .collect();
        customers::save_rollups(conn, self.store, &self.frame.currency, self.changed_at, &rollups)?;
        let told: Vec<_> = folded
            .iter()
            .filter(|kept| kept.folded.days_changed)
            .map(|kept| (kept.id, &kept.folded.rollup))
            .collect();
        customers::save_days(conn, self.store, &told)?;
        let rows: Vec<Visit> = folded
            .iter()
            .flat_map(|kept| {
                let visits = kept.folded.visits.values();
                visits.map(|visit| Visit::new(kept.id, self.store, visit))
            })
            .collect();
        visits::save(conn, &rows)?;
        let touched = || {
            folded.iter().flat_map(|kept| {
                let orders = kept.folded.touched_orders.iter();
                orders.map(move |order| (kept.id, &kept.folded.log, order))
            })
        };
        let told: Vec<ToSave<'_>> = touched()
            .filter_map(|(customer, log, order_id)| {
                let order = log.orders.get(order_id)?;
                let is_stored =
                    !is_stored.is_empty() && is_stored.contains(&(customer, order_id.clone()));
                Some(ToSave { customer, order_id, order, is_stored })
            })
            .collect();
        orders::store::save(conn, self.store, &told)?;
        let waiting: Vec<_> = touched()
            .filter_map(|(customer, log, order_id)| {
                Some((customer, order_id.as_str(), log.waiting.get(order_id)?))
            })
            .flat_map(|(customer, order_id, told)| {
                told.iter().map(move |(key, r)| (customer, order_id, key.as_str(), r))
            })
            .collect();
        orders::store::save_refunds(conn, &waiting)
    }
}
