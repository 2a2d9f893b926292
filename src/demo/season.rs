//! The shop's year: how lively trade is on a day, and when a rhythm of "every 30 days" falls due in such a year.

use jiff::civil::{Date, Weekday};

use crate::primitives::{Timestamp, Zone};

/// The days of the sample, from the first to the last, with their liveliness.
pub struct Season {
    starts: Vec<Timestamp>,
    dates: Vec<Date>,
    /// Average days of trade passed before each day; one entry more than there are days.
    passed: Vec<f64>,
}

impl Season {
    /// `days` days that end with the day of `now` in `zone`.
    pub fn until(now: Timestamp, days: usize, zone: &Zone) -> Self {
        let last = now.day_in(zone);
        let mut dates: Vec<Date> = Vec::with_capacity(days);
        let mut date = last;
        for _ in 0..days {
            dates.push(date);
            date = date.yesterday().unwrap_or(date);
        }
        dates.reverse();
        let mut passed = vec![0.0];
        for date in &dates {
            passed.push(passed[passed.len() - 1] + liveliness(*date));
        }
        Self { starts: dates.iter().map(|date| zone.start_of(*date)).collect(), dates, passed }
    }

    pub fn len(&self) -> usize {
        self.dates.len()
    }

    pub fn date(&self, day: usize) -> Date {
        self.dates[day]
    }

    pub fn start_of(&self, day: usize) -> Timestamp {
        self.starts[day]
    }

    /// The day on which `gap` average days of trade have passed since `day`; `None`: after the sample's end.
    ///
    /// Rhythms run in this time, so orders come denser before Singles' Day and thinner over Spring Festival.
    pub fn after(&self, day: usize, gap: f64) -> Option<usize> {
        let due = self.passed[day] + gap.max(1.0);
        let found = self.passed.partition_point(|passed| *passed <= due) - 1;
        (found < self.len()).then(|| found.max(day + 1)).filter(|found| *found < self.len())
    }

    /// A day drawn by `share` in [0, 1): lively days are likelier, and later ones, since the shop grows.
    pub fn drawn(&self, share: f64) -> usize {
        // The density rises from 1 to 3 over the sample: half of its square, inverted.
        let grown = ((1.0 + 8.0 * share).sqrt() - 1.0) / 2.0;
        let due = grown * self.passed[self.len()];
        (self.passed.partition_point(|passed| *passed <= due) - 1).min(self.len() - 1)
    }

    /// The days on which it falls.
    pub fn days_of(&self, occasion: Occasion) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(move |day| is(occasion, self.dates[*day]))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    SpringFestival,
    MidYear,
    MidAutumn,
    SinglesDay,
}

/// The campaign that a visit on this day comes through, if one runs.
pub fn campaign(date: Date) -> Option<&'static str> {
    match (date.month(), date.day()) {
        (6, 1..=20) => Some("618"),
        (11, 1..=12) => Some("singles-day"),
        _ if (1..=21).contains(&days_until(Occasion::SpringFestival, date)) => {
            Some("new-year-gifts")
        }
        _ if (1..=18).contains(&days_until(Occasion::MidAutumn, date)) => Some("mid-autumn-gifts"),
        _ => None,
    }
}

fn liveliness(date: Date) -> f64 {
    let season = match date.month() {
        4 => 1.25, // first flush
        7 | 8 => 0.85,
        9 | 10 => 1.05,
        12 => 1.1,
        _ => 1.0,
    };
    let sales = match (date.month(), date.day()) {
        (6, 1..=15) => 1.2,
        (6, 16..=17) => 2.2,
        (6, 18) => 4.0,
        (6, 19..=20) => 1.6,
        (6, 21..) => 0.75,
        (11, 1..=8) => 1.3,
        (11, 9..=10) => 2.0,
        (11, 11) => 5.0,
        (11, 12..=20) => 0.7,
        _ => 1.0,
    };
    let festival = match days_until(Occasion::SpringFestival, date) {
        5..=21 => 1.5,
        -7..=4 => 0.3, // couriers rest, and so does the shop
        _ => match days_until(Occasion::MidAutumn, date) {
            3..=18 => 1.3,
            _ => 1.0,
        },
    };
    let weekday = match date.weekday() {
        Weekday::Saturday => 1.05,
        Weekday::Sunday => 1.12,
        _ => 0.97,
    };
    season * sales * festival * weekday
}

fn is(occasion: Occasion, date: Date) -> bool {
    days_until(occasion, date) == 0
}

/// Days from `date` to this year's; negative after it.
fn days_until(occasion: Occasion, date: Date) -> i32 {
    let year = date.year();
    let day = match occasion {
        Occasion::SpringFestival => spring_festival(year),
        Occasion::MidYear => jiff::civil::date(year, 6, 18),
        Occasion::MidAutumn => mid_autumn(year),
        Occasion::SinglesDay => jiff::civil::date(year, 11, 11),
    };
    (day - date).get_days()
}

/// Month and day of the lunar new year, 2024 to 2042; it comes back to within a day every 19 years.
const LUNAR_NEW_YEAR: [(i8, i8); 19] = [
    (2, 10),
    (1, 29),
    (2, 17),
    (2, 6),
    (1, 26),
    (2, 13),
    (2, 3),
    (1, 23),
    (2, 11),
    (1, 31),
    (2, 19),
    (2, 8),
    (1, 28),
    (2, 15),
    (2, 4),
    (1, 24),
    (2, 12),
    (2, 1),
    (1, 22),
];

fn spring_festival(year: i16) -> Date {
    let (month, day) = LUNAR_NEW_YEAR[(year - 2024).rem_euclid(19) as usize];
    jiff::civil::date(year, month, day)
}

/// To within a month where a leap month falls late: near enough for a sample.
fn mid_autumn(year: i16) -> Date {
    let new_year = spring_festival(year);
    let days = if new_year.month() == 1 { 250 } else { 220 };
    new_year.saturating_add(jiff::Span::new().days(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn season() -> Season {
        let zone: Zone = "Asia/Shanghai".parse().unwrap();
        Season::until("2026-11-22T02:00:00Z".parse().unwrap(), 731, &zone)
    }

    #[test]
    fn festivals_fall_where_calendars_have_them() {
        let season = season();
        let dates = |occasion| {
            season.days_of(occasion).map(|day| season.date(day).to_string()).collect::<Vec<_>>()
        };
        assert_eq!(dates(Occasion::SpringFestival), ["2025-01-29", "2026-02-17"]);
        assert_eq!(dates(Occasion::MidAutumn), ["2025-10-06", "2026-09-25"]);
        assert_eq!(dates(Occasion::SinglesDay), ["2025-11-11", "2026-11-11"]);
    }

    #[test]
    fn a_rhythm_is_shorter_before_a_sale_and_longer_over_the_holiday() {
        let season = season();
        let from = |text: &str| {
            let day = (0..season.len()).find(|d| season.date(*d).to_string() == text).unwrap();
            season.after(day, 20.0).unwrap() - day
        };
        assert!(from("2025-10-28") < 16, "{}", from("2025-10-28"));
        assert!(from("2026-02-12") > 22, "{}", from("2026-02-12"));
        assert_eq!(season.after(season.len() - 5, 30.0), None);
    }

    #[test]
    fn every_draw_is_a_day_of_the_sample() {
        let season = season();
        assert_eq!((season.drawn(0.0), season.drawn(1.0)), (0, season.len() - 1));
        assert!(season.drawn(0.5) > season.len() / 2);
    }
}
