//! Experiments as the tables tell of them: those held out of a rule, or of all, and the wordings of a step.
//!
//! A customer belongs to what chance drew for them when they first became eligible, whatever became of them since.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text};

use super::credit::Span;
use super::rules::Listed;
use crate::db::Conn;
use crate::experiments::{ArmFigures, Asked, Comparison, Unit, compare};
use crate::primitives::{Delay, RuleId, Timestamp};
use crate::rules::{self, Rule, Step};
use crate::stores::Store;

/// After a rule's last step a customer has this long to do what it is for.
const AFTER_LAST_STEP: Delay = Delay::days(14);
/// Spending before is counted from so long ago.
pub const BEFORE: Delay = Delay::days(365);
/// The store-wide holdout has no last step: this long after first eligibility.
pub const GLOBAL_WINDOW: Delay = Delay::days(90);
/// The store-wide holdout's experiment. No rule has this key.
pub const GLOBAL: &str = "global";

/// How long what a customer does counts, from their first eligibility: a mail of the last step can still matter.
pub fn window(rule: &Rule) -> Delay {
    // A step that waits for an event may come as late as it allows.
    let latest = |step: &Step| step.wait.as_seconds() + step.at_most.map_or(0, Delay::as_seconds);
    let waits: i64 = rule.steps.iter().map(latest).sum();
    Delay::seconds(AFTER_LAST_STEP.as_seconds() + waits)
}

/// Customers who take part in one experiment, each with what chance drew for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// Those held out of a rule, and those with it.
    Holdout(RuleId),
    /// Those held out of all rules, and the others.
    Global,
    /// Those who entered a rule, by the wording of one of its steps.
    Wording { rule: RuleId, step: i32 },
}

/// A trial's customers who came to it within a span, and for how long each is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Cohort<'a> {
    pub store: &'a Store,
    pub trial: Trial,
    pub span: Span,
    pub window: Delay,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub window: Delay,
    /// Became eligible, and still have time: they are in no figure yet.
    pub open: i64,
    pub comparison: Comparison,
}

/// The wordings of one step against the one that its rule names first.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantTest {
    /// From 1.
    pub step: i32,
    pub window: Delay,
    pub open: i64,
    pub first: String,
    pub first_figures: ArmFigures,
    /// In the order of the rule, then those that it does not name any more.
    pub others: Vec<(String, Comparison)>,
}

/// One rule's experiment; `None` where nobody was ever held out.
pub fn experiment(
    conn: &mut Conn,
    store: &Store,
    rule: &Listed,
    span: Span,
    now: Timestamp,
) -> QueryResult<Option<Experiment>> {
    let (trial, window) = (Trial::Holdout(rule.id), window(&rule.rule));
    held_out(conn, Cohort { store, trial, span, window }, now)
}

/// What all marketing mail together causes, by the store-wide holdout.
pub fn global(
    conn: &mut Conn,
    store: &Store,
    span: Span,
    now: Timestamp,
) -> QueryResult<Option<Experiment>> {
    held_out(conn, Cohort { store, trial: Trial::Global, span, window: GLOBAL_WINDOW }, now)
}

fn held_out(conn: &mut Conn, cohort: Cohort, now: Timestamp) -> QueryResult<Option<Experiment>> {
    let rows = cohort.load(conn, now)?;
    if rows.iter().all(|row| row.arm != "holdout") {
        return Ok(None);
    }
    let over: Vec<&Row> = rows.iter().filter(|row| cohort.is_over(row, now)).collect();
    let units: Vec<Unit> =
        over.iter().map(|row| row.unit(row.arm == "treatment", row.odds.to_bits())).collect();
    let asked = Asked { per_day: per_day(&rows, cohort.span, now), comparisons: 1 };
    Ok(Some(Experiment {
        window: cohort.window,
        open: (rows.len() - over.len()) as i64,
        comparison: compare(&units, asked),
    }))
}

