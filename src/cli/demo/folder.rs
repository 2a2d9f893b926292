//! The folder of the sample store, and the mark by which it is known as one.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CliError;
use crate::primitives::{Delay, Timestamp};

/// Only what stands beside this file may be replaced.
const MARK: &str = "made-by-homing-demo.json";

/// A store older than this no longer seems alive: it is made anew.
const FRESH: Delay = Delay::hours(12);

/// Held by one process at a time, until it is dropped.
pub struct Folder {
    path: PathBuf,
    mark: Mark,
    file: File,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    seed: u64,
    made_at: Timestamp,
    /// False while it is being made: what a killed process left behind is not served.
    complete: bool,
    /// Of a sample store that is reached from this machine alone.
    password: String,
}

impl Folder {
    /// Takes the folder for this process. A complete, fresh store of this seed stays; any other that demo made is removed.
    ///
    /// # Errors
    /// It holds a database that demo did not make; another process uses it; it cannot be written.
    pub fn claim(path: &Path, seed: Option<u64>, now: Timestamp) -> Result<Self, CliError> {
        let shown = path.display();
        let mark_path = path.join(MARK);
        if !mark_path.exists() && path.join("homing.db").exists() {
            return Err(CliError::text(format!(
                "./{shown} holds a database that `homing demo` did not make"
            ))
            .hint(format!("move ./{shown} away, or run `homing demo` in another folder")));
        }
        fs::create_dir_all(path)?;
        let mut file = open_for_owner(&mark_path)?;
        if file.try_lock().is_err() {
            return Err(CliError::text(format!("another `homing demo` runs on ./{shown}"))
                .hint("stop it first, or run this one in another folder"));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let known: Option<Mark> = serde_json::from_str(&text).ok();
        match known {
            Some(mark)
                if mark.complete
                    && seed.is_none_or(|seed| seed == mark.seed)
                    && now < mark.made_at.plus(FRESH) =>
            {
                Ok(Self { path: path.to_owned(), mark, file })
            }
            known => {
                let seed = seed.or(known.map(|mark| mark.seed)).unwrap_or(1);
                let password = super::super::user::new_password();
                let mark = Mark { seed, made_at: now, complete: false, password };
                let mut folder = Self { path: path.to_owned(), mark, file };
                folder.write_mark()?;
                folder.clear()?;
                Ok(folder)
            }
        }
    }

    pub fn is_complete(&self) -> bool {
        self.mark.complete
    }

    /// From now on it is served as it is.
    pub fn complete(&mut self) -> std::io::Result<()> {
        self.mark.complete = true;
        self.write_mark()
    }

    pub fn seed(&self) -> u64 {
        self.mark.seed
    }

    pub fn password(&self) -> &str {
        &self.mark.password
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("homing.db")
    }

    pub fn mails(&self) -> PathBuf {
        self.path.join("mail")
    }

    fn clear(&self) -> std::io::Result<()> {
        for name in ["homing.db", "homing.db-wal", "homing.db-shm", "homing.secret"] {
            absent_is_fine(fs::remove_file(self.path.join(name)))?;
        }
        absent_is_fine(fs::remove_dir_all(self.mails()))
    }

    fn write_mark(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(serde_json::to_string_pretty(&self.mark)?.as_bytes())?;
        self.file.sync_all()
    }
}

fn absent_is_fine(outcome: std::io::Result<()>) -> std::io::Result<()> {
    match outcome {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open_for_owner(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T02:00:00Z".parse().unwrap()
    }

    fn made(path: &Path, seed: Option<u64>) -> Folder {
        let mut folder = Folder::claim(path, seed, now()).ok().unwrap();
        fs::write(folder.database(), "a database").unwrap();
        folder.complete().unwrap();
        folder
    }

    #[test]
    fn a_database_that_demo_did_not_make_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("homing.db"), "somebody's").unwrap();
        assert!(Folder::claim(place.path(), None, now()).is_err());
        assert_eq!(fs::read_to_string(place.path().join("homing.db")).unwrap(), "somebody's");
    }

    #[test]
    fn its_own_is_served_again_until_it_is_stale_or_another_seed_is_asked_for() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("demo");
        let password = made(&path, Some(7)).password().to_owned();
        let again = |seed, at| {
            let folder = Folder::claim(&path, seed, at).ok().unwrap();
            (folder.is_complete(), folder.seed(), folder.password() == password)
        };
        assert_eq!(again(None, now()), (true, 7, true));
        assert_eq!(again(Some(7), now()), (true, 7, true));
        assert_eq!(again(None, now().plus(Delay::days(1))), (false, 7, false));
        drop(made(&path, None));
        assert!(!again(Some(8), now()).0);
        assert!(!path.join("homing.db").exists());
    }

    #[test]
    fn what_was_left_half_made_is_made_anew() {
        let place = tempfile::tempdir().unwrap();
        drop(Folder::claim(place.path(), None, now()).ok().unwrap());
        fs::write(place.path().join("homing.db"), "half").unwrap();
        assert!(!Folder::claim(place.path(), None, now()).ok().unwrap().is_complete());
        assert!(!place.path().join("homing.db").exists());
    }

    #[test]
    fn two_at_once_do_not_share_it() {
        let place = tempfile::tempdir().unwrap();
        let _first = made(place.path(), None);
        assert!(Folder::claim(place.path(), None, now()).is_err());
    }
}
