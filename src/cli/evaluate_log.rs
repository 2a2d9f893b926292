//! `homing evaluate FILE`: every model and the combination, judged on any shop's order log.
//!
//! What was known at the end of the split day is learnt from; what came in the days after it judges. It opens no database.

use std::collections::BTreeMap;
use std::time::Instant;

use clap::{Args, ValueEnum};
use jiff::civil::Date;
use serde::Serialize;

use super::CliError;
use super::evaluate_orders::OrdersFile;
use super::table::Table;
use crate::scoring::models::{Model, Params};
use crate::scoring::predict::baselines::Baseline;
use crate::scoring::predict::contest::{ALLOWED_PCT, Harm};
use crate::scoring::predict::evaluate::{Contests, Figures, Forecast, Holdout};
use crate::scoring::predict::history::histories;
use crate::scoring::predict::metrics::Decile;
use crate::scoring::predict::{Choice, Day, Known, Learned, OrderLog, Sufficiency};

#[derive(Args)]
pub struct EvaluateLog {
    /// The last day that is known: what came later judges.
    #[arg(long, value_name = "DATE")]
    split: Date,
    /// How many days after the split are looked at.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(Day).range(1..=3650))]
    horizon: Day,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Row>,
    customers: usize,
    orders_in_holdout: u64,
    /// The combination's probabilities of an order within the horizon, and within 30 days, in ten groups, and what came.
    deciles: Vec<Decile>,
    deciles_30d: Option<Vec<Decile>>,
    /// Whether the combination does harm: each figure beside that of the best single model in hindsight.
    against_best: Contests,
    /// Null where the log is taken to begin with the shop.
    opening: Option<OpeningFound>,
    /// The models run on the shop's own clock.
    season: bool,
    /// What the combination would be made by here, and by which scores on the known past that was decided.
    choice: Choice,
    sufficiency: Sufficiency,
    backtest: crate::scoring::predict::Backtest,
}

/// Customers of before the log, and by what they are told in the combination.
#[derive(Debug, Serialize)]
struct OpeningFound {
    first_day: Date,
    /// Who was first seen by the end of this day is taken to have been a customer before.
    until: Date,
    customers_before: usize,
    customers_since: usize,
    models: Vec<PartedModel>,
}

#[derive(Debug, Serialize)]
struct PartedModel {
    model: &'static str,
    before: BTreeMap<String, f64>,
    since: BTreeMap<String, f64>,
}

impl OpeningFound {
    fn of(learned: &Learned, holdout: &Holdout) -> Option<Self> {
        let opening = learned.opening?;
        let before = holdout.known.iter().filter(|known| opening.holds(known)).count();
        let models = learned.members.iter().filter_map(|member| {
            let parted = member.parted?;
            Some(PartedModel {
                model: member.model.as_str(),
                before: named(&parted.before.params),
                since: named(&parted.since.params),
            })
        });
        Some(Self {
            first_day: date(opening.first_day),
            until: date(opening.until),
            customers_before: before,
            customers_since: holdout.known.len() - before,
            models: models.collect(),
        })
    }
}

fn named(params: &Params) -> BTreeMap<String, f64> {
    params.named().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The row of the combination.
const COMBINED: &str = "combined";

#[derive(Debug, Serialize)]
struct Row {
    model: &'static str,
    params: BTreeMap<String, f64>,
    log_likelihood: Option<f64>,
    fit_ms: Option<f64>,
    #[serde(flatten)]
    figures: Figures,
}

pub fn run(args: &EvaluateLog, orders: &OrdersFile) -> Result<(), CliError> {
    let log = orders.read()?;
    let split = day_number(args.split)?;
    let holdout = Holdout::of(&log, split, args.horizon);
    if holdout.known.is_empty() {
        return Err(CliError::usage_text(format!("nobody has ordered up to {}", args.split))
            .hint("choose a --split within the log, later than its first order"));
    }
    if let Some(last) = log.last_day().filter(|last| *last < split + args.horizon) {
        let known = match last - split {
            ..=0 => "by the split: nothing is known of".to_owned(),
            days => format!("{days} days after the split: nothing is known of the rest of"),
        };
        eprintln!(
            "The log ends {known} the {} days, and all will seem to stay away.",
            args.horizon
        );
    }
    let report = evaluate(&log, &holdout);
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Format::Table => print(&report, args),
    }
    Ok(())
}

