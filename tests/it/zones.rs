//! Local time in every zone there is, from twelve hours behind to fourteen ahead, over a whole year of changing clocks.

use homing::outbox::quiet;
use homing::primitives::{Delay, Timestamp, Zone};
use homing::rules::LocalTime;
use homing::stores::QuietHours;
use jiff::Zoned;

/// Those whose clocks change, or change oddly: by half an hour, by two, at midnight, against the seasons.
const CHANGING: [&str; 16] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
];

fn all() -> Vec<Zone> {
    // Their names count westward: `Etc/GMT-14` is fourteen hours ahead.
    let whole = (-14..=12).map(|hours| match hours {
        0 => "Etc/GMT".to_owned(),
        _ => format!("Etc/GMT{hours:+}"),
    });
    let changing = CHANGING.into_iter().map(str::to_owned);
    whole
        .chain(changing)
        .map(|name| name.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
        .collect()
}

/// Instants of one year, an odd step apart.
fn year() -> impl Iterator<Item = Timestamp> {
    let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    (0..2_700).map(move |n| first.plus(Delay::seconds(n * 11_657)))
}

fn local(at: Timestamp, zone: &Zone) -> Zoned {
    at.to_jiff().to_zoned(zone.tz().clone())
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - 1)
}

#[test]
fn quiet_hours_end_at_nine_by_the_clock_on_the_wall() {
    let hours: QuietHours = "21:00-09:00".parse().unwrap();
    for zone in all() {
        for now in year() {
            let wall = local(now, &zone);
            let is_quiet = !(9..21).contains(&wall.hour());
            match quiet::ends_at(hours, &zone, now) {
                None => assert!(!is_quiet, "{wall}"),
                Some(end) => {
                    let until = local(end, &zone);
                    assert!(is_quiet && end > now, "{wall}");
                    assert_eq!(
                        (until.hour(), until.minute(), until.second()),
                        (9, 0, 0),
                        "{wall} until {until}"
                    );
                    assert!(quiet::ends_at(hours, &zone, just_before(end)).is_some(), "{until}");
                }
            }
        }
    }
}

#[test]
fn a_step_at_ten_leaves_at_ten_by_the_clock_on_the_wall() {
    let ten: LocalTime = "10:00".parse().unwrap();
    for zone in all() {
        for now in year() {
            let at = ten.from_on(now, &zone);
            let wall = local(at, &zone);
            assert_eq!((wall.hour(), wall.minute(), wall.second()), (10, 0, 0), "{wall}");
            assert!(at >= now && ten.from_on(at, &zone) == at, "{wall}");
            assert!(at < now.plus(Delay::hours(26)), "the next one, not the one after: {wall}");
        }
    }
}

#[test]
fn a_day_begins_once_and_where_the_day_before_ends() {
    for zone in all() {
        for now in year() {
            let day = now.day_in(&zone);
            let begins = zone.start_of(day);
            assert!(begins <= now, "{} {day}", zone.name());
            assert_eq!(
                (begins.day_in(&zone), just_before(begins).day_in(&zone)),
                (day, day.yesterday().unwrap()),
                "{}",
                zone.name()
            );
            assert_eq!(begins.day_number(&zone), now.day_number(&zone));
        }
    }
}
