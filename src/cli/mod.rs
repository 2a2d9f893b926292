//! The command line: a file per command of the contract. Data on stdout, progress and logs on stderr.

mod apply;
mod at_risk;
mod backup;
mod canary;
mod customer;
mod demo;
mod dns;
mod doctor;
mod error;
mod evaluate;
mod evaluate_log;
mod evaluate_orders;
mod export_config;
mod facts;
mod import;
mod key;
mod rebuild;
mod restore;
mod resume;
mod retention;
mod rules;
mod score;
mod segments;
mod serve;
mod table;
mod tick;
mod user;
mod watchman;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::db::Db;
use crate::primitives::Clock;
use crate::stores::{self, Store};

pub use error::CliError;

#[derive(Parser)]
#[command(name = "homing", version, about = "Brings an online store's customers back.")]
struct Cli {
    /// The store, where one matters.
    #[arg(long, global = true, default_value = "default", value_name = "KEY")]
    store: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A sample store that seems alive, in ./homing-demo, served at once.
    Demo(demo::DemoArgs),
    /// The service: HTTP, scheduler and sender; stops in good order at SIGTERM.
    Serve(serve::Serve),
    /// Bring the database's schema up to date.
    Migrate,
    /// Check the database, the store, the mail server and the clock, and say what to mend.
    Doctor,
    /// Copy the database and its secret into a file, whole, while everything goes on.
    Backup(backup::BackupArgs),
    /// Put a backup in the database's place, checked and paused: nothing old is sent.
    Restore(restore::RestoreArgs),
    /// Lift the pause of a database that was put back from a backup.
    Resume(resume::ResumeArgs),
    /// Bring orders, customers or products in from a CSV file.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Score all customers and visitors by what they did.
    Score(score::ScoreArgs),
    /// What the prediction models say, for anyone to check. Opens no database.
    Evaluate(evaluate::Evaluate),
    /// The store by segment and score.
    Segments(segments::SegmentsArgs),
    /// The worklist: who is slipping away, the most urgent first.
    AtRisk(at_risk::AtRiskArgs),
    /// Put a shop.toml in force: the store's settings and rules. Doing it again changes nothing.
    Apply(apply::Apply),
    /// Write the settings and rules in force as a shop.toml.
    ExportConfig,
    /// The rules in force.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// One customer: shown, exported, or forgotten.
    #[command(subcommand)]
    Customer(customer::CustomerCommand),
    /// The journal, one fact a line, in the order the facts came in.
    Facts(facts::FactsArgs),
    /// Recompute rollups from the journal, or compare with it.
    Rebuild(rebuild::RebuildArgs),
    /// Let go what is too old to be kept, as shop.toml's [retention] says.
    Retention(retention::RetentionArgs),
    /// One scheduler pass: plan what is due, then send what is due.
    Tick(tick::TickArgs),
    /// The ledger of one customer: what was decided, newest first, and why.
    Why(why::WhyArgs),
    /// The people who may sign in to the console.
    #[command(subcommand)]
    User(user::UserCommand),
    /// API keys: make, list, revoke.
    #[command(subcommand)]
    Key(key::KeyCommand),
}

