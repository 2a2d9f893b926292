//! SQL of the rules' tables: what is in force, every version that ever was, and since when a trigger is live.

use diesel::prelude::*;

use super::{Pause, PauseReason, Rule, RuleStatus, StoredRule};
use crate::db::schema::{rule_versions, rules};
use crate::db::{Conn, few_lengths, kept, lock_store};
use crate::primitives::{RuleId, StoreId, Timestamp};

type Row = (
    RuleId,
    StoreId,
    i32,
    RuleStatus,
    Option<Timestamp>,
    Option<PauseReason>,
    Option<Timestamp>,
    String,
);

/// The columns of [`Row`], of rules with the version in force.
macro_rules! in_force {
    () => {
        rules::table
            .inner_join(rule_versions::table.on(
                rule_versions::rule_id.eq(rules::id).and(rule_versions::version.eq(rules::version)),
            ))
            .select((
                rules::id,
                rules::store_id,
                rules::version,
                rules::status,
                rules::live_since,
                rules::paused_for,
                rules::paused_at,
                rule_versions::definition,
            ))
    };
}

fn stored(row: Row) -> QueryResult<StoredRule> {
    let (id, store, version, status, live_since, reason, paused_at, definition) = row;
    let pause = reason.zip(paused_at).map(|(reason, since)| Pause { reason, since });
    let rule = match pause {
        // What the settings say stands; the pause lies over it.
        Some(_) => read(&definition)?,
        // The row's word on the status is the one that is indexed and checked; both are written together.
        None => Rule { status, ..read(&definition)? },
    };
    Ok(StoredRule { id, store, version, status, live_since, pause, rule })
}

fn read(definition: &str) -> QueryResult<Rule> {
    serde_json::from_str(definition)
        .map_err(|e| diesel::result::Error::DeserializationError(Box::new(e)))
}

fn all_stored(rows: Vec<Row>) -> QueryResult<Vec<StoredRule>> {
    rows.into_iter().map(stored).collect()
}

/// The store's rules, in the order of the settings; without those taken out of the settings.
pub fn all(conn: &mut Conn, store: StoreId) -> QueryResult<Vec<StoredRule>> {
    let rules_of = in_force!()
        .filter(rules::store_id.eq(store).and(rules::retired_at.is_null()))
        .order((rules::position, rules::id));
    all_stored(rules_of.load(conn)?)
}

/// Those of `ids` that are in the store's settings, as they are in force.
pub fn some(conn: &mut Conn, store: StoreId, ids: &[RuleId]) -> QueryResult<Vec<StoredRule>> {
    let some = in_force!().filter(
        rules::store_id
            .eq(store)
            .and(rules::retired_at.is_null())
            .and(rules::id.eq_any(few_lengths(ids))),
    );
    all_stored(kept(some).load(conn)?)
}

/// The rules that decide: those that are live, and those in shadow.
pub fn running(conn: &mut Conn, store: StoreId) -> QueryResult<Vec<StoredRule>> {
    let running = in_force!()
        .filter(
            rules::store_id
                .eq(store)
                .and(rules::retired_at.is_null())
                .and(rules::status.eq_any([RuleStatus::Live, RuleStatus::Shadow])),
        )
        .order((rules::position, rules::id));
    all_stored(running.load(conn)?)
}

/// The rules that are live.
pub fn live(conn: &mut Conn, store: StoreId) -> QueryResult<Vec<StoredRule>> {
    let live = in_force!()
        .filter(
            rules::store_id
                .eq(store)
                .and(rules::retired_at.is_null())
                .and(rules::status.eq(RuleStatus::Live)),
        )
        .order((rules::position, rules::id));
    all_stored(live.load(conn)?)
}

/// By its key, retired or not: a rule's ledger outlives it. A retired one is paused.
pub fn find_by_key(conn: &mut Conn, store: StoreId, key: &str) -> QueryResult<Option<StoredRule>> {
    let row: Option<Row> = in_force!()
        .filter(rules::store_id.eq(store).and(rules::key.eq(key)))
        .get_result(conn)
        .optional()?;
    row.map(stored).transpose()
}

/// By its id, retired or not, as it is in force now.
pub fn find(conn: &mut Conn, id: RuleId) -> QueryResult<Option<StoredRule>> {
    let row: Option<Row> = in_force!().filter(rules::id.eq(id)).get_result(conn).optional()?;
    row.map(stored).transpose()
}

/// The definition that a version had: what an enrolment of that version was promised.
pub fn find_version(conn: &mut Conn, id: RuleId, version: i32) -> QueryResult<Option<Rule>> {
    let definition: Option<String> = rule_versions::table
        .filter(rule_versions::rule_id.eq(id).and(rule_versions::version.eq(version)))
        .select(rule_versions::definition)
        .get_result(conn)
        .optional()?;
    definition.as_deref().map(read).transpose()
}

