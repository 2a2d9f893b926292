//! Conditions as text: read strictly from TOML or JSON, written as JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::{Comparison, Condition, Field, Kind, MAX_DEPTH, MAX_LIST, Op, Operand};
use crate::rules::document::node::{Fields, Node, Problems, Value, is_plain, shorten};

impl Condition {
    /// Reads `{ all = […] }`, `{ any = […] }`, `{ not = … }` or `{ field, op, value }`; reports what is wrong.
    pub(in crate::rules) fn read(
        node: &Node,
        place: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        read_nested(node, place, 1, problems)
    }
}

fn read_nested(
    node: &Node,
    place: &str,
    depth: usize,
    problems: &mut Problems,
) -> Option<Condition> {
    if depth > MAX_DEPTH {
        problems.add(node.at, format!("{place} is nested deeper than {MAX_DEPTH}"));
        return None;
    }
    let has = |key: &str| match &node.value {
        Value::Table(entries) => entries.iter().any(|entry| entry.key == key),
        _ => false,
    };
    let joint = ["all", "any", "not"].into_iter().find(|key| has(key));
    let Some(joint) = joint else {
        return Comparison::read(node, place, problems).map(Condition::Is);
    };
    let fields = Fields::open(node, place, &[joint], &[], problems)?;
    if joint == "not" {
        let part = read_nested(fields.get(joint)?, place, depth + 1, problems)?;
        return Some(Condition::Not(Box::new(part)));
    }
    let items = fields.list(joint, problems)?;
    if items.is_empty() {
        problems.add(fields.at, format!("`{joint}` in {place} must hold at least one condition"));
        return None;
    }
    let parts: Vec<Option<Condition>> =
        items.iter().map(|item| read_nested(item, place, depth + 1, problems)).collect();
    let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
    Some(if joint == "all" { Condition::All(parts) } else { Condition::Any(parts) })
}

impl Comparison {
    fn read(node: &Node, place: &str, problems: &mut Problems) -> Option<Self> {
        // A table with none of its keys is more likely a misspelt `all` than a comparison.
        if let Value::Table(entries) = &node.value
            && !entries.iter().any(|entry| matches!(entry.key.as_str(), "field" | "op" | "value"))
        {
            let found = entries.first().map_or_else(
                || "is empty".to_owned(),
                |entry| format!("has the unknown key `{}`", shorten(&entry.key)),
            );
            let at = entries.first().map_or(node.at, |entry| entry.at);
            problems
                .add(at, format!("{place} {found}; allowed: all, any, not, or field, op, value"));
            return None;
        }
        let fields = Fields::open(node, place, &["field", "op", "value"], &[], problems)?;
        fields.require("field", problems);
        fields.require("op", problems);
        let field: Option<Field> = fields.parsed("field", problems);
        let op: Option<Op> = fields.parsed("op", problems);
        let (field, op) = (field?, op?);
        if !field.ops().contains(&op) {
            let allowed = field.ops().iter().map(|op| op.as_str()).collect::<Vec<_>>().join(", ");
            let at = fields.get("op").map_or(node.at, |op| op.at);
            problems.add(
                at,
                format!("`{op}` cannot be asked of `{field}` in {place}; allowed: {allowed}"),
            );
            return None;
        }
        let operand = match (op, fields.get("value")) {
            (Op::IsSet, None) => Operand::Flag(true),
            (Op::IsSet, Some(Node { value: Value::Flag(flag), .. })) => Operand::Flag(*flag),
            (Op::IsSet, Some(value)) => {
                fields.refuse("value", value, "true or false", problems);
                return None;
            }
            (_, None) => {
                problems
                    .add(node.at, format!("the condition on `{field}` in {place} has no `value`"));
                return None;
            }
            (Op::In | Op::NotIn, Some(value)) => read_list(field, value, place, problems)?,
            (_, Some(value)) => read_one(field, value, place, problems)?,
        };
        Some(Self { field, op, operand })
    }
}

