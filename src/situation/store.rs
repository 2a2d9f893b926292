//! Loads situations: a fixed number of queries, however many customers.

pub mod folded;

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::{
    Arm, BasketMoment, ConsentState, Moments, OrderMoment, RepurchaseMoment, Situation, Standing,
    VisitMoment,
};
use super::{behaviour, entered_at, weak};
use crate::customers::State;
use crate::db::schema::{
    assignments, at_risk_stays, customers, orders, rollups, scores, segment_history, suppressions,
};
use crate::db::{Conn, few_lengths, kept};
use crate::ledger::{self, Enrolment};
use crate::primitives::{CustomerId, EmailAddress, RuleId, StoreId, Timestamp, Zone};
use crate::rules::condition::{Needs, Subject};
use crate::scoring::{is_of_visitors, rhythm};
use crate::stores::Store;

/// A batch that stays far below SQLite's 32,766 parameters and keeps a transaction short.
pub const BATCH: usize = 300;

#[derive(HasQuery)]
#[diesel(table_name = customers)]
struct CustomerRow {
    id: CustomerId,
    identified: bool,
    external_id: Option<String>,
    email: Option<EmailAddress>,
    email_key: Option<String>,
    phone: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    country: Option<String>,
    city: Option<String>,
    tags: String,
    traits: String,
    consent: ConsentState,
}

#[derive(HasQuery)]
#[diesel(table_name = rollups)]
struct RollupRow {
    customer_id: CustomerId,
    first_seen_at: Option<Timestamp>,
    last_seen_at: Option<Timestamp>,
    visits_count: i32,
    page_views: i32,
    product_views: i32,
    carts_count: i32,
    checkouts_count: i32,
    visit_started_at: Option<Timestamp>,
    visit_product_views: i32,
    cart_started_at: Option<Timestamp>,
    cart_updated_at: Option<Timestamp>,
    cart_value: Option<i64>,
    checkout_started_at: Option<Timestamp>,
    orders_count: i32,
    order_days: i32,
    spent: i64,
    foreign_orders: i32,
    first_order_at: Option<Timestamp>,
    last_order_at: Option<Timestamp>,
    last_order_value: i64,
    last_placed_at: Option<Timestamp>,
    state: String,
}

#[derive(HasQuery)]
#[diesel(table_name = scores)]
struct ScoreRow {
    customer_id: CustomerId,
    r: i16,
    f: i16,
    m: i16,
    segment: String,
    segment_since: Timestamp,
    usual_gap_days: Option<f64>,
    p_alive: Option<f64>,
    p_order_30d: Option<f64>,
    p_order_90d: Option<f64>,
    expected_orders_30d: Option<f64>,
    expected_orders_90d: Option<f64>,
    expected_orders_365d: Option<f64>,
    order_value: Option<i64>,
    value_at_risk: Option<i64>,
    at_risk_since: Option<Timestamp>,
    last_order_at: Option<Timestamp>,
    next_order_expected_at: Option<Timestamp>,
}

/// Makes others wait who want to change or judge this customer, until the transaction ends.
///
/// One customer only: whoever waits for a second row while holding a first can wait in a circle with the journal.
/// SQLite's write transaction already shuts out every other writer.
pub fn lock(conn: &mut Conn, id: CustomerId) -> QueryResult<()> {
    if let Conn::Postgres(pg) = conn {
        rollups::table
            .filter(rollups::customer_id.eq(id))
            .select(rollups::customer_id)
            .for_update()
            .load::<CustomerId>(pg)?;
    }
    Ok(())
}