/// The store's rules as they stood at `at`, by the versions that were made until then; in the order of the settings.
pub fn as_of(conn: &mut Conn, store: StoreId, at: Timestamp) -> QueryResult<Vec<StoredRule>> {
    type Version = (RuleId, i32, String, Timestamp, Option<Timestamp>);
    let versions: Vec<Version> = rules::table
        .inner_join(rule_versions::table.on(rule_versions::rule_id.eq(rules::id)))
        .filter(rules::store_id.eq(store).and(rule_versions::created_at.le(at)))
        .order((rules::position, rules::id, rule_versions::version))
        .select((
            rules::id,
            rule_versions::version,
            rule_versions::definition,
            rule_versions::created_at,
            rules::retired_at,
        ))
        .load(conn)?;
    let mut then: Vec<StoredRule> = Vec::new();
    for (id, version, definition, created_at, retired_at) in versions {
        if retired_at.is_some_and(|retired_at| retired_at <= at) {
            continue;
        }
        let rule = read(&definition)?;
        let before = then.pop_if(|before| before.id == id);
        let live_since = match &before {
            Some(before) => live_since(before, &rule, created_at),
            None => runs(rule.status).then_some(created_at),
        };
        let (status, pause) = (rule.status, None);
        then.push(StoredRule { id, store, version, status, live_since, pause, rule });
    }
    Ok(then)
}

/// Every version that a rule ever had, newest first, and when it was made.
pub fn versions(conn: &mut Conn, id: RuleId) -> QueryResult<Vec<(i32, Timestamp, Rule)>> {
    let rows: Vec<(i32, Timestamp, String)> = rule_versions::table
        .filter(rule_versions::rule_id.eq(id))
        .order(rule_versions::version.desc())
        .select((rule_versions::version, rule_versions::created_at, rule_versions::definition))
        .load(conn)?;
    rows.into_iter().map(|(version, at, text)| Ok((version, at, read(&text)?))).collect()
}

/// Whether it was taken out of the settings.
pub fn is_retired(conn: &mut Conn, id: RuleId) -> QueryResult<bool> {
    let at: Option<Option<Timestamp>> = rules::table
        .filter(rules::id.eq(id))
        .select(rules::retired_at)
        .get_result(conn)
        .optional()?;
    Ok(at.flatten().is_some())
}

/// Makes the definition the one in force: a new rule, or a new version of the one with its key. Says whether
/// anything changed. Needs a write transaction that locked the settings.
pub fn put(conn: &mut Conn, store: StoreId, rule: &Rule, now: Timestamp) -> QueryResult<bool> {
    let Some(existing) = find_by_key(conn, store, &rule.key)? else {
        insert(conn, store, rule, now)?;
        return Ok(true);
    };
    let returns = is_retired(conn, existing.id)?;
    if existing.rule == *rule && !returns {
        return Ok(false);
    }
    let version = if existing.rule == *rule { existing.version } else { existing.version + 1 };
    if version != existing.version {
        insert_version(conn, existing.id, version, rule, now)?;
    }
    let retired_at: Option<Timestamp> = None;
    // No settings lift a pause that the program made.
    let (status, live_since) = match existing.pause {
        Some(_) if runs(rule.status) => (RuleStatus::Paused, None),
        _ => (rule.status, live_since(&existing, rule, now)),
    };
    diesel::update(rules::table.filter(rules::id.eq(existing.id)))
        .set((
            rules::version.eq(version),
            rules::status.eq(status),
            rules::live_since.eq(live_since),
            rules::retired_at.eq(retired_at),
        ))
        .execute(conn)?;
    Ok(true)
}

/// Puts the store's rules in the order of these keys. Needs a write transaction that locked the settings.
pub fn arrange<'a>(
    conn: &mut Conn,
    store: StoreId,
    keys: impl Iterator<Item = &'a str>,
) -> QueryResult<()> {
    for (position, key) in (0_i32..).zip(keys) {
        let rule = rules::table.filter(rules::store_id.eq(store).and(rules::key.eq(key)));
        diesel::update(rule).set(rules::position.eq(position)).execute(conn)?;
    }
    Ok(())
}

/// Since when the trigger is live. A rule that starts to run, or whose trigger changed, begins anew, so that
/// nobody hears of what fell due before; any other change leaves it. Also for the shadow: it decides as if live.
fn live_since(before: &StoredRule, rule: &Rule, now: Timestamp) -> Option<Timestamp> {
    let goes_on = before.status == rule.status && before.rule.trigger == rule.trigger;
    match before.live_since {
        _ if !runs(rule.status) => None,
        Some(since) if goes_on => Some(since),
        _ => Some(now),
    }
}

/// Whether it decides: live, or in shadow.
fn runs(status: RuleStatus) -> bool {
    matches!(status, RuleStatus::Live | RuleStatus::Shadow)
}

fn insert(conn: &mut Conn, store: StoreId, rule: &Rule, now: Timestamp) -> QueryResult<RuleId> {
    // Rules are few and made one at a time: counting up makes a sample store alike each time it is made.
    let last: Option<i64> = rules::table.select(diesel::dsl::max(rules::id)).get_result(conn)?;
    let id = RuleId(last.unwrap_or(0) + 1);
    let behind: Option<i32> = rules::table
        .filter(rules::store_id.eq(store))
        .select(diesel::dsl::max(rules::position))
        .get_result(conn)?;
    diesel::insert_into(rules::table)
        .values((
            rules::id.eq(id),
            rules::store_id.eq(store),
            rules::key.eq(&rule.key),
            rules::version.eq(1),
            rules::status.eq(rule.status),
            rules::live_since.eq(runs(rule.status).then_some(now)),
            rules::position.eq(behind.map_or(0, |last| last + 1)),
        ))
        .execute(conn)?;
    insert_version(conn, id, 1, rule, now)?;
    Ok(id)
}

