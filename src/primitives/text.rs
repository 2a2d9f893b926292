//! Text from outside, made safe to keep and to print.

/// Without NUL and other control characters, trimmed, at most `max_chars` long; `None` when nothing is left.
///
/// PostgreSQL refuses NUL in text, terminals and mail headers suffer from the rest. Right-to-left text and
/// emoji stay as they are; only the explicit bidirectional overrides go, since they can disguise what follows.
pub fn clean_text(raw: &str, max_chars: usize) -> Option<String> {
    let keeps = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    let cleaned: String = raw
        .trim()
        .chars()
        .map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c })
        .filter(keeps)
        .take(max_chars)
        .collect();
    let cleaned = cleaned.trim();
    if cleaned.is_empty() { None } else { Some(cleaned.to_owned()) }
}

/// A CSV cell that no spreadsheet takes for a formula: what begins like one gets a leading `'`.
pub fn mask_formula(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go_and_scripts_stay() {
        assert_eq!(clean_text(" 李婉清\0\u{7}\n🍵 ", 80).as_deref(), Some("李婉清 🍵"));
        assert_eq!(clean_text("\u{202E}evil", 80).as_deref(), Some("evil"));
        assert_eq!(clean_text("שלום", 80).as_deref(), Some("שלום"));
        assert_eq!(clean_text(" \0 ", 80), None);
        assert_eq!(clean_text(&"x".repeat(10_000_000), 200).map(|s| s.len()), Some(200));
    }
}
