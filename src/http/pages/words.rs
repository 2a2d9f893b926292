//! Sentences about customers, decisions and rules, in the reader's language, made of facts alone.

use serde::Serialize;
use serde_json::Value;

use super::format::{Format, UNKNOWN};
use super::html::Html;
use crate::primitives::{Delay, Money, Timestamp};
use crate::reports::at_risk;
use crate::rules::{DayOffset, Exit, Otherwise, Rule, Step, StopOn, TriggerKind};
use crate::stores::Cap;

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

/// Why a customer is on the worklist: rhythm and silence, and the chance once one is known.
pub fn why_now(format: &Format, row: &at_risk::Row) -> Html {
    silence(format, row.days_since, row.frequency, row.usual_gap_days, row.p_order_90d)
}

pub fn silence(
    format: &Format,
    days_since: f64,
    order_days: i32,
    usual_gap: Option<f64>,
    p_order_90d: Option<f64>,
) -> Html {
    let days = days_since.floor() as i64;
    let days_text = format.number(days);
    let mut text = match usual_gap {
        Some(gap) if order_days > 1 => {
            let gap_text = format.decimal(gap);
            format.html("why.rhythm", &[("gap", &gap_text), ("days", &days_text)])
        }
        Some(gap) => {
            let gap_text = format.decimal(gap);
            format.html("why.once", &[("gap", &gap_text), ("days", &days_text)])
        }
        None => format.html("why.days", &[("days", &days_text)]),
    };
    if let Some(p) = p_order_90d {
        let chance = format.percent(p, 0);
        text.0.push_str(&format.html("why.chance", &[("chance", &chance)]).0);
    } else if let Some(gap) = usual_gap.filter(|gap| *gap > 0.0 && days_since >= 2.0 * gap) {
        let times = format.decimal(days_since / gap);
        text.0.push_str(&format.html("why.times", &[("times", &times)]).0);
    }
    text
}

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

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Pair {
    pub name: String,
    pub value: String,
}

/// The facts a decision was made on, one a line; instants in the store's time.
pub fn facts(format: &Format, raw: &str) -> Vec<Pair> {
    let Ok(Value::Object(map)) = serde_json::from_str::<Value>(raw) else { return Vec::new() };
    map.iter()
        .map(|(name, value)| Pair {
            name: fact_name(format, name),
            value: told(format, name, value),
        })
        .collect()
}

/// An audience's facts are fields, and have their names.
fn fact_name(format: &Format, name: &str) -> String {
    let group = if format.words.has(&format!("fact.{name}")) { "fact" } else { "field" };
    known(format, group, name)
}

/// A fact's value; what is a word of ours, or a setting's text form, is written as the page writes it elsewhere.
fn told(format: &Format, name: &str, value: &Value) -> String {
    let Value::String(text) = value else { return fact(format, value) };
    let in_words = match name {
        "consent" => Some(known(format, "consent", text)),
        "asked_for" => Some(known(format, "consent_mode", text)),
        "segment" => Some(known(format, "segment", text)),
        "rule_status" => Some(known(format, "outcome", text)),
        "cap" => text.parse().ok().map(|cap| self::cap(format, cap)),
        "min_gap" | "at_most_every" | "useful_for" => {
            text.parse().ok().map(|span| delay(format, span))
        }
        _ => None,
    };
    in_words.unwrap_or_else(|| fact(format, value))
}

/// "2 marketing messages in 7 days"
pub fn cap(format: &Format, cap: Cap) -> String {
    let span = delay(format, cap.within);
    format.text("guard.cap_is", &[("n", &cap.messages.to_string()), ("span", &span)])
}

fn fact(format: &Format, value: &Value) -> String {
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
            items.iter().map(|item| fact(format, item)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(map) if map.contains_key("currency") && map.contains_key("amount") => {
            let amount = map["amount"].as_str().unwrap_or_default();
            Money::parse(amount, &format.currency)
                .map_or_else(|_| amount.to_owned(), |money| format.money(money.minor))
        }
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| {
                format!("{}: {}", known(format, "fact", name), fact(format, value))
            })
            .collect::<Vec<_>>()
            .join("; "),
    }
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

