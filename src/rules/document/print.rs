//! Writes settings and rules as text: the document that `document` reads back, and the lines of a difference.
//!
//! Both are made from one list of settings, so that whatever can be written also shows when it changes.

use std::fmt::Write;

use super::{ShopDocument, defaults};
use crate::primitives::Delay;
use crate::rules::{
    Condition, DayOffset, Exit, Otherwise, Rule, Step, StopOn, Trigger, TriggerKind,
};
use crate::stores::{Details, Retention, Scoring, Sending};

/// One `key = value` line; `usual` ones say what would hold without them.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    pub key: &'static str,
    pub value: String,
    usual: bool,
}

impl Line {
    /// The value, or `None` where nothing is set.
    pub fn known(&self) -> Option<String> {
        (!matches!(self.value.as_str(), "" | "\"\"")).then(|| self.value.clone())
    }
}

fn line(key: &'static str, value: String) -> Line {
    Line { key, value, usual: false }
}

fn line_unless(usual: bool, key: &'static str, value: String) -> Line {
    Line { key, value, usual }
}

impl ShopDocument {
    /// The document as text: `parse(print(x)) == x`. What has its default is left out of rules.
    pub fn print(&self) -> String {
        let mut text = String::new();
        section(&mut text, "[store]", &details(&self.store), false);
        let known = |line: &Line| !line.usual || line.known().is_some();
        let sending: Vec<Line> = sending(&self.sending).into_iter().filter(known).collect();
        section(&mut text, "\n[sending]", &sending, true);
        section(&mut text, "\n[scoring]", &scoring(&self.scoring), true);
        let retention = retention(&self.retention);
        if retention.iter().any(|line| !line.usual) {
            section(&mut text, "\n[retention]", &retention, false);
        }
        text + &Self::print_rules(&self.rules)
    }

    /// Rules alone, as [`ShopDocument::parse_rules`] reads them back.
    pub fn print_rules(rules: &[Rule]) -> String {
        let mut text = String::new();
        for rule in rules {
            let mut lines = rule_lines(rule);
            // The audience is the last of a rule's lines.
            if let (Some(audience), Some(line)) = (&rule.audience, lines.last_mut()) {
                line.value = in_rows(audience);
            }
            section(&mut text, "\n[[rule]]", &lines, false);
            for (n, step) in rule.steps.iter().enumerate() {
                section(&mut text, "\n[[rule.step]]", &step_lines(step, n), false);
            }
            for test in &rule.tests {
                text.push_str("\n[[rule.test]]\n");
                text.push_str(&test_lines(test));
            }
        }
        text
    }
}

fn section(text: &mut String, header: &str, lines: &[Line], with_usual: bool) {
    text.push_str(header);
    text.push('\n');
    for line in lines.iter().filter(|line| with_usual || !line.usual) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} = {}", line.key, line.value);
    }
}

pub fn details(store: &Details) -> Vec<Line> {
    let reply_to = store.reply_to.as_ref().map_or_else(String::new, ToString::to_string);
    vec![
        line("name", quoted(&store.name)),
        line("timezone", quoted(store.timezone.name())),
        line("currency", quoted(store.currency.as_str())),
        line("locale", quoted(&store.locale)),
        line("from", quoted(&store.from.to_string())),
        line_unless(reply_to.is_empty(), "reply_to", quoted(&reply_to)),
        line("postal_address", quoted(&store.postal_address)),
    ]
}

pub fn retention(retention: &Retention) -> Vec<Line> {
    let kept = |key, delay: Option<Delay>| {
        line_unless(
            delay.is_none(),
            key,
            quoted(&delay.map_or_else(String::new, |d| d.to_string())),
        )
    };
    vec![
        kept("decisions", retention.decisions),
        kept("messages", retention.messages),
        kept("clicks", retention.clicks),
    ]
}

