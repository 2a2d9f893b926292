//! What a rule decided in shadow, day by day: to be set beside what the backtest says of the same days.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use jiff::civil::Date;

use crate::db::Conn;
use crate::primitives::{CustomerId, RuleId, Timestamp};
use crate::rules::{self, Rule, RuleStatus};
use crate::stores::Store;

/// The last days that a rule spent in shadow with one trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadowed {
    /// As it stood at their end.
    pub rule: Rule,
    pub began: Timestamp,
    /// `None`: it still is in shadow.
    pub ended: Option<Timestamp>,
    /// The first whole day, and the day that is no longer one; alike where there is none yet.
    pub from: Date,
    pub to: Date,
}

/// What it decided on these days.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decided {
    /// By outcome and reason. What only the shadow kept back is `sent`.
    pub outcomes: BTreeMap<(String, Option<String>), u64>,
    /// Entered, held out included; and would-be sends.
    pub days: BTreeMap<Date, [u64; 2]>,
}

/// `None` where the rule never was in shadow.
pub fn last(
    conn: &mut Conn,
    store: &Store,
    rule: RuleId,
    now: Timestamp,
) -> QueryResult<Option<Shadowed>> {
    let versions = rules::store::versions(conn, rule)?;
    Ok(run_of(&versions).map(|(rule, began, ended)| {
        let zone = &store.timezone;
        let first = began.day_in(zone);
        let from = if zone.start_of(first) == began { Some(first) } else { first.tomorrow().ok() };
        let from = from.unwrap_or(first);
        let to = ended.unwrap_or(now).day_in(zone).max(from);
        Shadowed { rule: rule.clone(), began, ended, from, to }
    }))
}

/// `versions`: newest first. A version that changes neither status nor trigger goes on.
fn run_of(versions: &[(i32, Timestamp, Rule)]) -> Option<(&Rule, Timestamp, Option<Timestamp>)> {
    let is_shadow = |rule: &Rule| rule.status == RuleStatus::Shadow;
    let at = versions.iter().position(|(_, _, rule)| is_shadow(rule))?;
    let ended = at.checked_sub(1).map(|later| versions[later].1);
    let last = &versions[at].2;
    let goes_on =
        |(_, _, rule): &&(i32, Timestamp, Rule)| is_shadow(rule) && rule.trigger == last.trigger;
    let began = versions[at..].iter().take_while(goes_on).last()?.1;
    Some((last, began, ended))
}

/// The decisions of the days from `from` up to before `to`.
pub fn decided(
    conn: &mut Conn,
    store: &Store,
    rule: RuleId,
    from: Date,
    to: Date,
) -> QueryResult<Decided> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        quarter: i64,
        #[diesel(sql_type = Text)]
        outcome: String,
        #[diesel(sql_type = Nullable<Text>)]
        reason: Option<String>,
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    // Days begin on a quarter of an hour in every zone there is: so few rows, however many decisions.
    const QUARTER: i64 = 900_000_000;
    let zone = &store.timezone;
    let rows: Vec<Row> = diesel::sql_query(format!(
        "SELECT at / {QUARTER} AS quarter, outcome, reason, COUNT(*) AS n FROM decisions WHERE rule_id = {} \
         AND at >= {} AND at < {} GROUP BY at / {QUARTER}, outcome, reason",
        rule.0,
        zone.start_of(from).0,
        zone.start_of(to).0,
    ))
    .load(conn)?;
    let mut decided = Decided::default();
    for row in rows {
        let n = row.n.unsigned_abs();
        let day = decided.days.entry(Timestamp(row.quarter * QUARTER).day_in(zone)).or_default();
        let kind = kind_of(row.outcome, row.reason);
        match kind.0.as_str() {
            "enrolled" | "held_out" => day[0] += n,
            "sent" => day[1] += n,
            _ => {}
        }
        *decided.outcomes.entry(kind).or_default() += n;
    }
    Ok(decided)
}

/// An outcome with its reason, as the backtest calls it: what only the shadow kept back would have been sent.
fn kind_of(outcome: String, reason: Option<String>) -> (String, Option<String>) {
    match (outcome.as_str(), reason.as_deref()) {
        ("suppressed", Some("shadow")) => ("sent".to_owned(), None),
        _ => (outcome, reason),
    }
}

/// What it decided about one customer, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfOne {
    pub customer: CustomerId,
    pub outcome: String,
    pub reason: Option<String>,
    pub n: u64,
}

/// The decisions of the days from `from` up to before `to`, by customer.
pub fn decided_of_each(
    conn: &mut Conn,
    store: &Store,
    rule: RuleId,
    from: Date,
    to: Date,
) -> QueryResult<Vec<OfOne>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        customer_id: CustomerId,
        #[diesel(sql_type = Text)]
        outcome: String,
        #[diesel(sql_type = Nullable<Text>)]
        reason: Option<String>,
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let zone = &store.timezone;
    let rows: Vec<Row> = diesel::sql_query(format!(
        "SELECT customer_id, outcome, reason, COUNT(*) AS n FROM decisions WHERE rule_id = {} \
         AND at >= {} AND at < {} GROUP BY customer_id, outcome, reason",
        rule.0,
        zone.start_of(from).0,
        zone.start_of(to).0,
    ))
    .load(conn)?;
    let of_one = |row: Row| {
        let (outcome, reason) = kind_of(row.outcome, row.reason);
        OfOne { customer: row.customer_id, outcome, reason, n: row.n.unsigned_abs() }
    };
    Ok(rows.into_iter().map(of_one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Delay;
    use crate::situation::samples::{browse, rule};

    #[test]
    fn the_days_in_shadow_are_those_of_its_last_trigger() {
        let version = |n: i32, status, after| {
            let stored = rule(1, "browse", browse(Delay::hours(after)));
            (n, Timestamp(i64::from(n)), Rule { status, ..stored.rule })
        };
        let (draft, shadow, live) = (RuleStatus::Draft, RuleStatus::Shadow, RuleStatus::Live);
        let mut versions = vec![
            version(1, draft, 1),
            version(2, shadow, 1),
            version(3, shadow, 2),
            version(4, shadow, 2),
        ];
        let found = |versions: &[(i32, Timestamp, Rule)]| {
            let newest_first: Vec<_> = versions.iter().rev().cloned().collect();
            run_of(&newest_first).map(|(_, began, ended)| (began.0, ended.map(|at| at.0)))
        };
        assert_eq!(found(&versions[..1]), None);
        assert_eq!(found(&versions), Some((3, None)), "another trigger begins anew");
        versions.extend([version(5, live, 2), version(6, live, 3)]);
        assert_eq!(found(&versions), Some((3, Some(5))));
    }
}