fn evaluate(log: &OrderLog, holdout: &Holdout) -> Report {
    let known = histories(&holdout.known, Known::history);
    let mut singles: Vec<(Model, Forecast)> = Vec::new();
    let mut rows: Vec<Row> = Model::ALL
        .into_iter()
        .map(|model| {
            let started = Instant::now();
            let fitted = model.fit(&known).ok();
            let took = started.elapsed();
            let forecast = fitted.map(|fitted| holdout.by_model(&fitted.params));
            let row = Row {
                model: model.as_str(),
                params: fitted.map(|fitted| named(&fitted.params)).unwrap_or_default(),
                log_likelihood: fitted.map(|fitted| fitted.log_likelihood),
                fit_ms: fitted.map(|_| took.as_secs_f64() * 1e3),
                figures: judged(holdout, forecast.as_ref()),
            };
            singles.extend(forecast.map(|forecast| (model, forecast)));
            row
        })
        .collect();
    let started = Instant::now();
    let learned = Learned::from_log(log, holdout.split, &[30, holdout.horizon]);
    let took = started.elapsed();
    let weights = learned.members.iter().flat_map(|member| {
        let model = member.model;
        [
            (format!("weight_{model}"), member.chance_weight),
            (format!("count_weight_{model}"), member.count_weight),
        ]
    });
    let combined = holdout.by_combination(&learned);
    rows.push(Row {
        model: COMBINED,
        params: weights.collect(),
        log_likelihood: None,
        fit_ms: Some(took.as_secs_f64() * 1e3),
        figures: holdout.judge(&combined),
    });
    for (model, baseline) in [("rfm_rate", Baseline::RfmRate), ("overdue", Baseline::Overdue)] {
        rows.push(Row {
            model,
            params: BTreeMap::new(),
            log_likelihood: None,
            fit_ms: None,
            figures: judged(holdout, holdout.by_baseline(&learned, baseline).as_ref()),
        });
    }
    Report {
        rows,
        customers: holdout.known.len(),
        orders_in_holdout: holdout.orders(),
        deciles: holdout.deciles(&combined),
        deciles_30d: holdout.deciles_month(&combined),
        against_best: holdout.contest(&combined, &singles),
        opening: OpeningFound::of(&learned, holdout),
        season: !learned.clock.is_even(),
        choice: learned.choice,
        sufficiency: learned.sufficiency,
        backtest: learned.backtest,
    }
}

/// Without a forecast, no figure applies.
fn judged(holdout: &Holdout, forecast: Option<&Forecast>) -> Figures {
    forecast.map(|forecast| holdout.judge(forecast)).unwrap_or_default()
}

