//! The day's figures, each with its change and its small line.

use serde::Serialize;

use super::{Loaded, SPARK_DAYS, View, rows};
use crate::http::pages::chart::{self, Spark};
use crate::http::pages::format::{Format, UNKNOWN};
use crate::reports::today::Totals;

#[derive(Debug, Default, Serialize)]
pub struct Figure {
    pub name: String,
    pub definition: String,
    pub value: String,
    pub change: String,
    /// `up`, `down` or empty: the arrow says it too.
    pub way: &'static str,
    pub note: String,
    /// Between this figure and the one before.
    pub sign: &'static str,
    pub spark: Option<Spark>,
    /// The rows behind it.
    pub href: String,
}

pub fn figures(format: &Format, loaded: &Loaded, view: View) -> Vec<Figure> {
    let (now, then) = (loaded.compared.now, loaded.compared.before);
    let days = |value: fn(&Totals) -> Option<f64>| -> Vec<Option<f64>> {
        // The days so far in full; today, being half, is no point of the line.
        loaded.days.iter().map(|(_, totals)| value(totals)).collect()
    };
    let label = format.count("today.spark", SPARK_DAYS - 1);
    let spark = |value: fn(&Totals) -> Option<f64>| chart::spark(&days(value), label.clone());
    let money = |minor: Option<f64>| {
        minor.map_or(UNKNOWN.to_owned(), |m| format.money_exact(m.round() as i64))
    };
    let against = match view.days {
        1 => format.text("today.against", &[("day", format.weekday_short(view.before.last.date))]),
        n => format.text("today.against_days", &[("n", &n.to_string())]),
    };
    let (from, until) = (view.span.start(), view.span.until());
    let behind = |key: &str| match key {
        "gmv" => rows::href("orders", from, until),
        "visitors" | "visitor_value" => rows::href("visitors", from, until),
        _ => rows::href("buyers", from, until),
    };
    let figure = |key: &str, value: String, new: Option<f64>, old: Option<f64>, spark| {
        let (change, way) = relative(format, new, old);
        Figure {
            name: format.text(&format!("figure.{key}"), &[]),
            definition: format.text(&format!("figure.{key}_is"), &[]),
            value,
            change,
            way,
            spark,
            href: behind(key),
            ..Figure::default()
        }
    };
    let whole = |n: i64| Some(n as f64);
    let mut figures = vec![
        figure(
            "gmv",
            format.money(now.gmv),
            whole(now.gmv),
            whole(then.gmv),
            spark(|t| Some(t.gmv as f64)),
        ),
        figure(
            "visitors",
            format.number(now.visitors),
            whole(now.visitors),
            whole(then.visitors),
            spark(|t| Some(t.visitors as f64)),
        ),
        figure(
            "conversion",
            now.conversion().map_or(UNKNOWN.to_owned(), |c| format.percent(c, 2)),
            None,
            None,
            spark(Totals::conversion),
        ),
        figure(
            "order_value",
            money(now.order_value()),
            now.order_value(),
            then.order_value(),
            spark(Totals::order_value),
        ),
        figure(
            "buyers",
            format.number(now.buyers),
            whole(now.buyers),
            whole(then.buyers),
            spark(|t| Some(t.buyers as f64)),
        ),
        figure(
            "visitor_value",
            money(now.visitor_value()),
            now.visitor_value(),
            then.visitor_value(),
            spark(Totals::visitor_value),
        ),
    ];
    figures[0].note = against;
    (figures[1].sign, figures[2].sign, figures[3].sign) = ("=", "×", "×");
    match (now.conversion(), then.conversion()) {
        (Some(new), Some(old)) => {
            // A share moves by points: a per cent of a per cent would mislead.
            let points = (new - old) * 100.0;
            figures[2].way = way(points, 0.005);
            let size = format!("{:.2}", points.abs());
            figures[2].change = format.text("figure.points", &[("n", &size)]);
        }
        (None, _) if now.buyers > now.visitors => {
            figures[2].note = format.text("figure.unseen_buyers", &[]);
        }
        _ => {}
    }
    figures
}

fn relative(format: &Format, new: Option<f64>, old: Option<f64>) -> (String, &'static str) {
    match (new, old) {
        (Some(new), Some(old)) if old > 0.0 => {
            let change = new / old - 1.0;
            let way = way(change, 0.0005);
            (format.percent(change.abs(), 1), way)
        }
        _ => (String::new(), ""),
    }
}

fn way(change: f64, least: f64) -> &'static str {
    if change >= least {
        "up"
    } else if change <= -least {
        "down"
    } else {
        "same"
    }
}
