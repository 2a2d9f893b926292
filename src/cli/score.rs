//! `homing score`.

use std::time::Instant;

use super::CliError;
use crate::db::Db;
use crate::primitives::Clock;
use crate::scoring;
use crate::stores::Store;

pub fn run(db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let began = Instant::now();
    let report = scoring::score_store(db, store, clock.now())?;
    let summary = &report.run.summary;
    println!(
        "Scored {} buyers and {} visitors as of {}.",
        summary.buyers(),
        summary.visitors(),
        report.run.as_of,
    );
    eprintln!(
        "{} rows changed, {} customers entered another segment, in {:.1} s.",
        report.changed,
        report.moved,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