/// As [`lock`] for many: takes those that nobody else holds, and returns them. Waits for none.
pub fn lock_free(conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<Vec<CustomerId>> {
    match conn {
        Conn::Postgres(pg) => rollups::table
            .filter(rollups::customer_id.eq_any(ids))
            .order(rollups::customer_id)
            .select(rollups::customer_id)
            .for_update()
            .skip_locked()
            .load(pg),
        Conn::Sqlite(_) => Ok(ids.to_vec()),
    }
}

/// The situations of `ids`, in their order; whoever was merged into another, or erased, is left out.
pub fn load(conn: &mut Conn, store: &Store, ids: &[CustomerId]) -> QueryResult<Vec<Situation>> {
    load_for(conn, store, ids, &Needs::default(), Timestamp::MAX)
}

/// As [`load`], with what some conditions need to know beyond totals: what was done up to `now`.
pub fn load_for(
    conn: &mut Conn,
    store: &Store,
    ids: &[CustomerId],
    needs: &Needs,
    now: Timestamp,
) -> QueryResult<Vec<Situation>> {
    let mut found = Vec::with_capacity(ids.len());
    for part in ids.chunks(BATCH) {
        let mut situations = load_part(conn, store, part)?;
        behaviour::add(conn, store, &mut situations, needs, now)?;
        weak::add(conn, store.id, &mut situations)?;
        found.extend(situations);
    }
    Ok(found)
}

fn load_part(conn: &mut Conn, store: &Store, ids: &[CustomerId]) -> QueryResult<Vec<Situation>> {
    let asked = &few_lengths(ids);
    let people = CustomerRow::query()
        .filter(customers::id.eq_any(asked))
        .filter(customers::store_id.eq(store.id))
        .filter(customers::merged_into.is_null())
        .filter(customers::erased_at.is_null());
    let people: Vec<CustomerRow> = kept(people).get_results(conn)?;
    let mut people = by(people, |row| row.id);
    let rows = RollupRow::query().filter(rollups::customer_id.eq_any(asked));
    let rows = kept(rows).get_results(conn)?;
    let mut rollups = by(rows, |row: &RollupRow| row.customer_id);
    let rows = ScoreRow::query().filter(scores::customer_id.eq_any(asked));
    let rows = kept(rows).get_results(conn)?;
    let mut scores = by(rows, |row: &ScoreRow| row.customer_id);
    let first_scored = first_scored(conn, asked)?;
    let keys: Vec<&String> = people.values().filter_map(|row| row.email_key.as_ref()).collect();
    let suppressed = suppressed(conn, store.id, &keys)?;
    let with_orders: Vec<CustomerId> =
        rollups.values().filter(|r| r.first_order_at.is_some()).map(|r| r.customer_id).collect();
    let orders = first_and_last_orders(conn, &with_orders)?;
    let mut enrolments: HashMap<CustomerId, Vec<Enrolment>> = HashMap::new();
    for enrolment in ledger::store::enrolments_of(conn, ids)? {
        enrolments.entry(enrolment.customer_id).or_default().push(enrolment);
    }
    let mut arms: HashMap<CustomerId, Vec<(String, Arm)>> = HashMap::new();
    let drawn = assignments::table.filter(assignments::customer_id.eq_any(asked)).select((
        assignments::customer_id,
        assignments::experiment,
        assignments::arm,
    ));
    let drawn: Vec<(CustomerId, String, Arm)> = kept(drawn).load(conn)?;
    for (customer, experiment, arm) in drawn {
        arms.entry(customer).or_default().push((experiment, arm));
    }

    let mut stays: HashMap<CustomerId, Vec<(RuleId, Timestamp)>> = HashMap::new();
    let open = at_risk_stays::table
        .filter(at_risk_stays::customer_id.eq_any(asked).and(at_risk_stays::left_at.is_null()))
        .select((at_risk_stays::customer_id, at_risk_stays::rule_id, at_risk_stays::since));
    let open: Vec<(CustomerId, RuleId, Timestamp)> = kept(open).load(conn)?;
    for (customer, rule, since) in open {
        stays.entry(customer).or_default().push((rule, since));
    }

    let mut again: HashMap<CustomerId, Vec<rhythm::store::Expected>> = HashMap::new();
    for row in rhythm::store::expected(conn, &with_orders)? {
        again.entry(row.customer_id).or_default().push(row);
    }

    let situations = ids.iter().filter_map(|id| {
        let person = people.remove(id)?;
        let rollup = rollups.remove(id);
        let score = scores.remove(id);
        let mut told = rollup
            .as_ref()
            .map_or_else(Moments::default, |rollup| moments(rollup, score.as_ref(), &orders));
        if let (Some((segment, since)), Some(rollup)) = (&mut told.segment, &rollup) {
            let known = first_scored.get(id).copied().unwrap_or_default();
            let known = if is_of_visitors(segment) { known.0 } else { known.1 };
            let first = rollup.first_order_at.or(rollup.first_seen_at);
            *since = entered_at(*since, known, first);
        }
        let is_suppressed = person.email_key.as_ref().is_some_and(|key| suppressed.contains(key));
        Some(Situation {
            customer: *id,
            identity: identity(&person),
            standing: standing(&person, is_suppressed, store),
            moments: Moments {
                zone: zone(&person, store),
                store_zone: store.timezone.clone(),
                at_risk: stays.remove(id).unwrap_or_default(),
                repurchases: again
                    .remove(id)
                    .into_iter()
                    .flatten()
                    .filter(|row| {
                        rollup.as_ref().and_then(|r| r.last_order_at) == Some(row.ordered_at)
                    })
                    .map(|row| RepurchaseMoment {
                        product_id: row.product_id,
                        name: row.name,
                        expected_at: row.expected_at,
                    })
                    .collect(),
                ..told
            },
            subject: subject(&person, rollup.as_ref(), score.as_ref(), store),
            enrolments: enrolments.remove(id).unwrap_or_default(),
            arms: arms.remove(id).unwrap_or_default(),
        })
    });
    Ok(situations.collect())
}

/// When each was scored first, and first as a buyer.
type FirstScored = (Option<Timestamp>, Option<Timestamp>);

fn first_scored(
    conn: &mut Conn,
    ids: &[CustomerId],
) -> QueryResult<HashMap<CustomerId, FirstScored>> {
    let stays = segment_history::table.filter(segment_history::customer_id.eq_any(ids)).select((
        segment_history::customer_id,
        segment_history::since,
        segment_history::segment,
    ));
    let stays: Vec<(CustomerId, Timestamp, String)> = kept(stays).load(conn)?;
    let mut first: HashMap<CustomerId, FirstScored> = HashMap::new();
    for (customer, since, segment) in stays {
        let (ever, as_buyer) = first.entry(customer).or_default();
        *ever = Some(ever.map_or(since, |at| at.min(since)));
        if !is_of_visitors(&segment) {
            *as_buyer = Some(as_buyer.map_or(since, |at| at.min(since)));
        }
    }
    Ok(first)
}

fn by<T>(rows: Vec<T>, id: impl Fn(&T) -> CustomerId) -> HashMap<CustomerId, T> {
    rows.into_iter().map(|row| (id(&row), row)).collect()
}

/// Which of `email_keys` are on the store's suppression list.
pub fn suppressed(
    conn: &mut Conn,
    store: StoreId,
    email_keys: &[&String],
) -> QueryResult<HashSet<String>> {
    if email_keys.is_empty() {
        return Ok(HashSet::new());
    }
    let found = suppressions::table
        .filter(suppressions::store_id.eq(store))
        .filter(suppressions::email_key.eq_any(few_lengths(email_keys)))
        .select(suppressions::email_key);
    let found: Vec<String> = kept(found).load(conn)?;
    Ok(found.into_iter().collect())
}

/// First and last orders, by customer and time: their ids, and until when their sources placed them. Of two at one
/// instant the smaller id stands for both.
fn first_and_last_orders(
    conn: &mut Conn,
    ids: &[CustomerId],
) -> QueryResult<HashMap<(CustomerId, Timestamp), (String, Timestamp)>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let first_or_last = orders::placed_at
        .nullable()
        .eq(rollups::first_order_at)
        .or(orders::placed_at.nullable().eq(rollups::last_order_at));
    let found = orders::table
        .inner_join(rollups::table.on(rollups::customer_id.eq(orders::customer_id)))
        .filter(orders::customer_id.eq_any(few_lengths(ids)))
        .filter(orders::counts.eq(true))
        .filter(first_or_last)
        .order((orders::customer_id, orders::order_id.desc()))
        .select((orders::customer_id, orders::placed_at, orders::order_id, orders::told_by));
    let found: Vec<(CustomerId, Timestamp, String, String)> = kept(found).load(conn)?;
    let with_words = found.into_iter().map(|(customer, at, id, told_by)| {
        let words: HashMap<String, Timestamp> = serde_json::from_str(&told_by).unwrap_or_default();
        ((customer, at), (id, words.into_values().max().unwrap_or(at).max(at)))
    });
    Ok(with_words.collect())
}

