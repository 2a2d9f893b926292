//! SQL of customers and rollups.

use diesel::prelude::*;
use diesel::upsert::excluded;

use super::{ConsentState, DayTold, Profile, Rollup, State};
use crate::db::Conn;
use crate::db::schema::{customer_days, customers, rollups};
use crate::primitives::{Currency, CustomerId, EmailAddress, StoreId, Timestamp};
use crate::{each_backend, insert_new};

/// Of a customer made in the same transaction as the first fact about them.
const NOT_YET: Timestamp = Timestamp::MAX;

/// 30 columns of a rollup times this stay below SQLite's 32,766 parameters.
const CHUNK: usize = 1_000;

#[derive(HasQuery, Insertable)]
#[diesel(table_name = customers, treat_none_as_default_value = false)]
struct CustomerRow {
    id: CustomerId,
    store_id: StoreId,
    identified: bool,
    external_id: Option<String>,
    email: Option<EmailAddress>,
    email_key: Option<String>,
    phone: Option<String>,
    name: Option<String>,
    locale: Option<String>,
    timezone: Option<String>,
    country: Option<String>,
    city: Option<String>,
    tags: String,
    traits: String,
    consent: ConsentState,
    consent_at: Option<Timestamp>,
    consent_source: Option<String>,
    created_at: Timestamp,
}

#[derive(HasQuery, Insertable)]
#[diesel(table_name = rollups, treat_none_as_default_value = false)]
struct RollupRow {
    customer_id: CustomerId,
    store_id: StoreId,
    changed_at: Timestamp,
    position_at: Timestamp,
    position_key: String,
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
    last_order_day: Option<i32>,
    median_gap_days: Option<f64>,
    log_gap_sum: f64,
    last_order_value: i64,
    last_placed_at: Option<Timestamp>,
    state: String,
}

/// A customer as stored: profile and rollup.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub id: CustomerId,
    pub profile: Profile,
    pub rollup: Rollup,
}

impl CustomerRow {
    fn new(id: CustomerId, store: StoreId, profile: &Profile) -> Self {
        Self {
            id,
            store_id: store,
            identified: profile.identified,
            external_id: profile.external_id.clone(),
            email_key: profile.email.as_ref().map(EmailAddress::identity_key),
            email: profile.email.clone(),
            phone: profile.phone.clone(),
            name: profile.name.clone(),
            locale: profile.locale.clone(),
            timezone: profile.timezone.clone(),
            country: profile.country.clone(),
            city: profile.city.clone(),
            tags: serde_json::to_string(&profile.tags).unwrap_or_else(|_| "[]".to_owned()),
            traits: serde_json::to_string(&profile.traits).unwrap_or_else(|_| "{}".to_owned()),
            consent: profile.consent.state(),
            consent_at: profile.consent.since(),
            consent_source: profile.consent.channel().map(str::to_owned),
            created_at: profile.created_at.unwrap_or(NOT_YET),
        }
    }

    fn into_profile(self, state: &State) -> Profile {
        Profile {
            identified: self.identified,
            external_id: self.external_id,
            email: self.email,
            phone: self.phone,
            name: self.name,
            locale: self.locale,
            timezone: self.timezone,
            country: self.country,
            city: self.city,
            tags: serde_json::from_str(&self.tags).unwrap_or_default(),
            traits: serde_json::from_str(&self.traits).unwrap_or_default(),
            consent: state.consent.clone(),
            created_at: Some(self.created_at).filter(|at| *at != NOT_YET),
        }
    }
}

