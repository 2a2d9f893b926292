//! A schedule: a cron line of five fields, read in the store's zone.
//!
//! croner knows the pattern and walks it over wall-clock time; what a wall clock shows twice or skips is decided here,
//! by the zone database that everything else goes by.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil;
use jiff::tz::AmbiguousOffset;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::primitives::{Delay, Timestamp, Zone};

/// A clock is never put back further than that.
const LONGEST_FOLD: Delay = Delay::hours(3);

/// As it was written, and known to fire some day.
#[derive(Clone)]
pub struct Cron {
    text: String,
    /// Large, and beside it the other triggers are small.
    pattern: Box<croner::Cron>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no schedule: {why}; write minute, hour, day, month and weekday, such as \"0 9 * * MON\" or \"30 18 17 6 *\""
)]
pub struct InvalidCron {
    text: String,
    why: String,
}

impl FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let text = raw.split_whitespace().collect::<Vec<_>>().join(" ");
        let wrong = |why: String| InvalidCron { text: raw.to_owned(), why };
        let parser =
            CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(&text).map_err(|error| {
            wrong(
                error
                    .to_string()
                    .trim_end_matches('.')
                    .trim_start_matches("Invalid pattern: ")
                    .to_owned(),
            )
        })?;
        let cron = Self { text, pattern: Box::new(pattern) };
        // The 31st of February parses, and never comes. Eight years hold every 29th of February.
        if cron.next_after(Timestamp(1_767_225_600_000_000), &Zone::utc()).is_none() {
            return Err(wrong("no such day ever comes".to_owned()));
        }
        Ok(cron)
    }
}

impl Cron {
    /// The first firing after `at`. Where clocks skip its time, it fires when the skip ends; where they show it twice,
    /// the first time alone.
    pub fn next_after(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let mut local = wall_clock(at, zone)?;
        loop {
            local = self.pattern.find_next_occurrence(&local, false).ok()?;
            let fires = resolve(local, zone)?;
            if fires > at {
                return Some(fires);
            }
        }
    }

    /// The next `n` firings after `at`.
    pub fn upcoming(&self, at: Timestamp, zone: &Zone, n: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next_after(at, zone), |last| self.next_after(*last, zone))
            .take(n)
            .collect()
    }

    /// The last firing at or before `at`.
    pub fn last_until(&self, at: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let offset = |at: Timestamp| zone.tz().to_offset(at.to_jiff());
        // After a fold the wall clock stands before times that have fired.
        let folded = offset(at) != offset(at.minus(LONGEST_FOLD));
        let from = if folded { at.plus(LONGEST_FOLD) } else { at };
        let mut local = wall_clock(from, zone)?;
        let mut inclusive = true;
        loop {
            local = self.pattern.find_previous_occurrence(&local, inclusive).ok()?;
            inclusive = false;
            let fired = resolve(local, zone)?;
            if fired <= at {
                return Some(fired);
            }
        }
    }
}

/// What a clock in the zone shows, as croner takes it: a time without a zone, said to be UTC.
fn wall_clock(at: Timestamp, zone: &Zone) -> Option<DateTime<Utc>> {
    let local = zone.tz().to_datetime(at.to_jiff());
    let date = NaiveDate::from_ymd_opt(
        i32::from(local.year()),
        local.month().unsigned_abs().into(),
        local.day().unsigned_abs().into(),
    )?;
    let (h, m, s) = (local.hour(), local.minute(), local.second());
    let time = date.and_hms_opt(
        h.unsigned_abs().into(),
        m.unsigned_abs().into(),
        s.unsigned_abs().into(),
    )?;
    Some(time.and_utc())
}

fn resolve(local: DateTime<Utc>, zone: &Zone) -> Option<Timestamp> {
    let at = civil::DateTime::new(
        i16::try_from(local.year()).ok()?,
        i8::try_from(local.month()).ok()?,
        i8::try_from(local.day()).ok()?,
        i8::try_from(local.hour()).ok()?,
        i8::try_from(local.minute()).ok()?,
        0,
        0,
    )
    .ok()?;
    let instant = match zone.tz().to_ambiguous_zoned(at).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(at).ok()?
        }
        // Read with the later offset it lies just before the skip.
        AmbiguousOffset::Gap { after, .. } => {
            let before = after.to_timestamp(at).ok()?;
            zone.tz().following(before).next()?.timestamp()
        }
    };
    Some(Timestamp::from(instant))
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?})", self.text)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cron(text: &str) -> Cron {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    fn upcoming(text: &str, zone: &str, at: &str) -> Vec<String> {
        let zone = zone.parse().unwrap();
        let next = cron(text).upcoming(at.parse().unwrap(), &zone, 3);
        next.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_schedule_is_read_in_the_stores_zone() {
        assert_eq!(
            upcoming("0 9 * * MON", "Asia/Shanghai", "2026-06-01T00:59:59Z"),
            ["2026-06-01T01:00:00Z", "2026-06-08T01:00:00Z", "2026-06-15T01:00:00Z"]
        );
        assert_eq!(
            upcoming("30 18 17 6 *", "Asia/Shanghai", "2026-06-17T10:30:00Z")[0],
            "2027-06-17T10:30:00Z"
        );
        assert_eq!(
            upcoming("0 8 29 2 *", "UTC", "2026-06-01T00:00:00Z")[0],
            "2028-02-29T08:00:00Z"
        );
    }

    #[test]
    fn daylight_saving_moves_it_with_the_wall_clock() {
        assert_eq!(
            upcoming("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z"),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            "what is skipped fires when the skip ends"
        );
        assert_eq!(
            upcoming("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"],
            "what is shown twice fires once"
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_way_to_write_one() {
        for (text, said) in [
            ("0 9 * *", "minute, hour, day, month and weekday"),
            ("0 0 9 * * *", "minute, hour, day, month and weekday"),
            ("61 9 * * *", "`61 9 * * *` is no schedule"),
            ("0 9 31 2 *", "no such day ever comes"),
            ("", "is no schedule"),
        ] {
            let error = text.parse::<Cron>().expect_err(text).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_last_firing_and_the_next_one_lie_around_every_instant(
            zone in prop::sample::select(vec!["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
            text in prop::sample::select(vec!["0 9 * * *", "30 2 * * *", "15 1 * * SUN", "*/20 * * * *", "0 0 1 * *"]),
            at in 1_760_000_000_i64..1_800_000_000,
        ) {
            let (zone, cron, at) = (zone.parse::<Zone>().unwrap(), cron(text), Timestamp(at * 1_000_000));
            let (last, next) = (cron.last_until(at, &zone).unwrap(), cron.next_after(at, &zone).unwrap());
            prop_assert!(last <= at && at < next);
            prop_assert_eq!(cron.next_after(last, &zone), Some(next), "nothing fires in between");
            prop_assert_eq!(cron.last_until(Timestamp(next.0 - 1), &zone), Some(last));
        }
    }
}