/// What a rule does, in one paragraph; each phrase that a part of the page explains is a link to that part.
pub fn rule_sentence(format: &Format, rule: &Rule) -> Html {
    let mut out = String::new();
    let mut part = |anchor: &str, html: Html| {
        out.push_str(
            &html.0.replace("<b>", &format!("<a href=\"#{anchor}\">")).replace("</b>", "</a>"),
        );
    };
    part(
        "trigger",
        format.html("sentence.when", &[("moment", &moment(format, &rule.trigger.kind))]),
    );
    if let Some(audience) = &rule.audience {
        let condition = condition_of(format, audience);
        part("audience", format.html("sentence.who", &[("condition", &condition)]));
    }
    for (n, step) in rule.steps.iter().enumerate() {
        let template = known(format, "template", &step.template);
        let wait = delay(format, step.delay());
        let key = match (n, step.delay() == Delay::ZERO) {
            (0, true) => "sentence.send",
            (0, false) => "sentence.wait_send",
            _ => "sentence.then_send",
        };
        let values: &[(&str, &str)] = if key == "sentence.send" {
            &[("template", &template)]
        } else {
            &[("template", &template), ("wait", &wait)]
        };
        part("steps", format.html(key, values));
        if let Some(coupon) = &step.coupon {
            part("steps", format.html("sentence.coupon", &[("coupon", coupon)]));
        }
    }
    part("steps", format.html("sentence.end", &[]));
    let stops: Vec<String> = rule
        .stop_on
        .iter()
        .map(|stop| match stop {
            StopOn::Order => format.text("sentence.stop_order", &[]),
            StopOn::Visit => format.text("sentence.stop_visit", &[]),
        })
        .collect();
    if !stops.is_empty() {
        let all = stops.join(&format.text("sentence.or", &[]));
        part("guards", format.html("sentence.stop", &[("stops", &all)]));
    }
    if let Some(every) = rule.at_most_every {
        part("guards", format.html("sentence.every", &[("every", &delay(format, every))]));
    }
    if rule.holdout > 0.0 {
        let share = share(format, rule.holdout);
        part("guards", format.html("sentence.holdout", &[("share", &share)]));
    }
    Html(out.trim().to_owned())
}

/// What a step does beside sending after a wait; empty for most.
pub fn step_more(format: &Format, step: &Step) -> String {
    let mut said = Vec::new();
    if let Some(time) = step.send_at {
        said.push(format.text("step.send_at", &[("time", &time.to_string())]));
    }
    if let Some(condition) = &step.only_if {
        said.push(format.text("step.if", &[("condition", &condition_of(format, condition))]));
    }
    if let Some((event, at_most)) = step.wait_until.zip(step.at_most) {
        let span = delay(format, at_most);
        said.push(format.text(&format!("step.until_{event}"), &[("span", &span)]));
    }
    if step.asks() {
        if step.then != Exit::Send {
            said.push(format.text(&format!("step.then_{}", step.then), &[]));
        }
        said.push(match &step.otherwise {
            Otherwise::Go(exit) => format.text(&format!("step.else_{exit}"), &[]),
            Otherwise::Send(wording) => {
                let template = known(format, "template", &wording.template);
                format.text("step.else_send", &[("template", &template)])
            }
        });
    }
    if !step.variants.is_empty() {
        let list: Vec<String> =
            step.variants.iter().map(|v| format!("{} {}", v.name, v.weight)).collect();
        said.push(format.text("step.variants", &[("list", &list.join(" : "))]));
    }
    said.join(&format.text("list_comma", &[]))
}

fn share(format: &Format, share: f64) -> String {
    let decimals = usize::from((share * 100.0).fract() > 0.001);
    format.percent(share, decimals)
}

/// The moment and the delay: "4 hours after a visit without an order".
pub fn moment(format: &Format, kind: &TriggerKind) -> String {
    match kind {
        TriggerKind::Date { field, offset } => return day_of_year(format, field, *offset),
        TriggerKind::Schedule { cron } => return schedule(format, &cron.to_string()),
        _ => {}
    }
    let after = delay(format, kind.after());
    let key = if kind.after() == Delay::ZERO { "at" } else { "after" };
    let what = match kind {
        TriggerKind::SegmentEntered { segment, .. } => {
            let name = known(format, "segment", segment);
            format.text("moment.segment_entered", &[("segment", &name)])
        }
        TriggerKind::RepurchaseDue { after: None } => format.text("moment.own_rhythm", &[]),
        TriggerKind::AtRisk { p_alive_below, value_above } => {
            let line = match p_alive_below {
                Some(p) => format.text("moment.p_alive_below", &[("p", &share(format, *p))]),
                None => format.text("moment.at_risk", &[]),
            };
            let what = match value_above {
                Some(value) => {
                    let value = format.money_in_text(minor(format, *value));
                    format.text("moment.value_above", &[("line", &line), ("value", &value)])
                }
                None => line,
            };
            return format.text("moment.when", &[("what", &what)]);
        }
        other => format.text(&format!("moment.{}", other.name()), &[]),
    };
    if key == "at" {
        format.text("moment.at", &[("what", &what)])
    } else {
        format.text("moment.after", &[("after", &after), ("what", &what)])
    }
}

