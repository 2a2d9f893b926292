//! Sums that proved costly, kept for a while: a large store's pages stay quick, a small store's are never stale.
//!
//! What has grown stale is shown once more, and found anew behind the reader's back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diesel::QueryResult;

use crate::db::{Conn, Db, DbError};

/// What is found faster than this is asked anew each time.
const COSTLY: Duration = Duration::from_millis(40);
/// Fresh for at least a minute, and the longer the more it cost: at most a part in so many of the time goes into it.
const FRESH: Duration = Duration::from_secs(60);
const PART: u32 = 300;
/// Older than this it is not shown any more: the reader waits for the new one.
const STALE: Duration = Duration::from_secs(3_600);

pub struct Memo<K, V>(Arc<Mutex<HashMap<K, Kept<V>>>>);

struct Kept<V> {
    value: V,
    fresh_until: Instant,
    /// Somebody is finding it anew.
    renewing: bool,
}

#[derive(Debug, PartialEq)]
enum Found<V> {
    Fresh(V),
    /// To be found anew by whoever was told so.
    Stale(V),
    Nothing,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Clone for Memo<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash + Send + 'static, V: Clone + Send + 'static> Memo<K, V> {
    /// The kept value, or `find`'s. Two who come at once to nothing may both look: better than one waiting for the
    /// other.
    pub fn get(
        &self,
        key: K,
        db: &Db,
        conn: &mut Conn,
        find: impl FnOnce(&mut Conn) -> QueryResult<V> + Send + 'static,
    ) -> QueryResult<V> {
        match self.look(&key, Instant::now()) {
            Found::Fresh(value) => Ok(value),
            Found::Stale(value) => {
                let (memo, db) = (self.clone(), db.clone());
                std::thread::spawn(move || {
                    let begun = Instant::now();
                    let found = db.read_here(|conn| find(conn).map_err(DbError::from));
                    match found {
                        Ok(value) => memo.keep(key, value, begun.elapsed(), Instant::now()),
                        Err(error) => {
                            tracing::warn!(
                                error = &error as &dyn std::error::Error,
                                "a sum was not renewed"
                            );
                            memo.forget(&key);
                        }
                    }
                });
                Ok(value)
            }
            Found::Nothing => {
                let begun = Instant::now();
                let value = find(conn)?;
                self.keep(key, value.clone(), begun.elapsed(), Instant::now());
                Ok(value)
            }
        }
    }

    fn look(&self, key: &K, now: Instant) -> Found<V> {
        let Ok(mut all) = self.0.lock() else { return Found::Nothing };
        match all.get_mut(key) {
            None => Found::Nothing,
            Some(kept) if now < kept.fresh_until => Found::Fresh(kept.value.clone()),
            Some(kept) if now > kept.fresh_until + STALE => Found::Nothing,
            Some(kept) if kept.renewing => Found::Fresh(kept.value.clone()),
            Some(kept) => {
                kept.renewing = true;
                Found::Stale(kept.value.clone())
            }
        }
    }

    fn keep(&self, key: K, value: V, cost: Duration, now: Instant) {
        let Ok(mut all) = self.0.lock() else { return };
        all.retain(|_, kept| now < kept.fresh_until + STALE);
        if cost > COSTLY {
            let fresh_until = now + FRESH.max(cost * PART);
            all.insert(key, Kept { value, fresh_until, renewing: false });
        } else {
            all.remove(&key);
        }
    }

    fn forget(&self, key: &K) {
        if let Ok(mut all) = self.0.lock() {
            all.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_costly_is_kept_and_the_longer_the_more_it_cost() {
        let memo: Memo<u8, u32> = Memo::default();
        let now = Instant::now();
        memo.keep(1, 11, COSTLY, now);
        memo.keep(2, 22, COSTLY * 2, now);
        memo.keep(3, 33, Duration::from_secs(2), now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(memo.look(&1, now), Found::Nothing);
        assert_eq!(memo.look(&2, later(59)), Found::Fresh(22));
        assert_eq!(memo.look(&2, later(61)), Found::Stale(22));
        assert_eq!(memo.look(&3, later(599)), Found::Fresh(33));
    }

    #[test]
    fn what_is_stale_is_renewed_once_and_shown_meanwhile() {
        let memo: Memo<u8, u32> = Memo::default();
        let now = Instant::now();
        memo.keep(1, 11, COSTLY * 2, now);
        let stale = now + FRESH + Duration::from_secs(1);
        assert_eq!(memo.look(&1, stale), Found::Stale(11));
        assert_eq!(memo.look(&1, stale), Found::Fresh(11), "someone else is at it");
        memo.keep(1, 12, COSTLY * 2, stale);
        assert_eq!(memo.look(&1, stale + FRESH / 2), Found::Fresh(12));
        assert_eq!(memo.look(&1, stale + FRESH + STALE * 2), Found::Nothing, "too old to show");
    }
}