fn read_list(field: Field, node: &Node, place: &str, problems: &mut Problems) -> Option<Operand> {
    let Value::List(items) = &node.value else {
        let shown = node.shown();
        problems.add(
            node.at,
            format!("`{field}` in {place} is compared with a list here, not {shown}"),
        );
        return None;
    };
    if items.is_empty() || items.len() > MAX_LIST {
        problems.add(
            node.at,
            format!(
                "the list for `{field}` in {place} must hold 1 to {MAX_LIST} values, not {}",
                items.len()
            ),
        );
        return None;
    }
    let read: Vec<Option<Operand>> =
        items.iter().map(|item| read_one(field, item, place, problems)).collect();
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for operand in read {
        match operand? {
            Operand::Number(n) => numbers.push(n),
            Operand::Text(text) => texts.push(text),
            _ => return None,
        }
    }
    Some(if texts.is_empty() { Operand::Numbers(numbers) } else { Operand::Texts(texts) })
}

fn read_one(field: Field, node: &Node, place: &str, problems: &mut Problems) -> Option<Operand> {
    let within = |min: f64, max: f64| node.number().filter(|n| (min..=max).contains(n));
    let range = |what: &str, min: f64, max: f64| {
        if max >= 1e12 {
            format!("{what} of at least {min}")
        } else {
            format!("{what} from {min} to {max}")
        }
    };
    let (operand, wanted) = match (field.kind(), &node.value) {
        (Kind::Whole { min, max }, _) => (
            within(min, max).filter(|n| n.fract() == 0.0).map(Operand::Number),
            range("a whole number", min, max),
        ),
        (Kind::Number { min, max }, _) => {
            (within(min, max).map(Operand::Number), range("a number", min, max))
        }
        (Kind::Text | Kind::Tags, Value::Text(text)) => (
            Some(text.trim())
                .filter(|t| !t.is_empty() && t.chars().count() <= 200 && t.chars().all(is_plain))
                .map(|t| Operand::Text(t.to_owned())),
            "one line of text, 1 to 200 characters long".to_owned(),
        ),
        (Kind::Text | Kind::Tags, _) => (None, "a text in quotes".to_owned()),
        (Kind::OneOf(words), value) => (
            match value {
                Value::Text(text) => words
                    .iter()
                    .find(|word| *word == text)
                    .map(|word| Operand::Text((*word).to_owned())),
                _ => None,
            },
            format!("one of: {}", words.join(", ")),
        ),
        (Kind::Flag, Value::Flag(flag)) => (Some(Operand::Flag(*flag)), String::new()),
        (Kind::Flag, _) => (None, "true or false".to_owned()),
    };
    if operand.is_none() {
        problems.add(
            node.at,
            format!("`{field}` in {place} is compared with {}, but must be {wanted}", node.shown()),
        );
    }
    operand
}

/// Whole numbers without `.0`: `0` is what an operator wrote.
pub(super) fn json_number(n: f64) -> serde_json::Value {
    if n.fract() == 0.0 && n.abs() < 1e15 { json!(n as i64) } else { json!(n) }
}

impl Condition {
    /// The form that [`Condition::read`] reads, as a tree.
    pub fn to_json(&self) -> serde_json::Value {
        let all = |parts: &[Self]| parts.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::All(parts) => json!({ "all": all(parts) }),
            Self::Any(parts) => json!({ "any": all(parts) }),
            Self::Not(part) => json!({ "not": part.to_json() }),
            Self::Is(Comparison { field, op, operand }) => {
                let value = match operand {
                    Operand::Number(n) => json_number(*n),
                    Operand::Text(text) => json!(text),
                    Operand::Flag(flag) => json!(flag),
                    Operand::Numbers(all) => all.iter().copied().map(json_number).collect(),
                    Operand::Texts(all) => json!(all),
                };
                json!({ "field": field, "op": op, "value": value })
            }
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?;
        let mut problems = Problems::default();
        Self::read(&Node::from_json(&json), "audience", &mut problems).ok_or_else(|| {
            let said: Vec<String> = problems.0.into_iter().map(|(_, message)| message).collect();
            serde::de::Error::custom(said.join("; "))
        })
    }
}
