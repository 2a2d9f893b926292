//! E-mail addresses.

use std::fmt;
use std::str::FromStr;

use diesel_derive_newtype::DieselNewType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address mail can be handed to: a local part, one `@`, a dotted domain.
///
/// Mail goes to it as given, but for the domain, which is kept in lower case and, where it is
/// international, in its ASCII form (RFC 5890): the local part may be case-sensitive (RFC 5321 §2.4).
/// As an identity it is compared in lower case: see [`EmailAddress::identity_key`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, DieselNewType)]
pub struct EmailAddress(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no e-mail address: write name@domain, such as \"hello@lakeside.example\"")]
pub struct InvalidEmailAddress(String);

impl EmailAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The form in which two spellings of one address are equal.
    pub fn identity_key(&self) -> String {
        self.0.to_lowercase()
    }

    /// Whether SMTP can carry it without SMTPUTF8 (RFC 6531), which few relays offer.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidEmailAddress(raw.chars().take(80).collect());
        let (local, domain) = raw.trim().split_once('@').ok_or_else(invalid)?;
        let is_atom =
            |c: char| c.is_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        let dots_apart = |s: &str| !s.starts_with('.') && !s.ends_with('.') && !s.contains("..");
        // RFC 5321 §4.5.3.1: 64 octets of local part, 255 of domain.
        let local_fits = !local.is_empty() && local.len() <= 64 && local.chars().all(is_atom);
        if !local_fits
            || !dots_apart(local)
            || local.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(invalid());
        }
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| invalid())?;
        let is_label = |label: &str| !label.is_empty() && label.len() <= 63;
        if domain.len() > 253 || !domain.contains('.') || !domain.split('.').all(is_label) {
            return Err(invalid());
        }
        Ok(Self(format!("{local}@{domain}")))
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EmailAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_share_an_identity() {
        let key = |raw: &str| raw.parse::<EmailAddress>().unwrap().identity_key();
        assert_eq!(key("Ann.Li@Shop.Example"), "ann.li@shop.example");
        assert_eq!(key(" ann@Bücher.example "), key("ANN@xn--bcher-kva.example"));
        let address: EmailAddress = "Ann@SHOP.Example".parse().unwrap();
        assert_eq!(address.as_str(), "Ann@shop.example", "mail goes to the local part as given");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@a.example", "x".repeat(65));
        for raw in [
            "",
            "ann",
            "@a.b",
            "a@",
            "a@b",
            "a b@c.de",
            "a@b..c",
            "a@@b.c",
            "a@b.c\r\nBcc: x@y.z",
            "<a@b.c>",
            ".a@b.c",
            "a..b@c.de",
            "a\0@b.c",
            "138****0001",
            "a,b@c.de",
            &long,
        ] {
            assert!(raw.parse::<EmailAddress>().is_err(), "{raw}");
        }
    }
}
