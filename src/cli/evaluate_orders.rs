//! The order log that `homing evaluate` is given: any CSV that tells who ordered, when and for how much.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flate2::bufread::MultiGzDecoder;

use super::CliError;
use crate::intake::csv::instant;
use crate::primitives::Zone;
use crate::scoring::predict::history::key_of;
use crate::scoring::predict::{OrderLog, Purchase};

#[derive(Args)]
pub struct OrdersFile {
    /// A CSV file of orders, plain or gzipped: a customer, a day or time, and what the order came to.
    file: PathBuf,
    /// The names of the columns where they are not told by themselves, such as id=customer,at=date,amount=total.
    #[arg(long, value_name = "id=…,at=…,amount=…", value_delimiter = ',', value_parser = column)]
    columns: Vec<(Column, String)>,
    /// Whether an order that came to nothing counts. Negative amounts never do.
    #[arg(long, value_enum, default_value_t = ZeroAmounts::Drop)]
    zero_amounts: ZeroAmounts,
    /// Where a day begins and ends, for times that carry a zone of their own.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: Zone,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ZeroAmounts {
    Drop,
    Keep,
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

    /// The names that tell it by themselves, the surest first: where there is a customer, `id` is the order's.
    fn usual(self) -> &'static [&'static str] {
        match self {
            Self::Id => &["customer_id", "customer", "user_id", "email", "id"],
            Self::At => &[
                "at",
                "placed_at",
                "ordered_at",
                "order_date",
                "invoice_date",
                "created_at",
                "date",
                "day",
                "timestamp",
            ],
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

impl OrdersFile {
    /// The orders that count.
    pub fn read(&self) -> Result<OrderLog, CliError> {
        let place = self.file.display();
        let wrong =
            |line: u64, what: String| CliError::usage_text(format!("{place}: line {line}: {what}"));
        let unreadable = |error: csv::Error| {
            CliError::usage_text(format!("{place}: {error}"))
                .hint("each line holds as many fields as the first; what holds a comma stands in double quotes")
        };
        let unopened = |error: std::io::Error| {
            CliError::usage_text(format!("{place}: {error}"))
                .hint("name a CSV file of orders, plain or gzipped")
        };
        let mut input = BufReader::new(open(&self.file).map_err(unopened)?);
        let separator = separator(input.fill_buf().map_err(unopened)?);
        let mut reader =
            csv::ReaderBuilder::new().delimiter(separator).trim(csv::Trim::All).from_reader(input);
        let heads = reader.headers().map_err(unreadable)?.clone();
        let [id, at, amount] = places(&heads, &self.columns).map_err(|error| {
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
                    _ => {
                        return Err(wrong(line, format!("the amount `{raw}` is no number")).hint(
                            "write amounts without a currency and with a point, such as 1234.50",
                        ));
                    }
                },
            };
            let counts = amount.is_none_or(|amount| {
                amount > 0.0 || amount == 0.0 && self.zero_amounts == ZeroAmounts::Keep
            });
            if !counts {
                dropped += 1;
                continue;
            }
            let time = instant(&row[at], &self.timezone).map_err(|what| wrong(line, what))?;
            let day = time.day_number(&self.timezone);
            purchases.push((key_of(&row[id]), Purchase { day, amount: amount.unwrap_or(0.0) }));
        }
        if guests + dropped > 0 {
            eprintln!("Left out: {guests} orders without a customer, {dropped} by their amount.");
        }
        Ok(OrderLog::new(purchases))
    }
}

/// Unpacks what begins like a gzip file.
fn open(path: &Path) -> std::io::Result<Box<dyn Read>> {
    let mut file = BufReader::new(File::open(path)?);
    let is_gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// What parts the fields, by the first line: a spreadsheet may write semicolons or tabs.
fn separator(beginning: &[u8]) -> u8 {
    let first_line = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let times = |separator: u8| first_line.iter().filter(|byte| **byte == separator).count();
    [b'\t', b';', b','].into_iter().max_by_key(|separator| times(*separator)).unwrap_or(b',')
}

/// A column's name as it may be written: `Customer ID`, `CustomerID` or `customer_id`.
fn plain(head: &str) -> String {
    head.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
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
    let find_usual = |wanted: &str| heads.iter().position(|head| plain(head) == plain(wanted));
    let mut places = [None; 3];
    for (place, column) in places.iter_mut().zip(Column::ALL) {
        let given = named.iter().find(|(of, _)| *of == column);
        *place = match given {
            Some((_, head)) => {
                Some(find(head).ok_or_else(|| format!("there is no column `{head}`"))?)
            }
            None => column.usual().iter().find_map(|usual| find_usual(usual)),
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
        let shop = csv::StringRecord::from(vec!["Id", "CustomerID", "Order Date", "Total"]);
        let found = places(&shop, &[]).unwrap();
        assert_eq!(found, [Some(1), Some(2), Some(3)], "`Id` is the order's");
    }

    #[test]
    fn fields_are_parted_as_the_first_line_parts_them() {
        assert_eq!(separator(b"customer;date;total\n1,5;2"), b';');
        assert_eq!(separator(b"customer\tdate\n"), b'\t');
        assert_eq!(separator(b"who,when;or not,total"), b',');
        assert_eq!((separator(b"customer"), separator(b"")), (b',', b','));
    }
}
