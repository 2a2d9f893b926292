//! What a rule does: its sentence, its moment, and what its steps do beside sending.

use super::condition::{condition, minor};
use super::{delay, known};
use crate::http::pages::format::Format;
use crate::http::pages::html::Html;
use crate::primitives::Delay;
use crate::rules::{DayOffset, Exit, Otherwise, Rule, Step, StopOn, TriggerKind};

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
        let who = condition(format, audience);
        part("audience", format.html("sentence.who", &[("condition", &who)]));
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
    if let Some(asked) = &step.only_if {
        said.push(format.text("step.if", &[("condition", &condition(format, asked))]));
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
    let what = match kind {
        TriggerKind::Date { field, offset } => return day_of_year(format, field, *offset),
        TriggerKind::Schedule { cron } => return schedule(format, &cron.to_string()),
        TriggerKind::AtRisk { p_alive_below, value_above } => {
            return at_risk(format, *p_alive_below, *value_above);
        }
        TriggerKind::SegmentEntered { segment, .. } => {
            let name = known(format, "segment", segment);
            format.text("moment.segment_entered", &[("segment", &name)])
        }
        TriggerKind::RepurchaseDue { after: None } => format.text("moment.own_rhythm", &[]),
        other => format.text(&format!("moment.{}", other.name()), &[]),
    };
    if kind.after() == Delay::ZERO {
        return format.text("moment.at", &[("what", &what)]);
    }
    format.text("moment.after", &[("after", &delay(format, kind.after())), ("what", &what)])
}

/// "When the chance that they are still customers falls below 40%"
fn at_risk(format: &Format, p_alive_below: Option<f64>, value_above: Option<f64>) -> String {
    let line = match p_alive_below {
        Some(p) => format.text("moment.p_alive_below", &[("p", &share(format, p))]),
        None => format.text("moment.at_risk", &[]),
    };
    let what = match value_above {
        Some(value) => {
            let value = format.money_in_text(minor(format, value));
            format.text("moment.value_above", &[("line", &line), ("value", &value)])
        }
        None => line,
    };
    format.text("moment.when", &[("what", &what)])
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::catalogue::Lang;
    use crate::http::pages::format::tests::format;

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
}
