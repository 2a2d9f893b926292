//! Scores a store: load the people, measure the store, write what changed.

use std::time::Duration;
use std::time::Instant;

use super::Summary;
use rayon::prelude::*;

use super::assess::{Assessment, Person, Scored};
use super::store::{self, Run, StoredScore, Table};
use crate::db::{Conn, Db, DbError};
use crate::journal;
use crate::journal::fold::{Fact, Frame, fold_all};
use crate::primitives::{CustomerId, Timestamp};
use crate::stores::Store;

/// People per write transaction: short enough that nobody waits long behind it.
const CHUNK: usize = 8_000;
/// People per read.
const PAGE: i64 = 20_000;
/// Histories per read, when they are folded anew.
const HISTORIES: i64 = 2_000;
/// A run older than this that did not finish was broken off.
const BROKEN_OFF_AFTER_MINUTES: i64 = 15;
const MINUTE: i64 = 60_000_000;

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

/// Whether the store should be scored now: never scored, another day, or a twentieth of its people changed since
/// (an import, a busy hour).
///
/// A look into the past that is shown stays until then. Cheap: it may be asked at every tick.
pub fn due(conn: &mut Conn, store: &Store, now: Timestamp) -> diesel::QueryResult<bool> {
    if let Some(began) = store::under_way(conn, store.id)?
        && (now.0 - began.0).abs() < BROKEN_OFF_AFTER_MINUTES * MINUTE
    {
        return Ok(false);
    }
    let Some(last) = store::last_live(conn, store.id)? else { return Ok(true) };
    if last.as_of.day_number(&store.timezone) != now.day_number(&store.timezone) {
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

/// Scores all of a store's people from their rollups as they are at `now`.
///
/// Writes only rows that changed, a chunk per transaction, so that a running service goes on between them.
/// Who entered another segment did so at `now`: that is the moment rules count from.
///
/// # Errors
/// The database fails; or a later run of the same store began, which then does the work.
pub fn score_store(db: &Db, store: &Store, now: Timestamp) -> Result<Report, ScoreError> {
    score_live(db, store, now, now)
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
        return score_live(db, store, as_of, now);
    }
    let id = begin(db, store, as_of, true, now)?;
    let people = people_then(db, store, as_of)?;
    write_run(db, store, id, &people, as_of, now, Table::Historic)
}

fn score_live(
    db: &Db,
    store: &Store,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<Report, ScoreError> {
    let id = begin(db, store, as_of, false, now)?;
    let people = people_now(db, store)?;
    let report = write_run(db, store, id, &people, as_of, now, Table::Live)?;
    while db.write_here(|conn| {
        store::forget_historic(conn, store.id, CHUNK as i64).map_err(ScoreError::from)
    })? {}
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
            Ok(store::people_after(conn, store.id, last, PAGE, &mut people)?)
        })?;
    }
    Ok(people)
}

/// Everyone who would have been scored at `as_of`, in order of id: each history until then, folded anew.
///
/// Reads page by page; the folding of a page is shared among the cores.
fn people_then(db: &Db, store: &Store, as_of: Timestamp) -> Result<Vec<Person>, ScoreError> {
    let frame = Frame { zone: store.timezone.clone(), currency: store.currency.clone() };
    let mut people = Vec::new();
    let mut after = CustomerId(i64::MIN);
    loop {
        let (ids, facts) = db.read_here(|conn| -> Result<_, ScoreError> {
            let ids = store::customers_after(conn, store.id, after, HISTORIES)?;
            let facts = journal::store::of_customers_until(conn, &ids, as_of)?;
            Ok((ids, facts))
        })?;
        let Some(last) = ids.last() else { return Ok(people) };
        after = *last;
        let histories: Vec<&[Fact]> = facts.chunk_by(|a, b| a.customer == b.customer).collect();
        people.par_extend(histories.into_par_iter().filter_map(|history| {
            let folded = fold_all(None, history, &frame);
            Person::of(history[0].customer, &folded.rollup)
        }));
    }
}

