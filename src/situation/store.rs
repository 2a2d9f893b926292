//! Loads situations: a fixed number of queries, however many customers.

pub mod folded;
mod rows;

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use self::rows::{CustomerRow, OrdersAt, RollupRow, ScoreRow, situation_of};
use super::{Arm, RepurchaseMoment, Situation, behaviour, entered_at, weak};
use crate::db::schema::{
    assignments, at_risk_stays, customers, orders, rollups, scores, segment_history, suppressions,
};
use crate::db::{Conn, few_lengths, kept};
use crate::ledger;
use crate::primitives::{CustomerId, RuleId, StoreId, Timestamp};
use crate::rules::condition::Needs;
use crate::scoring::{is_of_visitors, rhythm};
use crate::stores::Store;

/// A batch that stays far below SQLite's 32,766 parameters and keeps a transaction short.
pub const BATCH: usize = 300;

/// Makes others wait who want to change or judge this customer, until the transaction ends.
///
/// One customer only: whoever waits for a second row while holding a first can wait in a circle with the journal.
/// SQLite's write transaction already shuts out every other writer.
pub fn lock(conn: &mut Conn, id: CustomerId) -> QueryResult<()> {
    if let Conn::Postgres(pg) = conn {
        rollups::table
            .filter(rollups::customer_id.eq(id))
            .select(rollups::customer_id)
            .for_update()
            .load::<CustomerId>(pg)?;
    }
    Ok(())
}

