//! What is estimated and what is known of a customer, as figures and as scores.

use serde::Serialize;

use super::Loaded;
use crate::http::pages::format::{Format, UNKNOWN};
use crate::http::pages::words;

#[derive(Debug, Default, Serialize)]
pub struct Figure {
    pub name: String,
    pub definition: String,
    pub value: String,
    pub unit: String,
    pub note: String,
}

#[derive(Debug, Default, Serialize)]
pub struct ScoreRow {
    pub score: String,
    pub text: String,
    pub note: String,
}

pub fn figures(format: &Format, loaded: &Loaded) -> Vec<Figure> {
    let profile = &loaded.profile;
    let score = loaded.score.as_ref();
    let not_yet = format.text("estimate.not_yet", &[]);
    let figure = |key: &str, value: Option<String>, unit: &str, note: String| Figure {
        name: format.text(&format!("customer_figure.{key}"), &[]),
        definition: format.text(&format!("customer_figure.{key}_is"), &[]),
        unit: if value.is_some() { unit.to_owned() } else { String::new() },
        value: value.unwrap_or(UNKNOWN.to_owned()),
        note,
    };
    let estimate = |key: &str, value: Option<String>| {
        let note = if value.is_none() { not_yet.clone() } else { String::new() };
        figure(key, value, "", note)
    };
    let orders = i64::from(profile.orders_count);
    let per_order = (orders > 0).then(|| profile.spent / orders);
    vec![
        estimate("p_alive", score.and_then(|s| s.p_alive).map(|p| format.percent(p, 0))),
        {
            let at_risk = score.and_then(|s| s.value_at_risk);
            let before = score.and_then(|s| s.value_at_risk_week_ago);
            let note = match (at_risk, before) {
                (None, _) => not_yet.clone(),
                (_, None) => String::new(),
                (_, Some(before)) => {
                    format.text("customer_figure.week_ago", &[("money", &format.money(before))])
                }
            };
            figure("value_at_risk", at_risk.map(|v| format.money(v)), "", note)
        },
        estimate("p_order", score.and_then(|s| s.p_order_90d).map(|p| format.percent(p, 0))),
        {
            // A window without an end: so likely there is no next order.
            let from = score.and_then(|s| s.next_order_from).map(|at| format.day(at));
            let until = score.and_then(|s| s.next_order_until).map(|at| format.day(at));
            let note = match (&from, &until) {
                (None, _) if score.is_some_and(|s| s.p_alive.is_some()) => {
                    format.text("customer_figure.no_next_order", &[])
                }
                (None, _) => not_yet.clone(),
                (_, None) => format.text("customer_figure.next_order_open", &[]),
                (_, Some(until)) => {
                    format.text("customer_figure.next_order_until", &[("day", until)])
                }
            };
            figure("next_order", from, "", note)
        },
        estimate(
            "expected_orders",
            score.and_then(|s| s.expected_orders_90d).map(|n| format.decimal(n)),
        ),
        {
            let gap = score.and_then(|s| s.usual_gap_days);
            let store_gap = loaded.scored.and_then(|s| s.store_gap_days);
            let note = match (gap, store_gap) {
                (Some(_), Some(store)) => {
                    format.text("customer_figure.store_gap", &[("days", &format.decimal(store))])
                }
                (Some(_), None) => String::new(),
                (None, _) => format.text("customer_figure.no_gap", &[]),
            };
            let unit = format.text("span.days_unit", &[]);
            figure("usual_gap", gap.map(|g| format.decimal(g)), &unit, note)
        },
        figure(
            "orders",
            Some(format.number(orders)),
            "",
            profile.first_order_at.map_or(String::new(), |at| {
                format.text("customer_figure.since", &[("day", &format.day(at))])
            }),
        ),
        figure(
            "spent",
            Some(format.money(profile.spent)),
            "",
            match (profile.foreign_orders, per_order) {
                (n @ 1.., _) => format.count("customer_figure.foreign", i64::from(n)),
                (_, Some(per)) => {
                    format.text("customer_figure.an_order", &[("money", &format.money(per))])
                }
                _ => String::new(),
            },
        ),
    ]
}

pub fn scores(format: &Format, loaded: &Loaded) -> Vec<ScoreRow> {
    let Some(score) = &loaded.score else { return Vec::new() };
    let row = |letter: &str, n: i16, text: String| ScoreRow {
        score: format!("{letter}{n}"),
        text,
        note: words::known(format, "fifth", &n.to_string()),
    };
    let days = format.number(score.days_since.floor() as i64);
    let kind = score.kind.as_str();
    vec![
        row("R", score.r, format.text(&format!("scores.r_{kind}"), &[("days", &days)])),
        row("F", score.f, format.count(&format!("scores.f_{kind}"), i64::from(score.frequency))),
        row("M", score.m, {
            if kind == "buyer" {
                format.text("scores.m_buyer", &[("money", &format.money(score.spent))])
            } else {
                let n = format.number(i64::from(loaded.profile.product_views));
                format.text("scores.m_visitor", &[("n", &n)])
            }
        }),
    ]
}

pub fn scores_note(format: &Format, loaded: &Loaded) -> String {
    match (&loaded.score, loaded.scored) {
        (None, None) => format.text("scores.never", &[]),
        (None, Some(_)) => format.text("scores.not_this_one", &[]),
        (Some(score), _) if score.kind == "buyer" && score.p_alive.is_none() => {
            format.text("scores.no_chance", &[])
        }
        _ => String::new(),
    }
}
