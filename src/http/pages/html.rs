//! Text that is safe to put into a page as it stands.

use minijinja::Value;
use serde::{Serialize, Serializer};

/// Escaped already, or made of our own markup alone. A plain `String` in a context is escaped by the template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(pub String);

impl Html {
    pub fn escaped(text: &str) -> Self {
        let mut out = String::new();
        escape_into(text, &mut out);
        Self(out)
    }

    /// Without the marks of what decides: for a title, where there is no markup.
    pub fn unmarked(&self) -> Self {
        Self(self.0.replace("<b>", "").replace("</b>", ""))
    }
}

impl Serialize for Html {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::from_safe_string(self.0.clone()).serialize(serializer)
    }
}

pub fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}
