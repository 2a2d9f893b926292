//! Scoring: how recent, how often and how much, by person and store; who is slipping away, and why now.
//!
//! [`fifths`], [`rfm`], [`visitor`], [`gap`], [`models`], [`predict`], [`rhythm`], [`prospect`], [`assess`] and
//! [`why_now`] are pure; `store` holds the SQL, `run` the shell. It reads rollups, and for a time in the past the
//! journal; it writes `scores`, `at_risk_list`, `segment_history`, `scoring_runs` and `learnings`, and nothing else.

pub mod assess;
pub mod fifths;
pub mod forecast;
pub mod gap;
pub mod learning;
pub mod models;
pub mod predict;
pub mod prospect;
pub mod rfm;
pub mod rhythm;
pub mod run;
pub mod segments;
pub mod store;
pub mod visitor;
pub mod why_now;
pub mod worklist;

#[cfg(test)]
mod reference;

pub use assess::{Summary, Tally};
pub use rfm::{Rfm, Segment};
pub use run::{
    Report, ScoreError, rescore_changed, score_as_of, score_store, score_store_learning_every,
};
pub use segments::Segments;
pub use store::{Run, ScoredCustomer};
pub use visitor::{VisitorSegment, is_of_visitors};
pub use worklist::{Worklist, WorklistItem};

use crate::text_enum;

text_enum! {
    /// Who is scored on what: purchases, or visits alone.
    pub enum Kind {
        Buyer = "buyer",
        Visitor = "visitor",
    }
}
