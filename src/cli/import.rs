//! `homing import orders|customers|products FILE`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::CliError;
use crate::config::Config;
use crate::db::Db;
use crate::intake::import::{Import, ImportError, Kind, Progress, Report};
use crate::journal::Journal;
use crate::primitives::Clock;
use crate::secret::Secret;
use crate::stores::Store;

#[derive(Subcommand)]
pub enum ImportCommand {
    /// Orders with their items and customers.
    Orders(OrdersFile),
    /// Customers with their consent.
    Customers(AnyFile),
    /// The catalogue.
    Products(AnyFile),
}

#[derive(Args)]
pub struct OrdersFile {
    #[command(flatten)]
    file: AnyFile,
    /// What the columns mean; `auto` tells it by their names.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
}

#[derive(Args)]
pub struct AnyFile {
    /// A CSV file, plain or gzipped.
    file: PathBuf,
    /// Read, check and report; store nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Auto,
    /// Homing's own columns.
    Generic,
}

impl ImportCommand {
    fn parts(&self) -> (Kind, &AnyFile) {
        match self {
            Self::Orders(orders) => match orders.format {
                Format::Auto | Format::Generic => (Kind::Orders, &orders.file),
            },
            Self::Customers(file) => (Kind::Customers, file),
            Self::Products(file) => (Kind::Products, file),
        }
    }
}

/// Imports the file and prints what became of its rows. Refused rows are no failure: the rest is in.
pub fn run(
    command: &ImportCommand,
    config: &Config,
    db: &Db,
    store: &Store,
    clock: Clock,
) -> Result<(), CliError> {
    let (kind, file) = command.parts();
    let bar = progress_bar(&file.file);
    let progress = |at: Progress| {
        // Half of the way is reading, half storing.
        let share_stored = at.stored as f64 / at.handed_over.max(1) as f64;
        bar.set_position((at.bytes as f64 * (1.0 + share_stored) / 2.0) as u64);
        bar.set_message(format!("{} rows read, {} stored", at.rows, at.stored));
    };
    let import = Import { kind, path: &file.file, store, now: clock.now(), progress: &progress };
    let outcome = if file.dry_run {
        import.rehearse(db)
    } else {
        let (journal, writer) = Journal::start(db.clone(), Secret::load(config)?, clock);
        let outcome = import.run(db, &journal);
        drop(journal);
        writer.finish();
        outcome
    };
    bar.finish_and_clear();
    let report = outcome.map_err(explain)?;
    print_remarks(&report);
    print!("{}", summary(kind, &report, file.dry_run));
    Ok(())
}

fn explain(error: ImportError) -> CliError {
    match error {
        ImportError::Header { .. } => CliError::usage(error)
            .hint("the first row must name the columns; docs/import.md lists those of each file"),
        ImportError::Unreadable { .. } => CliError::usage(error),
        ImportError::Append(_) | ImportError::Db(_) => CliError::from(error)
            .hint("what was stored stays; run the same import again, it repeats nothing"),
        ImportError::SetAside(_) => CliError::from(error)
            .hint("rows wait there until they are stored: make room for about three times the file, or set TMPDIR"),
        ImportError::Rejects { .. } => CliError::from(error),
    }
}

/// On stderr, and only where that is a terminal.
fn progress_bar(path: &Path) -> ProgressBar {
    let length = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(8));
    let style =
        ProgressStyle::with_template("{bar:32} {percent:>3}%  {msg}  {elapsed} (about {eta} left)");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn print_remarks(report: &Report) {
    let separator = match report.separator {
        b'\t' => "tabs",
        b';' => "semicolons",
        _ => "commas",
    };
    eprintln!("Read as {} with {separator}.", report.encoding.name());
    if !report.unknown_columns.is_empty() {
        eprintln!("Columns not used: {}.", report.unknown_columns.join(", "));
    }
    for (what, count, line) in report.notes.iter() {
        eprintln!("{count} {what} (first on line {line}).");
    }
    for (line, error) in &report.refusals {
        let column = if error.column.is_empty() { "the row" } else { error.column };
        eprintln!("line {line}: {column} {}", error.reason);
    }
    let untold = report.rows_refused - report.refusals.len() as u64;
    if untold > 0 {
        eprintln!("… and {untold} more refused rows.");
    }
}

fn summary(kind: Kind, report: &Report, dry_run: bool) -> String {
    let what = match kind {
        Kind::Orders => "orders",
        Kind::Customers => "customers",
        Kind::Products => "products",
    };
    let mut text = String::new();
    let mut line = |name: &str, count: u64| text.push_str(&format!("{name:<20}{count:>10}\n"));
    line("rows read", report.rows_read);
    line(&format!("{what} created"), report.created);
    line(&format!("{what} updated"), report.updated);
    line(&format!("{what} unchanged"), report.unchanged);
    line("rows refused", report.rows_refused);
    if let Some(path) = &report.rejects {
        text.push_str(&format!("refused rows, with reasons: {}\n", path.display()));
    }
    if dry_run {
        text.push_str("dry run: nothing was stored\n");
    }
    text
}
