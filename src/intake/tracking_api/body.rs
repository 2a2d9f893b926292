//! A request's body: from bytes to the events in it, within the limits.

use std::io::Read;

use super::instant;
use super::json::{Fields, Json};
use crate::primitives::Timestamp;

/// One event, as sent: 32 KiB, the SDKs' own constant.
pub const MAX_EVENT: usize = 32 << 10;
/// A whole body, inflated.
pub const MAX_BODY: usize = 500 << 10;
pub const MAX_EVENTS: usize = 2_500;

/// Which path was called. It says what a lone event is, whatever the event itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    One(Kind),
    Batch,
    /// As a batch, of history: it triggers only what falls due after its arrival.
    Import,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Identify,
    Track,
    Page,
    Screen,
    Group,
    Alias,
}

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "identify" => Self::Identify,
            "track" => Self::Track,
            "page" => Self::Page,
            "screen" => Self::Screen,
            "group" => Self::Group,
            "alias" => Self::Alias,
            _ => return None,
        })
    }
}

/// Why nothing of a body is taken. None of these is mended by sending it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is empty: send a JSON object")]
    Empty,
    #[error("the body is larger than {} bytes: send fewer events at once", MAX_BODY)]
    TooLarge,
    #[error("the event is larger than {} bytes", MAX_EVENT)]
    EventTooLarge,
    #[error("the body is said to be gzip, and is not, or is cut off")]
    Gzip,
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is not valid JSON: {0}")]
    Json(String),
    #[error("the body is JSON, but no object")]
    NotAnObject,
    #[error("the body has no array `batch`")]
    NoBatch,
    #[error("the batch holds {0} events, and at most 2500 are taken")]
    TooManyEvents(usize),
}

/// Undoes gzip and checks size and encoding. Gzip is known by its first bytes too: no JSON begins like it, and
/// not every proxy keeps the header.
pub fn unpack(bytes: Vec<u8>, said_to_be_gzip: bool) -> Result<String, BodyError> {
    let gzip = bytes.starts_with(&[0x1f, 0x8b]);
    if said_to_be_gzip && !gzip && !bytes.is_empty() {
        return Err(BodyError::Gzip);
    }
    let bytes = if gzip { inflate(&bytes)? } else { bytes };
    if bytes.len() > MAX_BODY {
        return Err(BodyError::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| BodyError::NotUtf8)?;
    if text.trim().is_empty() { Err(BodyError::Empty) } else { Ok(text) }
}

/// Stops as soon as the limit is passed: 64 kB can hold 64 MB.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut inflated = Vec::with_capacity((bytes.len() * 4).min(MAX_BODY));
    flate2::read::MultiGzDecoder::new(bytes)
        .take(MAX_BODY as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|_| BodyError::Gzip)?;
    Ok(inflated)
}

/// An opened body: its events, and what it says for all of them.
#[derive(Debug)]
pub struct Envelope<'a> {
    pub call: Call,
    pub events: Vec<Json<'a>>,
    pub sent_at: Option<Timestamp>,
    /// For the events that carry none.
    pub context: Option<Json<'a>>,
}

impl<'a> Envelope<'a> {
    pub fn open(text: &'a str, call: Call) -> Result<Self, BodyError> {
        let text = text.trim_start_matches('\u{feff}');
        let fields = Fields::parse(text).map_err(|e| match e.is_data() {
            true => BodyError::NotAnObject,
            false => BodyError::Json(e.to_string()),
        })?;
        let sent_at = fields.get("sentAt").and_then(instant::lenient);
        let Call::One(_) = call else {
            let events = fields.get("batch").and_then(Json::items).ok_or(BodyError::NoBatch)?;
            if events.len() > MAX_EVENTS {
                return Err(BodyError::TooManyEvents(events.len()));
            }
            return Ok(Self { call, events, sent_at, context: fields.get("context") });
        };
        let event = Json::valid(text.trim());
        if event.size() > MAX_EVENT {
            return Err(BodyError::EventTooLarge);
        }
        Ok(Self { call, events: vec![event], sent_at, context: None })
    }
}

/// The write key that a body carries, if it is a body at all.
pub fn write_key(text: &str) -> Option<String> {
    let fields = Fields::parse(text.trim_start_matches('\u{feff}'));
    match fields {
        Ok(fields) => fields.clean("writeKey", 200),
        Err(_) => write_key(&quote_bare_nan(text)?),
    }
}

