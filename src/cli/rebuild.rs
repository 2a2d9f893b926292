//! `homing rebuild [--check]`.

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::CliError;
use crate::db::Db;
use crate::journal::rebuild;
use crate::primitives::Clock;
use crate::stores::Store;

#[derive(Args)]
pub struct RebuildArgs {
    /// Only compare; exit 1 when anything differs.
    #[arg(long)]
    check: bool,
}

/// How many differences are named; the rest is counted.
const NAMED: usize = 20;

pub fn run(args: &RebuildArgs, db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let progress = counter();
    if !args.check {
        let rebuilt =
            rebuild::rebuild(db, store, clock.now(), |done| progress.set_position(done as u64))?;
        progress.finish_and_clear();
        println!("Recomputed {rebuilt} customers from the journal.");
        return Ok(());
    }
    let differences = rebuild::check(db, store, |done| progress.set_position(done as u64))?;
    let compared = progress.position();
    progress.finish_and_clear();
    if differences.is_empty() {
        println!("Compared {compared} customers with the journal: no difference.");
        return Ok(());
    }
    for difference in differences.iter().take(NAMED) {
        println!("{difference}");
    }
    Err(CliError::text(format!("{} differences between the journal and what was folded from it", differences.len()))
        .hint("after a change of the store's time zone or currency this is expected; homing rebuild folds everything anew"))
}

/// Says how far it is, where someone watches.
fn counter() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
    let style = ProgressStyle::with_template("{spinner} {pos} customers, {per_sec}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
