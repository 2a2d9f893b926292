//! A store and its settings: who it is, and the guardrails of its sending.

pub mod settings;
pub mod store;

pub use settings::{
    Cap, ConsentMode, Details, InDoubtPolicy, QuietHours, Rate, Scoring, Sender, Sending, Store,
};
