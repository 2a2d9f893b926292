//! The audience language: who a rule is for, asked of what is known about one customer. Pure.
//!
//! Every condition that exists is well typed: what cannot be asked is refused when it is read, not when a
//! customer is due. What is not known of a customer answers no comparison, not even `ne`; only `is_set` sees it.

mod behaviour;
mod comparison;
mod field;
mod sense;
pub mod sql;
mod subject;
#[cfg(test)]
mod tests;
mod text;
mod traits;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::json;

use crate::primitives::Timestamp;

pub use behaviour::{Behaviour, Deed, Did, Needs, Of, Received};
pub use comparison::{Comparison, Op};
use comparison::{Operand, compare, folded, write_comparison};
use field::Kind;
pub use field::{Field, LARGE, SEGMENTS};
use subject::Known;
pub use subject::Subject;
pub use traits::{TraitAsked, is_name as is_trait_name};

/// `all` / `any` / `not`, nested, over what is known of a customer and what they did.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Is(Comparison),
    /// What the shop itself told of them, by its own name.
    Trait(TraitAsked),
    Did(Behaviour),
    /// A rule's mail reached them.
    Received(Received),
}

/// Deeper than any audience that a person can still read; and no stack ever grows past it.
const MAX_DEPTH: usize = 16;
const MAX_LIST: usize = 1_000;

impl Condition {
    /// Whether it holds for this customer at `now`.
    pub fn holds(&self, subject: &Subject, now: Timestamp) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(subject, now)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(subject, now)),
            Self::Not(part) => !part.holds(subject, now),
            Self::Is(comparison) => comparison.holds(subject, now),
            Self::Trait(asked) => asked.holds(&subject.traits),
            Self::Did(behaviour) => behaviour.holds(&subject.deeds, now),
            Self::Received(received) => received.holds(&subject.received, now),
        }
    }

    /// The fields it asks about.
    pub fn fields(&self) -> BTreeSet<Field> {
        let mut fields = BTreeSet::new();
        self.visit(&mut |leaf| {
            if let Self::Is(comparison) = leaf {
                fields.insert(comparison.field);
            }
        });
        fields
    }

    /// What it saw, for the ledger: each field it asks about with its value, `null` where unknown.
    pub fn facts(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> serde_json::Map<String, serde_json::Value> {
        let value = |field| match subject.value(field, now) {
            None => serde_json::Value::Null,
            // Three digits are enough to explain, and more would only look exact.
            Some(Known::Number(n)) => text::json_number((n * 1e3).round() / 1e3),
            Some(Known::Text(text)) => json!(text),
            Some(Known::Tags(tags)) => json!(tags),
            Some(Known::Flag(flag)) => json!(flag),
        };
        let mut facts: serde_json::Map<String, serde_json::Value> =
            self.fields().into_iter().map(|field| (field.to_string(), value(field))).collect();
        self.visit(&mut |leaf| match leaf {
            Self::Trait(asked) => {
                let told = subject.traits.get(asked.name()).cloned();
                facts.insert(asked.name().to_owned(), told.unwrap_or(serde_json::Value::Null));
            }
            Self::Did(behaviour) => {
                let times = behaviour.times(&subject.deeds, now);
                facts.insert(behaviour.subject(), json!(times));
            }
            Self::Received(received) => {
                let last = received.last(&subject.received, now);
                facts.insert(received.to_string(), json!(last));
            }
            _ => {}
        });
        facts
    }

    /// Whether it holds for those alone who never ordered, as far as its own words say so.
    pub fn wants_no_orders(&self) -> bool {
        match self {
            Self::All(parts) => parts.iter().any(Self::wants_no_orders),
            Self::Any(parts) => parts.iter().all(Self::wants_no_orders),
            Self::Is(Comparison { field: Field::OrdersCount, op, operand: Operand::Number(n) }) => {
                matches!(op, Op::Eq | Op::Lte) && *n == 0.0 || *op == Op::Lt && *n <= 1.0
            }
            Self::Did(behaviour) => behaviour.is_never_of(Did::Bought),
            Self::Not(_) | Self::Is(_) | Self::Trait(_) | Self::Received(_) => false,
        }
    }

    /// The rules whose mail it asks about.
    pub fn rules_received(&self) -> BTreeSet<&str> {
        let mut rules = BTreeSet::new();
        self.visit(&mut |leaf| {
            if let Self::Received(received) = leaf {
                rules.insert(received.rule.as_str());
            }
        });
        rules
    }

    /// Shows every condition that is not made of others.
    pub fn visit<'c>(&'c self, f: &mut impl FnMut(&'c Self)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(f)),
            Self::Not(part) => part.visit(f),
            leaf => f(leaf),
        }
    }
}

/// In words: `orders_count = 0 and segment is one of at_risk, lost`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (n, part) in parts.iter().enumerate() {
                if n > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Self::All(_) | Self::Any(_) if parts.len() > 1 => write!(f, "({part})")?,
                    _ => write!(f, "{part}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::All(parts) => joined(f, parts, "and"),
            Self::Any(parts) => joined(f, parts, "or"),
            Self::Not(part) => write!(f, "not ({part})"),
            Self::Is(comparison) => comparison.fmt(f),
            Self::Trait(asked) => asked.fmt(f),
            Self::Did(behaviour) => behaviour.fmt(f),
            Self::Received(received) => received.fmt(f),
        }
    }
}
