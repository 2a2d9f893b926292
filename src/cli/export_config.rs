//! `homing export-config`: the settings in force, as the text that `homing apply` reads.

use super::CliError;
use crate::db::{Db, DbError};
use crate::rules;
use crate::stores::Store;

pub fn run(db: &Db, store: &Store) -> Result<(), CliError> {
    let document = db.read_here(|conn| rules::export(conn, &store.key).map_err(DbError::from))?;
    let document = document.ok_or_else(|| {
        CliError::text(format!("the store `{}` has no settings yet", store.key))
            .hint("give it some with: homing apply shop.toml")
    })?;
    print!("{}", document.print());
    Ok(())
}