/// Measures the store and writes each chunk of people, then the run.
fn write_run(
    db: &Db,
    store: &Store,
    id: i64,
    people: &[Person],
    as_of: Timestamp,
    now: Timestamp,
    table: Table,
) -> Result<Report, ScoreError> {
    let assessment = Assessment::of(people, as_of, &store.timezone);
    let mut summary = Summary::empty();
    let (mut changed, mut moved) = (0, 0);
    let mut from = CustomerId(i64::MIN);
    let mut chunks = people.chunks(CHUNK).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        // The chunks cover all ids: who is stored and no longer scored stands between two of them.
        let to = match (chunk.last(), chunks.peek()) {
            (Some(last), Some(_)) => last.id,
            _ => CustomerId(i64::MAX),
        };
        let scored: Vec<Scored> = chunk.iter().map(|person| assessment.score(person)).collect();
        scored.iter().for_each(|one| summary.add(one));
        let began = Instant::now();
        let (rows, entered) = db.write_here(|conn| -> Result<_, ScoreError> {
            store::lock_scoring(conn, store.id)?;
            if store::newest_run(conn, store.id)? != Some(id) {
                return Err(ScoreError::Superseded);
            }
            let stored = store::stored_between(conn, table, store.id, from, to)?;
            let difference = Difference::of(scored, &stored, as_of);
            store::write(conn, table, store.id, &difference.changed)?;
            store::remove(conn, table, &difference.gone)?;
            if table == Table::Live {
                store::write_history(conn, &difference.entered, as_of)?;
            }
            Ok((difference.changed.len() + difference.gone.len(), difference.entered.len()))
        })?;
        changed += rows as u64;
        moved += entered as u64;
        if to.0 == i64::MAX {
            break;
        }
        from = CustomerId(to.0 + 1);
        rest(began.elapsed());
    }
    let run = Run {
        as_of,
        historic: table == Table::Historic,
        ran_at: now,
        store_gap_days: assessment.store_gap_days,
        summary,
    };
    db.write_here(|conn| -> Result<(), ScoreError> {
        store::lock_scoring(conn, store.id)?;
        if store::newest_run(conn, store.id)? != Some(id) {
            return Err(ScoreError::Superseded);
        }
        store::finish_run(conn, store.id, id, &run)?;
        if changed > CHUNK as u64 {
            store::analyze(conn, db.backend(), table)?;
        }
        Ok(())
    })?;
    Ok(Report { run, changed, moved })
}

/// Lets other writers in. Another process asks SQLite for its lock only now and then, so the pause is a share of
/// the work, not a mere yield.
fn rest(worked: Duration) {
    std::thread::sleep(worked / 5);
}

/// What a chunk of a run changes of what is stored.
#[derive(Debug, Default)]
struct Difference {
    changed: Vec<(Scored, Timestamp)>,
    entered: Vec<(CustomerId, &'static str)>,
    gone: Vec<CustomerId>,
}

impl Difference {
    /// Both lists are in order of id.
    fn of(scored: Vec<Scored>, stored: &[StoredScore], as_of: Timestamp) -> Self {
        let mut difference = Self::default();
        let mut stored = stored.iter().peekable();
        for one in scored {
            while let Some(old) = stored.next_if(|old| old.customer_id < one.customer_id) {
                difference.gone.push(old.customer_id);
            }
            let old = stored.next_if(|old| old.customer_id == one.customer_id);
            if old.is_some_and(|old| old.says(&one)) {
                continue;
            }
            let since = match old {
                Some(old) if old.segment == one.segment => old.segment_since,
                _ => {
                    difference.entered.push((one.customer_id, one.segment));
                    as_of
                }
            };
            difference.changed.push((one, since));
        }
        difference.gone.extend(stored.map(|old| old.customer_id));
        difference
    }
}
