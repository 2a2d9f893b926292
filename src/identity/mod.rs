//! Who a fact is about: identifiers, the evidence that joins them, and who owns an identity.

pub mod resolve;
pub mod store;

use serde::{Deserialize, Serialize};

use crate::primitives::EmailAddress;

/// What a fact says of who did it. Empty identifiers are fit only for facts about a known order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identifiers {
    /// A browser's or device's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// The shop's own customer id: SDK userId, CSV customer_id (`ext:`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// Digits and a leading `+`; names a customer only where nothing else does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl Identifiers {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The identity through which a fact is its customer's: the strongest it names.
    pub fn subject(&self) -> Option<Identity> {
        let email = || self.email.as_ref().map(Identity::email);
        let anonymous = || self.anonymous_id.as_deref().map(Identity::anonymous);
        let phone = || self.phone.as_deref().map(Identity::phone);
        self.external_id
            .as_deref()
            .map(Identity::external)
            .or_else(email)
            .or_else(anonymous)
            .or_else(phone)
    }
}

/// One identity as text, `namespace:value`: `ext:C17`, `email:ann@shop.example`, `anon:…`, `phone:+86…`.
///
/// `order:ID` stands for whoever holds an order of which nothing else is known, and `erased:HASH` for
/// someone who asked to be forgotten.
#[derive(
    Serialize,
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    diesel_derive_newtype::DieselNewType,
)]
#[serde(transparent)]
pub struct Identity(String);

/// How strongly an identity names a person: the smaller the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// A shop's own id: never merged with another of its kind.
    Identified,
    /// An address or a phone number alone.
    Known,
    /// A browser.
    Anonymous,
    /// An order nobody claimed yet.
    Nobody,
}

impl Identity {
    pub fn external(id: &str) -> Self {
        Self(format!("ext:{id}"))
    }
    pub fn email(address: &EmailAddress) -> Self {
        Self(format!("email:{}", address.identity_key()))
    }
    pub fn anonymous(id: &str) -> Self {
        Self(format!("anon:{id}"))
    }
    pub fn phone(number: &str) -> Self {
        Self(format!("phone:{number}"))
    }
    pub fn order(order_id: &str) -> Self {
        Self(format!("order:{order_id}"))
    }
    pub fn erased(hash: &str) -> Self {
        Self(format!("erased:{hash}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn strength(&self) -> Strength {
        match self.0.split(':').next() {
            Some("ext" | "erased") => Strength::Identified,
            Some("email" | "phone") => Strength::Known,
            Some("anon") => Strength::Anonymous,
            _ => Strength::Nobody,
        }
    }

    /// As `CUSTOMER` arguments write it: `ext:ID` or an e-mail address.
    pub fn parse_argument(raw: &str) -> Option<Self> {
        if let Ok(address) = raw.parse::<EmailAddress>() {
            return Some(Self::email(&address));
        }
        let (namespace, value) = raw.split_once(':')?;
        (matches!(namespace, "ext" | "anon" | "phone" | "email") && !value.is_empty())
            .then(|| Self(raw.to_owned()))
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
