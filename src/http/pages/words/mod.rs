//! Sentences about customers, decisions and rules, in the reader's language, made of facts alone.

mod condition;
mod facts;
mod rule;
mod why_now;

use std::collections::HashMap;

use serde::Serialize;

use super::format::Format;
use crate::primitives::{CustomerId, Delay};
use crate::reports::customers::Called;
use crate::stores::Cap;

pub use condition::condition;
pub use facts::{facts, reason};
pub use rule::{moment, rule_sentence, step_more};
pub use why_now::{silence, why_now};

/// A shape, a colour and the word.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Mark {
    pub class: &'static str,
    pub text: String,
}

/// A segment's mark: its group has the shape, so that colour never stands alone.
pub fn segment(format: &Format, key: &str) -> Mark {
    let class = match key {
        "champions" | "loyal_customers" => "growing",
        "potential_loyalists"
        | "new_customers"
        | "promising"
        | "hot_prospects"
        | "engaged_visitors"
        | "new_visitors" => "rising",
        "need_attention" | "about_to_sleep" | "casual_visitors" | "fading_visitors" => "wavering",
        "at_risk" | "cant_lose_them" => "slipping",
        _ => "dormant",
    };
    Mark { class, text: known(format, "segment", key) }
}

/// A rule's or a message's state, an outcome: a tag.
pub fn outcome(format: &Format, key: &str) -> Mark {
    let class = match key {
        "sent" | "live" | "granted" => "good",
        "deferred" | "suppressed" | "paused" | "withdrawn" => "warn",
        "failed" | "in_doubt" => "risk",
        "held_out" | "shadow" => "info",
        _ => "",
    };
    Mark { class, text: known(format, "outcome", key) }
}

pub fn status(format: &Format, key: &str) -> Mark {
    Mark { text: known(format, "status", key), ..outcome(format, key) }
}

/// The text of `group.key`; a word that came into the data later shows itself.
pub fn known(format: &Format, group: &str, key: &str) -> String {
    let full = format!("{group}.{key}");
    if format.words.has(&full) { format.text(&full, &[]) } else { key.replace('_', " ") }
}

/// Name, else address, else the shop's id, else that nobody knows yet who it is.
pub fn who(
    format: &Format,
    name: Option<&str>,
    email: Option<&str>,
    external_id: Option<&str>,
    id: i64,
) -> String {
    match name.or(email).or(external_id) {
        Some(text) => text.to_owned(),
        None => {
            let digits = id.to_string();
            let tail = &digits[digits.len().saturating_sub(6)..];
            format.text("customer.visitor", &[("id", tail)])
        }
    }
}

/// [`who`], of one of those who were looked up.
pub fn called(format: &Format, called: &HashMap<CustomerId, Called>, id: CustomerId) -> String {
    let (name, email, external_id) = called.get(&id).cloned().unwrap_or_default();
    who(format, name.as_deref(), email.as_deref(), external_id.as_deref(), id.0)
}

/// What is said of something, under its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pair {
    pub name: String,
    pub value: String,
}

/// "2 marketing messages in 7 days"
pub fn cap(format: &Format, cap: Cap) -> String {
    let span = delay(format, cap.within);
    format.text("guard.cap_is", &[("n", &cap.messages.to_string()), ("span", &span)])
}

/// "4 hours", "3 days"; in the largest unit that keeps it whole.
pub fn delay(format: &Format, delay: Delay) -> String {
    let seconds = delay.as_seconds();
    let (key, size) = [("days", 86_400), ("hours", 3_600), ("minutes", 60)]
        .into_iter()
        .find(|(_, size)| seconds % size == 0 && seconds != 0)
        .unwrap_or(("seconds", 1));
    format.count(&format!("span.{key}"), seconds / size)
}

/// Joins phrases as a list in a sentence: "a, b and c".
pub fn list(format: &Format, items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => {
            let head = head.join(&format.text("list_comma", &[]));
            format.text("list_and", &[("head", &head), ("last", last)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Lang;
    use super::super::format::tests::format;
    use crate::ledger;

    #[test]
    fn every_outcome_and_reason_has_words_in_both_languages() {
        for lang in Lang::ALL {
            let format = format(lang, "CNY");
            for outcome in ledger::Outcome::ALL {
                assert!(format.words.has(&format!("outcome.{outcome}")), "{lang:?} {outcome}");
                assert!(format.words.has(&format!("outcome_text.{outcome}")), "{lang:?} {outcome}");
            }
            for reason in ledger::Reason::ALL {
                assert!(format.words.has(&format!("reason.{reason}")), "{lang:?} {reason}");
            }
            for segment in crate::rules::condition::SEGMENTS {
                assert!(format.words.has(&format!("segment.{segment}")), "{lang:?} {segment}");
            }
        }
    }
}
