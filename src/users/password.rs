//! Passwords: kept as argon2id hashes only. Hashing costs tens of milliseconds: never on an async thread.

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use diesel_derive_newtype::DieselNewType;

/// NIST SP 800-63B asks for eight; two more cost a person nothing.
pub const MIN_LENGTH: usize = 10;
/// Bounds the work that a stranger can ask for.
const MAX_BYTES: usize = 1_024;

/// An argon2id hash in PHC form: parameters, salt and all.
#[derive(Clone, PartialEq, Eq, DieselNewType)]
pub struct PasswordHash(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("the password has fewer than {MIN_LENGTH} characters")]
    TooShort,
    #[error("the password is longer than {MAX_BYTES} bytes")]
    TooLong,
}

impl PasswordHash {
    /// # Panics
    /// When the operating system has no randomness to give: nothing safe can be made then.
    pub fn of(password: &str) -> Result<Self, WeakPassword> {
        if password.chars().count() < MIN_LENGTH {
            return Err(WeakPassword::TooShort);
        }
        if password.len() > MAX_BYTES {
            return Err(WeakPassword::TooLong);
        }
        let hash = Argon2::default()
            .hash_password(password.as_bytes())
            .expect("default parameters are valid, and the system gives randomness");
        Ok(Self(hash.to_string()))
    }

    pub fn matches(&self, password: &str) -> bool {
        password.len() <= MAX_BYTES
            && Argon2::default().verify_password(password.as_bytes(), self.0.as_str()).is_ok()
    }

    /// Changes with the password: a session that carries an older mark is over.
    pub fn mark(&self) -> &str {
        let from = self.0.len().saturating_sub(16);
        self.0.get(from..).unwrap_or_default()
    }
}

/// Not even the hash is shown.
impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_its_hash_alone() {
        let hash = PasswordHash::of("lake side tea").unwrap();
        assert!(hash.matches("lake side tea"));
        assert!(!hash.matches("lake side te"));
        assert!(!hash.matches(&"x".repeat(10_000_000)));
        assert!(hash.0.starts_with("$argon2id$"), "the kind and its parameters are kept with it");
        assert_ne!(hash.mark(), PasswordHash::of("lake side tea").unwrap().mark(), "salted");
        assert_eq!(format!("{hash:?}"), "PasswordHash");
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(PasswordHash::of("九个字的密码不够长"), Err(WeakPassword::TooShort));
        assert!(PasswordHash::of("十个字的密码就够用啦").is_ok());
        assert_eq!(PasswordHash::of(&"x".repeat(2_000)), Err(WeakPassword::TooLong));
    }
}
