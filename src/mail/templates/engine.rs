//! How templates are rendered: strictly, escaped where they are HTML, and within bounds.

use std::borrow::Cow;
use std::io::Write;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

/// Steps of a template: loops over a hundred products end well before.
const FUEL: u64 = 200_000;
/// Gmail cuts a mail off at 102 KB; anything near this limit is a template gone wrong.
const LARGEST_PART: usize = 512 * 1024;

/// Strict: a misspelt name is an error, not a gap in a mail.
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let tidy = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(tidy.unwrap_or_default());
    environment.set_auto_escape_callback(|name| {
        if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
    });
    // The built-in escape turns `/` into `&#x2f;` as well, which bloats every link and serves nobody.
    environment.set_formatter(|out, state, value| match state.auto_escape() {
        AutoEscape::Html if !value.is_safe() && !value.is_undefined() && !value.is_none() => {
            let text = value.to_string();
            out.write_str(&escape_html(&text)).map_err(minijinja::Error::from)
        }
        _ if value.is_none() => Ok(()),
        _ => minijinja::escape_formatter(out, state, value),
    });
    // It makes a gigabyte of a dozen characters, within any fuel.
    environment.remove_filter("format");
    environment.add_filter("clip", |text: String, most: usize| clip(&text, most));
    environment.add_filter("initial", |text: String| -> String {
        let initial = text.chars().find(|c| c.is_alphanumeric());
        initial.map(|c| c.to_uppercase().to_string()).unwrap_or_default()
    });
    environment
}

pub fn escape_html(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::from(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    Cow::from(escaped)
}

/// At most so many characters, ended at a word's end and by `…` when cut.
fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most.saturating_sub(1)).collect();
    let whole_words = head.rfind(' ').filter(|end| *end > head.len() / 2);
    let head = &head[..whole_words.unwrap_or(head.len())];
    format!("{}…", head.trim_end_matches([' ', ',', '，', '、']))
}

/// Refuses to grow without end.
pub struct Page(Vec<u8>);

impl Page {
    pub fn new() -> Self {
        Self(Vec::with_capacity(32 * 1024))
    }

    pub fn into_text(self) -> String {
        String::from_utf8(self.0).unwrap_or_default()
    }
}

impl Write for Page {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + part.len() > LARGEST_PART {
            return Err(std::io::Error::other("it grew larger than 512 KiB"));
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_at_a_word() {
        assert_eq!(clip("West Lake Longjing, first flush", 20), "West Lake Longjing…");
        assert_eq!(clip("明前西湖龙井特级一百克", 6), "明前西湖龙…");
        assert_eq!(clip("short", 20), "short");
    }
}
