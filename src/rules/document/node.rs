//! The tree that a document is read from: values with the place where they stand, and what is wrong with them.
//!
//! TOML and JSON both become this tree, so that one reader serves files, stored definitions and the API. The
//! reader walks on after a mistake: an operator sees all of them at once.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it stands: a byte offset into the text, 0 for JSON.
#[derive(Debug)]
pub struct Node {
    pub at: usize,
    pub value: Value,
}

#[derive(Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    List(Vec<Node>),
    /// In the order of the keys' names.
    Table(Vec<Entry>),
    /// What no setting takes: a date, a number too large, `null`.
    Other(String),
}

#[derive(Debug)]
pub struct Entry {
    pub at: usize,
    pub key: String,
    pub node: Node,
}

/// What is wrong with a document, each with its offset.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<(usize, String)>);

impl Problems {
    pub fn add(&mut self, at: usize, message: impl Into<String>) {
        self.0.push((at, message.into()));
    }
}

impl Node {
    pub fn from_toml(table: &Spanned<DeTable<'_>>) -> Self {
        Self { at: table.span().start, value: table_value(table.get_ref()) }
    }

    fn from_toml_value(value: &Spanned<DeValue<'_>>) -> Self {
        let read = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix())
                .map_or_else(|_| Value::Other(n.to_string()), Value::Integer),
            DeValue::Float(n) => {
                n.as_str().parse().map_or_else(|_| Value::Other(n.to_string()), Value::Float)
            }
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(date) => Value::Other(date.to_string()),
            DeValue::Array(items) => Value::List(items.iter().map(Self::from_toml_value).collect()),
            DeValue::Table(table) => table_value(table),
        };
        Self { at: value.span().start, value: read }
    }

    pub fn from_json(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let read = match value {
            Json::Null => Value::Other("null".to_owned()),
            Json::Bool(flag) => Value::Flag(*flag),
            Json::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(whole), _) => Value::Integer(whole),
                (None, Some(number)) => Value::Float(number),
                (None, None) => Value::Other(n.to_string()),
            },
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(entries) => Value::Table(
                entries
                    .iter()
                    .map(|(key, value)| Entry {
                        at: 0,
                        key: key.clone(),
                        node: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self { at: 0, value: read }
    }

    /// As a value that keeps what was written.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Text(text) | Value::Other(text) => Json::from(text.as_str()),
            Value::Integer(n) => Json::from(*n),
            Value::Float(_) => self.number().map_or(Json::Null, Json::from),
            Value::Flag(flag) => Json::from(*flag),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => {
                entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect()
            }
        }
    }

    /// As it was written, for a message: short, and without anything that could garble a terminal.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("`{}`", shorten(text)),
            Value::Integer(n) => format!("`{n}`"),
            Value::Float(n) => format!("`{n}`"),
            Value::Flag(flag) => format!("`{flag}`"),
            Value::Other(text) => format!("`{}`", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    /// A number, whole or not, to six decimals; `None` for anything else and for what is not finite.
    ///
    /// With more digits than that a number may not come back from JSON as the same one, and a rule that
    /// nobody touched would look changed.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Integer(n) => Some(n as f64),
            Value::Float(n) if n.is_finite() => Some((n * 1e6).round() / 1e6),
            _ => None,
        }
    }
}

fn table_value(table: &DeTable<'_>) -> Value {
    let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| Entry {
        at: key.span().start,
        key: key.get_ref().clone().into_owned(),
        node: Node::from_toml_value(value),
    };
    Value::Table(table.iter().map(entry).collect())
}

