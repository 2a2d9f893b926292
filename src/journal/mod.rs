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

/// Fewer are done before another core has heard of them.
const MANY: usize = 1_000;

/// What `f` makes of each, in their order.
fn on_all_cores<T: Sync, U: Send>(items: &[T], f: impl Fn(&T) -> U + Sync + Send) -> Vec<U> {
    use rayon::prelude::*;
    if items.len() < MANY {
        items.iter().map(f).collect()
    } else {
        items.par_iter().map(f).collect()
    }
}
