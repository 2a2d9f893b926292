//! JSON read where it lies: values stay text until somebody asks for them.
//!
//! Two things need that. Money must not pass through a float, and numbers keep their digits here. And clients send
//! every field in every type: a wrong one costs that field, not the event.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::primitives::clean_text;

/// How deep, how wide and how long free-form properties may be; what is beyond is left out.
const DEPTH: usize = 5;
const ENTRIES: usize = 100;
const NAME_CHARS: usize = 100;
const TEXT_CHARS: usize = 1_000;

/// A JSON value, known to be valid JSON, as its text.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(&'a str);

/// An object's members in their order.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Json<'a> {
    #[cfg(test)]
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(|raw| Self(raw.get()))
    }

    /// `text` has been read as JSON already.
    pub(super) fn valid(text: &'a str) -> Self {
        Self(text)
    }

    /// Its length in bytes, as sent.
    pub fn size(self) -> usize {
        self.0.len()
    }

    pub fn as_str(self) -> &'a str {
        self.0
    }

    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    fn is_number(self) -> bool {
        self.0.starts_with(|c: char| c == '-' || c.is_ascii_digit())
    }

    /// The members; none when this is no object.
    pub fn fields(self) -> Fields<'a> {
        if !self.is_object() {
            return Fields::default();
        }
        serde_json::from_str(self.0).unwrap_or_default()
    }

    /// The items; `None` when this is no array.
    pub fn items(self) -> Option<Vec<Json<'a>>> {
        if !self.0.starts_with('[') {
            return None;
        }
        serde_json::from_str::<Items>(self.0).ok().map(|items| items.0)
    }

    /// A string's characters or a number's digits, as sent; `None` for anything else.
    pub fn text(self) -> Option<Cow<'a, str>> {
        if self.is_number() {
            return Some(Cow::Borrowed(self.0));
        }
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        let Unescaped(bytes) = serde_json::from_str(self.0).ok()?;
        // A client that cuts text in the middle of an emoji sends half of it: JSON allows that, text does not.
        Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Text made safe to keep, at most `max_chars` long; `None` when nothing is left.
    pub fn clean(self, max_chars: usize) -> Option<String> {
        clean_text(&self.text()?, max_chars)
    }

    /// `true` and `false`, also as text, and as 1 and 0. Anything else is `None`, never a guess.
    pub fn boolean(self) -> Option<bool> {
        match self.text().unwrap_or(Cow::Borrowed(self.0)).trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        }
    }

    /// A finite number, or text that is one.
    pub fn number(self) -> Option<f64> {
        self.text()?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A free-form value within the limits above, its text made safe to keep.
    pub fn value(self) -> serde_json::Value {
        self.value_to(DEPTH)
    }

    fn value_to(self, depth: usize) -> serde_json::Value {
        use serde_json::Value;
        match self.0.as_bytes().first() {
            Some(b'{') if depth > 0 => Value::Object(self.fields().into_map(depth - 1, |_| true)),
            Some(b'[') if depth > 0 => self
                .items()
                .unwrap_or_default()
                .into_iter()
                .take(ENTRIES)
                .map(|item| item.value_to(depth - 1))
                .collect(),
            Some(b'"') => self.clean(TEXT_CHARS).unwrap_or_default().into(),
            Some(b't') => true.into(),
            Some(b'f') => false.into(),
            _ => {
                serde_json::from_str::<serde_json::Number>(self.0).map_or(Value::Null, Value::from)
            }
        }
    }
}

impl<'a> Fields<'a> {
    /// Reads text that is one JSON object and nothing else; what is no object is an error of data.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The member of this name. `null` is none, and of several the last counts, as in JavaScript.
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        let (_, found) = self.0.iter().rev().find(|(given, _)| given == name)?;
        (found.0 != "null").then_some(*found)
    }

    /// The first of these names that is there.
    pub fn first(&self, names: &[&str]) -> Option<Json<'a>> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The members of the object in this member; none when there is none.
    pub fn fields(&self, name: &str) -> Fields<'a> {
        self.get(name).map(Json::fields).unwrap_or_default()
    }

    pub fn clean(&self, name: &str, max_chars: usize) -> Option<String> {
        self.get(name)?.clean(max_chars)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Free-form members within the limits above: those that `keep` says yes to.
    pub fn into_values(
        self,
        keep: impl Fn(&str) -> bool,
    ) -> serde_json::Map<String, serde_json::Value> {
        self.into_map(DEPTH - 1, keep)
    }

    fn into_map(
        self,
        depth: usize,
        keep: impl Fn(&str) -> bool,
    ) -> serde_json::Map<String, serde_json::Value> {
        self.0
            .into_iter()
            .filter(|(name, _)| keep(name))
            .take(ENTRIES)
            .filter_map(|(name, json)| Some((clean_text(&name, NAME_CHARS)?, json.value_to(depth))))
            .collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name, &RawValue>()? {
                    fields.push((name, Json(value.get())));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

struct Items<'a>(Vec<Json<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<&RawValue>()? {
                    items.push(Json(item.get()));
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(All)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A string's bytes without its escapes: half a surrogate pair stays in, for the caller to mend.
struct Unescaped(Vec<u8>);

impl<'de> Deserialize<'de> for Unescaped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Unescaped;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Unescaped, E> {
                Ok(Unescaped(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read_in_whatever_type_they_come() {
        let fields = Json::parse(
            r#" {"id": 42, "name": "Ann\u00e9 \ud83d\ude00", "half": "a\ud83d", "gone": null,
                 "price": 19.990000000000002, "on": "TRUE", "id": 43, "list": [1, "b"]} "#,
        )
        .unwrap()
        .fields();
        assert_eq!(fields.get("id").unwrap().text().unwrap(), "43", "the last of two counts");
        assert_eq!(fields.clean("name", 99).unwrap(), "Anné 😀");
        assert!(fields.clean("half", 99).unwrap().starts_with('a'));
        assert!(fields.get("gone").is_none());
        assert_eq!(fields.get("price").unwrap().text().unwrap(), "19.990000000000002");
        assert_eq!(fields.get("on").unwrap().boolean(), Some(true));
        assert_eq!(fields.get("list").unwrap().items().unwrap().len(), 2);
        assert!(fields.get("id").unwrap().fields().is_empty());
    }

    #[test]
    fn free_form_values_stay_within_their_limits() {
        let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
        let value = Json::parse(&deep).unwrap().value();
        assert_eq!(value.to_string(), "[[[[[null]]]]]");
        let wide = format!("[{}1]", "1,".repeat(10_000));
        assert_eq!(Json::parse(&wide).unwrap().value().as_array().unwrap().len(), ENTRIES);
        let long = format!("{{\"a\\u0000b\":\"{}\\u0000\",\"big\":1e999}}", "x".repeat(100_000));
        let value = Json::parse(&long).unwrap().value();
        assert_eq!(value["ab"].as_str().unwrap().len(), TEXT_CHARS);
        assert!(value["big"].is_null());
    }

    proptest! {
        #[test]
        fn what_serde_writes_reads_back(name in "\\PC{0,20}", text in "\\PC{0,40}", number in any::<i64>()) {
            let written = serde_json::json!({ "n": number, "t": text, "name": name }).to_string();
            let fields = Json::parse(&written).unwrap().fields();
            prop_assert_eq!(fields.get("t").unwrap().text().unwrap(), text);
            prop_assert_eq!(fields.get("n").unwrap().text().unwrap(), number.to_string());
            prop_assert_eq!(fields.get("name").unwrap().text().unwrap(), name);
        }
    }
}
