//! Reads `[[rule]]`: its trigger, its audience, its steps.

use std::collections::HashMap;

use super::defaults;
use super::node::{Fields, Node, Problems, Value, shorten};
use super::sections::positive;
use super::step::read_steps;
use crate::primitives::Delay;
use crate::rules::{Condition, DayOffset, Rule, StopOn, Trigger, TriggerKind, condition};

const MAX_COUNT: u32 = 1_000_000;

pub fn read_rules(
    nodes: &[Node],
    templates: &[String],
    problems: &mut Problems,
) -> Option<Vec<Rule>> {
    let mut first_of: HashMap<String, usize> = HashMap::new();
    let mut rules = Vec::new();
    for node in nodes {
        let rule = read_rule(node, templates, problems);
        if let Some((key, at)) = key_of(node)
            && first_of.insert(key.clone(), at).is_some()
        {
            problems.add(
                at,
                format!("the rule key `{}` is given twice: each rule needs its own", shorten(&key)),
            );
        }
        rules.push(rule);
    }
    rules.into_iter().collect()
}

fn key_of(node: &Node) -> Option<(String, usize)> {
    let Value::Table(entries) = &node.value else { return None };
    let entry = entries.iter().find(|entry| entry.key == "key")?;
    match &entry.node.value {
        Value::Text(text) => Some((text.clone(), entry.node.at)),
        _ => None,
    }
}

const RULE_KEYS: [&str; 13] = [
    "key",
    "name",
    "class",
    "status",
    "priority",
    "holdout",
    "at_most_every",
    "include_past",
    "stop_on",
    "trigger",
    "audience",
    "step",
    "test",
];

fn read_rule(node: &Node, templates: &[String], problems: &mut Problems) -> Option<Rule> {
    let place = key_of(node).map_or_else(
        || "[[rule]]".to_owned(),
        |(key, _)| format!("[[rule]] \"{}\"", shorten(&key)),
    );
    let fields = Fields::open(node, place, &RULE_KEYS, &[], problems)?;
    fields.require("key", problems);
    let key = fields.parsed::<RuleKey>("key", problems).map(|key| key.0);
    let name = match fields.get("name") {
        None => key.clone(),
        Some(_) => fields.line("name", 200, problems),
    };
    let class = fields.parsed("class", problems).unwrap_or(defaults::CLASS);
    let status = fields.parsed("status", problems).unwrap_or(defaults::STATUS);
    let priority = fields.whole("priority", 0, 100, problems);
    let holdout = fields.number("holdout", 0.0, 1.0, problems).unwrap_or(0.0);
    let at_most_every = fields.parsed_or_none("at_most_every", problems).flatten();
    let include_past = fields.parsed_or_none("include_past", problems).flatten();
    let stop_on = read_stop_on(&fields, problems);
    let trigger = fields
        .require("trigger", problems)
        .and_then(|node| read_trigger(node, &format!("the trigger of {}", fields.place), problems));
    let audience = fields
        .get("audience")
        .map(|node| Condition::read(node, &format!("the audience of {}", fields.place), problems));
    let steps = read_steps(&fields, templates, problems);
    let audience = match audience {
        None => None,
        Some(read) => Some(read?),
    };
    Some(Rule {
        key: key?,
        name: name?,
        class,
        status,
        priority: priority.and_then(|n| u8::try_from(n).ok()).unwrap_or(defaults::PRIORITY),
        holdout,
        at_most_every,
        include_past,
        stop_on,
        trigger: trigger?,
        audience,
        steps: steps?,
        tests: fields.get("test").map_or_else(Vec::new, kept_tests),
    })
}

/// Read for what they say by `case` alone, which knows the store; here they are only kept.
fn kept_tests(node: &Node) -> Vec<serde_json::Value> {
    match &node.value {
        Value::List(tests) => tests.iter().map(Node::to_json).collect(),
        _ => Vec::new(),
    }
}

