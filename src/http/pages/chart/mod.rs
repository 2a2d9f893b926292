//! Charts, drawn from values: x in per cent of the width, y in pixels, so that text never scales.
//!
//! A chart knows no store and no table: who calls it brings the values, and the words for title, axes and hover.
//! `charts.html` sets down as SVG what is measured out here.

pub mod beside;
pub mod calibration;
pub mod hours;
pub mod rhythm;

use serde::Serialize;

use super::format::Format;

/// A grid line with its label.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Grid {
    pub y: String,
    pub label_y: String,
    pub label: String,
}

/// A label under the axis.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tick {
    pub x: String,
    pub anchor: &'static str,
    pub text: String,
    /// Dropped on phones.
    pub desk: bool,
}

/// 12.5 → "12.5", 100.0 → "100"
pub fn coordinate(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A step of 1, 2 or 5 times a power of ten that gives two or three lines up to `max`. At least 1.
pub fn step(max: i64) -> i64 {
    let rough = (max as f64 / 2.5).max(1.0);
    let power = 10_f64.powf(rough.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|n| n * power >= rough * 0.8).unwrap_or(10.0);
    ((nice * power) as i64).max(1)
}

/// `x,y x,y …` for a polyline.
pub fn points(pairs: impl Iterator<Item = (f64, f64)>) -> String {
    pairs.map(|(x, y)| format!("{},{}", coordinate(x), coordinate(y))).collect::<Vec<_>>().join(" ")
}

/// Grid lines for money up to `highest`, at most `most` of them.
fn money_grid(format: &Format, highest: i64, most: i64, y: impl Fn(i64) -> f64) -> Vec<Grid> {
    let step = step(highest);
    (1..=most)
        .map(|n| n * step)
        .take_while(|minor| *minor <= highest)
        .map(|minor| Grid {
            y: coordinate(y(minor)),
            label_y: coordinate(y(minor) - 5.0),
            label: format.money(minor),
        })
        .collect()
}

/// A small line without axes in a box of 130 × 24, its last point at the right edge.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Spark {
    pub points: String,
    pub last_y: String,
    pub label: String,
}

/// `None` with fewer than three known values: two points are no trend.
pub fn spark(values: &[Option<f64>], label: String) -> Option<Spark> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    if known.len() < 3 || values.len() < 3 || values.last()?.is_none() {
        return None;
    }
    let (low, high) = known.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = (high - low).max(f64::EPSILON);
    let y = |v: f64| if high == low { 12.0 } else { 21.0 - (v - low) / span * 18.0 };
    let step = 130.0 / (values.len() - 1) as f64;
    let pairs = values.iter().enumerate().filter_map(|(n, v)| Some((n as f64 * step, y((*v)?))));
    Some(Spark { points: points(pairs), last_y: coordinate(y(*known.last()?)), label })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        for max in [1_i64, 7, 99, 235_536, 3_616_200, 10_000_000] {
            let lines = max / step(max);
            assert!((1..=4).contains(&lines), "{max}: {} lines of {}", lines, step(max));
        }
        assert_eq!(step(235_536), 100_000);
    }

    #[test]
    fn a_line_stays_in_its_box() {
        let spark = spark(&[Some(3.0), None, Some(5.0), Some(4.0)], String::new()).unwrap();
        assert_eq!(spark.points, "0,21 86.67,3 130,12");
        assert_eq!(super::spark(&[Some(1.0), Some(2.0)], String::new()), None);
    }
}
