//! Paging: `limit` and `cursor` in, `items` and `next_cursor` out. A cursor says where a list goes on, so that rows
//! that come and go neither repeat nor hide others.

use serde::Serialize;

use super::problem::Problem;

const DEFAULT: i64 = 50;
const MOST: i64 = 500;

/// 1 to 500, 50 if not given; what is out of range is brought into it.
pub fn limit(raw: Option<&str>) -> Result<i64, Problem> {
    let Some(raw) = raw else { return Ok(DEFAULT) };
    let is_number = !raw.is_empty() && raw.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(Problem::bad_request(format!(
            "limit: `{}` is no number from 1 to {MOST}",
            shown(raw)
        )));
    }
    // Too many digits for a number are a large one.
    Ok(raw.parse().unwrap_or(MOST).clamp(1, MOST))
}

/// Where to go on, in the list's own terms.
pub fn cursor<T: std::str::FromStr>(raw: Option<&str>) -> Result<Option<T>, Problem> {
    let invalid = |_| {
        Problem::bad_request(
            "cursor: take next_cursor of the page before, with the same parameters",
        )
    };
    raw.map(|raw| raw.parse().map_err(invalid)).transpose()
}

/// A part of the caller's input in an answer: never the whole of something huge.
pub fn shown(raw: &str) -> String {
    crate::primitives::clean_text(raw, 60).unwrap_or_default()
}

/// A page of a list. `next_cursor` is null at the end.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A full page may go on after its last item; one that is not full is the last.
    pub fn of(items: Vec<T>, limit: i64, place: impl Fn(&T) -> String) -> Self {
        let next_cursor = items.last().filter(|_| items.len() as i64 == limit).map(place);
        Self { items, next_cursor }
    }
}

/// A cursor of a time and an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub at: i64,
    pub id: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at, self.id)
    }
}

impl std::str::FromStr for Place {
    type Err = std::num::ParseIntError;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let (at, id) = raw.split_once('.').unwrap_or((raw, ""));
        Ok(Self { at: at.parse()?, id: id.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_brought_into_range() {
        for (raw, expected) in
            [("1", 1), ("0", 1), ("500", 500), ("501", 500), ("99999999999999999999999", 500)]
        {
            assert_eq!(limit(Some(raw)).unwrap(), expected, "{raw}");
        }
        assert_eq!(limit(None).unwrap(), 50);
        for raw in ["", "-1", "ten", "1.5", "１"] {
            assert!(limit(Some(raw)).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_place_reads_back_as_it_prints() {
        let place = Place { at: 1_780_000_000_000_000, id: -7 };
        assert_eq!(place.to_string().parse::<Place>(), Ok(place));
        for raw in ["", ".", "1", "1.", "a.b", "1.2.3"] {
            assert!(cursor::<Place>(Some(raw)).is_err(), "{raw}");
        }
    }
}
