//! `/outbox`: messages by status, under the line that shows that none is lost.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::db::DbError;
use crate::http::pages::desk::Desk;
use crate::http::pages::error::PageError;
use crate::http::pages::format::Format;
use crate::http::pages::render::Screen;
use crate::http::pages::shell::Room;
use crate::http::pages::today::{Part, reconciliation};
use crate::http::pages::words;
use crate::primitives::{MessageId, Timestamp};
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
            (None, "scheduled") if row.shadow => format.text("outbox.would_send", &[]),
            (Some(why), "cancelled" | "scheduled") => words::known(format, "reason", why),
            (_, "failed" | "in_doubt") => row.last_reply.clone().unwrap_or_default(),
            _ => String::new(),
        },
        held: row.status == "scheduled" && row.held_for.is_some(),
        id: row.id.to_string(),
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
