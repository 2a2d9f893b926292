//! What happened, in sentences: orders, visits, messages, segments, words on consent.

use serde::Serialize;
use serde_json::Value;

use super::orders::{money, products_of};
use super::{Loaded, name_of};
use crate::http::pages::format::Format;
use crate::http::pages::words;
use crate::primitives::Timestamp;
use crate::reports::customer::{SegmentStay, Visit};

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

/// Newest first.
pub fn moments(format: &Format, loaded: &Loaded) -> Vec<Moment> {
    let mut moments = Vec::new();
    let mut add = |at: Timestamp, class: &'static str, moment: Moment| {
        let (when, exact) = (format.when(at), format.exact(at));
        moments.push(Moment { class, when, exact, at: When(at.0), ..moment });
    };
    for order in &loaded.orders {
        let text = format.text(
            "timeline.order",
            &[("id", &order.order_id), ("money", &money(format, order.total, &order.currency))],
        );
        let products = products_of(format, &order.order_id, &loaded.lines);
        let note = match order.status.as_str() {
            "paid" => products,
            status => {
                let status = words::known(format, "order_status", status);
                if products.is_empty() { status } else { format!("{status}; {products}") }
            }
        };
        add(order.placed_at, "order", Moment { text, note, ..Moment::default() });
    }
    for visit in &loaded.visits {
        let minutes = ((visit.ended_at.0 - visit.started_at.0) / 60_000_000).max(1);
        let looked = looked_at(loaded, visit);
        let text = if looked.is_empty() {
            format.text(
                "timeline.visit",
                &[
                    ("minutes", &format.number(minutes)),
                    ("pages", &format.count("timeline.pages", i64::from(visit.page_views))),
                ],
            )
        } else {
            let list = looked.join(&format.text("list_comma", &[]));
            format.text(
                "timeline.visit_products",
                &[("minutes", &format.number(minutes)), ("products", &list)],
            )
        };
        let mut note: Vec<String> = Vec::new();
        if visit.depth == "cart" || visit.depth == "checkout" {
            note.push(words::known(format, "depth", &visit.depth));
        }
        if let Some(channel) = &visit.channel {
            note.push(format.text("timeline.from", &[("channel", channel)]));
        }
        let note = note.join(&format.text("list_comma", &[]));
        add(visit.started_at, "", Moment { text, note, ..Moment::default() });
    }
    for message in
        loaded.messages.iter().filter(|message| message.status != "scheduled" && !message.shadow)
    {
        let at = message.sent_at.unwrap_or(message.scheduled_at);
        if at > format.now {
            continue;
        }
        let (class, why) = match message.status.as_str() {
            "sent" => ("mail", String::new()),
            "cancelled" => (
                "held",
                message
                    .cancelled_for
                    .as_deref()
                    .map_or(String::new(), |why| words::known(format, "reason", why)),
            ),
            _ => ("held", String::new()),
        };
        add(
            at,
            class,
            Moment {
                href: format!("/outbox/{}", message.id),
                link: format!("{} {}", name_of(&loaded.rules, message.rule_id), message.step),
                text: words::known(format, "timeline_mail", &message.status),
                note: message.subject.clone().map_or(why, |subject| format!("“{subject}”")),
                ..Moment::default()
            },
        );
    }
    for click in &loaded.clicks {
        let moment = Moment {
            href: format!("/outbox/{}", click.message_id),
            link: name_of(&loaded.rules, click.rule_id),
            text: format.text("timeline.click", &[]),
            note: click.target.clone().unwrap_or_default(),
            ..Moment::default()
        };
        add(click.at, "mail", moment);
    }
    for pair in loaded.stays.windows(2) {
        let name = |stay: &SegmentStay| words::known(format, "segment", &stay.segment);
        let text =
            format.text("timeline.segment", &[("to", &name(&pair[0])), ("from", &name(&pair[1]))]);
        let slipped = words::segment(format, &pair[0].segment).class == "slipping";
        add(pair[0].since, if slipped { "fell" } else { "" }, Moment { text, ..Moment::default() });
    }
    for told in &loaded.told {
        let Ok(payload) = serde_json::from_str::<Value>(&told.payload) else { continue };
        let body = &payload["body"];
        let text = match told.kind.as_str() {
            "order_refunded" => {
                let id = body["order_id"].as_str().unwrap_or_default();
                format.text("timeline.refund", &[("id", id)])
            }
            "consent_changed" => {
                let key =
                    if body["granted"] == Value::Bool(true) { "granted" } else { "withdrawn" };
                format.text(&format!("timeline.consent_{key}"), &[])
            }
            _ => continue,
        };
        add(told.occurred_at, "", Moment { text, ..Moment::default() });
    }
    moments
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
