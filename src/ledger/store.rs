//! SQL of enrolments and decisions.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::{Decision, Enrolment, EnrolmentStatus, NewDecision, Outcome, Reason};
use crate::db::schema::{decisions, enrolments, rules};
use crate::db::{Conn, few_lengths, few_sizes, kept};
use crate::primitives::{
    CustomerId, DecisionId, EnrolmentId, MessageId, RuleId, StoreId, Timestamp,
};

/// So many customers are asked about at once.
const CHUNK: usize = 1_024;
/// So many rows are written by one statement: more of them save nothing.
const ROWS: usize = 128;

/// All enrolments of `customers`, oldest first.
pub fn enrolments_of(conn: &mut Conn, customers: &[CustomerId]) -> QueryResult<Vec<Enrolment>> {
    let mut found = Vec::new();
    for part in customers.chunks(CHUNK) {
        let query = Enrolment::query()
            .filter(enrolments::customer_id.eq_any(few_lengths(part)))
            .order((enrolments::customer_id, enrolments::id));
        found.extend(kept(query).get_results(conn)?);
    }
    Ok(found)
}

/// Inserts what no other planner has: returns the ids that are new. The key is (customer, rule, episode).
pub fn enrol(conn: &mut Conn, new: &[Enrolment]) -> QueryResult<HashSet<EnrolmentId>> {
    let mut inserted = HashSet::with_capacity(new.len());
    for part in new.chunks(CHUNK) {
        give_way(conn, part)?;
    }
    for part in few_sizes(new, ROWS) {
        let insert = diesel::insert_into(enrolments::table)
            .values(part)
            .on_conflict_do_nothing()
            .returning(enrolments::id);
        let ids: Vec<EnrolmentId> = match &mut *conn {
            Conn::Postgres(pg) => kept(insert).get_results(pg)?,
            // diesel keeps it by itself: a row at a time.
            Conn::Sqlite(sqlite) => insert.get_results(sqlite)?,
        };
        inserted.extend(ids);
    }
    Ok(inserted)
}

/// What a rule would have done in an episode gives way to what it does: the key has room for one of the two.
fn give_way(conn: &mut Conn, new: &[Enrolment]) -> QueryResult<()> {
    let live = || new.iter().filter(|e| !e.shadow);
    let customers: Vec<CustomerId> = live().map(|e| e.customer_id).collect();
    if customers.is_empty() {
        return Ok(());
    }
    let rules: HashSet<RuleId> = live().map(|e| e.rule_id).collect();
    let episodes: HashSet<Timestamp> = live().map(|e| e.episode).collect();
    let theirs = enrolments::table
        .filter(enrolments::customer_id.eq_any(customers))
        .filter(enrolments::rule_id.eq_any(rules))
        .filter(enrolments::episode.eq_any(episodes))
        .filter(enrolments::shadow.eq(true));
    diesel::delete(theirs).execute(conn).map(|_| ())
}

/// What is open and only shadow, in the words of its index: with parameters in their place SQLite would not find it, and
/// read all that was ever enrolled.
fn open_shadow() -> diesel::expression::SqlLiteral<Bool> {
    diesel::dsl::sql("shadow AND status IN ('active', 'waiting')")
}

/// Whether a rule that is live now still has open what it began in shadow.
pub fn has_open_shadows(conn: &mut Conn, rules: &[RuleId]) -> QueryResult<bool> {
    let open = enrolments::table.filter(open_shadow()).filter(enrolments::rule_id.eq_any(rules));
    Ok(open.select(enrolments::id).first::<EnrolmentId>(conn).optional()?.is_some())
}

/// Ends what `rule` began in shadow.
pub fn end_shadows(conn: &mut Conn, rule: RuleId) -> QueryResult<usize> {
    let open = enrolments::table.filter(open_shadow()).filter(enrolments::rule_id.eq(rule));
    diesel::update(open)
        .set((
            enrolments::status.eq(EnrolmentStatus::Stopped),
            enrolments::reason.eq(Some(Reason::Shadow)),
            enrolments::retry_at.eq(None::<Timestamp>),
        ))
        .execute(conn)
}

