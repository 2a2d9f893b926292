//! The journal's one writer: many requests, one transaction (group commit).
//!
//! A thread of its own takes what has queued up while the last commit was under way, and commits it as one.
//! Alone, a request waits for nobody; under load the disk is asked once for many.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::NewFact;
use super::append::{self, Means};
use crate::db::{Db, DbError};
use crate::primitives::{Clock, CustomerId, IdGenerator, StoreId, Timestamp};
use crate::secret::Secret;

/// What became of one appended fact, in the order they were handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Stored now, as this customer's; `first` if nothing was known before of the order, or else the person, that it
    /// speaks of.
    New { customer: CustomerId, first: bool },
    /// Known already: nothing changed.
    Repeated,
    /// Of someone erased, or naming nobody and no order: acknowledged and dropped.
    Dropped,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the journal's queue is full: try again in a moment")]
    Overloaded,
    #[error("the journal is shut down")]
    Closed,
    #[error("the facts could not be stored")]
    Db(#[from] DbError),
    #[error("the facts could not be stored: folding them failed")]
    Panicked,
}

/// Requests that may wait at once; one more is told to come back.
const QUEUE: usize = 1_024;

/// Facts in one transaction: enough to make the commit cheap, few enough to keep answers quick.
const GROUP: usize = 2_000;

/// The promise of an answer to facts that were handed in.
pub type Answer = oneshot::Receiver<Result<Vec<Appended>, AppendError>>;

struct Job {
    store: StoreId,
    facts: Vec<NewFact>,
    received_at: Option<Timestamp>,
    answer: oneshot::Sender<Result<Vec<Appended>, AppendError>>,
}

/// The way in: cheap to clone. An `Ok` is given after the commit, never before.
#[derive(Clone)]
pub struct Journal {
    jobs: mpsc::Sender<Job>,
    waiting: Arc<AtomicUsize>,
}

/// The writer's thread; joined when the last [`Journal`] is gone.
pub struct Writer {
    thread: JoinHandle<()>,
}

impl Writer {
    /// Waits until all that was handed in is stored and answered.
    pub fn finish(self) {
        if self.thread.join().is_err() {
            tracing::error!("the journal's writer died");
        }
    }
}

impl Journal {
    /// Starts the writer. It ends when every `Journal` is dropped and all that was handed in is answered.
    pub fn start(db: Db, secret: Secret, clock: Clock) -> (Self, Writer) {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let loop_ = Loop {
            db,
            secret,
            clock,
            ids: IdGenerator::new(random_node()),
            waiting: Arc::clone(&waiting),
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || loop_.run(queue))
            .expect("a thread can be started at start-up");
        (Self { jobs, waiting }, Writer { thread })
    }

    /// Appends facts of one store; all of them are durable when this returns.
    pub async fn append(
        &self,
        store: StoreId,
        facts: Vec<NewFact>,
    ) -> Result<Vec<Appended>, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.count(facts.len());
        let job = Job { store, facts, received_at: None, answer };
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) => {
                self.waiting.fetch_sub(job.facts.len(), Ordering::Relaxed);
                AppendError::Overloaded
            }
            TrySendError::Closed(_) => AppendError::Closed,
        })?;
        answered.await.unwrap_or(Err(AppendError::Closed))
    }

    /// As [`Journal::append`], for threads that may block: waits for a place in the queue.
    pub fn append_blocking(
        &self,
        store: StoreId,
        facts: Vec<NewFact>,
    ) -> Result<Vec<Appended>, AppendError> {
        self.hand_in(store, facts, None)?.blocking_recv().unwrap_or(Err(AppendError::Closed))
    }

    /// As [`Journal::append_blocking`], as if the facts had come in at `received_at`: for the sample store's past.
    pub fn append_received_at(
        &self,
        store: StoreId,
        facts: Vec<NewFact>,
        received_at: Timestamp,
    ) -> Result<Vec<Appended>, AppendError> {
        self.hand_in(store, facts, Some(received_at))?
            .blocking_recv()
            .unwrap_or(Err(AppendError::Closed))
    }

    /// Hands facts in and returns at once with the promise of an answer, so that a caller can prepare the next.
    pub fn hand_in(
        &self,
        store: StoreId,
        facts: Vec<NewFact>,
        received_at: Option<Timestamp>,
    ) -> Result<Answer, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.count(facts.len());
        self.jobs
            .blocking_send(Job { store, facts, received_at, answer })
            .map_err(|_| AppendError::Closed)?;
        Ok(answered)
    }

    /// Facts handed in and not stored yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// False once the writer is gone: nothing can be stored any more.
    pub fn is_running(&self) -> bool {
        !self.jobs.is_closed()
    }

    fn count(&self, facts: usize) {
        self.waiting.fetch_add(facts, Ordering::Relaxed);
    }
}

