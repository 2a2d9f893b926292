//! Who is under way goes on by the version in force: the question before it, and the act.

use actix_web::{HttpResponse, web};

use super::loaded::Loaded;
use super::switch::Question;
use crate::db::DbError;
use crate::http::pages::csrf::Posted;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::sign_in::Nothing;
use crate::http::pages::words::Pair;
use crate::ledger::Instants;
use crate::planner::moves::{self, Moved};
use crate::primitives::Timestamp;
use crate::reports::{CAP, trial};
use crate::rules::{self, Rule, RuleStatus};

/// How it is asked for.
pub const ASK: &str = "move";

/// Whether somebody may still be under way in a version that did otherwise: counting them takes a look at all who ever
/// entered, and is left to who asks.
pub fn may_be_asked(loaded: &Loaded, now: Timestamp) -> bool {
    let listed = &loaded.rule;
    let is_running = matches!(listed.status, RuleStatus::Live | RuleStatus::Shadow);
    let in_force = |rule: &Rule| Rule { status: listed.rule.status, ..rule.clone() } == listed.rule;
    is_running
        && listed.retired_at.is_none()
        && loaded.versions.windows(2).any(|pair| {
            let ((_, replaced_at, _), (_, _, older)) = (&pair[0], &pair[1]);
            !in_force(older) && replaced_at.plus(trial::window(older)) > now
        })
}

/// `n`: how many are in an older version.
pub fn question(format: &Format, loaded: &Loaded, n: i64) -> Question {
    let rule = &loaded.rule;
    let version = rule.version.to_string();
    let said = [("rule", rule.title()), ("version", version.as_str())];
    let is_any = n > 0;
    let people = Pair { name: format.text("ask.move_people", &[]), value: format.capped(n, CAP) };
    Question {
        title: format.text("ask.move_title", &said),
        text: format.text(if is_any { "ask.move_text" } else { "ask.move_none" }, &said),
        facts: if is_any { vec![people] } else { Vec::new() },
        act: ASK,
        to: "",
        yes: if is_any { format.text("ask.move_yes", &[]) } else { String::new() },
        no: format.text(if is_any { "ask.move_no" } else { "ask.move_back" }, &[]),
    }
}

/// `POST /rules/{key}/move`.
pub async fn move_on(
    desk: Desk,
    path: web::Path<String>,
    _: Posted<Nothing>,
) -> Result<HttpResponse, PageError> {
    desk.act()?;
    let (key, store) = (path.into_inner(), desk.store.clone());
    let (db, secret) = (desk.app.db.clone(), desk.app.secret.clone());
    let (asked, at) = (key.clone(), Instants::at(desk.now));
    let work = move || -> Result<Option<(Rule, i32, Moved)>, DbError> {
        let find = |conn: &mut _| -> Result<_, DbError> {
            Ok(rules::store::find_by_key(conn, store.id, &asked)?)
        };
        let Some(rule) = db.read_here(find)? else { return Ok(None) };
        let moved = moves::move_all(&db, &store, &secret, rule.id, at)?;
        Ok(Some((rule.rule, rule.version, moved)))
    };
    let done = web::block(work).await.unwrap_or(Err(DbError::BrokenOff))?;
    let (rule, version, moved) = done.ok_or(PageError::NotFound)?;
    tracing::info!(user = desk.user.id.0, rule = %rule.key, version, ?moved, "who was under way was moved");
    let format = &desk.format;
    let number = |n: u64| format.number(i64::try_from(n).unwrap_or(i64::MAX));
    let text = format.text(
        "rule.moved",
        &[
            ("moved", &number(moved.moved)),
            ("ended", &number(moved.ended)),
            ("version", &version.to_string()),
        ],
    );
    Ok(desk.go(&format!("/rules/{key}"), "good", text))
}