fn identity(person: &CustomerRow) -> String {
    match (&person.external_id, &person.email_key) {
        (Some(id), _) => format!("ext:{id}"),
        (None, Some(key)) => format!("email:{key}"),
        // Nobody without an address gets as far as an experiment.
        (None, None) => format!("id:{}", person.id),
    }
}

fn standing(person: &CustomerRow, suppressed: bool, store: &Store) -> Standing {
    Standing {
        address: person.email.clone(),
        consent: person.consent,
        suppressed,
        zone: zone(person, store),
    }
}

fn zone(person: &CustomerRow, store: &Store) -> Zone {
    let own = person.timezone.as_deref().and_then(|name| name.parse().ok());
    own.unwrap_or_else(|| store.timezone.clone())
}

fn moments(
    rollup: &RollupRow,
    score: Option<&ScoreRow>,
    orders: &HashMap<(CustomerId, Timestamp), (String, Timestamp)>,
) -> Moments {
    // A document changed by hand costs its floors, not the pass.
    let state: State = serde_json::from_str(&rollup.state).unwrap_or_default();
    moments_of(rollup, &state, score, orders)
}

fn moments_of(
    rollup: &RollupRow,
    state: &State,
    score: Option<&ScoreRow>,
    orders: &HashMap<(CustomerId, Timestamp), (String, Timestamp)>,
) -> Moments {
    let order = |at: Option<Timestamp>, floor| {
        let at = at?;
        let known = orders.get(&(rollup.customer_id, at));
        Some(OrderMoment {
            order_id: known.map(|(id, _)| id.clone()),
            at,
            told_until: known.map_or(at, |(_, until)| *until),
            floor,
        })
    };
    let checkout = state
        .baskets
        .iter()
        .filter(|b| b.checkout_started_at.is_some())
        .max_by_key(|b| b.checkout_started_at);
    let in_checkout = checkout.map(|b| b.started_at).or(rollup.cart_started_at);
    Moments {
        visit: rollup.visit_started_at.zip(rollup.last_seen_at).map(
            |(started_at, last_seen_at)| VisitMoment {
                started_at,
                last_seen_at,
                product_views: rollup.visit_product_views,
                floor: state.floors.last_seen,
            },
        ),
        visits_count: rollup.visits_count,
        cart: rollup
            .cart_started_at
            .zip(rollup.cart_updated_at)
            .map(|(started_at, at)| BasketMoment { started_at, at, floor: state.floors.cart }),
        checkout: in_checkout
            .zip(rollup.checkout_started_at)
            .map(|(started_at, at)| BasketMoment { started_at, at, floor: state.floors.checkout }),
        open_baskets: state
            .baskets
            .iter()
            .map(|b| {
                (
                    b.started_at,
                    b.checkout_started_at.map_or(b.updated_at, |at| at.max(b.updated_at)),
                )
            })
            .collect(),
        first_order: order(rollup.first_order_at, state.floors.first_order),
        last_order: order(rollup.last_order_at, state.floors.last_order),
        last_placed_at: rollup.last_placed_at,
        next_order_expected_at: score
            .filter(|score| score.last_order_at == rollup.last_order_at)
            .and_then(|score| score.next_order_expected_at),
        segment: score.map(|score| (score.segment.clone(), score.segment_since)),
        days: state.days.clone(),
        ..Moments::default()
    }
}

