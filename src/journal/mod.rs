//! The journal: every fact once, folded into who the customer is and what they did.

mod append;
mod fact;
pub mod fold;
mod persist;

pub mod rebuild;
pub mod store;
mod writer;

pub use crate::customers::{ConsentTold, Traits};
pub use crate::identity::Identifiers;
pub use crate::orders::{OrderStated, OrderStatus, ProductRef};
pub use append::erased_identity;
pub use fact::{Body, CartChange, Context, NewFact, Payload, Source};
pub use writer::{Answer, AppendError, Appended, Journal, Writer};
