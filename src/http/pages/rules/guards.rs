//! What holds a rule's messages back, and how many it held.

use serde::Serialize;

use super::loaded::Loaded;
use crate::http::pages::format::Format;
use crate::http::pages::words;
use crate::rules::{Class, StopOn};
use crate::stores::Store;

#[derive(Debug, Default, Serialize)]
pub struct Guard {
    pub name: String,
    pub set_to: String,
    pub held_back: String,
}

pub fn guards(format: &Format, store: &Store, loaded: &Loaded) -> Vec<Guard> {
    let rule = &loaded.rule.rule;
    let held = |reasons: &[&str]| -> i64 {
        loaded
            .outcomes
            .iter()
            .filter(|o| o.reason.as_deref().is_some_and(|reason| reasons.contains(&reason)))
            .map(|o| o.n)
            .sum()
    };
    let none = format.text("guard.off", &[]);
    let service = rule.class == Class::Service;
    let sending = &store.sending;
    let of_store = |set: Option<String>| match (service, set) {
        (true, _) => format.text("guard.service", &[]),
        (false, Some(text)) => text,
        (false, None) => none.clone(),
    };
    let mut guards = Vec::new();
    let mut add = |key: &str, set_to: String, reasons: &[&str]| {
        guards.push(Guard {
            name: format.text(&format!("guard.{key}"), &[]),
            set_to,
            held_back: format.number(held(reasons)),
        });
    };
    add(
        "consent",
        of_store(Some(words::known(format, "consent_mode", sending.consent.as_str()))),
        &["no_consent"],
    );
    add("suppression", format.text("guard.always", &[]), &["suppressed", "no_address"]);
    let stops: Vec<String> = rule
        .stop_on
        .iter()
        .map(|stop| {
            format.text(
                if *stop == StopOn::Order { "sentence.stop_order" } else { "sentence.stop_visit" },
                &[],
            )
        })
        .collect();
    let stops =
        if stops.is_empty() { none.clone() } else { stops.join(&format.text("sentence.or", &[])) };
    add("stop_on", stops, &["bought", "visited"]);
    add(
        "every",
        rule.at_most_every.map_or(none.clone(), |every| words::delay(format, every)),
        &["recently_enrolled", "already_enrolled"],
    );
    add("cap", of_store(sending.cap.map(|cap| words::cap(format, cap))), &["cap"]);
    add("min_gap", of_store(sending.min_gap.map(|gap| words::delay(format, gap))), &["min_gap"]);
    add(
        "quiet_hours",
        of_store(sending.quiet_hours.map(|hours| hours.to_string().replace('-', "–"))),
        &["quiet_hours"],
    );
    if let Some(budget) = sending.daily_budget {
        add("daily_budget", of_store(Some(format.number(i64::from(budget)))), &["daily_budget"]);
    }
    if let Some(age) = sending.feed_max_age {
        add("feed_max_age", of_store(Some(words::delay(format, age))), &["feed_stale"]);
    }
    add(
        "holdout",
        if rule.holdout > 0.0 { format.percent(rule.holdout, 0) } else { none.clone() },
        &["holdout"],
    );
    guards
}
