//! `/api/v1/customers`: who they are, how they score, what happened, and why they were or were not written to.
//!
//! `{id}` is an id, `ext:` and the shop's own id, or an e-mail address. An id that was merged into another leads there.

use std::collections::BTreeMap;

use actix_web::web::{self, Data, Json, Path, Query};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::page::{Page, Place, cursor, limit, shown};
use super::{App, Problem, read};
use crate::backtest::then;
use crate::customers::{ConsentState, suppression};
use crate::db::{Conn, DbError, schema};
use crate::http::auth::ApiKey;
use crate::identity::{self, Identity};
use crate::ledger::{self, Decision};
use crate::primitives::{CustomerId, EmailAddress, Money, Timestamp};
use crate::privacy;
use crate::reports;
use crate::reports::customers::{Cursor, Row};
use crate::reports::rhythm;
use crate::reports::timeline::{self, Entry};
use crate::rules;
use crate::scoring::worklist::shown_estimate;
use crate::scoring::{self, Kind, Rfm, Segment, VisitorSegment};
use crate::stores::{self, Store};

#[derive(Deserialize)]
pub struct Ask {
    limit: Option<String>,
    cursor: Option<String>,
    /// An id, an address, a shop's id, a name, or how one begins.
    q: Option<String>,
    segment: Option<String>,
    sort: Option<String>,
}

#[derive(Serialize)]
pub struct Item {
    id: CustomerId,
    external_id: Option<String>,
    email: Option<String>,
    name: Option<String>,
    segment: Option<String>,
    orders_count: i32,
    /// Net of refunds.
    spent: Money,
    last_order_at: Option<Timestamp>,
    last_seen_at: Option<Timestamp>,
    visits_count: i32,
    #[serde(skip)]
    place: i64,
}

impl Item {
    fn of(row: Row, store: &Store) -> Self {
        Self {
            id: row.id,
            external_id: row.external_id,
            email: row.email,
            name: row.name,
            segment: row.segment,
            orders_count: row.orders_count,
            spent: Money::new(row.spent, store.currency.clone()),
            last_order_at: row.last_order_at,
            last_seen_at: row.last_seen_at,
            visits_count: row.visits_count,
            place: row.cursor,
        }
    }
}

const SORTS: [&str; 3] = ["newest", "last_order", "last_seen"];

/// All, newest first or by `sort`; those of a segment, who entered it last first; or what `q` finds, best first.
///
/// Each follows an index, so each stands alone: a segment sorted anew or searched would be a scan of it.
pub async fn list(
    key: ApiKey,
    app: Data<App>,
    ask: Query<Ask>,
) -> Result<Json<Page<Item>>, Problem> {
    let ask = ask.into_inner();
    let limit = limit(ask.limit.as_deref())?;
    let after: Option<Place> = cursor(ask.cursor.as_deref())?;
    let after = after.map(|place| Cursor { at: place.at, id: place.id });
    let sort = match ask.sort.as_deref() {
        None => "newest",
        Some(raw) => SORTS.iter().copied().find(|sort| *sort == raw).ok_or_else(|| {
            let known = SORTS.join(", ");
            Problem::bad_request(format!("sort: `{}` is not one of: {known}", shown(raw)))
        })?,
    };
    if let Some(raw) = &ask.segment
        && raw.parse::<Segment>().is_err()
        && raw.parse::<VisitorSegment>().is_err()
    {
        return Err(super::at_risk::unknown_segment("segment", raw));
    }
    let given = [ask.q.is_some(), ask.segment.is_some(), ask.sort.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(Problem::bad_request("q, segment and sort each stand alone: give one of them"));
    }
    read(&app, &key, move |conn, store| {
        let rows = match (&ask.q, &ask.segment) {
            (Some(query), _) => {
                let found = reports::customers::search(conn, store, query.trim(), limit)?;
                let items = found.into_iter().map(|row| Item::of(row, store)).collect();
                // What is searched for is narrowed down, not paged through.
                return Ok(Json(Page { items, next_cursor: None }));
            }
            (_, Some(segment)) => {
                reports::customers::of_segment(conn, store, segment, after, limit)?
            }
            _ if sort == "newest" => reports::customers::newest(conn, store, after, limit)?,
            _ => reports::customers::by_moment(conn, store, sort, after, limit)?,
        };
        let items = rows.into_iter().map(|row| Item::of(row, store)).collect();
        let place = |item: &Item| Place { at: item.place, id: item.id.0 }.to_string();
        Ok(Json(Page::of(items, limit, place)))
    })
    .await
}

