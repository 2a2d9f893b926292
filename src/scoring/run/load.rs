//! Who is scored, and the orders and visits that predictions are learnt from.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::ScoreError;
use super::write::CHUNK;
use crate::customers::VisitDepth;
use crate::db::{Conn, Db};
use crate::journal;
use crate::journal::fold::{Fact, Folded, Frame, fold_all};
use crate::orders::store::Counted;
use crate::orders::{self, Order};
use crate::primitives::{Currency, CustomerId, Timestamp, Zone};
use crate::scoring::Kind;
use crate::scoring::assess::{History, Person, Scored, fair_part};
use crate::scoring::forecast::WEEK;
use crate::scoring::learning::Learning;
use crate::scoring::predict::{Day, Known, OrderLog, Purchase};
use crate::scoring::prospect::{self, NotYet, Prospects};
use crate::scoring::store;
use crate::scoring::visitor::Depth;
use crate::stores::Store;
use crate::visits::{self, Visit};

/// People per read.
const PAGE: i64 = 20_000;
/// Histories per read, when they are folded anew.
const HISTORIES: i64 = 2_000;
/// Buyers that predictions are learnt from, where there are more: parameters are then known far better than needed.
const LEARNT_FROM: usize = 10_000;
/// Days of the past, a horizon apart, that visitors are looked at on.
const ORIGINS: Day = 6;

/// Everyone who is scored, in order of id, read page by page: no snapshot is held for long.
pub(super) fn people_now(db: &Db, store: &Store) -> Result<Vec<Person>, ScoreError> {
    let mut people = Vec::new();
    let mut after = Some(CustomerId(i64::MIN));
    while let Some(last) = after {
        after = db.read_here(|conn| -> Result<_, ScoreError> {
            Ok(store::people_after(conn, store.id, last, PAGE, &store.timezone, &mut people)?)
        })?;
    }
    Ok(people)
}

/// The orders of at most [`LEARNT_FROM`] buyers: the same ones in every store with these orders.
pub(super) fn sampled_log(
    db: &Db,
    store: &Store,
    people: &[Person],
) -> Result<OrderLog, ScoreError> {
    let is_buyer = |person: &&Person| matches!(person.history, History::Buyer(_));
    let lots: Vec<_> = people.iter().filter(is_buyer).map(|p| (p.lot(), p.id)).collect();
    let buyers = lots.len();
    let drawn = fair_part(lots, LEARNT_FROM);
    let keys: HashMap<CustomerId, u64> = drawn.iter().map(|(key, id)| (*id, *key)).collect();
    let counted = db.read_here(|conn| -> Result<_, ScoreError> {
        if buyers <= LEARNT_FROM {
            return Ok(orders::store::counting(conn, store.id, &store.currency, None)?);
        }
        let mut sample: Vec<CustomerId> = drawn.iter().map(|(_, id)| *id).collect();
        sample.sort_unstable();
        Ok(orders::store::counting(conn, store.id, &store.currency, Some(&sample))?)
    })?;
    with_visits(db, store, keyed_log(counted, &keys, &store.timezone), &keys)
}

/// The same log with the visits of its customers: who looks around again is likelier to order again.
fn with_visits(
    db: &Db,
    store: &Store,
    log: OrderLog,
    keys: &HashMap<CustomerId, u64>,
) -> Result<OrderLog, ScoreError> {
    let mut ids: Vec<CustomerId> = keys.keys().copied().collect();
    ids.sort_unstable();
    let mut days = Vec::new();
    for part in ids.chunks(CHUNK) {
        let seen = db.read_here(|conn| -> Result<_, ScoreError> { Ok(visits::of(conn, part)?) })?;
        let day = |visit: &Visit| visit.started_at.day_number(&store.timezone);
        days.extend(seen.iter().map(|visit| (keys[&visit.customer_id], day(visit))));
    }
    Ok(log.with_visits(days))
}

