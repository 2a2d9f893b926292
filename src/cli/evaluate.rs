//! `homing evaluate`: what the models say, for anyone to check.
//!
//! `FILE` judges them all, and their combination, on an order log: see [`super::evaluate_log`]. `customers FILE` scores
//! single purchase histories by a model with given parameters. Neither opens a database.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::CliError;
use super::evaluate_log::{self, EvaluateLog};
use super::evaluate_orders::OrdersFile;
use crate::scoring::models::{History, ImpossibleHistory, Model, Params};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Evaluate {
    #[command(subcommand)]
    what: Option<EvaluateCommand>,
    #[command(flatten)]
    orders: Option<OrdersFile>,
    #[command(flatten)]
    log: Option<EvaluateLog>,
}

#[derive(Subcommand)]
enum EvaluateCommand {
    /// P(alive) and expected orders of each purchase history in a CSV file, by one model with these parameters.
    Customers(Customers),
}

#[derive(Args)]
struct Customers {
    /// A CSV file with the columns x (repeat orders), t_x (age at the last one), T (age now) and t (the time ahead
    /// to look at), in one unit of time; `-` reads standard input. Further columns are kept.
    file: PathBuf,
    /// nbd, bg_nbd, mbg_nbd, pareto_nbd, bg_cnbd_k or mbg_cnbd_k.
    #[arg(long)]
    model: Model,
    /// As in the papers, such as r=0.243,alpha=4.414,a=0.793,b=2.426; r, alpha, s, beta for pareto_nbd; k besides
    /// for *_cnbd_k.
    #[arg(long, value_name = "NAME=VALUE,…", value_delimiter = ',', required = true, value_parser = named)]
    params: Vec<(String, f64)>,
}

fn named(raw: &str) -> Result<(String, f64), String> {
    let (name, value) = raw.split_once('=').ok_or("write NAME=VALUE, such as r=0.243")?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is no number"))?;
    Ok((name.trim().to_owned(), value))
}

pub fn run(args: &Evaluate) -> Result<(), CliError> {
    match (&args.what, &args.orders, &args.log) {
        (Some(EvaluateCommand::Customers(args)), ..) => customers(args),
        (None, Some(orders), Some(args)) => evaluate_log::run(args, orders),
        (None, ..) => Err(CliError::usage_text("nothing to evaluate")
            .hint("name an order log: homing evaluate FILE --split DATE --horizon DAYS")),
    }
}

fn customers(args: &Customers) -> Result<(), CliError> {
    let params = Params::from_named(args.model, &args.params).map_err(|error| {
        CliError::usage(error)
            .hint("give each parameter once, such as --params r=0.243,alpha=4.414")
    })?;
    let is_stdin = args.file == Path::new("-");
    let name = if is_stdin { "standard input".to_owned() } else { args.file.display().to_string() };
    let input: Box<dyn Read> = if is_stdin {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.file);
        Box::new(file.map_err(|error| CliError::usage_text(format!("{name}: {error}")))?)
    };
    match score_rows(&params, input, io::stdout().lock()) {
        Ok(()) => Ok(()),
        // Whoever reads has read enough.
        Err(RowsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(RowsError::Output(error)) => Err(error.into()),
        Err(error) => Err(CliError::usage_text(format!("{name}: {error}"))
            .hint("the columns are x, t_x, T and t: whole repeat orders, and times with 0 <= t_x <= T and t >= 0")),
    }
}

/// Why rows cannot be scored.
#[derive(Debug, thiserror::Error)]
enum RowsError {
    #[error("the column {0} is missing from the first line")]
    Column(&'static str),
    #[error("line {line}: {column} is `{raw}`, which is no {wanted}")]
    Number { line: u64, column: &'static str, raw: String, wanted: &'static str },
    #[error("line {line}: {error}")]
    History { line: u64, error: ImpossibleHistory },
    #[error("{0}")]
    Csv(csv::Error),
    #[error("{0}")]
    Output(io::Error),
}

const COLUMNS: [&str; 4] = ["x", "t_x", "T", "t"];

/// Copies each row with `p_alive` and `expected` behind it. Numbers are written with all the digits they have: read
/// again, they are the same.
fn score_rows(params: &Params, input: impl Read, output: impl Write) -> Result<(), RowsError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let mut heads = reader.headers().map_err(RowsError::Csv)?.clone();
    let is = |head: &str, column: &str| head.trim_start_matches('\u{feff}') == column;
    let mut places = [0; 4];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        *place = heads.iter().position(|head| is(head, column)).ok_or(RowsError::Column(column))?;
    }
    let written = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => RowsError::Output(error),
        kind => RowsError::Output(io::Error::other(format!("{kind:?}"))),
    };
    let mut writer = csv::Writer::from_writer(output);
    heads.push_field("p_alive");
    heads.push_field("expected");
    writer.write_record(&heads).map_err(written)?;
    let mut row = csv::StringRecord::new();
    while reader.read_record(&mut row).map_err(RowsError::Csv)? {
        let line = row.position().map_or(0, csv::Position::line);
        let (history, t) = history(&row, places, line)?;
        let outlook = params.outlook(&history);
        row.push_field(&format!("{:?}", outlook.p_alive()));
        row.push_field(&format!("{:?}", outlook.expected(t)));
        writer.write_record(&row).map_err(written)?;
    }
    writer.flush().map_err(RowsError::Output)
}

