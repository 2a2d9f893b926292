//! Loads what customers did and what reached them, where some rule asks for it: a fixed number of queries.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::{Click, Situation};
use crate::db::Conn;
use crate::db::schema::{facts, mail_events, messages, order_lines, orders, rules, visits};
use crate::journal::{Body, CartChange, OrderStatus, Payload};
use crate::primitives::{CustomerId, EnrolmentId, Timestamp};
use crate::products;
use crate::rules::condition::{Deed, Did, Needs};
use crate::stores::Store;

/// Adds to each subject what `needs` names, as far back as that goes.
pub(super) fn add(
    conn: &mut Conn,
    store: &Store,
    situations: &mut [Situation],
    needs: &Needs,
    now: Timestamp,
) -> QueryResult<()> {
    let ids: Vec<CustomerId> = situations.iter().map(|situation| situation.customer).collect();
    if ids.is_empty() || *needs == Needs::default() {
        return Ok(());
    }
    let mut deeds: HashMap<CustomerId, Vec<Deed>> = HashMap::new();
    let mut keep = |customer, what, at, products| {
        let deed = Deed { what, at, products, categories: Vec::new() };
        deeds.entry(customer).or_default().push(deed);
    };
    if needs.since(Did::Visited, now).is_some() || needs.channels {
        let since = needs.since(Did::Visited, now).unwrap_or(Timestamp::MAX);
        let seen = visits_of(conn, &ids, since, needs.channels)?;
        for visit in seen.chunk_by(|a, b| a.0 == b.0).filter(|_| needs.channels) {
            let subject = situations.iter_mut().find(|s| s.customer == visit[0].0);
            if let (Some(situation), [first, ..], [.., last]) = (subject, visit, visit) {
                let subject = &mut situation.subject;
                (subject.first_channel, subject.first_campaign) =
                    (first.2.clone(), first.3.clone());
                (subject.last_channel, subject.last_campaign) = (last.2.clone(), last.3.clone());
            }
        }
        for (customer, at, ..) in seen.into_iter().filter(|visit| visit.1 >= since) {
            keep(customer, Did::Visited, at, Vec::new());
        }
    }
    if let Some(since) = earliest(needs, &[Did::Bought, Did::Ordered], now) {
        for (customer, at, counts, products) in orders_of(conn, &ids, since, needs.products)? {
            if counts {
                keep(customer, Did::Bought, at, products.clone());
            }
            keep(customer, Did::Ordered, at, products);
        }
    }
    if let Some(since) = earliest(needs, &[Did::Viewed, Did::Carted, Did::CheckedOut], now) {
        for (customer, what, at, products) in told_of(conn, &ids, since, needs, now)? {
            keep(customer, what, at, products);
        }
    }
    if needs.categories {
        categorise(conn, store, &mut deeds)?;
    }
    let mut received = if needs.received { received_by(conn, &ids)? } else { HashMap::new() };
    let mut clicks = match needs.clicks_until {
        Some(until) => clicks_of(conn, &ids, until)?,
        None => HashMap::new(),
    };
    for situation in situations {
        situation.moments.clicks = clicks.remove(&situation.customer).unwrap_or_default();
        situation.subject.deeds = deeds.remove(&situation.customer).unwrap_or_default();
        situation.subject.received = received.remove(&situation.customer).unwrap_or_default();
    }
    Ok(())
}

fn earliest(needs: &Needs, of: &[Did], now: Timestamp) -> Option<Timestamp> {
    of.iter().filter_map(|what| needs.since(*what, now)).min()
}

type Visited = (CustomerId, Timestamp, Option<String>, Option<String>);

