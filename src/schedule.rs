//! The scheduler: ticks in fixed intervals, each of which only wakes a run. A tick carries no information.
//!
//! Runs never overlap themselves, are tracked, and end when the process is told to stop: what is in the air is
//! finished, nothing new is begun.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::{Db, DbError};
use crate::outbox::worker::{self, Clocks, PostOffice};
use crate::planner::{self, Positions};
use crate::primitives::{Delay, StoreId, Timestamp};
use crate::replicas::{self, Replica};
use crate::retention::{self, Gone};
use crate::rules;
use crate::scoring;
use crate::stores::{self, Retention, Store};

/// Whether a store should be scored anew is asked this often.
const SCORING_TICK: Duration = Duration::from_secs(60);

/// What is too old is let go this often: seldom enough to be no work, often enough that little goes at once.
const RETENTION_TICK: Duration = Duration::from_secs(3_600);

/// Whether rules do harm is asked this often.
const WATCH_EVERY: Delay = Delay::seconds(300);

/// What the scheduler runs, and the guards that keep each run single.
struct Runs {
    office: Arc<PostOffice>,
    clocks: Clocks,
    stopping: CancellationToken,
    positions: Arc<Mutex<Positions>>,
    /// A store is sent for by one run at a time; a long backlog of one store holds up no other.
    sending: Mutex<HashMap<StoreId, Arc<Mutex<()>>>>,
    /// This process among those that serve one database; `None` where it is the only one.
    replica: Option<Replica>,
    scoring: Mutex<()>,
    retention: Mutex<()>,
    /// Until when each store's changed customers are scored anew: a mere hint.
    rescored: Mutex<HashMap<StoreId, Timestamp>>,
    /// When each store's rules were last watched.
    watched: Mutex<HashMap<StoreId, Timestamp>>,
}

/// A running scheduler. Dropping it stops nothing: the token does.
pub struct Runner {
    scheduler: JobScheduler,
}

impl Runner {
    /// Starts planning and sending every `tick`, and scoring when a store's day changes. The runs are tasks of
    /// `tasks`; `stopping` ends them after what they are at.
    ///
    /// # Errors
    /// The scheduler cannot start; or the database fails while the work of dead predecessors is settled.
    pub async fn start(
        office: PostOffice,
        tick: Duration,
        replica: Option<Replica>,
        tasks: &TaskTracker,
        stopping: &CancellationToken,
    ) -> Result<Self, StartError> {
        let runs = Arc::new(Runs {
            office: Arc::new(office),
            clocks: Clocks::system(),
            stopping: stopping.clone(),
            positions: Arc::default(),
            sending: Mutex::default(),
            replica,
            scoring: Mutex::new(()),
            retention: Mutex::new(()),
            rescored: Mutex::default(),
            watched: Mutex::default(),
        });
        let scheduler = JobScheduler::new().await?;
        let every = |interval: Duration, run: fn(Arc<Runs>) -> RunFuture| {
            let (runs, tasks) = (runs.clone(), tasks.clone());
            Job::new_repeated_async(interval, move |_, _| {
                let (runs, tasks) = (runs.clone(), tasks.clone());
                Box::pin(async move {
                    // After the stop the scheduler may still tick once.
                    if !runs.stopping.is_cancelled() {
                        tasks.spawn(run(runs));
                    }
                })
            })
        };
        scheduler.add(every(tick, |runs| Box::pin(runs.plan_and_send()))?).await?;
        if runs.replica.is_some() {
            let every_beat = Duration::from_micros(replicas::BEAT.micros().unsigned_abs());
            scheduler.add(every(every_beat, |runs| Box::pin(runs.beat()))?).await?;
        }
        scheduler.add(every(SCORING_TICK, |runs| Box::pin(runs.score()))?).await?;
        scheduler.add(every(RETENTION_TICK, |runs| Box::pin(runs.let_go()))?).await?;
        scheduler.start().await?;
        // At once, not a tick later: a restart should not be felt.
        tasks.spawn({
            let runs = runs.clone();
            async move {
                runs.clone().beat().await;
                runs.clone().score().await;
                runs.plan_and_send().await;
            }
        });
        Ok(Self { scheduler })
    }