/// Ends what waits to be asked again by `now`; returns how many.
pub fn end_waiting(
    conn: &mut Conn,
    store: StoreId,
    now: Timestamp,
    reason: Reason,
) -> QueryResult<usize> {
    let waiting = enrolments::table
        .filter(enrolments::store_id.eq(store))
        .filter(enrolments::status.eq(EnrolmentStatus::Waiting))
        .filter(enrolments::retry_at.le(now));
    diesel::update(waiting)
        .set((
            enrolments::status.eq(EnrolmentStatus::Refused),
            enrolments::reason.eq(Some(reason)),
            enrolments::retry_at.eq(None::<Timestamp>),
        ))
        .execute(conn)
}

/// What becomes of an enrolment that is open.
#[derive(Debug, Clone, PartialEq, AsChangeset)]
#[diesel(table_name = enrolments, treat_none_as_null = true)]
pub struct Change {
    pub status: EnrolmentStatus,
    pub reason: Option<Reason>,
    pub enrolled_at: Option<Timestamp>,
    pub retry_at: Option<Timestamp>,
}

/// Changes an enrolment if it still is in status `from`; false when another was faster.
pub fn change(
    conn: &mut Conn,
    customer: CustomerId,
    id: EnrolmentId,
    from: EnrolmentStatus,
    change: &Change,
) -> QueryResult<bool> {
    let row = enrolments::table
        .filter(enrolments::customer_id.eq(customer))
        .filter(enrolments::id.eq(id))
        .filter(enrolments::status.eq(from));
    Ok(diesel::update(row).set(change).execute(conn)? > 0)
}

/// Ends an active enrolment; false when it was not active any more.
pub fn end(
    conn: &mut Conn,
    customer: CustomerId,
    id: EnrolmentId,
    status: EnrolmentStatus,
    reason: Option<Reason>,
) -> QueryResult<bool> {
    let row = enrolments::table
        .filter(enrolments::customer_id.eq(customer))
        .filter(enrolments::id.eq(id))
        .filter(enrolments::status.eq(EnrolmentStatus::Active));
    let ended =
        diesel::update(row).set((enrolments::status.eq(status), enrolments::reason.eq(reason)));
    Ok(kept(ended).execute(conn)? > 0)
}

/// As [`end`], of many that end alike.
pub fn end_all(
    conn: &mut Conn,
    ended: &[(CustomerId, EnrolmentId)],
    status: EnrolmentStatus,
    reason: Option<Reason>,
) -> QueryResult<usize> {
    let (customers, ids): (Vec<CustomerId>, Vec<EnrolmentId>) =
        few_lengths(ended).into_iter().unzip();
    let rows = enrolments::table
        .filter(enrolments::customer_id.eq_any(customers))
        .filter(enrolments::id.eq_any(ids))
        .filter(enrolments::status.eq(EnrolmentStatus::Active));
    kept(diesel::update(rows).set((enrolments::status.eq(status), enrolments::reason.eq(reason))))
        .execute(conn)
}

/// Opens an ended enrolment again, since one of its messages is to go out after all.
pub fn reopen(conn: &mut Conn, customer: CustomerId, id: EnrolmentId) -> QueryResult<()> {
    let row = enrolments::table
        .filter(enrolments::customer_id.eq(customer))
        .filter(enrolments::id.eq(id))
        .filter(enrolments::status.eq_any([EnrolmentStatus::Completed, EnrolmentStatus::Expired]));
    diesel::update(row).set(enrolments::status.eq(EnrolmentStatus::Active)).execute(conn)?;
    Ok(())
}

