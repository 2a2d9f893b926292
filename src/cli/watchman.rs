//! One `serve` to an SQLite file: a lock that ends with its process, however that ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::CliError;
use crate::config::Config;

/// Held for as long as a process serves the file.
pub struct Watch {
    _file: File,
}

/// Takes the place of the one server of an SQLite database; `None` on PostgreSQL, which any number may serve.
///
/// # Errors
/// Another process serves it; or the lock's file cannot be made.
pub fn take(config: &Config) -> Result<Option<Watch>, CliError> {
    let Some(database) = config.database.file() else { return Ok(None) };
    let path = lock_of(&database);
    let cannot = |error| CliError::text(format!("{} cannot be locked: {error}", path.display()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = holder(&mut file);
            return Err(CliError::text(format!(
                "{} is served already, by {holder}",
                config.database
            ))
            .hint("stop that one first; for several at once keep the database in PostgreSQL"));
        }
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
    }
    let told = file.set_len(0).and_then(|()| {
        file.rewind()?;
        writeln!(file, "{} {}", std::process::id(), config.listen)
    });
    told.map_err(cannot)?;
    Ok(Some(Watch { _file: file }))
}

/// Who serves the SQLite database at `database`, in words; `None` when nobody does. Makes no file.
pub fn server_of(database: &Path) -> Option<String> {
    let mut file = File::open(lock_of(database)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(holder(&mut file)),
        _ => None,
    }
}

fn holder(file: &mut File) -> String {
    let mut told = String::new();
    let _ = file.read_to_string(&mut told);
    match told.trim().split_once(' ') {
        Some((process, address)) => format!("process {process} on http://{address}"),
        None => "another process".to_owned(),
    }
}

/// Beside the database, and never removed: another process may be about to lock it.
fn lock_of(database: &Path) -> PathBuf {
    database.with_extension("lock")
}
