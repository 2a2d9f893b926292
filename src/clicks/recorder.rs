//! Keeps clicks and opens without anybody waiting for the database.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Hit, store};
use crate::db::{Db, DbError};
use crate::ledger::Instants;
use crate::primitives::Timestamp;

/// What waits to be written. More are not kept: a reader's way to the shop matters more than our count.
const ROOM: usize = 10_000;

/// Takes what came and writes it soon, many in one transaction. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    db: Db,
    waiting: Arc<Mutex<Vec<Hit>>>,
    /// Whoever holds it writes.
    pen: Arc<tokio::sync::Mutex<()>>,
}

impl Recorder {
    pub fn new(db: Db) -> Self {
        Self { db, waiting: Arc::default(), pen: Arc::default() }
    }

    /// Returns at once. Must be called within a tokio runtime.
    pub fn take(&self, hit: Hit) {
        let at = hit.at;
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= ROOM {
                tracing::warn!("clicks come faster than they can be written: one is not kept");
                return;
            }
            waiting.push(hit);
        }
        let recorder = self.clone();
        tokio::spawn(async move { recorder.write(at).await });
    }

    /// Writes what waits; returns when all that was taken before is written, or could not be. `at`: the machine's now.
    pub async fn write(&self, at: Timestamp) {
        let _pen = self.pen.lock().await;
        let hits =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if hits.is_empty() {
            return;
        }
        let hits: Arc<[Hit]> = hits.into();
        let batch = hits.clone();
        let work = self.db.write(move |conn| -> Result<(), DbError> {
            Ok(store::record(conn, &batch, Instants::at(at))?)
        });
        if let Err(error) = work.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "clicks could not be written yet"
            );
            // They go with the next that come.
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.extend(hits.iter().cloned());
            waiting.truncate(ROOM);
        }
    }
}
