//! When a customer ordered, for how much, and how long it has been: orders as stems on a time line, messages and
//! visits below.

use serde::Serialize;

use super::{Grid, Tick, coordinate, money_grid};
use crate::http::pages::format::Format;
use crate::primitives::Timestamp;

/// The axis' height, and the room above it for labels.
const AXIS: f64 = 112.0;
const TOP: f64 = 30.0;
const DAY: f64 = 86_400e6;

/// What is drawn, and the words for it.
#[derive(Debug, Default)]
pub struct Told {
    /// Oldest first.
    pub orders: Vec<Stem>,
    pub messages: Vec<Dot>,
    pub visits: Vec<Dot>,
    /// Where the customer has a rhythm.
    pub usual_gap_days: Option<f64>,
    /// Since the last order, as the page's sentence has it.
    pub silent_days: i64,
    pub title: String,
    pub sub: String,
    pub rows: Vec<[String; 3]>,
}

#[derive(Debug)]
pub struct Stem {
    pub at: Timestamp,
    pub minor: i64,
    pub title: String,
}

#[derive(Debug)]
pub struct Dot {
    pub at: Timestamp,
    pub title: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Rhythm {
    pub title: String,
    pub sub: String,
    pub grid: Vec<Grid>,
    pub bars: Vec<RhythmBar>,
    pub gaps: Vec<Tick>,
    pub now_x: String,
    /// From the last order to now.
    pub since_x: String,
    pub since_mid: String,
    pub since: String,
    /// When the next order would usually have come, as x and width.
    pub window: Option<(String, String)>,
    pub messages: Vec<Tick>,
    pub visits: Vec<Tick>,
    pub ticks: Vec<Tick>,
    pub rows: Vec<[String; 3]>,
}

#[derive(Debug, Default, Serialize)]
pub struct RhythmBar {
    pub x: String,
    pub y: String,
    pub title: String,
}

/// `None` with nothing to draw: no order that was placed.
pub fn draw(format: &Format, told: Told) -> Option<Rhythm> {
    let (first, last) = (told.orders.first()?.at, told.orders.last()?.at);
    let now = format.now.max(last);
    // From a little before the first order shown to a little after now, or to when the next is expected.
    let span = ((now.0 - first.0) as f64).max(14.0 * DAY);
    let from = first.0 as f64 - span * 0.04;
    let mut until = now.0 as f64 + span * 0.08;
    let expected = told.usual_gap_days.map(|gap| {
        let at = |share: f64| last.0 as f64 + gap * share * DAY;
        (at(0.75), at(1.25))
    });
    if let Some((_, end)) = expected {
        until = until.max(end.min(now.0 as f64 + span * 0.3));
    }
    let x = |at: f64| (at - from) / (until - from) * 100.0;
    let x_of = |at: Timestamp| x(at.0 as f64);
    let highest = told.orders.iter().map(|order| order.minor).max()?.max(1);
    let y = |minor: i64| AXIS - (minor as f64 / highest as f64 * (AXIS - TOP)).max(2.0);
    let dots = |dots: Vec<Dot>| -> Vec<Tick> {
        dots.into_iter()
            .filter(|dot| dot.at.0 as f64 >= from && dot.at.0 as f64 <= until)
            .map(|dot| Tick {
                x: coordinate(x_of(dot.at)),
                anchor: "",
                text: dot.title,
                desk: false,
            })
            .collect()
    };
    let silent = told.silent_days;
    let is_late = told.usual_gap_days.is_some_and(|gap| silent as f64 > gap);
    Some(Rhythm {
        title: told.title,
        sub: told.sub,
        grid: money_grid(format, highest, 2, y),
        gaps: gaps(format, &told.orders, x_of),
        bars: told
            .orders
            .into_iter()
            .map(|order| RhythmBar {
                x: coordinate(x_of(order.at)),
                y: coordinate(y(order.minor)),
                title: order.title,
            })
            .collect(),
        now_x: coordinate(x_of(now)),
        since_x: coordinate(x_of(last) + 0.3),
        since_mid: coordinate((x_of(last) + x_of(now)) / 2.0),
        since: if is_late {
            format.text("rhythm.days", &[("n", &format.number(silent))])
        } else {
            String::new()
        },
        window: expected.map(|(start, end)| {
            let (start, end) = (x(start).min(100.0), x(end).min(100.0));
            (coordinate(start), coordinate((end - start).max(0.0)))
        }),
        messages: dots(told.messages),
        visits: dots(told.visits),
        ticks: month_ticks(format, from, until),
        rows: told.rows,
    })
}

/// The days between orders. Where there is no room for a number there is none: the table has them all.
fn gaps(format: &Format, orders: &[Stem], x: impl Fn(Timestamp) -> f64) -> Vec<Tick> {
    let mut gaps = Vec::new();
    for pair in orders.windows(2) {
        let (a, b) = (x(pair[0].at), x(pair[1].at));
        if b - a >= 3.5 {
            let days = pair[1].at.days_since(pair[0].at).round() as i64;
            gaps.push(Tick {
                x: coordinate((a + b) / 2.0),
                anchor: "middle",
                text: format.number(days),
                desk: b - a < 8.0,
            });
        }
    }
    gaps
}

/// The first of each month, or of every third or sixth where there are many.
fn month_ticks(format: &Format, from: f64, until: f64) -> Vec<Tick> {
    let months = ((until - from) / (30.4 * 86_400e6)).ceil() as i32;
    let every = match months {
        ..=14 => 1,
        15..=40 => 3,
        _ => 6,
    };
    let mut day = format.local(Timestamp(from as i64)).date().first_of_month();
    let mut ticks = Vec::new();
    for _ in 0..200 {
        let Ok(next) = day.checked_add(jiff::Span::new().months(1)) else { break };
        day = next;
        let at = format.zone.start_of(day).0 as f64;
        if at > until {
            break;
        }
        if (i32::from(day.month()) - 1) % every != 0 {
            continue;
        }
        let x = (at - from) / (until - from) * 100.0;
        let text = if day.month() == 1 { day.year().to_string() } else { format.month(day) };
        let desk = months > 7 && ticks.len() % 2 == 1;
        ticks.push(Tick {
            x: coordinate(x),
            anchor: if x > 96.0 { "end" } else { "middle" },
            text,
            desk,
        });
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::super::super::catalogue::Lang;
    use super::super::super::format::tests::format;
    use super::*;

    fn days_ago(format: &Format, days: f64, minor: i64) -> Stem {
        Stem { at: Timestamp(format.now.0 - (days * DAY) as i64), minor, title: String::new() }
    }

    #[test]
    fn a_customer_who_is_late_is_drawn_so() {
        let format = format(Lang::En, "CNY");
        let orders = vec![days_ago(&format, 80.0, 10_000), days_ago(&format, 60.0, 20_000)];
        let told = Told { orders, usual_gap_days: Some(20.0), silent_days: 60, ..Told::default() };
        let rhythm = draw(&format, told).unwrap();
        assert!(rhythm.since.contains("60"), "{}", rhythm.since);
        assert_eq!(rhythm.bars[1].y, "30", "the dearest order is the highest");
        assert_eq!(rhythm.gaps[0].text, "20");
        let x = |text: &str| text.parse::<f64>().unwrap();
        assert!(
            x(&rhythm.since_x) < x(&rhythm.since_mid) && x(&rhythm.since_mid) < x(&rhythm.now_x)
        );
    }

    #[test]
    fn without_an_order_there_is_nothing_to_draw() {
        assert!(draw(&format(Lang::En, "CNY"), Told::default()).is_none());
    }
}
