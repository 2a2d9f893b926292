//! The private key of a signature: read from PEM, used through ring.

use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::SignError;

#[derive(Debug)]
pub enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What to do where no key is there yet.
const MAKE_ONE: &str = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the DKIM key {path} cannot be read: {source}; make one with: {MAKE_ONE} {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(
        "the DKIM key {0} is encrypted, and there is nobody to ask for its password; write it without one: openssl pkey -in {0} -out NEW_FILE"
    )]
    Encrypted(PathBuf),
    #[error(
        "{path} holds no private key in PEM (BEGIN PRIVATE KEY or BEGIN RSA PRIVATE KEY); make one with: {MAKE_ONE} {path}"
    )]
    NoKey { path: PathBuf },
    #[error(
        "the key in {path} cannot sign for DKIM ({why}): it takes RSA of 2048 to 4096 bits, or Ed25519; make one with: {MAKE_ONE} {path}"
    )]
    Unfit { path: PathBuf, why: String },
}

impl Key {
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let path_buf = || path.to_owned();
        let pem = std::fs::read(path)
            .map_err(|source| KeyError::Unreadable { path: path_buf(), source })?;
        let is_encrypted = |mark: &[u8]| pem.windows(mark.len()).any(|window| window == mark);
        if is_encrypted(b"BEGIN ENCRYPTED PRIVATE KEY") || is_encrypted(b"Proc-Type: 4,ENCRYPTED") {
            return Err(KeyError::Encrypted(path_buf()));
        }
        let unfit = |why: String| KeyError::Unfit { path: path_buf(), why };
        let rejected = |error: ring::error::KeyRejected| unfit(error.to_string());
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(PrivateKeyDer::Pkcs1(der)) => {
                RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Self::Rsa).map_err(rejected)
            }
            Ok(PrivateKeyDer::Pkcs8(der)) => {
                let der = der.secret_pkcs8_der();
                // Which of the two it is, its own header says: each reader refuses the other's.
                match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    Ok(key) => Ok(Self::Ed25519(key)),
                    Err(_) => RsaKeyPair::from_pkcs8(der).map(Self::Rsa).map_err(rejected),
                }
            }
            Ok(_) => Err(unfit("it is for elliptic curves".to_owned())),
            Err(_) => Err(KeyError::NoKey { path: path_buf() }),
        }
    }

    pub fn sign(&self, data: &[u8]) -> Result<Vec<u8>, SignError> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| SignError)?;
                Ok(signature)
            }
            // RFC 8463 §3: what is signed is the hash.
            Self::Ed25519(key) => {
                let hash = ring::digest::digest(&ring::digest::SHA256, data);
                Ok(key.sign(hash.as_ref()).as_ref().to_vec())
            }
        }
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// As the DNS names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa",
            Self::Ed25519(_) => "ed25519",
        }
    }

    /// The public key in the form that the DNS takes: a SubjectPublicKeyInfo for RSA, the bare 32 bytes for Ed25519.
    pub fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => public_key_info(key.public_key().as_ref()),
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }
}

/// Wraps PKCS#1's RSAPublicKey: SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING } (RFC 3279 §2.3.1).
fn public_key_info(rsa_public_key: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = der(0x03, &[&[0], rsa_public_key].concat());
    der(0x30, &[&RSA_ENCRYPTION, bits.as_slice()].concat())
}

/// One value of DER: its tag, its length, its content (X.690 §8.1.3).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let bytes = content.len().to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut value = vec![tag];
    if content.len() < 0x80 {
        value.push(content.len() as u8);
    } else {
        value.push(0x80 | significant.len() as u8);
        value.extend_from_slice(significant);
    }
    value.extend_from_slice(content);
    value
}
