//! What happened, in sentences: orders, visits, messages, segments, words on consent.

use serde::Serialize;
use serde_json::Value;

use super::orders::{money, products_of};
use super::{Loaded, name_of};
use crate::http::pages::format::Format;
use crate::http::pages::words;
use crate::primitives::Timestamp;
use crate::reports::customer::{Click, Order, SegmentStay, Told, Visit};
use crate::reports::messages::Message;

#[derive(Debug, Default, Serialize)]
pub struct Moment {
    /// `order`, `mail`, `held`, `fell` or empty: the dot's shape.
    pub class: &'static str,
    pub when: String,
    pub exact: String,
    pub text: String,
    pub href: String,
    pub link: String,
    pub note: String,
    #[serde(skip)]
    pub at: When,
}

/// A timestamp that sorts; `Default` for samples only.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(pub i64);

/// Newest first within each kind.
pub fn moments(format: &Format, loaded: &Loaded) -> Vec<Moment> {
    let orders = loaded.orders.iter().map(|order| of_order(format, loaded, order));
    let visits = loaded.visits.iter().map(|visit| of_visit(format, loaded, visit));
    let messages = loaded.messages.iter().filter_map(|message| of_message(format, loaded, message));
    let clicks = loaded.clicks.iter().map(|click| of_click(format, loaded, click));
    let moves = loaded.stays.windows(2).map(|pair| of_move(format, &pair[0], &pair[1]));
    let told = loaded.told.iter().filter_map(|told| of_word(format, told));
    orders.chain(visits).chain(messages).chain(clicks).chain(moves).chain(told).collect()
}

/// With its dot and its times; what is said of it is to be added.
fn moment(format: &Format, at: Timestamp, class: &'static str) -> Moment {
    let (when, exact) = (format.when(at), format.exact(at));
    Moment { class, when, exact, at: When(at.0), ..Moment::default() }
}

fn of_order(format: &Format, loaded: &Loaded, order: &Order) -> Moment {
    let total = money(format, order.total, &order.currency);
    let products = products_of(format, &order.order_id, &loaded.lines);
    Moment {
        text: format.text("timeline.order", &[("id", &order.order_id), ("money", &total)]),
        note: match order.status.as_str() {
            "paid" => products,
            status => {
                let status = words::known(format, "order_status", status);
                if products.is_empty() { status } else { format!("{status}; {products}") }
            }
        },
        ..moment(format, order.placed_at, "order")
    }
}

fn of_visit(format: &Format, loaded: &Loaded, visit: &Visit) -> Moment {
    let minutes = ((visit.ended_at.0 - visit.started_at.0) / 60_000_000).max(1);
    let minutes = format.number(minutes);
    let comma = format.text("list_comma", &[]);
    let looked = looked_at(loaded, visit);
    let text = if looked.is_empty() {
        let pages = format.count("timeline.pages", i64::from(visit.page_views));
        format.text("timeline.visit", &[("minutes", &minutes), ("pages", &pages)])
    } else {
        let products = looked.join(&comma);
        let said = [("minutes", minutes.as_str()), ("products", products.as_str())];
        format.text("timeline.visit_products", &said)
    };
    let mut note: Vec<String> = Vec::new();
    if visit.depth == "cart" || visit.depth == "checkout" {
        note.push(words::known(format, "depth", &visit.depth));
    }
    if let Some(channel) = &visit.channel {
        note.push(format.text("timeline.from", &[("channel", channel)]));
    }
    Moment { text, note: note.join(&comma), ..moment(format, visit.started_at, "") }
}

/// `None` for what has not happened yet, and for what only would have, in shadow.
fn of_message(format: &Format, loaded: &Loaded, message: &Message) -> Option<Moment> {
    let at = message.sent_at.unwrap_or(message.scheduled_at);
    if message.status == "scheduled" || message.shadow || at > format.now {
        return None;
    }
    let why = message.cancelled_for.as_deref().filter(|_| message.status == "cancelled");
    let why = why.map_or(String::new(), |why| words::known(format, "reason", why));
    Some(Moment {
        href: format!("/outbox/{}", message.id),
        link: format!("{} {}", name_of(&loaded.rules, message.rule_id), message.step),
        text: words::known(format, "timeline_mail", &message.status),
        note: message.subject.clone().map_or(why, |subject| format!("“{subject}”")),
        ..moment(format, at, if message.status == "sent" { "mail" } else { "held" })
    })
}

fn of_click(format: &Format, loaded: &Loaded, click: &Click) -> Moment {
    Moment {
        href: format!("/outbox/{}", click.message_id),
        link: name_of(&loaded.rules, click.rule_id),
        text: format.text("timeline.click", &[]),
        note: click.target.clone().unwrap_or_default(),
        ..moment(format, click.at, "mail")
    }
}

/// From one segment to another.
fn of_move(format: &Format, to: &SegmentStay, from: &SegmentStay) -> Moment {
    let name = |stay: &SegmentStay| words::known(format, "segment", &stay.segment);
    let slipped = words::segment(format, &to.segment).class == "slipping";
    Moment {
        text: format.text("timeline.segment", &[("to", &name(to)), ("from", &name(from))]),
        ..moment(format, to.since, if slipped { "fell" } else { "" })
    }
}

/// A refund, or a word on consent; the other facts are told by visits and orders.
fn of_word(format: &Format, told: &Told) -> Option<Moment> {
    let payload: Value = serde_json::from_str(&told.payload).ok()?;
    let body = &payload["body"];
    let text = match told.kind.as_str() {
        "order_refunded" => {
            let id = body["order_id"].as_str().unwrap_or_default();
            format.text("timeline.refund", &[("id", id)])
        }
        "consent_changed" => {
            let is_granted = body["granted"] == Value::Bool(true);
            let key = if is_granted { "granted" } else { "withdrawn" };
            format.text(&format!("timeline.consent_{key}"), &[])
        }
        _ => return None,
    };
    Some(Moment { text, ..moment(format, told.occurred_at, "") })
}

/// The products looked at during a visit, each once, the first three.
fn looked_at(loaded: &Loaded, visit: &Visit) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for told in &loaded.told {
        let within = told.occurred_at >= visit.started_at && told.occurred_at <= visit.ended_at;
        if told.kind != "product_viewed" || !within {
            continue;
        }
        let Ok(payload) = serde_json::from_str::<Value>(&told.payload) else { continue };
        let product = &payload["body"]["product"];
        let name = product["name"].as_str().or(product["id"].as_str()).unwrap_or_default();
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names.truncate(3);
    names
}
