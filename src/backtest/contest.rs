//! The rule that is looked at, and whom it competes with. Pure.

use crate::primitives::{RuleId, Timestamp};
use crate::rules::{Rule, RuleStatus, ShopDocument, StoredRule};
use crate::stores::Store;

/// A store's settings, and its rules with the one that is looked at: saved or not, live or not.
#[derive(Debug, Clone)]
pub struct Contest {
    pub store: Store,
    /// The live ones, and last the one that is looked at.
    rules: Vec<StoredRule>,
    names_people: bool,
}

impl Contest {
    /// `rule` beside the rules that are live; of two with its key it stands.
    pub fn new(store: Store, rule: Rule, live: Vec<StoredRule>) -> Self {
        let (same, mut rules): (Vec<_>, Vec<_>) =
            live.into_iter().partition(|other| other.rule.key == rule.key);
        // Ids are given from 1: a rule that is not stored has one that nobody has.
        let (id, version) = same.first().map_or((RuleId(0), 1), |own| (own.id, own.version));
        rules.push(live_rule(id, version, &store, rule));
        // What is paused today was not then.
        Self { store: Store { pause: None, ..store }, rules, names_people: false }
    }

    /// The rules and settings of a document, as if it were applied to `store`; `None` where it has no such rule.
    pub fn of_document(store: &Store, document: &ShopDocument, key: &str) -> Option<Self> {
        let store = document.on(store);
        let rule = document.rules.iter().find(|rule| rule.key == key)?.clone();
        let is_live = |rule: &&Rule| rule.status == RuleStatus::Live && rule.key != key;
        let live = document.rules.iter().filter(is_live).zip(1..);
        let live = live.map(|(rule, n)| live_rule(RuleId(-n), 1, &store, rule.clone())).collect();
        Some(Self::new(store, rule, live))
    }

    /// The report is to say of each customer what became of them, too.
    pub fn naming_people(self) -> Self {
        Self { names_people: true, ..self }
    }

    pub fn names_people(&self) -> bool {
        self.names_people
    }

    /// All of them, live from `from` on.
    pub fn rules_from(&self, from: Timestamp) -> Vec<StoredRule> {
        let from = |rule: &StoredRule| StoredRule { live_since: Some(from), ..rule.clone() };
        self.rules.iter().map(from).collect()
    }

    /// The place of the rule that is looked at.
    pub fn tested(&self) -> usize {
        self.rules.len() - 1
    }
}

fn live_rule(id: RuleId, version: i32, store: &Store, rule: Rule) -> StoredRule {
    StoredRule {
        id,
        store: store.id,
        version,
        status: RuleStatus::Live,
        live_since: None,
        pause: None,
        rule: Rule { status: RuleStatus::Live, ..rule },
    }
}