fn print(report: &Report, args: &EvaluateLog) {
    println!(
        "{} customers known on {}; {} orders in the {} days after it\n",
        report.customers, args.split, report.orders_in_holdout, args.horizon
    );
    let heads = [
        "model",
        "fit ms",
        "log lik",
        "MAE",
        "RMSE",
        "total %",
        "log loss",
        "Brier",
        "ECE %",
        "AUC",
        "AUC 30d",
        "ECE 30d %",
        "window80 %",
    ];
    let mut table = Table::new(&heads).numbers(&(1..heads.len()).collect::<Vec<_>>());
    for row in &report.rows {
        let cell = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let f = &row.figures;
        table.row([
            row.model.to_owned(),
            cell(row.fit_ms, 1),
            cell(row.log_likelihood, 1),
            cell(f.mae, 4),
            cell(f.rmse, 4),
            cell(f.total_error_pct, 1),
            cell(f.log_loss, 4),
            cell(f.brier, 4),
            cell(f.ece_pct, 2),
            cell(f.auc, 4),
            cell(f.auc_30d, 4),
            cell(f.ece_30d_pct, 2),
            cell(f.window80_coverage_pct, 1),
        ]);
    }
    print!("{table}");
    let combined = report.rows.iter().find(|row| row.model == COMBINED).map(|row| &row.figures);
    if let Some(noise) = combined.and_then(|figures| figures.ece_noise_pct) {
        let of_month = combined.and_then(|figures| figures.ece_30d_noise_pct);
        println!(
            "\nWere every probability right, chance alone would make the ECE of so many customers {noise:.2} %{}.",
            of_month.map_or_else(String::new, |noise| format!(" (30d: {noise:.2} %)"))
        );
    }
    print_contests(&report.against_best);
    if let Some(opening) = &report.opening {
        println!(
            "\nThe log begins in the middle: {} customers first seen by {} are taken to have been customers before, and are told by \
             fits of their own; {} came since.",
            opening.customers_before, opening.until, opening.customers_since
        );
    }
    if report.season {
        println!("\nThe combination runs on the shop's own clock: its year was told better so.");
    }
    match (report.sufficiency, report.choice) {
        (Sufficiency::TooFew { more_repeat_orders }, _) => println!(
            "\nNot enough data yet (about {more_repeat_orders} more repeat orders): the combination is what is usual in shops."
        ),
        (Sufficiency::TooYoung, Choice::Combination | Choice::Baseline(_)) => println!(
            "\nNot enough data yet (one day of first orders: age and season cannot be told apart). The combination is learnt \
             from the log all the same."
        ),
        (Sufficiency::TooYoung, Choice::Pooled) => println!(
            "\nNot enough data yet (one day of first orders, or too short a past): the combination is what is usual in shops."
        ),
        (_, Choice::Baseline(baseline)) => println!(
            "\nOn the known past a plain rule did better, and the combination is that rule: {}.",
            match baseline {
                Baseline::RfmRate => "rfm_rate",
                Baseline::Overdue => "overdue",
            }
        ),
        _ => {}
    }
}

/// Whether the combination does harm, and whether that is more than chance.
fn print_contests(contests: &Contests) {
    if contests.all().iter().all(|(_, contest)| contest.is_none()) {
        return;
    }
    let heads =
        ["figure", "best single", "its", "combined less it", "± s.e.", "worse %", "± s.e.", ""];
    let mut table = Table::new(&heads).numbers(&[2, 3, 4, 5, 6]);
    for (name, contest) in contests.all() {
        let Some(c) = contest else { continue };
        table.row([
            name.replace('_', " "),
            c.best_model.to_string(),
            format!("{:.4}", c.best),
            format!("{:+.4}", c.difference),
            format!("{:.4}", c.standard_error),
            format!("{:+.2}", c.worse_pct),
            format!("{:.2}", c.worse_pct_standard_error),
            match c.harm {
                Harm::None => format!("not {ALLOWED_PCT} % worse"),
                Harm::WithinNoise => format!("over {ALLOWED_PCT} %, within noise"),
                Harm::BeyondNoise => format!("over {ALLOWED_PCT} %, beyond noise"),
            },
        ]);
    }
    println!(
        "\nAgainst the best single model of each figure, in hindsight (paired over customers):\n"
    );
    print!("{table}");
}

fn date(day: Day) -> Date {
    let days = jiff::Span::new().try_days(i64::from(day)).unwrap_or_default();
    Date::constant(1970, 1, 1).saturating_add(days)
}

fn day_number(date: Date) -> Result<Day, CliError> {
    let since = date.since(Date::constant(1970, 1, 1)).map_err(CliError::usage)?;
    Ok(since.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(day_number(Date::constant(1970, 1, 1)).ok(), Some(0));
        assert_eq!(day_number(Date::constant(1997, 9, 30)).ok(), Some(10_134));
    }
}
