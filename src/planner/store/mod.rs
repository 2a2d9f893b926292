//! SQL of a pass: who is due, who in a rule is to be looked at again, and the writing of what was decided.

mod due;
mod open;
mod write;

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::db::Conn;
use crate::primitives::{CustomerId, Delay, RuleId, Timestamp};
use crate::stores::Store;

pub use due::{Reach, due};
pub use open::{
    bought_while_enrolled, came_while_enrolled, changed_while_enrolled, clicked_while_enrolled,
    waited_long_enough, went_on_while_enrolled,
};
pub use write::{hasten, message_of, write};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    customer_id: CustomerId,
}

fn ids(found: Vec<Id>) -> Vec<CustomerId> {
    found.into_iter().map(|id| id.customer_id).collect()
}

/// What a thousand messages of each rule brought: orders within a week after those of the last 28 days, in minor units
/// of the store's currency.
pub fn worth(
    conn: &mut Conn,
    store: &Store,
    rules: &[RuleId],
    now: Timestamp,
) -> QueryResult<HashMap<RuleId, i64>> {
    #[derive(QueryableByName)]
    struct Brought {
        #[diesel(sql_type = BigInt)]
        rule_id: RuleId,
        #[diesel(sql_type = BigInt)]
        sent: i64,
        #[diesel(sql_type = BigInt)]
        brought: i64,
    }
    let (since, week) = (now.minus(Delay::days(28)).0, Delay::days(7).micros());
    let ids = rules.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(", ");
    let rows: Vec<Brought> = diesel::sql_query(format!(
        "SELECT m.rule_id, COUNT(DISTINCT m.id) AS sent, CAST(COALESCE(SUM(o.total - o.refunded), 0) AS BIGINT) AS brought \
         FROM messages m LEFT JOIN orders o ON o.customer_id = m.customer_id AND o.counts AND o.currency = $1 \
         AND o.placed_at > m.sent_at AND o.placed_at <= m.sent_at + {week} \
         WHERE m.rule_id IN ({ids}) AND m.status = 'sent' AND m.scheduled_at >= {since} GROUP BY m.rule_id"
    ))
    .bind::<Text, _>(store.currency.as_str())
    .load(conn)?;
    let per_thousand = |row: &Brought| row.brought.saturating_mul(1_000) / row.sent.max(1);
    Ok(rows.iter().map(|row| (row.rule_id, per_thousand(row))).collect())
}