/// Of each step that ever had several wordings. They are drawn for those who enter, so nobody held out is in it.
pub fn variants(
    conn: &mut Conn,
    store: &Store,
    rule: &Listed,
    span: Span,
    now: Timestamp,
) -> QueryResult<Vec<VariantTest>> {
    let versions = rules::store::versions(conn, rule.id)?;
    let steps = versions.iter().map(|(_, _, rule)| rule.steps.len()).max().unwrap_or(0);
    let mut tests = Vec::new();
    for step in 0..steps {
        let odds = Odds::of(&versions, step);
        if odds.names.is_empty() {
            continue;
        }
        let step = step as i32 + 1;
        let trial = Trial::Wording { rule: rule.id, step };
        let cohort = Cohort { store, trial, span, window: window(&rule.rule) };
        let rows = cohort.load(conn, now)?;
        tests.extend(wordings(&cohort, step, odds, &rows, now));
    }
    Ok(tests)
}

/// The wordings that a step ever had, newest version first, and which versions drew by the same odds.
struct Odds {
    names: Vec<String>,
    by_version: BTreeMap<i32, u64>,
}

impl Odds {
    fn of(versions: &[(i32, Timestamp, Rule)], step: usize) -> Self {
        let mut known: Vec<Vec<(&str, u32)>> = Vec::new();
        let mut odds = Self { names: Vec::new(), by_version: BTreeMap::new() };
        for (version, _, rule) in versions {
            let drawn = rule.steps.get(step).map_or(&[][..], |step| &step.variants);
            for variant in drawn {
                if !odds.names.contains(&variant.name) {
                    odds.names.push(variant.name.clone());
                }
            }
            let weights: Vec<(&str, u32)> =
                drawn.iter().map(|variant| (variant.name.as_str(), variant.weight)).collect();
            let place = known.iter().position(|known| *known == weights).unwrap_or_else(|| {
                known.push(weights);
                known.len() - 1
            });
            odds.by_version.insert(*version, place as u64);
        }
        odds
    }

    fn stratum(&self, row: &Row) -> u64 {
        self.by_version.get(&(row.odds as i32)).copied().unwrap_or(u64::MAX)
    }
}

fn wordings(
    cohort: &Cohort,
    step: i32,
    odds: Odds,
    rows: &[Row],
    now: Timestamp,
) -> Option<VariantTest> {
    let over: Vec<&Row> = rows.iter().filter(|row| cohort.is_over(row, now)).collect();
    let (first, others) = odds.names.split_first()?;
    // One that nobody was drawn to within the span asks no question, and makes no other harder to answer.
    let others: Vec<&String> =
        others.iter().filter(|name| rows.iter().any(|row| row.arm == **name)).collect();
    let figures = |name: &str| {
        let mut figures = ArmFigures::default();
        for row in over.iter().filter(|row| row.arm == name) {
            figures.customers += 1;
            figures.converted += u64::from(row.orders > 0);
            figures.orders += row.orders.unsigned_abs();
            figures.revenue += row.revenue as f64;
        }
        figures.revenue_winsorised = figures.revenue;
        figures
    };
    let comparisons = others.len() as u32;
    let against = |name: &String| {
        let is_of = |row: &&Row| row.arm == *name || row.arm == *first;
        let of: Vec<Unit> = over
            .iter()
            .copied()
            .filter(is_of)
            .map(|row| row.unit(row.arm == *name, odds.stratum(row)))
            .collect();
        let all = rows.iter().filter(is_of);
        let asked = Asked { per_day: per_day(all, cohort.span, now), comparisons };
        (name.clone(), compare(&of, asked))
    };
    Some(VariantTest {
        step,
        window: cohort.window,
        open: (rows.len() - over.len()) as i64,
        first: first.clone(),
        first_figures: figures(first),
        others: others.into_iter().map(against).collect(),
    })
}

/// How many come to it a day.
fn per_day<'r>(
    rows: impl IntoIterator<Item = &'r Row, IntoIter: Clone>,
    span: Span,
    now: Timestamp,
) -> f64 {
    let rows = rows.into_iter();
    let n = rows.clone().count() as f64;
    let first = rows.map(|row| row.assigned_at).min();
    first.map_or(0.0, |first| n / span.until.min(now).days_since(first).max(1.0))
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    arm: String,
    /// What those drawn by the same odds have in common: the share, or the rule's version.
    #[diesel(sql_type = Double)]
    odds: f64,
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
    fn unit(&self, treated: bool, stratum: u64) -> Unit {
        Unit {
            treated,
            stratum,
            orders: u32::try_from(self.orders).unwrap_or(u32::MAX),
            revenue: self.revenue as f64,
            before: self.before as f64,
        }
    }
}

