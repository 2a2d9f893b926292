//! `/outbox` and `/outbox/{id}`: what will go, what went, what was held back; and the messages in doubt.

use std::collections::HashMap;
use std::path::Path;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::caught::{self, Caught};
use super::csrf::Posted;
use super::customer::{LedgerRow, ledger_row};
use super::desk::Desk;
use super::error::PageError;
use super::format::Format;
use super::render::Screen;
use super::shell::Room;
use super::sign_in::Nothing;
use super::today::{Part, reconciliation};
use super::words::{self, Mark, Pair};
use crate::db::DbError;
use crate::ledger::Instants;
use crate::outbox::{self, settle::Word};
use crate::primitives::{Clock, MessageId, Timestamp};
use crate::reports::CAP;
use crate::reports::messages::{self, Message};
use crate::reports::outbox::{self as report, STATUSES};
use crate::reports::rules::{self, RuleName};

const ROWS: i64 = 25;

#[derive(Debug, Default, Serialize)]
pub struct OutboxPage {
    pub planned: String,
    pub parts: Vec<Part>,
    pub held: Vec<Part>,
    pub cancelled: Vec<Part>,
    pub tabs: Vec<Tab>,
    pub status: String,
    pub status_text: String,
    pub rule: String,
    pub all_rules: String,
    pub rows: Vec<ListRow>,
    pub next: String,
    pub first: String,
    pub shown: String,
    /// No rule ever planned anything.
    pub empty: bool,
    pub in_doubt: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Tab {
    pub href: String,
    pub name: String,
    pub n: String,
    pub current: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct ListRow {
    pub href: String,
    pub who: String,
    pub rule: String,
    pub step: String,
    pub when: String,
    pub exact: String,
    pub subject: String,
    pub why: String,
    pub held: bool,
    /// For the two choices of a message in doubt.
    pub id: String,
}

#[derive(Debug, Default, Serialize)]
pub struct MessagePage {
    pub id: String,
    pub who: String,
    pub customer: String,
    pub rule: String,
    pub rule_href: String,
    pub subject: String,
    pub mark: Mark,
    pub sub: String,
    pub times: Vec<Pair>,
    pub facts: Vec<Pair>,
    pub last_reply: String,
    /// Caught on disk: it can be looked at.
    pub mail: String,
    pub mail_text: String,
    pub history: Vec<LedgerRow>,
    pub in_doubt: bool,
    /// The question before sending again or closing; nothing unless asked for.
    pub question: Option<Question>,
}

#[derive(Debug, Default, Serialize)]
pub struct Question {
    pub title: String,
    pub text: String,
    pub act: &'static str,
    pub yes: String,
    pub no: String,
}

#[derive(Deserialize)]
pub struct Query {
    status: Option<String>,
    rule: Option<String>,
    after: Option<String>,
}

pub async fn list(desk: Desk, query: web::Query<Query>) -> Result<HttpResponse, PageError> {
    let asked = query.status.as_deref();
    let status = STATUSES.into_iter().find(|known| asked == Some(known));
    let after = query.after.as_deref().and_then(parse_cursor);
    let rule_key = query.rule.clone().filter(|key| !key.is_empty());
    let (store, now) = (desk.store.clone(), desk.now);
    let (in_doubt, pages) = (desk.alarms.in_doubt, desk.pages.clone());
    let db = desk.app.db.clone();
    let (status, line, sizes, rows, names, rule_id) = desk
        .read(move |conn| {
            let line = pages.sums.reconciliation(&db, conn, &store, now)?;
            let mut sizes = [0; 6];
            for (place, status) in STATUSES.iter().enumerate() {
                sizes[place] = report::size(conn, &store, status)?;
            }
            // Unasked, the page opens on what needs a hand, else on what comes, else on what went.
            let status = status.unwrap_or(match (in_doubt, sizes[0]) {
                (1.., _) => "in_doubt",
                (_, 1..) => "scheduled",
                _ => "sent",
            });
            let names = rules::names(conn, &store)?;
            let rule_id = rule_key
                .as_ref()
                .and_then(|key| names.iter().find(|(_, name)| name.key == *key))
                .map(|(id, _)| *id);
            let rows = messages::of_status(conn, store.id, status, rule_id, after, ROWS + 1)?;
            Ok::<_, DbError>((status, line, sizes, rows, names, rule_id))
        })
        .await?;

    let format = &desk.format;
    let rule = rule_id.and_then(|id| names.get(&id));
    let kept = match rule {
        Some(rule) => format!("status={status}&rule={}&", rule.key),
        None => format!("status={status}&"),
    };
    let more = rows.len() as i64 > ROWS;
    let place = STATUSES.iter().position(|s| *s == status).unwrap_or(0);
    let shown: Vec<&Message> = rows.iter().take(ROWS as usize).collect();
    let count = format.number(shown.len() as i64);
    let page = OutboxPage {
        planned: format.number(line.planned()),
        parts: reconciliation(format, &line),
        held: reasons(format, &line.held),
        cancelled: reasons(format, &line.cancelled),
        tabs: STATUSES
            .iter()
            .zip(sizes)
            .map(|(key, n)| Tab {
                href: format!("/outbox?status={key}"),
                name: words::known(format, "status", key),
                n: format.capped(n, CAP),
                current: *key == status,
            })
            .collect(),
        status_text: words::known(format, "status", status),
        rule: rule.map_or(String::new(), |rule| rule.name.clone()),
        all_rules: format!("/outbox?status={status}"),
        rows: shown.iter().map(|row| list_row(format, row, &names)).collect(),
        next: match (more, shown.last()) {
            (true, Some(last)) => {
                format!("/outbox?{kept}after={}_{}", last.scheduled_at.0, last.id)
            }
            _ => String::new(),
        },
        first: if after.is_some() {
            format!("/outbox?{kept}").trim_end_matches('&').to_owned()
        } else {
            String::new()
        },
        shown: match rule {
            Some(_) => format.count("pager.shown", shown.len() as i64),
            None => format
                .text("pager.of", &[("n", &count), ("all", &format.capped(sizes[place], CAP))]),
        },
        empty: sizes.iter().sum::<i64>() == 0,
        in_doubt: status == "in_doubt",
        status: status.to_owned(),
    };
    desk.page(Room::Outbox, &page)
}

/// Where the page before ended.
fn parse_cursor(raw: &str) -> Option<(Timestamp, MessageId)> {
    let (at, id) = raw.split_once('_')?;
    Some((Timestamp(at.parse().ok()?), id.parse().ok()?))
}

fn reasons(format: &Format, counted: &[(String, i64)]) -> Vec<Part> {
    counted
        .iter()
        .map(|(reason, n)| Part {
            n: format.number(*n),
            text: words::known(format, "none_for", reason),
            href: String::new(),
        })
        .collect()
}

fn list_row(format: &Format, row: &Message, names: &HashMap<i64, RuleName>) -> ListRow {
    let at = row.sent_at.unwrap_or(row.scheduled_at);
    let why = row.cancelled_for.as_deref().or(row.held_for.as_deref());
    ListRow {
        href: format!("/outbox/{}", row.id),
        who: words::who(
            format,
            row.name.as_deref(),
            row.email.as_deref(),
            row.external_id.as_deref(),
            row.customer_id.0,
        ),
        rule: names.get(&row.rule_id).map_or(String::new(), |rule| rule.name.clone()),
        step: row.step.to_string(),
        when: format.when(at),
        exact: format.exact(at),
        subject: row.subject.clone().unwrap_or_default(),
        why: match (why, row.status.as_str()) {
            (Some(why), "cancelled" | "scheduled") => words::known(format, "reason", why),
            (_, "failed" | "in_doubt") => row.last_reply.clone().unwrap_or_default(),
            _ => String::new(),
        },
        held: row.status == "scheduled" && row.held_for.is_some(),
        id: row.id.to_string(),
    }
}

#[derive(Deserialize)]
pub struct Ask {
    ask: Option<String>,
}

pub async fn message(
    desk: Desk,
    path: web::Path<String>,
    query: web::Query<Ask>,
) -> Result<HttpResponse, PageError> {
    let id: MessageId = path.parse().map_err(|_| PageError::NotFound)?;
    let store = desk.store.clone();
    let (message, history, names) = desk
        .read(move |conn| {
            let Some(message) = messages::find(conn, store.id, id)? else {
                return Ok::<_, DbError>(None);
            };
            let history = report::history(conn, message.customer_id, id)?;
            Ok(Some((message, history, rules::names(conn, &store)?)))
        })
        .await?
        .ok_or(PageError::NotFound)?;

    let format = &desk.format;
    let caught = caught_mail(&desk, &message).await;
    let rule = names.get(&message.rule_id);
    let in_doubt = message.status == "in_doubt" && desk.user.role.may_act();
    let page = MessagePage {
        id: id.to_string(),
        who: words::who(
            format,
            message.name.as_deref(),
            message.email.as_deref(),
            message.external_id.as_deref(),
            message.customer_id.0,
        ),
        customer: format!("/customers/{}", message.customer_id),
        rule: rule.map_or(String::new(), |rule| rule.name.clone()),
        rule_href: rule.map_or(String::new(), |rule| format!("/rules/{}", rule.key)),
        subject: message.subject.clone().unwrap_or_default(),
        mark: words::status(format, &message.status),
        sub: what_now(format, &message),
        times: times(format, &message),
        facts: facts(format, &message),
        last_reply: message.last_reply.clone().unwrap_or_default(),
        mail: caught.as_ref().map_or(String::new(), |_| format!("/outbox/{id}/mail")),
        mail_text: caught.map_or(String::new(), |caught| caught.text),
        history: history.iter().map(|decision| ledger_row(format, decision, &names)).collect(),
        in_doubt,
        question: query.ask.as_deref().filter(|_| in_doubt).and_then(|ask| {
            let act = ["resend", "close"].into_iter().find(|known| *known == ask)?;
            let text = |part: &str| format.text(&format!("ask.{act}_{part}"), &[]);
            Some(Question {
                title: text("title"),
                text: text("text"),
                act,
                yes: text("yes"),
                no: format.text("ask.leave", &[]),
            })
        }),
    };
    desk.page(Room::Outbox, &page)
}

/// The mail as it was written to disk, where mail goes to a folder and the file is still there.
async fn caught_mail(desk: &Desk, message: &Message) -> Option<Caught> {
    let folder = desk.app.config.smtp_url.as_ref()?.0.strip_prefix("file:")?.to_owned();
    let name = caught::file_of(message.last_reply.as_deref()?)?.to_owned();
    let read = move || caught::read(Path::new(&folder), &name);
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

/// `GET /outbox/{id}/mail`: a caught mail as its reader sees it, in a frame that can run nothing and load nothing.
pub async fn mail(desk: Desk, path: web::Path<String>) -> Result<HttpResponse, PageError> {
    let id: MessageId = path.parse().map_err(|_| PageError::NotFound)?;
    let store = desk.store.clone();
    let message = desk
        .read(move |conn| messages::find(conn, store.id, id).map_err(DbError::from))
        .await?
        .ok_or(PageError::NotFound)?;
    let caught = caught_mail(&desk, &message).await.ok_or(PageError::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((
            "Content-Security-Policy",
            "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'",
        ))
        .insert_header(("X-Frame-Options", "SAMEORIGIN"))
        .body(caught.html))
}

/// What the status means for this message, in a sentence.
fn what_now(format: &Format, message: &Message) -> String {
    let key = format!("message.{}", message.status);
    let when = |at: Timestamp| format.when(at);
    match message.status.as_str() {
        "scheduled" => match &message.held_for {
            Some(why) => {
                let why = words::known(format, "reason", why);
                format.text("message.held", &[("why", &why), ("when", &when(message.scheduled_at))])
            }
            None => format.text(&key, &[("when", &when(message.scheduled_at))]),
        },
        "sent" => {
            format.text(&key, &[("when", &when(message.sent_at.unwrap_or(message.scheduled_at)))])
        }
        "cancelled" => match &message.cancelled_for {
            Some(why) => words::known(format, "reason", why),
            None => format.text(&key, &[]),
        },
        _ => format.text(&key, &[]),
    }
}

fn times(format: &Format, message: &Message) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut add = |key: &str, at: Timestamp| {
        pairs.push(Pair {
            name: format.text(&format!("message.{key}"), &[]),
            value: format.when(at),
        });
    };
    add("planned_for", message.planned_for);
    if message.scheduled_at != message.planned_for {
        add("scheduled_at", message.scheduled_at);
    }
    add("useful_until", message.useful_until);
    if let Some(at) = message.sent_at {
        add("sent_at", at);
    }
    pairs
}

fn facts(format: &Format, message: &Message) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut add = |key: &str, value: String| {
        pairs.push(Pair { name: format.text(&format!("message.{key}"), &[]), value });
    };
    add("step", message.step.to_string());
    add("class", words::known(format, "class", &message.class));
    add("rule_version", message.rule_version.to_string());
    add("attempts", format.number(i64::from(message.attempts)));
    if let Some(address) = &message.address {
        add("address", address.clone());
    }
    pairs
}

/// `POST /outbox/{id}/resend`: hand it over once more; it may then arrive twice.
pub async fn resend(
    desk: Desk,
    path: web::Path<String>,
    _: Posted<Nothing>,
) -> Result<HttpResponse, PageError> {
    settle(desk, &path, "resend", Word::SendAgain).await
}

/// `POST /outbox/{id}/close`: leave it; it may never have arrived.
pub async fn close(
    desk: Desk,
    path: web::Path<String>,
    _: Posted<Nothing>,
) -> Result<HttpResponse, PageError> {
    settle(desk, &path, "close", Word::TakeAsSent).await
}

async fn settle(
    desk: Desk,
    path: &str,
    act: &'static str,
    word: Word,
) -> Result<HttpResponse, PageError> {
    desk.act()?;
    let id: MessageId = path.parse().map_err(|_| PageError::NotFound)?;
    let (store, at) = (desk.store.id, Instants { now: desk.now, machine: Clock::System.now() });
    let settled = desk
        .app
        .db
        .write(move |conn| {
            if messages::find(conn, store, id)?.is_none() {
                return Ok::<_, DbError>(None);
            }
            // False when someone else was quicker.
            Ok(Some(outbox::settle::resolve_in_doubt(conn, store, id, word, at)?))
        })
        .await?
        .ok_or(PageError::NotFound)?;
    let format = &desk.format;
    if settled {
        tracing::info!(
            user = desk.user.id.0,
            message = id.0,
            act,
            "a message in doubt was settled"
        );
        Ok(desk.go(
            &format!("/outbox/{id}"),
            "good",
            format.text(&format!("message.done_{act}"), &[]),
        ))
    } else {
        Ok(desk.go(&format!("/outbox/{id}"), "warn", format.text("message.no_longer", &[])))
    }
}

impl Screen for OutboxPage {
    const TEMPLATE: &'static str = "outbox.html";

