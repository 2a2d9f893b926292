//! `homing score [--as-of TIME]`.

use std::time::Instant;

use clap::Args;

use super::CliError;
use super::table::Table;
use crate::db::{Db, DbError};
use crate::planner;
use crate::primitives::{Clock, Timestamp};
use crate::reports::calibration::{self, Calibration};
use crate::rules;
use crate::scoring;
use crate::scoring::predict::Choice;
use crate::scoring::predict::baselines::Baseline;
use crate::stores::Store;

#[derive(Args)]
pub struct ScoreArgs {
    /// Use only what happened until TIME: an instant, or a date, which means its end in the store's zone. In the
    /// past it shows the scores of that day until the next scoring, and triggers nothing.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Then print how good the predictions are: what was forecast in the past beside what came.
    #[arg(long, conflicts_with = "as_of")]
    report: bool,
}

pub fn run(args: &ScoreArgs, db: &Db, store: &Store, clock: Clock) -> Result<(), CliError> {
    let now = clock.now();
    let as_of = match &args.as_of {
        None => now,
        Some(raw) => parse_time("--as-of", raw, store)?,
    };
    // A rule that went live a moment ago sees who is at risk already, before this scoring finds more of them.
    let live = db.read_here(|conn| rules::store::running(conn, store.id).map_err(DbError::from))?;
    planner::stays::follow(db, store, &live)?;
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
    if args.report {
        let kept =
            db.read_here(|conn| calibration::calibration(conn, store.id).map_err(DbError::from))?;
        if let Some(kept) = kept {
            print_report(&kept);
        }
    }
    Ok(())
}

fn print_report(report: &Calibration) {
    match &report.note {
        Some(note) => println!("\nPredictions are made by {}: {note}.", choice(report.choice)),
        None => println!("\nPredictions are made by {}.", choice(report.choice)),
    }
    if let Some(opening) = &report.opening {
        println!(
            "The log begins in the middle: who was first seen by {} is taken to have been a customer before, and is told by \
             fits of their own.",
            opening.until
        );
    }
    if report.season {
        println!("The models run on the shop's own clock: its year was told better so.");
    }
    if !report.models.is_empty() {
        let mut table =
            Table::new(&["model", "weight", "of orders", "parameters"]).numbers(&[1, 2]);
        for one in &report.models {
            let params = one.params.iter().map(|(name, value)| match value.as_f64() {
                Some(value) => format!("{name} {value:.4}"),
                None => format!("{name} {value}"),
            });
            table.row([
                one.model.to_owned(),
                percent(one.chance_weight),
                percent(one.count_weight),
                params.collect::<Vec<_>>().join(", "),
            ]);
        }
        println!("\n{table}");
    }
    match (&report.prospects, report.prospects_needed) {
        (Some(one), _) => println!(
            "Visitors' first order in 30 days: log loss {:.4} ({:.4} by the usual rate of {}), AUC {}, ECE {:.2} %, of {} \
             visitors, {} of whom ordered{}.\n",
            one.log_loss,
            one.base_log_loss,
            percent(one.base_rate),
            one.auc.map_or("-".to_owned(), |auc| format!("{auc:.4}")),
            one.ece_pct,
            one.visitors,
            one.first_orders,
            if one.by_base_rate { "; the usual rate is used" } else { "" },
        ),
        (None, Some(needed)) => println!(
            "Visitors' first order: not enough data yet (about {needed} more first orders of known visitors).\n"
        ),
        (None, None) => println!("Visitors' first order: not enough data yet.\n"),
    }
    for horizon in &report.horizons {
        println!(
            "Forecast of {} for {} days: {} customers, {} days with orders came; made by {}.",
            horizon.made_on,
            horizon.horizon_days,
            horizon.customers,
            horizon.orders,
            choice(horizon.choice)
        );
        let heads = ["by", "log loss", "Brier", "ECE %", "AUC", "total error %", "MAE", "RMSE"];
        let mut table = Table::new(&heads).numbers(&[1, 2, 3, 4, 5, 6, 7]);
        let rows = [
            ("predictions", Some(&horizon.combined)),
            ("RFM cell rate", horizon.rfm_rate.as_ref()),
            ("overdue ratio", horizon.overdue.as_ref()),
        ];
        for (name, figures) in rows {
            let Some(f) = figures else { continue };
            let figure = |value: Option<f64>, digits: usize| {
                value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
            };
            table.row([
                name.to_owned(),
                figure(f.log_loss, 4),
                figure(f.brier, 4),
                figure(f.ece_pct, 2),
                figure(f.auc, 4),
                figure(f.total_error_pct, 1),
                figure(f.mae, 4),
                figure(f.rmse, 4),
            ]);
        }
        println!("{table}");
        let mut table =
            Table::new(&["tenth", "customers", "predicted", "happened"]).numbers(&[0, 1, 2, 3]);
        for (tenth, decile) in (1..).zip(&horizon.deciles) {
            table.row([
                tenth.to_string(),
                decile.customers.to_string(),
                percent(decile.predicted),
                percent(decile.happened),
            ]);
        }
        println!("{table}");
        if let (Some(before), Some(at)) = (horizon.log_loss_before, horizon.before) {
            println!("Log loss in the report as of {at}: {before:.4}.\n");
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn choice(choice: Choice) -> &'static str {
    match choice {
        Choice::Combination => "the mixture of models, corrected by the store's past",
        Choice::Baseline(Baseline::RfmRate) => {
            "the rate of each RFM cell, which did better on the past"
        }
        Choice::Baseline(Baseline::Overdue) => "the overdue ratio, which did better on the past",
        Choice::Pooled => "what is usual in shops",
    }
}

/// The time that the option `name` gives: an instant, or a date, which means its end in the store's zone.
pub fn parse_time(name: &str, raw: &str, store: &Store) -> Result<Timestamp, CliError> {
    Timestamp::parse_or_end_of_day(raw, &store.timezone)
        .ok()
        .filter(|at| (Timestamp::MIN..=Timestamp::MAX).contains(at))
        .ok_or_else(|| {
            CliError::usage_text(format!("{name}: `{raw}` is no time"))
                .hint("write a date such as 2026-05-31, or an instant such as 2026-05-31T12:00:00Z")
        })
}
