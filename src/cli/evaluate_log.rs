//! `homing evaluate FILE`: every model and the combination, judged on any shop's order log.
//!
//! What was known at the end of the split day is learnt from; what came in the days after it judges. It opens no database.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use flate2::bufread::MultiGzDecoder;
use jiff::civil::Date;
use serde::Serialize;

use super::CliError;
use super::table::Table;
use crate::intake::csv::instant;
use crate::primitives::Zone;
use crate::scoring::models::{Model, Params};
use crate::scoring::predict::baselines::Baseline;
use crate::scoring::predict::contest::{ALLOWED_PCT, Harm};
use crate::scoring::predict::evaluate::{Contests, Figures, Forecast, Holdout};
use crate::scoring::predict::history::{histories, key_of};
use crate::scoring::predict::{Choice, Day, Known, Learned, OrderLog, Purchase, Sufficiency};

#[derive(Args)]
pub struct EvaluateLog {
    /// A CSV file of orders, plain or gzipped: a customer, a day or time, and what the order came to.
    file: PathBuf,
    /// The last day that is known: what came later judges.
    #[arg(long, value_name = "DATE")]
    split: Date,
    /// How many days after the split are looked at.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(Day).range(1..=3650))]
    horizon: Day,
    /// The names of the columns where they are not told by themselves, such as id=customer,at=date,amount=total.
    #[arg(long, value_name = "id=…,at=…,amount=…", value_delimiter = ',', value_parser = column)]
    columns: Vec<(Column, String)>,
    /// Whether an order that came to nothing counts. Negative amounts never do.
    #[arg(long, value_enum, default_value_t = ZeroAmounts::Drop)]
    zero_amounts: ZeroAmounts,
    /// Where a day begins and ends, for times that carry a zone of their own.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: Zone,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ZeroAmounts {
    Drop,
    Keep,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    At,
    Amount,
}

impl Column {
    const ALL: [Self; 3] = [Self::Id, Self::At, Self::Amount];

    fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::At => "at",
            Self::Amount => "amount",
        }
    }

    /// The names that tell it by themselves.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Id => &["id", "customer_id", "customer", "user_id"],
            Self::At => &["at", "placed_at", "ordered_at", "date", "day", "timestamp"],
            Self::Amount => &["amount", "total"],
        }
    }
}

fn column(raw: &str) -> Result<(Column, String), String> {
    let (name, head) = raw.split_once('=').ok_or("write id=…, at=… or amount=…")?;
    let column = Column::ALL.into_iter().find(|column| column.name() == name.trim());
    let column = column.ok_or_else(|| format!("`{name}` is none of id, at and amount"))?;
    Ok((column, head.trim().to_owned()))
}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Row>,
    customers: usize,
    orders_in_holdout: u64,
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

#[derive(Debug, Serialize)]
struct Row {
    model: &'static str,
    params: BTreeMap<String, f64>,
    log_likelihood: Option<f64>,
    fit_ms: Option<f64>,
    #[serde(flatten)]
    figures: Figures,
}