/// Learns how visitors become buyers, from people as they stood on days of the past; or says what is wanting.
pub(super) fn prospects(
    db: &Db,
    store: &Store,
    people: &[Person],
    today: Day,
) -> Result<Result<Prospects, NotYet>, ScoreError> {
    if !people.iter().any(|person| matches!(person.history, History::Visitor(_))) {
        return Ok(Prospects::learn(&[]));
    }
    let lots = people.iter().map(|person| (person.lot(), person.id));
    let drawn: HashSet<CustomerId> =
        fair_part(lots, LEARNT_FROM).into_iter().map(|(_, id)| id).collect();
    let first_orders: HashMap<CustomerId, Option<Day>> = people
        .iter()
        .filter(|person| drawn.contains(&person.id))
        .map(|person| match &person.history {
            History::Buyer(buyer) => (person.id, Some(buyer.first_order_day)),
            History::Visitor(_) => (person.id, None),
        })
        .collect();
    let mut ids: Vec<CustomerId> = first_orders.keys().copied().collect();
    ids.sort_unstable();
    let mut seen: Vec<Visit> = Vec::new();
    for part in ids.chunks(CHUNK) {
        seen.extend(db.read_here(|conn| -> Result<_, ScoreError> { Ok(visits::of(conn, part)?) })?);
    }
    seen.sort_by_key(|visit| (visit.customer_id, visit.started_at));
    let mut samples = Vec::new();
    for own in seen.chunk_by(|a, b| a.customer_id == b.customer_id) {
        let first_order = first_orders[&own[0].customer_id];
        for back in 1..=ORIGINS {
            let origin = today - back * prospect::HORIZON;
            let knew = first_order.is_none_or(|day| day > origin);
            if let (true, Some(visitor)) = (knew, visitor_at(own, origin, &store.timezone)) {
                let ordered = first_order.is_some_and(|day| day <= origin + prospect::HORIZON);
                samples.push(prospect::Sample { origin, visitor, ordered });
            }
        }
    }
    Ok(Prospects::learn(&samples))
}

/// One who had visited by the end of a day, as known then. `own` are one person's visits, oldest first.
fn visitor_at<'v>(own: &'v [Visit], day: Day, zone: &Zone) -> Option<prospect::Visitor<'v>> {
    let known = &own[..own.partition_point(|visit| visit.started_at.day_number(zone) <= day)];
    let (first, last) = (known.first()?, known.last()?);
    let depth = |depth: VisitDepth| match depth {
        VisitDepth::Page => Depth::Page,
        VisitDepth::Product => Depth::Product,
        VisitDepth::Cart => Depth::Cart,
        VisitDepth::Checkout => Depth::Checkout,
    };
    Some(prospect::Visitor {
        days_since_last_visit: f64::from(day - last.started_at.day_number(zone)),
        days_since_first_visit: f64::from(day - first.started_at.day_number(zone)),
        visits: known.len() as u32,
        depth: known.iter().map(|visit| depth(visit.depth)).max()?,
        channel: first.channel.as_deref(),
    })
}

/// Tells each visitor's chance of a first order, where it was learnt.
pub(super) fn first_orders(
    conn: &mut Conn,
    store: &Store,
    learning: &Learning,
    today: Day,
    scored: &mut [Scored],
) -> diesel::QueryResult<()> {
    let Some(prospects) = &learning.prospects else { return Ok(()) };
    let visitors: Vec<CustomerId> =
        scored.iter().filter(|one| one.kind == Kind::Visitor).map(|one| one.customer_id).collect();
    let mut seen = visits::of(conn, &visitors)?;
    seen.sort_by_key(|visit| (visit.customer_id, visit.started_at));
    let chances: HashMap<CustomerId, f64> = seen
        .chunk_by(|a, b| a.customer_id == b.customer_id)
        .filter_map(|own| {
            let visitor = visitor_at(own, today, &store.timezone)?;
            Some((own[0].customer_id, prospects.p_first_order_30d(&visitor)))
        })
        .collect();
    for one in scored.iter_mut().filter(|one| one.kind == Kind::Visitor) {
        one.p_first_order_30d = chances.get(&one.customer_id).copied();
    }
    Ok(())
}

/// Learning parts customers by their keys, so these must not be their ids.
fn keyed_log(
    counted: impl IntoIterator<Item = Counted>,
    keys: &HashMap<CustomerId, u64>,
    zone: &Zone,
) -> OrderLog {
    OrderLog::new(counted.into_iter().filter_map(|(customer, at, value)| {
        let purchase = Purchase { day: at.day_number(zone), amount: value as f64 };
        Some((*keys.get(&customer)?, purchase))
    }))
}

fn log_of(counted: impl IntoIterator<Item = Counted>, zone: &Zone) -> OrderLog {
    OrderLog::new(counted.into_iter().map(|(customer, at, value)| {
        (customer.0 as u64, Purchase { day: at.day_number(zone), amount: value as f64 })
    }))
}

