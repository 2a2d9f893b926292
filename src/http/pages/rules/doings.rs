//! What a rule's page says the rule did lately: its figures and its outcomes.

use serde::Serialize;

use super::behind::{Behind, Rows};
use super::decisions::Counted;
use super::loaded::Loaded;
use super::{LATELY, count_of, would_have_sent};
use crate::http::pages::format::{Format, UNKNOWN};
use crate::http::pages::words::{self, Mark};
use crate::reports::rules::Outcome;
use crate::rules::RuleStatus;

#[derive(Debug, Default, Serialize)]
pub struct Figure {
    pub name: String,
    pub definition: String,
    pub value: String,
    /// The rows behind it; empty where there are none to show.
    pub href: String,
}

#[derive(Debug, Default, Serialize)]
pub struct OutcomeRow {
    pub mark: Mark,
    pub why: String,
    pub n: String,
    /// To the decisions; empty in a backtest, which stores none.
    pub href: String,
}

pub fn figures(format: &Format, loaded: &Loaded) -> Vec<Figure> {
    let id = loaded.rule.id.0;
    let count = |wanted: &[&str]| format.number(count_of(&loaded.outcomes, id, wanted));
    let out = loaded.went_out;
    let would_send = would_have_sent(&loaded.outcomes, id);
    let key = &loaded.rule.key;
    let credited = Behind::credited(key).within(LATELY.as_seconds() / 86_400).href(Rows::Orders);
    let behind = |figure: &str| match figure {
        "entered" => Counted::Entered.href(key),
        "would_send" => Counted::WouldSend.href(key),
        "sent" => format!("/outbox?status=sent&rule={key}"),
        "held_back" => Counted::HeldBack.href(key),
        "held_out" => Counted::HeldOut.href(key),
        _ => credited.clone(),
    };
    let is_in_shadow = loaded.rule.status == RuleStatus::Shadow || would_send > 0;
    [
        ("entered", count(&["enrolled"])),
        ("would_send", if is_in_shadow { format.number(would_send) } else { String::new() }),
        ("sent", format.number(out.sent)),
        ("held_back", count(&["deferred", "suppressed"])),
        ("held_out", count(&["held_out"])),
        ("orders", format.number(out.orders)),
        ("credited", if out.orders > 0 { format.money(out.credited) } else { UNKNOWN.to_owned() }),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| Figure {
        name: format.text(&format!("rule_figure.{key}"), &[]),
        definition: format.text(&format!("rule_figure.{key}_is"), &[]),
        value,
        href: behind(key),
    })
    .collect()
}

pub fn outcomes(format: &Format, loaded: &Loaded) -> Vec<OutcomeRow> {
    let row = |outcome: &Outcome| OutcomeRow {
        href: Counted::of(&outcome.outcome, outcome.reason.as_deref())
            .map_or(String::new(), |counted| counted.href(&loaded.rule.key)),
        ..OutcomeRow::of(format, &outcome.outcome, outcome.reason.as_deref(), outcome.n)
    };
    loaded.outcomes.iter().map(row).collect()
}

impl OutcomeRow {
    /// Without what it leads to.
    pub fn of(format: &Format, outcome: &str, reason: Option<&str>, n: i64) -> Self {
        Self {
            mark: words::outcome(format, outcome),
            why: match reason {
                Some(reason) => words::known(format, "reason", reason),
                None => words::known(format, "outcome_text", outcome),
            },
            n: format.number(n),
            href: String::new(),
        }
    }
}
