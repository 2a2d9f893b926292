//! Backtests asked for over HTTP: off the async threads, one at a time, given up when nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use super::App;
use crate::backtest::{self, BacktestError, Contest, Progress, Report, Window};
use crate::db::DbError;

/// Each takes all the cores there are: more of them at once would only all be later.
static TURN: Semaphore = Semaphore::const_new(1);

/// Ends the work when the caller is gone.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for its turn, and for the outcome.
///
/// # Errors
/// As [`backtest::run`].
pub async fn run(app: &App, contest: Contest, window: Window) -> Result<Report, BacktestError> {
    // It is never closed, so a turn always comes.
    let turn = TURN.acquire().await;
    let cancelled = Arc::new(AtomicBool::new(false));
    let _waiting = Waiting(cancelled.clone());
    let (db, secret) = (app.db.clone(), app.secret.clone());
    let work = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let progress = Progress { seen: &|_, _| {}, cancelled: &cancelled };
        backtest::run(&db, &secret, &contest, window, &progress)
    });
    work.await.unwrap_or_else(|_| Err(DbError::BrokenOff.into()))
}
