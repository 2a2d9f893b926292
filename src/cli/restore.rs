//! `homing restore FILE`: a backup takes the database's place, checked and paused before anybody can use it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::backup::{cannot, copy_private, sync_folder_of, with_end};
use super::{CliError, watchman};
use crate::config::Config;
use crate::db::copy::{self, Look};
use crate::db::{DatabaseUrl, Db, DbError};
use crate::primitives::{Clock, Timestamp};
use crate::{journal, restores};

#[derive(Args)]
pub struct RestoreArgs {
    /// A file that `homing backup` made.
    #[arg(required_unless_present = "mark")]
    file: Option<PathBuf>,
    /// Take the place of a database that is there; it is kept beside, under another name.
    #[arg(long)]
    force: bool,
    /// The database was put back by other means, such as pg_restore or a snapshot: only pause it.
    #[arg(long, conflicts_with = "file")]
    mark: bool,
}

pub fn run(args: &RestoreArgs, config: &Config, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    match &args.file {
        None => mark(config, now),
        Some(file) => put_back(file, args.force, config, now),
    }
}

/// Pauses the database as it stands.
fn mark(config: &Config, now: Timestamp) -> Result<(), CliError> {
    let db = super::open(config)?;
    db.migrate()?;
    let knows_until = pause(&db, now)?;
    say_what_next(config, knows_until);
    Ok(())
}

fn put_back(file: &Path, force: bool, config: &Config, now: Timestamp) -> Result<(), CliError> {
    let Some(target) = config.database.file() else {
        return Err(CliError::usage_text(format!("{} is kept by PostgreSQL, whose own tool puts backups back", config.database))
            .hint(format!(
                "pg_restore --clean --if-exists --dbname=\"$HOMING_DATABASE_URL\" {}; then, before any serve starts: homing restore --mark",
                file.display()
            )));
    };
    if !file.is_file() {
        return Err(CliError::usage_text(format!("there is no file {}", file.display())));
    }
    let there = copy::files_of(&target);
    if !there.is_empty() && !force {
        return Err(CliError::usage_text(format!("{} exists already", target.display())).hint(
            "add --force to put the backup in its place; it is kept beside, under another name",
        ));
    }
    // Held to the end: no server may start on what is half put back.
    let _watch = watchman::take(config)?;

    let partial = with_end(&target, ".partial");
    for left in copy::files_of(&partial) {
        let _ = std::fs::remove_file(left);
    }
    copy_private(file, &partial)?;
    let pausing = check(&partial, file).and_then(|db| {
        db.migrate()?;
        let knows_until = pause(&db, now)?;
        db.settle_into_one_file()?;
        Ok(knows_until)
    });
    let knows_until = pausing.inspect_err(|_| {
        for left in copy::files_of(&partial) {
            let _ = std::fs::remove_file(left);
        }
    })?;

    let aside = format!(".before-{}", now.to_jiff().strftime("%Y%m%dT%H%M%SZ"));
    for old in &there {
        let kept = with_end(old, &aside);
        std::fs::rename(old, &kept).map_err(|e| cannot(&kept, &e))?;
    }
    std::fs::rename(&partial, &target).map_err(|e| cannot(&target, &e))?;
    sync_folder_of(&target);
    for left in copy::files_of(&partial) {
        let _ = std::fs::remove_file(left);
    }
    println!("{} is put back from {}.", target.display(), file.display());
    if !there.is_empty() {
        println!("What was there is kept as {}.", with_end(&target, &aside).display());
    }
    put_secret_back(file, &target, &aside, config)?;
    say_what_next(config, knows_until);
    Ok(())
}

/// Opens the copy, if it is sound and ours.
fn check(copied: &Path, from: &Path) -> Result<Db, CliError> {
    let name = from.display();
    let is_sqlite = std::fs::File::open(copied).and_then(|mut file| {
        let mut head = [0u8; 16];
        std::io::Read::read_exact(&mut file, &mut head)?;
        Ok(&head == b"SQLite format 3\0")
    });
    if !is_sqlite.unwrap_or(false) {
        return Err(CliError::usage_text(format!(
            "{name} is no backup of Homing: it is no SQLite database"
        )));
    }
    let not_sound = |why: &str| {
        CliError::text(format!("{name} is not sound, and nothing was changed: {why}"))
            .hint("take an older backup")
    };
    let (faults, is_ours) = copy::look_into(copied, |conn| {
        Ok((copy::faults(conn, Look::Whole)?, copy::is_homings(conn)?))
    })
    .map_err(|error| not_sound(&super::doctor::chain(&error)))?;
    if let Some(first) = faults.first() {
        return Err(not_sound(first));
    }
    if !is_ours {
        return Err(CliError::usage_text(format!(
            "{name} is no backup of Homing: it holds other tables"
        )));
    }
    let db = Db::open(DatabaseUrl::sqlite(copied))?;
    if let Some(newest) = db.unknown_migrations()?.last() {
        return Err(CliError::usage_text(format!(
            "{name} was made by a newer Homing: this one does not know its step {newest}"
        ))
        .hint("use the program that made it, or a newer one"));
    }
    Ok(db)
}

fn pause(db: &Db, now: Timestamp) -> Result<Option<Timestamp>, CliError> {
    let knows_until = db.write_here(|conn| -> Result<_, DbError> {
        let mut last = None;
        for store in crate::stores::store::all(conn)? {
            last = last.max(journal::store::last_change(conn, store.id)?);
        }
        restores::begin(conn, now, last)?;
        Ok(last)
    })?;
    Ok(knows_until)
}

/// The links in mails that the database knows of are signed with the secret of its time.
fn put_secret_back(
    file: &Path,
    target: &Path,
    aside: &str,
    config: &Config,
) -> Result<(), CliError> {
    let (saved, own) = (file.with_extension("secret"), target.with_extension("secret"));
    if config.secret.is_some() {
        eprintln!(
            "HOMING_SECRET comes from your settings: it must be the one of the backup's time, or links in mails already sent stop working."
        );
        return Ok(());
    }
    if !saved.exists() {
        eprintln!(
            "There is no {}: without the secret of its time, links in mails already sent stop working.",
            saved.display()
        );
        return Ok(());
    }
    let same = |a: &Path, b: &Path| {
        std::fs::read(a).ok().zip(std::fs::read(b).ok()).is_some_and(|(a, b)| a == b)
    };
    if own.exists() {
        if same(&saved, &own) {
            return Ok(());
        }
        let kept = with_end(&own, aside);
        std::fs::rename(&own, &kept).map_err(|e| cannot(&kept, &e))?;
        println!("The secret that was there is kept as {}.", kept.display());
    }
    copy_private(&saved, &own)?;
    println!("{} is put back, too.", own.display());
    Ok(())
}

fn say_what_next(config: &Config, knows_until: Option<Timestamp>) {
    let until = knows_until
        .map_or("nothing yet".to_owned(), |at| format!("what came in until {:.0}", at.to_jiff()));
    eprintln!(
        "\n{} is paused: nothing is planned or sent. It knows {until}.\n\
         Tell it what came after (orders, who unsubscribed: docs/backup.md), look with `homing doctor`, then:\n\
         \x20 homing resume                      what fell due meanwhile may have left: it is not sent again\n\
         \x20 homing resume --nothing-was-sent   nothing was sent since the backup: all goes on as if nothing had happened",
        config.database
    );
}
