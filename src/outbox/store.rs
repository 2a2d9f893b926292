//! SQL of the messages: planning, and what the console asks. Claiming and settling have files of their own.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::{Message, MessageStatus, NewMessage};
use crate::db::schema::messages;
use crate::db::{Conn, few_lengths, few_sizes, kept};
use crate::ledger::Reason;
use crate::primitives::{CustomerId, EnrolmentId, MessageId, RuleId, StoreId, Timestamp};

/// So many rows are written by one statement: more of them save nothing.
const ROWS: usize = 128;

/// Plans messages. Their key is (customer, rule, enrolment, step): a second one is a planner's mistake and fails.
pub fn plan(conn: &mut Conn, new: &[NewMessage]) -> QueryResult<()> {
    for part in few_sizes(new, ROWS) {
        let insert = diesel::insert_into(messages::table).values(part);
        match &mut *conn {
            Conn::Postgres(pg) => kept(insert).execute(pg)?,
            // diesel keeps it by itself: a row at a time.
            Conn::Sqlite(sqlite) => insert.execute(sqlite)?,
        };
    }
    Ok(())
}

/// Cancels what an enrolment still has to come; returns the steps.
pub fn cancel(
    conn: &mut Conn,
    customer: CustomerId,
    enrolment: EnrolmentId,
    reason: Reason,
) -> QueryResult<Vec<i32>> {
    let rows = messages::table
        .filter(messages::customer_id.eq(customer))
        .filter(messages::enrolment_id.eq(enrolment))
        .filter(messages::status.eq(MessageStatus::Scheduled));
    diesel::update(rows)
        .set((
            messages::status.eq(MessageStatus::Cancelled),
            messages::cancelled_for.eq(reason),
            messages::held_for.eq(None::<Reason>),
        ))
        .returning(messages::step)
        .get_results(conn)
}

/// Puts what `new` says in the place of a scheduled message: its step by another version of its rule.
pub fn rewrite(conn: &mut Conn, id: MessageId, new: &NewMessage) -> QueryResult<()> {
    let row = messages::table
        .filter(messages::customer_id.eq(new.customer_id))
        .filter(messages::id.eq(id))
        .filter(messages::status.eq(MessageStatus::Scheduled));
    diesel::update(row)
        .set((
            messages::rule_version.eq(new.rule_version),
            messages::class.eq(new.class),
            messages::variant.eq(&new.variant),
            messages::scheduled_at.eq(new.scheduled_at),
            messages::planned_for.eq(new.planned_for),
            messages::useful_until.eq(new.useful_until),
            messages::held_for.eq(None::<Reason>),
        ))
        .execute(conn)?;
    Ok(())
}

/// Cancels those of these messages that are still scheduled.
pub fn cancel_these(
    conn: &mut Conn,
    customer: CustomerId,
    ids: &[MessageId],
    reason: Reason,
) -> QueryResult<usize> {
    let rows = messages::table
        .filter(messages::customer_id.eq(customer))
        .filter(messages::id.eq_any(ids))
        .filter(messages::status.eq(MessageStatus::Scheduled));
    diesel::update(rows)
        .set((
            messages::status.eq(MessageStatus::Cancelled),
            messages::cancelled_for.eq(reason),
            messages::held_for.eq(None::<Reason>),
        ))
        .execute(conn)
}

/// What rules in shadow planned, in the words of its index: with parameters in their place it would not be found.
fn in_shadow() -> diesel::expression::SqlLiteral<Bool> {
    diesel::dsl::sql("status = 'scheduled' AND shadow")
}

/// Cancels what `rule` planned in shadow: it is live now, and begins anew.
pub fn end_shadows(conn: &mut Conn, store: StoreId, rule: RuleId) -> QueryResult<usize> {
    let rows = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::rule_id.eq(rule))
        .filter(in_shadow());
    diesel::update(rows)
        .set((
            messages::status.eq(MessageStatus::Cancelled),
            messages::cancelled_for.eq(Reason::Shadow),
            messages::held_for.eq(None::<Reason>),
        ))
        .execute(conn)
}

/// All messages of one enrolment, in order of their steps.
pub fn of_enrolment(
    conn: &mut Conn,
    customer: CustomerId,
    enrolment: EnrolmentId,
) -> QueryResult<Vec<Message>> {
    Message::query()
        .filter(messages::customer_id.eq(customer))
        .filter(messages::enrolment_id.eq(enrolment))
        .order(messages::step)
        .get_results(conn)
}

/// As [`of_enrolment`], of several, each of one of these customers.
pub fn of_enrolments(
    conn: &mut Conn,
    customers: &[CustomerId],
    enrolments: &[EnrolmentId],
) -> QueryResult<Vec<Message>> {
    let query = Message::query()
        .filter(messages::customer_id.eq_any(few_lengths(customers)))
        .filter(messages::enrolment_id.eq_any(few_lengths(enrolments)))
        .order((messages::enrolment_id, messages::step));
    kept(query).get_results(conn)
}

/// Lets a scheduled message knock at `now`, earlier than planned.
pub fn hasten(
    conn: &mut Conn,
    customer: CustomerId,
    id: MessageId,
    now: Timestamp,
) -> QueryResult<()> {
    let row = messages::table
        .filter(messages::customer_id.eq(customer))
        .filter(messages::id.eq(id))
        .filter(messages::status.eq(MessageStatus::Scheduled));
    diesel::update(row).set(messages::scheduled_at.eq(now)).execute(conn).map(|_| ())
}