/// Runs the command that the arguments name. Exit 0 done, 1 failed, 2 wrong usage or input.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome: Result<(), CliError> = (|| {
        let config = Config::load(|name| std::env::var(name).ok()).map_err(CliError::usage)?;
        start_logging(&config);
        match cli.command {
            Command::Demo(args) => demo::run(&args, config, Clock::System),
            Command::Serve(args) => serve::run(args, config),
            Command::Migrate => {
                let db = open(&config)?;
                let ran = db.migrate()?;
                eprintln!(
                    "{}",
                    if ran.is_empty() {
                        "The schema is up to date."
                    } else {
                        "The schema is brought up to date."
                    }
                );
                if !ran.is_empty() {
                    tell_lacking(&db)?;
                }
                Ok(())
            }
            Command::Doctor => doctor::run(&config, &cli.store, Clock::System),
            Command::Backup(args) => backup::run(&args, &config),
            Command::Restore(args) => restore::run(&args, &config, Clock::System),
            Command::Resume(args) => {
                let db = open(&config)?;
                db.migrate()?;
                resume::run(&args, &db, Clock::System)
            }
            Command::Score(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                score::run(&args, &db, &store, Clock::System)
            }
            Command::Evaluate(args) => evaluate::run(&args),
            Command::Segments(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                segments::run(&args, &db, &store)
            }
            Command::AtRisk(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                at_risk::run(&args, &db, &store)
            }
            Command::Import(command) => {
                let (db, store) = open_store(&config, &cli.store)?;
                import::run(&command, &config, &db, &store, Clock::System)
            }
            Command::Apply(command) => apply::run(&command, &config, &cli.store, Clock::System),
            Command::ExportConfig => {
                let (db, store) = open_store(&config, &cli.store)?;
                export_config::run(&db, &store)
            }
            Command::Rules(rules::RulesCommand::Test { file }) => rules::test::run(&file, &config),
            Command::Rules(rules::RulesCommand::Gallery(args)) => rules::gallery::run(&args),
            Command::Rules(command) => {
                let (db, store) = open_store(&config, &cli.store)?;
                rules::run(&command, &config, &db, &store, Clock::System)
            }
            Command::Customer(command) => {
                let (db, store) = open_store(&config, &cli.store)?;
                let secret = crate::secret::Secret::load(&config).map_err(CliError::usage)?;
                customer::run(&command, &db, &store, &secret, Clock::System)
            }
            Command::Facts(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                facts::run(&args, &db, &store)
            }
            Command::Rebuild(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                rebuild::run(&args, &db, &store, Clock::System)
            }
            Command::Retention(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                retention::run(&args, &db, &store, Clock::System)
            }
            Command::Tick(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                tick::run(&args, &config, &db, store)
            }
            Command::Why(args) => {
                let (db, store) = open_store(&config, &cli.store)?;
                why::run(&args, &db, &store)
            }
            Command::User(command) => {
                let (db, store) = open_store(&config, &cli.store)?;
                user::run(command, &db, &store, Clock::System)
            }
            Command::Key(command) => {
                let (db, store) = open_store(&config, &cli.store)?;
                key::run(command, &config, &db, &store)
            }
        }
    })();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

/// Opens the database of the settings, without touching its schema.
fn open(config: &Config) -> Result<Db, CliError> {
    Db::open(config.database.clone()).map_err(|e| {
        CliError::from(e).hint(format!(
            "check HOMING_DATABASE_URL ({}) and that the database runs",
            config.database
        ))
    })
}

/// Opens the database, brings its schema up to date, and finds the store that `--store` names.
fn open_store(config: &Config, key: &str) -> Result<(Db, Store), CliError> {
    let db = open(config)?;
    db.migrate()?;
    let store = db
        .read_here(|conn| stores::store::find_by_key(conn, key).map_err(crate::db::DbError::from))?
        .ok_or_else(|| {
            CliError::usage_text(format!("there is no store `{key}`"))
                .hint("make it with: homing apply --store KEY shop.toml")
        })?;
    Ok((db, store))
}

/// After an upgrade: what only folding anew brings up to date.
fn tell_lacking(db: &Db) -> Result<(), CliError> {
    let lacking = db.read_here(|conn| -> Result<_, crate::db::DbError> {
        let mut found = Vec::new();
        for store in stores::store::all(conn)? {
            found.push((crate::customers::store::lacking(conn, store.id)?, store.key));
        }
        Ok(found)
    })?;
    for (lacking, store) in lacking {
        for (what, mend) in doctor::lacking_words(lacking, &store) {
            eprintln!("Store {store}: {what}.\n  mend: {mend}");
        }
    }
    Ok(())
}

/// Logs go to stderr. They carry ids, never addresses, tokens or bodies.
fn start_logging(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match config.log_format {
        crate::config::LogFormat::Json => builder.json().try_init(),
        crate::config::LogFormat::Pretty => builder.try_init(),
    };
}
