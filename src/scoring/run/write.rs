//! Writes what a run found: everyone chunk by chunk, the at-risk list, then the run itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::difference::Difference;
use super::load::first_orders;
use super::{Report, ScoreError};
use crate::db::{Conn, Db};
use crate::primitives::{CustomerId, Timestamp};
use crate::scoring::Summary;
use crate::scoring::assess::{Assessment, Measure, Person, Scored};
use crate::scoring::forecast::Forecaster;
use crate::scoring::learning::Learning;
use crate::scoring::predict::Known;
use crate::scoring::store::{self, Entry, Left, Run, Table, Which};
use crate::stores::Store;

/// People per write transaction at most, and in the first of a run.
pub(super) const CHUNK: usize = 8_000;
const FIRST_CHUNK: usize = 1_000;
/// How long a write transaction of a run may take: whoever waits behind one is answered soon after.
const HELD: Duration = Duration::from_millis(25);
/// Entries of the at-risk list per transaction.
pub(super) const LISTED: usize = 5_000;
/// The list is amended rather than written anew where fewer than one in so many of its places change.
const FEW: usize = 20;

/// What a run writes from.
#[derive(Clone, Copy)]
pub(super) struct Assessed<'a> {
    pub people: &'a [Person],
    pub learning: &'a Learning,
    pub week_ago: &'a HashMap<CustomerId, Known>,
}

/// A run under way: what its parts have in common.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub db: &'a Db,
    pub store: &'a Store,
    pub run: i64,
    pub as_of: Timestamp,
    pub table: Table,
}

/// Measures the store and writes each chunk of people, then the list, then the run.
pub(super) fn write_run(
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
                Ok(store::edition_before(conn, store, self.run)?)
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

/// How many people to write at once after so many took so long: fewer where most rows change, more where few do.
fn next_chunk(people: usize, worked: Duration) -> usize {
    let fitting = people as f64 * HELD.as_secs_f64() / worked.as_secs_f64().max(1e-6);
    (fitting as usize).min(2 * people).clamp(FIRST_CHUNK / 4, CHUNK)
}

/// Lets other writers in. Another process asks SQLite for its lock only now and then, so the pause is a share of
/// the work, not a mere yield.
pub(in crate::scoring) fn rest(worked: Duration) {
    std::thread::sleep(worked / 5);
}