/// Moves a scheduled message to another time, as part of its plan.
pub fn replan(
    conn: &mut Conn,
    message: &Message,
    scheduled_at: Timestamp,
    planned_for: Timestamp,
    useful_until: Timestamp,
) -> QueryResult<()> {
    let row = messages::table
        .filter(messages::customer_id.eq(message.customer_id))
        .filter(messages::id.eq(message.id))
        .filter(messages::status.eq(MessageStatus::Scheduled));
    diesel::update(row)
        .set((
            messages::scheduled_at.eq(scheduled_at),
            messages::planned_for.eq(planned_for),
            messages::useful_until.eq(useful_until),
        ))
        .execute(conn)?;
    Ok(())
}

/// Brings messages that were held since their rule was not live to the door again; returns how many.
pub fn release_paused(
    conn: &mut Conn,
    store: StoreId,
    rule: RuleId,
    now: Timestamp,
) -> QueryResult<usize> {
    let rows = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::rule_id.eq(rule))
        .filter(messages::status.eq(MessageStatus::Scheduled))
        .filter(messages::held_for.eq(Reason::Paused))
        .filter(messages::scheduled_at.gt(now));
    diesel::update(rows).set(messages::scheduled_at.eq(now)).execute(conn)
}

/// As [`release_paused`], of all rules: the store's own pause was lifted. Those of paused rules are held again.
pub fn release_all_paused(conn: &mut Conn, store: StoreId, now: Timestamp) -> QueryResult<usize> {
    let rows = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::status.eq(MessageStatus::Scheduled))
        .filter(messages::held_for.eq(Reason::Paused))
        .filter(messages::scheduled_at.gt(now));
    diesel::update(rows).set(messages::scheduled_at.eq(now)).execute(conn)
}

/// Whether any message of these rules is held since its rule was not live.
pub fn has_paused(
    conn: &mut Conn,
    store: StoreId,
    rules: &[RuleId],
    now: Timestamp,
) -> QueryResult<bool> {
    let held = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::rule_id.eq_any(rules))
        .filter(messages::status.eq(MessageStatus::Scheduled))
        .filter(messages::held_for.eq(Reason::Paused))
        .filter(messages::scheduled_at.gt(now))
        .select(messages::id)
        .limit(1);
    Ok(held.first::<MessageId>(conn).optional()?.is_some())
}

/// How many messages of a store wait, are held, have left.
///
/// `planned = scheduled + sending + sent + failed + cancelled + in_doubt`, or messages were lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub planned: i64,
    pub scheduled: i64,
    pub sending: i64,
    pub sent: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub in_doubt: i64,
    /// Of the scheduled ones, those that a guardrail holds, by reason.
    pub deferred: Vec<(String, i64)>,
    /// Of the cancelled ones, by reason.
    pub cancelled_for: Vec<(String, i64)>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Nullable<Text>)]
    held_for: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    cancelled_for: Option<String>,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub fn counts(conn: &mut Conn, store: StoreId) -> QueryResult<Counts> {
    let rows: Vec<CountRow> = diesel::sql_query(
        "SELECT status, held_for, cancelled_for, CAST(count(*) AS BIGINT) AS n FROM messages \
         WHERE store_id = $1 GROUP BY status, held_for, cancelled_for ORDER BY status, held_for, cancelled_for",
    )
    .bind::<BigInt, _>(store)
    .load(conn)?;
    let planned: i64 =
        diesel::QueryDsl::count(messages::table.filter(messages::store_id.eq(store)))
            .get_result(conn)?;
    let mut counts = Counts { planned, ..Counts::default() };
    for row in rows {
        match row.status.as_str() {
            "scheduled" => counts.scheduled += row.n,
            "sending" => counts.sending += row.n,
            "sent" => counts.sent += row.n,
            "failed" => counts.failed += row.n,
            "cancelled" => counts.cancelled += row.n,
            _ => counts.in_doubt += row.n,
        }
        match (row.status.as_str(), row.held_for, row.cancelled_for) {
            ("scheduled", Some(reason), _) => counts.deferred.push((reason, row.n)),
            ("cancelled", _, reason) => {
                counts.cancelled_for.push((reason.unwrap_or_else(|| "unknown".to_owned()), row.n));
            }
            _ => {}
        }
    }
    Ok(counts)
}

/// One message of a store.
pub fn find(conn: &mut Conn, store: StoreId, id: MessageId) -> QueryResult<Option<Message>> {
    let row = Message::query().filter(messages::store_id.eq(store)).filter(messages::id.eq(id));
    row.get_result(conn).optional()
}

/// Whether anything is due at the door; with `shadow`, of those alone that never leave.
pub fn has_due(conn: &mut Conn, store: StoreId, now: Timestamp, shadow: bool) -> QueryResult<bool> {
    let mut due = messages::table
        .filter(messages::store_id.eq(store))
        .filter(messages::status.eq(MessageStatus::Scheduled))
        .filter(messages::scheduled_at.le(now))
        .select(messages::id)
        .limit(1)
        .into_boxed();
    if shadow {
        due = due.filter(in_shadow());
    }
    Ok(due.first::<MessageId>(conn).optional()?.is_some())
}
