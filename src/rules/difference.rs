//! What applying a document would change. Pure: values in, lines for the operator out.

use std::fmt;

use super::document::print::{self, Line};
use super::{Rule, RuleStatus, ShopDocument, StoredRule};
use crate::stores::Store;

/// One thing that applying a document changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    StoreAdded {
        key: String,
    },
    /// The first settings of a store.
    SettingsGiven {
        key: String,
    },
    /// In `store`, `sending` or `scoring`.
    SettingsChanged {
        section: &'static str,
        values: Vec<ValueChange>,
    },
    RuleAdded {
        key: String,
        status: RuleStatus,
    },
    RuleChanged {
        key: String,
        values: Vec<ValueChange>,
    },
    /// The same rules, in this order: for people alone, since rules are weighed by rung and priority.
    RulesReordered {
        keys: Vec<String>,
    },
    /// It left the document: nothing more of it goes out, its ledger stays.
    RuleRetired {
        key: String,
    },
}

/// A setting's text before and after; `None` where it is not set.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ValueChange {
    pub name: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreAdded { key } => write!(f, "+ store {key}"),
            Self::SettingsGiven { key } => write!(f, "+ settings of store {key}"),
            Self::SettingsChanged { section, values } => {
                write!(f, "~ {section}: {}", joined(values))
            }
            Self::RuleAdded { key, status } => write!(f, "+ rule {key} ({status})"),
            Self::RuleChanged { key, values } => write!(f, "~ rule {key}: {}", joined(values)),
            Self::RulesReordered { keys } => write!(f, "~ order of rules: {}", keys.join(", ")),
            Self::RuleRetired { key } => write!(f, "- rule {key} (its ledger stays)"),
        }
    }
}

fn joined(values: &[ValueChange]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for ValueChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".to_owned());
        write!(f, "{} {} → {}", self.name, text(&self.from), text(&self.to))
    }
}

/// What stands between a store as it is (`None`: there is none of that key) and the document.
pub fn difference(
    key: &str,
    store: Option<&Store>,
    rules: &[StoredRule],
    document: &ShopDocument,
) -> Vec<Change> {
    let mut changes = Vec::new();
    match store.map(|store| (store, store.details())) {
        None => changes.push(Change::StoreAdded { key: key.to_owned() }),
        Some((_, None)) => changes.push(Change::SettingsGiven { key: key.to_owned() }),
        Some((store, Some(details))) => {
            let sections = [
                ("store", print::details(&details), print::details(&document.store)),
                ("sending", print::sending(&store.sending), print::sending(&document.sending)),
                ("scoring", print::scoring(&store.scoring), print::scoring(&document.scoring)),
                (
                    "retention",
                    print::retention(&store.retention),
                    print::retention(&document.retention),
                ),
            ];
            for (section, before, after) in sections {
                let values = changed_lines(&before, &after);
                if !values.is_empty() {
                    changes.push(Change::SettingsChanged { section, values });
                }
            }
        }
    }
    for rule in &document.rules {
        match rules.iter().find(|stored| stored.rule.key == rule.key) {
            None => changes.push(Change::RuleAdded { key: rule.key.clone(), status: rule.status }),
            Some(stored) if stored.rule != *rule => changes.push(Change::RuleChanged {
                key: rule.key.clone(),
                values: changed_rule(&stored.rule, rule),
            }),
            Some(_) => {}
        }
    }
    let kept = |rules: Vec<&Rule>, others: Vec<&Rule>| -> Vec<String> {
        let is_kept = |rule: &&Rule| others.iter().any(|other| other.key == rule.key);
        rules.into_iter().filter(is_kept).map(|rule| rule.key.clone()).collect()
    };
    let before: Vec<&Rule> = rules.iter().map(|stored| &stored.rule).collect();
    let after: Vec<&Rule> = document.rules.iter().collect();
    let keys = kept(after.clone(), before.clone());
    if keys != kept(before, after) {
        changes.push(Change::RulesReordered { keys });
    }
    let left = rules
        .iter()
        .filter(|stored| !document.rules.iter().any(|rule| rule.key == stored.rule.key));
    changes.extend(left.map(|stored| Change::RuleRetired { key: stored.rule.key.clone() }));
    changes
}

/// What stands otherwise in a later version of a rule.
pub fn changed_rule(before: &Rule, after: &Rule) -> Vec<ValueChange> {
    let mut values = changed_lines(&print::rule_lines(before), &print::rule_lines(after));
    let step = |rule: &Rule, n: usize| rule.steps.get(n).map(|step| print::step_inline(step, n));
    for n in 0..before.steps.len().max(after.steps.len()) {
        let (from, to) = (step(before, n), step(after, n));
        if from != to {
            values.push(ValueChange { name: format!("step {}", n + 1), from, to });
        }
    }
    let test = |rule: &Rule, n: usize| rule.tests.get(n).map(print::test_inline);
    for n in 0..before.tests.len().max(after.tests.len()) {
        let (from, to) = (test(before, n), test(after, n));
        if from != to {
            values.push(ValueChange { name: format!("test {}", n + 1), from, to });
        }
    }
    values
}

/// Both lists hold the same keys in the same order.
fn changed_lines(before: &[Line], after: &[Line]) -> Vec<ValueChange> {
    before
        .iter()
        .zip(after)
        .filter(|(before, after)| before.value != after.value)
        .map(|(before, after)| ValueChange {
            name: after.key.to_owned(),
            from: before.known(),
            to: after.known(),
        })
        .collect()
}