/// All that is known of one customer. The score's fields are those of the at-risk list.
#[derive(Serialize)]
pub struct Customer {
    id: CustomerId,
    external_id: Option<String>,
    email: Option<EmailAddress>,
    name: Option<String>,
    phone: Option<String>,
    identified: bool,
    identities: Vec<String>,
    locale: Option<String>,
    timezone: Option<String>,
    country: Option<String>,
    city: Option<String>,
    tags: Vec<String>,
    traits: Map<String, Value>,
    consent: Consent,
    /// Why the address is never written to, if it is on the list.
    suppressed: Option<suppression::SuppressionReason>,
    created_at: Option<Timestamp>,
    erased_at: Option<Timestamp>,

    first_seen_at: Option<Timestamp>,
    last_seen_at: Option<Timestamp>,
    visits_count: i32,
    page_views: i32,
    product_views: i32,
    carts_count: i32,
    checkouts_count: i32,
    cart_updated_at: Option<Timestamp>,
    checkout_started_at: Option<Timestamp>,
    orders_count: i32,
    order_days: i32,
    /// Net of refunds; orders in other currencies are in no sum.
    spent: Money,
    foreign_orders: i32,
    first_order_at: Option<Timestamp>,
    last_order_at: Option<Timestamp>,

    /// The scoring that the following relate to; null for who is not scored.
    scored_as_of: Option<Timestamp>,
    kind: Option<Kind>,
    segment: Option<String>,
    segment_since: Option<Timestamp>,
    rfm: Option<Rfm>,
    days_since_last_order: Option<f64>,
    usual_gap_days: Option<f64>,
    at_risk: bool,
    at_risk_since: Option<Timestamp>,
    /// Forecasts; null for who never ordered, but for `p_order_30d`: there it is the first order's.
    p_alive: Option<f64>,
    p_order_30d: Option<f64>,
    p_order_90d: Option<f64>,
    expected_orders_30d: Option<f64>,
    expected_orders_90d: Option<f64>,
    expected_orders_365d: Option<f64>,
    expected_value_30d: Option<Money>,
    expected_value_90d: Option<Money>,
    expected_value_365d: Option<Money>,
    value_at_risk: Option<Money>,
    /// Null where that is not known exactly.
    value_at_risk_week_ago: Option<Money>,
    /// The next order has come by the first with 20 %, by the last with 80 %, if nothing is heard meanwhile.
    next_order_from: Option<Timestamp>,
    /// As it stood at the last order; rules count from it.
    next_order_expected_at: Option<Timestamp>,
    next_order_until: Option<Timestamp>,
    /// Products they are expected to buy again, soonest first.
    repurchases: Vec<rhythm::Repurchase>,
    /// Newest first.
    segment_history: Vec<Stay>,
}

#[derive(Serialize)]
struct Consent {
    state: ConsentState,
    since: Option<Timestamp>,
    channel: Option<String>,
}

#[derive(Serialize)]
struct Stay {
    segment: String,
    since: Timestamp,
}

pub async fn show(
    key: ApiKey,
    app: Data<App>,
    id: Path<String>,
) -> Result<Json<Customer>, Problem> {
    let id = id.into_inner();
    read(&app, &key, move |conn, store| {
        let id = find(conn, store, &id)?;
        Ok(Json(load(conn, store, id)?))
    })
    .await
}

/// What happened, newest first.
pub async fn timeline(
    key: ApiKey,
    app: Data<App>,
    id: Path<String>,
    ask: Query<BTreeMap<String, String>>,
) -> Result<Json<Page<Entry>>, Problem> {
    let limit = limit(ask.get("limit").map(String::as_str))?;
    let after: Option<timeline::Place> = cursor(ask.get("cursor").map(String::as_str))?;
    let id = id.into_inner();
    read(&app, &key, move |conn, store| {
        let id = find(conn, store, &id)?;
        let entries = timeline::page(conn, id, after.as_ref(), limit)?;
        Ok(Json(Page::of(entries, limit, |entry| entry.place().to_string())))
    })
    .await
}

