//! What moved GMV: in a sentence, and factor by factor.

use serde::Serialize;

use super::{Compared, View, rows};
use crate::http::pages::chart::coordinate;
use crate::http::pages::format::{Format, UNKNOWN};
use crate::http::pages::html::Html;
use crate::http::pages::words;
use crate::reports::today::Moved;

#[derive(Debug, Default, Serialize)]
pub struct MovedRow {
    pub name: String,
    pub definition: String,
    pub then: String,
    pub then_href: String,
    pub now: String,
    pub now_href: String,
    pub change: String,
    pub share: String,
    pub good: bool,
    pub x: String,
    pub width: String,
}

/// The sentence that the page opens with.
pub fn recap(format: &Format, compared: &Compared, moved: Option<&Moved>, view: View) -> Html {
    let (now, before) = (compared.now, compared.before);
    let gmv = format.money_in_text(now.gmv);
    let change = now.gmv - before.gmv;
    let by = format.money_in_text(change.abs());
    let key = match (now.gmv, before.gmv, change) {
        (0, 0, _) => "none",
        (_, 0, _) => "first",
        (_, _, 0) => "same",
        (_, _, 1..) => "above",
        _ => "below",
    };
    let weekday = format.weekday(view.before.last.date).to_owned();
    let (key, against) = match view.days {
        1 => (format!("recap.{key}"), ("day", weekday)),
        n => (format!("recap_days.{key}"), ("n", n.to_string())),
    };
    let mut html = format.html(&key, &[("gmv", &gmv), ("by", &by), (against.0, &against.1)]);
    let Some(moved) = moved.filter(|_| change != 0) else { return html };
    let mut gains = Vec::new();
    let mut losses = Vec::new();
    for (name, part) in [
        ("visitors", moved.visitors),
        ("conversion", moved.conversion),
        ("order_value", moved.order_value),
    ] {
        // What moved next to nothing is left to the table.
        if part.abs() * 50 < change.abs().max(1) || part == 0 {
            continue;
        }
        let way = if part > 0 { "up" } else { "down" };
        let text = format.text(
            &format!("recap.{name}_{way}"),
            &[("share", &unbroken(&format.money_change(part)))],
        );
        if part > 0 { gains.push(text) } else { losses.push(text) }
    }
    let (gains, losses) = (words::list(format, &gains), words::list(format, &losses));
    let causes = match (gains.is_empty(), losses.is_empty()) {
        (false, false) => format.html("recap.both", &[("gains", &gains), ("losses", &losses)]),
        (false, true) => format.html("recap.gains", &[("gains", &gains)]),
        (true, false) => format.html("recap.losses", &[("losses", &losses)]),
        (true, true) => Html::default(),
    };
    html.0.push_str(&causes.0);
    html
}

/// No line ends between a sign and its figure.
fn unbroken(text: &str) -> String {
    text.replace('+', "+\u{2060}").replace('−', "−\u{2060}")
}

/// Where a figure of the span before, and of this one, leads.
fn behind(view: View, what: &str) -> (String, String) {
    let (span, before) = (view.span, view.before);
    (rows::href(what, before.start(), before.until()), rows::href(what, span.start(), span.until()))
}

pub fn moved_rows(
    format: &Format,
    compared: &Compared,
    moved: &Moved,
    view: View,
) -> Vec<MovedRow> {
    let (now, then) = (compared.now, compared.before);
    let widest = [moved.visitors, moved.conversion, moved.order_value]
        .iter()
        .map(|part| part.abs())
        .max()
        .unwrap_or(1)
        .max(1);
    let row = |key: &str, then: String, now: String, ratio: Option<f64>, part: i64| {
        let width = part.abs() as f64 / widest as f64 * 46.0;
        let what = if key == "visitors" { "visitors" } else { "buyers" };
        let (then_href, now_href) = behind(view, what);
        MovedRow {
            then_href,
            now_href,
            name: format.text(&format!("figure.{key}"), &[]),
            definition: format.text(&format!("figure.{key}_is"), &[]),
            then,
            now,
            change: ratio.map_or(UNKNOWN.to_owned(), |ratio| signed_percent(format, ratio - 1.0)),
            share: format.money_change(part),
            good: part >= 0,
            x: coordinate(if part >= 0 { 50.0 } else { 50.0 - width }),
            width: coordinate(width),
        }
    };
    let percent = |c: Option<f64>| c.map_or(UNKNOWN.to_owned(), |c| format.percent(c, 2));
    let money =
        |m: Option<f64>| m.map_or(UNKNOWN.to_owned(), |m| format.money_exact(m.round() as i64));
    let ratio = |new: Option<f64>, old: Option<f64>| Some(new? / old?);
    vec![
        row(
            "visitors",
            format.number(then.visitors),
            format.number(now.visitors),
            ratio(Some(now.visitors as f64), Some(then.visitors as f64)),
            moved.visitors,
        ),
        row(
            "conversion",
            percent(then.conversion()),
            percent(now.conversion()),
            ratio(now.conversion(), then.conversion()),
            moved.conversion,
        ),
        row(
            "order_value",
            money(then.order_value()),
            money(now.order_value()),
            ratio(now.order_value(), then.order_value()),
            moved.order_value,
        ),
    ]
}

pub fn moved_total(format: &Format, compared: &Compared, view: View) -> MovedRow {
    let (now, then) = (compared.now.gmv, compared.before.gmv);
    let (then_href, now_href) = behind(view, "orders");
    MovedRow {
        then_href,
        now_href,
        name: format.text("figure.gmv", &[]),
        definition: format.text("figure.gmv_is", &[]),
        then: format.money(then),
        now: format.money(now),
        change: if then > 0 {
            signed_percent(format, now as f64 / then as f64 - 1.0)
        } else {
            UNKNOWN.to_owned()
        },
        share: format.money_change(now - then),
        ..MovedRow::default()
    }
}

fn signed_percent(format: &Format, share: f64) -> String {
    let text = format.percent(share, 1);
    if share > 0.0 { format!("+{text}") } else { text }
}
