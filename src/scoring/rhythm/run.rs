//! Learns how a store's products are bought again, and tells each customer's: after each scoring, and for who changed.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use rayon::prelude::*;

use super::Rhythm;
use super::basket::{Bought, repurchases};
use super::store::{self, Basket, Kept, Learnt, Row, Sold};
use crate::db::{Db, DbError};
use crate::primitives::{CustomerId, Delay, Timestamp, Zone};
use crate::scoring::assess::{History, Person, fair_part};
use crate::scoring::predict::Day;
use crate::scoring::run::{CHANGED, ScoreError, rest};
use crate::scoring::store::changed_after;
use crate::stores::Store;

/// Customers that rhythms are learnt from at most: products differ more than customers do, so more than for predictions.
const LEARNT_FROM: usize = 40_000;
/// Of fewer repurchases than this nothing is told: they would say what is usual in shops, not in this one.
const LEAST_REPURCHASES: u64 = 50;
/// Whoever has not ordered for so long is expected to buy nothing again; so the work is by those who are about.
const RECENT: Day = 400;
/// Products whose part is kept: the rest go by their category. About two megabytes.
const PRODUCTS: usize = 20_000;
/// Products that are kept by name, for people to look at.
const NAMED: usize = 500;
/// Customers per read.
const CHUNK: usize = 2_000;
/// A transaction that wrote a rollup may become visible this much later than the time it wrote down.
const STRAGGLERS: Delay = Delay::seconds(30);

/// After a live run of the store, which read `people`: learns anew where the run did, and tells everybody's; else tells
/// those whose orders may have changed since. Writes only what changed.
pub(in crate::scoring) fn follow(
    db: &Db,
    store: &Store,
    people: &[Person],
    as_of: Timestamp,
    is_learnt_anew: bool,
    now: Timestamp,
) -> Result<(), ScoreError> {
    let kept = db.read_here(|conn| store::load(conn, store.id).map_err(DbError::from))?;
    match kept {
        Some(kept) if !is_learnt_anew => follow_changed(db, store, &kept, now),
        _ => begin_anew(db, store, people, as_of, now),
    }
}

fn begin_anew(
    db: &Db,
    store: &Store,
    people: &[Person],
    as_of: Timestamp,
    now: Timestamp,
) -> Result<(), ScoreError> {
    let today = as_of.day_number(&store.timezone);
    let learnt = learn(db, store, people, today)?;
    if is_enough(&learnt) {
        for part in people.chunks(CHUNK) {
            let began = Instant::now();
            refresh_people(db, store, &learnt.rhythm, part, today)?;
            rest(began.elapsed());
        }
    } else {
        db.write_here(|conn| store::remove_all(conn, store.id).map_err(DbError::from))?;
    }
    db.write_here(|conn| store::keep(conn, store.id, as_of, now, &learnt).map_err(DbError::from))?;
    Ok(())
}

fn follow_changed(db: &Db, store: &Store, kept: &Kept, now: Timestamp) -> Result<(), ScoreError> {
    let mut place = Some((kept.told_until.minus(STRAGGLERS), CustomerId(i64::MAX)));
    while let Some(from) = place {
        let (ids, next) = db.read_here(|conn| {
            changed_after(conn, store.id, from, now, CHANGED).map_err(DbError::from)
        })?;
        if is_enough(&kept.learnt) {
            refresh(db, store, &kept.learnt.rhythm, &ids)?;
        }
        place = next;
    }
    db.write_here(|conn| store::set_told_until(conn, store.id, now).map_err(DbError::from))?;
    Ok(())
}

/// What customers' products are told by; `None` while too little was learnt.
pub(in crate::scoring) fn known(db: &Db, store: &Store) -> Result<Option<Rhythm>, DbError> {
    let kept = db.read_here(|conn| store::load(conn, store.id).map_err(DbError::from))?;
    Ok(kept.map(|kept| kept.learnt).filter(is_enough).map(|learnt| learnt.rhythm))
}

fn is_enough(learnt: &Learnt) -> bool {
    learnt.rhythm.gaps.closed >= LEAST_REPURCHASES
}

