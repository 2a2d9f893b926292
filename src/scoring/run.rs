//! Scores a store: load the people, measure the store, write what changed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::assess::{Assessment, History, Measure, Person, Scored, fair_part};
use super::forecast::{Forecaster, WEEK};
use super::learning::{Learning, Report as Calibration};
use super::predict::{Day, Known, OrderLog, Purchase};
use super::prospect::{self, NotYet, Prospects};
use super::store::{self, Entry, Left, Run, StoredForecast, StoredScore, Table, ToWrite, Which};
use super::visitor::Depth;
use super::{Kind, Summary, rhythm};
use crate::customers::VisitDepth;
use crate::db::{Conn, Db, DbError};
use crate::journal;
use crate::journal::fold::{Fact, Folded, Frame, fold_all};
use crate::orders::store::Counted;
use crate::orders::{self, Order};
use crate::primitives::{Currency, CustomerId, Timestamp, Zone};
use crate::stores::Store;
use crate::visits::{self, Visit};

/// People per write transaction at most, and in the first of a run.
const CHUNK: usize = 8_000;
const FIRST_CHUNK: usize = 1_000;
/// How long a write transaction of a run may take: whoever waits behind one is answered soon after.
const HELD: Duration = Duration::from_millis(40);
/// Entries of the at-risk list per transaction.
const LISTED: usize = 10_000;
/// The list is amended rather than written anew where fewer than one in so many of its places change.
const FEW: usize = 20;
/// People per read.
const PAGE: i64 = 20_000;
/// Histories per read, when they are folded anew.
const HISTORIES: i64 = 2_000;
/// A run older than this that did not finish was broken off.
const BROKEN_OFF_AFTER_MINUTES: i64 = 15;
const MINUTE: i64 = 60_000_000;
/// Buyers that predictions are learnt from, where there are more: parameters are then known far better than needed.
const LEARNT_FROM: usize = 10_000;
/// Days that what was learnt is used for.
const LEARN_EVERY: Day = 7;
/// Days of the past, a horizon apart, that visitors are looked at on.
const ORIGINS: Day = 6;
/// Customers that [`rescore_changed`] takes at once.
pub(super) const CHANGED: i64 = 2_000;

#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    #[error("the store could not be scored")]
    Db(#[from] DbError),
    #[error("another scoring of this store began meanwhile and goes on in its place")]
    Superseded,
}

impl From<diesel::result::Error> for ScoreError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub run: Run,
    /// Score rows that were written or taken out; the others stood as they were.
    pub changed: u64,
    /// Customers who entered another segment.
    pub moved: u64,
}

/// Whether the store should be scored now: never scored, another day, by a replica of before the list had editions, or a
/// twentieth of its people changed since (an import, a busy hour).
///
/// A look into the past that is shown stays until then. Cheap: it may be asked at every tick.
pub fn due(conn: &mut Conn, store: &Store, now: Timestamp) -> diesel::QueryResult<bool> {
    if let Some(began) = store::under_way(conn, store.id)?
        && (now.0 - began.0).abs() < BROKEN_OFF_AFTER_MINUTES * MINUTE
    {
        return Ok(false);
    }
    let Some(last) = store::last_live(conn, store.id)? else { return Ok(true) };
    if last.as_of.day_number(&store.timezone) != now.day_number(&store.timezone)
        || last.edition.is_none()
    {
        return Ok(true);
    }
    // A large store costs more to score, so it waits longer: a millisecond for each of its people.
    let people = (last.summary.buyers() + last.summary.visitors()) as i64;
    if now.0 - last.ran_at.0 < MINUTE + people * 1_000 {
        return Ok(false);
    }
    let many = (people / 20).clamp(1, 50_000);
    Ok(store::changed_since(conn, store.id, last.ran_at, many)? == many)
}

/// As of when the last live run of the store was made.
pub fn last_as_of(conn: &mut Conn, store: &Store) -> diesel::QueryResult<Option<Timestamp>> {
    Ok(store::last_live(conn, store.id)?.map(|run| run.as_of))
}