/// Whether it may be shown and sent as it is: no control characters, nothing that turns the line around.
pub fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// At most 60 characters of it, with control characters escaped.
pub fn shorten(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(60) {
        if is_plain(c) { shown.push(c) } else { shown.extend(c.escape_default()) }
    }
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

/// A table whose keys are known: reports every key that is not allowed, then gives out the others.
pub struct Fields<'n> {
    pub at: usize,
    /// How messages name the table: `[store]`, `[[rule]] "win-back"`.
    pub place: String,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// `later` are keys that the contract knows and this version does not do.
    pub fn open(
        node: &'n Node,
        place: impl Into<String>,
        allowed: &[&str],
        later: &[&str],
        problems: &mut Problems,
    ) -> Option<Self> {
        let place = place.into();
        let Value::Table(entries) = &node.value else {
            problems.add(node.at, format!("{place} must be a table, not {}", node.shown()));
            return None;
        };
        for entry in entries {
            if later.contains(&entry.key.as_str()) {
                problems.add(
                    entry.at,
                    format!("`{}` in {place} is not available in this version", entry.key),
                );
            } else if !allowed.contains(&entry.key.as_str()) {
                problems.add(
                    entry.at,
                    format!(
                        "unknown key `{}` in {place}; allowed: {}",
                        shorten(&entry.key),
                        allowed.join(", ")
                    ),
                );
            }
        }
        Some(Self { at: node.at, place, entries })
    }

    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub fn require(&self, key: &str, problems: &mut Problems) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            problems.add(self.at, format!("{} has no `{key}`, which is required", self.place));
        }
        found
    }

    /// A text by its own reader; wrong ones are reported with the reader's words.
    pub fn parsed<T>(&self, key: &str, problems: &mut Problems) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let node = self.get(key)?;
        let text = self.text_of(key, node, problems)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                // The reader's message quotes the value: put the short form in its place.
                let error = error.to_string().replace(text, &shorten(text));
                problems.add(node.at, format!("`{key}` in {}: {error}", self.place));
                None
            }
        }
    }

    /// As [`Fields::parsed`], but `""` means none: the outer `None` is an absent or wrong value.
    pub fn parsed_or_none<T>(&self, key: &str, problems: &mut Problems) -> Option<Option<T>>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        match self.get(key)?.value {
            Value::Text(ref text) if text.trim().is_empty() => Some(None),
            _ => self.parsed(key, problems).map(Some),
        }
    }

    /// One line of text, trimmed, not empty, at most `max` characters long.
    pub fn line(&self, key: &str, max: usize, problems: &mut Problems) -> Option<String> {
        let node = self.get(key)?;
        let text = self.text_of(key, node, problems)?.trim();
        let wrong = if text.is_empty() {
            "must not be empty".to_owned()
        } else if !text.chars().all(is_plain) {
            format!("must be one line without control characters, not `{}`", shorten(text))
        } else if text.chars().count() > max {
            format!("is longer than {max} characters")
        } else {
            return Some(text.to_owned());
        };
        problems.add(node.at, format!("`{key}` in {} {wrong}", self.place));
        None
    }

    /// A number from `min` to `max`.
    pub fn number(&self, key: &str, min: f64, max: f64, problems: &mut Problems) -> Option<f64> {
        let node = self.get(key)?;
        let number = node.number().filter(|n| (min..=max).contains(n));
        if number.is_none() {
            self.refuse(key, node, &format!("a number from {min} to {max}"), problems);
        }
        number
    }

    /// A whole number from `min` to `max`.
    pub fn whole(&self, key: &str, min: u32, max: u32, problems: &mut Problems) -> Option<u32> {
        let node = self.get(key)?;
        let number = match node.value {
            Value::Integer(n) => u32::try_from(n).ok().filter(|n| (min..=max).contains(n)),
            _ => None,
        };
        if number.is_none() {
            self.refuse(key, node, &format!("a whole number from {min} to {max}"), problems);
        }
        number
    }

    /// `true` or `false`, without quotes.
    pub fn yes_or_no(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        let node = self.get(key)?;
        match node.value {
            Value::Flag(yes) => Some(yes),
            _ => {
                self.refuse(key, node, "`true` or `false`, without quotes", problems);
                None
            }
        }
    }

    pub fn list(&self, key: &str, problems: &mut Problems) -> Option<&'n [Node]> {
        let node = self.get(key)?;
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.refuse(key, node, "a list", problems);
        None
    }

    pub fn refuse(&self, key: &str, node: &Node, wanted: &str, problems: &mut Problems) {
        problems.add(
            node.at,
            format!("`{key}` in {} must be {wanted}, not {}", self.place, node.shown()),
        );
    }

    fn text_of(&self, key: &str, node: &'n Node, problems: &mut Problems) -> Option<&'n str> {
        if let Value::Text(text) = &node.value {
            return Some(text);
        }
        self.refuse(key, node, "a text in quotes", problems);
        None
    }
}