/// Stretches an enrolled episode to a later moment.
pub fn stretch(
    conn: &mut Conn,
    customer: CustomerId,
    id: EnrolmentId,
    until: Timestamp,
    due_at: Timestamp,
    useful_until: Timestamp,
) -> QueryResult<()> {
    let row = enrolments::table
        .filter(enrolments::customer_id.eq(customer))
        .filter(enrolments::id.eq(id));
    diesel::update(row)
        .set((
            enrolments::episode_until.eq(until),
            enrolments::due_at.eq(due_at),
            enrolments::useful_until.eq(useful_until),
        ))
        .execute(conn)?;
    Ok(())
}

#[derive(Insertable)]
#[diesel(table_name = decisions, treat_none_as_default_value = false)]
struct DecisionRow {
    customer_id: CustomerId,
    id: DecisionId,
    store_id: StoreId,
    at: Timestamp,
    rule_id: RuleId,
    enrolment_id: Option<EnrolmentId>,
    step: Option<i32>,
    outcome: Outcome,
    reason: Option<Reason>,
    facts: String,
    message_id: Option<MessageId>,
}

/// Writes lines of the ledger. `new_id` makes their ids, in order.
pub fn record(conn: &mut Conn, new: &[NewDecision], new_id: impl Fn() -> i64) -> QueryResult<()> {
    for part in few_sizes(new, ROWS) {
        let rows: Vec<DecisionRow> = part
            .iter()
            .map(|decision| DecisionRow {
                customer_id: decision.customer,
                id: DecisionId(new_id()),
                store_id: decision.store,
                at: decision.at,
                rule_id: decision.rule,
                enrolment_id: decision.enrolment,
                step: decision.step,
                outcome: decision.outcome,
                reason: decision.reason,
                facts: decision.facts.to_text(),
                message_id: decision.message,
            })
            .collect();
        let insert = diesel::insert_into(decisions::table).values(&rows);
        match &mut *conn {
            Conn::Postgres(pg) => kept(insert).execute(pg)?,
            Conn::Sqlite(sqlite) => insert.execute(sqlite)?,
        };
    }
    Ok(())
}

type Line = (
    DecisionId,
    Timestamp,
    String,
    Option<i32>,
    Outcome,
    Option<Reason>,
    String,
    Option<MessageId>,
);

/// The ledger of one customer, newest first, at most `limit` lines; with `rule`, of that rule alone.
///
/// Newest is what was decided last: `at` is business time, which `tick --at` sets to any.
pub fn of_customer(
    conn: &mut Conn,
    customer: CustomerId,
    rule: Option<&str>,
    limit: i64,
) -> QueryResult<Vec<Decision>> {
    of_customer_after(conn, customer, rule, None, None, limit)
}

/// As [`of_customer`], as it stood at `until`; and from where a page ended on: the time and id of its last line.
pub fn of_customer_after(
    conn: &mut Conn,
    customer: CustomerId,
    rule: Option<&str>,
    until: Option<Timestamp>,
    after: Option<(Timestamp, i64)>,
    limit: i64,
) -> QueryResult<Vec<Decision>> {
    let mut query = decisions::table
        .inner_join(rules::table.on(rules::id.eq(decisions::rule_id)))
        .filter(decisions::customer_id.eq(customer))
        .order(decisions::id.desc())
        .limit(limit)
        .select((
            decisions::id,
            decisions::at,
            rules::key,
            decisions::step,
            decisions::outcome,
            decisions::reason,
            decisions::facts,
            decisions::message_id,
        ))
        .into_boxed();
    if let Some(key) = rule {
        query = query.filter(rules::key.eq(key.to_owned()));
    }
    if let Some(until) = until {
        query = query.filter(decisions::at.le(until));
    }
    if let Some((at, id)) = after {
        let later = decisions::at.lt(at).or(decisions::id.lt(DecisionId(id)));
        query = query.filter(decisions::at.le(at)).filter(later);
    }
    let lines: Vec<Line> = query.load(conn)?;
    Ok(lines
        .into_iter()
        .map(|(id, at, rule, step, outcome, reason, facts, message_id)| Decision {
            id: Some(id),
            at,
            rule,
            step,
            outcome,
            reason,
            facts: serde_json::from_str(&facts).unwrap_or_default(),
            message_id,
        })
        .collect())
}
