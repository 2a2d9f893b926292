//! What a person may ask: everything kept about them, or to be forgotten.

use diesel::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use crate::customers::{self, Profile};
use crate::db::schema::{
    assignments, at_risk_stays, customers as customers_table, decisions, enrolments, facts,
    historic_scores, identities, identity_links, mail_events, messages, order_keys, repurchases,
    scores, segment_history,
};
use crate::db::{Conn, Db, DbError, lock_store};
use crate::identity::{self, Identity};
use crate::journal::{self, Identifiers, Payload, rebuild};
use crate::orders;
use crate::primitives::{CustomerId, FactId, Timestamp};
use crate::scoring::rhythm;
use crate::secret::Secret;
use crate::stores::Store;

/// Everything kept about one person, for them to have (GDPR art. 15 and 20; PIPL art. 45).
#[derive(Debug, Serialize)]
pub struct Export {
    pub customer: Value,
    pub identities: Vec<Identity>,
    pub facts: Vec<Value>,
    pub orders: Vec<Value>,
    pub messages: Vec<Value>,
    /// Clicks on their links, and loads of their pictures.
    pub mail_events: Vec<Value>,
    pub decisions: Vec<Value>,
    pub scores: Vec<Value>,
    /// What they are expected to buy again.
    pub repurchases: Vec<Value>,
}

/// Collects all that is kept about `customer`.
pub fn export(conn: &mut Conn, customer: CustomerId) -> QueryResult<Export> {
    let stored = customers::store::load(conn, &[customer])?;
    let Some(stored) = stored.into_iter().next() else { return Err(diesel::NotFound) };
    let histories = journal::store::of_customers(conn, &[customer])?;
    let facts = histories
        .iter()
        .map(|fact| {
            json!({
                "id": fact.id, "source": fact.source, "source_key": fact.source_key,
                "occurred_at": fact.occurred_at, "received_at": fact.received_at, "told": fact.payload,
            })
        })
        .collect();
    let log = orders::store::load(conn, &[customer])?.remove(&customer).unwrap_or_default();
    let orders = log
        .orders
        .iter()
        .map(|(id, order)| {
            json!({
                "order_id": id, "status": order.status, "placed_at": order.placed_at(), "currency": order.currency,
                "total_minor": order.total, "refunded_minor": order.refunded(),
            })
        })
        .collect();
    type Sent = (i64, String, Timestamp, Option<Timestamp>, Option<String>, Option<String>);
    let sent: Vec<Sent> = messages::table
        .filter(messages::customer_id.eq(customer))
        .order(messages::id)
        .select((
            messages::id,
            messages::status,
            messages::scheduled_at,
            messages::sent_at,
            messages::address,
            messages::subject,
        ))
        .load(conn)?;
    let messages = sent
        .into_iter()
        .map(|(id, status, scheduled_at, sent_at, address, subject)| {
            json!({
                "id": id.to_string(), "status": status, "scheduled_at": scheduled_at, "sent_at": sent_at,
                "address": address, "subject": subject,
            })
        })
        .collect();
    type Came = (i64, String, Timestamp, Option<String>, String, String);
    let came: Vec<Came> = mail_events::table
        .filter(mail_events::customer_id.eq(customer))
        .order((mail_events::message_id, mail_events::id))
        .select((
            mail_events::message_id,
            mail_events::kind,
            mail_events::at,
            mail_events::target,
            mail_events::agent,
            mail_events::verdict,
        ))
        .load(conn)?;
    let mail_events = came
        .into_iter()
        .map(|(message, kind, at, target, agent, verdict)| {
            json!({
                "message_id": message.to_string(), "kind": kind, "at": at, "target": target,
                "agent": agent, "verdict": verdict,
            })
        })
        .collect();
    let decided: Vec<(Timestamp, String, Option<String>, String)> = decisions::table
        .filter(decisions::customer_id.eq(customer))
        .order(decisions::id)
        .select((decisions::at, decisions::outcome, decisions::reason, decisions::facts))
        .load(conn)?;
    let decisions = decided
        .into_iter()
        .map(|(at, outcome, reason, facts)| {
            let facts: Value = serde_json::from_str(&facts).unwrap_or(Value::Null);
            json!({ "at": at, "outcome": outcome, "reason": reason, "facts": facts })
        })
        .collect();
    let scored: Vec<(i16, i16, i16, String)> = scores::table
        .filter(scores::customer_id.eq(customer))
        .select((scores::r, scores::f, scores::m, scores::segment))
        .load(conn)?;
    let scores = scored
        .into_iter()
        .map(|(r, f, m, segment)| json!({ "r": r, "f": f, "m": m, "segment": segment }))
        .collect();
    let repurchases = rhythm::store::expected(conn, &[customer])?
        .into_iter()
        .map(|row| {
            json!({
                "product_id": row.product_id, "last_bought_at": row.bought_at, "expected_at": row.expected_at,
                "probability": row.probability,
            })
        })
        .collect();
    Ok(Export {
        customer: person(customer, &stored.profile),
        identities: identity::store::of_customer(conn, customer)?,
        facts,
        orders,
        messages,
        mail_events,
        decisions,
        scores,
        repurchases,
    })
}

fn person(id: CustomerId, profile: &Profile) -> Value {
    json!({
        "id": id, "external_id": profile.external_id, "email": profile.email, "phone": profile.phone,
        "name": profile.name, "locale": profile.locale, "timezone": profile.timezone, "country": profile.country,
        "city": profile.city, "tags": profile.tags, "traits": profile.traits, "created_at": profile.created_at,
        "consent": { "state": profile.consent.state(), "since": profile.consent.since(), "channel": profile.consent.channel() },
    })
}

