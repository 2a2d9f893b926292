//! What was predicted against what happened, group by group; on the dotted line both are the same.

use serde::Serialize;

use super::{Grid, Tick, coordinate, points};
use crate::http::pages::format::Format;

/// Height of the plot above its axis, and the room left on top.
const AXIS: f64 = 208.0;
const TOP: f64 = 24.0;

/// The highest chance that the axes show: the least of these that holds all groups.
const SCALES: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.6, 1.0];

#[derive(Debug, Default)]
pub struct Told {
    pub groups: Vec<Group>,
    pub title: String,
    pub unit: String,
    pub columns: [String; 3],
}

#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub predicted: f64,
    pub happened: f64,
    pub customers: i64,
}

#[derive(Debug, Default, Serialize)]
pub struct Plot {
    pub title: String,
    pub unit: String,
    pub grid: Vec<Grid>,
    pub ideal: String,
    pub line: String,
    pub dots: Vec<Dot>,
    pub ticks: Vec<Tick>,
    pub columns: [String; 3],
    pub rows: Vec<[String; 3]>,
}

#[derive(Debug, Default, Serialize)]
pub struct Dot {
    pub x: String,
    pub y: String,
    pub title: String,
}

/// `None` where nobody was predicted.
pub fn draw(format: &Format, told: Told) -> Option<Plot> {
    let highest =
        told.groups.iter().map(|group| group.predicted.max(group.happened)).reduce(f64::max)?;
    let scale = SCALES.into_iter().find(|scale| *scale >= highest).unwrap_or(1.0);
    let x = |share: f64| share / scale * 100.0;
    let y = |share: f64| AXIS - share / scale * (AXIS - TOP);
    let percent = |share: f64| format.percent(share, usize::from(share < 0.1 && share > 0.0));
    let words = |group: &Group| {
        [percent(group.predicted), percent(group.happened), format.number(group.customers)]
    };
    let place = |group: &Group| (x(group.predicted), y(group.happened));
    let axis = |share: f64| format.percent(share, usize::from((share * 100.0).fract() > 1e-6));
    Some(Plot {
        ideal: points([(0.0, AXIS), (100.0, TOP)].into_iter()),
        line: points(told.groups.iter().map(place)),
        grid: [0.5, 1.0]
            .map(|part| Grid {
                y: coordinate(y(part * scale)),
                label_y: coordinate(y(part * scale) - 5.0),
                label: axis(part * scale),
            })
            .to_vec(),
        ticks: [(0.0, "start"), (0.5, "middle"), (1.0, "end")]
            .map(|(part, anchor)| Tick {
                x: coordinate(part * 100.0),
                anchor,
                text: axis(part * scale),
                desk: false,
            })
            .to_vec(),
        dots: told
            .groups
            .iter()
            .map(|group| {
                let ((x, y), [predicted, happened, customers]) = (place(group), words(group));
                let [p, h, n] = &told.columns;
                let title = format!("{p} {predicted}, {h} {happened}, {n} {customers}");
                Dot { x: coordinate(x), y: coordinate(y), title }
            })
            .collect(),
        rows: told.groups.iter().map(words).collect(),
        title: told.title,
        unit: told.unit,
        columns: told.columns,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::catalogue::Lang;
    use super::super::super::format::tests::format;
    use super::*;

    #[test]
    fn what_came_as_predicted_lies_on_the_line() {
        let group = |predicted, happened| Group { predicted, happened, customers: 40 };
        let told = Told { groups: vec![group(0.02, 0.0), group(0.2, 0.2)], ..Told::default() };
        let plot = draw(&format(Lang::En, "CNY"), told).unwrap();
        assert_eq!(plot.ideal, "0,208 100,24");
        assert_eq!(plot.line, "10,208 100,24");
        assert_eq!(plot.rows[1], ["20\u{202f}%", "20\u{202f}%", "40"]);
        assert_eq!((plot.dots[1].x.as_str(), plot.grid[1].label.as_str()), ("100", "20\u{202f}%"));
        assert!(draw(&format(Lang::En, "CNY"), Told::default()).is_none());
    }
}
