//! Everything that happened with one customer, newest first: every query begins with their id.

use diesel::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use crate::db::Conn;
use crate::db::schema::{
    facts, mail_events, messages, orders, refunds, rules, segment_history, visits,
};
use crate::primitives::{Currency, CustomerId, MessageId, Money, Timestamp};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub at: Timestamp,
    /// `visit`, `cart`, `checkout`, `order`, `refund`, `message`, `click`, `consent` or `segment`.
    pub kind: &'static str,
    /// Tells entries of one kind and instant apart.
    pub id: String,
    pub detail: Value,
}

/// Where a page ended. Text form `MICROSECONDS.kind.id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    at: Timestamp,
    key: String,
}

impl Entry {
    fn key(&self) -> String {
        format!("{}.{}", self.kind, self.id)
    }

    pub fn place(&self) -> Place {
        Place { at: self.at, key: self.key() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at.0, self.key)
    }
}

impl std::str::FromStr for Place {
    type Err = std::num::ParseIntError;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let (at, key) = raw.split_once('.').unwrap_or((raw, ""));
        Ok(Self { at: Timestamp(at.parse()?), key: key.to_owned() })
    }
}

/// Each source gives so many more than a page holds: those of the cursor's own instant may have been shown.
const OF_ONE_INSTANT: i64 = 500;
/// Facts are kept by arrival, so the latest to occur are looked for among so many of the last to arrive: nobody's
/// timeline may cost a scan of a robot's million facts.
const ARRIVED: i64 = 3_000;

/// A page of what happened, newest first, after `after`.
pub fn page(
    conn: &mut Conn,
    customer: CustomerId,
    after: Option<&Place>,
    limit: i64,
) -> QueryResult<Vec<Entry>> {
    let until = after.map_or(Timestamp::MAX, |place| place.at);
    let most = limit + OF_ONE_INSTANT;
    let mut entries = visits_until(conn, customer, until, most)?;
    entries.extend(orders_until(conn, customer, until, most)?);
    entries.extend(refunds_until(conn, customer, until, most)?);
    entries.extend(messages_until(conn, customer, until, most)?);
    entries.extend(clicks_until(conn, customer, until, most)?);
    entries.extend(segments_until(conn, customer, until, most)?);
    entries.extend(facts_until(conn, customer, until)?);
    entries.sort_by_cached_key(|entry| (std::cmp::Reverse(entry.at), entry.key()));
    entries
        .retain(|entry| after.is_none_or(|place| entry.at < place.at || entry.key() > place.key));
    entries.truncate(usize::try_from(limit).unwrap_or(0));
    Ok(entries)
}

fn money(minor: i64, currency: &Currency) -> Money {
    Money::new(minor, currency.clone())
}

fn visits_until(
    conn: &mut Conn,
    customer: CustomerId,
    until: Timestamp,
    most: i64,
) -> QueryResult<Vec<Entry>> {
    type Row = (Timestamp, Timestamp, i32, i32, String, Option<String>, Option<String>);
    let rows: Vec<Row> = visits::table
        .filter(visits::customer_id.eq(customer).and(visits::started_at.le(until)))
        .order(visits::started_at.desc())
        .limit(most)
        .select((
            visits::started_at,
            visits::ended_at,
            visits::page_views,
            visits::product_views,
            visits::depth,
            visits::channel,
            visits::campaign,
        ))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(at, ended_at, page_views, product_views, depth, channel, campaign)| Entry {
            at,
            kind: "visit",
            id: at.0.to_string(),
            detail: json!({
                "ended_at": ended_at, "page_views": page_views, "product_views": product_views,
                "depth": depth, "channel": channel, "campaign": campaign,
            }),
        })
        .collect())
}

fn orders_until(
    conn: &mut Conn,
    customer: CustomerId,
    until: Timestamp,
    most: i64,
) -> QueryResult<Vec<Entry>> {
    type Row = (String, Timestamp, String, bool, Currency, i64, i64, Option<String>);
    let rows: Vec<Row> = orders::table
        .filter(orders::customer_id.eq(customer).and(orders::placed_at.le(until)))
        .order(orders::placed_at.desc())
        .limit(most)
        .select((
            orders::order_id,
            orders::placed_at,
            orders::status,
            orders::counts,
            orders::currency,
            orders::total,
            orders::refunded,
            orders::coupon,
        ))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(order_id, at, status, counts, currency, total, refunded, coupon)| Entry {
            at,
            kind: "order",
            detail: json!({
                "order_id": order_id, "status": status, "counts": counts,
                "total": money(total, &currency), "refunded": money(refunded, &currency), "coupon": coupon,
            }),
            id: order_id,
        })
        .collect())
}

