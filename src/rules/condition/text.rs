//! Conditions as text: read strictly from TOML or JSON, written as JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::{
    Behaviour, Comparison, Condition, Did, Field, Kind, MAX_DEPTH, MAX_LIST, Of, Op, Operand,
    Received, TraitAsked, traits,
};
use crate::primitives::Delay;
use crate::rules::document::node::{Fields, Node, Problems, Value, is_plain, shorten};
use crate::rules::document::sections::positive;

impl Condition {
    /// Reads `{ all = […] }`, `{ any = […] }`, `{ not = … }`, `{ field, op, value }`, `{ did = … }`, `{ never = … }`,
    /// `{ received = … }`, `{ tag = … }` or `{ trait, op, value }`; reports what is wrong.
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
        return if has("did") || has("never") {
            read_behaviour(node, place, problems).map(Condition::Did)
        } else if has("received") {
            read_received(node, place, problems).map(Condition::Received)
        } else if has("tag") {
            read_tag(node, place, problems).map(Condition::Is)
        } else if has("trait") {
            read_trait(node, place, problems).map(Condition::Trait)
        } else {
            Comparison::read(node, place, problems).map(Condition::Is)
        };
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
            problems.add(
                at,
                format!(
                    "{place} {found}; allowed: all, any, not, or field, op, value, or did, never, received, tag, trait"
                ),
            );
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

/// More is no longer a question of behaviour, and keeps the count far from every overflow.
const MAX_TIMES: u32 = 10_000;

/// `{ did = "bought", product = "P", at_least = 2, within = "90d" }`, or `never` in place of `did`.
fn read_behaviour(node: &Node, place: &str, problems: &mut Problems) -> Option<Behaviour> {
    let allowed = ["did", "never", "product", "category", "at_least", "within"];
    let fields = Fields::open(node, place, &allowed, &[], problems)?;
    let before = problems.0.len();
    let never = fields.get("never").is_some();
    if never && let Some(did) = fields.get("did") {
        problems.add(did.at, format!("{place} has both `did` and `never`: keep one of them"));
    }
    let what: Option<Did> = fields.parsed(if never { "never" } else { "did" }, problems);
    let text = |key: &str, problems: &mut Problems| {
        fields.get(key).and_then(|_| fields.line(key, 200, problems))
    };
    let product = text("product", problems);
    let category = text("category", problems);
    if let (Some(_), Some(node)) = (fields.get("product"), fields.get("category")) {
        let said = "has both `product` and `category`: join two conditions with `all` instead";
        problems.add(node.at, format!("{place} {said}"));
    }
    let of = product.map(Of::Product).or(category.map(Of::Category));
    if what == Some(Did::Visited)
        && let Some(node) = fields.get("product").or_else(|| fields.get("category"))
    {
        let said = "`visited` asks for no product or category: write did = \"viewed\"";
        problems.add(node.at, format!("{place}: {said}"));
    }
    let at_least = match fields.get("at_least") {
        None => Some(1),
        Some(node) if never => {
            problems.add(node.at, format!("{place}: `never` takes no `at_least`"));
            None
        }
        Some(_) => fields.whole("at_least", 1, MAX_TIMES, problems),
    };
    let within = read_within(&fields, problems);
    // All that is wrong is said; only what is wholly right is read.
    if problems.0.len() > before {
        return None;
    }
    Some(Behaviour { never, what: what?, of, at_least: at_least?, within })
}

fn read_within(fields: &Fields<'_>, problems: &mut Problems) -> Option<Delay> {
    fields.get("within").and_then(|_| positive("within", fields, problems))
}

/// `{ received = "win-back", within = "14d" }`
fn read_received(node: &Node, place: &str, problems: &mut Problems) -> Option<Received> {
    let fields = Fields::open(node, place, &["received", "within"], &[], problems)?;
    let before = problems.0.len();
    let rule = fields.line("received", 64, problems);
    let within = read_within(&fields, problems);
    let rule = rule.filter(|_| problems.0.len() == before)?;
    Some(Received { rule, within })
}

/// `{ tag = "vip" }`, a short form of a comparison.
fn read_tag(node: &Node, place: &str, problems: &mut Problems) -> Option<Comparison> {
    let fields = Fields::open(node, place, &["tag"], &[], problems)?;
    let operand = read_one(Field::Tags, fields.get("tag")?, place, problems)?;
    Some(Comparison { field: Field::Tags, op: Op::Contains, operand })
}

/// `{ trait = "plan", op = "eq", value = "gold" }`. The value's type is the trait's.
fn read_trait(node: &Node, place: &str, problems: &mut Problems) -> Option<TraitAsked> {
    let fields = Fields::open(node, place, &["trait", "op", "value"], &[], problems)?;
    fields.require("op", problems);
    let name = fields.line("trait", 100, problems);
    if let (Some(name), Some(node)) = (&name, fields.get("trait"))
        && !traits::is_name(name)
    {
        fields.refuse("trait", node, "a name of letters, digits, `_`, `-` and spaces", problems);
        return None;
    }
    let op: Option<Op> = fields.parsed("op", problems);
    let (name, op) = (name?, op?);
    let told = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.trim())
            .filter(|t| !t.is_empty() && t.chars().count() <= 200 && t.chars().all(is_plain))
            .map(|t| Operand::Text(t.to_owned())),
        Value::Flag(flag) => Some(Operand::Flag(*flag)),
        _ => node.number().filter(|n| n.abs() <= 1e12).map(Operand::Number),
    };
    let value = fields.get("value");
    let operand = match (op, value) {
        (Op::IsSet, None) => Some(Operand::Flag(true)),
        (Op::IsSet, Some(value)) => told(value).filter(|v| matches!(v, Operand::Flag(_))),
        (_, None) => {
            fields.require("value", problems);
            return None;
        }
        (Op::In | Op::NotIn, Some(Node { value: Value::List(items), .. })) => {
            let read: Option<Vec<Operand>> = items.iter().map(told).collect();
            read.filter(|read| (1..=MAX_LIST).contains(&read.len())).and_then(in_one_list)
        }
        (Op::In | Op::NotIn, Some(_)) => None,
        (_, Some(value)) => told(value).filter(|operand| match operand {
            Operand::Number(_) => op != Op::Contains,
            Operand::Text(_) => matches!(op, Op::Eq | Op::Ne | Op::Contains),
            _ => matches!(op, Op::Eq | Op::Ne),
        }),
    };
    if operand.is_none()
        && let Some(value) = value
    {
        let wanted = match op {
            Op::IsSet => "true or false",
            Op::In | Op::NotIn => "a list of texts, or of numbers",
            Op::Contains => "one line of text",
            Op::Eq | Op::Ne => "a text, a number, true or false",
            _ => "a number",
        };
        fields.refuse("value", value, &format!("{wanted} for `{op}`"), problems);
    }
    Some(TraitAsked { name, op, operand: operand? })
}

