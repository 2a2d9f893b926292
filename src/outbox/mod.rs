//! The outbox: planned messages, claimed under a lease, judged again at the door, handed to mail, settled.
//!
//! SMTP is not exactly-once, and the statuses say so: what may or may not have left is `in_doubt`.

pub mod backoff;
pub mod claim;
pub mod door;
pub mod doubt;
pub mod lease;
mod message;
mod pace;
mod post;
mod prepare;
mod queue;
pub mod quiet;
mod run;
pub mod settle;
pub mod store;
#[cfg(test)]
mod tests;
pub mod wording;
pub mod worker;

pub use message::{Message, MessageStatus, NewMessage};
pub use worker::{Clocks, PostOffice};

use crate::ledger::Outcome;

/// What a pass did, as `homing tick` prints it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Customers asked about by a rule.
    pub considered: u64,
    pub enrolled: u64,
    pub held_out: u64,
    pub deferred: u64,
    pub suppressed: u64,
    pub stopped: u64,
    pub expired: u64,
    pub sent: u64,
    pub failed: u64,
    pub in_doubt: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.considered += other.considered;
        self.enrolled += other.enrolled;
        self.held_out += other.held_out;
        self.deferred += other.deferred;
        self.suppressed += other.suppressed;
        self.stopped += other.stopped;
        self.expired += other.expired;
        self.sent += other.sent;
        self.failed += other.failed;
        self.in_doubt += other.in_doubt;
    }

    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Enrolled => self.enrolled += 1,
            Outcome::HeldOut => self.held_out += 1,
            Outcome::Deferred => self.deferred += 1,
            Outcome::Suppressed => self.suppressed += 1,
            Outcome::Stopped => self.stopped += 1,
            Outcome::Expired => self.expired += 1,
            Outcome::Sent => self.sent += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::InDoubt => self.in_doubt += 1,
            Outcome::NotEligible => {}
        }
    }
}
