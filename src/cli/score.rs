//! `homing score [--as-of TIME]`.

use std::time::Instant;

use clap::Args;

use super::CliError;
use crate::db::Db;
use crate::primitives::{Clock, Timestamp};
use crate::scoring;
use crate::stores::Store;

#[derive(Args)]
pub struct ScoreArgs {
    /// Use only what happened until TIME: an instant, or a date, which means its end in the store's zone. In the
    /// past it shows the scores of that day until the next scoring, and triggers nothing.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

pub fn run(args: &ScoreArgs, db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    let as_of = match &args.as_of {
        None => now,
        Some(raw) => parse_as_of(raw, store)?,
    };
    let began = Instant::now();
    let report = scoring::score_as_of(db, store, as_of, now)?;
    let summary = &report.run.summary;
    println!(
        "Scored {} buyers and {} visitors as of {}{}.",
        summary.buyers(),
        summary.visitors(),
        report.run.as_of,
        if report.run.historic { ", a look into the past" } else { "" },
    );
    eprintln!(
        "{} rows changed, {} customers entered another segment, in {:.1} s.",
        report.changed,
        report.moved,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn parse_as_of(raw: &str, store: &Store) -> Result<Timestamp, CliError> {
    Timestamp::parse_or_end_of_day(raw, &store.timezone)
        .ok()
        .filter(|at| (Timestamp::MIN..=Timestamp::MAX).contains(at))
        .ok_or_else(|| {
            CliError::usage_text(format!("--as-of: `{raw}` is no time"))
                .hint("write a date such as 2026-05-31, or an instant such as 2026-05-31T12:00:00Z")
        })
}
