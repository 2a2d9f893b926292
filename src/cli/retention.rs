//! `homing retention [--dry-run]`: lets go what `[retention]` says is too old, as `serve` does every hour.

use clap::Args;

use super::CliError;
use super::table::Table;
use crate::db::{Conn, Db, DbError};
use crate::primitives::Clock;
use crate::retention;
use crate::stores::Store;

#[derive(Args)]
pub struct RetentionArgs {
    /// Only count what would go.
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &RetentionArgs, db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    let find = |conn: &mut Conn| retention::stale(conn, store, now).map_err(DbError::from);
    let stale = db.read_here(find)?;
    if stale.is_empty() {
        println!("Everything is kept: shop.toml sets no [retention].");
        return Ok(());
    }
    let (head, said) = match args.dry_run {
        true => ("would go", "Nothing was deleted."),
        false => ("went", "The journal, and what is folded from it, is whole."),
    };
    let mut table = Table::new(&["what", "older than", head]).numbers(&[2]);
    for one in &stale {
        let gone = match args.dry_run {
            true => db.read_here(|conn| retention::count(conn, one).map_err(DbError::from))?,
            false => retention::let_go(db, store, one, &|| false)?,
        };
        let before = gone.before.day_in(&store.timezone).to_string();
        table.row([gone.what.to_owned(), before, gone.rows.to_string()]);
    }
    print!("{table}");
    println!("{said}");
    Ok(())
}