/// Python writes `NaN` and `Infinity` bare, which is no JSON: one such number would cost its whole batch.
///
/// Gives the text with those words quoted, so that whoever reads the field refuses it by name; `None` when
/// there are none outside of strings.
pub fn quote_bare_nan(text: &str) -> Option<String> {
    let mut mended = String::with_capacity(text.len() + 16);
    let mut changed = false;
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I']) {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('"') {
            let end = string_end(rest);
            mended.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let word = if rest.starts_with("NaN") {
            "NaN"
        } else if rest.starts_with("Infinity") {
            "Infinity"
        } else {
            return None;
        };
        if mended.ends_with('-') {
            mended.pop();
        }
        mended.push_str(&format!("\"{word}\""));
        rest = &rest[word.len()..];
        changed = true;
    }
    mended.push_str(rest);
    changed.then_some(mended)
}

/// Where the string that `text` begins with ends, past its closing quote.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use proptest::prelude::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_undone_whether_said_or_not() {
        let packed = gzip(b"{\"batch\":[]}");
        assert_eq!(unpack(packed.clone(), true).unwrap(), "{\"batch\":[]}");
        assert_eq!(unpack(packed.clone(), false).unwrap(), "{\"batch\":[]}");
        assert_eq!(unpack(b"{}".to_vec(), true), Err(BodyError::Gzip));
        assert_eq!(unpack(packed[..packed.len() - 6].to_vec(), true), Err(BodyError::Gzip));
        assert_eq!(unpack(gzip(b""), true), Err(BodyError::Empty));
    }

    #[test]
    fn a_gzip_bomb_is_given_up_at_the_limit() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 70_000);
        assert_eq!(unpack(bomb, true), Err(BodyError::TooLarge));
        assert_eq!(unpack(gzip(&[b'1'; MAX_BODY]), true).unwrap().len(), MAX_BODY);
        assert_eq!(unpack(vec![b'1'; MAX_BODY + 1], false), Err(BodyError::TooLarge));
    }

    #[test]
    fn limits_of_events_and_their_number_hold() {
        let events = |count: usize| format!("{{\"batch\":[{}]}}", vec!["{}"; count].join(","));
        assert_eq!(Envelope::open(&events(2_500), Call::Batch).unwrap().events.len(), 2_500);
        assert_eq!(
            Envelope::open(&events(2_501), Call::Batch).unwrap_err(),
            BodyError::TooManyEvents(2_501)
        );
        let sized = |size: usize| format!("{{\"event\":\"{}\"}}", "x".repeat(size - 12));
        assert!(Envelope::open(&sized(MAX_EVENT), Call::One(Kind::Track)).is_ok());
        assert_eq!(
            Envelope::open(&sized(MAX_EVENT + 1), Call::One(Kind::Track)).unwrap_err(),
            BodyError::EventTooLarge
        );
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for (text, error) in [
            ("[]", BodyError::NotAnObject),
            ("\"batch\"", BodyError::NotAnObject),
            ("{}", BodyError::NoBatch),
            ("{\"batch\":{}}", BodyError::NoBatch),
            ("{\"batch\":null}", BodyError::NoBatch),
        ] {
            assert_eq!(Envelope::open(text, Call::Batch).unwrap_err(), error, "{text}");
        }
        assert!(matches!(Envelope::open("{\"batch\":[", Call::Batch), Err(BodyError::Json(_))));
        assert!(matches!(Envelope::open("{} {}", Call::Batch), Err(BodyError::Json(_))));
    }

    #[test]
    fn bare_nan_is_quoted_and_strings_are_left_alone() {
        assert_eq!(
            quote_bare_nan(r#"{"a": NaN, "b \" NaN": [-Infinity, 1], "c": "Infinity"}"#).unwrap(),
            r#"{"a": "NaN", "b \" NaN": ["Infinity", 1], "c": "Infinity"}"#
        );
        assert_eq!(quote_bare_nan(r#"{"a": "NaN"}"#), None);
        assert_eq!(quote_bare_nan("{None}"), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), gzip: bool) {
            if let Ok(text) = unpack(bytes, gzip) {
                let _ = Envelope::open(&text, Call::Batch);
                let _ = quote_bare_nan(&text);
            }
        }

        #[test]
        fn quoting_touches_no_valid_json(text in "[\\[\\]{}\",:NaIfinty\\\\1 -]{0,60}") {
            if Json::parse(&text).is_ok() {
                prop_assert_eq!(quote_bare_nan(&text), None);
            } else {
                let _ = quote_bare_nan(&text);
            }
        }
    }
}
