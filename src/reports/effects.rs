//! What rules earned: mails, people's clicks, orders credited, and what the holdout says they caused.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::credit::{self, Credit, Span};
use super::rules::{self, Listed};
use crate::db::Conn;
use crate::experiments::{Comparison, Unit, compare};
use crate::primitives::{Currency, CustomerId, Delay, RuleId, Timestamp};
use crate::rules::{Rule, Step};
use crate::stores::Store;

/// After a rule's last step a customer has this long to do what it is for.
const AFTER_LAST_STEP: Delay = Delay::days(14);
/// Spending before is counted from so long ago.
pub const BEFORE: Delay = Delay::days(365);
/// The store-wide holdout has no last step: this long after first eligibility.
const GLOBAL_WINDOW: Delay = Delay::days(90);
/// The store-wide holdout's experiment.
pub const GLOBAL: &str = "global";

/// How long what a customer does counts, from their first eligibility: a mail of the last step can still matter.
pub fn window(rule: &Rule) -> Delay {
    // A step that waits for an event may come as late as it allows.
    let latest = |step: &Step| step.wait.as_seconds() + step.at_most.map_or(0, Delay::as_seconds);
    let waits: i64 = rule.steps.iter().map(latest).sum();
    Delay::seconds(AFTER_LAST_STEP.as_seconds() + waits)
}

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
}

#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub window: Delay,
    /// Became eligible, and still have time: they are in no figure yet.
    pub open: i64,
    pub comparison: Comparison,
}

/// Every rule of the store, with what it did and what came of it within `span`.
pub fn of_all(
    conn: &mut Conn,
    store: &Store,
    span: Span,
    now: Timestamp,
) -> QueryResult<Vec<Effect>> {
    let mut credits: HashMap<RuleId, Credit> =
        credit::by_rule(conn, store, span)?.into_iter().map(|c| (c.rule_id, c)).collect();
    let mails = mails(conn, store, span)?;
    let mut effects = Vec::new();
    for rule in rules::all(conn, store)? {
        effects.push(Effect {
            mails: mails.get(&rule.id).copied().unwrap_or_default(),
            credit: credits.remove(&rule.id),
            experiment: experiment(conn, store, &rule, span, now)?,
            rule,
        });
    }
    Ok(effects)
}

/// One rule's experiment.
pub fn experiment(
    conn: &mut Conn,
    store: &Store,
    rule: &Listed,
    span: Span,
    now: Timestamp,
) -> QueryResult<Option<Experiment>> {
    of(conn, store, &rule.key, Some(rule.id), window(&rule.rule), span, now)
}

/// What all marketing mail together causes, by the store-wide holdout.
pub fn global(
    conn: &mut Conn,
    store: &Store,
    span: Span,
    now: Timestamp,
) -> QueryResult<Option<Experiment>> {
    of(conn, store, GLOBAL, None, GLOBAL_WINDOW, span, now)
}

fn of(
    conn: &mut Conn,
    store: &Store,
    experiment: &str,
    rule: Option<RuleId>,
    window: Delay,
    span: Span,
    now: Timestamp,
) -> QueryResult<Option<Experiment>> {
    let assigned = Assigned { store, experiment, rule, span };
    let rows = assigned.load(conn, window, now)?;
    let is_over = |row: &&Row| row.assigned_at.plus(window) <= now;
    let units: Vec<Unit> = rows.iter().filter(is_over).map(Row::unit).collect();
    if rows.iter().all(|row| row.arm != "holdout") {
        return Ok(None);
    }
    let days = match (rows.iter().map(|row| row.assigned_at).min(), span.until.min(now)) {
        (Some(first), last) => last.days_since(first).max(1.0),
        (None, _) => 1.0,
    };
    Ok(Some(Experiment {
        window,
        open: (rows.len() - units.len()) as i64,
        comparison: compare(&units, rows.len() as f64 / days),
    }))
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    arm: String,
    #[diesel(sql_type = BigInt)]
    assigned_at: Timestamp,
    #[diesel(sql_type = BigInt)]
    orders: i64,
    #[diesel(sql_type = BigInt)]
    revenue: i64,
    #[diesel(sql_type = BigInt)]
    before: i64,
}

impl Row {
    fn unit(&self) -> Unit {
        Unit {
            treated: self.arm == "treatment",
            orders: u32::try_from(self.orders).unwrap_or(u32::MAX),
            revenue: self.revenue as f64,
            before: self.before as f64,
        }
    }
}

/// Who was assigned to an arm of one experiment within a span.
struct Assigned<'a> {
    store: &'a Store,
    experiment: &'a str,
    rule: Option<RuleId>,
    span: Span,
}

