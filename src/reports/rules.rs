//! Rules with what they did lately.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};

use super::capped_count;
use crate::db::Conn;
use crate::primitives::{Delay, RuleId, Timestamp};
use crate::rules::{PauseReason, Rule, RuleStatus, TriggerKind};
use crate::stores::Store;

/// A rule with its definition in force.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: RuleId,
    pub key: String,
    pub version: i32,
    pub status: RuleStatus,
    pub live_since: Option<Timestamp>,
    pub retired_at: Option<Timestamp>,
    /// Why the program paused it by itself, and since when.
    pub paused: Option<(PauseReason, Timestamp)>,
    pub rule: Rule,
}

impl Listed {
    /// Its name, or its key where it has none.
    pub fn title(&self) -> &str {
        if self.rule.name.is_empty() { &self.key } else { &self.rule.name }
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: RuleId,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    status: RuleStatus,
    #[diesel(sql_type = Nullable<BigInt>)]
    live_since: Option<Timestamp>,
    #[diesel(sql_type = Nullable<BigInt>)]
    retired_at: Option<Timestamp>,
    #[diesel(sql_type = Nullable<Text>)]
    paused_for: Option<PauseReason>,
    #[diesel(sql_type = Nullable<BigInt>)]
    paused_at: Option<Timestamp>,
    #[diesel(sql_type = Text)]
    definition: String,
}

/// All rules of the store, the retired ones too: the ledger names them still. A definition that cannot be read is
/// left out and logged; it was written by another version of this program.
pub fn all(conn: &mut Conn, store: &Store) -> QueryResult<Vec<Listed>> {
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT r.id, r.key, r.version, r.status, r.live_since, r.retired_at, r.paused_for, r.paused_at, v.definition FROM rules r \
         JOIN rule_versions v ON v.rule_id = r.id AND v.version = r.version WHERE r.store_id = $1 ORDER BY r.position, r.id",
    )
    .bind::<BigInt, _>(store.id)
    .load(conn)?;
    let mut rules = Vec::with_capacity(rows.len());
    for row in rows {
        match serde_json::from_str::<Rule>(&row.definition) {
            Ok(rule) => rules.push(Listed {
                id: row.id,
                key: row.key,
                version: row.version,
                status: row.status,
                live_since: row.live_since,
                retired_at: row.retired_at,
                paused: row.paused_for.zip(row.paused_at),
                rule,
            }),
            Err(error) => {
                tracing::error!(rule = row.id.0, %error, "a rule's definition cannot be read")
            }
        }
    }
    Ok(rules)
}

/// Names of all rules, for ledgers and lists.
pub fn names(conn: &mut Conn, store: &Store) -> QueryResult<HashMap<i64, RuleName>> {
    #[derive(QueryableByName)]
    struct Named {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Text)]
        key: String,
        #[diesel(sql_type = Text)]
        definition: String,
    }
    #[derive(serde::Deserialize)]
    struct NameOnly {
        #[serde(default)]
        name: String,
    }
    let rows: Vec<Named> = diesel::sql_query(
        "SELECT r.id, r.key, v.definition FROM rules r \
         JOIN rule_versions v ON v.rule_id = r.id AND v.version = r.version WHERE r.store_id = $1",
    )
    .bind::<BigInt, _>(store.id)
    .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let name =
                serde_json::from_str::<NameOnly>(&row.definition).map_or(String::new(), |d| d.name);
            let name = if name.is_empty() { row.key.clone() } else { name };
            (row.id, RuleName { key: row.key, name })
        })
        .collect())
}

#[derive(Debug, Clone, PartialEq)]
pub struct RuleName {
    pub key: String,
    pub name: String,
}

/// How often a rule came to an outcome, for one reason.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Outcome {
    #[diesel(sql_type = BigInt)]
    pub rule_id: i64,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub n: i64,
}

/// The decisions of the store's rules since `since`, counted; an index holds all that is read.
pub fn outcomes(conn: &mut Conn, store: &Store, since: Timestamp) -> QueryResult<Vec<Outcome>> {
    diesel::sql_query(
        "SELECT rule_id, outcome, reason, COUNT(*) AS n FROM decisions \
         WHERE rule_id IN (SELECT id FROM rules WHERE store_id = $1) AND at >= $2 \
         GROUP BY rule_id, outcome, reason ORDER BY n DESC",
    )
    .bind::<BigInt, _>(store.id)
    .bind::<BigInt, _>(since)
    .load(conn)
}

/// Messages of a rule not sent yet, at most `CAP` + 1.
pub fn planned(conn: &mut Conn, rule: RuleId) -> QueryResult<i64> {
    let from = format!("FROM messages WHERE rule_id = {} AND status = 'scheduled'", rule.0);
    capped_count(conn, &from)
}

/// How many customers reach a rule's moment plus delay within `span` from `now`, by what has happened so far and before
/// audience and guardrails; at most `CAP` + 1. `None` where the moment is no column of the rollup.
pub fn falling_due(
    conn: &mut Conn,
    store: &Store,
    trigger: &TriggerKind,
    now: Timestamp,
    span: Delay,
) -> QueryResult<Option<i64>> {
    let column = match trigger {
        TriggerKind::VisitedWithoutBuying { .. } => "last_seen_at",
        TriggerKind::CartAbandoned { .. } => "cart_updated_at",
        TriggerKind::CheckoutAbandoned { .. } => "checkout_started_at",
        TriggerKind::FirstOrder { .. } => "first_order_at",
        TriggerKind::Order { .. }
        | TriggerKind::RepurchaseDue { after: Some(_) }
        | TriggerKind::WinBack { .. } => "last_order_at",
        TriggerKind::RepurchaseDue { after: None } => "next_order_expected_at",
        // Who crosses a line when is for the next scorings to tell.
        TriggerKind::SegmentEntered { .. }
        | TriggerKind::AtRisk { .. }
        | TriggerKind::Date { .. }
        | TriggerKind::Schedule { .. } => return Ok(None),
    };
    let table = if column == "next_order_expected_at" { "scores" } else { "rollups" };
    let from = now.minus(trigger.after());
    let until = from.plus(span);
    let sql = format!(
        "FROM {table} WHERE store_id = {} AND {column} IS NOT NULL AND {column} > {} AND {column} <= {}",
        store.id.0, from.0, until.0
    );
    capped_count(conn, &sql).map(Some)
}
