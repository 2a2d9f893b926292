//! One line of the ledger: when, by which rule, what came of it, and why.

use std::collections::HashMap;

use serde::Serialize;

use super::name_of;
use crate::http::pages::format::Format;
use crate::http::pages::words::{self, Mark, Pair};
use crate::reports::rows::decisions::Decision;
use crate::reports::rules::RuleName;

#[derive(Debug, Default, Serialize)]
pub struct LedgerRow {
    pub when: String,
    pub exact: String,
    pub rule: String,
    pub href: String,
    pub step: String,
    pub mark: Mark,
    pub why: String,
    pub facts: Vec<Pair>,
    pub message: String,
}

pub fn ledger_row(
    format: &Format,
    decision: &Decision,
    rules: &HashMap<i64, RuleName>,
) -> LedgerRow {
    LedgerRow {
        when: format.when(decision.at),
        exact: format.exact(decision.at),
        rule: name_of(rules, decision.rule_id),
        href: rules.get(&decision.rule_id).map_or(String::new(), |r| format!("/rules/{}", r.key)),
        step: decision
            .step
            .map_or(String::new(), |step| format.text("ledger.step", &[("n", &step.to_string())])),
        mark: words::outcome(format, &decision.outcome),
        why: words::reason(format, &decision.outcome, decision.reason.as_deref(), &decision.facts),
        facts: words::facts(format, &decision.facts),
        message: decision.message_id.map_or(String::new(), |id| format!("/outbox/{id}")),
    }
}
