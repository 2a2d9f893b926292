//! GMV beside an earlier time: through a day, or by day.

use super::{Compared, View};
use crate::http::pages::chart::beside::{self, Curve, Mark, Told};
use crate::http::pages::chart::{Tick, coordinate, hours};
use crate::http::pages::format::{Format, UNKNOWN};

/// Summed up since midnight.
pub fn of_day(format: &Format, compared: &Compared, view: View) -> Option<Curve> {
    let now = view.now;
    let (hours, hours_before) = (&compared.course, &compared.course_before);
    let (past, all) = (running(hours_before), running(hours));
    let x = |hour: f64| hour / 24.0 * 100.0;
    let elapsed = ((now.0 - view.span.start().0) as f64 / 3_600e6).clamp(0.0, 24.0);
    let whole = elapsed.floor() as usize;
    let so_far = compared.now.gmv;

    let mut line: Vec<(f64, i64)> =
        (0..=whole.min(24)).map(|hour| (x(hour as f64), all[hour])).collect();
    line.push((x(elapsed), so_far));
    let (today_word, then) = (view.name(format), view.name_before(format));
    let marks = (0..24)
        .map(|hour| {
            let span = format!("{hour:02}:00–{:02}:00", hour + 1);
            let mut parts = vec![format!("{then} {}", format.money(hours_before[hour]))];
            if hour <= whole {
                parts.insert(0, format!("{today_word} {}", format.money(hours[hour])));
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
    rows.push([clock.clone(), format.money(so_far), format.money(compared.before.gmv)]);
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
                ("then", &format.money(compared.before.gmv)),
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

/// Day by day; the last day of both as far as today is.
pub fn of_days(format: &Format, compared: &Compared, view: View) -> Option<Curve> {
    let (days, days_before) = (&compared.course, &compared.course_before);
    let count = days.len().max(2);
    let step = 100.0 / (count - 1) as f64;
    let x = |day: usize| day as f64 * step;
    let dates: Vec<_> =
        view.span.first.date.series(jiff::Span::new().days(1)).take(count).collect();
    let (now_word, then) = (view.name(format), view.name_before(format));
    let line = |values: &[i64]| -> Vec<(f64, i64)> {
        values.iter().enumerate().map(|(day, minor)| (x(day), *minor)).collect()
    };
    let at = |values: &[i64], day: usize| values.get(day).map_or(0, |minor| *minor);
    let marks = (0..count)
        .map(|day| {
            let parts = [
                format!("{now_word} {}", format.money(at(days, day))),
                format!("{then} {}", format.money(at(days_before, day))),
            ];
            let name = format.date_with_weekday(dates[day]);
            Mark {
                // Half a step to either side, as far as there is room.
                x: coordinate((x(day) - step / 2.0).max(0.0)),
                width: coordinate(if day == 0 || day == count - 1 { step / 2.0 } else { step }),
                title: format!("{name}: {}", parts.join(&format.text("list_comma", &[]))),
            }
        })
        .collect();
    let every = count.div_ceil(7);
    let ticks = (0..count)
        .step_by(every)
        .map(|day| Tick {
            x: coordinate(x(day)),
            anchor: match day {
                0 => "start",
                last if last == count - 1 => "end",
                _ => "middle",
            },
            text: format.date(dates[day]),
            desk: day / every % 2 == 1,
        })
        .collect();
    let rows = (0..count).rev().map(|day| {
        let (now, before) = (at(days, day), at(days_before, day));
        [format.date_with_weekday(dates[day]), format.money(now), format.money(before)]
    });
    let n = view.days.to_string();
    let told = Told {
        now: line(days),
        past: line(days_before),
        now_label: {
            let today = days.last().map_or(0, |minor| *minor);
            format!("{} {}", format.text("nav.today", &[]), format.money(today))
        },
        // Two lines of so many days cross: the caption tells them apart better than a label at the end of one.
        past_label: String::new(),
        title: format.text(
            "today.curve_days_title",
            &[
                ("n", &n),
                ("now", &format.money(compared.now.gmv)),
                ("then", &format.money(compared.before.gmv)),
            ],
        ),
        unit: format.text(
            "today.curve_days_unit",
            &[
                ("currency", format.currency.as_str()),
                ("n", &n),
                ("clock", &format.clock(view.now)),
            ],
        ),
        marks,
        ticks,
        rows: rows.collect(),
        columns: [format.text("today.day", &[]), now_word, then],
    };
    beside::draw(format, told)
}

/// The sum at each hour's begin, and at the day's end.
fn running(hours: &[i64]) -> Vec<i64> {
    let mut sum = 0;
    let after = hours.iter().map(|n| {
        sum += n;
        sum
    });
    std::iter::once(0).chain(after).collect()
}