pub fn sending(sending: &Sending) -> Vec<Line> {
    fn or_none(value: Option<impl ToString>) -> String {
        quoted(&value.map_or_else(String::new, |value| value.to_string()))
    }
    vec![
        line("quiet_hours", or_none(sending.quiet_hours)),
        line("cap", or_none(sending.cap)),
        line("min_gap", or_none(sending.min_gap)),
        line("consent", quoted(sending.consent.as_str())),
        line("rate", quoted(&sending.rate.to_string())),
        line("in_doubt", quoted(sending.in_doubt.as_str())),
        line("holdout", number(sending.holdout)),
        line_unless(
            sending.daily_budget.is_none(),
            "daily_budget",
            sending.daily_budget.map_or_else(String::new, |n| n.to_string()),
        ),
        line_unless(sending.feed_max_age.is_none(), "feed_max_age", or_none(sending.feed_max_age)),
        line("track_clicks", sending.track_clicks.to_string()),
        line("track_opens", sending.track_opens.to_string()),
        line_unless(
            sending.dkim.is_none(),
            "dkim",
            sending.dkim.as_ref().map_or_else(String::new, |dkim| {
                format!(
                    "{{ domain = {}, selector = {}, key_file = {} }}",
                    quoted(dkim.domain.as_str()),
                    quoted(dkim.selector.as_str()),
                    quoted(&dkim.key_file)
                )
            }),
        ),
    ]
}

pub fn scoring(scoring: &Scoring) -> Vec<Line> {
    vec![line("risk_horizon", delay(scoring.risk_horizon))]
}

/// All of a rule but its steps.
pub fn rule_lines(rule: &Rule) -> Vec<Line> {
    let or_none = |value: Option<Delay>| value.map_or_else(|| quoted(""), delay);
    let stop_on: Vec<String> = rule.stop_on.iter().map(|stop| quoted(stop.as_str())).collect();
    let audience = rule.audience.as_ref().map_or_else(String::new, audience);
    vec![
        line("key", quoted(&rule.key)),
        line_unless(rule.name == rule.key, "name", quoted(&rule.name)),
        line_unless(rule.class == defaults::CLASS, "class", quoted(rule.class.as_str())),
        line("status", quoted(rule.status.as_str())),
        line_unless(rule.priority == defaults::PRIORITY, "priority", rule.priority.to_string()),
        line_unless(rule.holdout == 0.0, "holdout", number(rule.holdout)),
        line_unless(rule.at_most_every.is_none(), "at_most_every", or_none(rule.at_most_every)),
        line_unless(rule.include_past.is_none(), "include_past", or_none(rule.include_past)),
        line_unless(
            rule.stop_on == [StopOn::Order],
            "stop_on",
            format!("[{}]", stop_on.join(", ")),
        ),
        line("trigger", trigger(&rule.trigger)),
        line_unless(rule.audience.is_none(), "audience", audience),
    ]
}

/// `n` counts from 0: only the first step goes without a wait by default.
fn step_lines(step: &Step, n: usize) -> Vec<Line> {
    let text = |value: &Option<String>| quoted(value.as_deref().unwrap_or(""));
    vec![
        line_unless(
            (n == 0 || step.at_most.is_some()) && step.wait == Delay::ZERO,
            "wait",
            delay(step.wait),
        ),
        line_unless(
            step.wait_until.is_none(),
            "wait_until",
            step.wait_until.map_or_else(String::new, |event| quoted(event.as_str())),
        ),
        line_unless(
            step.at_most.is_none(),
            "at_most",
            step.at_most.map_or_else(String::new, delay),
        ),
        line_unless(
            step.only_if.is_none(),
            "if",
            step.only_if.as_ref().map_or_else(String::new, audience),
        ),
        line_unless(step.then == Exit::Send, "then", quoted(step.then.as_str())),
        line_unless(
            step.otherwise == Otherwise::default(),
            "else",
            match &step.otherwise {
                Otherwise::Go(exit) => quoted(exit.as_str()),
                Otherwise::Send(wording) => as_inline(wording),
            },
        ),
        line_unless(
            step.send_at.is_none(),
            "send_at",
            step.send_at.map_or_else(String::new, |time| quoted(&time.to_string())),
        ),
        line("template", quoted(&step.template)),
        line_unless(step.subject.is_none(), "subject", text(&step.subject)),
        line_unless(step.coupon.is_none(), "coupon", text(&step.coupon)),
        line_unless(step.variants.is_empty(), "variants", as_inline(&step.variants)),
    ]
}

fn as_inline(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).map_or_else(|_| String::new(), |value| inline(&value))
}