fn history(
    row: &csv::StringRecord,
    places: [usize; 4],
    line: u64,
) -> Result<(History, f64), RowsError> {
    let wrong = |i: usize, wanted| RowsError::Number {
        line,
        column: COLUMNS[i],
        raw: row[places[i]].to_owned(),
        wanted,
    };
    let number = |i: usize| {
        let value = row[places[i]].parse::<f64>().ok().filter(|value| value.is_finite());
        value.ok_or_else(|| wrong(i, "number"))
    };
    let (x, t_x, age, t) = (number(0)?, number(1)?, number(2)?, number(3)?);
    if x.fract() != 0.0 || !(0.0..=f64::from(u32::MAX)).contains(&x) {
        return Err(wrong(0, "count of orders"));
    }
    if t < 0.0 {
        return Err(wrong(3, "time ahead"));
    }
    let history = History { x: x as u32, t_x, age };
    history.check().map_err(|error| RowsError::History { line, error })?;
    Ok((history, t))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(input: &str) -> Result<String, String> {
        let given = [("r", 0.243), ("alpha", 4.414), ("a", 0.793), ("b", 2.426)];
        let given = given.map(|(name, value)| (name.to_owned(), value));
        let params = Params::from_named(Model::BgNbd, &given).unwrap();
        let mut output = Vec::new();
        score_rows(&params, input.as_bytes(), &mut output).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn columns_are_found_by_name_and_kept() {
        let output = score("note,t,x,T,t_x\n\"of the note, 2004\",3.9e1,2,38.86,30.43\n").unwrap();
        let mut lines = output.lines();
        assert_eq!(lines.next().unwrap(), "note,t,x,T,t_x,p_alive,expected");
        let row = lines.next().unwrap();
        let (kept, scores) = row.split_at("\"of the note, 2004\",3.9e1,2,38.86,30.43,".len());
        assert_eq!(kept, "\"of the note, 2004\",3.9e1,2,38.86,30.43,");
        let scores: Vec<f64> = scores.split(',').map(|cell| cell.parse().unwrap()).collect();
        assert!((scores[0] / 0.726_578_570_080_673 - 1.0).abs() < 1e-12);
        assert!((scores[1] / 1.226_028_174_767_144_4 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn small_numbers_keep_their_digits() {
        let output = score("x,t_x,T,t\n2e3,0.1,1e5,1e-9\n0,0,0,0\n").unwrap();
        let scores: Vec<&str> = output.lines().nth(1).unwrap().split(',').collect();
        assert!(scores[4].parse::<f64>().unwrap() < 1e-300, "{scores:?}");
        assert_eq!(output.lines().nth(2).unwrap(), "0,0,0,0,1.0,0.0");
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let bad = [
            ("x,t_x,T\n", "the column t is missing from the first line"),
            ("x,t_x,T,t\n1,2,3,4\n1,a,3,4\n", "line 3: t_x is `a`, which is no number"),
            ("x,t_x,T,t\n1.5,2,3,4\n", "line 2: x is `1.5`, which is no count of orders"),
            ("x,t_x,T,t\n1,2,3,-4\n", "line 2: t is `-4`, which is no time ahead"),
            ("x,t_x,T,t\n1,2,NaN,4\n", "line 2: T is `NaN`, which is no number"),
        ];
        for (input, message) in bad {
            assert_eq!(score(input).unwrap_err(), message);
        }
        assert!(
            score("x,t_x,T,t\n1,5,3,4\n")
                .unwrap_err()
                .starts_with("line 2: no customer has x = 1, t_x = 5, T = 3")
        );
        assert!(
            score("x,t_x,T,t\n0,2,3,4\n").unwrap_err().contains("t_x = 0 without repeat orders")
        );
        assert!(score("x,t_x,T,t\n1,2,3\n").unwrap_err().contains("line: 2"));
    }
}