    /// Ends the ticking. Runs under way end by the token and are waited for through the tracker.
    pub async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not stop");
        }
    }
}

type RunFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug, thiserror::Error)]
#[error("the scheduler cannot start")]
pub struct StartError(#[from] JobSchedulerError);

impl Runs {
    async fn plan_and_send(self: Arc<Self>) {
        let stores = match self.stores().await {
            Ok(stores) => stores,
            Err(error) => return tracing::error!(%error, "the stores could not be read"),
        };
        for store in &stores {
            self.plan(store).await;
        }
        // Sending may take longer than a tick; planning goes on meanwhile, and so does settling what the dead left.
        self.office.metrics.passes.with_label_values(&["send"]).inc();
        futures::future::join_all(stores.into_iter().map(|store| self.send(store))).await;
    }

    async fn beat(self: Arc<Self>) {
        let Some(replica) = self.replica.clone() else { return };
        let now = self.clocks.instants().machine;
        let beaten = self
            .office
            .db
            .write(move |conn| replicas::beat(conn, &replica, now).map_err(DbError::from));
        if let Err(error) = beaten.await {
            tracing::warn!(%error, "the other processes were not told that this one lives");
        }
    }

    async fn stores(&self) -> Result<Vec<Arc<Store>>, DbError> {
        let all = self.office.db.read(|conn| stores::store::all(conn).map_err(DbError::from));
        Ok(all.await?.into_iter().map(Arc::new).collect())
    }

    async fn plan(&self, store: &Arc<Store>) {
        let Ok(mut positions) = self.positions.clone().try_lock_owned() else { return };
        if self.stopping.is_cancelled() {
            return;
        }
        self.office.metrics.passes.with_label_values(&["plan"]).inc();
        self.watch(store).await;
        let (db, secret, store) =
            (self.office.db.clone(), self.office.secret.clone(), store.clone());
        let (clocks, id) = (self.clocks, store.id);
        let work =
            move || planner::pass(&db, &store, &secret, clocks.instants(), Some(&mut positions));
        match on_blocking_thread(work).await {
            Ok(tally) if tally.considered > 0 => {
                tracing::info!(store = %id, ?tally, "a pass decided");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(store = %id, error = %chain(&error), "a pass failed"),
        }
    }

    /// Now and then: pauses rules that do harm, or that have fallen silent.
    async fn watch(&self, store: &Arc<Store>) {
        let (id, now) = (store.id, self.clocks.instants().now);
        let mut watched = self.watched.lock().await;
        if watched.get(&id).is_some_and(|at| at.plus(WATCH_EVERY) > now && *at <= now) {
            return;
        }
        watched.insert(id, now);
        let (db, store) = (self.office.db.clone(), store.clone());
        let work = move || planner::watch::watch(&db, &store, now);
        match on_blocking_thread(work).await {
            Ok(stopped) => {
                for what in stopped {
                    tracing::warn!(store = %id, "{what}");
                }
            }
            Err(error) => {
                tracing::error!(store = %id, error = %chain(&error), "the rules were not watched")
            }
        }
    }

    async fn send(&self, store: Arc<Store>) {
        let id = store.id;
        let (db, lost_of, clocks) = (self.office.db.clone(), store.clone(), self.clocks);
        let lost =
            on_blocking_thread(move || worker::settle_lost(&db, &lost_of, clocks.instants()));
        match lost.await {
            Ok(tally) if tally.in_doubt > 0 => tracing::warn!(
                store = %id, messages = tally.in_doubt, "messages of a dead sender were found: see those in doubt"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::error!(store = %id, error = %chain(&error), "lost messages were not settled")
            }
        }
        let single = self.sending.lock().await.entry(id).or_default().clone();
        let Ok(_single) = single.try_lock() else { return };
        match worker::deliver_due(&self.office, &store, self.clocks, &self.stopping).await {
            Ok(tally) if tally != Default::default() => tracing::info!(store = %id, ?tally, "sent"),
            Ok(_) => {}
            Err(error) => tracing::error!(store = %id, error = %chain(&error), "sending failed"),
        }
    }

    async fn score(self: Arc<Self>) {
        let Ok(_single) = self.scoring.try_lock() else { return };
        let stores = match self.stores().await {
            Ok(stores) => stores,
            Err(error) => return tracing::error!(%error, "the stores could not be read"),
        };
        for store in stores {
            if self.stopping.is_cancelled() {
                return;
            }
            let (db, id, now) = (self.office.db.clone(), store.id, self.clocks.instants().now);
            let since = self.rescored.lock().await.get(&id).copied();
            let work = move || {
                db.alone(crate::db::Job::Scoring, store.id, || {
                    score_if_due(&db, &store, since, now)
                })
            };
            // A scoring may take minutes and nobody waits for its answer: who stops gives it up, as a crash would.
            let scored = tokio::select! {
                scored = on_blocking_thread(work) => scored,
                () = self.stopping.cancelled() => return,
            };
            match scored {
                // Another process is at it.
                Ok(None) => {}
                Ok(Some(Scored::Changed { until })) => {
                    self.rescored.lock().await.insert(id, until);
                }
                // Whoever entered a segment did so at the run's time, which the planner may have passed already.
                Ok(Some(Scored::All)) => {
                    self.rescored.lock().await.insert(id, now.minus(SETTLED_AFTER));
                    self.office.metrics.passes.with_label_values(&["score"]).inc();
                    self.positions.lock().await.forget(id);
                }
                Err(error) => {
                    tracing::error!(store = %id, error = %chain(&*error), "scoring failed")
                }
            }
        }
    }
}

impl Runs {
    /// Deletes what is too old, unless another process is at it.
    async fn let_go(self: Arc<Self>) {
        let Ok(_single) = self.retention.try_lock() else { return };
        let stores = match self.stores().await {
            Ok(stores) => stores,
            Err(error) => return tracing::error!(%error, "the stores could not be read"),
        };
        for store in stores.into_iter().filter(|store| store.retention != Retention::default()) {
            let (db, id, now) = (self.office.db.clone(), store.id, self.clocks.instants().now);
            let stopping = self.stopping.clone();
            let work = move || {
                db.alone(crate::db::Job::Retention, store.id, || -> Result<_, DbError> {
                    let stale = db.read_here(|conn| {
                        retention::stale(conn, &store, now).map_err(DbError::from)
                    })?;
                    let is_over = || stopping.is_cancelled();
                    let gone = stale.iter();
                    gone.map(|one| retention::let_go(&db, &store, one, &is_over)).collect()
                })
            };
            let gone: Result<Option<Vec<Gone>>, DbError> = on_blocking_thread(work).await;
            match gone {
                Ok(gone) => {
                    for Gone { what, rows, .. } in gone.into_iter().flatten().filter(|g| g.rows > 0)
                    {
                        tracing::info!(store = %id, what, rows, "what was too old is gone");
                    }
                }
                Err(error) => {
                    tracing::error!(store = %id, error = %chain(&error), "what is too old stays for now")
                }
            }
        }
    }
}

enum Scored {
    All,
    /// Only those whose rollup changed, up to this time of the real clock.
    Changed {
        until: Timestamp,
    },
}

/// What is committed now may carry a time a little earlier: changes are looked at when they are so old.
const SETTLED_AFTER: Delay = Delay::seconds(10);

fn score_if_due(
    db: &Db,
    store: &Store,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Scored, Box<dyn std::error::Error + Send + Sync>> {
    let is_due = db.read_here(|conn| scoring::run::due(conn, store, now).map_err(DbError::from))?;
    if is_due {
        scoring::score_store(db, store, now)?;
        return Ok(Scored::All);
    }
    let until = now.minus(SETTLED_AFTER);
    let since = match since {
        Some(since) => since,
        None => db.read_here(|conn| -> Result<_, DbError> {
            let ran_at = scoring::run::last_ran_at(conn, store)?;
            Ok(ran_at.map_or(until, |ran_at| ran_at.minus(SETTLED_AFTER)))
        })?,
    };
    if scoring::rescore_changed(db, store, since, until, now)? > 0 {
        let live =
            db.read_here(|conn| rules::store::running(conn, store.id).map_err(DbError::from))?;
        planner::stays::follow_changed(db, store, &live, since, until, now)?;
    }
    Ok(Scored::Changed { until })
}

/// A panic in there ends the run, not the scheduler.
async fn on_blocking_thread<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<DbError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(DbError::BrokenOff.into()))
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
