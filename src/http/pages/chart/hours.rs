//! The hours of a day as bars, of what is done and of what is to come, around the night.

use serde::Serialize;

use super::{Tick, coordinate};
use crate::stores::QuietHours;

/// The axis' height, and the highest bar.
const AXIS: f64 = 104.0;
const HIGHEST: f64 = 84.0;

#[derive(Debug, Default, Serialize)]
pub struct Hours {
    pub bars: Vec<Bar>,
    /// Quiet hours, as x and width.
    pub quiet: Vec<(String, String)>,
    pub now_x: String,
    pub ticks: Vec<Tick>,
}

#[derive(Debug, Default, Serialize)]
pub struct Bar {
    pub x: String,
    pub title: String,
    pub done_y: String,
    pub done_height: String,
    pub to_come_y: String,
    pub to_come_height: String,
}

/// `elapsed` is the part of the day that is over, 0 to 1; `title` says an hour's values on hover.
pub fn draw(
    done: &[i64; 24],
    to_come: &[i64; 24],
    quiet: Option<QuietHours>,
    elapsed: f64,
    title: impl Fn(usize) -> String,
) -> Hours {
    let highest = (0..24).map(|h| done[h] + to_come[h]).max().unwrap_or(0).max(1);
    let size = |n: i64| n as f64 / highest as f64 * HIGHEST;
    let bars = (0..24)
        .filter(|h| done[*h] + to_come[*h] > 0)
        .map(|h| {
            let (done, to_come) = (size(done[h]), size(to_come[h]));
            // A line of the page between the two.
            let above = if done > 0.0 { (to_come - 1.0).max(0.0) } else { to_come };
            Bar {
                x: coordinate(h as f64 / 24.0 * 100.0 + 0.4),
                title: title(h),
                done_y: coordinate(AXIS - done),
                done_height: coordinate(done),
                to_come_y: coordinate(AXIS - done - to_come),
                to_come_height: coordinate(above),
            }
        })
        .collect();
    let hours = match quiet {
        Some(quiet) => [0, i32::from(quiet.until.hour()), 12, i32::from(quiet.from.hour()), 24],
        None => [0, 6, 12, 18, 24],
    };
    Hours {
        bars,
        quiet: quiet.map_or(Vec::new(), spans),
        now_x: coordinate((elapsed * 100.0).clamp(0.0, 100.0)),
        ticks: ticks(hours),
    }
}

/// The hours named under the axis of a day.
pub fn ticks(mut hours: [i32; 5]) -> Vec<Tick> {
    hours.sort_unstable();
    let mut ticks: Vec<Tick> = hours
        .iter()
        .map(|hour| Tick {
            x: coordinate(f64::from(*hour) / 24.0 * 100.0),
            anchor: match hour {
                0 => "start",
                24 => "end",
                _ => "middle",
            },
            text: format!("{hour:02}:00"),
            desk: false,
        })
        .collect();
    ticks.dedup();
    ticks
}

/// Where the night lies on the axis of a day.
fn spans(hours: QuietHours) -> Vec<(String, String)> {
    let at = |time: jiff::civil::Time| {
        (f64::from(time.hour()) + f64::from(time.minute()) / 60.0) / 24.0 * 100.0
    };
    let (from, until) = (at(hours.from), at(hours.until));
    if from <= until {
        vec![(coordinate(from), coordinate(until - from))]
    } else {
        vec![("0".to_owned(), coordinate(until)), (coordinate(from), coordinate(100.0 - from))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_night_is_drawn_around_midnight() {
        let hours: QuietHours = "21:00-09:00".parse().unwrap();
        let text = |x: &str| x.to_owned();
        assert_eq!(spans(hours), [(text("0"), text("37.5")), (text("87.5"), text("12.5"))]);
        let noon: QuietHours = "12:00-15:00".parse().unwrap();
        assert_eq!(spans(noon), [(text("50"), text("12.5"))]);
    }

    #[test]
    fn what_is_to_come_stands_on_what_is_done() {
        let (mut done, mut to_come) = ([0; 24], [0; 24]);
        (done[9], to_come[9], to_come[12]) = (1, 1, 1);
        let hours = draw(&done, &to_come, None, 0.5, |h| h.to_string());
        let tops: Vec<(&str, &str)> =
            hours.bars.iter().map(|bar| (bar.done_y.as_str(), bar.to_come_y.as_str())).collect();
        assert_eq!(tops, [("62", "20"), ("104", "62")]);
        assert_eq!(hours.now_x, "50");
    }
}
