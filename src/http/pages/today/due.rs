//! What is due today, by hour and by rule.

use std::collections::HashMap;

use serde::Serialize;

use super::Line;
use crate::http::pages::chart::hours::{self, Hours};
use crate::http::pages::format::Format;
use crate::primitives::Timestamp;
use crate::reports::rules::RuleName;
use crate::reports::today::{Day, Due};
use crate::stores::Store;

#[derive(Debug, Default, Serialize)]
pub struct DuePart {
    pub sub: String,
    pub title: String,
    pub hours: Hours,
    pub rules: Vec<Line>,
    pub any: bool,
}

pub fn due(
    format: &Format,
    store: &Store,
    now: Timestamp,
    today: Day,
    due: &Due,
    names: &HashMap<i64, RuleName>,
) -> DuePart {
    let (sent, to_go): (i64, i64) = (due.sent.iter().sum(), due.to_go.iter().sum());
    let elapsed = (now.0 - today.start.0) as f64 / 86_400e6;
    let hours = hours::draw(&due.sent, &due.to_go, store.sending.quiet_hours, elapsed, |h| {
        let values = [
            ("hours", format!("{h:02}:00–{:02}:00", h + 1)),
            ("sent", format.number(due.sent[h])),
            ("to_go", format.number(due.to_go[h])),
        ];
        format.text("due.bar", &values.each_ref().map(|(n, v)| (*n, v.as_str())))
    });
    let values = [
        ("all", format.number(sent + to_go)),
        ("sent", format.number(sent)),
        ("to_go", format.number(to_go)),
    ];
    let values = values.each_ref().map(|(n, v)| (*n, v.as_str()));
    DuePart {
        sub: format.text("due.sub", &values),
        title: format.text("due.title", &values),
        hours,
        rules: due
            .by_rule
            .iter()
            .filter_map(|(id, n)| {
                let name = names.get(id)?;
                Some(Line {
                    text: name.name.clone(),
                    href: format!("/outbox?status=scheduled&rule={}", name.key),
                    value: format.number(*n),
                })
            })
            .collect(),
        any: sent + to_go > 0,
    }
}
