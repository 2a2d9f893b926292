//! The sentences that a customer's page opens with.

use super::{Loaded, name_of};
use crate::http::pages::format::Format;
use crate::http::pages::html::Html;
use crate::http::pages::words;

/// The segment, and the one before it.
pub fn subtitle(format: &Format, loaded: &Loaded) -> String {
    let Some(score) = &loaded.score else { return String::new() };
    let mut text = format.text(
        "customer.rfm_since",
        &[
            ("rfm", &format!("R{} F{} M{}", score.r, score.f, score.m)),
            ("day", &format.day(score.segment_since)),
        ],
    );
    if let Some(before) = loaded.stays.iter().find(|stay| stay.since < score.segment_since) {
        let name = words::known(format, "segment", &before.segment);
        text.push_str(&format.text("customer.before_that", &[("segment", &name)]));
    }
    text
}

/// One or two sentences that could be read aloud.
pub fn recap(format: &Format, loaded: &Loaded) -> Html {
    let profile = &loaded.profile;
    let mut html = match &loaded.score {
        Some(score) if score.kind == "buyer" => {
            let mut text = words::silence(
                format,
                score.days_since,
                score.frequency,
                score.usual_gap_days,
                score.p_order_90d,
            );
            text.0.push_str(&format.html("customer.stop", &[]).0);
            text
        }
        _ => match (profile.orders_count, profile.last_seen_at) {
            (0, Some(seen)) => format.html(
                "customer.only_visited",
                &[
                    ("visits", &format.count("customer.visits", i64::from(profile.visits_count))),
                    ("when", &format.when(seen)),
                ],
            ),
            (0, None) => format.html("customer.nothing_yet", &[]),
            (n, _) => format.html(
                "customer.ordered",
                &[("orders", &format.count("customer.orders", i64::from(n)))],
            ),
        },
    };
    if let Some(next) = loaded.planned.first() {
        let rule = name_of(&loaded.rules, next.rule_id);
        html.0.push_str(
            &format
                .html(
                    "customer.next_planned",
                    &[("rule", &rule), ("when", &format.when(next.scheduled_at))],
                )
                .0,
        );
    } else if let Some(last) = loaded.messages.iter().find(|m| m.status == "sent") {
        let rule = name_of(&loaded.rules, last.rule_id);
        let at = last.sent_at.unwrap_or(last.scheduled_at);
        html.0.push_str(
            &format.html("customer.last_sent", &[("rule", &rule), ("when", &format.when(at))]).0,
        );
    }
    html
}
