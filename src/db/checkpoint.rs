//! Brings what is committed from SQLite's log into its file, beside the writer and not in its commits.
//!
//! SQLite's own way is that the commit which makes the log long does it, and whoever waits for that commit waits for
//! it, too. A commit is as durable before as after: the log is part of the database.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::Pool;
use diesel::sql_types::BigInt;

use super::Conn;
use super::pool::ConnManager;

/// From a commit until the log is taken in. The longer, the more often a page changed and is written once; the shorter, the
/// less is written to the disk at once, which commits wait behind: after a second of a night's writing, a quarter of one.
const PAUSE: Duration = Duration::from_millis(200);

/// Pages in the log from which on it is brought to its end, so that the next commit begins it anew. Where it is written over,
/// a commit waits for its own bytes alone; where the file grows, for the file system's books, too, which take longer.
const LONG: i64 = 4_096;

/// The thread that does it. It sleeps while nothing is committed, and is joined when this is dropped.
pub(super) struct Checkpoints {
    running: Option<Running>,
    /// Held while the log is taken in: SQLite refuses a second checkpoint at the same time.
    turn: Arc<Mutex<()>>,
}

struct Running {
    committed: SyncSender<()>,
    /// Never sent to: its end is the thread's.
    going_on: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    pub fn start(readers: Pool<ConnManager>, writers: Pool<ConnManager>) -> Self {
        let (committed, commits) = sync_channel(1);
        let (going_on, end) = sync_channel(0);
        let turn = Arc::new(Mutex::new(()));
        let ours = Arc::clone(&turn);
        let work = move || {
            while commits.recv().is_ok()
                && end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout)
            {
                let _turn = taken(&ours);
                if let Err(error) = take_in(&readers, &writers) {
                    // Nothing is lost: the log grows, and the next round takes it in.
                    tracing::warn!(error = &*error, "the database's log could not be taken in");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(work)
            .expect("a thread can be started at start-up");
        Self { running: Some(Running { committed, going_on, thread }), turn }
    }

    /// Says that something was committed.
    pub fn tell(&self) {
        if let Some(running) = &self.running {
            // One word that waits already stands for this one, too.
            let _ = running.committed.try_send(());
        }
    }

    /// Keeps the thread from its work meanwhile.
    pub fn pause(&self) -> MutexGuard<'_, ()> {
        taken(&self.turn)
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some(Running { committed, going_on, thread }) = self.running.take() {
            drop((committed, going_on));
            let _ = thread.join();
        }
    }
}

fn take_in(
    readers: &Pool<ConnManager>,
    writers: &Pool<ConnManager>,
) -> Result<(), Box<dyn std::error::Error + 'static>> {
    if checkpoint(&mut *readers.get()?)? < LONG {
        return Ok(());
    }
    // What was committed meanwhile, so that little is left for when the writer stands still.
    checkpoint(&mut *readers.get()?)?;
    checkpoint(&mut *writers.get()?)?;
    Ok(())
}

#[derive(QueryableByName)]
struct Log {
    #[diesel(sql_type = BigInt)]
    log: i64,
}

/// Takes in what it can; how many pages the log holds. PASSIVE waits for nobody, and nobody waits for it.
fn checkpoint(conn: &mut Conn) -> diesel::QueryResult<i64> {
    diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result(conn).map(|Log { log }| log)
}

fn taken(turn: &Mutex<()>) -> MutexGuard<'_, ()> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}
