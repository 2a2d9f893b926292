//! `homing tick`: one scheduler pass with a time of the operator's choice as now.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::CliError;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::metrics::Metrics;
use crate::outbox::worker::{self, Clocks, PostOffice};
use crate::outbox::{self, Tally};
use crate::planner;
use crate::primitives::{Clock, Timestamp};
use crate::restores;
use crate::secret::Secret;
use crate::stores::{self, Store};

#[derive(Args)]
pub struct TickArgs {
    /// The time to take as now: RFC 3339, such as 2026-06-01T09:00:00Z. Default: the clock.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Send early: needed for a time in the future.
    #[arg(long)]
    yes: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(Serialize)]
struct Printed {
    at: Timestamp,
    #[serde(flatten)]
    tally: Tally,
}

pub fn run(args: &TickArgs, config: &Config, db: &Db, store: Store) -> Result<(), CliError> {
    let machine = Clock::System.now();
    let at = args.at.unwrap_or(machine);
    if at > machine && !args.yes {
        return Err(CliError::usage_text(format!(
            "{at} is in the future: mail would be sent early"
        ))
        .hint("add --yes if that is what you want"));
    }
    if !(Timestamp::MIN..=Timestamp::MAX).contains(&at) {
        return Err(CliError::usage_text(format!("{at} is beyond the times that can be kept")));
    }
    let business = args.at.map_or(Clock::System, Clock::Fixed);
    let clocks = Clocks { business, machine: Clock::System };
    let office = Arc::new(open_office(config, db.clone())?);
    let store = Arc::new(store);
    if store.mail_from.is_none() || store.postal_address.is_none() {
        eprintln!(
            "Nothing is planned: the store has no sender yet. Apply its settings with: homing apply shop.toml"
        );
    }

    if let Some(pause) = db.read_here(|conn| restores::pause(conn).map_err(DbError::from))? {
        eprintln!(
            "Nothing is planned or sent: this database was put back from a backup at {:.0}. Lift that with: homing resume",
            pause.restored_at.to_jiff()
        );
    }
    let mut tally = worker::settle_lost(db, &store, clocks.instants())?;
    let stopped = planner::watch::watch(db, &store, clocks.instants().now)?;
    for what in &stopped {
        eprintln!("Watch out: {what}");
    }
    // Read anew where it was paused just now: the door goes by it.
    let store = if stopped.is_empty() { store } else { Arc::new(find_again(db, &store)?) };
    tally.add(planner::pass(db, &store, &office.secret, clocks.instants(), None)?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stop = CancellationToken::new();
    tally.add(runtime.block_on(async {
        stop_on_interrupt(stop.clone());
        let sent = worker::deliver_due(&office, &store, clocks, &stop).await;
        if let Some(transport) = &office.transport {
            transport.close().await;
        }
        sent
    })?);
    if office.transport.is_none() {
        say_what_waits(db, &store, at)?;
    }
    print(&Printed { at, tally }, args.format)
}

fn find_again(db: &Db, store: &Store) -> Result<Store, DbError> {
    db.read_here(|conn| stores::store::find(conn, store.id).map_err(DbError::from))
}

/// Settings with which nothing could be sent are wrong input, not failed work.
pub fn open_office(config: &Config, db: Db) -> Result<PostOffice, CliError> {
    let secret = Secret::load(config)?;
    PostOffice::open(config, db, secret, Metrics::default()).map_err(CliError::usage)
}

/// The first Ctrl-C lets what is in the air finish; the second ends the process.
fn stop_on_interrupt(stop: CancellationToken) {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("Stopping: what is in the air is finished.");
            stop.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    });
}

fn say_what_waits(db: &Db, store: &Store, at: Timestamp) -> Result<(), CliError> {
    let is_due = db.read_here(|conn| -> Result<_, DbError> {
        Ok(outbox::store::has_due(conn, store.id, at, false)?)
    })?;
    if is_due {
        eprintln!(
            "Messages are due and stay scheduled: HOMING_SMTP_URL is not set, so nothing can be sent."
        );
    }
    Ok(())
}

fn print(printed: &Printed, format: Format) -> Result<(), CliError> {
    match format {
        Format::Json => println!("{}", serde_json::to_string(printed)?),
        Format::Table => {
            println!("at          {}", printed.at);
            let serde_json::Value::Object(counts) = serde_json::to_value(printed.tally)? else {
                return Ok(());
            };
            let order = [
                "considered",
                "enrolled",
                "held_out",
                "deferred",
                "suppressed",
                "stopped",
                "expired",
                "sent",
                "failed",
                "in_doubt",
            ];
            for name in order {
                println!("{:<12}{}", name.replace('_', " "), counts[name]);
            }
        }
    }
    Ok(())
}
