//! Days of the year that a profile tells: a birthday, an anniversary.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::primitives::Timestamp;

/// A day that comes again every year. The year it counts from may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTold {
    pub year: Option<i16>,
    pub month: i8,
    pub day: i8,
}

/// A day of a profile, and the earliest due time it may trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayKnown {
    pub day: DayTold,
    pub floor: Timestamp,
}

/// More than a shop knows of anybody; keeps a profile of nonsense small.
pub const DAYS_KEPT: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no day: write it as 1990-05-01, or --05-01 where the year is not known")]
pub struct NoDay(String);

/// `1990-05-01`, with a time of day or without; `--05-01`.
impl FromStr for DayTold {
    type Err = NoDay;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let no_day = || NoDay(raw.to_owned());
        let text = raw.trim();
        let (year, rest) = match text.strip_prefix("--") {
            Some(rest) => (None, rest),
            None => {
                let (year, rest) = text.split_once('-').ok_or_else(no_day)?;
                let is_year = year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
                let year = year.parse().ok().filter(|_| is_year).ok_or_else(no_day)?;
                (Some(year), rest)
            }
        };
        let day = rest.get(..5).ok_or_else(no_day)?;
        if !matches!(rest.as_bytes().get(5), None | Some(b'T' | b't' | b' ')) {
            return Err(no_day());
        }
        let (month, day) = day.split_once('-').ok_or_else(no_day)?;
        let number = |part: &str| part.parse::<i8>().ok().filter(|_| part.len() == 2);
        let (month, day) = number(month).zip(number(day)).ok_or_else(no_day)?;
        // In a leap year every day of the year exists.
        Date::new(year.unwrap_or(2000), month, day).map_err(|_| no_day())?;
        Ok(Self { year, month, day })
    }
}

impl fmt::Display for DayTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.year {
            Some(year) => write!(f, "{year:04}-{:02}-{:02}", self.month, self.day),
            None => write!(f, "--{:02}-{:02}", self.month, self.day),
        }
    }
}

impl From<Date> for DayTold {
    fn from(date: Date) -> Self {
        Self { year: Some(date.year()), month: date.month(), day: date.day() }
    }
}

impl DayTold {
    /// When it comes in `year`: the 29th of February on the 28th where there is no 29th.
    pub fn in_year(self, year: i16) -> Option<Date> {
        Date::new(year, self.month, self.day).or_else(|_| Date::new(year, self.month, 28)).ok()
    }

    /// 501 for the 1st of May: what an index finds it by.
    pub fn month_day(self) -> i16 {
        i16::from(self.month) * 100 + i16::from(self.day)
    }
}

impl Serialize for DayTold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DayTold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_shops_write_them() {
        for (raw, read) in [
            ("1990-05-01", "1990-05-01"),
            (" 1990-05-01T00:00:00.000Z", "1990-05-01"),
            ("1992-02-29 08:00", "1992-02-29"),
            ("--02-29", "--02-29"),
        ] {
            assert_eq!(raw.parse::<DayTold>().unwrap().to_string(), read);
        }
        for raw in [
            "",
            "tea",
            "1990",
            "1990-5-1",
            "1990-13-01",
            "1991-02-29",
            "05-01",
            "1990-05-011",
            "--1-01",
            "1990-05-é",
        ] {
            assert!(raw.parse::<DayTold>().is_err(), "{raw}");
        }
    }

    #[test]
    fn a_leap_day_comes_on_the_28th_in_other_years() {
        let leap: DayTold = "1992-02-29".parse().unwrap();
        assert_eq!(leap.in_year(2027).unwrap().to_string(), "2027-02-28");
        assert_eq!(leap.in_year(2028).unwrap().to_string(), "2028-02-29");
        assert_eq!(leap.month_day(), 229);
    }
}
