//! Times as clients write them, and what they mean by the server's clock.

use super::EventError;
use super::json::{Fields, Json};
use crate::primitives::Timestamp;

/// When an event happened, by the server's clock.
///
/// The client's clock may be wrong, but it is wrong alike at the event and at sending: the span between the two
/// is right, and is counted back from the arrival. Nothing has happened later than it arrived.
///
/// # Errors
/// A time that cannot be read, or before 1970.
pub fn happened(
    event: &Fields<'_>,
    sent_with_batch: Option<Timestamp>,
    received_at: Timestamp,
) -> Result<Timestamp, EventError> {
    let Some(told) = event.first(&["timestamp", "originalTimestamp"]) else {
        return Ok(received_at);
    };
    let told = read(told)?;
    let sent = event.get("sentAt").and_then(lenient).or(sent_with_batch);
    let at = sent.map_or(told.0, |sent| received_at.0 - (sent.0 - told.0));
    Ok(Timestamp(at.clamp(Timestamp::MIN.0, received_at.0)))
}

/// As [`read`], where a time that cannot be read is as good as none.
pub fn lenient(json: Json<'_>) -> Option<Timestamp> {
    read(json).ok()
}

/// ISO 8601 with or without a zone (UTC then), a date, or seconds, milliseconds or microseconds since 1970.
fn read(json: Json<'_>) -> Result<Timestamp, EventError> {
    let text = json.text().unwrap_or_default();
    let text = text.trim();
    let unreadable = || EventError::Time(text.chars().take(40).collect());
    let at = match text.parse::<f64>() {
        Ok(number) => from_number(number),
        Err(_) => from_text(text),
    };
    let at = at.ok_or_else(unreadable)?;
    if at < Timestamp::MIN { Err(EventError::Before1970) } else { Ok(at.min(Timestamp::MAX)) }
}

/// The unit shows in the size: seconds would reach 10^11 in the year 5138, milliseconds 10^14.
fn from_number(number: f64) -> Option<Timestamp> {
    let micros = match number.abs() {
        size if size < 1e11 => number * 1e6,
        size if size < 1e14 => number * 1e3,
        _ => number,
    };
    // A finite float saturates when it becomes an integer.
    number.is_finite().then_some(Timestamp(micros as i64))
}

fn from_text(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.into());
    }
    if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        return local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp().into());
    }
    // The last day of 9999 is past what jiff holds, and JavaScript writes later years with a sign and six digits.
    let year: String = text.chars().take_while(|c| *c != 'T').collect();
    let is_date = |s: &str| s.len() > 4 && s.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match year.strip_prefix('+') {
        Some(later) if is_date(later) => Some(Timestamp::MAX),
        None if year.starts_with("9999-") && is_date(&year) => Some(Timestamp::MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(raw: &str) -> Result<String, EventError> {
        let text = serde_json::to_string(raw).unwrap();
        read(Json::parse(&text).unwrap()).map(|at| at.to_string())
    }

    #[test]
    fn the_sdks_forms_are_read() {
        for raw in [
            "2026-11-22T01:02:03.004Z",
            "2026-11-22T01:02:03.004+00:00",
            "2026-11-22T01:02:03.004000+00:00",
            "2026-11-22T09:02:03.004+08:00",
            "2026-11-22 01:02:03.004Z",
            "2026-11-22T01:02:03.004",
            "1795309323004",
            "1795309323.004",
            "1795309323004000",
        ] {
            assert_eq!(at(raw).unwrap(), "2026-11-22T01:02:03.004Z", "{raw}");
        }
        assert_eq!(at("2026-11-22").unwrap(), "2026-11-22T00:00:00Z");
    }

    #[test]
    fn times_out_of_all_reason_are_told_apart() {
        for raw in ["", "yesterday", "2026-13-01T00:00:00Z", "NaN", "2026-11-22T25:00:00Z", "+x"] {
            assert!(matches!(at(raw), Err(EventError::Time(_))), "{raw}");
        }
        for raw in ["1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "-1", "-1e300"] {
            assert!(matches!(at(raw), Err(EventError::Before1970)), "{raw}");
        }
        for raw in ["9999-12-31T23:59:59.999Z", "+010000-01-01T00:00:00.000Z", "1e300"] {
            assert_eq!(at(raw).unwrap(), Timestamp::MAX.to_string(), "{raw}");
        }
    }

    fn happened_at(event: &str, sent_with_batch: Option<&str>) -> String {
        let received = "2026-06-01T12:00:00Z".parse().unwrap();
        let sent = sent_with_batch.map(|at| at.parse().unwrap());
        let event = Json::parse(event).unwrap().fields();
        happened(&event, sent, received).unwrap().to_string()
    }

    #[test]
    fn a_wrong_clock_is_corrected_and_the_future_is_now() {
        // A clock one hour fast: sent ten minutes after it happened.
        let event = r#"{"timestamp":"2026-06-01T12:50:00Z","sentAt":"2026-06-01T13:00:00Z"}"#;
        assert_eq!(happened_at(event, None), "2026-06-01T11:50:00Z");
        let event = r#"{"originalTimestamp":"2026-06-01T12:50:00Z"}"#;
        assert_eq!(happened_at(event, Some("2026-06-01T13:00:00Z")), "2026-06-01T11:50:00Z");
        assert_eq!(happened_at(event, None), "2026-06-01T12:00:00Z", "the future is now");
        let event = r#"{"timestamp":"2026-06-01T11:00:00Z","sentAt":"soon"}"#;
        assert_eq!(happened_at(event, None), "2026-06-01T11:00:00Z");
        assert_eq!(happened_at(r#"{"timestamp":null}"#, None), "2026-06-01T12:00:00Z");
    }

    proptest! {
        #[test]
        fn whatever_is_told_it_happened_between_1970_and_now(
            told in any::<f64>(), sent in any::<f64>(), received in 0..Timestamp::MAX.0,
        ) {
            let event = serde_json::json!({ "timestamp": told.to_string(), "sentAt": sent }).to_string();
            let event = Json::parse(&event).unwrap();
            if let Ok(at) = happened(&event.fields(), None, Timestamp(received)) {
                prop_assert!((0..=received).contains(&at.0));
            }
        }

        #[test]
        fn no_text_makes_it_panic(raw in "\\PC{0,40}") {
            let _ = at(&raw);
        }
    }
}
