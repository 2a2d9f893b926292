//! `homing segments`: the store by segment and score.

use clap::{Args, ValueEnum};

use super::CliError;
use super::table::Table;
use crate::db::{Db, DbError};
use crate::scoring::{self, Segments};
use crate::stores::Store;

#[derive(Args)]
pub struct SegmentsArgs {
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub fn run(args: &SegmentsArgs, db: &Db, store: &Store) -> Result<(), CliError> {
    let run = db
        .read_here(|conn| scoring::store::shown(conn, store.id).map_err(DbError::from))?
        .ok_or_else(|| {
            CliError::text("nothing is scored yet").hint("score the store with: homing score")
        })?;
    let segments = Segments::of(Some(&run), &store.currency);
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&segments)?),
        Format::Table => print(&segments),
    }
    Ok(())
}

fn print(segments: &Segments) {
    let as_of = segments.as_of.map(|at| at.to_string()).unwrap_or_default();
    println!(
        "{} buyers as of {as_of}{}\n",
        segments.customers,
        if segments.historic { ", a look into the past" } else { "" }
    );
    let mut table = Table::new(&["segment", "customers", "revenue"]).numbers(&[1, 2]);
    for (segment, counted) in &segments.segments {
        table.row([
            segment.to_string(),
            counted.customers.to_string(),
            counted.revenue.to_string(),
        ]);
    }
    println!("{table}");
    let mut table = Table::new(&["score", "1", "2", "3", "4", "5"]).numbers(&[1, 2, 3, 4, 5]);
    for (name, counts) in
        [("R", &segments.scores.r), ("F", &segments.scores.f), ("M", &segments.scores.m)]
    {
        table.row(std::iter::once(name.to_owned()).chain(counts.values().map(u64::to_string)));
    }
    println!("{table}");
    let mut table = Table::new(&["visitors", "customers"]).numbers(&[1]);
    for (segment, count) in &segments.visitors.segments {
        table.row([segment.to_string(), count.to_string()]);
    }
    print!("{table}");
}
