//! Ids: 64-bit, made by the application, ordered by the time of their making.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel_derive_newtype::DieselNewType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DieselNewType)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }

        /// In JSON an id is a string: 64 bits do not fit a JavaScript number.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                raw.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

id!(
    /// A store; store 1 is the default one, which exists after the first migration.
    StoreId,
    /// A customer or visitor of one store.
    CustomerId,
    FactId,
    RuleId,
    EnrolmentId,
    DecisionId,
    /// A message of the outbox; not the RFC 5322 Message-ID, which is derived from it.
    MessageId,
    UserId,
    KeyId,
);

/// Makes ids: 41 bits of milliseconds since 2020, 22 bits that begin at a random place in each process.
///
/// Two processes can meet only if they make ids in the same millisecond from the same place; the
/// primary keys would then refuse the second. When a millisecond's numbers run out the generator borrows
/// from the next, so a bulk import never waits.
#[derive(Debug)]
pub struct IdGenerator {
    last: AtomicU64,
    node: u64,
}

const EPOCH_MS: i64 = 1_577_836_800_000; // 2020-01-01T00:00:00Z
const NODE_BITS: u32 = 10;
const COUNTER_BITS: u32 = 12;

impl IdGenerator {
    /// `node` tells processes apart; only its low 10 bits count.
    pub const fn new(node: u64) -> Self {
        Self { last: AtomicU64::new(0), node: node & ((1 << NODE_BITS) - 1) }
    }

    /// The next id, not before `unix_ms` and later than every id made before.
    pub fn next(&self, unix_ms: i64) -> i64 {
        let floor = ((unix_ms - EPOCH_MS).max(1) as u64) << COUNTER_BITS;
        let tick = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(floor.max(last + 1)))
            .map_or(floor, |last| floor.max(last + 1));
        let (ms, counter) = (tick >> COUNTER_BITS, tick & ((1 << COUNTER_BITS) - 1));
        ((ms << (NODE_BITS + COUNTER_BITS)) | (counter << NODE_BITS) | self.node) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_even_when_the_clock_stands_or_goes_back() {
        let ids = IdGenerator::new(7);
        let made: Vec<i64> =
            (0..10_000).map(|n| ids.next(EPOCH_MS + if n < 5_000 { 1_000 } else { 10 })).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_id_is_a_string_in_json() {
        let json = serde_json::to_string(&CustomerId(42)).unwrap();
        assert_eq!(json, "\"42\"");
        assert_eq!(serde_json::from_str::<CustomerId>(&json).unwrap(), CustomerId(42));
    }
}