/// "3 days before the birthday"
fn day_of_year(format: &Format, field: &str, offset: DayOffset) -> String {
    let day = known(format, "day_of_year", field);
    let away = delay(format, Delay::days(i64::from(offset.0.abs())));
    match offset.0 {
        0 => format.text("moment.on_day", &[("day", &day)]),
        ..0 => format.text("moment.before_day", &[("day", &day), ("away", &away)]),
        _ => format.text("moment.after_day", &[("day", &day), ("away", &away)]),
    }
}

/// "Every Monday at 09:00"; what is not said so simply is shown as it is written.
fn schedule(format: &Format, cron: &str) -> String {
    let parts: Vec<&str> = cron.split(' ').collect();
    let number = |part: &str, max: u8| part.parse::<u8>().ok().filter(|n| *n <= max);
    let read = match parts[..] {
        [minute, hour, day, month, weekday] => number(minute, 59)
            .zip(number(hour, 23))
            .map(|(minute, hour)| (format!("{hour:02}:{minute:02}"), day, month, weekday)),
        _ => None,
    };
    let said = read.and_then(|(time, day, month, weekday)| {
        let time = ("time", &*time);
        match (number(day, 31), number(month, 12), weekday) {
            (None, None, "*") if (day, month) == ("*", "*") => {
                Some(format.text("schedule.daily", &[time]))
            }
            (None, None, weekday) if (day, month) == ("*", "*") => {
                let names = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
                let by_name = names.iter().position(|name| weekday.eq_ignore_ascii_case(name));
                let n = by_name.or_else(|| Some((usize::from(number(weekday, 7)?) + 6) % 7))?;
                // The first of January 2024 was a Monday.
                let day = jiff::civil::date(2024, 1, 1 + n as i8);
                let weekday = format.weekday(day);
                Some(format.text("schedule.weekly", &[("weekday", weekday), time]))
            }
            (Some(day), None, "*") if month == "*" => {
                Some(format.text("schedule.monthly", &[("day", &day.to_string()), time]))
            }
            (Some(day), Some(month), "*") => Some(format.text(
                "schedule.yearly",
                &[("day", &day.to_string()), ("month", &month.to_string()), time],
            )),
            _ => None,
        }
    });
    said.unwrap_or_else(|| format.text("schedule.other", &[("cron", cron)]))
}

/// An audience in words, read from its text form, so that a field added later still shows.
fn condition_of(format: &Format, audience: &impl Serialize) -> String {
    serde_json::to_value(audience).map_or(String::new(), |value| condition(format, &value, true))
}

pub fn condition(format: &Format, value: &Value, outermost: bool) -> String {
    let Some(object) = value.as_object() else { return value.to_string() };
    let list = |key: &str| object.get(key).and_then(Value::as_array);
    for (key, join) in [("all", "condition.and"), ("any", "condition.or")] {
        if let Some(parts) = list(key) {
            let texts: Vec<String> =
                parts.iter().map(|part| condition(format, part, false)).collect();
            let text = texts.join(&format.text(join, &[]));
            return if outermost || texts.len() < 2 { text } else { format!("({text})") };
        }
    }
    if let Some(inner) = object.get("not") {
        let text = condition(format, inner, false);
        return format.text("condition.not", &[("what", &text)]);
    }
    let text_of = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    if let Some(text) = behaviour(format, object) {
        return text;
    }
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
fn behaviour(format: &Format, object: &serde_json::Map<String, Value>) -> Option<String> {
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
        (_, other) => fact(format, other),
    }
}

