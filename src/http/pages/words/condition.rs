//! An audience in words.

use serde::Serialize;
use serde_json::{Map, Value};

use super::facts::plain;
use super::{delay, known};
use crate::http::pages::format::Format;

/// An audience in words, read from its text form, so that a field added later still shows.
pub fn condition(format: &Format, audience: &impl Serialize) -> String {
    serde_json::to_value(audience).map_or(String::new(), |value| outermost(format, &value))
}

fn outermost(format: &Format, value: &Value) -> String {
    match joint(value) {
        Some((parts, join)) => joined(format, parts, join),
        None => nested(format, value),
    }
}

/// One among others: a joint of several is put in brackets.
fn nested(format: &Format, value: &Value) -> String {
    let Some(object) = value.as_object() else { return value.to_string() };
    if let Some((parts, join)) = joint(value) {
        let text = joined(format, parts, join);
        return if parts.len() < 2 { text } else { format!("({text})") };
    }
    if let Some(inner) = object.get("not") {
        return format.text("condition.not", &[("what", &nested(format, inner))]);
    }
    behaviour(format, object).unwrap_or_else(|| comparison(format, object))
}

/// The parts of `all` or `any`, and the word between them.
fn joint(value: &Value) -> Option<(&[Value], &'static str)> {
    let list = |key: &str| Some(value.get(key)?.as_array()?.as_slice());
    let all = list("all").map(|parts| (parts, "condition.and"));
    all.or_else(|| list("any").map(|parts| (parts, "condition.or")))
}

fn joined(format: &Format, parts: &[Value], join: &str) -> String {
    let texts: Vec<String> = parts.iter().map(|part| nested(format, part)).collect();
    texts.join(&format.text(join, &[]))
}

fn comparison(format: &Format, object: &Map<String, Value>) -> String {
    let text_of = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let (field, op) = (text_of("field"), text_of("op"));
    // A trait has no name but the shop's own.
    let name =
        if field.is_empty() { text_of("trait").to_owned() } else { known(format, "field", field) };
    let empty = Value::Null;
    let operand = object.get("value").unwrap_or(&empty);
    if op == "is_set" {
        let key = if operand == &Value::Bool(false) {
            "condition.is_not_set"
        } else {
            "condition.is_set"
        };
        return format.text(key, &[("field", &name)]);
    }
    if let Value::Bool(yes) = operand {
        let yes = *yes == (op == "eq");
        let key = if yes { "condition.with" } else { "condition.without" };
        return format.text(key, &[("field", &name)]);
    }
    let shown = operand_text(format, field, operand);
    // "0 orders", but "segment is At risk".
    let number = if operand.is_number() { "number_" } else { "" };
    let key = format!("condition.{number}{op}");
    if format.words.has(&key) {
        format.text(&key, &[("field", &name), ("value", &shown)])
    } else {
        format!("{name} {op} {shown}")
    }
}

/// "bought product P at least 2 times in the last 30 days", "never viewed anything of Tea"
fn behaviour(format: &Format, object: &Map<String, Value>) -> Option<String> {
    let text_of = |key: &str| object.get(key).and_then(Value::as_str);
    let within = text_of("within").and_then(|raw| raw.parse().ok()).map_or(String::new(), |span| {
        format.text("condition.within", &[("span", &delay(format, span))])
    });
    if let Some(rule) = text_of("received") {
        return Some(format.text("condition.received", &[("rule", rule), ("within", &within)]));
    }
    let (key, what) = ["did", "never"].iter().find_map(|key| Some((*key, text_of(key)?)))?;
    let of = match (text_of("product"), text_of("category")) {
        (Some(id), _) => format.text("condition.of_product", &[("product", id)]),
        (_, Some(name)) => format.text("condition.of_category", &[("category", name)]),
        _ => String::new(),
    };
    let times = object.get("at_least").and_then(Value::as_i64).unwrap_or(1);
    let times = if times > 1 {
        format.text("condition.times", &[("n", &format.number(times))])
    } else {
        String::new()
    };
    let what = known(format, "did", what);
    let values = [("what", &*what), ("of", &*of), ("times", &*times), ("within", &*within)];
    Some(if key == "never" {
        format.text("condition.never", &[values[0], values[1], values[3]])
    } else {
        format.text("condition.did", &values)
    })
}

fn operand_text(format: &Format, field: &str, value: &Value) -> String {
    match (field, value) {
        (_, Value::Array(items)) => items
            .iter()
            .map(|item| operand_text(format, field, item))
            .collect::<Vec<_>>()
            .join(&format.text("list_comma", &[])),
        ("segment", Value::String(key)) => known(format, "segment", key),
        ("consent", Value::String(key)) => known(format, "consent", key),
        (
            "spent"
            | "average_order_value"
            | "last_order_value"
            | "order_value"
            | "cart_value"
            | "value_at_risk",
            Value::Number(n),
        ) => format.money(minor(format, n.as_f64().unwrap_or_default())),
        (_, other) => plain(format, other),
    }
}

/// Minor units of an amount that a rule writes in major ones.
pub(super) fn minor(format: &Format, major: f64) -> i64 {
    (major * 10_f64.powi(format.currency.decimals() as i32)).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::catalogue::Lang;
    use crate::http::pages::format::tests::format;

    #[test]
    fn an_audience_reads_as_words() {
        let en = format(Lang::En, "CNY");
        let raw = serde_json::json!({"all": [
            {"field": "orders_count", "op": "gte", "value": 2},
            {"any": [{"field": "segment", "op": "in", "value": ["at_risk", "lost"]}, {"field": "spent", "op": "gt", "value": 300}]},
        ]});
        let text = condition(&en, &raw);
        assert!(
            text.contains("At risk") && text.contains("¥300") && text.contains(" or "),
            "{text}"
        );
        assert!(!text.contains('_') && !text.contains("gte"), "{text}");
    }

    #[test]
    fn behaviour_reads_as_words_in_both_languages() {
        let raw = serde_json::json!({"all": [
            {"did": "bought", "product": "longjing", "at_least": 2, "within": "90d"},
            {"never": "viewed", "category": "Ware"},
            {"received": "win-back", "within": "14d"},
            {"trait": "plan", "op": "eq", "value": "gold"},
        ]});
        for (lang, expected) in [
            (
                Lang::En,
                "bought product longjing at least 2 times in the last 90 days and never viewed anything of Ware \
                 and got mail of win-back in the last 14 days and plan is gold",
            ),
            (
                Lang::Zh,
                "最近 90 天内买过商品 longjing，至少 2 次且从未看过“Ware”类商品且最近 14 天内收到过 win-back 的邮件且plan为 gold",
            ),
        ] {
            assert_eq!(condition(&format(lang, "CNY"), &raw), expected);
        }
    }

    #[test]
    fn every_field_and_deed_has_words_in_both_languages() {
        use crate::rules::condition::{Did, Field};
        for lang in Lang::ALL {
            let format = format(lang, "CNY");
            for field in Field::ALL {
                assert!(format.words.has(&format!("field.{field}")), "{lang:?} {field}");
            }
            for did in Did::ALL {
                assert!(format.words.has(&format!("did.{did}")), "{lang:?} {did}");
            }
        }
    }
}