/// As [`lock`] for many: takes those that nobody else holds, and returns them. Waits for none.
pub fn lock_free(conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<Vec<CustomerId>> {
    match conn {
        Conn::Postgres(pg) => rollups::table
            .filter(rollups::customer_id.eq_any(ids))
            .order(rollups::customer_id)
            .select(rollups::customer_id)
            .for_update()
            .skip_locked()
            .load(pg),
        Conn::Sqlite(_) => Ok(ids.to_vec()),
    }
}

/// The situations of `ids`, in their order; whoever was merged into another, or erased, is left out.
pub fn load(conn: &mut Conn, store: &Store, ids: &[CustomerId]) -> QueryResult<Vec<Situation>> {
    load_for(conn, store, ids, &Needs::default(), Timestamp::MAX)
}

/// As [`load`], with what some conditions need to know beyond totals: what was done up to `now`.
pub fn load_for(
    conn: &mut Conn,
    store: &Store,
    ids: &[CustomerId],
    needs: &Needs,
    now: Timestamp,
) -> QueryResult<Vec<Situation>> {
    let mut found = Vec::with_capacity(ids.len());
    for part in ids.chunks(BATCH) {
        let mut situations = load_part(conn, store, part)?;
        behaviour::add(conn, store, &mut situations, needs, now)?;
        weak::add(conn, store.id, &mut situations)?;
        found.extend(situations);
    }
    Ok(found)
}

fn load_part(conn: &mut Conn, store: &Store, ids: &[CustomerId]) -> QueryResult<Vec<Situation>> {
    let asked = &few_lengths(ids);
    let rows = CustomerRow::query()
        .filter(customers::id.eq_any(asked))
        .filter(customers::store_id.eq(store.id))
        .filter(customers::merged_into.is_null())
        .filter(customers::erased_at.is_null());
    let rows = kept(rows).get_results(conn)?;
    let mut people = by(rows, |row: &CustomerRow| row.id);
    let rows = RollupRow::query().filter(rollups::customer_id.eq_any(asked));
    let rows = kept(rows).get_results(conn)?;
    let mut rollups = by(rows, |row: &RollupRow| row.customer_id);
    let rows = ScoreRow::query().filter(scores::customer_id.eq_any(asked));
    let rows = kept(rows).get_results(conn)?;
    let mut scores = by(rows, |row: &ScoreRow| row.customer_id);
    let first_scored = first_scored(conn, asked)?;
    let keys: Vec<&String> = people.values().filter_map(|row| row.email_key.as_ref()).collect();
    let suppressed = suppressed(conn, store.id, &keys)?;
    let with_orders: Vec<CustomerId> =
        rollups.values().filter(|r| r.first_order_at.is_some()).map(|r| r.customer_id).collect();
    let orders = first_and_last_orders(conn, &with_orders)?;
    let expected = rhythm::store::expected(conn, &with_orders)?;
    let mut expected = grouped(expected.into_iter().map(|row| (row.customer_id, row)));
    let enrolments = ledger::store::enrolments_of(conn, ids)?;
    let mut enrolments = grouped(enrolments.into_iter().map(|row| (row.customer_id, row)));
    let mut arms = arms(conn, asked)?;
    let mut stays = open_stays(conn, asked)?;

    let situations = ids.iter().filter_map(|id| {
        let person = people.remove(id)?;
        let rollup = rollups.remove(id);
        let score = scores.remove(id);
        let told = rollup.as_ref().map(|rollup| (rollup, rollup.state()));
        let told = told.as_ref().map(|(rollup, state)| (*rollup, state));
        let is_suppressed = person.email_key.as_ref().is_some_and(|key| suppressed.contains(key));
        let mut situation =
            situation_of(store, &person, told, score.as_ref(), &orders, is_suppressed);
        let moments = &mut situation.moments;
        if let (Some((segment, since)), Some(rollup)) = (&mut moments.segment, &rollup) {
            let (ever, as_buyer) = first_scored.get(id).copied().unwrap_or_default();
            let known = if is_of_visitors(segment) { ever } else { as_buyer };
            *since = entered_at(*since, known, rollup.first_order_at.or(rollup.first_seen_at));
        }
        moments.at_risk = stays.remove(id).unwrap_or_default();
        // What an order has overtaken is expected no more.
        let last_order_at = rollup.and_then(|rollup| rollup.last_order_at);
        let expected = expected.remove(id).unwrap_or_default().into_iter();
        moments.repurchases = expected
            .filter(|row| last_order_at == Some(row.ordered_at))
            .map(|row| RepurchaseMoment {
                product_id: row.product_id,
                name: row.name,
                expected_at: row.expected_at,
            })
            .collect();
        situation.enrolments = enrolments.remove(id).unwrap_or_default();
        situation.arms = arms.remove(id).unwrap_or_default();
        Some(situation)
    });
    Ok(situations.collect())
}

fn by<T>(rows: Vec<T>, id: impl Fn(&T) -> CustomerId) -> HashMap<CustomerId, T> {
    rows.into_iter().map(|row| (id(&row), row)).collect()
}

fn grouped<T>(rows: impl Iterator<Item = (CustomerId, T)>) -> HashMap<CustomerId, Vec<T>> {
    let mut groups: HashMap<CustomerId, Vec<T>> = HashMap::new();
    for (customer, row) in rows {
        groups.entry(customer).or_default().push(row);
    }
    groups
}

/// The arms drawn, by experiment.
fn arms(
    conn: &mut Conn,
    ids: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, Vec<(String, Arm)>>> {
    let drawn = assignments::table.filter(assignments::customer_id.eq_any(ids)).select((
        assignments::customer_id,
        assignments::experiment,
        assignments::arm,
    ));
    let drawn: Vec<(CustomerId, String, Arm)> = kept(drawn).load(conn)?;
    Ok(grouped(drawn.into_iter().map(|(customer, experiment, arm)| (customer, (experiment, arm)))))
}

/// The `at_risk` rules beyond whose lines each is, and since when.
fn open_stays(
    conn: &mut Conn,
    ids: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, Vec<(RuleId, Timestamp)>>> {
    let open = at_risk_stays::table
        .filter(at_risk_stays::customer_id.eq_any(ids).and(at_risk_stays::left_at.is_null()))
        .select((at_risk_stays::customer_id, at_risk_stays::rule_id, at_risk_stays::since));
    let open: Vec<(CustomerId, RuleId, Timestamp)> = kept(open).load(conn)?;
    Ok(grouped(open.into_iter().map(|(customer, rule, since)| (customer, (rule, since)))))
}

/// When each was scored first, and first as a buyer.
type FirstScored = (Option<Timestamp>, Option<Timestamp>);

fn first_scored(
    conn: &mut Conn,
    ids: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, FirstScored>> {
    let stays = segment_history::table.filter(segment_history::customer_id.eq_any(ids)).select((
        segment_history::customer_id,
        segment_history::since,
        segment_history::segment,
    ));
    let stays: Vec<(CustomerId, Timestamp, String)> = kept(stays).load(conn)?;
    let mut first: HashMap<CustomerId, FirstScored> = HashMap::new();
    for (customer, since, segment) in stays {
        let (ever, as_buyer) = first.entry(customer).or_default();
        *ever = Some(ever.map_or(since, |at| at.min(since)));
        if !is_of_visitors(&segment) {
            *as_buyer = Some(as_buyer.map_or(since, |at| at.min(since)));
        }
    }
    Ok(first)
}

/// Which of `email_keys` are on the store's suppression list.
pub fn suppressed(
    conn: &mut Conn,
    store: StoreId,
    email_keys: &[&String],
) -> QueryResult<HashSet<String>> {
    if email_keys.is_empty() {
        return Ok(HashSet::new());
    }
    let found = suppressions::table
        .filter(suppressions::store_id.eq(store))
        .filter(suppressions::email_key.eq_any(few_lengths(email_keys)))
        .select(suppressions::email_key);
    let found: Vec<String> = kept(found).load(conn)?;
    Ok(found.into_iter().collect())
}

fn first_and_last_orders(conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<OrdersAt> {
    if ids.is_empty() {
        return Ok(OrdersAt::new());
    }
    let first_or_last = orders::placed_at
        .nullable()
        .eq(rollups::first_order_at)
        .or(orders::placed_at.nullable().eq(rollups::last_order_at));
    let found = orders::table
        .inner_join(rollups::table.on(rollups::customer_id.eq(orders::customer_id)))
        .filter(orders::customer_id.eq_any(few_lengths(ids)))
        .filter(orders::counts.eq(true))
        .filter(first_or_last)
        .order((orders::customer_id, orders::order_id.desc()))
        .select((orders::customer_id, orders::placed_at, orders::order_id, orders::told_by));
    let found: Vec<(CustomerId, Timestamp, String, String)> = kept(found).load(conn)?;
    let with_words = found.into_iter().map(|(customer, at, id, told_by)| {
        let words: HashMap<String, Timestamp> = serde_json::from_str(&told_by).unwrap_or_default();
        ((customer, at), (id, words.into_values().max().unwrap_or(at).max(at)))
    });
    Ok(with_words.collect())
}