/// As they were a week before: those who ordered since, and before that too.
pub(super) fn known_a_week_ago(
    db: &Db,
    store: &Store,
    people: &[Person],
    today: Day,
) -> Result<HashMap<CustomerId, Known>, ScoreError> {
    let then = today - WEEK;
    let ordered_since: Vec<CustomerId> = people
        .iter()
        .filter(|person| match &person.history {
            History::Buyer(buyer) => buyer.last_order_day > then && buyer.first_order_day <= then,
            History::Visitor(_) => false,
        })
        .map(|person| person.id)
        .collect();
    let mut known = HashMap::with_capacity(ordered_since.len());
    for part in ordered_since.chunks(CHUNK) {
        let counted = db.read_here(|conn| -> Result<_, ScoreError> {
            Ok(orders::store::counting(conn, store.id, &store.currency, Some(part))?)
        })?;
        known.extend(known_at(counted, &store.timezone, then));
    }
    Ok(known)
}

/// As they were known at the end of `day`; who had not ordered by then is left out.
pub(super) fn known_at(
    counted: Vec<Counted>,
    zone: &Zone,
    day: Day,
) -> impl Iterator<Item = (CustomerId, Known)> {
    let log = log_of(counted, zone);
    let known: Vec<_> = log
        .iter()
        .filter_map(|(key, own)| Some((CustomerId(key as i64), Known::at(own, day)?)))
        .collect();
    known.into_iter()
}

/// A store as it was: its people, and the orders of some of them.
pub(super) struct Past {
    pub people: Vec<Person>,
    pub log: OrderLog,
}

/// Everyone who would have been scored at `as_of`, in order of id: each history until then, folded anew.
///
/// Reads page by page; the folding of a page is shared among the cores.
pub(super) fn people_then(db: &Db, store: &Store, as_of: Timestamp) -> Result<Past, ScoreError> {
    let frame = Frame { zone: store.timezone.clone(), currency: store.currency.clone() };
    let mut people = Vec::new();
    // Lot, id and orders. How many there are is not known before they are read: whoever's lot is above the limit is let go.
    let mut sampled: Vec<(u64, CustomerId, Vec<Counted>)> = Vec::new();
    let mut limit = u64::MAX;
    let mut after = CustomerId(i64::MIN);
    loop {
        let (ids, facts) = db.read_here(|conn| -> Result<_, ScoreError> {
            let ids = store::customers_after(conn, store.id, after, HISTORIES)?;
            let facts = journal::store::of_customers_until(conn, &ids, as_of)?;
            Ok((ids, facts))
        })?;
        let Some(last) = ids.last() else { break };
        after = *last;
        let histories: Vec<&[Fact]> = facts.chunk_by(|a, b| a.customer == b.customer).collect();
        let folded: Vec<(Person, Vec<Counted>)> = histories
            .into_par_iter()
            .filter_map(|history| {
                let id = history[0].customer;
                let folded = fold_all(None, history, &frame);
                let person = Person::of(id, &folded.rollup, &frame.zone)?;
                let orders = match person.lot() <= limit {
                    true => counting(id, &folded, &frame.currency),
                    false => Vec::new(),
                };
                Some((person, orders))
            })
            .collect();
        for (person, orders) in folded {
            people.push(person);
            if !orders.is_empty() {
                sampled.push((person.lot(), person.id, orders));
            }
        }
        while sampled.len() > 2 * LEARNT_FROM {
            limit /= 2;
            sampled.retain(|(lot, ..)| *lot <= limit);
        }
    }
    let drawn = fair_part(sampled.iter().map(|(lot, id, _)| (*lot, *id)), LEARNT_FROM);
    let keys = drawn.into_iter().map(|(key, id)| (id, key)).collect();
    let counted = sampled.into_iter().flat_map(|(_, _, orders)| orders);
    let log = with_visits(db, store, keyed_log(counted, &keys, &store.timezone), &keys)?;
    Ok(Past { people, log })
}

fn counting(id: CustomerId, folded: &Folded, currency: &Currency) -> Vec<Counted> {
    let counts = folded.log.orders.values().filter(|order| order.counts());
    let net = |order: &Order| match order.currency == *currency {
        true => order.total - order.refunded(),
        false => 0,
    };
    counts.map(|order| (id, order.placed_at(), net(order))).collect()
}
