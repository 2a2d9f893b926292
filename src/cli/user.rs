//! `homing user add`: who may sign in to the console.

use std::io::BufRead;

use clap::{Args, Subcommand};

use super::CliError;
use crate::db::{Db, DbError};
use crate::primitives::{Clock, EmailAddress, IdGenerator, UserId};
use crate::secret::random_token;
use crate::stores::Store;
use crate::users::{self, MIN_LENGTH, PasswordHash, Role, User};

#[derive(Subcommand)]
pub enum UserCommand {
    /// Let someone sign in to the console; for an address that exists, set its role and password anew.
    Add(AddArgs),
}

#[derive(Args)]
pub struct AddArgs {
    email: String,
    /// owner, operator or viewer
    #[arg(long)]
    role: String,
    /// Read the password from the first line of stdin; without it one is made and printed alone on stdout.
    #[arg(long)]
    password_stdin: bool,
}

pub fn run(command: UserCommand, db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    match command {
        UserCommand::Add(args) => add(args, db, store, clock),
    }
}

fn add(args: AddArgs, db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let email = args.email.parse::<EmailAddress>().map_err(CliError::usage)?.identity_key();
    let role: Role =
        args.role.parse().map_err(|e: String| CliError::usage_text(format!("--role: {e}")))?;
    let password =
        if args.password_stdin { first_line(std::io::stdin().lock())? } else { new_password() };
    let hash = PasswordHash::of(&password).map_err(|e| {
        CliError::usage(e).hint(format!(
            "write at least {MIN_LENGTH} characters, or leave out --password-stdin to have one made"
        ))
    })?;
    let existed = set(db, store, &email, role, hash, clock)?;
    if !args.password_stdin {
        println!("{password}");
    }
    eprintln!(
        "{email} {} as {role} of {}.{}",
        if existed { "was known and is now set" } else { "may sign in" },
        store.name,
        if args.password_stdin { "" } else { " The password above is shown this once." },
    );
    Ok(())
}

/// Adds the user or brings an existing one up to date; true when the address was known.
pub(super) fn set(
    db: &Db,
    store: &Store,
    email: &str,
    role: Role,
    password: PasswordHash,
    clock: Clock,
) -> Result<bool, DbError> {
    let now = clock.now();
    db.write_here(|conn| match users::store::find_by_email(conn, email)? {
        Some(known) => {
            users::store::update(conn, &User { store: store.id, role, password, ..known })?;
            Ok(true)
        }
        None => {
            let id = UserId(IdGenerator::new(u64::from(std::process::id())).next(now.millis()));
            let user = User { id, store: store.id, email: email.to_owned(), role, password };
            users::store::insert(conn, &user, now)?;
            Ok(false)
        }
    })
}

fn first_line(mut input: impl BufRead) -> Result<String, CliError> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(CliError::usage_text("--password-stdin: stdin holds no password")
            .hint("pipe one in: printf '%s' \"$PASSWORD\" | homing user add … --password-stdin"));
    }
    Ok(password.to_owned())
}

/// 119 bits of chance, in characters that survive being read aloud or pasted.
pub(super) fn new_password() -> String {
    random_token().chars().filter(char::is_ascii_alphanumeric).take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DatabaseUrl;
    use crate::stores;

    #[test]
    fn adding_someone_twice_changes_the_one_row() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(DatabaseUrl::sqlite(&folder.path().join("a.db"))).unwrap();
        db.migrate().unwrap();
        let store = db
            .read_here(|conn| stores::store::find_by_key(conn, "default").map_err(DbError::from))
            .unwrap()
            .unwrap();
        let clock = Clock::Fixed("2026-11-24T10:42:00Z".parse().unwrap());
        let add = |role, word: &str| {
            set(&db, &store, "mei@lakeside.example", role, PasswordHash::of(word).unwrap(), clock)
                .unwrap()
        };
        assert!(!add(Role::Viewer, "first password"));
        assert!(add(Role::Operator, "second password"));
        let user = db
            .read_here(|conn| {
                users::store::find_by_email(conn, "mei@lakeside.example").map_err(DbError::from)
            })
            .unwrap()
            .unwrap();
        assert_eq!(user.role, Role::Operator);
        assert!(
            user.password.matches("second password") && !user.password.matches("first password")
        );
    }

    #[test]
    fn a_made_password_is_long_and_plain() {
        let made = new_password();
        assert!(made.len() == 20 && made.chars().all(|c| c.is_ascii_alphanumeric()), "{made}");
        assert_ne!(made, new_password());
    }

    #[test]
    fn the_password_is_the_first_line_without_its_end() {
        assert_eq!(first_line(&b"my pass word \r\nmore"[..]).ok().unwrap(), "my pass word ");
        assert!(first_line(&b"\n"[..]).is_err());
    }
}
