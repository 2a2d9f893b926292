//! Reads `[[rule]]`: what holds for it as a whole; its trigger and its steps have readers of their own.

use std::collections::HashMap;

use super::defaults;
use super::node::{Fields, Node, Problems, Value, shorten};
use super::step::read_steps;
use super::trigger::read_trigger;
use crate::rules::{Condition, Rule, StopOn};

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