impl RollupRow {
    fn new(
        id: CustomerId,
        store: StoreId,
        rollup: &Rollup,
        currency: &Currency,
        changed_at: Timestamp,
    ) -> Self {
        let (position_at, position_key) =
            rollup.position.clone().unwrap_or((Timestamp::MIN, String::new()));
        let basket = rollup.basket();
        let visit = rollup.state.visit.as_ref();
        let in_store_currency =
            |b: &&super::Basket| b.currency.as_ref().is_none_or(|c| c == currency);
        Self {
            customer_id: id,
            store_id: store,
            changed_at,
            position_at,
            position_key,
            first_seen_at: rollup.first_seen_at,
            last_seen_at: rollup.last_seen_at,
            visits_count: rollup.visits_count,
            page_views: rollup.page_views,
            product_views: rollup.product_views,
            carts_count: rollup.carts_count,
            checkouts_count: rollup.checkouts_count,
            visit_started_at: visit.map(|v| v.started_at),
            visit_product_views: visit.map_or(0, |v| v.product_views),
            cart_started_at: basket.map(|b| b.started_at),
            cart_updated_at: basket.map(|b| b.updated_at),
            cart_value: basket.filter(in_store_currency).and_then(super::Basket::value),
            checkout_started_at: rollup.checkout().and_then(|b| b.checkout_started_at),
            orders_count: rollup.orders_count,
            order_days: rollup.order_days,
            spent: rollup.spent,
            foreign_orders: rollup.foreign_orders,
            first_order_at: rollup.first_order_at,
            last_order_at: rollup.last_order_at,
            last_order_day: rollup.last_order_day,
            median_gap_days: rollup.median_gap_days,
            log_gap_sum: rollup.log_gap_sum,
            last_order_value: rollup.last_order_value,
            last_placed_at: rollup.last_placed_at,
            state: serde_json::to_string(&rollup.state).unwrap_or_else(|_| "{}".to_owned()),
        }
    }

    fn into_rollup(self, state: State) -> Rollup {
        Rollup {
            position: (!self.position_key.is_empty())
                .then_some((self.position_at, self.position_key)),
            first_seen_at: self.first_seen_at,
            last_seen_at: self.last_seen_at,
            visits_count: self.visits_count,
            page_views: self.page_views,
            product_views: self.product_views,
            carts_count: self.carts_count,
            checkouts_count: self.checkouts_count,
            orders_count: self.orders_count,
            order_days: self.order_days,
            spent: self.spent,
            foreign_orders: self.foreign_orders,
            first_order_at: self.first_order_at,
            last_order_at: self.last_order_at,
            last_order_day: self.last_order_day,
            median_gap_days: self.median_gap_days,
            log_gap_sum: self.log_gap_sum,
            last_order_value: self.last_order_value,
            last_placed_at: self.last_placed_at,
            state,
        }
    }
}

/// Profiles and rollups of `ids`; those without a rollup yet come with an empty one.
pub fn load(conn: &mut Conn, ids: &[CustomerId]) -> QueryResult<Vec<Stored>> {
    let mut found = Vec::with_capacity(ids.len());
    for part in ids.chunks(CHUNK) {
        let mut rollups: std::collections::HashMap<CustomerId, RollupRow> = RollupRow::query()
            .filter(rollups::customer_id.eq_any(part))
            .get_results(conn)?
            .into_iter()
            .map(|row| (row.customer_id, row))
            .collect();
        for row in CustomerRow::query().filter(customers::id.eq_any(part)).get_results(conn)? {
            let id = row.id;
            let rollup = rollups.remove(&id);
            let state: State = rollup
                .as_ref()
                .and_then(|row| serde_json::from_str(&row.state).ok())
                .unwrap_or_default();
            let profile = row.into_profile(&state);
            let rollup = rollup.map_or_else(Rollup::default, |row| row.into_rollup(state));
            found.push(Stored { id, profile, rollup });
        }
    }
    Ok(found)
}

/// Rows for new customers.
pub fn create(conn: &mut Conn, store: StoreId, new: &[(CustomerId, &Profile)]) -> QueryResult<()> {
    for part in new.chunks(CHUNK) {
        let rows: Vec<_> =
            part.iter().map(|(id, profile)| CustomerRow::new(*id, store, profile)).collect();
        insert_new!(conn, customers::table, rows)?;
    }
    Ok(())
}

