//! On and off: the question before it, and the act.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::rule::Loaded;
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
    pub to: &'static str,
    pub yes: String,
    pub no: String,
}

/// What the one button of the page switches to.
pub fn next_status(rule: &Listed) -> Option<RuleStatus> {
    // What the program paused by itself is lifted on the command line, by whoever has mended the cause.
    if rule.retired_at.is_some() || rule.paused.is_some() {
        return None;
    }
    Some(match rule.status {
        RuleStatus::Live => RuleStatus::Paused,
        RuleStatus::Draft | RuleStatus::Shadow | RuleStatus::Paused => RuleStatus::Live,
    })
}

/// What will happen, to how many, from when.
pub fn question(format: &Format, store: &Store, loaded: &Loaded, to: RuleStatus) -> Question {
    let rule = &loaded.rule;
    let name = rule.title();
    let mut facts = Vec::new();
    let mut add = |key: &str, value: String| {
        facts.push(Pair { name: format.text(&format!("ask.{key}"), &[]), value });
    };
    if to == RuleStatus::Live {
        add("from", format.text("ask.from_now", &[]));
        add("moment", words::moment(format, &rule.rule.trigger.kind));
        if let Some(due) = loaded.falling_due {
            add("due", format.text("ask.due_is", &[("n", &format.capped(due, CAP))]));
        }
        if rule.rule.holdout > 0.0 {
            add("holdout", format.percent(rule.rule.holdout, 0));
        }
        add("rate", store.sending.rate.to_string());
        let text = match rule.rule.include_past {
            Some(span) => format.text("ask.live_past", &[("span", &words::delay(format, span))]),
            None => format.text("ask.live_text", &[]),
        };
        Question {
            title: format.text("ask.live_title", &[("rule", name)]),
            text,
            facts,
            to: "live",
            yes: format.text("ask.live_yes", &[]),
            no: format.text(&format!("ask.stay_{}", rule.status), &[]),
        }
    } else {
        add("planned", format.capped(loaded.planned, CAP));
        Question {
            title: format.text("ask.pause_title", &[("rule", name)]),
            text: format.text("ask.pause_text", &[]),
            facts,
            to: "paused",
            yes: format.text("ask.pause_yes", &[]),
            no: format.text("ask.stay_live", &[]),
        }
    }
}

#[derive(Deserialize)]
pub struct SetStatus {
    to: RuleStatus,
}

/// `POST /rules/{key}/status`: on and off. Drafts and shadow runs are made in shop.toml.
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
    if next_status(&rule) != Some(to) {
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
