//! The journal: every fact once, folded into who the customer is and what they did.

mod fact;
mod writer;

pub use fact::{
    Body, CartChange, ConsentTold, Context, Identifiers, NewFact, OrderStated, OrderStatus,
    Payload, ProductRef, Source, Traits,
};
pub use writer::{AppendError, Appended, Journal};
