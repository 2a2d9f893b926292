//! Rules: what an operator wants done, as values; their text form; their table.

pub mod condition;
mod rule;

pub use condition::Condition;
pub use rule::{Class, Rule, RuleStatus, Rung, Step, StopOn, StoredRule, Trigger, TriggerKind};