fn subject(
    person: &CustomerRow,
    rollup: Option<&RollupRow>,
    score: Option<&ScoreRow>,
    store: &Store,
) -> Subject {
    let count = |f: fn(&RollupRow) -> i32| Some(rollup.map_or(0, |rollup| i64::from(f(rollup))));
    Subject {
        orders_count: count(|r| r.orders_count),
        foreign_orders: count(|r| r.foreign_orders),
        order_days: count(|r| r.order_days),
        spent: Some(rollup.map_or(0, |r| r.spent)),
        last_order_value: rollup.map(|r| r.last_order_value),
        first_order_at: rollup.and_then(|r| r.first_order_at),
        last_order_at: rollup.and_then(|r| r.last_order_at),
        first_seen_at: rollup.and_then(|r| r.first_seen_at),
        last_seen_at: rollup.and_then(|r| r.last_seen_at),
        visits_count: count(|r| r.visits_count),
        page_views: count(|r| r.page_views),
        product_views: count(|r| r.product_views),
        carts_count: count(|r| r.carts_count),
        checkouts_count: count(|r| r.checkouts_count),
        cart_value: rollup.and_then(|r| r.cart_value),
        segment: score.map(|s| s.segment.clone()),
        segment_since: score.map(|s| s.segment_since),
        at_risk_since: score.and_then(|s| s.at_risk_since),
        r: score.map(|s| i64::from(s.r)),
        f: score.map(|s| i64::from(s.f)),
        m: score.map(|s| i64::from(s.m)),
        p_alive: score.and_then(|s| s.p_alive),
        p_order_30d: score.and_then(|s| s.p_order_30d),
        p_order_90d: score.and_then(|s| s.p_order_90d),
        expected_orders_30d: score.and_then(|s| s.expected_orders_30d),
        expected_orders_90d: score.and_then(|s| s.expected_orders_90d),
        expected_orders_365d: score.and_then(|s| s.expected_orders_365d),
        order_value: score.and_then(|s| s.order_value),
        value_at_risk: score.and_then(|s| s.value_at_risk),
        usual_gap_days: score.and_then(|s| s.usual_gap_days),
        next_order_expected_at: score.and_then(|s| s.next_order_expected_at),
        country: person.country.clone(),
        city: person.city.clone(),
        locale: person.locale.clone(),
        timezone: person.timezone.clone(),
        tags: serde_json::from_str(&person.tags).unwrap_or_default(),
        traits: serde_json::from_str(&person.traits).unwrap_or_default(),
        has_email: person.email.is_some(),
        has_phone: person.phone.is_some(),
        identified: person.identified,
        consent: Some(person.consent.to_string()),
        ..Subject::unknown(&store.currency)
    }
}
