//! Sums that proved costly, kept for a while: a large store's pages stay quick, a small store's are never stale.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What is found faster than this is asked anew each time.
const COSTLY: Duration = Duration::from_millis(40);
/// Kept at least for a minute, and the longer the more it cost: at most a part in so many of the time goes into it.
const KEPT: Duration = Duration::from_secs(60);
const PART: u32 = 300;

/// The value, and until when it is kept.
pub struct Memo<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// The kept value, or `find`'s. Two who come at once may both look: better than one waiting for the other.
    pub fn get<E>(&self, key: K, find: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Ok(kept) = self.0.lock()
            && let Some((value, until)) = kept.get(&key)
            && Instant::now() < *until
        {
            return Ok(value.clone());
        }
        let begun = Instant::now();
        let value = find()?;
        let (cost, now) = (begun.elapsed(), Instant::now());
        if cost > COSTLY
            && let Ok(mut kept) = self.0.lock()
        {
            kept.retain(|_, (_, until)| now < *until);
            kept.insert(key, (value.clone(), now + KEPT.max(cost * PART)));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_costly_is_kept() {
        let memo: Memo<u8, u32> = Memo::default();
        let mut asked = 0;
        for key in [1, 1, 2, 2] {
            let found: Result<u32, ()> = memo.get(key, || {
                asked += 1;
                if key == 2 {
                    std::thread::sleep(COSTLY * 2);
                }
                Ok(asked)
            });
            assert!(found.is_ok());
        }
        assert_eq!(asked, 3, "the cheap one twice, the costly one once");
        assert_eq!(memo.get(3, || Err::<u32, _>("no")), Err("no"));
    }
}