pub fn save_profiles(
    conn: &mut Conn,
    store: StoreId,
    profiles: &[(CustomerId, &Profile)],
) -> QueryResult<()> {
    for part in profiles.chunks(CHUNK) {
        let rows: Vec<_> =
            part.iter().map(|(id, profile)| CustomerRow::new(*id, store, profile)).collect();
        each_backend!(&mut *conn, c => diesel::insert_into(customers::table)
            .values(&rows)
            .on_conflict(customers::id)
            .do_update()
            .set((
                customers::identified.eq(excluded(customers::identified)),
                customers::external_id.eq(excluded(customers::external_id)),
                customers::email.eq(excluded(customers::email)),
                customers::email_key.eq(excluded(customers::email_key)),
                customers::phone.eq(excluded(customers::phone)),
                customers::name.eq(excluded(customers::name)),
                customers::locale.eq(excluded(customers::locale)),
                customers::timezone.eq(excluded(customers::timezone)),
                customers::country.eq(excluded(customers::country)),
                customers::city.eq(excluded(customers::city)),
                customers::tags.eq(excluded(customers::tags)),
                customers::traits.eq(excluded(customers::traits)),
                customers::consent.eq(excluded(customers::consent)),
                customers::consent_at.eq(excluded(customers::consent_at)),
                customers::consent_source.eq(excluded(customers::consent_source)),
                customers::created_at.eq(excluded(customers::created_at)),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// A rollup to write: of which customer, and whether an earlier form of it may be stored.
pub struct RollupToSave<'a> {
    pub customer: CustomerId,
    pub rollup: &'a Rollup,
    pub is_stored: bool,
}

pub fn save_rollups(
    conn: &mut Conn,
    store: StoreId,
    currency: &Currency,
    changed_at: Timestamp,
    all: &[RollupToSave<'_>],
) -> QueryResult<()> {
    let (stored, new): (Vec<_>, Vec<_>) = all.iter().partition(|rollup| rollup.is_stored);
    let rows = |part: &[&RollupToSave<'_>]| -> Vec<RollupRow> {
        part.iter()
            .map(|told| RollupRow::new(told.customer, store, told.rollup, currency, changed_at))
            .collect()
    };
    for part in new.chunks(CHUNK) {
        insert_new!(conn, rollups::table, rows(part))?;
    }
    for part in stored.chunks(CHUNK) {
        let rows = rows(part);
        each_backend!(&mut *conn, c => diesel::insert_into(rollups::table)
            .values(&rows)
            .on_conflict(rollups::customer_id)
            .do_update()
            .set((
                rollups::changed_at.eq(excluded(rollups::changed_at)),
                rollups::position_at.eq(excluded(rollups::position_at)),
                rollups::position_key.eq(excluded(rollups::position_key)),
                rollups::first_seen_at.eq(excluded(rollups::first_seen_at)),
                rollups::last_seen_at.eq(excluded(rollups::last_seen_at)),
                rollups::visits_count.eq(excluded(rollups::visits_count)),
                rollups::page_views.eq(excluded(rollups::page_views)),
                rollups::product_views.eq(excluded(rollups::product_views)),
                rollups::carts_count.eq(excluded(rollups::carts_count)),
                rollups::checkouts_count.eq(excluded(rollups::checkouts_count)),
                rollups::visit_started_at.eq(excluded(rollups::visit_started_at)),
                rollups::visit_product_views.eq(excluded(rollups::visit_product_views)),
                rollups::cart_started_at.eq(excluded(rollups::cart_started_at)),
                rollups::cart_updated_at.eq(excluded(rollups::cart_updated_at)),
                rollups::cart_value.eq(excluded(rollups::cart_value)),
                rollups::checkout_started_at.eq(excluded(rollups::checkout_started_at)),
                rollups::orders_count.eq(excluded(rollups::orders_count)),
                rollups::order_days.eq(excluded(rollups::order_days)),
                rollups::spent.eq(excluded(rollups::spent)),
                rollups::foreign_orders.eq(excluded(rollups::foreign_orders)),
                rollups::first_order_at.eq(excluded(rollups::first_order_at)),
                rollups::last_order_at.eq(excluded(rollups::last_order_at)),
                rollups::last_order_day.eq(excluded(rollups::last_order_day)),
                rollups::median_gap_days.eq(excluded(rollups::median_gap_days)),
                rollups::log_gap_sum.eq(excluded(rollups::log_gap_sum)),
                rollups::last_order_value.eq(excluded(rollups::last_order_value)),
                rollups::last_placed_at.eq(excluded(rollups::last_placed_at)),
                rollups::state.eq(excluded(rollups::state)),
            ))
            .execute(c))?;
    }
    Ok(())
}

/// Makes the days of these customers those that their rollups tell.
pub fn save_days(
    conn: &mut Conn,
    store: StoreId,
    all: &[(CustomerId, &Rollup)],
) -> QueryResult<()> {
    for part in all.chunks(CHUNK) {
        let ids: Vec<CustomerId> = part.iter().map(|(id, _)| *id).collect();
        diesel::delete(customer_days::table.filter(customer_days::customer_id.eq_any(&ids)))
            .execute(conn)?;
        let rows: Vec<_> = part
            .iter()
            .flat_map(|(id, rollup)| rollup.state.days.iter().map(move |day| (*id, day)))
            .map(|(id, (field, known))| {
                (
                    customer_days::customer_id.eq(id),
                    customer_days::field.eq(field),
                    customer_days::store_id.eq(store),
                    customer_days::month_day.eq(known.day.month_day()),
                )
            })
            .collect();
        for rows in rows.chunks(CHUNK) {
            let rows = rows.to_vec();
            each_backend!(&mut *conn, c => diesel::insert_into(customer_days::table).values(rows).execute(c))?;
        }
    }
    Ok(())
}

/// Turns `homes` into redirects to `owner`, and all that were redirects to them.
pub fn redirect(conn: &mut Conn, home: CustomerId, owner: CustomerId) -> QueryResult<()> {
    diesel::update(customers::table.filter(customers::merged_into.eq(home)))
        .set(customers::merged_into.eq(owner))
        .execute(conn)?;
    diesel::update(customers::table.filter(customers::id.eq(home)))
        .set(customers::merged_into.eq(owner))
        .execute(conn)?;
    Ok(())
}

/// Takes everything that tells who the customer is out of the row.
pub fn clear(conn: &mut Conn, id: CustomerId) -> QueryResult<()> {
    let created_at: Timestamp =
        customers::table.filter(customers::id.eq(id)).select(customers::created_at).first(conn)?;
    let nobody = Profile { created_at: Some(created_at), ..Profile::default() };
    let store: StoreId =
        customers::table.filter(customers::id.eq(id)).select(customers::store_id).first(conn)?;
    save_profiles(conn, store, &[(id, &nobody)])
}

/// Whether the customer asked to be forgotten.
pub fn is_erased(conn: &mut Conn, id: CustomerId) -> QueryResult<bool> {
    let erased: Option<Option<Timestamp>> = customers::table
        .filter(customers::id.eq(id))
        .select(customers::erased_at)
        .first(conn)
        .optional()?;
    Ok(erased.flatten().is_some())
}

/// What rollups lack that were folded by an older version: its columns came later, and only `homing rebuild` fills them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// How regular the orders are, and what the last came to: predictions and values at risk count with them.
    pub rhythm: bool,
    /// Days of the year: rules on a date find customers by them.
    pub days: bool,
}

/// More profiles with something like a date and no day of the year are not looked into.
const LOOKED_INTO: i64 = 1_000;

/// Looks for rollups of a store that an older version folded. It reads them all where there are none: for who asks by hand.
pub fn lacking(conn: &mut Conn, store: StoreId) -> QueryResult<Lacking> {
    const DAY: i64 = 86_400_000_000;
    // Only gaps of one day have the logarithm 0, and then the orders span as many days as there are gaps.
    let gapless = rollups::table
        .filter(rollups::store_id.eq(store).and(rollups::order_days.gt(1)))
        .filter(rollups::log_gap_sum.eq(0.0))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(&format!(
            "last_order_at - first_order_at > (order_days + 1) * CAST({DAY} AS BIGINT)"
        )))
        .select(rollups::customer_id)
        .first::<CustomerId>(conn)
        .optional()?;
    let dated: Vec<String> = customers::table
        .filter(customers::store_id.eq(store).and(customers::traits.like("%-__-__%")))
        .filter(customers::merged_into.is_null().and(customers::erased_at.is_null()))
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "NOT EXISTS (SELECT 1 FROM customer_days d WHERE d.customer_id = customers.id)",
        ))
        .select(customers::traits)
        .limit(LOOKED_INTO)
        .load(conn)?;
    let tells_a_day = |traits: &String| {
        let traits: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(traits).unwrap_or_default();
        traits.values().filter_map(|told| told.as_str()).any(|told| told.parse::<DayTold>().is_ok())
    };
    Ok(Lacking { rhythm: gapless.is_some(), days: dated.iter().any(tells_a_day) })
}
