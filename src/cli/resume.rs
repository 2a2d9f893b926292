//! `homing resume`: lifts the pause of a database that was put back from a backup.

use clap::Args;

use super::CliError;
use crate::db::{Conn, Db, DbError};
use crate::ledger::{self, Instants, Reason};
use crate::outbox::claim::Desk;
use crate::outbox::doubt;
use crate::primitives::{Clock, RuleId};
use crate::stores::{self, Store};
use crate::{restores, rules};

#[derive(Args)]
pub struct ResumeArgs {
    /// Nothing was sent after the backup was made, as when a stopped server moved house: plan and send all that is due.
    #[arg(long)]
    nothing_was_sent: bool,
}

pub fn run(args: &ResumeArgs, db: &Db, clock: Clock) -> Result<(), CliError> {
    let at = Instants::at(clock.now());
    let pause = db.read_here(|conn| restores::pause(conn).map_err(DbError::from))?;
    let Some(pause) = pause else {
        println!("Nothing is paused: this database was not put back from a backup.");
        return Ok(());
    };
    if args.nothing_was_sent {
        db.write_here(|conn| restores::lift(conn, at.now).map_err(DbError::from))?;
        println!(
            "The pause since {:.0} is lifted: what is due is planned and sent.",
            pause.restored_at.to_jiff()
        );
        return Ok(());
    }
    let stores = db.read_here(|conn| stores::store::all(conn).map_err(DbError::from))?;
    let mut doubted = 0;
    for store in &stores {
        doubted += doubt(db, store, at)?;
    }
    let begun = db.write_here(|conn| -> Result<_, DbError> {
        let mut begun = 0;
        for store in &stores {
            ledger::store::end_waiting(conn, store.id, at.now, Reason::Restored)?;
            begun += rules::store::begin_anew(conn, store.id, at.now)?;
        }
        restores::lift(conn, at.now)?;
        Ok(begun)
    })?;
    println!("The pause since {:.0} is lifted.", pause.restored_at.to_jiff());
    println!("{begun} rules begin anew: what falls due from now on is planned and sent.");
    if doubted > 0 {
        println!(
            "{doubted} messages may have left after the backup was made: they are in doubt, and wait for your word in the Outbox."
        );
    }
    Ok(())
}

/// In pieces, while the pause still holds: a run that is broken off is taken up again.
fn doubt(db: &Db, store: &Store, at: Instants) -> Result<usize, CliError> {
    let mut doubted = 0;
    let desk = Desk { store, at };
    let held = db.read_here(|conn| held_by_events(conn, store).map_err(DbError::from))?;
    loop {
        let now =
            db.write_here(|conn| doubt::doubt_restored(conn, &desk, &held).map_err(DbError::from))?;
        doubted += now;
        if now == 0 {
            return Ok(doubted);
        }
    }
}

/// Rules of which a step waits for something to happen: it may have happened where this database does not know.
fn held_by_events(conn: &mut Conn, store: &Store) -> diesel::QueryResult<Vec<RuleId>> {
    let mut held = Vec::new();
    for stored in rules::store::all(conn, store.id)? {
        let versions = rules::store::versions(conn, stored.id)?;
        let waits = |rule: &rules::Rule| rule.steps.iter().any(|step| step.wait_until.is_some());
        if versions.iter().any(|(_, _, rule)| waits(rule)) {
            held.push(stored.id);
        }
    }
    Ok(held)
}
