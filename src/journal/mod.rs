//! The journal: every fact once, folded into who the customer is and what they did.

mod fact;

pub use fact::{
    Body, CartChange, ConsentTold, Context, Identifiers, NewFact, OrderStated, OrderStatus,
    Payload, ProductRef, Source, Traits,
};