    fn samples() -> Vec<Self> {
        let full = |in_doubt| Self {
            parts: vec![Part::default(), Part::default()],
            held: vec![Part::default()],
            cancelled: vec![Part::default(), Part::default()],
            tabs: vec![Tab { current: true, ..Tab::default() }],
            rows: vec![
                ListRow {
                    held: true,
                    subject: "Hello".into(),
                    why: "quiet".into(),
                    ..ListRow::default()
                },
                ListRow::default(),
            ],
            rule: "Browse".into(),
            next: "/outbox?after=1_1".into(),
            first: "/outbox".into(),
            in_doubt,
            ..Self::default()
        };
        vec![full(true), full(false), Self { empty: true, ..Self::default() }, Self::default()]
    }
}

impl Screen for MessagePage {
    const TEMPLATE: &'static str = "message.html";

    fn samples() -> Vec<Self> {
        let full = Self {
            times: vec![Pair::default()],
            facts: vec![Pair::default()],
            last_reply: "250 OK".into(),
            mail: "/outbox/1/mail".into(),
            mail_text: "Hello".into(),
            history: vec![LedgerRow { facts: vec![Pair::default()], ..LedgerRow::default() }],
            subject: "Hello".into(),
            in_doubt: true,
            question: Some(Question { act: "resend", ..Question::default() }),
            ..Self::default()
        };
        vec![full, Self::default()]
    }
}
