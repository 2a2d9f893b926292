//! Clicks and opens of mails: kept as they came, each with whose it was, a person's or a machine's, and why.
//!
//! No rule begins with one; a step may wait for a person's click. An open is no success, and nothing waits for it: mail
//! programs load pictures on their own.

mod agent;
mod recorder;
pub mod store;
mod verdict;

pub use agent::Agent;
pub use recorder::Recorder;
pub use verdict::{Machine, Seen, Verdict, judge};

use crate::primitives::{MessageId, StoreId, Timestamp};
use crate::text_enum;

text_enum! {
    pub enum EventKind {
        Click = "click",
        /// The pixel was loaded.
        Open = "open",
    }
}

/// What a recipient's program, or whoever came before it, asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub store: StoreId,
    pub message: MessageId,
    pub at: Timestamp,
    pub agent: Agent,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// `link` of the mail's `links` different targets, from 0.
    Click {
        link: u16,
        links: u16,
        target: String,
    },
    Open,
}