/// The ledger, newest first.
pub async fn decisions(
    key: ApiKey,
    app: Data<App>,
    id: Path<String>,
    ask: Query<BTreeMap<String, String>>,
) -> Result<Json<Page<Decision>>, Problem> {
    let limit = limit(ask.get("limit").map(String::as_str))?;
    let after: Option<Place> = cursor(ask.get("cursor").map(String::as_str))?;
    let (rule, at) = (ask.get("rule").cloned(), ask.get("at").cloned());
    let id = id.into_inner();
    read(&app, &key, move |conn, store| {
        let id = find(conn, store, &id)?;
        let at = at.map(|raw| instant("at", &raw, store)).transpose()?;
        if let Some(key) = rule.as_deref().filter(|_| at.is_some())
            && rules::store::find_by_key(conn, store.id, key)?.is_none()
        {
            let detail = format!("there is no rule `{}`", shown(key));
            return Err(Problem::unknown("/problems/unknown-rule", detail));
        }
        let after = after.map(|place| (Timestamp(place.at), place.id));
        let rule = rule.as_deref();
        let lines = ledger::store::of_customer_after(conn, id, rule, at, after, limit)?;
        // The reasons that no row holds stand before the first row.
        let why = match at.filter(|_| after.is_none()) {
            Some(at) => then::unrecorded(conn, store, id, rule, &lines, at)?,
            None => Vec::new(),
        };
        let place =
            |line: &Decision| Place { at: line.at.0, id: line.id.map_or(0, |id| id.0) }.to_string();
        let mut page = Page::of(lines, limit, place);
        page.items.splice(0..0, why);
        Ok(Json(page))
    })
    .await
}

/// What is left of someone who was forgotten.
#[derive(Serialize)]
pub struct Erased {
    id: CustomerId,
    erased_at: Option<Timestamp>,
}

/// Forgets a person for good: orders stay, without a name. Asked again, it answers the same.
pub async fn erase(key: ApiKey, app: Data<App>, id: Path<String>) -> Result<Json<Erased>, Problem> {
    let (store_id, now, secret) = (key.store, app.clock.now(), app.secret.clone());
    let (db, id) = (app.db.clone(), id.into_inner());
    let work = web::block(move || -> Result<Erased, Problem> {
        let (store, id) = db.read_here(|conn| -> Result<_, Problem> {
            let store = stores::store::find(conn, store_id)?;
            let id = find(conn, &store, &id)?;
            Ok((store, id))
        })?;
        privacy::erase(&db, &secret, &store, id, now)?;
        let erased_at = db.read_here(|conn| erased_at(conn, id).map_err(DbError::from))?;
        Ok(Erased { id, erased_at })
    });
    work.await.map_err(|error| Problem::internal(&error))?.map(Json)
}

fn erased_at(conn: &mut Conn, id: CustomerId) -> QueryResult<Option<Timestamp>> {
    schema::customers::table.find(id).select(schema::customers::erased_at).first(conn)
}

/// A time as callers write it: an instant, or a date, which means its end in the store's zone.
fn instant(name: &str, raw: &str, store: &Store) -> Result<Timestamp, Problem> {
    Timestamp::parse_or_end_of_day(raw, &store.timezone).map_err(|_| {
        Problem::bad_request(format!(
            "{name}: `{}` is no time: write an instant such as 2026-06-01T09:00:00Z, or a date",
            shown(raw)
        ))
    })
}

fn find(conn: &mut Conn, store: &Store, argument: &str) -> Result<CustomerId, Problem> {
    identity::store::find_customer(conn, store.id, argument)?.ok_or_else(|| {
        let detail = format!(
            "there is no customer `{}`: give an id, ext: and the shop's own id, or an e-mail address",
            shown(argument)
        );
        Problem::unknown("/problems/unknown-customer", detail)
    })
}

