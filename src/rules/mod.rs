//! Rules: what an operator wants done, as values; their text form; their table.

mod apply;
mod case;
mod check;
pub mod condition;
pub mod cron;
mod difference;
mod document;
mod rule;
#[cfg(test)]
mod samples;
mod step;
pub mod store;

pub use crate::stores::{Pause, PauseReason};
pub use apply::{Applied, apply, export, export_of, preview};
pub use case::{MadeUp, RuleTest};
pub use check::check;
pub use condition::{Condition, Subject};
pub use cron::Cron;
pub use difference::{Change, ValueChange, changed_rule};
pub use document::{DocumentErrors, Problem, ShopDocument, Words, defaults};
pub use rule::{
    Class, DayOffset, FIRST_ORDER, Rule, RuleStatus, Rung, StopOn, StoredRule, Trigger, TriggerKind,
};
pub use step::{Exit, LocalTime, Otherwise, Step, StepEvent, Variant, Wording};
