//! The installation's secret, and the keyed hashes made with it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::Config;
use crate::primitives::StoreId;

/// One secret per installation, all replicas alike. Each purpose gets a key of its own from it.
#[derive(Clone)]
pub struct Secret(Arc<str>);

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "HOMING_SECRET must be given for PostgreSQL: every replica needs the same one, at least 16 characters long"
    )]
    Missing,
    #[error("HOMING_SECRET is shorter than 16 characters: make one with `openssl rand -hex 32`")]
    TooShort,
    #[error("the secret's file {path} cannot be read or made: {source}")]
    File { path: String, source: std::io::Error },
}

impl Secret {
    pub fn new(raw: &str) -> Self {
        Self(raw.into())
    }

    /// The configured one; on SQLite, else the one beside the database, made at the first start with mode 0600.
    pub fn load(config: &Config) -> Result<Self, SecretError> {
        if let Some(raw) = &config.secret {
            return if raw.len() < 16 { Err(SecretError::TooShort) } else { Ok(Self::new(raw)) };
        }
        let database = config.database.file().ok_or(SecretError::Missing)?;
        let path = database.with_extension("secret");
        let failed = |source| SecretError::File { path: path.display().to_string(), source };
        match std::fs::read_to_string(&path) {
            Ok(raw) if raw.trim().len() >= 16 => Ok(Self::new(raw.trim())),
            Ok(_) => Err(SecretError::TooShort),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                write_new(&path, &random_token()).map_err(failed)?;
                Ok(Self::new(std::fs::read_to_string(&path).map_err(failed)?.trim()))
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// HMAC-SHA-256 of the parts under the key for `purpose`. Parts are length-prefixed: no two lists look alike.
    pub fn keyed_hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_bytes())
            .expect("HMAC takes any key length");
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// A number in [0, 1) that depends on the parts alone: who is held out, for one.
    pub fn keyed_fraction(&self, purpose: &str, parts: &[&[u8]]) -> f64 {
        let hash = self.keyed_hash(purpose, parts);
        let head = u64::from_be_bytes(hash[..8].try_into().expect("eight of thirty-two bytes"));
        (head >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// With this key a shop's server vouches for a user id that a browser names.
///
/// It is text, and the text is the HMAC key, so that one line in any language makes the hash.
#[derive(Clone)]
pub struct IdentifyKey(String);

impl Secret {
    /// The store's own: a key of one store vouches for nobody in another.
    pub fn identify_key(&self, store: StoreId) -> IdentifyKey {
        let hash = self.keyed_hash("identify", &[&store.0.to_be_bytes()]);
        IdentifyKey(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl IdentifyKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `hash` is the hexadecimal HMAC-SHA-256 of `user_id`. Compares in constant time.
    pub fn verifies(&self, user_id: &str, hash: &str) -> bool {
        let digit = |byte: u8| (byte as char).to_digit(16).map(|d| d as u8);
        let bytes: Option<Vec<u8>> = hash
            .as_bytes()
            .chunks(2)
            .map(|pair| match *pair {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect();
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.0.as_bytes())
            .expect("HMAC takes any key length");
        mac.update(user_id.as_bytes());
        bytes.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
    }
}

/// 256 bits of chance in 43 characters that are safe in URLs.
///
/// # Panics
/// When the operating system has no randomness to give: nothing safe can be made then.
pub fn random_token() -> String {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Makes the file whole or not at all; of two processes at a first start, one wins and both read its secret.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let unique = path.with_extension(format!("secret.{}", std::process::id()));
    let mut file = options.open(&unique)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&unique, path);
    std::fs::remove_file(&unique)?;
    match linked {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_stable_even_and_its_own_per_purpose() {
        let secret = Secret::new("0123456789abcdef");
        let below = (0..10_000)
            .filter(|n: &u32| secret.keyed_fraction("holdout", &[&n.to_be_bytes()]) < 0.1)
            .count();
        assert!((900..1_100).contains(&below), "{below}");
        assert_ne!(secret.keyed_hash("a", &[b"bc"]), secret.keyed_hash("ab", &[b"c"]));
        assert_eq!(secret.keyed_hash("a", &[b"bc"]), secret.keyed_hash("a", &[b"bc"]));
    }

    #[test]
    fn a_user_id_is_vouched_for_by_the_stores_own_key() {
        // python3: hmac.new(b"key", b"u-1", "sha256").hexdigest()
        let key = IdentifyKey("key".to_owned());
        let hash = "7918bbf141a8482b421eab095a74c40e995f985f6452bf436fb9feb70bac2a9a";
        assert!(key.verifies("u-1", hash) && key.verifies("u-1", &hash.to_uppercase()));
        for (user, hash) in [("u-2", hash), ("u-1", ""), ("u-1", &hash[1..]), ("u-1", "日本")] {
            assert!(!key.verifies(user, hash), "{user} {hash}");
        }
        let secret = Secret::new("0123456789abcdef");
        assert_ne!(secret.identify_key(StoreId(1)).0, secret.identify_key(StoreId(2)).0);
    }

    #[test]
    fn the_secret_is_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("shop.db").display());
        let config =
            Config::load(|name| (name == "HOMING_DATABASE_URL").then(|| url.clone())).unwrap();
        let (first, second) = (Secret::load(&config).unwrap(), Secret::load(&config).unwrap());
        assert_eq!(first.0, second.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode =
                std::fs::metadata(folder.path().join("shop.secret")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