/// Forgets a person: what is left is a tombstone with their orders, without a name, and keyed hashes of their
/// identities, so that a late fact does not bring them back (design: invariant 15). False when it was done before.
pub fn erase(
    db: &Db,
    secret: &Secret,
    store: &Store,
    customer: CustomerId,
    now: Timestamp,
) -> Result<bool, DbError> {
    db.write_here(|conn| {
        lock_store(conn, store.id)?;
        if customers::store::is_erased(conn, customer)? {
            return Ok(false);
        }
        let names = identity::store::of_customer(conn, customer)?;
        forget_identities(conn, secret, store, customer, &names)?;
        forget_facts(conn, customer)?;
        forget_plans(conn, customer)?;
        customers::store::clear(conn, customer)?;
        rebuild::fold_anew(conn, store, &[customer], now)?;
        diesel::update(customers_table::table.filter(customers_table::id.eq(customer)))
            .set((customers_table::erased_at.eq(now), customers_table::identified.eq(false)))
            .execute(conn)?;
        Ok(true)
    })
}

fn forget_identities(
    conn: &mut Conn,
    secret: &Secret,
    store: &Store,
    customer: CustomerId,
    names: &[Identity],
) -> QueryResult<()> {
    let hashes: Vec<Identity> =
        names.iter().map(|name| journal::erased_identity(secret, store.id, name)).collect();
    diesel::delete(identities::table.filter(identities::customer_id.eq(customer))).execute(conn)?;
    let links = identity_links::table.filter(identity_links::store_id.eq(store.id));
    for part in names.chunks(1_000) {
        diesel::delete(links.filter(identity_links::identity.eq_any(part))).execute(conn)?;
        diesel::delete(links.filter(identity_links::target.eq_any(part))).execute(conn)?;
    }
    let tombstones: Vec<identity::store::Owned> = hashes
        .into_iter()
        .map(|identity| identity::store::Owned {
            store_id: store.id,
            identity,
            customer_id: customer,
            home_id: Some(customer),
        })
        .collect();
    identity::store::save(conn, &tombstones)?;
    // Their orders are from now on held through the tombstone.
    if let Some(tombstone) = tombstones.first() {
        let ids = journal::store::order_ids_of(conn, customer)?;
        for part in ids.chunks(1_000) {
            let theirs = order_keys::store_id.eq(store.id).and(order_keys::order_id.eq_any(part));
            diesel::update(order_keys::table.filter(theirs))
                .set(order_keys::subject.eq(&tombstone.identity))
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Facts about orders stay, without who and where; all others go.
fn forget_facts(conn: &mut Conn, customer: CustomerId) -> QueryResult<()> {
    let theirs = facts::table.filter(facts::customer_id.eq(customer));
    diesel::delete(theirs.filter(facts::kind.ne_all(["order_stated", "order_refunded"])))
        .execute(conn)?;
    let kept: Vec<(FactId, String)> = theirs.select((facts::id, facts::payload)).load(conn)?;
    for (id, raw) in kept {
        let Ok(payload) = serde_json::from_str::<Payload>(&raw) else { continue };
        let bare = Payload {
            identifiers: Identifiers::default(),
            context: journal::Context::default(),
            body: payload.body,
        };
        let raw = serde_json::to_string(&bare)
            .map_err(|e| diesel::result::Error::SerializationError(Box::new(e)))?;
        diesel::update(theirs.filter(facts::id.eq(id)))
            .set(facts::payload.eq(raw))
            .execute(conn)?;
    }
    Ok(())
}

/// Nothing more is sent, and what was sent is no longer said to whom.
fn forget_plans(conn: &mut Conn, customer: CustomerId) -> QueryResult<()> {
    let theirs = messages::table.filter(messages::customer_id.eq(customer));
    diesel::update(theirs.filter(messages::status.eq("scheduled")))
        .set((messages::status.eq("cancelled"), messages::cancelled_for.eq("suppressed")))
        .execute(conn)?;
    diesel::update(theirs)
        .set((
            messages::address.eq(None::<String>),
            messages::subject.eq(None::<String>),
            messages::last_reply.eq(None::<String>),
        ))
        .execute(conn)?;
    let open = enrolments::table.filter(enrolments::customer_id.eq(customer));
    diesel::update(open.filter(enrolments::status.eq_any(["active", "waiting"])))
        .set((
            enrolments::status.eq("stopped"),
            enrolments::reason.eq("suppressed"),
            enrolments::retry_at.eq(None::<i64>),
        ))
        .execute(conn)?;
    diesel::update(decisions::table.filter(decisions::customer_id.eq(customer)))
        .set(decisions::facts.eq("{}"))
        .execute(conn)?;
    diesel::delete(assignments::table.filter(assignments::customer_id.eq(customer)))
        .execute(conn)?;
    diesel::delete(mail_events::table.filter(mail_events::customer_id.eq(customer)))
        .execute(conn)?;
    crate::customers::merge::leave_at_risk_list(conn, customer)?;
    diesel::delete(scores::table.filter(scores::customer_id.eq(customer))).execute(conn)?;
    diesel::delete(repurchases::table.filter(repurchases::customer_id.eq(customer)))
        .execute(conn)?;
    diesel::delete(at_risk_stays::table.filter(at_risk_stays::customer_id.eq(customer)))
        .execute(conn)?;
    diesel::delete(historic_scores::table.filter(historic_scores::customer_id.eq(customer)))
        .execute(conn)?;
    diesel::delete(segment_history::table.filter(segment_history::customer_id.eq(customer)))
        .execute(conn)?;
    Ok(())
}
