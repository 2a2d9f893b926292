//! What rules earned: mails, people's clicks, orders credited, what the holdout says they caused, and which of a
//! step's wordings does better.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::credit::{self, Credit, Span};
use super::rules::{self, Listed};
use super::trial::{self, Experiment, VariantTest};
use crate::db::Conn;
use crate::primitives::{Delay, RuleId, Timestamp};
use crate::stores::Store;

/// What went out and what people did with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mails {
    pub sent: i64,
    /// Mails of these with a link that a person followed.
    pub clicked: i64,
    /// By machines: events, not mails.
    pub machine_clicks: i64,
}

#[derive(Debug, Clone)]
pub struct Effect {
    pub rule: Listed,
    pub mails: Mails,
    pub credit: Option<Credit>,
    /// `None` where nobody was ever held out.
    pub experiment: Option<Experiment>,
    /// A step's wordings against each other, in the order of the steps.
    pub variants: Vec<VariantTest>,
}

/// What is found for all rules at once: for one it would cost no less.
#[derive(Debug, Default)]
pub struct Sums {
    mails: HashMap<RuleId, Mails>,
    credits: HashMap<RuleId, Credit>,
}

pub fn sums(conn: &mut Conn, store: &Store, span: Span) -> QueryResult<Sums> {
    let credits = credit::by_rule(conn, store, span)?;
    Ok(Sums {
        mails: mails(conn, store, span)?,
        credits: credits.into_iter().map(|credit| (credit.rule_id, credit)).collect(),
    })
}

/// One rule, with what it did and what came of it within `span`, which the sums are of.
pub fn of_rule(
    conn: &mut Conn,
    store: &Store,
    rule: Listed,
    sums: &Sums,
    span: Span,
    now: Timestamp,
) -> QueryResult<Effect> {
    Ok(Effect {
        mails: sums.mails.get(&rule.id).copied().unwrap_or_default(),
        credit: sums.credits.get(&rule.id).copied(),
        experiment: trial::experiment(conn, store, &rule, span, now)?,
        variants: trial::variants(conn, store, &rule, span, now)?,
        rule,
    })
}

/// Every rule of the store, with what it did and what came of it within `span`.
pub fn of_all(
    conn: &mut Conn,
    store: &Store,
    span: Span,
    now: Timestamp,
) -> QueryResult<Vec<Effect>> {
    let sums = sums(conn, store, span)?;
    let rules = rules::all(conn, store)?;
    rules.into_iter().map(|rule| of_rule(conn, store, rule, &sums, span, now)).collect()
}

fn mails(conn: &mut Conn, store: &Store, span: Span) -> QueryResult<HashMap<RuleId, Mails>> {
    #[derive(QueryableByName)]
    struct Counted {
        #[diesel(sql_type = BigInt)]
        rule_id: RuleId,
        #[diesel(sql_type = BigInt)]
        first: i64,
        #[diesel(sql_type = BigInt)]
        second: i64,
    }
    let (id, from, until) = (store.id.0, span.from.0, span.until.0);
    // A message is sent soon after its scheduled time: the index on that bounds the rows, sent_at decides.
    let recent = from - Delay::days(1).micros();
    let sent: Vec<Counted> = diesel::sql_query(format!(
        "SELECT rule_id, COUNT(*) AS first, CAST(0 AS BIGINT) AS second FROM messages \
         WHERE rule_id IN (SELECT id FROM rules WHERE store_id = {id}) AND status = 'sent' AND scheduled_at >= {recent} AND sent_at >= {from} AND sent_at < {until} GROUP BY rule_id",
    ))
    .load(conn)?;
    let clicks: Vec<Counted> = diesel::sql_query(format!(
        "SELECT rule_id, COUNT(DISTINCT CASE WHEN verdict = 'human' THEN message_id END) AS first, \
         COUNT(CASE WHEN verdict = 'machine' THEN 1 END) AS second FROM mail_events \
         WHERE store_id = {id} AND at >= {from} AND at < {until} AND kind = 'click' GROUP BY rule_id",
    ))
    .load(conn)?;
    let mut mails: HashMap<RuleId, Mails> = HashMap::new();
    for row in sent {
        mails.entry(row.rule_id).or_default().sent = row.first;
    }
    for row in clicks {
        let rule = mails.entry(row.rule_id).or_default();
        (rule.clicked, rule.machine_clicks) = (row.first, row.second);
    }
    Ok(mails)
}