fn insert_version(
    conn: &mut Conn,
    id: RuleId,
    version: i32,
    rule: &Rule,
    now: Timestamp,
) -> QueryResult<()> {
    let definition = serde_json::to_string(rule)
        .map_err(|e| diesel::result::Error::SerializationError(Box::new(e)))?;
    diesel::insert_into(rule_versions::table)
        .values((
            rule_versions::rule_id.eq(id),
            rule_versions::version.eq(version),
            rule_versions::definition.eq(definition),
            rule_versions::created_at.eq(now),
        ))
        .execute(conn)
        .map(|_| ())
}

/// Takes a rule out of the settings. Its ledger and versions stay; it is paused, so that nothing of it goes out.
pub fn retire(conn: &mut Conn, id: RuleId, now: Timestamp) -> QueryResult<()> {
    set_status(conn, id, RuleStatus::Paused, now)?;
    diesel::update(rules::table.filter(rules::id.eq(id)))
        .set(rules::retired_at.eq(Some(now)))
        .execute(conn)
        .map(|_| ())
}

/// Holds off everybody else who changes settings, until the transaction ends: two changes at once would give out
/// the same version twice.
pub fn lock(conn: &mut Conn) -> QueryResult<()> {
    // No store has the number 0, and a store that is just being made has no lock of its own yet.
    lock_store(conn, StoreId(0))
}

/// Lifts a pause: the rule is live again, from `now` on. Says whether it was paused, and not retired, before.
pub fn resume(conn: &mut Conn, id: RuleId, now: Timestamp) -> QueryResult<bool> {
    match find(conn, id)? {
        Some(stored) if stored.pause.is_some() => {
            lock(conn)?;
            lift(conn, &stored, now)
        }
        Some(stored) if stored.status == RuleStatus::Paused => {
            set_status(conn, id, RuleStatus::Live, now)
        }
        _ => Ok(false),
    }
}

/// Lets every running rule of `store` begin anew at `now`: what fell due before is left alone, also what
/// `include_past` asked for. Returns how many. Needs a write transaction.
pub fn begin_anew(conn: &mut Conn, store: StoreId, now: Timestamp) -> QueryResult<usize> {
    lock(conn)?;
    let running = running(conn, store)?;
    for stored in running.iter().filter(|stored| stored.rule.include_past.is_some()) {
        put(conn, store, &Rule { include_past: None, ..stored.rule.clone() }, now)?;
    }
    let ids: Vec<RuleId> = running.iter().map(|stored| stored.id).collect();
    diesel::update(rules::table.filter(rules::id.eq_any(ids)))
        .set(rules::live_since.eq(Some(now)))
        .execute(conn)
}

/// Brings a rule that the program paused back to what its settings say.
fn lift(conn: &mut Conn, stored: &StoredRule, now: Timestamp) -> QueryResult<bool> {
    let row = rules::table
        .filter(rules::id.eq(stored.id))
        .filter(rules::paused_for.is_not_null().and(rules::retired_at.is_null()));
    let lifted = diesel::update(row)
        .set((
            rules::status.eq(stored.rule.status),
            rules::live_since.eq(runs(stored.rule.status).then_some(now)),
            rules::paused_for.eq(None::<PauseReason>),
            rules::paused_at.eq(None::<Timestamp>),
        ))
        .execute(conn)?;
    Ok(lifted > 0)
}

/// Pauses a live rule for a reason of the program's own: the settings stay as they are, and lift nothing. False
/// where it is not live any more.
pub fn pause(
    conn: &mut Conn,
    id: RuleId,
    reason: PauseReason,
    now: Timestamp,
) -> QueryResult<bool> {
    let live = rules::table.filter(rules::id.eq(id).and(rules::status.eq(RuleStatus::Live)));
    let paused = diesel::update(live)
        .set((
            rules::status.eq(RuleStatus::Paused),
            rules::live_since.eq(None::<Timestamp>),
            rules::paused_for.eq(Some(reason)),
            rules::paused_at.eq(Some(now)),
        ))
        .execute(conn)?;
    Ok(paused > 0)
}

/// Switches a rule on or off, as a new version, so that exported settings say so too. Says whether it changed;
/// a retired or unknown rule does not. A pause that the program made stays: [`resume`] alone lifts it. Needs a write
/// transaction.
pub fn set_status(
    conn: &mut Conn,
    id: RuleId,
    status: RuleStatus,
    now: Timestamp,
) -> QueryResult<bool> {
    lock(conn)?;
    match find(conn, id)? {
        Some(stored) if !is_retired(conn, id)? => {
            put(conn, stored.store, &Rule { status, ..stored.rule }, now)
        }
        _ => Ok(false),
    }
}