/// When the last live run of the store was made.
pub fn last_ran_at(conn: &mut Conn, store: &Store) -> diesel::QueryResult<Option<Timestamp>> {
    Ok(store::last_live(conn, store.id)?.map(|run| run.ran_at))
}

/// Scores all of a store's people from their rollups as they are at `now`.
///
/// Writes only rows that changed, a chunk per transaction, so that a running service goes on between them.
/// Who entered another segment did so at `now`: that is the moment rules count from.
///
/// # Errors
/// The database fails; or a later run of the same store began, which then does the work.
pub fn score_store(db: &Db, store: &Store, now: Timestamp) -> Result<Report, ScoreError> {
    score_live(db, store, now, now, LEARN_EVERY)
}

/// As [`score_store`], learning anew only where what was learnt is so many days old: for the sample store's past.
///
/// # Errors
/// As [`score_store`].
pub fn score_store_learning_every(
    db: &Db,
    store: &Store,
    now: Timestamp,
    days: Day,
) -> Result<Report, ScoreError> {
    score_live(db, store, now, now, days)
}

/// Scores a store by what had occurred until `as_of`.
///
/// In the past, that is a look: histories are folded anew from the journal, the outcome is shown until the next
/// live run, and neither history nor moments nor rules know of it. Otherwise it is a live run.
///
/// # Errors
/// As [`score_store`].
pub fn score_as_of(
    db: &Db,
    store: &Store,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<Report, ScoreError> {
    if as_of >= now {
        return score_live(db, store, as_of, now, LEARN_EVERY);
    }
    let id = begin(db, store, as_of, true, now)?;
    let past = people_then(db, store, as_of)?;
    let today = as_of.day_number(&store.timezone);
    let learning = Learning::of(&past.log, today);
    let unknown = HashMap::new();
    let known = Assessed { people: &past.people, learning: &learning, week_ago: &unknown };
    let writing = Writing { db, store, run: id, as_of, table: Table::Historic };
    Ok(write_run(writing, known, now)?.0)
}

fn score_live(
    db: &Db,
    store: &Store,
    as_of: Timestamp,
    now: Timestamp,
    learn_every: Day,
) -> Result<Report, ScoreError> {
    let id = begin(db, store, as_of, false, now)?;
    let people = people_now(db, store)?;
    let today = as_of.day_number(&store.timezone);
    let buyers = people.iter().filter(|p| matches!(p.history, History::Buyer(_))).count();
    let kept = db.read_here(|conn| -> Result<_, ScoreError> {
        Ok(store::newest_learning(conn, store.id)?.map(|(learning, _)| learning))
    })?;
    let kept = kept.filter(|learning| learning.holds(today, buyers, learn_every));
    let (learning, calibration) = match kept {
        Some(learning) => (learning, None),
        None => {
            let log = sampled_log(db, store, &people)?;
            let prospects = prospects(db, store, &people, today)?;
            let (prospects, no_prospects) = match prospects {
                Ok(prospects) => (Some(prospects), None),
                Err(why) => (None, Some(why)),
            };
            let learning =
                Learning { buyers, prospects, no_prospects, ..Learning::of(&log, today) };
            let calibration = Calibration::of(&log, &learning.orders);
            (learning, Some(calibration))
        }
    };
    let week_ago = known_a_week_ago(db, store, &people, today)?;
    let known = Assessed { people: &people, learning: &learning, week_ago: &week_ago };
    let writing = Writing { db, store, run: id, as_of, table: Table::Live };
    let (report, measure) = write_run(writing, known, now)?;
    db.write_here(|conn| {
        let kept = match &calibration {
            None => store::keep_measure(conn, store.id, &measure),
            Some(told) => {
                store::keep_learning(conn, store.id, as_of, now, &learning, &measure, told)
            }
        };
        kept.map_err(ScoreError::from)
    })?;
    rhythm::run::follow(db, store, &people, as_of, calibration.is_some(), now)?;
    let forget = |conn: &mut Conn| -> Result<bool, ScoreError> {
        let shown = report.run.edition.unwrap_or(id);
        Ok(store::forget_before(conn, store.id, shown, LISTED as i64)?
            || store::forget_historic(conn, store.id, CHUNK as i64)?)
    };
    loop {
        let began = Instant::now();
        if !db.write_here(forget)? {
            break;
        }
        rest(began.elapsed());
    }
    Ok(report)
}

fn begin(
    db: &Db,
    store: &Store,
    as_of: Timestamp,
    historic: bool,
    now: Timestamp,
) -> Result<i64, ScoreError> {
    db.write_here(|conn| {
        store::begin_run(conn, store.id, as_of, historic, now).map_err(ScoreError::from)
    })
}

/// Everyone who is scored, in order of id, read page by page: no snapshot is held for long.
fn people_now(db: &Db, store: &Store) -> Result<Vec<Person>, ScoreError> {
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
fn sampled_log(db: &Db, store: &Store, people: &[Person]) -> Result<OrderLog, ScoreError> {
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
fn prospects(
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
fn first_orders(
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
fn known_a_week_ago(
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
fn known_at(
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
struct Past {
    people: Vec<Person>,
    log: OrderLog,
}

/// Everyone who would have been scored at `as_of`, in order of id: each history until then, folded anew.
///
/// Reads page by page; the folding of a page is shared among the cores.
fn people_then(db: &Db, store: &Store, as_of: Timestamp) -> Result<Past, ScoreError> {
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

/// What a run writes from.
#[derive(Clone, Copy)]
struct Assessed<'a> {
    people: &'a [Person],
    learning: &'a Learning,
    week_ago: &'a HashMap<CustomerId, Known>,
}

/// A run under way: what its parts have in common.
#[derive(Clone, Copy)]
struct Writing<'a> {
    db: &'a Db,
    store: &'a Store,
    run: i64,
    as_of: Timestamp,
    table: Table,
}

/// Measures the store and writes each chunk of people, then the list, then the run.
fn write_run(
    writing: Writing<'_>,
    known: Assessed<'_>,
    now: Timestamp,
) -> Result<(Report, Measure), ScoreError> {
    let Writing { db, store, run: id, as_of, table } = writing;
    let today = as_of.day_number(&store.timezone);
    let assessment = Assessment::of(known.people, as_of, &store.timezone).with(Forecaster::new(
        known.learning,
        today,
        known.week_ago,
    ));
    let written = writing.chunks(known, &assessment)?;
    let edition = writing.list(written.listed, written.left, written.joined)?;
    let run = Run {
        as_of,
        historic: table == Table::Historic,
        ran_at: now,
        store_gap_days: assessment.measure.store_gap_days,
        edition: Some(edition),
        summary: written.summary,
    };
    writing.within(|conn| {
        store::finish_run(conn, store.id, id, &run)?;
        if written.changed > CHUNK as u64 {
            store::analyze(conn, db.backend(), table)?;
        }
        Ok(())
    })?;
    let Written { changed, moved, .. } = written;
    Ok((Report { run, changed, moved }, assessment.measure))
}

/// What the chunks of a run came to.
struct Written {
    summary: Summary,
    changed: u64,
    moved: u64,
    /// The whole at-risk list, in no order.
    listed: Vec<Entry>,
    /// By what it differs from the one before.
    left: Vec<Left>,
    joined: Vec<Entry>,
}

/// A chunk of people on its way to being written.
struct Chunk {
    people: usize,
    scored: Vec<Scored>,
    difference: Difference,
}

impl Writing<'_> {
    /// A write transaction of this run, as long as no later one began.
    fn within<T>(
        self,
        work: impl FnOnce(&mut Conn) -> diesel::QueryResult<T>,
    ) -> Result<T, ScoreError> {
        self.db.write_here(|conn| {
            store::lock_scoring(conn, self.store.id)?;
            if store::newest_run(conn, self.store.id)? != Some(self.run) {
                return Err(ScoreError::Superseded);
            }
            Ok(work(conn)?)
        })
    }

    /// Scores and writes everyone, chunk by chunk: one is read and scored while the one before it is written.
    fn chunks(
        self,
        known: Assessed<'_>,
        assessment: &Assessment<'_>,
    ) -> Result<Written, ScoreError> {
        let mut all = Written {
            summary: Summary::empty(),
            changed: 0,
            moved: 0,
            listed: Vec::new(),
            left: Vec::new(),
            joined: Vec::new(),
        };
        let size = AtomicUsize::new(FIRST_CHUNK);
        std::thread::scope(|scope| -> Result<(), ScoreError> {
            let (give, take) = sync_channel(1);
            let size = &size;
            scope.spawn(move || {
                let (mut left, mut from) = (known.people, CustomerId(i64::MIN));
                loop {
                    let (people, after) =
                        left.split_at(size.load(Ordering::Relaxed).min(left.len()));
                    // The chunks cover all ids: who is stored and no longer scored stands between two of them.
                    let to = match (people.last(), after.is_empty()) {
                        (Some(last), false) => last.id,
                        _ => CustomerId(i64::MAX),
                    };
                    let chunk = self.chunk(known.learning, assessment, people, (from, to));
                    let is_last = chunk.is_err() || to.0 == i64::MAX;
                    // Nobody takes it once writing has failed.
                    if give.send(chunk).is_err() || is_last {
                        break;
                    }
                    (left, from) = (after, CustomerId(to.0 + 1));
                }
            });
            for chunk in take {
                let Chunk { people, scored, difference } = chunk?;
                scored.iter().for_each(|one| all.summary.add(one));
                all.listed.extend(scored.iter().filter_map(Entry::of));
                let began = Instant::now();
                self.within(|conn| difference.write(conn, self.store, self.table, self.as_of))?;
                let worked = began.elapsed();
                all.changed += (difference.changed.len() + difference.gone.len()) as u64;
                all.moved += difference.entered.len() as u64;
                all.left.extend(difference.left);
                all.joined.extend(difference.joined);
                size.store(next_chunk(people, worked), Ordering::Relaxed);
                rest(worked);
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn chunk(
        self,
        learning: &Learning,
        assessment: &Assessment<'_>,
        people: &[Person],
        (from, to): (CustomerId, CustomerId),
    ) -> Result<Chunk, ScoreError> {
        let Self { store, as_of, .. } = self;
        let mut scored: Vec<Scored> =
            people.par_iter().map(|person| assessment.score(person)).collect();
        let today = as_of.day_number(&store.timezone);
        let stored = self.db.read_here(|conn| -> Result<_, ScoreError> {
            first_orders(conn, store, learning, today, &mut scored)?;
            Ok(store::stored_between(conn, self.table, store.id, from, to)?)
        })?;
        let difference = Difference::of(&scored, stored, as_of);
        Ok(Chunk { people: people.len(), scored, difference })
    }

    /// Brings the at-risk list to what it is by now, and says which edition that is: the one before, amended, where few
    /// customers moved on it, else a new one.
    fn list(
        self,
        mut listed: Vec<Entry>,
        left: Vec<Left>,
        joined: Vec<Entry>,
    ) -> Result<i64, ScoreError> {
        let store = self.store.id;
        let before = match self.table {
            Table::Live => self.db.read_here(|conn| -> Result<_, ScoreError> {
                Ok(store::last_live(conn, store)?.and_then(|run| run.edition))
            })?,
            Table::Historic => None,
        };
        if let Some(edition) = before
            && (left.len() + joined.len()) * FEW < listed.len()
        {
            for part in left.chunks(LISTED) {
                self.in_turn(|conn| store::amend(conn, store, edition, part, &[]))?;
            }
            for part in joined.chunks(LISTED) {
                self.in_turn(|conn| store::amend(conn, store, edition, &[], part))?;
            }
            return Ok(edition);
        }
        listed.par_sort_unstable_by(Entry::before);
        for part in listed.chunks(LISTED) {
            self.in_turn(|conn| store::keep(conn, store, self.run, Which::Everyone, part))?;
        }
        listed.par_sort_by_key(|entry| entry.segment);
        for part in listed.chunks(LISTED) {
            self.in_turn(|conn| store::keep(conn, store, self.run, Which::TheirSegment, part))?;
        }
        Ok(self.run)
    }

    /// As [`Self::within`], and lets others write after it.
    fn in_turn(
        self,
        work: impl FnOnce(&mut Conn) -> diesel::QueryResult<()>,
    ) -> Result<(), ScoreError> {
        let began = Instant::now();
        self.within(work)?;
        rest(began.elapsed());
        Ok(())
    }
}

/// Scores anew whoever's rollup changed in (`since`, `until`], by what the last live run learnt and measured, as of
/// that run. Returns how many rows changed.
///
/// So a customer who has just ordered is off the at-risk list soon, and not tomorrow; the run's counts stay as they
/// are until the next. `until` should lie a little back: what is committed now may carry an earlier time.
///
/// # Errors
/// The database fails.
pub fn rescore_changed(
    db: &Db,
    store: &Store,
    since: Timestamp,
    until: Timestamp,
    now: Timestamp,
) -> Result<u64, ScoreError> {
    let mut place = Some((since, CustomerId(i64::MAX)));
    let (mut known, mut rhythm, mut rows) = (None, None, 0);
    while let Some(from) = place {
        let (ids, next) = db.read_here(|conn| -> Result<_, ScoreError> {
            Ok(store::changed_after(conn, store.id, from, until, CHANGED)?)
        })?;
        place = next;
        if ids.is_empty() {
            break;
        }
        if known.is_none() {
            known = db.read_here(|conn| -> Result<_, ScoreError> {
                let run = store::last_live(conn, store.id)?;
                Ok(run.zip(store::newest_learning(conn, store.id)?))
            })?;
        }
        let Some((run, learnt)) = &known else { break };
        rows += rescore(db, store, &ids, run, learnt, now)?;
        if rhythm.is_none() {
            rhythm = Some(rhythm::run::known(db, store)?);
        }
        if let Some(Some(rhythm)) = &rhythm {
            rhythm::run::refresh(db, store, rhythm, &ids)?;
        }
    }
    Ok(rows)
}

fn rescore(
    db: &Db,
    store: &Store,
    ids: &[CustomerId],
    run: &Run,
    (learning, measure): &(Learning, Measure),
    now: Timestamp,
) -> Result<u64, ScoreError> {
    let Run { as_of, edition, .. } = *run;
    let today = as_of.day_number(&store.timezone);
    let rows = db.write_here(|conn| -> Result<_, ScoreError> {
        store::lock_scoring(conn, store.id)?;
        let people = store::people_of(conn, store, ids)?;
        let counted = orders::store::counting(conn, store.id, &store.currency, Some(ids))?;
        let week_ago = known_at(counted, &store.timezone, today - WEEK).collect();
        let assessment = Assessment::by(measure.clone(), as_of, &store.timezone)
            .with(Forecaster::new(learning, today, &week_ago));
        let mut scored: Vec<Scored> =
            people.iter().map(|person| assessment.score(person)).collect();
        first_orders(conn, store, learning, today, &mut scored)?;
        let stored = store::stored_of(conn, store.id, ids)?;
        let difference = Difference::of(&scored, stored, now);
        difference.write(conn, store, Table::Live, now)?;
        if let Some(edition) = edition {
            let Difference { left, joined, .. } = &difference;
            store::amend(conn, store.id, edition, left, joined)?;
        }
        Ok(difference.changed.len() + difference.gone.len())
    })?;
    Ok(rows as u64)
}

/// How many people to write at once after so many took so long: fewer where most rows change, more where few do.
fn next_chunk(people: usize, worked: Duration) -> usize {
    let fitting = people as f64 * HELD.as_secs_f64() / worked.as_secs_f64().max(1e-6);
    (fitting as usize).min(2 * people).clamp(FIRST_CHUNK / 4, CHUNK)
}

/// Lets other writers in. Another process asks SQLite for its lock only now and then, so the pause is a share of
/// the work, not a mere yield.
pub(super) fn rest(worked: Duration) {
    std::thread::sleep(worked / 5);
}

/// What a chunk of a run changes of what is stored.
#[derive(Default)]
struct Difference {
    changed: Vec<ToWrite>,
    entered: Vec<(CustomerId, &'static str)>,
    gone: Vec<CustomerId>,
    /// Who leaves a place on the at-risk list, and who takes one: who moved on it does both.
    left: Vec<Left>,
    joined: Vec<Entry>,
}

impl Difference {
    /// Both lists are in order of id.
    fn of(scored: &[Scored], stored: Vec<StoredScore>, as_of: Timestamp) -> Self {
        let mut difference = Self::default();
        let mut stored = stored.into_iter().peekable();
        for one in scored {
            while let Some(old) = stored.next_if(|old| old.customer_id < one.customer_id) {
                difference.is_gone(old);
            }
            let old = stored.next_if(|old| old.customer_id == one.customer_id);
            difference.compare(one, old, as_of);
        }
        stored.for_each(|old| difference.is_gone(old));
        difference
    }

    fn compare(&mut self, one: &Scored, old: Option<StoredScore>, as_of: Timestamp) {
        let forecast = StoredForecast::of(one);
        let past_stands = old.as_ref().is_some_and(|old| old.tells_the_same_past(one));
        if past_stands
            && old
                .as_ref()
                .is_some_and(|old| old.forecast == forecast && old.risk_rank == one.risk_rank)
        {
            return;
        }
        let at_risk_since =
            one.risk_rank.map(|_| old.as_ref().and_then(|old| old.at_risk_since).unwrap_or(as_of));
        let segment_since = match &old {
            Some(old) if old.segment == one.segment => old.segment_since,
            _ => {
                self.entered.push((one.customer_id, one.segment));
                as_of
            }
        };
        let stands = past_stands
            && old.as_ref().is_some_and(|old| {
                old.forecast.next_order_expected_at == forecast.next_order_expected_at
            });
        let left = old.as_ref().and_then(place);
        let entry = Entry::of(one);
        if left.as_ref().map(|left| (left.rank, left.segment.as_str()))
            != entry.map(|entry| (entry.rank, entry.segment))
            || old.is_some_and(|old| old.spent != one.spent)
        {
            self.left.extend(left);
            self.joined.extend(entry);
        }
        self.changed.push(ToWrite {
            scored: one.clone(),
            forecast,
            segment_since,
            at_risk_since,
            stands,
        });
    }

    fn is_gone(&mut self, old: StoredScore) {
        self.gone.push(old.customer_id);
        self.left.extend(place(&old));
    }

    fn write(
        &self,
        conn: &mut Conn,
        store: &Store,
        table: Table,
        as_of: Timestamp,
    ) -> diesel::QueryResult<()> {
        store::write(conn, table, store.id, &self.changed)?;
        store::remove(conn, table, &self.gone)?;
        match table {
            Table::Live => store::write_history(conn, &self.entered, as_of),
            Table::Historic => Ok(()),
        }
    }
}

/// Where one who is stored stands on the at-risk list.
fn place(old: &StoredScore) -> Option<Left> {
    let StoredScore { customer_id: customer, segment, risk_rank, .. } = old;
    Some(Left { segment: segment.clone(), rank: (*risk_rank)?, customer: *customer })
}
