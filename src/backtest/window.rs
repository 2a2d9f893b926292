//! The days that a backtest looks at. Pure.

use jiff::civil::Date;

use crate::primitives::{Timestamp, Zone};

/// So many days where none are named.
const USUAL_DAYS: i32 = 90;
/// Further back is another shop.
const MOST_DAYS: i32 = 3_660;

/// From midnight of one day to midnight of another, in the store's zone; the last day is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: Date,
    pub to: Date,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("`{0}` is no date: write the year, the month and the day, such as 2026-06-01")]
    NoDate(String),
    #[error("the window ends on {to}, which is not after its first day, {from}")]
    Reversed { from: Date, to: Date },
    #[error("the window ends on {to}, and nobody knows yet what happens after {today}")]
    Future { to: Date, today: Date },
    #[error("the window is {days} days long; at most {MOST_DAYS} can be looked at")]
    TooLong { days: i32 },
}

impl Window {
    /// As asked for by dates; the last 90 days up to today where nothing is said.
    ///
    /// # Errors
    /// What is no date, ends before it begins, lies in the future, or is longer than ten years.
    pub fn parse(
        from: Option<&str>,
        to: Option<&str>,
        zone: &Zone,
        now: Timestamp,
    ) -> Result<Self, WindowError> {
        let date = |raw: Option<&str>| match raw.map(str::trim).filter(|raw| !raw.is_empty()) {
            None => Ok(None),
            Some(raw) => raw.parse().map(Some).map_err(|_| WindowError::NoDate(raw.to_owned())),
        };
        let today = now.day_in(zone);
        let to: Date = date(to)?.unwrap_or(today);
        let usual = || to.saturating_sub(jiff::Span::new().days(USUAL_DAYS));
        let from: Date = date(from)?.unwrap_or_else(usual);
        let tomorrow = today.tomorrow().unwrap_or(today);
        if from >= to {
            return Err(WindowError::Reversed { from, to });
        }
        if to > tomorrow {
            return Err(WindowError::Future { to, today });
        }
        let days = (to - from).get_days();
        if days > MOST_DAYS {
            return Err(WindowError::TooLong { days });
        }
        Ok(Self { from, to })
    }

    pub fn begins(&self, zone: &Zone) -> Timestamp {
        zone.start_of(self.from)
    }

    /// The instant that is no longer in it.
    pub fn ends(&self, zone: &Zone) -> Timestamp {
        zone.start_of(self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: Option<&str>, to: Option<&str>) -> Result<(String, String), String> {
        // One in the morning of the second of June in Shanghai.
        let now = "2026-06-01T17:00:00Z".parse().unwrap();
        let window = Window::parse(from, to, &"Asia/Shanghai".parse().unwrap(), now);
        window.map(|w| (w.from.to_string(), w.to.to_string())).map_err(|e| e.to_string())
    }

    #[test]
    fn without_dates_it_is_the_last_90_days_up_to_today() {
        assert_eq!(window(None, None), Ok(("2026-03-04".into(), "2026-06-02".into())));
        assert_eq!(window(None, Some("2026-04-01")).unwrap().0, "2026-01-01");
        assert_eq!(window(Some("2026-06-01"), Some("")).unwrap().1, "2026-06-02");
        assert_eq!(window(Some("2026-06-02"), Some("2026-06-03")).unwrap().1, "2026-06-03");
    }

    #[test]
    fn what_is_no_window_is_said() {
        for (from, to, said) in [
            (Some("June"), None, "`June` is no date"),
            (Some("2026-02-30"), None, "`2026-02-30` is no date"),
            (Some("2026-05-02"), Some("2026-05-01"), "ends on 2026-05-01, which is not after"),
            (Some("2026-05-01"), Some("2026-05-01"), "not after its first day"),
            (None, Some("2026-06-04"), "nobody knows yet what happens after 2026-06-02"),
            (Some("2001-05-01"), None, "days long; at most"),
        ] {
            let error = window(from, to).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
