//! `homing rules`: what is in force, what a rule would have done, and the way out of a pause.

mod backtest;
pub mod gallery;
pub mod test;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::CliError;
use super::table::Table;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::ledger::Instants;
use crate::outbox;
use crate::planner::moves;
use crate::primitives::Clock;
use crate::rules::{self, RuleStatus, StoredRule};
use crate::secret::Secret;
use crate::stores::{self, PauseReason, Store};

#[derive(Subcommand)]
pub enum RulesCommand {
    /// List the store's rules.
    List {
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Lift a rule's pause: it is live again, for what falls due from now on. With --sending, lift the pause that the
    /// program laid over all marketing mail of the store.
    Resume {
        #[arg(required_unless_present = "sending", conflicts_with = "sending")]
        key: Option<String>,
        #[arg(long)]
        sending: bool,
    },
    /// Pause a rule: what is planned waits while it is of use. With --sending, pause all marketing mail of the store.
    Pause {
        #[arg(required_unless_present = "sending", conflicts_with = "sending")]
        key: Option<String>,
        #[arg(long)]
        sending: bool,
    },
    /// Move everybody who is still in an older version of a rule to the one in force: what they have not been sent yet
    /// goes by its steps.
    Move { key: String },
    /// Run the [[rule.test]] blocks of a shop.toml. Opens no database; exit 1 if one fails.
    Test { file: PathBuf },
    /// Ready rules with their tests, as text to paste into shop.toml. Opens no database.
    Gallery(gallery::GalleryArgs),
    /// What a rule would have done over the last months, decided by the engine that plans and sends. Writes nothing.
    Backtest(backtest::BacktestArgs),
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

pub fn run(
    command: &RulesCommand,
    config: &Config,
    db: &Db,
    store: &Store,
    clock: Clock,
) -> Result<(), CliError> {
    match command {
        RulesCommand::Test { file } => test::run(file, config),
        RulesCommand::Gallery(args) => gallery::run(args),
        RulesCommand::Backtest(args) => backtest::run(args, config, db, store, clock),
        RulesCommand::List { format } => list(db, store, *format),
        RulesCommand::Resume { key: Some(key), .. } => resume(db, store, key, clock),
        RulesCommand::Pause { key: Some(key), .. } => pause(db, store, key, clock),
        RulesCommand::Pause { key: None, .. } => pause_sending(db, store, clock),
        RulesCommand::Move { key } => move_on(config, db, store, key, clock),
        RulesCommand::Resume { key: None, .. } => resume_sending(db, store, clock),
    }
}

fn list(db: &Db, store: &Store, format: Format) -> Result<(), CliError> {
    let all = db.read_here(|conn| rules::store::all(conn, store.id).map_err(DbError::from))?;
    match format {
        Format::Json => {
            let items: Vec<serde_json::Value> = all.iter().map(item).collect();
            println!("{}", serde_json::to_string_pretty(&items)?);
        }
        Format::Table => {
            let heads = ["key", "status", "trigger", "after", "holdout", "steps", "live since"];
            let mut table = Table::new(&heads).numbers(&[4, 5]);
            for stored in &all {
                let rule = &stored.rule;
                let since = stored.live_since.map(|at| format!("{:.0}", at.to_jiff()));
                table.row([
                    rule.key.clone(),
                    match stored.pause {
                        Some(pause) => format!("{}: {}", stored.status, pause.reason),
                        None => stored.status.to_string(),
                    },
                    rule.trigger.kind.name().to_owned(),
                    rule.trigger.kind.after().to_string(),
                    format!("{} %", (rule.holdout * 1e4).round() / 1e2),
                    rule.steps.len().to_string(),
                    since.unwrap_or_else(|| "-".to_owned()),
                ]);
            }
            print!("{table}");
        }
    }
    if let Some(pause) = store.pause {
        let since = pause.since.to_jiff();
        let lift = "homing rules resume --sending";
        eprintln!(
            "All marketing mail is paused since {since:.0}: {}. Lift it with: {lift}",
            pause.reason
        );
    }
    Ok(())
}

/// The definition as stored, and what is known beside it.
fn item(stored: &StoredRule) -> serde_json::Value {
    let mut item = json!(stored.rule);
    item["version"] = json!(stored.version);
    item["status"] = json!(stored.status);
    item["live_since"] = json!(stored.live_since);
    item["pause"] = json!(stored.pause);
    item
}

fn pause(db: &Db, store: &Store, key: &str, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    let found = db.write_here(|conn| -> Result<_, DbError> {
        let found = rules::store::find_by_key(conn, store.id, key)?;
        let paused = match &found {
            Some(stored) => rules::store::set_status(conn, stored.id, RuleStatus::Paused, now)?,
            None => false,
        };
        Ok(found.map(|_| paused))
    })?;
    match found {
        None => Err(no_rule(key)),
        Some(true) => {
            println!("rule {key} is paused; lift it with: homing rules resume {key}");
            Ok(())
        }
        Some(false) => {
            println!("rule {key} is paused already");
            Ok(())
        }
    }
}

fn pause_sending(db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    let pause = |conn: &mut _| {
        stores::store::pause(conn, store.id, PauseReason::Operator, now).map_err(DbError::from)
    };
    match db.write_here(pause)? {
        true => println!(
            "all marketing mail of the store waits; lift that with: homing rules resume --sending"
        ),
        false => println!("marketing mail is paused already"),
    }
    Ok(())
}

fn move_on(
    config: &Config,
    db: &Db,
    store: &Store,
    key: &str,
    clock: Clock,
) -> Result<(), CliError> {
    let found =
        db.read_here(|conn| rules::store::find_by_key(conn, store.id, key).map_err(DbError::from))?;
    let Some(rule) = found else { return Err(no_rule(key)) };
    let secret = Secret::load(config)?;
    let moved = moves::move_all(db, store, &secret, rule.id, Instants::at(clock.now()))?;
    println!(
        "{} go on by version {} of {key}; {} had all its steps already",
        moved.moved, rule.version, moved.ended
    );
    Ok(())
}

fn no_rule(key: &str) -> CliError {
    CliError::usage_text(format!("there is no rule `{}`", key.escape_debug()))
        .hint("list them with: homing rules list")
}

fn resume_sending(db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    let (resumed, released) = db.write_here(|conn| -> Result<_, DbError> {
        let resumed = stores::store::resume(conn, store.id, now)?;
        let released =
            if resumed { outbox::store::release_all_paused(conn, store.id, now)? } else { 0 };
        Ok((resumed, released))
    })?;
    if resumed {
        println!("marketing mail goes out again; {released} messages waited for it");
    } else {
        println!("marketing mail is not paused; rules may be: homing rules list");
    }
    Ok(())
}

fn resume(db: &Db, store: &Store, key: &str, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    let (found, resumed) = db.write_here(|conn| -> Result<_, DbError> {
        let found = rules::store::find_by_key(conn, store.id, key)?;
        let resumed = match &found {
            Some(stored) => rules::store::resume(conn, stored.id, now)?,
            None => false,
        };
        Ok((found, resumed))
    })?;
    let Some(found) = found else {
        return Err(no_rule(key));
    };
    match found.status {
        _ if resumed => {
            let goes_live = found.pause.is_none() || found.rule.status == RuleStatus::Live;
            match goes_live {
                true => println!("rule {key} is live again"),
                false => println!("rule {key} is {} again, as its settings say", found.rule.status),
            }
            if store.pause.is_some() {
                eprintln!(
                    "All marketing mail of the store is still paused: homing rules resume --sending"
                );
            }
            Ok(())
        }
        RuleStatus::Live => {
            println!("rule {key} is live already");
            Ok(())
        }
        RuleStatus::Paused => {
            Err(CliError::usage_text(format!("rule {key} was taken out of the settings"))
                .hint("put it back into shop.toml and apply that"))
        }
        status => Err(CliError::usage_text(format!("rule {key} is not paused: it is {status}"))
            .hint("set its status in shop.toml and apply that")),
    }
}
