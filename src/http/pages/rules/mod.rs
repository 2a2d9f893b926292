//! `/rules` and `/rules/{key}`: what each rule does, did, and whether it is on.

mod guards;
mod list;
mod rule;
mod switch;

pub use list::{RulesPage, list};
pub use rule::{RulePage, page};
pub use switch::set_status;

use crate::primitives::Delay;
use crate::reports::rules::Outcome;

/// Over how long a rule's doings are counted.
const LATELY: Delay = Delay::days(28);

/// Of one rule, how many decisions came out as one of those.
fn count_of(outcomes: &[Outcome], rule: i64, wanted: &[&str]) -> i64 {
    outcomes
        .iter()
        .filter(|o| o.rule_id == rule && wanted.contains(&o.outcome.as_str()))
        .map(|o| o.n)
        .sum()
}
