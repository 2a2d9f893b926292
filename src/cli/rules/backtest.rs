//! `homing rules backtest KEY`: what a rule would have done.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Format;
use crate::backtest::{self, BacktestError, Contest, Progress, Report, Window};
use crate::cli::table::Table;
use crate::cli::{CliError, apply};
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::primitives::Clock;
use crate::rules;
use crate::secret::Secret;
use crate::stores::Store;

#[derive(Args)]
pub struct BacktestArgs {
    /// The rule's key; a draft will do.
    key: String,
    /// The first day, such as 2026-03-01. Default: 90 days before --to.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// The day after the last. Default: today.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Take the rule, its rivals and the settings from this shop.toml, as if it were applied.
    #[arg(long, value_name = "SHOP.TOML")]
    file: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub fn run(
    args: &BacktestArgs,
    config: &Config,
    db: &Db,
    store: &Store,
    clock: Clock,
) -> Result<(), CliError> {
    let contest = contest(args, config, db, store)?;
    let zone = &contest.store.timezone;
    let window = Window::parse(args.from.as_deref(), args.to.as_deref(), zone, clock.now())
        .map_err(CliError::usage)?;
    let secret = Secret::load(config).map_err(CliError::usage)?;
    let cancelled = Arc::new(AtomicBool::new(false));
    cancel_on_interrupt(cancelled.clone());
    let bar = progress_bar();
    let seen = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let progress = Progress { seen: &seen, cancelled: &cancelled };
    let report = backtest::run(db, &secret, &contest, window, &progress);
    bar.finish_and_clear();
    let report = report.map_err(|error| match error {
        BacktestError::Cancelled => {
            CliError::text("the backtest was cancelled; nothing was written")
        }
        error => CliError::from(error),
    })?;
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Format::Table => print!("{}", table(&report)),
    }
    Ok(())
}

fn contest(
    args: &BacktestArgs,
    config: &Config,
    db: &Db,
    store: &Store,
) -> Result<Contest, CliError> {
    let unknown = |hint: &str| {
        CliError::usage_text(format!("there is no rule `{}`", args.key.escape_debug())).hint(hint)
    };
    if let Some(file) = &args.file {
        let document = apply::read(file, config)?;
        return Contest::of_document(store, &document, &args.key)
            .ok_or_else(|| unknown(&format!("see the keys of the rules in {}", file.display())));
    }
    let (rule, live) = db.read_here(|conn| -> Result<_, DbError> {
        let rule = rules::store::find_by_key(conn, store.id, &args.key)?;
        Ok((rule, rules::store::live(conn, store.id)?))
    })?;
    let rule = rule.ok_or_else(|| unknown("list them with: homing rules list"))?;
    Ok(Contest::new(store.clone(), rule.rule, live))
}

/// On stderr, and only where that is a terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
    let style = ProgressStyle::with_template(
        "{bar:32} {percent:>3}%  {pos} of {len} customers  {elapsed} (about {eta} left)",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

/// The first Ctrl-C ends the work in good order; the second the process.
fn cancel_on_interrupt(cancelled: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
            return;
        };
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancelled.store(true, Ordering::Relaxed);
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(1);
            }
        });
    });
}

fn table(report: &Report) -> String {
    let days = report.per_day.len();
    let mut text =
        format!("{}, {} up to {} ({days} days)\n\n", report.rule, report.from, report.to);
    let mut figures = Table::new(&["", "n", ""]).numbers(&[1]);
    for (name, n, what) in [
        ("entered", report.entered, "due, and the rule meant for them"),
        ("held out", report.held_out, "got nothing, to compare with"),
        ("not eligible", report.not_eligible, "due, and the rule not for them"),
        ("would send", report.would_send, "messages"),
        ("deferred", report.deferred, "messages that had to wait"),
        ("suppressed", report.suppressed, "messages without consent or address"),
        ("bought before mail", report.bought_before_mail, "ordered before any could leave"),
        ("bought after mail", report.bought_after_mail, "ordered within 7d of it, without it"),
    ] {
        figures.row([name.to_owned(), n.to_string(), what.to_owned()]);
    }
    text += &figures.to_string();
    if let Some(worst) = &report.worst_day {
        text += &format!("\nworst day: {} with {} messages\n", worst.date, worst.sends);
    }
    for coupon in &report.coupons {
        text += &format!("coupon {}: {} given out\n", coupon.coupon, coupon.messages);
    }
    let mut weeks = Table::new(&["week from", "entered", "sends", "deferred"]).numbers(&[1, 2, 3]);
    for week in report.per_day.chunks(7) {
        let sum = |of: fn(&backtest::PerDay) -> u64| week.iter().map(of).sum::<u64>().to_string();
        weeks.row([
            week[0].date.to_string(),
            sum(|day| day.entered),
            sum(|day| day.sends),
            sum(|day| day.deferred),
        ]);
    }
    text += &format!("\n{weeks}");
    if !report.sample.is_empty() {
        let mut sample = Table::new(&["customer", "at", "step", "outcome", "reason"]);
        for one in &report.sample {
            sample.row([
                one.customer_id.to_string(),
                format!("{:.0}", one.at.to_jiff()),
                one.step.map_or_else(|| "-".to_owned(), |step| step.to_string()),
                one.outcome.to_string(),
                one.reason.map_or_else(|| "-".to_owned(), |reason| reason.to_string()),
            ]);
        }
        text += &format!("\nsome of them\n{sample}");
    }
    text + &format!("\n{}\n", report.note)
}
