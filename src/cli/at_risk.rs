//! `homing at-risk`: the worklist, who is slipping away first.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::CliError;
use super::table::Table;
use crate::db::{Db, DbError};
use crate::primitives::mask_formula;
use crate::scoring::WorklistItem;
use crate::scoring::why_now::Language;
use crate::scoring::worklist::{WorklistQuery, worklist};
use crate::stores::Store;

#[derive(Args)]
pub struct AtRiskArgs {
    /// How many, the most urgent first.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

pub fn run(args: &AtRiskArgs, db: &Db, store: &Store) -> Result<(), CliError> {
    let query = WorklistQuery::first(i64::from(args.limit), Language::of_locale(&store.locale));
    let list = db.read_here(|conn| worklist(conn, store, &query).map_err(DbError::from))?;
    let Some(as_of) = list.as_of else {
        return Err(
            CliError::text("nothing is scored yet").hint("score the store with: homing score")
        );
    };
    let mut out = std::io::stdout().lock();
    match args.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&list.items)?)?,
        Format::Csv => write_csv(&mut out, &list.items)?,
        Format::Table => {
            write!(out, "{}", table(&list.items))?;
            eprintln!(
                "As of {as_of}{}.",
                if list.historic { ", a look into the past" } else { "" }
            );
        }
    }
    Ok(())
}

fn table(items: &[WorklistItem]) -> Table {
    let mut table =
        Table::new(&["customer", "segment", "RFM", "orders", "spent", "days", "why now"])
            .numbers(&[3, 4, 5]);
    for item in items {
        let who = &item.customer;
        let name =
            who.name.clone().or_else(|| who.email.clone()).or_else(|| who.external_id.clone());
        table.row([
            name.unwrap_or_else(|| who.id.to_string()),
            item.segment.clone(),
            format!("{}{}{}", item.rfm.r, item.rfm.f, item.rfm.m),
            item.orders_count.to_string(),
            item.spent.to_string(),
            format!("{:.0}", item.days_since_last_order),
            item.why_now.clone(),
        ]);
    }
    table
}

/// Spreadsheets run cells that begin like a formula: names and addresses come from outside, and are masked.
fn write_csv(out: &mut impl Write, items: &[WorklistItem]) -> Result<(), CliError> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "customer_id",
        "external_id",
        "email",
        "name",
        "segment",
        "r",
        "f",
        "m",
        "orders_count",
        "spent",
        "currency",
        "last_order_at",
        "days_since_last_order",
        "usual_gap_days",
        "overdue",
        "p_alive",
        "expected_orders_90d",
        "value_at_risk",
        "why_now",
        "next_message_at",
    ])?;
    let text = |value: &Option<String>| value.as_deref().map(mask_formula).unwrap_or_default();
    fn number<T: ToString>(value: &Option<T>) -> String {
        value.as_ref().map(T::to_string).unwrap_or_default()
    }
    for item in items {
        let who = &item.customer;
        csv.write_record([
            who.id.to_string(),
            text(&who.external_id),
            text(&who.email),
            text(&who.name),
            item.segment.clone(),
            item.rfm.r.to_string(),
            item.rfm.f.to_string(),
            item.rfm.m.to_string(),
            item.orders_count.to_string(),
            item.spent.amount(),
            item.spent.currency.to_string(),
            item.last_order_at.to_string(),
            item.days_since_last_order.to_string(),
            number(&item.usual_gap_days),
            item.overdue.to_string(),
            number(&item.p_alive),
            number(&item.expected_orders_90d),
            item.value_at_risk.as_ref().map(|money| money.amount()).unwrap_or_default(),
            mask_formula(&item.why_now),
            number(&item.next_message_at),
        ])?;
    }
    csv.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{CustomerId, Money, Timestamp};
    use crate::scoring::Rfm;
    use crate::scoring::worklist::WorklistCustomer;

    #[test]
    fn a_name_that_is_a_formula_is_masked_in_csv() {
        let item = WorklistItem {
            customer: WorklistCustomer {
                id: CustomerId(7),
                external_id: Some("-7".to_owned()),
                email: Some("ann@shop.example".to_owned()),
                name: Some("=HYPERLINK(\"evil\")".to_owned()),
            },
            segment: "at_risk".to_owned(),
            rfm: Rfm { r: 2, f: 4, m: 5 },
            orders_count: 7,
            spent: Money::new(81_240, "CNY".parse().unwrap()),
            last_order_at: Timestamp(0),
            days_since_last_order: 61.2,
            usual_gap_days: Some(23.0),
            overdue: 1.66,
            p_alive: None,
            expected_orders_90d: None,
            value_at_risk: None,
            why_now: "Buys every 23 days.".to_owned(),
            next_message_at: None,
        };
        let mut out = Vec::new();
        assert!(write_csv(&mut out, &[item]).is_ok());
        let line = String::from_utf8(out).unwrap().lines().nth(1).unwrap().to_owned();
        assert_eq!(
            line,
            "7,'-7,ann@shop.example,\"'=HYPERLINK(\"\"evil\"\")\",at_risk,2,4,5,7,812.40,CNY,1970-01-01T00:00:00Z,61.2,23,\
             1.66,,,,Buys every 23 days.,"
        );
    }
}
