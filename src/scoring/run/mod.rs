//! Scores a store: load the people, measure the store, write what changed.

mod difference;
mod load;
mod write;

use std::collections::HashMap;
use std::time::Instant;

use difference::Difference;
use load::{
    first_orders, known_a_week_ago, known_at, people_now, people_then, prospects, sampled_log,
};
pub(super) use write::rest;
use write::{Assessed, CHUNK, LISTED, Writing, write_run};

use super::assess::{Assessment, History, Measure, Scored};
use super::forecast::{Forecaster, WEEK};
use super::learning::{Learning, Report as Calibration};
use super::predict::Day;
use super::rhythm;
use super::store::{self, Run, Table};
use crate::db::{Conn, Db, DbError};
use crate::orders;
use crate::primitives::{CustomerId, Timestamp};
use crate::stores::Store;

/// A run older than this that did not finish was broken off.
const BROKEN_OFF_AFTER_MINUTES: i64 = 15;
const MINUTE: i64 = 60_000_000;
/// Days that what was learnt is used for.
const LEARN_EVERY: Day = 7;
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
