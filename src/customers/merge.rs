//! Makes a visitor another name for the customer they turned out to be.

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::store;
use crate::db::Conn;
use crate::primitives::CustomerId;

/// Moves all that the planner and the outbox hold of `from` to `to`, and leaves `from` as a redirect.
///
/// Facts, visits and orders follow by folding. Where both are in one rule for one episode, `to`'s stands; of two
/// assignments to one experiment, the older (design: invariant 11). Scores are made anew.
pub fn merge(conn: &mut Conn, from: CustomerId, to: CustomerId) -> QueryResult<()> {
    leave_at_risk_list(conn, from)?;
    // SQLite numbers parameters as they first appear, so each statement names $1 before $2.
    const DROPS: [&str; 6] = [
        "DELETE FROM scores WHERE customer_id = $1 AND customer_id <> $2",
        "DELETE FROM segment_history WHERE customer_id = $1 AND customer_id <> $2",
        "DELETE FROM at_risk_stays WHERE customer_id = $1 AND customer_id <> $2",
        "DELETE FROM repurchases WHERE customer_id = $1 AND customer_id <> $2",
        // What a rule only would have done gives way to what one of the two really is in.
        "DELETE FROM enrolments WHERE shadow AND customer_id <> $1 AND customer_id = $2 AND EXISTS (SELECT 1 \
         FROM enrolments AS theirs WHERE theirs.customer_id = $1 AND NOT theirs.shadow \
         AND theirs.rule_id = enrolments.rule_id AND theirs.episode = enrolments.episode)",
        "DELETE FROM enrolments WHERE customer_id = $1 AND EXISTS (SELECT 1 FROM enrolments AS theirs \
         WHERE theirs.customer_id = $2 AND theirs.rule_id = enrolments.rule_id AND theirs.episode = enrolments.episode)",
    ];
    const OLDER_ARM: [&str; 2] = [
        "UPDATE assignments SET arm = old.arm, assigned_at = old.assigned_at, share = old.share FROM assignments AS old \
         WHERE old.customer_id = $1 AND assignments.customer_id = $2 \
         AND old.experiment = assignments.experiment AND old.assigned_at < assignments.assigned_at",
        "DELETE FROM assignments WHERE customer_id = $1 \
         AND experiment IN (SELECT experiment FROM assignments WHERE customer_id = $2)",
    ];
    for sql in DROPS.into_iter().chain(OLDER_ARM) {
        diesel::sql_query(sql).bind::<BigInt, _>(from.0).bind::<BigInt, _>(to.0).execute(conn)?;
    }
    for table in ["assignments", "messages", "decisions", "enrolments", "mail_events"] {
        diesel::sql_query(format!("UPDATE {table} SET customer_id = $1 WHERE customer_id = $2"))
            .bind::<BigInt, _>(to.0)
            .bind::<BigInt, _>(from.0)
            .execute(conn)?;
    }
    store::redirect(conn, from, to)
}

/// Takes a customer off the at-risk list, whose entries are found by what their score says.
pub fn leave_at_risk_list(conn: &mut Conn, customer: CustomerId) -> QueryResult<()> {
    const ENTRIES: &str = "SELECT s.store_id, r.edition, SEGMENT, s.risk_rank FROM scores s \
        JOIN scoring_runs r ON r.store_id = s.store_id WHERE s.customer_id = $ID AND s.risk_rank IS NOT NULL";
    let entries = |segment: &str, id: &str| ENTRIES.replace("SEGMENT", segment).replace("$ID", id);
    diesel::sql_query(format!(
        "DELETE FROM at_risk_list WHERE customer_id = $1 AND (store_id, edition, segment, risk_rank) IN ({} UNION ALL {})",
        entries("''", "$2"),
        entries("s.segment", "$3"),
    ))
    .bind::<BigInt, _>(customer)
    .bind::<BigInt, _>(customer)
    .bind::<BigInt, _>(customer)
    .execute(conn)?;
    Ok(())
}