fn load(conn: &mut Conn, store: &Store, id: CustomerId) -> Result<Customer, Problem> {
    let stored = crate::customers::store::load(conn, &[id])?.pop();
    let stored = stored.ok_or(diesel::result::Error::NotFound)?;
    let (profile, rollup) = (stored.profile, stored.rollup);
    let erased_at = erased_at(conn, id)?;
    let identities = identity::store::of_customer(conn, id)?;
    let suppressed = match &profile.email {
        Some(address) => suppression::find(conn, store.id, address)?,
        None => None,
    };
    let score = scoring::store::score_of(conn, store.id, id)?;
    let score = score.as_ref();
    let told = score.map(|score| score.forecast).unwrap_or_default();
    let money = |minor| Money::new(minor, store.currency.clone());
    let history = scoring::store::history_of(conn, id)?;
    let silence = score.and_then(|score| {
        Some((score.as_of.days_since(score.last_order_at?).max(0.0) * 10.0).round() / 10.0)
    });
    Ok(Customer {
        id,
        consent: Consent {
            state: profile.consent.state(),
            since: profile.consent.since(),
            channel: profile.consent.channel().map(str::to_owned),
        },
        external_id: profile.external_id,
        email: profile.email,
        name: profile.name,
        phone: profile.phone,
        identified: profile.identified,
        identities: identities.iter().map(Identity::to_string).collect(),
        locale: profile.locale,
        timezone: profile.timezone,
        country: profile.country,
        city: profile.city,
        tags: profile.tags,
        traits: profile.traits,
        suppressed: suppressed.map(|row| row.reason),
        created_at: profile.created_at,
        erased_at,
        first_seen_at: rollup.first_seen_at,
        last_seen_at: rollup.last_seen_at,
        visits_count: rollup.visits_count,
        page_views: rollup.page_views,
        product_views: rollup.product_views,
        carts_count: rollup.carts_count,
        checkouts_count: rollup.checkouts_count,
        cart_updated_at: rollup.basket().map(|basket| basket.updated_at),
        checkout_started_at: rollup.checkout().and_then(|basket| basket.checkout_started_at),
        orders_count: rollup.orders_count,
        order_days: rollup.order_days,
        spent: Money::new(rollup.spent, store.currency.clone()),
        foreign_orders: rollup.foreign_orders,
        first_order_at: rollup.first_order_at,
        last_order_at: rollup.last_order_at,
        scored_as_of: score.map(|score| score.as_of),
        kind: score.map(|score| score.kind),
        segment: score.map(|score| score.segment.clone()),
        segment_since: score.and_then(|score| score.segment_since),
        rfm: score.map(|score| score.rfm),
        days_since_last_order: silence,
        usual_gap_days: score
            .and_then(|score| score.usual_gap_days)
            .map(|gap| (gap * 10.0).round() / 10.0),
        at_risk: score.is_some_and(|score| score.at_risk),
        at_risk_since: score.and_then(|score| score.at_risk_since),
        p_alive: told.p_alive.map(shown_estimate),
        p_order_30d: told.p_order_30d.map(shown_estimate),
        p_order_90d: told.p_order_90d.map(shown_estimate),
        expected_orders_30d: told.expected_orders_30d.map(shown_estimate),
        expected_orders_90d: told.expected_orders_90d.map(shown_estimate),
        expected_orders_365d: told.expected_orders_365d.map(shown_estimate),
        expected_value_30d: told.expected_value(told.expected_orders_30d).map(money),
        expected_value_90d: told.expected_value(told.expected_orders_90d).map(money),
        expected_value_365d: told.expected_value(told.expected_orders_365d).map(money),
        value_at_risk: told.value_at_risk.map(money),
        value_at_risk_week_ago: told.value_at_risk_week_ago.map(money),
        next_order_from: told.next_order_from,
        next_order_expected_at: told.next_order_expected_at,
        next_order_until: told.next_order_until,
        repurchases: rhythm::repurchases(conn, id, rollup.last_order_at)?,
        segment_history: history
            .into_iter()
            .map(|(since, segment)| Stay { segment, since })
            .collect(),
    })
}
