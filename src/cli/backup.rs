//! `homing backup FILE`: the database and its secret, whole, while everything goes on.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::CliError;
use crate::config::Config;
use crate::db::Db;
use crate::db::copy::{self, Look};

#[derive(Args)]
pub struct BackupArgs {
    /// Where to: a file that does not exist yet.
    file: PathBuf,
}

pub fn run(args: &BackupArgs, config: &Config) -> Result<(), CliError> {
    let Some(database) = config.database.file() else {
        return Err(CliError::usage_text(format!("{} is kept by PostgreSQL, whose own tool makes its backups", config.database))
            .hint(format!(
                "pg_dump --format=custom --file={} \"$HOMING_DATABASE_URL\"; docs/backup.md says how to come back from it",
                args.file.display()
            )));
    };
    if !database.exists() {
        return Err(CliError::usage_text(format!("there is no database at {}", config.database))
            .hint("set HOMING_DATABASE_URL to where it is"));
    }
    if args.file.exists() {
        return Err(CliError::usage_text(format!("{} exists already", args.file.display()))
            .hint("choose another name: an old backup is not overwritten"));
    }
    let db = super::open(config)?;
    let partial = with_end(&args.file, ".partial");
    // What an earlier try left is of no use.
    let _ = std::fs::remove_file(&partial);
    let made = make(&db, &partial).inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
    std::fs::rename(&partial, &args.file).map_err(|e| cannot(&args.file, &e))?;
    sync_folder_of(&args.file);

    let size = std::fs::metadata(&args.file).map(|meta| meta.len()).unwrap_or_default();
    println!("{}: {} facts, {size} bytes, checked whole", args.file.display(), made.facts);
    let secret = database.with_extension("secret");
    if config.secret.is_some() {
        eprintln!(
            "HOMING_SECRET comes from your settings: keep it with the backup, or links in mails already sent stop working."
        );
    } else if secret.exists() {
        let beside = args.file.with_extension("secret");
        copy_private(&secret, &beside)?;
        println!("{}: the secret that its links and sessions are signed with", beside.display());
    } else {
        eprintln!(
            "There is no secret yet: the first start makes it, and nothing is signed before."
        );
    }
    Ok(())
}

struct Made {
    facts: i64,
}

fn make(db: &Db, file: &Path) -> Result<Made, CliError> {
    // Before anything is in it: nobody else may ever read it.
    drop(new_private(file).map_err(|e| cannot(file, &e))?);
    db.copy_into(file)?;
    File::open(file).and_then(|file| file.sync_all()).map_err(|e| cannot(file, &e))?;
    // A disk that lies is found out now, not on the day it is needed.
    let (faults, facts) = copy::look_into(file, |conn| {
        Ok((copy::faults(conn, Look::Whole)?, crate::journal::store::count(conn)?))
    })?;
    if let Some(first) = faults.first() {
        return Err(CliError::text(format!("the copy is not sound: {first}"))
            .hint("check the database itself with: homing doctor; and the disk"));
    }
    Ok(Made { facts })
}

pub fn cannot(file: &Path, error: &std::io::Error) -> CliError {
    CliError::text(format!("{} cannot be written: {error}", file.display()))
        .hint("check the folder, its rights, and the room on the disk")
}

pub fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// A new file that its owner alone may read.
fn new_private(file: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Copies a file that its owner alone may read, down to the disk.
pub fn copy_private(from: &Path, to: &Path) -> Result<(), CliError> {
    let copied = File::open(from).and_then(|mut source| {
        let mut target = new_private(to)?;
        std::io::copy(&mut source, &mut target)?;
        target.sync_all()
    });
    copied.map_err(|e| cannot(to, &e))
}

/// A renamed file is there after a power cut only when its folder is written.
pub fn sync_folder_of(file: &Path) {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
}