impl Assigned<'_> {
    /// FROM and WHERE; `name` is the parameter that is the experiment's. Whoever was assigned while the rule was in shadow is in neither
    /// arm: nothing was ever sent to them for it.
    fn from(&self, joined: &str, name: &str) -> String {
        let in_shadow = self.rule.map_or(String::new(), |RuleId(rule)| {
            format!(
                " AND NOT EXISTS (SELECT 1 FROM enrolments s WHERE s.customer_id = a.customer_id \
                 AND s.rule_id = {rule} AND s.shadow AND s.created_at <= a.assigned_at)"
            )
        });
        format!(
            "FROM assignments a JOIN customers c ON c.id = a.customer_id {joined} WHERE a.experiment = {name} \
             AND c.store_id = {} AND a.assigned_at >= {} AND a.assigned_at < {}{in_shadow}",
            self.store.id.0, self.span.from.0, self.span.until.0
        )
    }

    fn load(&self, conn: &mut Conn, window: Delay, now: Timestamp) -> QueryResult<Vec<Row>> {
        let (window, before) = (window.micros(), BEFORE.micros());
        let after = format!(
            "o.placed_at > a.assigned_at AND o.placed_at <= a.assigned_at + {window} AND o.placed_at <= {}",
            now.0
        );
        let money = "o.currency = $1 THEN o.total - o.refunded";
        let joined = format!(
            "LEFT JOIN orders o ON o.customer_id = a.customer_id AND o.counts \
             AND o.placed_at > a.assigned_at - {before} AND o.placed_at <= a.assigned_at + {window}"
        );
        // SQLite numbers parameters as they first appear: the currency comes first.
        diesel::sql_query(format!(
            "SELECT arm, assigned_at, CAST(orders AS BIGINT) AS orders, CAST(revenue AS BIGINT) AS revenue, \
             CAST(spent AS BIGINT) AS before FROM (SELECT a.customer_id, a.arm, a.assigned_at, \
             COALESCE(SUM(CASE WHEN {after} THEN 1 ELSE 0 END), 0) AS orders, \
             COALESCE(SUM(CASE WHEN {after} AND {money} ELSE 0 END), 0) AS revenue, \
             COALESCE(SUM(CASE WHEN o.placed_at <= a.assigned_at AND {money} ELSE 0 END), 0) AS spent \
             {} GROUP BY a.customer_id, a.arm, a.assigned_at) units",
            self.from(&joined, "$2")
        ))
        .bind::<Text, _>(self.store.currency.as_str())
        .bind::<Text, _>(self.experiment)
        .load(conn)
    }
}

/// An order of a customer of one arm, within their window.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct ArmOrder {
    #[diesel(sql_type = BigInt)]
    pub customer_id: CustomerId,
    #[diesel(sql_type = Text)]
    pub order_id: String,
    #[diesel(sql_type = BigInt)]
    pub placed_at: Timestamp,
    #[diesel(sql_type = Text)]
    pub currency: Currency,
    #[diesel(sql_type = BigInt)]
    pub total: i64,
    #[diesel(sql_type = BigInt)]
    pub refunded: i64,
    #[diesel(sql_type = BigInt)]
    pub assigned_at: Timestamp,
}

/// The orders behind one arm's figures, newest first, after `after`.
#[expect(clippy::too_many_arguments, reason = "whose, of which arm, when, and which page")]
pub fn arm_orders(
    conn: &mut Conn,
    store: &Store,
    rule: &Listed,
    arm: &'static str,
    span: Span,
    now: Timestamp,
    after: Option<&(Timestamp, String)>,
    limit: i64,
) -> QueryResult<Vec<ArmOrder>> {
    let assigned = Assigned { store, experiment: &rule.key, rule: Some(rule.id), span };
    let window = window(&rule.rule).micros();
    let (at, id) = after.cloned().unwrap_or((Timestamp::MAX, String::new()));
    let joined = format!(
        "JOIN orders o ON o.customer_id = a.customer_id AND o.counts AND o.placed_at > a.assigned_at \
         AND o.placed_at <= a.assigned_at + {window}"
    );
    diesel::sql_query(format!(
        "SELECT o.customer_id, o.order_id, o.placed_at, o.currency, o.total, o.refunded, a.assigned_at {} \
         AND a.arm = '{arm}' AND a.assigned_at + {window} <= {} \
         AND (o.placed_at < $2 OR (o.placed_at = $3 AND o.order_id > $4)) \
         ORDER BY o.placed_at DESC, o.order_id LIMIT {limit}",
        assigned.from(&joined, "$1"),
        now.0
    ))
    .bind::<Text, _>(&rule.key)
    .bind::<BigInt, _>(at)
    .bind::<BigInt, _>(at)
    .bind::<Text, _>(id)
    .load(conn)
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
        "SELECT rule_id, COUNT(*) AS first, CAST(0 AS BIGINT) AS second FROM messages WHERE store_id = {id} \
         AND status = 'sent' AND scheduled_at >= {recent} AND sent_at >= {from} AND sent_at < {until} GROUP BY rule_id",
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
