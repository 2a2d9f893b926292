//! Conditions on traits: what the shop itself tells of a customer, by names and of types that only it knows.

use std::fmt;

use serde_json::{Map, Value};

use super::{Known, Op, Operand, compare, folded, write_comparison};

/// A trait compared with a value. It answers a value of its own type alone: `"12"` is no number.
#[derive(Debug, Clone, PartialEq)]
pub struct TraitAsked {
    pub(super) name: String,
    pub(super) op: Op,
    pub(super) operand: Operand,
}

impl TraitAsked {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn holds(&self, traits: &Map<String, Value>) -> bool {
        let told = traits.get(&self.name).filter(|told| !told.is_null());
        if let (Op::Contains, Some(Value::Array(items)), Operand::Text(value)) =
            (self.op, told, &self.operand)
        {
            let value = folded(value);
            return items.iter().filter_map(Value::as_str).any(|item| folded(item) == value);
        }
        if let (Op::IsSet, Operand::Flag(wanted)) = (self.op, &self.operand) {
            return told.is_some() == *wanted;
        }
        let known = match told {
            Some(Value::String(text)) => Some(Known::Text(text)),
            Some(Value::Bool(flag)) => Some(Known::Flag(*flag)),
            Some(number) => number.as_f64().map(Known::Number),
            None => None,
        };
        compare(known, self.op, &self.operand)
    }
}

impl fmt::Display for TraitAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_comparison(f, &self.name, self.op, &self.operand)
    }
}

/// Whether a trait of that name can be asked about: as shops name them, and nothing that a path could trip over.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
    !name.is_empty() && name.chars().count() <= 100 && name.chars().all(fits)
}
