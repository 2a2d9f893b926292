//! `homing key`: makes, lists and ends API keys.

use clap::{Args, Subcommand};

use super::CliError;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::keys::{self, KeyHash, Scope, Trust, store::NewKey};
use crate::primitives::{Clock, IdGenerator, KeyId, clean_text};
use crate::secret::Secret;
use crate::stores::Store;

#[derive(Subcommand)]
pub enum KeyCommand {
    /// Make a key: it is printed once, alone on stdout, and cannot be shown again.
    Create(Create),
    /// List the store's keys, without the keys themselves.
    List,
    /// End a key; within a minute no process takes it any more.
    Revoke {
        /// The id that `homing key list` shows.
        id: KeyId,
    },
}

#[derive(Args)]
pub struct Create {
    /// ingest: add facts; read: read through the API; manage: everything.
    #[arg(long)]
    scope: Scope,
    /// What it is for; shown in lists.
    #[arg(long)]
    name: String,
    /// browser: for keys that stand in web pages; an identify is then a claim until its hash verifies.
    #[arg(long, default_value = "server")]
    trust: Trust,
}

pub fn run(command: KeyCommand, config: &Config, db: &Db, store: &Store) -> Result<(), CliError> {
    match command {
        KeyCommand::Create(args) => create(args, config, db, store),
        KeyCommand::List => list(db, store),
        KeyCommand::Revoke { id } => revoke(db, store, id),
    }
}

fn create(args: Create, config: &Config, db: &Db, store: &Store) -> Result<(), CliError> {
    let name = clean_text(&args.name, 100)
        .ok_or_else(|| CliError::usage_text("--name is empty").hint("say what the key is for"))?;
    if args.trust == Trust::Browser && args.scope != Scope::Ingest {
        return Err(CliError::usage_text(format!(
            "a key with scope `{}` must never stand in a web page",
            args.scope
        ))
        .hint("--trust browser goes with --scope ingest alone"));
    }
    let now = Clock::System.now();
    let key = keys::new_key(args.scope);
    let new = NewKey {
        id: KeyId(IdGenerator::new(u64::from(std::process::id())).next(now.millis())),
        store: store.id,
        hash: KeyHash::of(&key),
        scope: args.scope,
        trust: args.trust,
        name,
        created_at: now,
    };
    db.write_here(|conn| keys::store::insert(conn, &new).map_err(DbError::from))?;
    if args.trust == Trust::Browser {
        let verifier = Secret::load(config)?.identify_key(store.id);
        eprintln!(
            "Pages may call identify with this key. A user id that somebody has already is believed only with\n\
             context.hash = hex(HMAC-SHA256(key, userId)), made by the shop's server. Keep this key there, never in a page:\n\
             {}",
            verifier.as_str()
        );
    }
    println!("{key}");
    Ok(())
}

fn list(db: &Db, store: &Store) -> Result<(), CliError> {
    let all = db.read_here(|conn| keys::store::list(conn, store.id).map_err(DbError::from))?;
    println!("{:<20} {:<7} {:<8} {:<20} {:<20} name", "id", "scope", "trust", "created", "revoked");
    for key in all {
        let second = |at: crate::primitives::Timestamp| format!("{:.0}", at.to_jiff());
        println!(
            "{:<20} {:<7} {:<8} {:<20} {:<20} {}",
            key.id,
            key.scope.as_str(),
            key.trust.as_str(),
            second(key.created_at),
            key.revoked_at.map_or_else(|| "-".to_owned(), second),
            key.name
        );
    }
    Ok(())
}

fn revoke(db: &Db, store: &Store, id: KeyId) -> Result<(), CliError> {
    let now = Clock::System.now();
    let ended =
        db.write_here(|conn| keys::store::revoke(conn, store.id, id, now).map_err(DbError::from))?;
    if !ended {
        return Err(CliError::usage_text(format!(
            "store `{}` has no key {id} in force",
            store.key
        ))
        .hint("homing key list shows the ids"));
    }
    eprintln!("Key {id} is revoked.");
    Ok(())
}