fn refunds_until(
    conn: &mut Conn,
    customer: CustomerId,
    until: Timestamp,
    most: i64,
) -> QueryResult<Vec<Entry>> {
    type Row = (String, String, Timestamp, Option<i64>, Option<Currency>);
    let order =
        orders::customer_id.eq(refunds::customer_id).and(orders::order_id.eq(refunds::order_id));
    let rows: Vec<Row> = refunds::table
        .left_join(orders::table.on(order))
        .filter(refunds::customer_id.eq(customer).and(refunds::refunded_at.le(until)))
        .order(refunds::refunded_at.desc())
        .limit(most)
        .select((
            refunds::order_id,
            refunds::source_key,
            refunds::refunded_at,
            refunds::amount,
            orders::currency.nullable(),
        ))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(order_id, source_key, at, amount, currency)| Entry {
            at,
            kind: "refund",
            // No amount: all of it. No currency: its order is not known yet.
            detail: json!({
                "order_id": order_id,
                "amount": amount.zip(currency).map(|(amount, currency)| money(amount, &currency)),
            }),
            id: source_key,
        })
        .collect())
}

fn messages_until(
    conn: &mut Conn,
    customer: CustomerId,
    until: Timestamp,
    most: i64,
) -> QueryResult<Vec<Entry>> {
    type Row = (MessageId, Timestamp, String, i32, String, Option<Timestamp>, Option<String>);
    let rows: Vec<Row> = messages::table
        .inner_join(rules::table.on(rules::id.eq(messages::rule_id)))
        .filter(messages::customer_id.eq(customer).and(messages::scheduled_at.le(until)))
        .order(messages::scheduled_at.desc())
        .limit(most)
        .select((
            messages::id,
            messages::scheduled_at,
            rules::key,
            messages::step,
            messages::status,
            messages::sent_at,
            messages::subject,
        ))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(id, at, rule, step, status, sent_at, subject)| Entry {
            at,
            kind: "message",
            id: id.to_string(),
            detail: json!({
                "message_id": id, "rule": rule, "step": step, "status": status, "sent_at": sent_at, "subject": subject,
            }),
        })
        .collect())
}

fn segments_until(
    conn: &mut Conn,
    customer: CustomerId,
    until: Timestamp,
    most: i64,
) -> QueryResult<Vec<Entry>> {
    let rows: Vec<(Timestamp, String)> = segment_history::table
        .filter(segment_history::customer_id.eq(customer).and(segment_history::since.le(until)))
        .order(segment_history::since.desc())
        .limit(most)
        .select((segment_history::since, segment_history::segment))
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(at, segment)| Entry {
            at,
            kind: "segment",
            detail: json!({ "segment": segment }),
            id: segment,
        })
        .collect())
}

/// Clicks on links of mails, with whose they were: a person's or a machine's.
fn clicks_until(
    conn: &mut Conn,
    customer: CustomerId,
    until: Timestamp,
    most: i64,
) -> QueryResult<Vec<Entry>> {
    use crate::clicks::store::Event;
    let events: Vec<Event> = Event::query()
        .filter(mail_events::customer_id.eq(customer).and(mail_events::at.le(until)))
        .filter(mail_events::kind.eq("click"))
        .order((mail_events::at.desc(), mail_events::id.desc()))
        .limit(most)
        .load(conn)?;
    Ok(events
        .into_iter()
        .map(|event| Entry {
            at: event.at,
            kind: "click",
            id: event.id.to_string(),
            detail: json!({
                "message_id": event.message_id, "target": event.target, "verdict": event.verdict,
                "reason": event.reason,
            }),
        })
        .collect())
}

/// What a visit or an order does not tell already: carts, checkouts, words on consent.
fn facts_until(conn: &mut Conn, customer: CustomerId, until: Timestamp) -> QueryResult<Vec<Entry>> {
    let rows: Vec<(i64, String, Timestamp, String)> = facts::table
        .filter(facts::customer_id.eq(customer))
        .order(facts::id.desc())
        .limit(ARRIVED)
        .select((facts::id, facts::kind, facts::occurred_at, facts::payload))
        .load(conn)?;
    let told = |(id, kind, at, payload): (i64, String, Timestamp, String)| {
        let kind = match kind.as_str() {
            "cart_changed" => "cart",
            "checkout_started" => "checkout",
            "consent_changed" => "consent",
            _ => return None,
        };
        let payload: Value = serde_json::from_str(&payload).ok()?;
        let body = &payload["body"];
        let product = |product: &Value| json!({ "id": product["id"], "name": product["name"], "quantity": product["quantity"] });
        let products: Vec<Value> =
            body["products"].as_array().into_iter().flatten().map(product).collect();
        let detail = match kind {
            "consent" => json!({ "granted": body["granted"], "channel": body["channel"] }),
            "cart" => json!({ "change": body["change"], "products": products }),
            _ => json!({ "products": products }),
        };
        Some(Entry { at, kind, id: id.to_string(), detail })
    };
    Ok(rows.into_iter().filter(|row| row.2 <= until).filter_map(told).collect())
}
