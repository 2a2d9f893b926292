//! API keys: who may add facts, read, or manage, and for which store.
//!
//! A key is shown once, when it is made; only its SHA-256 is kept. That needs no slow hash: a key is 256 bits of
//! chance, which nobody guesses.

mod ring;
pub mod store;

use sha2::{Digest, Sha256};

use crate::primitives::{Currency, KeyId, StoreId, Timestamp};
use crate::secret;
use crate::text_enum;

pub use ring::KeyRing;

text_enum! {
    /// What a key may do.
    pub enum Scope {
        /// Add facts through the tracking API, and nothing else: it may stand in a web page.
        Ingest = "ingest",
        /// Read through the management API, all but keys and users.
        Read = "read",
        /// Everything the management API offers.
        Manage = "manage",
    }
}

text_enum! {
    /// How far the senders of facts are believed.
    pub enum Trust {
        /// The shop's own server: what it says of a customer stands.
        Server = "server",
        /// Anybody with a browser: an identity is a claim until its hash verifies.
        Browser = "browser",
    }
}

/// A key in force, as requests need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    pub store: StoreId,
    pub scope: Scope,
    pub trust: Trust,
    /// The store's: amounts that name no currency are in it.
    pub currency: Currency,
}

/// A key as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    pub id: KeyId,
    pub name: String,
    pub scope: Scope,
    pub trust: Trust,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// The SHA-256 under which a key is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A new key. Its beginning says what it is, to people and to scanners that look for leaked secrets.
pub fn new_key(scope: Scope) -> String {
    format!("homing_{scope}_{}", secret::random_token())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_only_their_hash_is_kept() {
        let (one, two) = (new_key(Scope::Ingest), new_key(Scope::Ingest));
        assert_ne!(one, two);
        assert!(one.starts_with("homing_ingest_"));
        assert_eq!(
            KeyHash::of("abc").to_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
