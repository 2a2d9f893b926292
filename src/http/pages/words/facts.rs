//! What was decided and why, from the ledger's own words and the facts beside them.

use serde_json::Value;

use super::{Pair, cap, delay, known};
use crate::http::pages::format::{Format, UNKNOWN};
use crate::primitives::{Money, Timestamp};

/// A decision in plain words.
pub fn reason(format: &Format, outcome: &str, reason: Option<&str>, facts: &str) -> String {
    let mut text = match reason {
        Some(reason) => known(format, "reason", reason),
        None => known(format, "outcome_text", outcome),
    };
    let facts: Value = serde_json::from_str(facts).unwrap_or_default();
    let until = ["until", "retry_at", "next_attempt_at"]
        .iter()
        .find_map(|key| facts.get(key)?.as_str()?.parse::<Timestamp>().ok());
    if let (Some(until), "deferred") = (until, outcome) {
        text.push_str(&format.text("reason_until", &[("when", &format.when(until))]));
    }
    if facts.get("shadow").is_some() && reason != Some("shadow") {
        text.push_str(&format.text("in_shadow", &[]));
    }
    text
}

/// The facts a decision was made on, one a line; instants in the store's time.
pub fn facts(format: &Format, raw: &str) -> Vec<Pair> {
    let Ok(Value::Object(map)) = serde_json::from_str::<Value>(raw) else { return Vec::new() };
    map.iter()
        .map(|(name, value)| Pair {
            name: fact_name(format, name),
            value: in_words(format, name, value),
        })
        .collect()
}

/// An audience's facts are fields, and have their names.
fn fact_name(format: &Format, name: &str) -> String {
    let group = if format.words.has(&format!("fact.{name}")) { "fact" } else { "field" };
    known(format, group, name)
}

/// A fact's value; what is a word of ours, or a setting's text form, is written as the page writes it elsewhere.
fn in_words(format: &Format, name: &str, value: &Value) -> String {
    let Value::String(text) = value else { return plain(format, value) };
    let in_words = match name {
        "consent" => Some(known(format, "consent", text)),
        "asked_for" => Some(known(format, "consent_mode", text)),
        "segment" => Some(known(format, "segment", text)),
        "rule_status" => Some(known(format, "outcome", text)),
        "cap" => text.parse().ok().map(|set| cap(format, set)),
        "min_gap" | "at_most_every" | "useful_for" => {
            text.parse().ok().map(|span| delay(format, span))
        }
        _ => None,
    };
    in_words.unwrap_or_else(|| plain(format, value))
}

/// A value of no known kind: as it is, but for what its type tells.
pub(super) fn plain(format: &Format, value: &Value) -> String {
    match value {
        Value::Null => UNKNOWN.to_owned(),
        Value::Bool(yes) => format.text(if *yes { "yes" } else { "no" }, &[]),
        Value::Number(n) => match n.as_i64() {
            Some(n) => format.number(n),
            None => n.as_f64().map_or(UNKNOWN.to_owned(), |x| format.decimal(x)),
        },
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(at) if text.contains('T') => format.when(at),
            _ => text.clone(),
        },
        Value::Array(items) => {
            items.iter().map(|item| plain(format, item)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(map) if map.contains_key("currency") && map.contains_key("amount") => {
            let amount = map["amount"].as_str().unwrap_or_default();
            Money::parse(amount, &format.currency)
                .map_or_else(|_| amount.to_owned(), |money| format.money(money.minor))
        }
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| {
                format!("{}: {}", known(format, "fact", name), plain(format, value))
            })
            .collect::<Vec<_>>()
            .join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::catalogue::Lang;
    use crate::http::pages::format::tests::format;

    #[test]
    fn a_deferral_says_until_when() {
        let en = format(Lang::En, "CNY");
        let facts = r#"{"until":"2026-11-26T02:00:00Z","sent":2}"#;
        assert!(reason(&en, "deferred", Some("cap"), facts).ends_with("Thu 10:00."));
        let shown = super::facts(&en, facts);
        assert!(shown.iter().any(|pair| pair.value == "Thu 10:00"), "{shown:?}");
    }

    #[test]
    fn settings_among_the_facts_read_as_words() {
        for (lang, expected) in [
            (Lang::En, ["2 marketing messages in 7 days", "not asked", "3 days"]),
            (Lang::Zh, ["7 天内最多 2 封营销邮件", "未询问", "3 天"]),
        ] {
            let facts = r#"{"cap":"2 per 7d","consent":"none","min_gap":"3d","orders_count":2}"#;
            let shown = super::facts(&format(lang, "CNY"), facts);
            let told: Vec<&str> = shown.iter().map(|pair| pair.value.as_str()).collect();
            assert_eq!(told[..3], expected, "{shown:?}");
        }
        let en = format(Lang::En, "CNY");
        assert_eq!(super::facts(&en, r#"{"carts_count":1}"#)[0].name, "carts", "a field's name");
    }
}