/// A rule's name in URLs, commands and experiments.
struct RuleKey(String);

impl std::str::FromStr for RuleKey {
    type Err = String;
    fn from_str(raw: &str) -> Result<Self, String> {
        let is_part =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let begins =
            raw.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !begins || raw.len() > 64 || !raw.bytes().all(is_part) {
            return Err(format!(
                "`{raw}` is no rule key: write lower-case letters, digits, `-` and `_`, at most 64, such as \"win-back\""
            ));
        }
        // The store-wide holdout is an experiment of that name.
        if raw == "global" {
            return Err(format!("`{raw}` is kept for the holdout of the whole store"));
        }
        Ok(Self(raw.to_owned()))
    }
}

fn read_stop_on(fields: &Fields<'_>, problems: &mut Problems) -> Vec<StopOn> {
    if fields.get("stop_on").is_none() {
        return vec![StopOn::Order];
    }
    let mut stops = Vec::new();
    for item in fields.list("stop_on", problems).unwrap_or_default() {
        let allowed = StopOn::ALL.iter().map(|stop| stop.as_str()).collect::<Vec<_>>().join(", ");
        let stop = match &item.value {
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        match stop {
            Some(stop) if !stops.contains(&stop) => stops.push(stop),
            Some(_) => {}
            None => problems.add(
                item.at,
                format!("`stop_on` in {}: {} is not one of: {allowed}", fields.place, item.shown()),
            ),
        }
    }
    stops
}

/// Which fields each kind of trigger takes, besides `kind` and `useful_for`.
pub const KINDS: [(&str, &[&str]); 11] = [
    ("visited_without_buying", &["after", "min_visits", "min_product_views"]),
    ("cart_abandoned", &["after"]),
    ("checkout_abandoned", &["after"]),
    ("first_order", &["after"]),
    ("order", &["after"]),
    ("repurchase_due", &["after"]),
    ("win_back", &["after", "until"]),
    ("segment_entered", &["segment", "after"]),
    ("at_risk", &["p_alive_below", "value_above"]),
    ("date", &["field", "offset"]),
    ("schedule", &["cron"]),
];

fn read_trigger(node: &Node, place: &str, problems: &mut Problems) -> Option<Trigger> {
    let names = || KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Value::Table(entries) = &node.value else {
        problems.add(
            node.at,
            format!("{place} must be a table such as {{ kind = \"win_back\", after = \"60d\" }}"),
        );
        return None;
    };
    let kind = match entries.iter().find(|entry| entry.key == "kind").map(|entry| &entry.node) {
        None => {
            problems.add(node.at, format!("{place} has no `kind`; allowed: {}", names()));
            return None;
        }
        Some(Node { at, value: Value::Text(kind) }) => (kind.as_str(), *at),
        Some(other) => {
            problems.add(other.at, format!("`kind` in {place} must be one of: {}", names()));
            return None;
        }
    };
    let (kind, at) = kind;
    let Some((_, own)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        problems
            .add(at, format!("unknown kind `{}` in {place}; allowed: {}", shorten(kind), names()));
        return None;
    };
    let allowed: Vec<&str> = [&["kind"], *own, &["useful_for"]].concat();
    let fields = Fields::open(node, format!("{place} ({kind})"), &allowed, &[], problems)?;
    let useful_for = match fields.get("useful_for") {
        None => Some(defaults::USEFUL_FOR),
        Some(_) => positive("useful_for", &fields, problems),
    };
    let kind = read_kind(kind, &fields, problems);
    Some(Trigger { kind: kind?, useful_for: useful_for? })
}

fn read_kind(kind: &str, fields: &Fields<'_>, problems: &mut Problems) -> Option<TriggerKind> {
    // What follows an event may follow it at once; what waits for something not to happen must say how long.
    let at_once = matches!(kind, "first_order" | "order" | "segment_entered");
    let after = match fields.get("after") {
        _ if matches!(kind, "date" | "schedule") => Some(Delay::ZERO),
        None if at_once => Some(Delay::ZERO),
        // Without a fixed time it is the customer's own rhythm that tells; and a line is crossed at some scoring.
        None if matches!(kind, "repurchase_due" | "at_risk") => Some(Delay::ZERO),
        None => fields.require("after", problems).and(None),
        Some(_) if at_once => fields.parsed("after", problems),
        Some(_) => positive("after", fields, problems),
    };
    match kind {
        "visited_without_buying" => {
            let count = |key, usual, problems: &mut Problems| match fields.get(key) {
                None => Some(usual),
                Some(_) => fields.whole(key, 0, MAX_COUNT, problems),
            };
            let min_visits = count("min_visits", defaults::MIN_VISITS, problems);
            let min_product_views =
                count("min_product_views", defaults::MIN_PRODUCT_VIEWS, problems);
            Some(TriggerKind::VisitedWithoutBuying {
                after: after?,
                min_visits: min_visits?,
                min_product_views: min_product_views?,
            })
        }
        "cart_abandoned" => Some(TriggerKind::CartAbandoned { after: after? }),
        "checkout_abandoned" => Some(TriggerKind::CheckoutAbandoned { after: after? }),
        "first_order" => Some(TriggerKind::FirstOrder { after: after? }),
        "order" => Some(TriggerKind::Order { after: after? }),
        "repurchase_due" => {
            let after = after?;
            Some(TriggerKind::RepurchaseDue { after: fields.get("after").map(|_| after) })
        }
        "win_back" => {
            let until = match fields.get("until") {
                None => None,
                Some(_) => Some(fields.parsed::<Delay>("until", problems)?),
            };
            let after = after?;
            if let (Some(end), Some(node)) = (until, fields.get("until"))
                && end <= after
            {
                fields.refuse("until", node, &format!("longer than `after` ({after})"), problems);
                return None;
            }
            Some(TriggerKind::WinBack { after, until })
        }
        "segment_entered" => {
            let node = fields.require("segment", problems)?;
            let segment = match &node.value {
                Value::Text(text) if condition::SEGMENTS.contains(&text.as_str()) => text.clone(),
                _ => {
                    let wanted = format!("one of: {}", condition::SEGMENTS.join(", "));
                    fields.refuse("segment", node, &wanted, problems);
                    return None;
                }
            };
            Some(TriggerKind::SegmentEntered { segment, after: after? })
        }
        "at_risk" => {
            let p_alive_below = match fields.get("p_alive_below") {
                None => None,
                Some(node) => {
                    let line = fields.number("p_alive_below", 0.0, 1.0, problems)?;
                    if line == 0.0 {
                        fields.refuse(
                            "p_alive_below",
                            node,
                            "more than 0: no chance is below it",
                            problems,
                        );
                        return None;
                    }
                    Some(line)
                }
            };
            let value_above = match fields.get("value_above") {
                None => None,
                Some(_) => Some(fields.number("value_above", 0.0, condition::LARGE, problems)?),
            };
            Some(TriggerKind::AtRisk { p_alive_below, value_above })
        }
        "date" => {
            let node = fields.require("field", problems)?;
            let field = fields.line("field", 100, problems)?;
            if !condition::is_trait_name(&field) {
                let wanted = "`first_order` or a trait's name, such as `birthday`: letters, digits, `_`, `-`";
                fields.refuse("field", node, wanted, problems);
                return None;
            }
            let offset = match fields.get("offset") {
                None => DayOffset::default(),
                Some(_) => fields.parsed("offset", problems)?,
            };
            Some(TriggerKind::Date { field, offset })
        }
        "schedule" => {
            fields.require("cron", problems)?;
            Some(TriggerKind::Schedule { cron: fields.parsed("cron", problems)? })
        }
        // `KINDS` and this list are one: a test reads every kind.
        _ => None,
    }
}
