//! DKIM (RFC 6376, 8301, 8463): the sender's domain vouches for a finished message.
//!
//! lettre's own signer takes 3 to 6 ms for an RSA signature; ring takes a sixth of that. Knows no store, no database
//! and no clock. Signing is work for a processor: keep it off the threads that await.

mod canonical;
mod key;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use key::Key;
pub use key::KeyError;

use crate::primitives::Timestamp;
use crate::stores::Dkim;

/// What a signature covers where it is there, and that no second one may be added (§8.15): so each stands in `h=` once
/// more than in the message. RFC 8058 §4 demands the two of List-Unsubscribe, Gmail its Feedback-ID.
const GUARDED: [&str; 10] = [
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "reply-to",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];
/// Covered where they are there. Mailing lists add their own where they are not, and are let to.
const COVERED: [&str; 5] =
    ["list-id", "list-unsubscribe", "list-unsubscribe-post", "feedback-id", "auto-submitted"];

/// Signs in the name of one domain.
#[derive(Debug)]
pub struct Signer {
    settings: Dkim,
    key: Key,
}

/// What must stand in the DNS for others to check the signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsRecord {
    pub name: String,
    /// Of type TXT, as one text.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the DKIM key cannot sign: it is damaged")]
pub struct SignError;

impl Signer {
    /// Reads the key.
    ///
    /// # Errors
    /// The file is not there, cannot be read, or holds no key that can sign; each with its name and what to do.
    pub fn open(settings: &Dkim) -> Result<Self, KeyError> {
        let key = Key::read(std::path::Path::new(&settings.key_file))?;
        Ok(Self { settings: settings.clone(), key })
    }

    /// The message with its signature as the first header. `at`: by the machine's clock, since receivers refuse
    /// signatures of the future.
    pub fn sign(&self, message: &[u8], at: Timestamp) -> Result<Vec<u8>, SignError> {
        let (head, body) = canonical::split(message);
        let fields = canonical::fields(head);
        let names = names(&fields);
        let unsigned = format!(
            "v=1; a={}; c=relaxed/relaxed;\r\n\td={}; s={};\r\n\tt={}; h={};\r\n\tbh={};\r\n\tb=",
            self.key.algorithm(),
            self.settings.domain,
            self.settings.selector,
            at.0.max(0) / 1_000_000,
            folded(&names),
            STANDARD.encode(digest(&SHA256, &canonical::body(body))),
        );
        let mut data = canonical::signed_fields(&fields, &names);
        canonical::push_field(&mut data, b"dkim-signature", unsigned.as_bytes());
        // §3.7: the signature's own header goes in last, without its line end.
        data.truncate(data.len() - 2);
        let signature = STANDARD.encode(self.key.sign(&data)?);
        let mut signed = Vec::with_capacity(message.len() + 900);
        signed.extend_from_slice(b"DKIM-Signature: ");
        signed.extend_from_slice(unsigned.as_bytes());
        for (n, part) in signature.as_bytes().chunks(72).enumerate() {
            if n > 0 {
                signed.extend_from_slice(b"\r\n\t");
            }
            signed.extend_from_slice(part);
        }
        signed.extend_from_slice(b"\r\n");
        signed.extend_from_slice(message);
        Ok(signed)
    }

    /// Where the public key belongs, and its text.
    pub fn record(&self) -> DnsRecord {
        DnsRecord {
            name: format!("{}._domainkey.{}", self.settings.selector, self.settings.domain),
            text: format!(
                "v=DKIM1; k={}; p={}",
                self.key.kind(),
                STANDARD.encode(self.key.public())
            ),
        }
    }

    /// `rsa-sha256` or `ed25519-sha256`.
    pub fn algorithm(&self) -> &'static str {
        self.key.algorithm()
    }
}

impl DnsRecord {
    /// As a zone file takes it: texts of at most 255 characters, which are read as one (RFC 1035 §3.3.14).
    pub fn zone_line(&self) -> String {
        let parts: Vec<&str> = self
            .text
            .as_bytes()
            .chunks(255)
            .map(|part| std::str::from_utf8(part).unwrap_or_default())
            .collect();
        format!("{}. IN TXT \"{}\"", self.name, parts.join("\" \""))
    }
}

/// The names for `h=`, in its order.
fn names(fields: &[canonical::Field<'_>]) -> Vec<&'static str> {
    let times = |name: &str| fields.iter().filter(|field| field.is(name)).count();
    let guarded = GUARDED.iter().flat_map(|name| std::iter::repeat_n(*name, times(name) + 1));
    let covered = COVERED.iter().flat_map(|name| match times(name) {
        0 => std::iter::repeat_n(*name, 0),
        n => std::iter::repeat_n(*name, n + 1),
    });
    guarded.chain(covered).collect()
}

/// The names with colons between them, in lines that mail carries.
fn folded(names: &[&str]) -> String {
    let mut text = String::new();
    let mut line = 20;
    for (n, name) in names.iter().enumerate() {
        if n > 0 {
            text.push(':');
            line += 1;
        }
        if line + name.len() > 74 {
            text.push_str("\r\n\t");
            line = 1;
        }
        text.push_str(name);
        line += name.len();
    }
    text
}
