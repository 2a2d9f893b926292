//! A customer's orders and messages, as rows and as a rhythm.

use serde::Serialize;

use super::{Loaded, name_of};
use crate::http::pages::chart::rhythm::{self, Dot, Rhythm, Stem, Told};
use crate::http::pages::format::{Format, UNKNOWN};
use crate::http::pages::words::{self, Mark};
use crate::primitives::Currency;
use crate::reports::customer::{Line, Order};

#[derive(Debug, Default, Serialize)]
pub struct OrderRow {
    pub when: String,
    pub exact: String,
    pub id: String,
    pub mark: Mark,
    pub products: String,
    pub gap: String,
    pub total: String,
    pub refunded: String,
    pub channel: String,
}

#[derive(Debug, Default, Serialize)]
pub struct MessageRow {
    pub href: String,
    pub rule: String,
    pub step: String,
    pub mark: Mark,
    pub when: String,
    pub exact: String,
    pub subject: String,
    pub why: String,
}

#[derive(Debug, Default, Serialize)]
pub struct PlannedRow {
    pub href: String,
    pub text: String,
    pub when: String,
    pub note: String,
}

pub fn money(format: &Format, minor: i64, currency: &str) -> String {
    match currency.parse::<Currency>() {
        Ok(currency) if currency != format.currency => format.money_of(minor, &currency),
        _ => format.money(minor),
    }
}

/// What was in an order, the first four.
pub fn products_of(format: &Format, order_id: &str, lines: &[Line]) -> String {
    let names: Vec<String> = lines
        .iter()
        .filter(|line| line.order_id == order_id)
        .filter_map(|line| {
            let name = line.name.clone().or(line.product_id.clone())?;
            Some(if (line.quantity - 1.0).abs() < 0.001 {
                name
            } else {
                format!("{name} × {}", format.decimal(line.quantity))
            })
        })
        .take(4)
        .collect();
    names.join(&format.text("list_comma", &[]))
}

pub fn order_rows(format: &Format, loaded: &Loaded, limit: usize) -> Vec<OrderRow> {
    let mut rows = Vec::new();
    for (n, order) in loaded.orders.iter().take(limit).enumerate() {
        let gap = loaded.orders.get(n + 1).map_or(UNKNOWN.to_owned(), |before| {
            format.number(order.placed_at.days_since(before.placed_at).round() as i64)
        });
        rows.push(OrderRow {
            when: format.when(order.placed_at),
            exact: format.exact(order.placed_at),
            id: order.order_id.clone(),
            mark: Mark {
                class: match order.status.as_str() {
                    "paid" => "good",
                    "cancelled" | "refunded" => "warn",
                    _ => "",
                },
                text: words::known(format, "order_status", &order.status),
            },
            products: products_of(format, &order.order_id, &loaded.lines),
            gap,
            total: money(format, order.total, &order.currency),
            refunded: if order.refunded > 0 {
                let amount = money(format, order.refunded, &order.currency);
                format.text("orders.refunded", &[("money", &amount)])
            } else {
                String::new()
            },
            channel: order.channel.clone().unwrap_or_default(),
        });
    }
    rows
}

pub fn message_rows(format: &Format, loaded: &Loaded, limit: usize) -> Vec<MessageRow> {
    loaded
        .messages
        .iter()
        .take(limit)
        .map(|message| {
            let at = message.sent_at.unwrap_or(message.scheduled_at);
            MessageRow {
                href: format!("/outbox/{}", message.id),
                rule: name_of(&loaded.rules, message.rule_id),
                step: message.step.to_string(),
                mark: words::status(format, &message.status),
                when: format.when(at),
                exact: format.exact(at),
                subject: message.subject.clone().unwrap_or_default(),
                why: message
                    .cancelled_for
                    .as_deref()
                    .or(message.held_for.as_deref())
                    .or(message.shadow.then_some("shadow"))
                    .map_or(String::new(), |why| words::known(format, "reason", why)),
            }
        })
        .collect()
}

pub fn planned(format: &Format, loaded: &Loaded) -> Vec<PlannedRow> {
    loaded
        .planned
        .iter()
        .map(|message| PlannedRow {
            href: format!("/outbox/{}", message.id),
            text: format!("{} {}", name_of(&loaded.rules, message.rule_id), message.step),
            when: format.when(message.scheduled_at),
            note: match &message.held_for {
                Some(why) => words::known(format, "reason", why),
                None => format.text("planned.unless", &[]),
            },
        })
        .collect()
}

/// Why nothing is planned.
pub fn unplanned(format: &Format, loaded: &Loaded) -> String {
    let profile = &loaded.profile;
    let key = if profile.erased_at.is_some() {
        "planned.none_erased"
    } else if profile.email.is_none() {
        "planned.none_address"
    } else if profile.suppressed.is_some() {
        "planned.none_suppressed"
    } else if profile.consent == "withdrawn" {
        "planned.none_consent"
    } else {
        "planned.none"
    };
    format.text(key, &[])
}

/// The orders that count, as in figures and scores; `None` where there is none.
pub fn rhythm(format: &Format, loaded: &Loaded) -> Option<Rhythm> {
    let mut orders: Vec<&Order> = loaded.rhythm.iter().filter(|order| order.counts).collect();
    orders.reverse();
    let last = orders.last()?;
    let usual_gap_days = loaded.score.as_ref().and_then(|score| score.usual_gap_days);
    let count = format.count("customer.orders", orders.len() as i64);
    // As of the scores, where there are some: the page says one number.
    let silent_days = match &loaded.score {
        Some(score) if score.kind == "buyer" => score.days_since.floor() as i64,
        _ => format.now.max(last.placed_at).days_since(last.placed_at).floor() as i64,
    };
    let days = format.number(silent_days);
    let days_between = |a: &Order, b: &Order| b.placed_at.days_since(a.placed_at).round() as i64;
    let products = |order: &Order| products_of(format, &order.order_id, &loaded.lines);
    let mut rows: Vec<[String; 3]> = Vec::new();
    for (n, order) in orders.iter().enumerate().rev() {
        let (day, products) = (format.day(order.placed_at), products(order));
        rows.push([
            if products.is_empty() { day } else { format!("{day}, {products}") },
            match n {
                0 => UNKNOWN.to_owned(),
                n => format.number(days_between(orders[n - 1], order)),
            },
            money(format, order.total, &order.currency),
        ]);
    }
    let told = Told {
        title: match usual_gap_days {
            Some(gap) if orders.len() > 1 => format.text(
                "rhythm.title",
                &[("orders", &count), ("gap", &format.decimal(gap)), ("days", &days)],
            ),
            _ => format.text("rhythm.title_plain", &[("orders", &count), ("days", &days)]),
        },
        sub: format.text("rhythm.sub", &[("currency", format.currency.as_str())]),
        orders: orders
            .iter()
            .map(|order| Stem {
                at: order.placed_at,
                minor: order.total,
                title: {
                    let money = money(format, order.total, &order.currency);
                    format!("{}: {money} {}", format.day(order.placed_at), products(order))
                },
            })
            .collect(),
        messages: loaded
            .messages
            .iter()
            .filter_map(|message| {
                let at = message.sent_at?;
                let rule = name_of(&loaded.rules, message.rule_id);
                Some(Dot { at, title: format!("{}: {rule}", format.day(at)) })
            })
            .collect(),
        visits: loaded
            .visits
            .iter()
            .map(|visit| Dot { at: visit.started_at, title: format.when(visit.started_at) })
            .collect(),
        usual_gap_days,
        silent_days,
        rows,
    };
    rhythm::draw(format, told)
}
