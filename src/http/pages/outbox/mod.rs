//! `/outbox` and `/outbox/{id}`: what will go, went, was held back, and why.

mod list;
mod message;
mod settle;

pub use list::{OutboxPage, list};
pub use message::{MessagePage, mail, message};
pub use settle::{close, resend};
