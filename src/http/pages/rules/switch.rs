//! From draft to shadow to live, and off: the question before it, and the act.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::loaded::Loaded;
use crate::db::DbError;
use crate::http::pages::csrf::Posted;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::words::{self, Pair};
use crate::reports::CAP;
use crate::reports::rules::{self as report, Listed};
use crate::rules::RuleStatus;
use crate::stores::Store;

#[derive(Debug, Default, Serialize)]
pub struct Question {
    pub title: String,
    pub text: String,
    pub facts: Vec<Pair>,
    /// Where the answer goes, below the rule.
    pub act: &'static str,
    /// The status asked for; empty where it is about something else.
    pub to: &'static str,
    /// Empty where there is nothing to do.
    pub yes: String,
    pub no: String,
}

/// What the page can switch it to; the first is what comes next. A pause that the program made is lifted on the
/// command line alone, after whoever does it has seen why.
pub fn next_statuses(rule: &Listed) -> &'static [RuleStatus] {
    if rule.retired_at.is_some() || rule.paused.is_some() {
        return &[];
    }
    match rule.status {
        RuleStatus::Draft => &[RuleStatus::Shadow, RuleStatus::Live],
        RuleStatus::Shadow => &[RuleStatus::Live, RuleStatus::Draft],
        RuleStatus::Live => &[RuleStatus::Paused],
        RuleStatus::Paused => &[RuleStatus::Live],
    }
}

/// What will happen, to how many, from when.
pub fn question(format: &Format, store: &Store, loaded: &Loaded, to: RuleStatus) -> Question {
    let rule = &loaded.rule;
    let name = rule.title();
    let mut facts = Vec::new();
    let mut add = |key: &str, value: String| {
        facts.push(Pair { name: format.text(&format!("ask.{key}"), &[]), value });
    };
    let text = match to {
        RuleStatus::Live | RuleStatus::Shadow => {
            add("from", format.text("ask.from_now", &[]));
            add("moment", words::moment(format, &rule.rule.trigger.kind));
            if let Some(due) = loaded.falling_due {
                add("due", format.text("ask.due_is", &[("n", &format.capped(due, CAP))]));
            }
            if rule.rule.holdout > 0.0 {
                add("holdout", format.percent(rule.rule.holdout, 0));
            }
            if to == RuleStatus::Shadow {
                format.text("ask.shadow_text", &[])
            } else {
                add("rate", store.sending.rate.to_string());
                match rule.rule.include_past {
                    Some(span) => {
                        format.text("ask.live_past", &[("span", &words::delay(format, span))])
                    }
                    None => format.text("ask.live_text", &[]),
                }
            }
        }
        RuleStatus::Draft => format.text("ask.draft_text", &[]),
        RuleStatus::Paused => {
            add("planned", format.capped(loaded.planned, CAP));
            format.text("ask.pause_text", &[])
        }
    };
    let key = if to == RuleStatus::Paused { "pause" } else { to.as_str() };
    Question {
        title: format.text(&format!("ask.{key}_title"), &[("rule", name)]),
        text,
        facts,
        act: "status",
        to: to.as_str(),
        yes: format.text(&format!("ask.{key}_yes"), &[]),
        no: format.text(&format!("ask.stay_{}", rule.status), &[]),
    }
}

#[derive(Deserialize)]
pub struct SetStatus {
    to: RuleStatus,
}

/// `POST /rules/{key}/status`: draft, shadow, live, paused.
pub async fn set_status(
    desk: Desk,
    path: web::Path<String>,
    form: Posted<SetStatus>,
) -> Result<HttpResponse, PageError> {
    desk.act()?;
    let (key, to, now) = (path.into_inner(), form.0.to, desk.now);
    let store = desk.store.clone();
    let asked = key.clone();
    let rule = desk
        .read(move |conn| {
            let rules = report::all(conn, &store)?;
            Ok(rules.into_iter().find(|rule| rule.key == asked))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    if !next_statuses(&rule).contains(&to) {
        // Someone else was quicker, or the page was old: the page shows how it stands now.
        let text = desk.format.text("rule.already", &[]);
        return Ok(desk.go(&format!("/rules/{key}"), "warn", text));
    }
    let id = rule.id;
    desk.app
        .db
        .write(move |conn| {
            crate::rules::store::set_status(conn, id, to, now).map_err(DbError::from)
        })
        .await?;
    tracing::info!(user = desk.user.id.0, rule = id.0, status = %to, "a rule was switched");
    let text = desk.format.text(&format!("rule.now_{to}"), &[("rule", rule.title())]);
    Ok(desk.go(&format!("/rules/{key}"), "good", text))
}
