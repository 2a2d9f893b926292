//! Reads a rule from JSON, as the management API takes it.

use serde_json::Value as Json;

use super::node::{Node, Problems};
use super::rule::read_rules;
use crate::rules::Rule;

impl Rule {
    /// Reads one rule as the management API gives it out: `steps` in place of `[[rule.step]]`, null for what is not
    /// set. Its key is `key`; what is known of a rule beside its definition is passed over.
    ///
    /// # Errors
    /// Every mistake with the place and what may stand there instead, in one text.
    pub fn from_json(key: &str, json: &Json, templates: &[String]) -> Result<Self, String> {
        let mut told = without_null(json);
        if let Json::Object(entries) = &mut told {
            for beside in ["version", "live_since", "next_runs"] {
                entries.remove(beside);
            }
            if let Some(steps) = entries.remove("steps") {
                entries.insert("step".to_owned(), steps);
            }
            if let Some(tests) = entries.remove("tests") {
                entries.insert("test".to_owned(), tests);
            }
            let own = entries.entry("key").or_insert_with(|| Json::from(key));
            if own != key {
                return Err(format!("the rule's key is {own}, but it was put at `{key}`"));
            }
        }
        let mut problems = Problems::default();
        let read = read_rules(&[Node::from_json(&told)], templates, &mut problems);
        match read.and_then(|mut rules| rules.pop()) {
            Some(rule) if problems.0.is_empty() => Ok(rule),
            _ => {
                let said: Vec<String> = problems.0.into_iter().map(|(_, said)| said).collect();
                Err(said.join("; "))
            }
        }
    }
}

/// What is not set is not there: the reader knows no null.
fn without_null(json: &Json) -> Json {
    match json {
        Json::Object(entries) => {
            let known = entries.iter().filter(|(_, value)| !value.is_null());
            known.map(|(key, value)| (key.clone(), without_null(value))).collect()
        }
        Json::Array(items) => items.iter().map(without_null).collect(),
        other => other.clone(),
    }
}
