//! What a rule's page says of the rule itself: how far it is, its moment, its steps, its versions.

use serde::Serialize;

use super::loaded::Loaded;
use crate::http::pages::format::Format;
use crate::http::pages::words::{self, Pair};
use crate::primitives::Delay;
use crate::reports::rules::Listed;
use crate::rules::{RuleStatus, TriggerKind, changed_rule};

#[derive(Debug, Default, Serialize)]
pub struct Stage {
    pub name: String,
    pub done: bool,
    pub current: bool,
    pub live: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct StepRow {
    pub when: String,
    pub template: String,
    pub subject: String,
    pub coupon: String,
    /// Its question and exits, its time of day, its variants.
    pub more: String,
}

/// A version of the rule, and what it changed.
#[derive(Debug, Default, Serialize)]
pub struct VersionRow {
    pub title: String,
    pub when: String,
    pub changes: Vec<ChangeRow>,
}

/// As shop.toml writes it; an empty text: not set.
#[derive(Debug, Default, Serialize)]
pub struct ChangeRow {
    pub name: String,
    pub from: String,
    pub to: String,
}

pub fn stages(format: &Format, status: RuleStatus) -> Vec<Stage> {
    // A paused rule stands where a live one does, by another name.
    let last = if status == RuleStatus::Paused { RuleStatus::Paused } else { RuleStatus::Live };
    let all = [RuleStatus::Draft, RuleStatus::Shadow, last];
    let at = all.iter().position(|stage| *stage == status).unwrap_or(0);
    all.iter()
        .enumerate()
        .map(|(n, stage)| Stage {
            name: words::known(format, "outcome", stage.as_str()),
            done: n < at,
            current: n == at,
            live: *stage == RuleStatus::Live,
        })
        .collect()
}

pub fn trigger(format: &Format, rule: &Listed) -> Vec<Pair> {
    let mut pairs = vec![Pair {
        name: format.text("rule.moment", &[]),
        value: words::moment(format, &rule.rule.trigger.kind),
    }];
    let mut add = |key: &str, value: String| {
        pairs.push(Pair { name: format.text(&format!("rule.{key}"), &[]), value });
    };
    match &rule.rule.trigger.kind {
        TriggerKind::VisitedWithoutBuying { min_visits, min_product_views, .. } => {
            if *min_visits > 1 {
                add("min_visits", format.number(i64::from(*min_visits)));
            }
            if *min_product_views > 0 {
                add("min_product_views", format.number(i64::from(*min_product_views)));
            }
        }
        TriggerKind::WinBack { until: Some(until), .. } => {
            add("until", words::delay(format, *until));
        }
        TriggerKind::Schedule { cron } => {
            let runs = cron.upcoming(format.now, &format.zone, 5);
            let runs: Vec<String> = runs.into_iter().map(|at| format.when(at)).collect();
            add("next_runs", runs.join(&format.text("list_comma", &[])));
        }
        _ => {}
    }
    add("useful_for", words::delay(format, rule.rule.trigger.useful_for));
    pairs
}

pub fn steps(format: &Format, rule: &Listed) -> Vec<StepRow> {
    rule.rule
        .steps
        .iter()
        .enumerate()
        .map(|(n, step)| StepRow {
            more: words::step_more(format, step),
            when: if step.delay() == Delay::ZERO && n == 0 {
                format.text("rule.at_once", &[])
            } else if n == 0 {
                words::delay(format, step.delay())
            } else {
                format.text("rule.later", &[("wait", &words::delay(format, step.delay()))])
            },
            template: words::known(format, "template", &step.template),
            subject: step.subject.clone().unwrap_or_default(),
            coupon: step.coupon.clone().unwrap_or_default(),
        })
        .collect()
}

pub fn versions(format: &Format, loaded: &Loaded) -> Vec<VersionRow> {
    let all = &loaded.versions;
    let before = all.iter().skip(1).map(|(_, _, rule)| Some(rule)).chain([None]);
    all.iter()
        .zip(before)
        .map(|((version, at, rule), before)| VersionRow {
            title: format.text("rule.version", &[("n", &version.to_string())]),
            when: format.when(*at),
            changes: before
                .map_or_else(Vec::new, |before| changed_rule(before, rule))
                .into_iter()
                .map(|change| ChangeRow {
                    name: change.name,
                    from: change.from.unwrap_or_default(),
                    to: change.to.unwrap_or_default(),
                })
                .collect(),
        })
        .collect()
}
