//! `homing facts`: the journal, one JSON object a line.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use clap::Args;

use super::CliError;
use crate::db::{Db, DbError};
use crate::journal::{self, Source};
use crate::primitives::Timestamp;
use crate::stores::Store;

#[derive(Args)]
pub struct FactsArgs {
    /// Only what occurred then or later: an instant such as 2026-05-04T09:00:00Z, or a day of the store.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only what this source told: tracking, csv, mail, manual, demo.
    #[arg(long, value_name = "NAME")]
    source: Option<Source>,
}

pub fn run(args: &FactsArgs, db: &Db, store: &Store) -> Result<(), CliError> {
    let from = match &args.from {
        None => Timestamp::MIN,
        Some(raw) => Timestamp::parse_or_start_of_day(raw, &store.timezone).map_err(|_| {
            CliError::usage_text(format!("--from `{raw}` is no time"))
                .hint("write an instant such as 2026-05-04T09:00:00Z, or a day such as 2026-05-04")
        })?,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = None;
    db.read_here(|conn| {
        journal::store::each(conn, store.id, from, args.source, |fact| match serde_json::to_writer(
            &mut out, &fact,
        )
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
        .map_err(DbError::from)
    })?;
    match failed.map_or_else(|| out.flush(), Err) {
        // Whoever reads may have seen enough: `homing facts | head`.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
