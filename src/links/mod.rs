//! Signed links for recipients: who one is for is in the link itself, and nobody can make one up.

pub mod store;
mod token;

pub use token::{ClickToken, OpenToken, UnsubscribeToken};
