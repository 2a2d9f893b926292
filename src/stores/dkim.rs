//! `[sending] dkim`: by whose key this store's mail is signed. Values only; `mail::dkim` reads the key.

use serde::{Deserialize, Serialize};

/// Checked when it is read: what stands here can go into a header and a DNS name as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dkim {
    /// Of the signature (`d=`), in lower case: the sender's domain or one above it, or DMARC does not count it.
    pub domain: DomainName,
    /// Under which the public key stands: `SELECTOR._domainkey.DOMAIN`.
    pub selector: DomainName,
    /// PEM. Read by the process that sends, so by every replica.
    pub key_file: String,
}

/// A name of the DNS as mail carries it: dotted labels of letters, digits and inner hyphens, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainName(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no DNS name: write letters, digits, hyphens and dots, such as \"shop.example\"; names of other scripts in their xn-- form"
)]
pub struct InvalidDomainName(String);

impl DomainName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `domain` is this one or stands below it: what DMARC calls aligned, but for public suffixes.
    pub fn covers(&self, domain: &str) -> bool {
        let domain = domain.to_ascii_lowercase();
        domain.strip_suffix(&self.0).is_some_and(|below| below.is_empty() || below.ends_with('.'))
    }
}

impl std::fmt::Display for DomainName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for DomainName {
    type Err = InvalidDomainName;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let name = raw.trim().to_ascii_lowercase();
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if name.len() <= 253 && name.split('.').all(is_label) {
            Ok(Self(name))
        } else {
            Err(InvalidDomainName(raw.to_owned()))
        }
    }
}

impl TryFrom<String> for DomainName {
    type Error = InvalidDomainName;

    fn try_from(raw: String) -> Result<Self, Self::Error> {
        raw.parse()
    }
}

impl From<DomainName> for String {
    fn from(name: DomainName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_dns_is_told_from_what_is_none() {
        let name: DomainName = " Shop.Example ".parse().unwrap();
        assert_eq!(name.as_str(), "shop.example");
        for raw in
            ["", "shop..example", "-a.example", "a b.example", "shop.example;", "湖畔.example"]
        {
            assert!(raw.parse::<DomainName>().is_err(), "{raw}");
        }
    }

    #[test]
    fn a_domain_covers_itself_and_what_is_below() {
        let shop: DomainName = "shop.example".parse().unwrap();
        assert!(shop.covers("shop.example") && shop.covers("Mail.Shop.example"));
        assert!(!shop.covers("myshop.example") && !shop.covers("example"));
    }
}
