//! The planner: due candidates in, decisions out, each kept in the ledger.
//!
//! A pass derives everything from stored state and `now`; running it twice, late or after a crash plans the
//! same mail once. It sends nothing: what it plans stands in the outbox.

pub mod action;
pub mod campaign;
mod dates;
pub mod decide;
pub mod episode;
pub mod moves;
pub mod run;
pub mod stays;
pub mod steps;
mod store;
#[cfg(test)]
mod tests;
pub mod watch;
pub mod why;

pub use run::{Positions, pass};
