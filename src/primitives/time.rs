//! Instants, delays, zones, and the one place that reads the clock.
//!
//! At rest a time is microseconds since 1970, UTC. Local time is computed late, in an IANA zone.

use std::fmt;
use std::str::FromStr;

use diesel_derive_newtype::DieselNewType;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DieselNewType)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest and latest instants a fact may carry: 1970 to the end of 9998, clear of every overflow.
    pub const MIN: Self = Self(0);
    pub const MAX: Self = Self(253_370_764_799_999_999);

    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    pub fn plus(self, delay: Delay) -> Self {
        Self(self.0.saturating_add(delay.micros()))
    }

    pub fn minus(self, delay: Delay) -> Self {
        Self(self.0.saturating_sub(delay.micros()))
    }

    /// Days from `earlier` to this instant, with their fraction; negative when it is later.
    pub fn days_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 86_400e6
    }

    /// jiff's form. Every `Timestamp` that passed the door is in its range; others are clamped to it.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0.clamp(Self::MIN.0, Self::MAX.0))
            .unwrap_or_default()
    }

    /// The calendar day in `zone`.
    pub fn day_in(self, zone: &Zone) -> Date {
        zone.tz().to_datetime(self.to_jiff()).date()
    }

    /// The calendar day in `zone` as a number: days since 1970-01-01.
    pub fn day_number(self, zone: &Zone) -> i32 {
        let offset = i64::from(zone.tz().to_offset(self.to_jiff()).seconds());
        (self.0.div_euclid(1_000_000) + offset).div_euclid(86_400) as i32
    }

    /// RFC 3339 instant, or a plain date, which means the end of that day in `zone`.
    pub fn parse_or_end_of_day(raw: &str, zone: &Zone) -> Result<Self, jiff::Error> {
        match raw.parse::<Date>() {
            Ok(day) if raw.len() == 10 => Ok(Self(zone.start_of(day.tomorrow()?).0 - 1)),
            _ => raw.parse(),
        }
    }

    /// RFC 3339 instant, or a plain date, which means the start of that day in `zone`.
    pub fn parse_or_start_of_day(raw: &str, zone: &Zone) -> Result<Self, jiff::Error> {
        match raw.parse::<Date>() {
            Ok(day) if raw.len() == 10 => Ok(zone.start_of(day)),
            _ => raw.parse(),
        }
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(at: jiff::Timestamp) -> Self {
        Self(at.as_microsecond())
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        raw.parse::<jiff::Timestamp>().map(Self::from)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        raw.parse().map_err(serde::de::Error::custom)
    }
}

/// Where `now` comes from: read once per request or pass, and handed on as a value.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    #[default]
    System,
    /// For tests and the sample store.
    Fixed(Timestamp),
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system time")]
    pub fn now(self) -> Timestamp {
        match self {
            Self::System => jiff::Timestamp::now().into(),
            Self::Fixed(at) => at,
        }
    }
}

/// A length of time as operators write it: `30s`, `15m`, `4h`, `3d`, `2w`. Days are 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delay {
    seconds: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no duration: write a whole number and a unit, such as \"30s\", \"15m\", \"4h\", \"3d\" or \"2w\""
)]
pub struct InvalidDelay(String);

impl Delay {
    pub const ZERO: Self = Self { seconds: 0 };

    pub const fn seconds(seconds: i64) -> Self {
        Self { seconds }
    }
    pub const fn hours(hours: i64) -> Self {
        Self { seconds: hours * 3_600 }
    }
    pub const fn days(days: i64) -> Self {
        Self { seconds: days * 86_400 }
    }
    pub const fn as_seconds(self) -> i64 {
        self.seconds
    }
    pub const fn micros(self) -> i64 {
        self.seconds * 1_000_000
    }
}

const UNITS: [(char, i64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl FromStr for Delay {
    type Err = InvalidDelay;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDelay(raw.to_owned());
        let text = raw.trim();
        let unit = text.chars().last().ok_or_else(invalid)?;
        let (_, size) = *UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(invalid)?;
        let count = text[..text.len() - 1].trim_end();
        if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        // A thousand years is more than any rule waits, and keeps every sum of instants in range.
        let seconds =
            count.parse::<i64>().ok().and_then(|n| n.checked_mul(size)).ok_or_else(invalid)?;
        if seconds > 1_000 * 366 * 86_400 { Err(invalid()) } else { Ok(Self { seconds }) }
    }
}

/// The largest unit that keeps it whole, but weeks as days: `3d`, `36h`, `90m`.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |size: i64| self.seconds % size == 0 && self.seconds != 0;
        let (unit, size) =
            UNITS[1..].iter().copied().find(|(_, size)| fits(*size)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", self.seconds / size)
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// UTC.
impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

/// An IANA time zone, known to the zone database that is built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no IANA time zone: write a name such as \"Asia/Shanghai\" or \"Europe/London\"")]
pub struct InvalidZone(String);

impl Zone {
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }
    pub fn tz(&self) -> &TimeZone {
        &self.0
    }
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The first instant of `day` here; where midnight is skipped, the first instant after the gap.
    pub fn start_of(&self, day: Date) -> Timestamp {
        match self.0.to_ambiguous_zoned(day.at(0, 0, 0, 0)).compatible() {
            Ok(zoned) => zoned.timestamp().into(),
            Err(_) => Timestamp::MAX,
        }
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let zone = TimeZone::get(raw).map_err(|_| InvalidZone(raw.to_owned()))?;
        zone.iana_name().ok_or_else(|| InvalidZone(raw.to_owned()))?;
        Ok(Self(zone))
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_print_as_they_are_written() {
        for raw in ["4h", "3d", "90m", "45s", "36h", "0s"] {
            assert_eq!(raw.parse::<Delay>().unwrap().to_string(), raw);
        }
        assert_eq!("2w".parse::<Delay>().unwrap(), Delay::days(14));
        for raw in
            ["", "4", "h", "-3d", "1.5h", "4 hours", "99999999999999999999d", "9999999d", "日"]
        {
            assert!(raw.parse::<Delay>().is_err(), "{raw}");
        }
    }

    #[test]
    fn a_date_as_time_means_the_end_of_that_day_in_the_store() {
        let shanghai: Zone = "Asia/Shanghai".parse().unwrap();
        let end = Timestamp::parse_or_end_of_day("1997-09-30", &shanghai).unwrap();
        assert_eq!(end.to_string(), "1997-09-30T15:59:59.999999Z");
        assert_eq!(end.day_number(&shanghai), Timestamp(end.0 + 1).day_number(&shanghai) - 1);
    }

    #[test]
    fn day_numbers_follow_the_zone_over_daylight_saving() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let before: Timestamp = "2026-03-28T22:59:59Z".parse().unwrap(); // 23:59 local, UTC+1
        let after: Timestamp = "2026-03-29T21:59:59Z".parse().unwrap(); // 23:59 local, UTC+2
        assert_eq!(after.day_number(&berlin) - before.day_number(&berlin), 1);
        assert_eq!(before.day_in(&berlin).to_string(), "2026-03-28");
    }

    #[test]
    fn unknown_zones_are_refused() {
        assert!("Mars/Olympus".parse::<Zone>().is_err());
        assert!("".parse::<Zone>().is_err());
    }
}
