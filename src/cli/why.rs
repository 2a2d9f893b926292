//! `homing why`: the ledger of one customer.

use clap::Args;

use super::CliError;
use super::score::parse_time;
use super::tick::Format;
use crate::backtest::then;
use crate::db::{Db, DbError};
use crate::identity;
use crate::ledger::{self, Decision};
use crate::planner::why;
use crate::primitives::{Clock, Timestamp};
use crate::rules::condition::Needs;
use crate::rules::{self, RuleStatus, StoredRule};
use crate::situation;
use crate::stores::Store;

/// More lines than anybody reads; the newest are what is asked for.
const LINES: i64 = 1_000;

#[derive(Args)]
pub struct WhyArgs {
    /// An id, `ext:EXTERNAL_ID`, or an e-mail address.
    customer: String,
    /// Of this rule alone.
    #[arg(long, value_name = "KEY")]
    rule: Option<String>,
    /// As of then: an instant, or a date, which means its end in the store's zone. What has no row is recomputed from
    /// what was known.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(args: &WhyArgs, db: &Db, store: &Store) -> Result<(), CliError> {
    let at = args.at.as_deref().map(|raw| parse_time("--at", raw, store)).transpose()?;
    let decisions = read(args, db, store, at, Clock::System.now())?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&decisions)?),
        Format::Table => print!("{}", table(&decisions)),
    }
    Ok(())
}

fn read(
    args: &WhyArgs,
    db: &Db,
    store: &Store,
    at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Vec<Decision>, CliError> {
    enum Found {
        NoCustomer,
        NoRule,
        Ledger(Vec<Decision>),
    }
    let found = db.read_here(|conn| -> Result<Found, DbError> {
        let Some(customer) = identity::store::find_customer(conn, store.id, &args.customer)? else {
            return Ok(Found::NoCustomer);
        };
        if let Some(key) = &args.rule
            && rules::store::find_by_key(conn, store.id, key)?.is_none()
        {
            return Ok(Found::NoRule);
        }
        let rule = args.rule.as_deref();
        let recorded = ledger::store::of_customer_after(conn, customer, rule, at, None, LINES)?;
        if let Some(at) = at {
            let mut lines = then::unrecorded(conn, store, customer, rule, &recorded, at)?;
            lines.extend(recorded);
            return Ok(Found::Ledger(lines));
        }
        let is_asked_for = |r: &StoredRule| {
            matches!(r.status, RuleStatus::Live | RuleStatus::Shadow)
                && rule.is_none_or(|key| key == r.rule.key)
        };
        let live: Vec<StoredRule> =
            rules::store::all(conn, store.id)?.into_iter().filter(is_asked_for).collect();
        let situation = {
            let needs = Needs::of(live.iter().flat_map(|rule| rule.rule.conditions()));
            situation::store::load_for(conn, store, &[customer], &needs, now)?
        };
        let mut lines = situation.first().map_or_else(Vec::new, |situation| {
            let is_known =
                |rule: &StoredRule| recorded.iter().any(|line| line.rule == rule.rule.key);
            why::unrecorded(&live, situation, is_known, now)
        });
        lines.extend(recorded);
        Ok(Found::Ledger(lines))
    })?;
    match found {
        Found::Ledger(lines) => Ok(lines),
        Found::NoCustomer => {
            Err(CliError::usage_text(format!("there is no customer `{}`", args.customer))
                .hint("write an id, ext:EXTERNAL_ID, or an e-mail address"))
        }
        Found::NoRule => {
            let key = args.rule.as_deref().unwrap_or_default();
            Err(CliError::usage_text(format!("there is no rule `{key}`"))
                .hint("see which there are: homing rules list"))
        }
    }
}

/// Newest first, a line each; facts behind.
fn table(decisions: &[Decision]) -> String {
    if decisions.is_empty() {
        return "No rule has anything to say about this customer yet.\n".to_owned();
    }
    let row = |d: &Decision| {
        let step = d.step.map_or_else(|| "-".to_owned(), |step| step.to_string());
        let reason = d.reason.map_or("", |reason| reason.as_str());
        let facts: Vec<String> =
            d.facts.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
        (
            d.at.to_string(),
            d.rule.clone(),
            step,
            d.outcome.to_string(),
            reason.to_owned(),
            facts.join(" "),
        )
    };
    let rows: Vec<_> = decisions.iter().map(row).collect();
    let at = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
    let rule = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!(
        "{:<at$}  {:<rule$}  step  {:<12}  {:<19}  facts\n",
        "at", "rule", "outcome", "reason"
    );
    for (time, key, step, outcome, reason, facts) in rows {
        text += &format!(
            "{time:<at$}  {key:<rule$}  {step:<4}  {outcome:<12}  {reason:<19}  {facts}\n"
        );
    }
    text
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