/// Numbers alone, or texts alone.
fn in_one_list(items: Vec<Operand>) -> Option<Operand> {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            Operand::Number(n) => numbers.push(n),
            Operand::Text(text) => texts.push(text),
            _ => return None,
        }
    }
    match (numbers.is_empty(), texts.is_empty()) {
        (false, true) => Some(Operand::Numbers(numbers)),
        (true, false) => Some(Operand::Texts(texts)),
        _ => None,
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
                json!({ "field": field, "op": op, "value": operand.to_json() })
            }
            Self::Trait(TraitAsked { name, op, operand }) => {
                json!({ "trait": name, "op": op, "value": operand.to_json() })
            }
            Self::Did(Behaviour { never, what, of, at_least, within }) => {
                let mut told = json!({ (if *never { "never" } else { "did" }): what });
                match of {
                    Some(Of::Product(id)) => told["product"] = json!(id),
                    Some(Of::Category(name)) => told["category"] = json!(name),
                    None => {}
                }
                if *at_least > 1 {
                    told["at_least"] = json!(at_least);
                }
                if let Some(within) = within {
                    told["within"] = json!(within);
                }
                told
            }
            Self::Received(Received { rule, within }) => match within {
                Some(within) => json!({ "received": rule, "within": within }),
                None => json!({ "received": rule }),
            },
        }
    }
}

impl Operand {
    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Number(n) => json_number(*n),
            Self::Text(text) => json!(text),
            Self::Flag(flag) => json!(flag),
            Self::Numbers(all) => all.iter().copied().map(json_number).collect(),
            Self::Texts(all) => json!(all),
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