/// Minor units of an amount that a rule writes in major ones.
fn minor(format: &Format, major: f64) -> i64 {
    (major * 10_f64.powi(format.currency.decimals() as i32)).round() as i64
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
    use super::*;
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

    #[test]
    fn every_trigger_has_its_moment_in_words_in_both_languages() {
        let after = Delay::hours(4);
        let at_risk =
            |p_alive_below, value_above| TriggerKind::AtRisk { p_alive_below, value_above };
        let kinds = [
            TriggerKind::VisitedWithoutBuying { after, min_visits: 1, min_product_views: 0 },
            TriggerKind::CartAbandoned { after },
            TriggerKind::CheckoutAbandoned { after: Delay::ZERO },
            TriggerKind::FirstOrder { after },
            TriggerKind::Order { after },
            TriggerKind::RepurchaseDue { after: None },
            TriggerKind::RepurchaseDue { after: Some(after) },
            TriggerKind::WinBack { after, until: None },
            TriggerKind::SegmentEntered { segment: "champions".into(), after },
            at_risk(None, None),
            at_risk(Some(0.4), None),
            at_risk(Some(0.45), Some(500.0)),
            TriggerKind::Date { field: "birthday".into(), offset: "-3d".parse().unwrap() },
            TriggerKind::Date { field: "first_order".into(), offset: DayOffset::default() },
            TriggerKind::Schedule { cron: "0 10 * * MON".parse().unwrap() },
            TriggerKind::Schedule { cron: "*/7 3-5 1,9 * *".parse().unwrap() },
        ];
        for lang in Lang::ALL {
            let format = format(lang, "CNY");
            for kind in &kinds {
                let said = moment(&format, kind);
                assert!(!said.is_empty() && !said.contains('{'), "{lang:?} {kind:?}: {said}");
            }
        }
    }

    #[test]
    fn why_now_says_rhythm_and_silence_and_invents_no_chance() {
        let en = format(Lang::En, "CNY");
        let text = silence(&en, 61.4, 7, Some(23.0), None).0;
        assert!(text.contains("23 days") && text.contains("<b>61 days</b>"), "{text}");
        assert!(!text.contains('%'), "{text}");
        let zh = silence(&format(Lang::Zh, "CNY"), 61.4, 7, Some(23.0), Some(0.31)).0;
        assert!(zh.contains("31%"), "{zh}");
    }

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

    #[test]
    fn an_audience_reads_as_words() {
        let en = format(Lang::En, "CNY");
        let raw = serde_json::json!({"all": [
            {"field": "orders_count", "op": "gte", "value": 2},
            {"any": [{"field": "segment", "op": "in", "value": ["at_risk", "lost"]}, {"field": "spent", "op": "gt", "value": 300}]},
        ]});
        let text = condition(&en, &raw, true);
        assert!(
            text.contains("At risk") && text.contains("¥300") && text.contains(" or "),
            "{text}"
        );
        assert!(!text.contains('_') && !text.contains("gte"), "{text}");
    }

    #[test]
    fn days_and_schedules_read_as_words_in_both_languages() {
        let (en, zh) = (format(Lang::En, "CNY"), format(Lang::Zh, "CNY"));
        let day = |field: &str, offset: &str| TriggerKind::Date {
            field: field.into(),
            offset: offset.parse().unwrap(),
        };
        let cron = |text: &str| TriggerKind::Schedule { cron: text.parse().unwrap() };
        for (kind, in_english, in_chinese) in [
            (day("birthday", "0d"), "On the birthday", "生日当天"),
            (day("birthday", "-3d"), "3 days before the birthday", "生日前 3 天"),
            (
                day("first_order", "7d"),
                "7 days after the anniversary of the first order",
                "首单周年日后 7 天",
            ),
            (day("wedding_day", "0d"), "On wedding day", "wedding day当天"),
            (cron("0 9 * * *"), "Every day at 09:00", "每天 09:00"),
            (cron("30 18 * * MON"), "Every Monday at 18:30", "每周一 18:30"),
            (cron("0 10 * * 7"), "Every Sunday at 10:00", "每周日 10:00"),
            (cron("0 10 1 * *"), "On day 1 of every month at 10:00", "每月 1 日 10:00"),
            (cron("0 10 18 6 *"), "Every year on 18/6 at 10:00", "每年 6 月 18 日 10:00"),
            (
                cron("*/10 9-17 * * 1-5"),
                "By the schedule */10 9-17 * * 1-5",
                "按计划 */10 9-17 * * 1-5",
            ),
        ] {
            assert_eq!(moment(&en, &kind), in_english);
            assert_eq!(moment(&zh, &kind), in_chinese);
        }
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
            assert_eq!(condition(&format(lang, "CNY"), &raw, true), expected);
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
