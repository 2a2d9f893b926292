//! A store and its settings: who it is, and the guardrails of its sending.

mod dkim;
mod pause;
pub mod settings;
pub mod store;

pub use dkim::{Dkim, DomainName, InvalidDomainName};
pub use pause::{Pause, PauseReason};
pub use settings::{
    Cap, ConsentMode, Details, InDoubtPolicy, QuietHours, Rate, Retention, Scoring, Sender,
    Sending, Store,
};
