//! The published tables, score by score and segment by segment, from the real logs.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use jiff::civil::Date;

use super::assess::{Assessment, Buyer, History, Person};
use super::rfm::Segment;
use super::{Summary, Tally};
use crate::primitives::{CustomerId, Timestamp, Zone};

/// A purchase: whose, on which day, for how many cents.
pub(super) type Purchase = (i64, Date, i64);

/// Cents from a decimal with at most two places.
fn cents(raw: &str) -> i64 {
    let (whole, part) = raw.split_once('.').unwrap_or((raw, ""));
    let part = format!("{part:0<2}");
    let value = whole.trim_start_matches('-').parse::<i64>().unwrap() * 100
        + part[..2].parse::<i64>().unwrap();
    if raw.starts_with('-') { -value } else { value }
}

/// `sample_id`, `date`, `amount` of the CDNOW sample.
pub(super) fn cdnow() -> Vec<Purchase> {
    let mut reader = csv::Reader::from_path("tests/data/cdnow_sample_log.csv").unwrap();
    let row =
        |row: csv::StringRecord| (row[1].parse().unwrap(), row[2].parse().unwrap(), cents(&row[4]));
    reader.records().map(|record| row(record.unwrap())).collect()
}

/// The retailer's orders that count: of a known customer, not cancelled, of a positive amount.
pub(super) fn online_retail() -> Vec<Purchase> {
    let mut text = String::new();
    let file = std::fs::File::open("tests/data/online_retail_orders.csv.gz").unwrap();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let heads = reader.headers().unwrap().clone();
    let at = |name: &str| heads.iter().position(|head| head == name).unwrap();
    let (when, who, amount, cancelled) =
        (at("timestamp"), at("customer_id"), at("amount"), at("cancelled"));
    let mut purchases = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        if !record[who].is_empty() && &record[cancelled] == "0" && cents(&record[amount]) > 0 {
            let day = record[when][..10].parse().unwrap();
            purchases.push((record[who].parse().unwrap(), day, cents(&record[amount])));
        }
    }
    purchases
}

fn day_number(day: Date) -> i32 {
    Zone::utc().start_of(day).day_number(&Zone::utc())
}

fn summary(purchases: Vec<Purchase>, as_of: &str) -> Summary {
    let as_of = Timestamp::parse_or_end_of_day(as_of, &Zone::utc()).unwrap();
    let last_day = as_of.day_in(&Zone::utc());
    let mut by_customer: BTreeMap<i64, BTreeMap<i32, i64>> = BTreeMap::new();
    for (customer, day, amount) in purchases {
        if day <= last_day {
            *by_customer.entry(customer).or_default().entry(day_number(day)).or_default() += amount;
        }
    }
    let people: Vec<Person> = by_customer
        .into_iter()
        .map(|(customer, days)| {
            let last_order_day = *days.keys().last().unwrap();
            let history = Buyer {
                orders_count: days.len() as i32,
                order_days: days.len() as i32,
                spent: days.values().sum(),
                last_order_at: Timestamp(i64::from(last_order_day) * 86_400_000_000),
                first_order_day: *days.keys().next().unwrap(),
                last_order_day,
                median_gap_days: None,
                log_gap_sum: 0.0,
                last_order_value: days[&last_order_day],
                visits: 0,
                last_visit_day: None,
            };
            Person { id: CustomerId(customer), history: History::Buyer(history) }
        })
        .collect();
    let zone = Zone::utc();
    let assessment = Assessment::of(&people, as_of, &zone);
    let mut summary = Summary::empty();
    people.iter().for_each(|person| summary.add(&assessment.score(person)));
    summary
}

/// Segments in the order of the published tables.
fn segments(summary: &Summary) -> Vec<u64> {
    Segment::ALL.iter().map(|segment| summary.segments[segment].customers).collect()
}

fn fm(summary: &Summary) -> Vec<u64> {
    (0..5).map(|fm| summary.cells.iter().map(|row| row[fm].customers).sum()).collect()
}

#[test]
fn cdnow_in_calibration_scores_as_published() {
    let summary = summary(cdnow(), "1997-09-30");
    assert_eq!(summary.buyers(), 2_357);
    assert_eq!(summary.r, [480, 478, 459, 475, 465]);
    assert_eq!(summary.f, [1411, 0, 439, 214, 293]);
    assert_eq!(summary.m, [480, 464, 471, 471, 471]);
    assert_eq!(fm(&summary), [477, 711, 425, 352, 392]);
    assert_eq!(segments(&summary), [398, 294, 245, 0, 48, 83, 331, 9, 220, 578, 151]);
}

#[test]
fn cdnow_at_the_end_scores_as_published() {
    let summary = summary(cdnow(), "1998-06-30");
    assert_eq!(summary.r, [482, 471, 463, 470, 471]);
    assert_eq!(summary.f, [1218, 0, 403, 358, 378]);
    assert_eq!(summary.m, [481, 462, 472, 471, 471]);
    assert_eq!(fm(&summary), [479, 627, 347, 429, 475]);
    assert_eq!(segments(&summary), [434, 425, 146, 0, 0, 78, 321, 8, 161, 607, 177]);
}

#[test]
fn the_online_retailer_scores_as_published_whatever_the_order_of_rows() {
    let mut purchases = online_retail();
    let first = summary(purchases.clone(), "2011-12-09");
    assert_eq!(first.buyers(), 4_338);
    assert_eq!(first.r, [869, 889, 866, 888, 826]);
    assert_eq!(first.f, [1548, 874, 501, 616, 799]);
    assert_eq!(first.m, [868, 868, 867, 868, 867]);
    assert_eq!(fm(&first), [747, 1088, 837, 726, 940]);
    assert_eq!(segments(&first), [592, 805, 510, 37, 87, 189, 360, 79, 569, 767, 343]);
    let revenue: i64 = first.segments.values().map(|tally: &Tally| tally.revenue).sum();
    assert_eq!(revenue, purchases.iter().map(|(_, _, amount)| amount).sum::<i64>());
    purchases.reverse();
    assert_eq!(summary(purchases, "2011-12-09"), first);
}
