//! Decisions as the ledger's readers see them: a rule's, a customer's, a message's.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::db::Conn;
use crate::db::schema::decisions;
use crate::ledger::{Outcome, Reason};
use crate::primitives::{CustomerId, MessageId, RuleId, Timestamp};

/// A decision with what it was made on. Its words are those of the ledger, of whatever version wrote them.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
#[diesel(table_name = decisions)]
pub struct Decision {
    pub customer_id: CustomerId,
    pub id: i64,
    pub at: Timestamp,
    pub rule_id: i64,
    /// `None`: of the enrolment as a whole.
    pub step: Option<i32>,
    pub outcome: String,
    pub reason: Option<String>,
    pub facts: String,
    pub message_id: Option<i64>,
}

/// What a statement reads of the decisions that it calls `d`.
const COLUMNS: &str =
    "d.customer_id, d.id, d.at, d.rule_id, d.step, d.outcome, d.reason, d.facts, d.message_id";

/// Which decisions: those of these outcomes, and where one is named, for that reason.
#[derive(Debug, Clone)]
pub struct Which {
    pub outcomes: Vec<Outcome>,
    pub reason: Option<Reason>,
}

/// A rule's decisions since `since`, newest first, after `after`: (at, id) of the page before. What only the shadow
/// kept back is there where its reason is asked for.
pub fn of_rule(
    conn: &mut Conn,
    rule: RuleId,
    since: Timestamp,
    which: Which,
    after: Option<(Timestamp, i64)>,
    limit: i64,
) -> QueryResult<Vec<Decision>> {
    let (at, id) = after.unwrap_or((Timestamp::MAX, i64::MAX));
    let outcomes: Vec<String> = which.outcomes.iter().map(|word| format!("'{word}'")).collect();
    let reason = match which.reason {
        Some(word) => format!("AND d.reason = '{word}'"),
        None => "AND COALESCE(d.reason, '') <> 'shadow'".to_owned(),
    };
    diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM decisions d \
         WHERE d.rule_id = {} AND d.at >= {} AND d.outcome IN ({}) {reason} \
         AND d.at <= $1 AND (d.at < $2 OR d.id < $3) ORDER BY d.at DESC, d.id DESC LIMIT {limit}",
        rule.0,
        since.0,
        outcomes.join(", ")
    ))
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(id)
    .load(conn)
}

/// A rule's last decisions, newest first.
pub fn recent(conn: &mut Conn, rule: RuleId, limit: i64) -> QueryResult<Vec<Decision>> {
    diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM decisions d WHERE d.rule_id = $1 ORDER BY d.at DESC LIMIT {limit}"
    ))
    .bind::<BigInt, _>(rule)
    .load(conn)
}

/// A customer's decisions below id `before`, newest first.
pub fn of_customer(
    conn: &mut Conn,
    id: CustomerId,
    before: i64,
    limit: i64,
) -> QueryResult<Vec<Decision>> {
    diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM decisions d \
         WHERE d.customer_id = $1 AND d.id < $2 ORDER BY d.id DESC LIMIT {limit}",
    ))
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(before)
    .load(conn)
}

/// A message's own decisions, oldest first.
pub fn of_message(
    conn: &mut Conn,
    customer: CustomerId,
    message: MessageId,
) -> QueryResult<Vec<Decision>> {
    diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM decisions d \
         WHERE d.customer_id = $1 AND d.message_id = $2 ORDER BY d.id LIMIT 50"
    ))
    .bind::<BigInt, _>(customer)
    .bind::<BigInt, _>(message)
    .load(conn)
}