impl Cohort<'_> {
    fn is_over(&self, row: &Row, now: Timestamp) -> bool {
        row.assigned_at.plus(self.window) <= now
    }

    /// Its customers, as a query of trusted text: `customer_id`, `arm`, `odds`, `assigned_at`.
    ///
    /// Whoever was drawn while the rule was in shadow is in no arm: nothing was ever sent to them for it.
    pub(super) fn people(&self) -> String {
        let Span { from, until } = self.span;
        match self.trial {
            Trial::Holdout(RuleId(rule)) => format!(
                "SELECT a.customer_id, a.arm, COALESCE(a.share, -1) AS odds, a.assigned_at \
                 FROM assignments a JOIN customers c ON c.id = a.customer_id AND c.store_id = {} \
                 WHERE a.experiment = (SELECT r.key FROM rules r WHERE r.id = {rule}) AND a.assigned_at >= {} AND a.assigned_at < {} \
                 AND NOT EXISTS (SELECT 1 FROM enrolments s WHERE s.customer_id = a.customer_id \
                 AND s.rule_id = {rule} AND s.shadow AND s.created_at <= a.assigned_at)",
                self.store.id.0, from.0, until.0
            ),
            Trial::Global => format!(
                "SELECT a.customer_id, a.arm, COALESCE(a.share, -1) AS odds, a.assigned_at \
                 FROM assignments a JOIN customers c ON c.id = a.customer_id AND c.store_id = {} \
                 WHERE a.experiment = '{GLOBAL}' AND a.assigned_at >= {} AND a.assigned_at < {}",
                self.store.id.0, from.0, until.0
            ),
            // Who enters again has the same lot, unless the wordings were changed: the first one counts.
            Trial::Wording { rule: RuleId(rule), step } => format!(
                "SELECT m.customer_id, m.variant AS arm, CAST(m.rule_version AS DOUBLE PRECISION) AS odds, \
                 e.enrolled_at AS assigned_at FROM messages m \
                 JOIN enrolments e ON e.customer_id = m.customer_id AND e.id = m.enrolment_id \
                 WHERE m.rule_id = {rule} AND m.step = {step} AND m.variant IS NOT NULL AND NOT m.shadow \
                 AND e.enrolled_at >= {} AND e.enrolled_at < {} AND NOT EXISTS (SELECT 1 FROM messages b \
                 WHERE b.customer_id = m.customer_id AND b.rule_id = m.rule_id AND b.step = m.step \
                 AND b.variant IS NOT NULL AND NOT b.shadow AND b.id < m.id)",
                from.0, until.0
            ),
        }
    }

    fn load(&self, conn: &mut Conn, now: Timestamp) -> QueryResult<Vec<Row>> {
        let (window, before) = (self.window.micros(), BEFORE.micros());
        let after = format!(
            "o.placed_at > u.assigned_at AND o.placed_at <= u.assigned_at + {window} AND o.placed_at <= {}",
            now.0
        );
        let money = "o.currency = $1 THEN o.total - o.refunded";
        diesel::sql_query(format!(
            "SELECT arm, odds, assigned_at, CAST(orders AS BIGINT) AS orders, CAST(revenue AS BIGINT) AS revenue, \
             CAST(spent AS BIGINT) AS before FROM (SELECT u.customer_id, u.arm, u.odds, u.assigned_at, \
             COALESCE(SUM(CASE WHEN {after} THEN 1 ELSE 0 END), 0) AS orders, \
             COALESCE(SUM(CASE WHEN {after} AND {money} ELSE 0 END), 0) AS revenue, \
             COALESCE(SUM(CASE WHEN o.placed_at <= u.assigned_at AND {money} ELSE 0 END), 0) AS spent \
             FROM ({}) u LEFT JOIN orders o ON o.customer_id = u.customer_id AND o.counts \
             AND o.placed_at > u.assigned_at - {before} AND o.placed_at <= u.assigned_at + {window} \
             GROUP BY u.customer_id, u.arm, u.odds, u.assigned_at) units",
            self.people()
        ))
        .bind::<Text, _>(self.store.currency.as_str())
        .load(conn)
    }
}
