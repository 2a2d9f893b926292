//! Two lines over one axis: how it goes now, beside how it went before.

use serde::Serialize;

use super::{Grid, Tick, coordinate, money_grid, points};
use crate::http::pages::format::Format;

/// Height of the plot above its axis, and the room left on top for labels.
const AXIS: f64 = 208.0;
const TOP: f64 = 34.0;

/// What is drawn: (x in per cent, money in minor units), and the words for it.
#[derive(Debug, Default)]
pub struct Told {
    /// Ends where things stand now.
    pub now: Vec<(f64, i64)>,
    pub past: Vec<(f64, i64)>,
    pub now_label: String,
    pub past_label: String,
    /// The finding.
    pub title: String,
    /// What is counted, in which unit, along which axis.
    pub unit: String,
    pub marks: Vec<Mark>,
    pub ticks: Vec<Tick>,
    /// Above the table under "Show figures".
    pub columns: [String; 3],
    pub rows: Vec<[String; 3]>,
}

/// A stretch of the axis that says its values on hover.
#[derive(Debug, Default, Serialize)]
pub struct Mark {
    pub x: String,
    pub width: String,
    pub title: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Curve {
    pub title: String,
    pub unit: String,
    pub grid: Vec<Grid>,
    pub past: String,
    pub now: String,
    pub area: String,
    pub now_x: String,
    pub now_y: String,
    pub label_y: String,
    /// Which side of now the label stands on.
    pub label_left: bool,
    pub now_label: String,
    pub past_label: String,
    pub marks: Vec<Mark>,
    pub ticks: Vec<Tick>,
    pub columns: [String; 3],
    pub rows: Vec<[String; 3]>,
}

/// `None` where there is nothing to draw.
pub fn draw(format: &Format, told: Told) -> Option<Curve> {
    let (x, last) = *told.now.last()?;
    let highest = told.now.iter().chain(&told.past).map(|(_, minor)| *minor).max()?;
    if highest <= 0 {
        return None;
    }
    let y = |minor: i64| AXIS - minor as f64 / highest as f64 * (AXIS - TOP);
    let line = |values: &[(f64, i64)]| -> Vec<(f64, f64)> {
        values.iter().map(|(x, minor)| (*x, y(*minor))).collect()
    };
    let now = line(&told.now);
    let mut area = now.clone();
    area.push((x, AXIS));
    area.insert(0, (now[0].0, AXIS));
    Some(Curve {
        grid: money_grid(format, highest, 3, y),
        past: points(line(&told.past).into_iter()),
        area: points(area.into_iter()),
        now: points(now.into_iter()),
        now_x: coordinate(x),
        now_y: coordinate(y(last)),
        label_y: coordinate((y(last) - 10.0).max(26.0)),
        label_left: x > 16.0,
        title: told.title,
        unit: told.unit,
        now_label: told.now_label,
        past_label: told.past_label,
        marks: told.marks,
        ticks: told.ticks,
        columns: told.columns,
        rows: told.rows,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::catalogue::Lang;
    use super::super::super::format::tests::format;
    use super::*;

    #[test]
    fn the_highest_value_stands_at_the_top_and_nothing_on_the_axis() {
        let told = Told {
            now: vec![(0.0, 0), (25.0, 50_000)],
            past: vec![(0.0, 0), (100.0, 100_000)],
            ..Told::default()
        };
        let curve = draw(&format(Lang::En, "CNY"), told).unwrap();
        assert_eq!(curve.past, "0,208 100,34");
        assert_eq!(
            (curve.now.as_str(), curve.area.as_str()),
            ("0,208 25,121", "0,208 0,208 25,121 25,208")
        );
        assert_eq!(curve.grid.last().unwrap().label, "¥1,000");
        let nothing = Told { now: vec![(0.0, 0)], ..Told::default() };
        assert!(draw(&format(Lang::En, "CNY"), nothing).is_none());
    }
}