/// From a fair part of all who bought: the same part each time, whatever ids they got.
fn learn(db: &Db, store: &Store, people: &[Person], today: Day) -> Result<Learnt, ScoreError> {
    let is_buyer = |person: &&Person| matches!(person.history, History::Buyer(_));
    let lots = people.iter().filter(is_buyer).map(|person| (person.lot(), person.id));
    let drawn = fair_part(lots, LEARNT_FROM);
    // Known by their place: the sums of the learning depend on it, and ids are made by chance.
    let places: HashMap<CustomerId, i64> = drawn.iter().map(|(_, id)| *id).zip(0..).collect();
    let mut ids: Vec<CustomerId> = places.keys().copied().collect();
    ids.sort_unstable();
    let mut purchases = Vec::new();
    let mut sold: BTreeMap<String, Sold> = BTreeMap::new();
    for part in ids.chunks(CHUNK) {
        let baskets = db.read_here(|conn| store::baskets(conn, part).map_err(DbError::from))?;
        for basket in baskets {
            let place = places[&basket.customer];
            let of_basket = |one: &Bought| one.purchase(place, &store.timezone);
            purchases.extend(basket.bought.iter().map(of_basket));
            count(&mut sold, basket.bought, &store.timezone);
        }
    }
    let mut rhythm = Rhythm::learn(&purchases, today);
    rhythm.keep(PRODUCTS);
    let mut products: Vec<Sold> = sold.into_values().collect();
    products.sort_by(|a, b| b.again.cmp(&a.again).then(b.purchases.cmp(&a.purchases)));
    products.truncate(NAMED);
    Ok(Learnt { rhythm, products })
}

/// Counts one customer's days with each product.
fn count(sold: &mut BTreeMap<String, Sold>, bought: Vec<Bought>, zone: &Zone) {
    let mut days: Vec<(String, Day)> =
        bought.into_iter().map(|one| (one.product_id, one.at.day_number(zone))).collect();
    days.sort_unstable();
    days.dedup();
    for same in days.chunk_by(|a, b| a.0 == b.0) {
        let product_id = &same[0].0;
        let entry = sold.entry(product_id.clone()).or_insert_with(|| Sold {
            product_id: product_id.clone(),
            purchases: 0,
            again: 0,
        });
        entry.purchases += same.len() as u64;
        entry.again += same.len() as u64 - 1;
    }
}

/// Tells the recent buyers' of these people, and takes out the others'.
fn refresh_people(
    db: &Db,
    store: &Store,
    rhythm: &Rhythm,
    people: &[Person],
    today: Day,
) -> Result<(), DbError> {
    let ordered_since = |person: &Person, day| match &person.history {
        History::Buyer(buyer) => buyer.last_order_day >= day,
        History::Visitor(_) => false,
    };
    let recent: Vec<CustomerId> = people
        .iter()
        .filter(|person| ordered_since(person, today - RECENT))
        .map(|person| person.id)
        .collect();
    let all: Vec<CustomerId> = people.iter().map(|person| person.id).collect();
    tell(db, store, rhythm, &recent, &all)
}

/// Tells those of `ids` who bought anything, by what was learnt.
pub(in crate::scoring) fn refresh(
    db: &Db,
    store: &Store,
    rhythm: &Rhythm,
    ids: &[CustomerId],
) -> Result<(), DbError> {
    tell(db, store, rhythm, ids, ids)
}

/// Brings the rows of `all` in line with what `ids`, some of them, bought.
fn tell(
    db: &Db,
    store: &Store,
    rhythm: &Rhythm,
    ids: &[CustomerId],
    all: &[CustomerId],
) -> Result<(), DbError> {
    let (baskets, stored) = db.read_here(|conn| -> Result<_, DbError> {
        Ok((store::baskets(conn, ids)?, store::stored_of(conn, all)?))
    })?;
    let told: Vec<Row> =
        baskets.par_iter().flat_map_iter(|basket| of_basket(rhythm, store, basket)).collect();
    let mut stored: HashMap<(CustomerId, String), Row> =
        stored.into_iter().map(|row| ((row.customer_id, row.product_id.clone()), row)).collect();
    let changed: Vec<Row> = told
        .into_iter()
        .filter(|row| {
            stored.remove(&(row.customer_id, row.product_id.clone())).as_ref() != Some(row)
        })
        .collect();
    let gone: Vec<Row> = stored.into_values().collect();
    if changed.is_empty() && gone.is_empty() {
        return Ok(());
    }
    db.write_here(|conn| -> Result<_, DbError> {
        store::remove(conn, &gone)?;
        Ok(store::write(conn, &changed)?)
    })
}

fn of_basket(rhythm: &Rhythm, store: &Store, basket: &Basket) -> Vec<Row> {
    repurchases(rhythm, &basket.bought, basket.last_order_at, &store.timezone)
        .into_iter()
        .map(|told| Row::of(store.id, basket, told))
        .collect()
}
