//! Quiet hours: local time of day, in the recipient's zone, over every change of its clocks. Pure.

use jiff::civil::Time;
use jiff::tz::AmbiguousOffset;

use crate::primitives::{Timestamp, Zone};
use crate::stores::QuietHours;

/// When the quiet hours that `now` lies in end; `None` when it lies in none.
///
/// Where clocks skip the end, quiet ends with the skip; where they show it twice, with the last time it is quiet.
pub fn ends_at(hours: QuietHours, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
    let local = zone.tz().to_datetime(now.to_jiff());
    if !is_quiet(hours, local.time()) {
        return None;
    }
    // The end is on this local day or the next; a zone may skip a whole day, so look one further.
    let days = std::iter::successors(Some(local.date()), |day| day.tomorrow().ok()).take(3);
    let ends = days.flat_map(|day| {
        let at = day.to_datetime(hours.until);
        let tz = zone.tz();
        let ambiguous = tz.to_ambiguous_zoned(at);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(at).ok(), None],
            AmbiguousOffset::Fold { before, after } => {
                [before.to_timestamp(at).ok(), after.to_timestamp(at).ok()]
            }
            // Read with the later offset it lies just before the skip.
            AmbiguousOffset::Gap { after, .. } => [
                after
                    .to_timestamp(at)
                    .ok()
                    .and_then(|before| tz.following(before).next())
                    .map(|transition| transition.timestamp()),
                None,
            ],
        }
    });
    ends.flatten()
        .map(Timestamp::from)
        .find(|end| *end > now && !is_quiet(hours, zone.tz().to_datetime(end.to_jiff()).time()))
}

/// From `from`, itself included, until `until`, itself not.
fn is_quiet(hours: QuietHours, time: Time) -> bool {
    if hours.from < hours.until {
        hours.from <= time && time < hours.until
    } else {
        hours.from <= time || time < hours.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ends(hours: &str, zone: &str, now: &str) -> Option<String> {
        let (zone, now) = (zone.parse().unwrap(), now.parse().unwrap());
        ends_at(hours.parse().unwrap(), &zone, now).map(|at| at.to_string())
    }

    #[test]
    fn a_night_spans_midnight() {
        let at = |now| ends("21:00-09:00", "Asia/Shanghai", now);
        assert_eq!(at("2026-06-01T12:59:59Z"), None, "20:59:59");
        assert_eq!(at("2026-06-01T13:00:00Z").as_deref(), Some("2026-06-02T01:00:00Z"), "21:00");
        assert_eq!(at("2026-06-01T17:00:00Z").as_deref(), Some("2026-06-02T01:00:00Z"), "01:00");
        assert_eq!(at("2026-06-02T00:59:59Z").as_deref(), Some("2026-06-02T01:00:00Z"), "08:59:59");
        assert_eq!(at("2026-06-02T01:00:00Z"), None, "09:00");
    }

    #[test]
    fn noon_quiet_is_within_a_day() {
        let at = |now| ends("12:00-14:00", "Europe/Berlin", now);
        assert_eq!(at("2026-06-01T10:30:00Z").as_deref(), Some("2026-06-01T12:00:00Z"));
        assert_eq!(at("2026-06-01T12:00:00Z"), None);
    }

    #[test]
    fn daylight_saving_moves_the_end_with_the_wall_clock() {
        let at = |now| ends("21:00-09:00", "Europe/Berlin", now);
        // The night in which summer begins is an hour shorter, the other an hour longer.
        assert_eq!(at("2026-03-28T21:00:00Z").as_deref(), Some("2026-03-29T07:00:00Z"));
        assert_eq!(at("2026-10-24T20:00:00Z").as_deref(), Some("2026-10-25T08:00:00Z"));
    }

    #[test]
    fn an_end_that_clocks_skip_is_the_end_of_the_skip() {
        let at = ends("21:00-02:30", "Europe/Berlin", "2026-03-29T00:30:00Z");
        assert_eq!(at.as_deref(), Some("2026-03-29T01:00:00Z"));
    }

    #[test]
    fn an_end_that_clocks_show_twice_is_the_one_after_now() {
        let at = |now| ends("21:00-02:30", "Europe/Berlin", now);
        assert_eq!(
            at("2026-10-25T00:10:00Z").as_deref(),
            Some("2026-10-25T00:30:00Z"),
            "first 02:10"
        );
        assert_eq!(at("2026-10-25T00:40:00Z"), None, "first 02:40");
        assert_eq!(
            at("2026-10-25T01:10:00Z").as_deref(),
            Some("2026-10-25T01:30:00Z"),
            "second 02:10"
        );
    }

    proptest! {
        #[test]
        fn quiet_ends_within_two_days_at_a_time_that_is_not_quiet(
            zone in prop::sample::select(vec![
                "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                "Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "Asia/Kathmandu", "UTC",
            ]),
            now in 1_000_000_000_i64..2_000_000_000,
            from in 0..24_i8, until in 0..24_i8, half in any::<bool>(),
        ) {
            prop_assume!(from != until);
            let zone: Zone = zone.parse().unwrap();
            let until = Time::new(until, if half { 30 } else { 0 }, 0, 0).unwrap();
            let hours = QuietHours { from: Time::new(from, 0, 0, 0).unwrap(), until };
            let now = Timestamp(now * 1_000_000);
            if let Some(end) = ends_at(hours, &zone, now) {
                prop_assert!(end > now && end.days_since(now) <= 2.1, "{now} {end}");
                prop_assert_eq!(ends_at(hours, &zone, end), None);
            }
        }
    }
}