/// A step in one line: `{ wait = "3d", template = "win-back" }`.
pub fn step_inline(step: &Step, n: usize) -> String {
    let pairs: Vec<String> = step_lines(step, n)
        .into_iter()
        .filter(|line| !line.usual)
        .map(|line| format!("{} = {}", line.key, line.value))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn trigger(trigger: &Trigger) -> String {
    let mut pairs = vec![("kind", quoted(trigger.kind.name()))];
    if let TriggerKind::SegmentEntered { segment, .. } = &trigger.kind {
        pairs.push(("segment", quoted(segment)));
    }
    match &trigger.kind {
        TriggerKind::RepurchaseDue { after: None } | TriggerKind::AtRisk { .. } => {}
        TriggerKind::Date { field, offset } => {
            pairs.push(("field", quoted(field)));
            if *offset != DayOffset::default() {
                pairs.push(("offset", quoted(&offset.to_string())));
            }
        }
        TriggerKind::Schedule { cron } => pairs.push(("cron", quoted(&cron.to_string()))),
        kind => pairs.push(("after", delay(kind.after()))),
    }
    match &trigger.kind {
        TriggerKind::WinBack { until: Some(until), .. } => pairs.push(("until", delay(*until))),
        TriggerKind::AtRisk { p_alive_below, value_above } => {
            pairs.extend(p_alive_below.map(|p| ("p_alive_below", number(p))));
            pairs.extend(value_above.map(|value| ("value_above", number(value))));
        }
        TriggerKind::VisitedWithoutBuying { min_visits, min_product_views, .. } => {
            if *min_visits != defaults::MIN_VISITS {
                pairs.push(("min_visits", min_visits.to_string()));
            }
            if *min_product_views != defaults::MIN_PRODUCT_VIEWS {
                pairs.push(("min_product_views", min_product_views.to_string()));
            }
        }
        _ => {}
    }
    if trigger.useful_for != defaults::USEFUL_FOR {
        pairs.push(("useful_for", delay(trigger.useful_for)));
    }
    let pairs: Vec<String> =
        pairs.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn audience(condition: &Condition) -> String {
    inline(&condition.to_json())
}

/// The words of a test in the order in which one would say them.
const OF_TESTS: [&str; 7] = ["name", "kind", "at", "customer", "facts", "outcome", "expect"];

/// A line for each thing that a test says, and one for each of its facts.
fn test_lines(test: &serde_json::Value) -> String {
    let entries = test.as_object().map_or_else(Vec::new, |entries| ordered(entries, &OF_TESTS));
    entries
        .into_iter()
        .map(|(key, value)| match value {
            serde_json::Value::Array(items) if items.len() > 1 => {
                let rows: String = items
                    .iter()
                    .map(|item| format!("  {},\n", inline_by(item, &OF_TESTS)))
                    .collect();
                format!("{} = [\n{rows}]\n", bare(key))
            }
            value => format!("{} = {}\n", bare(key), inline_by(value, &OF_TESTS)),
        })
        .collect()
}

/// A test on one line.
pub fn test_inline(test: &serde_json::Value) -> String {
    inline_by(test, &OF_TESTS)
}

/// Those of `first` before the others.
fn ordered<'v>(
    entries: &'v serde_json::Map<String, serde_json::Value>,
    first: &[&str],
) -> Vec<(&'v String, &'v serde_json::Value)> {
    let place = |key: &str| first.iter().position(|known| *known == key).unwrap_or(first.len());
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(key, _)| place(key));
    entries
}

/// A key, in quotes where it needs them (TOML 1.0, "Keys").
fn bare(key: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// An audience with a line for each of the conditions that it joins.
fn in_rows(condition: &Condition) -> String {
    let (joint, parts) = match condition {
        Condition::All(parts) => ("all", parts),
        Condition::Any(parts) => ("any", parts),
        _ => return audience(condition),
    };
    let rows: String = parts.iter().map(|part| format!("  {},\n", audience(part))).collect();
    format!("{{ {joint} = [\n{rows}] }}")
}

/// A tree as an inline table. `field`, `op`, `value` keep the order in which they are said.
fn inline(value: &serde_json::Value) -> String {
    inline_by(value, &[])
}

/// As [`inline`]; keys of `first` come before the others.
fn inline_by(value: &serde_json::Value, first: &[&str]) -> String {
    use serde_json::Value as Json;
    let inline = |value: &Json| inline_by(value, first);
    match value {
        Json::String(text) => quoted(text),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Json::Object(entries) => {
            let pairs: Vec<String> = ordered(entries, first)
                .into_iter()
                .map(|(key, value)| format!("{} = {}", bare(key), inline(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Json::Number(n) => {
            n.as_i64().map_or_else(|| number(n.as_f64().unwrap_or(0.0)), |n| n.to_string())
        }
        other => other.to_string(),
    }
}

fn delay(delay: Delay) -> String {
    quoted(&delay.to_string())
}

/// With a point or an exponent: a TOML float that reads back as the same number.
fn number(n: f64) -> String {
    format!("{n:?}")
}

/// A TOML basic string (TOML 1.0, "String").
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