/// Ids of two processes must not meet. Losing this draw costs a retry, not an id: the keys are unique.
fn random_node() -> u64 {
    let mut bytes = [0u8; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

struct Loop {
    db: Db,
    secret: Secret,
    clock: Clock,
    ids: IdGenerator,
    waiting: Arc<AtomicUsize>,
}

impl Loop {
    fn run(self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut size = first.facts.len();
            let mut group = vec![first];
            while size < GROUP {
                let Ok(next) = queue.try_recv() else { break };
                size += next.facts.len();
                group.push(next);
            }
            self.commit(group);
            self.waiting.fetch_sub(size, Ordering::Relaxed);
        }
    }

    /// Commits a group as one; if that fails, each job alone, so that a bad one fails nobody else's.
    fn commit(&self, mut group: Vec<Job>) {
        let error = match self.store(&mut group) {
            Ok(outcomes) => {
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    let _ = job.answer.send(Ok(outcome));
                }
                return;
            }
            Err(error) => error,
        };
        if let [_] = group.as_slice() {
            tracing::error!(error = &error as &dyn std::error::Error, "facts could not be stored");
            for job in group {
                let _ = job.answer.send(Err(retell(&error)));
            }
            return;
        }
        for job in group {
            self.commit(vec![job]);
        }
    }

    /// The jobs' outcomes, in their order. The facts of several jobs stay with them, for a second try.
    fn store(&self, group: &mut [Job]) -> Result<Vec<Vec<Appended>>, AppendError> {
        let now = self.clock.now();
        let means = Means { ids: &self.ids, secret: &self.secret };
        let sizes: Vec<usize> = group.iter().map(|job| job.facts.len()).collect();
        let is_alone = group.len() == 1;
        let work = || {
            self.db.write_here(|conn| {
                let mut appended = Vec::new();
                // One store's jobs that came in at one time are appended together: that is where batching pays.
                for run in
                    group.chunk_by_mut(|a, b| (a.store, a.received_at) == (b.store, b.received_at))
                {
                    let at = run[0].received_at.unwrap_or(now);
                    let facts = match run {
                        [only] if is_alone => std::mem::take(&mut only.facts),
                        _ => run.iter().flat_map(|job| job.facts.iter().cloned()).collect(),
                    };
                    let outcomes = append::append(conn, &means, run[0].store, facts, at)
                        .map_err(DbError::from)?;
                    appended.extend(outcomes);
                }
                Ok::<_, DbError>(appended)
            })
        };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(outcome) => {
                let mut appended = outcome?.into_iter();
                Ok(sizes.into_iter().map(|size| appended.by_ref().take(size).collect()).collect())
            }
            Err(_) => Err(AppendError::Panicked),
        }
    }
}

/// The error again, for the one who waits; the log has the whole chain.
fn retell(error: &AppendError) -> AppendError {
    match error {
        AppendError::Panicked => AppendError::Panicked,
        _ => AppendError::Db(DbError::BrokenOff),
    }
}
