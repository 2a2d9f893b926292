//! Mail: how a message is worded, and how it is handed to the mail server.

mod compose;
mod context;
pub mod dkim;
mod reply;
mod smtp;
mod templates;
mod tracked;
mod transport;

pub use compose::{ComposeError, Headers, message_id_for};
pub use context::{CustomerWords, MailContext, ProductWords, StoreWords};
pub use templates::{Composer, LoadError, RenderError, Rendered};
pub use tracked::{Link, Tracking};
pub use transport::{Delivery, InvalidSmtpUrl, Memory, Transport, Unreachable};

use crate::primitives::EmailAddress;

/// A message as it leaves: nothing in it is decided any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyMail {
    pub envelope_from: EmailAddress,
    pub envelope_to: EmailAddress,
    /// With its angle brackets; the same on every attempt.
    pub message_id: String,
    pub subject: String,
    /// RFC 5322, ASCII only, lines ended by CRLF.
    pub bytes: Vec<u8>,
}
