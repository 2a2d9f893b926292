//! One value compared with another that fits it.

use std::fmt;

use super::subject::Known;
use super::{Field, Subject};
use crate::primitives::Timestamp;
use crate::text_enum;

/// One field compared with one value that fits it: only reading makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub(super) field: Field,
    pub(super) op: Op,
    pub(super) operand: Operand,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Number(f64),
    Text(String),
    Flag(bool),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

text_enum! {
    pub enum Op {
        Eq = "eq",
        Ne = "ne",
        Lt = "lt",
        Lte = "lte",
        Gt = "gt",
        Gte = "gte",
        In = "in",
        NotIn = "not_in",
        /// A tag among the tags; a part of a text.
        Contains = "contains",
        IsSet = "is_set",
    }
}

impl Comparison {
    pub fn field(&self) -> Field {
        self.field
    }

    /// A field that is yes or no.
    pub fn flag(field: Field, is: bool) -> Self {
        Self { field, op: Op::Eq, operand: Operand::Flag(is) }
    }

    /// A field that is one of our own words.
    pub fn word(field: Field, is: &str) -> Self {
        Self { field, op: Op::Eq, operand: Operand::Text(is.to_owned()) }
    }

    pub(super) fn holds(&self, subject: &Subject, now: Timestamp) -> bool {
        compare(subject.value(self.field, now), self.op, &self.operand)
    }
}

/// In words: `spent ≥ 50`.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_comparison(f, self.field.as_str(), self.op, &self.operand)
    }
}

pub(super) fn compare(known: Option<Known<'_>>, op: Op, operand: &Operand) -> bool {
    if let (Op::IsSet, Operand::Flag(wanted)) = (op, operand) {
        return known.is_some() == *wanted;
    }
    match (known, operand) {
        (Some(Known::Number(n)), Operand::Number(value)) => match op {
            Op::Eq => n == *value,
            Op::Ne => n != *value,
            Op::Lt => n < *value,
            Op::Lte => n <= *value,
            Op::Gt => n > *value,
            Op::Gte => n >= *value,
            _ => false,
        },
        (Some(Known::Number(n)), Operand::Numbers(values)) => values.contains(&n) == (op == Op::In),
        (Some(Known::Text(text)), Operand::Text(value)) => {
            let (text, value) = (folded(text), folded(value));
            match op {
                Op::Eq => text == value,
                Op::Ne => text != value,
                Op::Contains => text.contains(&value),
                _ => false,
            }
        }
        (Some(Known::Text(text)), Operand::Texts(values)) => {
            let text = folded(text);
            values.iter().any(|value| folded(value) == text) == (op == Op::In)
        }
        (Some(Known::Tags(tags)), Operand::Text(value)) => {
            let value = folded(value);
            tags.iter().any(|tag| folded(tag) == value)
        }
        (Some(Known::Flag(flag)), Operand::Flag(value)) => (flag == *value) == (op == Op::Eq),
        _ => false,
    }
}

/// Texts are compared without the case of A to Z, and `zh_CN` is `zh-CN`: shops and browsers spell them as they
/// like. Of other letters the databases do not agree what their case is, so that it counts.
pub(super) fn folded(text: &str) -> String {
    text.to_ascii_lowercase().replace('_', "-")
}

pub(super) fn write_comparison(
    f: &mut fmt::Formatter<'_>,
    field: &str,
    op: Op,
    operand: &Operand,
) -> fmt::Result {
    let op = match (op, operand) {
        (Op::IsSet, Operand::Flag(true)) => return write!(f, "{field} is known"),
        (Op::IsSet, _) => return write!(f, "{field} is not known"),
        (Op::Eq, _) => "=",
        (Op::Ne, _) => "≠",
        (Op::Lt, _) => "<",
        (Op::Lte, _) => "≤",
        (Op::Gt, _) => ">",
        (Op::Gte, _) => "≥",
        (Op::In, _) => "is one of",
        (Op::NotIn, _) => "is none of",
        (Op::Contains, _) => "contains",
    };
    write!(f, "{field} {op} ")?;
    let list = |all: Vec<String>| all.join(", ");
    match operand {
        Operand::Number(n) => write!(f, "{n}"),
        Operand::Text(text) => f.write_str(text),
        Operand::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
        Operand::Numbers(all) => f.write_str(&list(all.iter().map(f64::to_string).collect())),
        Operand::Texts(all) => f.write_str(&list(all.clone())),
    }
}
