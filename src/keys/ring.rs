//! Keys that were seen lately, so that a fact does not cost a look into the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Key, KeyHash, store};
use crate::db::{Db, DbError};

/// How long a key is believed without asking again: a revoked one dies within this time in every process.
const FRESH: Duration = Duration::from_secs(30);

/// More keys than any store uses. Reaching it means somebody makes keys by the thousand: begin anew.
const MOST: usize = 10_000;

/// Looks keys up. Clones share what they remember.
///
/// Unknown keys are not remembered: they are rare, cost one look by a unique index, and a key works from the
/// moment it is made.
#[derive(Clone)]
pub struct KeyRing {
    db: Db,
    seen: Arc<Mutex<HashMap<KeyHash, (Key, Instant)>>>,
}

impl KeyRing {
    pub fn new(db: Db) -> Self {
        Self { db, seen: Arc::default() }
    }

    /// The key in force behind this text; `None` for unknown and revoked ones.
    pub async fn find(&self, key: &str) -> Result<Option<Key>, DbError> {
        let hash = KeyHash::of(key);
        if let Some(key) = self.remembered(hash) {
            return Ok(Some(key));
        }
        let found =
            self.db.read(move |conn| store::find(conn, hash).map_err(DbError::from)).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &found {
            Some(key) => {
                if seen.len() >= MOST {
                    seen.clear();
                }
                seen.insert(hash, (key.clone(), Instant::now()));
            }
            None => {
                seen.remove(&hash);
            }
        }
        Ok(found)
    }

    /// Forgets all keys: the next look is into the database. For whoever revokes keys in this process.
    pub fn forget(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn remembered(&self, hash: KeyHash) -> Option<Key> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, at) = seen.get(&hash)?;
        (at.elapsed() < FRESH).then(|| key.clone())
    }
}
