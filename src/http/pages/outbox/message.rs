//! `/outbox/{id}`: one message: its mail, its times, and what was decided about it.

use std::path::Path;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::settle::{Question, question};
use crate::clicks;
use crate::clicks::store::Event;
use crate::db::DbError;
use crate::http::pages::caught::{self, Caught};
use crate::http::pages::customer::{LedgerRow, ledger_row};
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::words::{self, Mark, Pair};
use crate::primitives::{MessageId, Timestamp};
use crate::reports::messages::{self, Message};
use crate::reports::rows::decisions;
use crate::reports::rules;

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
    /// Clicks on its links and loads of its picture, oldest first.
    pub events: Vec<EventRow>,
    pub in_doubt: bool,
    /// The question before sending again or closing; nothing unless asked for.
    pub question: Option<Question>,
}

#[derive(Debug, Default, Serialize)]
pub struct EventRow {
    pub when: String,
    pub exact: String,
    pub what: String,
    pub target: String,
    pub who: Mark,
    pub why: String,
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
    let (message, history, events, names) = desk
        .read(move |conn| {
            let Some(message) = messages::find(conn, store.id, id)? else {
                return Ok::<_, DbError>(None);
            };
            let history = decisions::of_message(conn, message.customer_id, id)?;
            let events = clicks::store::of_message(conn, message.customer_id, id)?;
            Ok(Some((message, history, events, rules::names(conn, &store)?)))
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
        events: events.iter().map(|event| event_row(format, event)).collect(),
        in_doubt,
        question: query.ask.as_deref().filter(|_| in_doubt).and_then(|ask| question(format, ask)),
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

fn event_row(format: &Format, event: &Event) -> EventRow {
    let class = if event.reason.is_none() { "done" } else { "" };
    EventRow {
        when: format.when(event.at),
        exact: format.exact(event.at),
        what: words::known(format, "mail_event", event.kind.as_str()),
        target: event.target.clone().unwrap_or_default(),
        who: Mark { class, text: words::known(format, "verdict", event.verdict.as_str()) },
        why: event
            .reason
            .map_or(String::new(), |reason| words::known(format, "machine", reason.as_str())),
    }
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
            None if message.shadow => {
                format.text("message.shadow", &[("when", &when(message.scheduled_at))])
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
            events: vec![EventRow { target: "https://shop.example".into(), ..EventRow::default() }],
            subject: "Hello".into(),
            in_doubt: true,
            question: Some(Question { act: "resend", ..Question::default() }),
            ..Self::default()
        };
        vec![full, Self::default()]
    }
}