pub fn run(args: &EvaluateLog) -> Result<(), CliError> {
    let log = read(args)?;
    let split = day_number(args.split)?;
    let holdout = Holdout::of(&log, split, args.horizon);
    if holdout.known.is_empty() {
        return Err(CliError::usage_text(format!("nobody has ordered up to {}", args.split))
            .hint("choose a --split within the log, later than its first order"));
    }
    if let Some(last) = log.last_day().filter(|last| *last < split + args.horizon) {
        let days = last - split;
        eprintln!(
            "The log ends {days} days after the split: nothing is known of the rest of the {} days, and all will seem to stay away.",
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
        model: "combined",
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
        (Sufficiency::TooYoung, _) => println!(
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

/// The orders that count.
fn read(args: &EvaluateLog) -> Result<OrderLog, CliError> {
    let place = args.file.display();
    let wrong =
        |line: u64, what: String| CliError::usage_text(format!("{place}: line {line}: {what}"));
    let unreadable = |error: csv::Error| CliError::usage_text(format!("{place}: {error}"));
    let input =
        open(&args.file).map_err(|error| CliError::usage_text(format!("{place}: {error}")))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let heads = reader.headers().map_err(unreadable)?.clone();
    let [id, at, amount] = places(&heads, &args.columns).map_err(|error| {
        CliError::usage_text(format!("{place}: {error}")).hint(format!(
            "name the columns with --columns id=…,at=…,amount=…; the file has {}",
            heads.iter().collect::<Vec<_>>().join(", ")
        ))
    })?;
    let (Some(id), Some(at)) = (id, at) else { unreachable!("places demands both") };
    let mut purchases = Vec::new();
    let (mut guests, mut dropped) = (0_u64, 0_u64);
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(unreadable)? {
        let line = row.position().map_or(0, csv::Position::line);
        if row[id].is_empty() {
            guests += 1;
            continue;
        }
        let amount = match amount.map(|amount| &row[amount]) {
            None => None,
            Some("") => Some(0.0),
            Some(raw) => match raw.parse::<f64>() {
                Ok(value) if value.is_finite() => Some(value),
                _ => return Err(wrong(line, format!("the amount `{raw}` is no number"))),
            },
        };
        let counts = amount.is_none_or(|amount| {
            amount > 0.0 || amount == 0.0 && args.zero_amounts == ZeroAmounts::Keep
        });
        if !counts {
            dropped += 1;
            continue;
        }
        let time = instant(&row[at], &args.timezone).map_err(|what| wrong(line, what))?;
        let day = time.day_number(&args.timezone);
        purchases.push((key_of(&row[id]), Purchase { day, amount: amount.unwrap_or(0.0) }));
    }
    if guests + dropped > 0 {
        eprintln!("Left out: {guests} orders without a customer, {dropped} by their amount.");
    }
    Ok(OrderLog::new(purchases))
}

/// Unpacks what begins like a gzip file.
fn open(path: &Path) -> std::io::Result<Box<dyn Read>> {
    let mut file = BufReader::new(File::open(path)?);
    let is_gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Where each column is. Only amounts may be missing: then no order has one, and all count.
fn places(
    heads: &csv::StringRecord,
    named: &[(Column, String)],
) -> Result<[Option<usize>; 3], String> {
    let find = |wanted: &str| {
        heads
            .iter()
            .position(|head| head.trim_start_matches('\u{feff}').eq_ignore_ascii_case(wanted))
    };
    let mut places = [None; 3];
    for (place, column) in places.iter_mut().zip(Column::ALL) {
        let given = named.iter().find(|(of, _)| *of == column);
        *place = match given {
            Some((_, head)) => {
                Some(find(head).ok_or_else(|| format!("there is no column `{head}`"))?)
            }
            None => column.usual().iter().find_map(|usual| find(usual)),
        };
        if place.is_none() && column != Column::Amount {
            let meaning =
                if column == Column::Id { "the customer" } else { "the time of the order" };
            return Err(format!("no column holds {meaning}"));
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_usual_names_or_as_told() {
        let heads = csv::StringRecord::from(vec!["\u{feff}Customer_ID", "Date", "cds", "amount"]);
        assert_eq!(places(&heads, &[]).unwrap(), [Some(0), Some(1), Some(3)]);
        let told = [column("amount=cds").unwrap(), column("id = cds").unwrap()];
        assert_eq!(places(&heads, &told).unwrap(), [Some(2), Some(1), Some(2)]);
        let bare = csv::StringRecord::from(vec!["who", "date"]);
        assert_eq!(places(&bare, &[]).unwrap_err(), "no column holds the customer");
        assert_eq!(places(&bare, &[column("id=who").unwrap()]).unwrap(), [Some(0), Some(1), None]);
        assert_eq!(
            places(&bare, &[column("at=when").unwrap()]).unwrap_err(),
            "no column holds the customer"
        );
        assert!(column("when=date").is_err() && column("id").is_err());
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(day_number(Date::constant(1970, 1, 1)).ok(), Some(0));
        assert_eq!(day_number(Date::constant(1997, 9, 30)).ok(), Some(10_134));
    }
}
