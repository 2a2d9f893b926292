//! What a rule caused, by the customers that chance left out of it. Pure: knows no table and no clock.
//!
//! Customers are compared as they were assigned when they first became eligible, whatever became of them. What each did
//! within one window of time is what counts, and only customers whose window is over are compared. Nobody has to wait
//! for a sample size fixed before: the intervals hold at every look (`sequence`).

mod compare;
mod sequence;

pub use compare::{ArmFigures, Asked, Comparison, Unit, compare};
pub use sequence::{Answer, Difference, Progress};

#[cfg(test)]
mod tests;
