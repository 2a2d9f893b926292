//! `GET /api/v1/messages?status=&rule=&limit=&cursor=` and `GET /api/v1/messages/{id}`: the outbox.

use actix_web::web::{Data, Json, Path, Query};
use serde::{Deserialize, Serialize};

use super::page::{Page, Place, cursor, limit, shown};
use super::{App, Problem, read};
use crate::clicks::{self, Agent, EventKind, Machine, Verdict};
use crate::http::auth::ApiKey;
use crate::mail::message_id_for;
use crate::primitives::{CustomerId, MessageId, Timestamp};
use crate::reports::messages::{self, Message, Wanted};
use crate::secret::Secret;
use crate::stores::Store;

const STATUSES: [&str; 6] = ["scheduled", "sending", "sent", "failed", "cancelled", "in_doubt"];

#[derive(Deserialize)]
pub struct Ask {
    limit: Option<String>,
    cursor: Option<String>,
    status: Option<String>,
    /// A rule's key.
    rule: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Item {
    id: MessageId,
    customer_id: CustomerId,
    rule: String,
    step: i32,
    status: String,
    scheduled_at: Timestamp,
    sent_at: Option<Timestamp>,
    attempts: i32,
    last_reply: Option<String>,
    /// The RFC 5322 Message-ID, the same on every attempt; null while the store has no address to write from.
    message_id: Option<String>,
    class: String,
    subject: Option<String>,
    /// Why it is deferred.
    held_for: Option<String>,
    /// Why it was cancelled.
    cancelled_for: Option<String>,
    /// The first `scheduled_at`, before any deferral.
    planned_for: Timestamp,
    useful_until: Timestamp,
    /// Of a rule in shadow: it goes as far as the door, and never leaves.
    shadow: bool,
}

impl Item {
    fn of(row: Message, store: &Store, secret: &Secret) -> Self {
        let details = store.details();
        let message_id =
            details.map(|details| message_id_for(secret, store.id, row.id, details.from.address()));
        Self {
            id: row.id,
            customer_id: row.customer_id,
            rule: row.rule,
            step: row.step,
            status: row.status,
            scheduled_at: row.scheduled_at,
            sent_at: row.sent_at,
            attempts: row.attempts,
            last_reply: row.last_reply,
            message_id,
            class: row.class,
            subject: row.subject,
            held_for: row.held_for,
            cancelled_for: row.cancelled_for,
            planned_for: row.planned_for,
            useful_until: row.useful_until,
            shadow: row.shadow,
        }
    }
}

/// Newest first; of one status or one rule, by the time they are scheduled for, latest first.
pub async fn list(
    key: ApiKey,
    app: Data<App>,
    ask: Query<Ask>,
) -> Result<Json<Page<Item>>, Problem> {
    let ask = ask.into_inner();
    let limit = limit(ask.limit.as_deref())?;
    let after: Option<Place> = cursor(ask.cursor.as_deref())?;
    if let Some(raw) = ask.status.as_deref().filter(|status| !STATUSES.contains(status)) {
        let known = STATUSES.join(", ");
        return Err(Problem::bad_request(format!(
            "status: `{}` is not one of: {known}",
            shown(raw)
        )));
    }
    let secret = app.secret.clone();
    read(&app, &key, move |conn, store| {
        let rule = match &ask.rule {
            None => None,
            Some(rule) => Some(messages::rule_id(conn, store.id, rule)?.ok_or_else(|| {
                Problem::bad_request(format!("rule: there is no rule `{}`", shown(rule)))
            })?),
        };
        let wanted = Wanted { status: ask.status, rule, after: after.map(|p| (p.at, p.id)), limit };
        let rows = messages::list(conn, store.id, &wanted)?;
        let items = rows.into_iter().map(|row| Item::of(row, store, &secret)).collect();
        let place = |item: &Item| Place { at: item.scheduled_at.0, id: item.id.0 }.to_string();
        Ok(Json(Page::of(items, limit, place)))
    })
    .await
}

pub async fn show(key: ApiKey, app: Data<App>, id: Path<String>) -> Result<Json<Item>, Problem> {
    let raw = id.into_inner();
    let id: MessageId = raw.parse().map_err(|_| unknown(&raw))?;
    let secret = app.secret.clone();
    let found = read(&app, &key, move |conn, store| {
        let row = messages::find(conn, store.id, id)?;
        Ok(row.map(|row| Item::of(row, store, &secret)))
    });
    found.await?.map(Json).ok_or_else(|| unknown(&raw))
}

/// A click on a link of a message, or a load of its picture, and whose it was.
#[derive(Serialize)]
pub struct EventItem {
    kind: EventKind,
    at: Timestamp,
    target: Option<String>,
    agent: Agent,
    verdict: Verdict,
    reason: Option<Machine>,
}

/// Oldest first, all that are kept of one message.
pub async fn events(
    key: ApiKey,
    app: Data<App>,
    id: Path<String>,
) -> Result<Json<Events>, Problem> {
    let raw = id.into_inner();
    let id: MessageId = raw.parse().map_err(|_| unknown(&raw))?;
    let found = read(&app, &key, move |conn, store| {
        let Some(row) = messages::find(conn, store.id, id)? else { return Ok(None) };
        Ok(Some(clicks::store::of_message(conn, row.customer_id, id)?))
    });
    let item = |event: clicks::store::Event| EventItem {
        kind: event.kind,
        at: event.at,
        target: event.target,
        agent: event.agent,
        verdict: event.verdict,
        reason: event.reason,
    };
    let events = found.await?.ok_or_else(|| unknown(&raw))?;
    Ok(Json(Events { items: events.into_iter().map(item).collect() }))
}

#[derive(Serialize)]
pub struct Events {
    items: Vec<EventItem>,
}

fn unknown(raw: &str) -> Problem {
    let detail = format!("there is no message `{}`", shown(raw));
    Problem::unknown("/problems/unknown-message", detail)
}