/// Oldest first within each customer: since `since`, and where channels are asked for the very first and last too.
fn visits_of(
    conn: &mut Conn,
    ids: &[CustomerId],
    since: Timestamp,
    with_channels: bool,
) -> QueryResult<Vec<Visited>> {
    let columns = (visits::customer_id, visits::started_at, visits::channel, visits::campaign);
    let late = visits::table
        .filter(visits::customer_id.eq_any(ids))
        .filter(visits::started_at.ge(since))
        .select(columns);
    let mut found: Vec<Visited> = late.load(conn)?;
    if with_channels {
        let (first, last) = diesel::alias!(visits as first, visits as last);
        let beginning = first
            .filter(first.field(visits::customer_id).eq(visits::customer_id))
            .select(diesel::dsl::min(first.field(visits::started_at)))
            .single_value();
        let end = last
            .filter(last.field(visits::customer_id).eq(visits::customer_id))
            .select(diesel::dsl::max(last.field(visits::started_at)))
            .single_value();
        let edges = visits::table
            .filter(visits::customer_id.eq_any(ids))
            .filter(
                visits::started_at
                    .nullable()
                    .eq(beginning)
                    .or(visits::started_at.nullable().eq(end)),
            )
            .select(columns);
        found.extend(edges.load::<Visited>(conn)?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

type Placed = (CustomerId, Timestamp, bool, Vec<String>);

fn orders_of(
    conn: &mut Conn,
    ids: &[CustomerId],
    since: Timestamp,
    with_products: bool,
) -> QueryResult<Vec<Placed>> {
    let placed: Vec<(CustomerId, String, Timestamp, bool)> = orders::table
        .filter(orders::customer_id.eq_any(ids))
        .filter(orders::placed_at.ge(since))
        .filter(orders::status.ne_all([OrderStatus::Draft, OrderStatus::Test].map(|s| s.as_str())))
        .select((orders::customer_id, orders::order_id, orders::placed_at, orders::counts))
        .load(conn)?;
    let mut products: HashMap<(CustomerId, String), Vec<String>> = HashMap::new();
    if with_products {
        let lines: Vec<(CustomerId, String, Option<String>)> = order_lines::table
            .filter(order_lines::customer_id.eq_any(ids))
            .select((order_lines::customer_id, order_lines::order_id, order_lines::product_id))
            .load(conn)?;
        for (customer, order, product) in lines {
            products.entry((customer, order)).or_default().extend(product);
        }
    }
    let placed = placed.into_iter().map(|(customer, order, at, counts)| {
        let products = products.remove(&(customer, order)).unwrap_or_default();
        (customer, at, counts, products)
    });
    Ok(placed.collect())
}

type Told = (CustomerId, Did, Timestamp, Vec<String>);

/// What is kept in the journal alone: products viewed, carts, checkouts. Bots did none of it.
fn told_of(
    conn: &mut Conn,
    ids: &[CustomerId],
    since: Timestamp,
    needs: &Needs,
    now: Timestamp,
) -> QueryResult<Vec<Told>> {
    let kinds = [
        (Did::Viewed, "product_viewed"),
        (Did::Carted, "cart_changed"),
        (Did::CheckedOut, "checkout_started"),
    ];
    let asked: Vec<&str> =
        kinds.iter().filter(|(did, _)| needs.since(*did, now).is_some()).map(|(_, k)| *k).collect();
    let rows: Vec<(CustomerId, Timestamp, String)> = facts::table
        .filter(facts::customer_id.eq_any(ids))
        .filter(facts::kind.eq_any(asked))
        .filter(facts::occurred_at.ge(since))
        .select((facts::customer_id, facts::occurred_at, facts::payload))
        .load(conn)?;
    let told = rows.into_iter().filter_map(|(customer, at, payload)| {
        // What an older version wrote in a way that is not read any more is nothing that was done.
        let payload: Payload = serde_json::from_str(&payload).ok()?;
        let what = match &payload.body {
            Body::ProductViewed { .. } => Did::Viewed,
            Body::CartChanged { change, .. } if *change != CartChange::Removed => Did::Carted,
            Body::CheckoutStarted { .. } => Did::CheckedOut,
            _ => return None,
        };
        let products = payload.body.products().0.iter().map(|product| product.id.clone()).collect();
        (!payload.context.bot).then_some((customer, what, at, products))
    });
    Ok(told.collect())
}

/// Files the products of deeds as the catalogue does now.
fn categorise(
    conn: &mut Conn,
    store: &Store,
    deeds: &mut HashMap<CustomerId, Vec<Deed>>,
) -> QueryResult<()> {
    let ids: HashSet<&String> = deeds.values().flatten().flat_map(|deed| &deed.products).collect();
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    let filed: HashMap<String, String> = products::find(conn, store.id, &ids)?
        .into_iter()
        .filter_map(|product| Some((product.product_id, product.category?)))
        .collect();
    for deed in deeds.values_mut().flatten() {
        deed.categories = deed.products.iter().filter_map(|id| filed.get(id)).cloned().collect();
    }
    Ok(())
}

/// The rules whose mail left to each, or may have left, and when.
fn received_by(
    conn: &mut Conn,
    ids: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, Vec<(String, Timestamp)>>> {
    let left: Vec<(CustomerId, String, Option<Timestamp>, Option<Timestamp>)> = messages::table
        .inner_join(rules::table.on(rules::id.eq(messages::rule_id)))
        .filter(messages::customer_id.eq_any(ids))
        .filter(messages::status.eq_any(["sent", "in_doubt"]))
        .select((messages::customer_id, rules::key, messages::sent_at, messages::claimed_at))
        .load(conn)?;
    let mut received: HashMap<CustomerId, Vec<(String, Timestamp)>> = HashMap::new();
    for (customer, rule, sent_at, claimed_at) in left {
        if let Some(at) = sent_at.or(claimed_at) {
            received.entry(customer).or_default().push((rule, at));
        }
    }
    Ok(received)
}

/// What people clicked, machines left out, each with the message that it was in.
fn clicks_of(
    conn: &mut Conn,
    ids: &[CustomerId],
    until: Timestamp,
) -> QueryResult<HashMap<CustomerId, Vec<Click>>> {
    let of_message = mail_events::customer_id
        .eq(messages::customer_id)
        .and(mail_events::message_id.eq(messages::id));
    let rows: Vec<(CustomerId, EnrolmentId, i32, Timestamp)> = mail_events::table
        .inner_join(messages::table.on(of_message))
        .filter(mail_events::customer_id.eq_any(ids))
        .filter(mail_events::kind.eq("click").and(mail_events::verdict.eq("human")))
        .filter(mail_events::at.le(until))
        .select((messages::customer_id, messages::enrolment_id, messages::step, mail_events::at))
        .load(conn)?;
    let mut clicks: HashMap<CustomerId, Vec<Click>> = HashMap::new();
    for (customer, enrolment, step, at) in rows {
        clicks.entry(customer).or_default().push(Click { enrolment, step, at });
    }
    Ok(clicks)
}
