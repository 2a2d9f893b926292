//! The pages' texts: one catalogue a language, read from `pages/i18n`, checked against each other at start.
//!
//! A text may hold `{name}` for a value and `**…**` for the one or two facts that decide.

use std::collections::BTreeMap;

use serde::Serialize;

use super::html::{Html, escape_into};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Lang {
    En,
    Zh,
}

impl Lang {
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// As in the `lang` attribute and in the cookie.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    pub fn file(self) -> &'static str {
        match self {
            Self::En => "pages/i18n/en.toml",
            Self::Zh => "pages/i18n/zh-CN.toml",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lang| lang.code() == code)
    }

    /// The first language of an `Accept-Language` header that there is a catalogue for.
    ///
    /// The header's order is the reader's in every browser; weights that contradict it are not worth a parser.
    pub fn from_accept(header: &str) -> Option<Self> {
        header.split(',').find_map(|range| {
            let tag = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            match tag.split('-').next() {
                Some("en") => Some(Self::En),
                Some("zh") => Some(Self::Zh),
                _ => None,
            }
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("{file} is not valid TOML: {message}")]
    Toml { file: &'static str, message: String },
    #[error("{file} lacks the text `{key}`, which the other language has")]
    Missing { file: &'static str, key: String },
    #[error("{file}: the text `{key}` names other values in braces than the other language's")]
    Values { file: &'static str, key: String },
}

/// All texts of one language. Keys are the table's path with dots: `nav.today`.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub lang: Lang,
    texts: BTreeMap<String, String>,
}

impl Catalogue {
    pub fn parse(lang: Lang, raw: &str) -> Result<Self, CatalogueError> {
        let table: toml::Table = toml::from_str(raw)
            .map_err(|e| CatalogueError::Toml { file: lang.file(), message: e.to_string() })?;
        let mut texts = BTreeMap::new();
        flatten("", table, &mut texts);
        Ok(Self { lang, texts })
    }

    /// Lays `other` over this one: an operator's file may change a few texts and leave the rest.
    pub fn overlay(&mut self, other: Self) {
        self.texts.extend(other.texts);
    }

    /// Both languages hold the same texts, and these name the same values. A singular is English's own.
    pub fn check_against(&self, other: &Self) -> Result<(), CatalogueError> {
        for (key, text) in &other.texts {
            if key.ends_with(".one") {
                continue;
            }
            let file = self.lang.file();
            let Some(own) = self.texts.get(key) else {
                return Err(CatalogueError::Missing { file, key: key.clone() });
            };
            if values(own) != values(text) {
                return Err(CatalogueError::Values { file, key: key.clone() });
            }
        }
        Ok(())
    }

    pub fn has(&self, key: &str) -> bool {
        self.texts.contains_key(key)
    }

    /// A key without a text shows itself: a gap is seen, and nothing breaks.
    fn pattern<'a>(&'a self, key: &'a str) -> &'a str {
        debug_assert!(self.texts.contains_key(key), "no text `{key}`");
        self.texts.get(key).map_or(key, String::as_str)
    }

    pub fn text(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut out = String::new();
        fill(self.pattern(key), values, &mut |part, _| out.push_str(part));
        out.replace("**", "")
    }

    /// As `text`, with what stands between `**` in bold. Values are escaped.
    pub fn html(&self, key: &str, values: &[(&str, &str)]) -> Html {
        let mut out = String::new();
        for (n, part) in self.pattern(key).split("**").enumerate() {
            let bold = n % 2 == 1;
            if bold {
                out.push_str("<b>");
            }
            fill(part, values, &mut |text, _| escape_into(text, &mut out));
            if bold {
                out.push_str("</b>");
            }
        }
        Html(out)
    }

    /// The key's form for `n`: English has a singular, Chinese none.
    pub fn plural(&self, key: &str, n: i64) -> String {
        let one = format!("{key}.one");
        if n == 1 && self.texts.contains_key(&one) { one } else { format!("{key}.other") }
    }
}

fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, into),
            toml::Value::String(text) => {
                into.insert(key, text);
            }
            other => {
                into.insert(key, other.to_string());
            }
        }
    }
}

/// Hands the pattern's parts to `emit` in order; the flag says whether a part is a value.
fn fill(pattern: &str, values: &[(&str, &str)], emit: &mut impl FnMut(&str, bool)) {
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        let Some(length) = rest[open..].find('}') else { break };
        emit(&rest[..open], false);
        let name = &rest[open + 1..open + length];
        match values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => emit(value, true),
            None => {
                debug_assert!(false, "`{pattern}` wants a value `{name}`");
                emit("–", true);
            }
        }
        rest = &rest[open + length + 1..];
    }
    emit(rest, false);
}

fn values(pattern: &str) -> Vec<&str> {
    let mut found: Vec<&str> = pattern
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(lang: Lang, raw: &str) -> Catalogue {
        Catalogue::parse(lang, raw).unwrap()
    }

    #[test]
    fn values_are_escaped_and_the_deciding_fact_is_bold() {
        let en = catalogue(Lang::En, "[a]\nb = \"Buys every {gap} days, **{days} days** ago\"");
        let values = [("gap", "<23>"), ("days", "61**")];
        assert_eq!(en.html("a.b", &values).0, "Buys every &lt;23&gt; days, <b>61** days</b> ago");
        assert_eq!(
            en.text("a.b", &[("gap", "23"), ("days", "61")]),
            "Buys every 23 days, 61 days ago"
        );
    }

    #[test]
    fn catalogues_that_disagree_are_refused() {
        let en =
            catalogue(Lang::En, "a = \"{n} of {all}\"\nb = { one = \"one\", other = \"{n}\" }");
        let good = catalogue(Lang::Zh, "a = \"{all} 之 {n}\"\nb = { other = \"{n} 个\" }");
        assert!(good.check_against(&en).is_ok() && en.check_against(&good).is_ok());
        let values = catalogue(Lang::Zh, "a = \"{all}\"\nb = { other = \"{n} 个\" }");
        assert!(matches!(values.check_against(&en), Err(CatalogueError::Values { .. })));
        let missing = catalogue(Lang::Zh, "a = \"{n} {all}\"");
        assert!(matches!(missing.check_against(&en), Err(CatalogueError::Missing { .. })));
    }

    #[test]
    fn the_reader_gets_the_first_language_there_is() {
        assert_eq!(Lang::from_accept("fr-CH, zh-TW;q=0.9, en;q=0.8"), Some(Lang::Zh));
        assert_eq!(Lang::from_accept("en-GB,en;q=0.9"), Some(Lang::En));
        assert_eq!(Lang::from_accept("fr"), None);
    }
}
