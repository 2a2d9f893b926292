//! Who customers are: profile, consent, rollup. Made by folding facts; see `journal::fold`.

mod consent;
mod days;
pub mod merge;
mod rollup;
pub mod store;
pub mod suppression;

use serde::{Deserialize, Serialize};

use crate::primitives::{EmailAddress, Timestamp};

pub use consent::{Consent, ConsentState, ConsentTold};
pub use days::{DAYS_KEPT, DayKnown, DayTold};
pub use rollup::{Basket, Floors, OpenVisit, OrderEmail, Rollup, State, Viewed, VisitDepth};

/// What a fact changes in a profile: `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Everything else, as told.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub other: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentTold>,
}

/// Who a customer is, by the latest word on each field.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// Has an id of the shop, not only a browser's or an address.
    pub identified: bool,
    pub external_id: Option<String>,
    pub email: Option<EmailAddress>,
    pub phone: Option<String>,
    pub name: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    pub country: Option<String>,
    pub city: Option<String>,
    pub tags: Vec<String>,
    pub traits: serde_json::Map<String, serde_json::Value>,
    pub consent: Consent,
    /// The first fact.
    pub created_at: Option<Timestamp>,
}

impl Profile {
    /// Of someone about whom nothing is known but the shop's id, if there is one.
    pub fn of(external_id: Option<&str>) -> Self {
        Self {
            identified: external_id.is_some(),
            external_id: external_id.map(str::to_owned),
            ..Self::default()
        }
    }

    /// Takes the traits of a later fact in: each field it names replaces what was known.
    pub fn take(&mut self, traits: &Traits) {
        let replace = |known: &mut Option<String>, told: &Option<String>| {
            if told.is_some() {
                known.clone_from(told);
            }
        };
        replace(&mut self.name, &traits.name);
        replace(&mut self.phone, &traits.phone);
        replace(&mut self.locale, &traits.locale);
        replace(&mut self.timezone, &traits.timezone);
        replace(&mut self.country, &traits.country);
        replace(&mut self.city, &traits.city);
        if let Some(tags) = &traits.tags {
            self.tags.clone_from(tags);
        }
        for (key, value) in &traits.other {
            self.traits.insert(key.clone(), value.clone());
        }
    }
}
