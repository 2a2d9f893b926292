//! One event: what it says, as a fact, or why it is refused.

use sha2::{Digest, Sha256};

use super::body::{Call, Envelope, Kind, MAX_EVENT};
use super::json::{Fields, Json};
use super::{Arrival, EventError, circumstances, commerce, instant, person};
use crate::journal::{Body, Identifiers, NewFact, Source};
use crate::keys::Trust;
use crate::primitives::clean_text;

const ID_CHARS: usize = 200;
const MESSAGE_ID_CHARS: usize = 100;

/// What programs write where they have no id. Taken for one, it would make all such people the same person.
const NO_IDS: [&str; 5] = ["null", "undefined", "nan", "none", "[object object]"];

/// A fact, and whether it claims to be somebody without proof.
#[derive(Debug)]
pub struct Read {
    pub fact: NewFact,
    pub unproven: bool,
}

/// `None` for an event that says nothing, such as an alias of an id to itself.
pub fn read(
    json: Json<'_>,
    position: usize,
    envelope: &Envelope<'_>,
    arrival: &Arrival<'_>,
) -> Result<Option<Read>, EventError> {
    if !json.is_object() {
        return Err(EventError::NotAnObject);
    }
    if json.size() > MAX_EVENT {
        return Err(EventError::TooLarge);
    }
    let event = json.fields();
    let kind = match envelope.call {
        Call::One(kind) => kind,
        Call::Batch | Call::Import => {
            let told = event.clean("type", 40).unwrap_or_default();
            Kind::named(&told).ok_or(EventError::UnknownType(told))?
        }
    };
    let user_id = id(&event, "userId")?;
    let anonymous_id = id(&event, "anonymousId")?;
    let previous_id = id(&event, "previousId")?;
    let named = match kind {
        Kind::Alias => user_id.is_some(),
        _ => user_id.is_some() || anonymous_id.is_some(),
    };
    if !named {
        return Err(EventError::NoId);
    }

    let context = event.get("context").or(envelope.context).map(Json::fields).unwrap_or_default();
    let properties = event.fields("properties");
    let agent = arrival.user_agent.filter(|_| arrival.trust == Trust::Browser);
    let page = context.fields("page");
    let circumstances = circumstances::read(&context, &page, &properties, agent);
    let occurred_at = instant::happened(&event, envelope.sent_at, arrival.received_at)?;
    let message_id = message_id(&event, json, position, arrival);

    let hash = context.clean("hash", 64);
    let proven = arrival.trust == Trust::Server
        || matches!((&user_id, &hash), (Some(user), Some(hash)) if arrival.identify_key.verifies(user, hash));
    let mut identifiers =
        Identifiers { anonymous_id, external_id: user_id, email: None, phone: None };

    let body = match kind {
        Kind::Identify => {
            let told = match event.fields("traits") {
                traits if traits.is_empty() => context.fields("traits"),
                traits => traits,
            };
            identifiers.email = person::email(&told);
            identifiers.phone = person::phone(&told);
            Body::Identified { traits: Box::new(person::traits(told, arrival.received_at)) }
        }
        Kind::Track => {
            let name = event.clean("event", 200).ok_or(EventError::NoEventName)?;
            if arrival.trust == Trust::Server {
                identifiers.email = person::email(&context.fields("traits"));
                // A guest is known by the address they order with; for a user it might be the recipient's.
                if identifiers.email.is_none() && identifiers.external_id.is_none() {
                    identifiers.email = person::email(&properties);
                }
            }
            let channel = circumstances.channel.as_deref();
            commerce::tracked(&name, properties, channel, arrival.currency)?
        }
        Kind::Page | Kind::Screen => {
            let title = properties
                .get("title")
                .or_else(|| page.get("title"))
                .or_else(|| event.get("name"))
                .or_else(|| properties.get("name"))
                .and_then(|title| title.clean(200));
            Body::PageViewed { title, referrer: circumstances::referrer(&page, &properties) }
        }
        Kind::Group => {
            let group_id = id(&event, "groupId")?.ok_or(EventError::NoGroupId)?;
            Body::Grouped { group_id }
        }
        Kind::Alias => {
            let previous_id = previous_id.ok_or(EventError::NoPreviousId)?;
            if identifiers.external_id.as_deref() == Some(previous_id.as_str()) {
                return Ok(None);
            }
            Body::Aliased { previous_id }
        }
    };
    let fact = NewFact {
        source: Source::Tracking,
        source_key: message_id,
        occurred_at,
        live: envelope.call != Call::Import,
        identifiers,
        body,
        context: circumstances,
    };
    Ok(Some(Read { fact, unproven: !proven }))
}

/// Absent, `null`, empty, and the words of programs for nothing are all no id; numbers are their digits.
fn id(event: &Fields<'_>, name: &'static str) -> Result<Option<String>, EventError> {
    let Some(told) = event.get(name).and_then(Json::text) else { return Ok(None) };
    // Cut off, it could be somebody else's.
    if told.chars().count() > ID_CHARS {
        return Err(EventError::IdTooLong(name));
    }
    let is_id = |id: &String| !NO_IDS.contains(&id.to_lowercase().as_str());
    Ok(clean_text(&told, ID_CHARS).filter(is_id))
}

/// The key under which the fact counts once.
///
/// A client that gives none but tells the event's own time says the same thing when it repeats itself, so its
/// words make the key; without a time, two equal events may well be two.
fn message_id(
    event: &Fields<'_>,
    json: Json<'_>,
    position: usize,
    arrival: &Arrival<'_>,
) -> String {
    if let Some(told) =
        event.get("messageId").and_then(Json::text).filter(|id| !id.trim().is_empty())
    {
        return match clean_text(&told, MESSAGE_ID_CHARS) {
            Some(clean) if clean == told => clean,
            _ => format!("sha256:{}", hex(&Sha256::digest(told.as_bytes()))),
        };
    }
    let mut hash = Sha256::new();
    hash.update(json.as_str().as_bytes());
    if event.first(&["timestamp", "originalTimestamp"]).is_none() {
        hash.update(arrival.nonce.to_be_bytes());
        hash.update((position as u64).to_be_bytes());
    }
    format!("made:{}", hex(&hash.finalize()[..16]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
