//! GMV since midnight beside an earlier day.

use super::Loaded;
use crate::http::pages::chart::beside::{self, Curve, Mark, Told};
use crate::http::pages::chart::{coordinate, hours};
use crate::http::pages::format::{Format, UNKNOWN};
use crate::primitives::Timestamp;
use crate::reports::today::Day;

pub fn of_day(
    format: &Format,
    now: Timestamp,
    loaded: &Loaded,
    today: Day,
    before: Day,
) -> Option<Curve> {
    let (past, all) = (running(&loaded.hours_before), running(&loaded.hours));
    let x = |hour: f64| hour / 24.0 * 100.0;
    let elapsed = ((now.0 - today.start.0) as f64 / 3_600e6).clamp(0.0, 24.0);
    let whole = elapsed.floor() as usize;
    let so_far = loaded.today.gmv;

    let mut line: Vec<(f64, i64)> =
        (0..=whole.min(24)).map(|hour| (x(hour as f64), all[hour])).collect();
    line.push((x(elapsed), so_far));
    let then = format.date_with_weekday(before.date);
    let today_word = format.text("nav.today", &[]);
    let marks = (0..24)
        .map(|hour| {
            let span = format!("{hour:02}:00–{:02}:00", hour + 1);
            let mut parts = vec![format!("{then} {}", format.money(loaded.hours_before[hour]))];
            if hour <= whole {
                parts.insert(0, format!("{today_word} {}", format.money(loaded.hours[hour])));
            }
            Mark {
                x: coordinate(x(hour as f64)),
                width: coordinate(x(1.0)),
                title: format!("{span}: {}", parts.join(&format.text("list_comma", &[]))),
            }
        })
        .collect();
    let mut rows: Vec<[String; 3]> = [6, 12, 18]
        .into_iter()
        .filter(|hour| *hour <= whole)
        .map(|hour| [format!("{hour:02}:00"), format.money(all[hour]), format.money(past[hour])])
        .collect();
    let clock = format.clock(now);
    rows.push([clock.clone(), format.money(so_far), format.money(loaded.before.gmv)]);
    rows.push(["24:00".to_owned(), UNKNOWN.to_owned(), format.money(past[24])]);

    let told = Told {
        now: line,
        past: (0..=24).map(|hour| (x(hour as f64), past[hour])).collect(),
        now_label: format!("{today_word} {}", format.money(so_far)),
        past_label: format!("{then} {}", format.money(past[24])),
        title: format.text(
            "today.curve_title",
            &[
                ("now", &format.money(so_far)),
                ("clock", &clock),
                ("then", &format.money(loaded.before.gmv)),
                ("end", &format.money(past[24])),
            ],
        ),
        unit: format.text("today.curve_unit", &[("currency", format.currency.as_str())]),
        marks,
        ticks: hours::ticks([0, 6, 12, 18, 24]),
        columns: [format.text("today.until_hour", &[]), today_word, then],
        rows,
    };
    beside::draw(format, told)
}

/// The sum at each hour's begin, and at the day's end.
fn running(hours: &[i64; 24]) -> [i64; 25] {
    let mut sums = [0; 25];
    for (hour, n) in hours.iter().enumerate() {
        sums[hour + 1] = sums[hour] + n;
    }
    sums
}
