//! The tracking API's language, as the Segment and RudderStack SDKs speak it: bytes in, facts and refusals out.
//!
//! Pure: knows no database, no clock, no HTTP. The way of a request: [`unpack`] its bytes, find its [`write_key`] if no
//! header gave one, [`read`] its events; facts that merely claim an identity go through [`claims`].

mod body;
mod circumstances;
pub mod claims;
mod commerce;
mod event;
mod instant;
mod json;
mod person;

pub use body::{
    BodyError, Call, Envelope, Kind, MAX_BODY, MAX_EVENT, MAX_EVENTS, quote_bare_nan, unpack,
    write_key,
};

pub use circumstances::is_bot;

use crate::journal::NewFact;
use crate::keys::Trust;
use crate::primitives::{Currency, InvalidMoney, Timestamp};
use crate::secret::IdentifyKey;

/// What is known of a request besides its body.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    pub received_at: Timestamp,
    pub trust: Trust,
    /// The store's: for amounts that name none.
    pub currency: &'a Currency,
    pub identify_key: &'a IdentifyKey,
    /// The request's User-Agent header.
    pub user_agent: Option<&'a str>,
    /// Differs from request to request: for events that bring neither a messageId nor a time.
    pub nonce: u64,
}

/// What came of a body's events.
#[derive(Debug, Default)]
pub struct Outcome {
    pub facts: Vec<NewFact>,
    /// Which of `facts` claim to be somebody without proof, by index.
    pub unproven: Vec<usize>,
    pub refused: Vec<Refused>,
}

/// An event that is not taken, by its place in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub position: usize,
    pub error: EventError,
}

/// Why one event is not taken; its neighbours are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("the event is no JSON object")]
    NotAnObject,
    #[error("the event is larger than {} bytes", MAX_EVENT)]
    TooLarge,
    #[error("`{0}` is no type of event: identify, track, page, screen, group or alias")]
    UnknownType(String),
    #[error("the event names nobody: send userId or anonymousId")]
    NoId,
    #[error("`{0}` is longer than 200 characters")]
    IdTooLong(&'static str),
    #[error("the track event has no `event`, its name")]
    NoEventName,
    #[error("the group event has no `groupId`")]
    NoGroupId,
    #[error("the alias event has no `previousId`")]
    NoPreviousId,
    #[error("`{0}` is no time: send ISO 8601, such as 2026-06-01T12:00:00Z")]
    Time(String),
    #[error("the event's time is before 1970")]
    Before1970,
    #[error("the order has no `order_id`")]
    NoOrderId,
    #[error("`{field}` cannot be read: {error}")]
    Money { field: &'static str, error: InvalidMoney },
    #[error("`{field}` is negative: {amount}")]
    Negative { field: &'static str, amount: String },
    #[error("the refund names products without prices: send its `total`")]
    UnpricedRefund,
}

impl EventError {
    /// The error without what the client wrote: fit for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::TooLarge => "too_large",
            Self::UnknownType(_) => "unknown_type",
            Self::NoId => "no_id",
            Self::IdTooLong(_) => "id_too_long",
            Self::NoEventName => "no_event_name",
            Self::NoGroupId => "no_group_id",
            Self::NoPreviousId => "no_previous_id",
            Self::Time(_) | Self::Before1970 => "time",
            Self::NoOrderId => "no_order_id",
            Self::Money { .. } | Self::Negative { .. } => "money",
            Self::UnpricedRefund => "unpriced_refund",
        }
    }
}

/// Reads a body's text: the way in once its sender is known.
///
/// # Errors
/// The body as a whole cannot be taken; refusals of single events are in the outcome.
pub fn read(text: &str, call: Call, arrival: &Arrival<'_>) -> Result<Outcome, BodyError> {
    match Envelope::open(text, call) {
        Ok(envelope) => Ok(envelope.read(arrival)),
        Err(error @ BodyError::Json(_)) => {
            let mended = quote_bare_nan(text).ok_or(error)?;
            Ok(Envelope::open(&mended, call)?.read(arrival))
        }
        Err(error) => Err(error),
    }
}

impl Envelope<'_> {
    /// Reads every event by itself: a bad one costs none of the others.
    pub fn read(&self, arrival: &Arrival<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for (position, json) in self.events.iter().enumerate() {
            match event::read(*json, position, self, arrival) {
                Ok(None) => {}
                Ok(Some(read)) => {
                    if read.unproven {
                        outcome.unproven.push(outcome.facts.len());
                    }
                    outcome.facts.push(read.fact);
                }
                Err(error) => outcome.refused.push(Refused { position, error }),
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
