//! `/rules` and `/rules/{key}`: what each rule does, did, and whether it is on.

mod apart;
mod backtest;
mod behind;
mod decisions;
mod definition;
mod doings;
mod effect;
mod gallery;
mod guards;
mod list;
mod loaded;
mod move_on;
mod rule;
mod shadow;
mod switch;

pub use apart::{ApartPage, Kept as KeptShadows, page as apart};
pub use behind::{Behind, BehindPage, Rows, page as behind};
pub use decisions::{DecisionsPage, page as decisions};
pub use effect::SPAN as EFFECT_SPAN;
pub use gallery::{GalleryPage, page as gallery, take};
pub use list::{RulesPage, list};
pub use move_on::move_on;
pub use rule::{RulePage, page};
pub use switch::set_status;

use crate::primitives::Delay;
use crate::reports::rules::Outcome;

/// Over how long a rule's doings are counted.
const LATELY: Delay = Delay::days(28);

/// Of one rule, how many messages it would have sent, had it not been in shadow.
fn would_have_sent(outcomes: &[Outcome], rule: i64) -> i64 {
    let of_it = outcomes.iter().filter(|o| o.rule_id == rule);
    of_it.filter(|o| o.reason.as_deref() == Some("shadow")).map(|o| o.n).sum()
}

/// Of one rule, how many decisions came out as one of those. What only the shadow kept back is none of them.
fn count_of(outcomes: &[Outcome], rule: i64, wanted: &[&str]) -> i64 {
    outcomes
        .iter()
        .filter(|o| o.rule_id == rule && wanted.contains(&o.outcome.as_str()))
        .filter(|o| o.reason.as_deref() != Some("shadow"))
        .map(|o| o.n)
        .sum()
}
