//! Rules: what an operator wants done, as values; their text form; their table.

pub mod condition;
mod document;
mod node;
mod print;
mod rule;
#[cfg(test)]
mod samples;

pub use condition::{Condition, Subject};
pub use document::{DocumentErrors, Problem, ShopDocument, defaults};
pub use rule::{Class, Rule, RuleStatus, Rung, Step, StopOn, StoredRule, Trigger, TriggerKind};
