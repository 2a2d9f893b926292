//! How well product rhythms are told, on real order lines: `xzcat LINES.csv.xz | cargo run --release --example rhythm`.
//!
//! Reads lines of UCI "Online Retail" (`invoice,timestamp,customer_id,country,sku,quantity,unit_price`) and scores as is
//! usual for them: cancellations and guests are left out, days merged; learnt to 2011-07-31; scored are customers and
//! products with at least two gaps by then, on the gap that begins with their first purchase after it, up to
//! 2011-10-17, if it ended by 2011-12-09. What is known of the pair is what was known on 2011-07-31.
//!
//! `… --example rhythm 10000000` learns from so many made-up purchases instead, ten to a customer, and says how long
//! that took.

use std::collections::BTreeMap;
use std::time::Instant;

use homing::scoring::rhythm::{Forecast, Purchase, Rhythm};
use jiff::civil::Date;

const LEARNT_TO: &str = "2011-07-31";
const STARTS_TO: &str = "2011-10-17";
const SEEN_TO: &str = "2011-12-09";

fn main() {
    if let Some(purchases) = std::env::args().nth(1) {
        return learn_made_up(purchases.parse().expect("a number of purchases"));
    }
    let day = |text: &str| -> i32 {
        let date: Date = text[..10].parse().expect("a date YYYY-MM-DD");
        (date - Date::constant(2000, 1, 1)).get_days()
    };
    let (cut, starts_to, seen_to) = (day(LEARNT_TO), day(STARTS_TO), day(SEEN_TO));
    let mut skus: BTreeMap<String, i64> = BTreeMap::new();
    let mut purchases = Vec::new();
    for row in csv::Reader::from_reader(std::io::stdin()).records() {
        let row = row.expect("a line of the file");
        if row[0].starts_with('C') || row[2].is_empty() {
            continue;
        }
        let next = skus.len() as i64;
        let product = *skus.entry(row[4].to_owned()).or_insert(next);
        purchases.push(Purchase {
            customer: row[2].parse().expect("a customer's number"),
            product,
            category: None,
            day: day(&row[1]),
            quantity: row[5].parse().expect("a quantity"),
        });
    }
    let started = Instant::now();
    let rhythm = Rhythm::learn(&purchases, cut);
    println!("learnt from {:?} in {:?}", rhythm.gaps, started.elapsed());
    println!("{:?}", rhythm.spread);
    println!("P(again) after a first purchase, usual days between: {:.3?}", rhythm.usual());
    println!("stored: {} bytes of JSON", serde_json::to_vec(&rhythm).expect("plain numbers").len());

    let mut by_customer: BTreeMap<i64, Vec<Purchase>> = BTreeMap::new();
    for row in purchases.iter().filter(|row| row.quantity > 0.0) {
        by_customer.entry(row.customer).or_default().push(*row);
    }
    let mut open = 0;
    let mut closes = 0.0;
    let mut scored: Vec<(Forecast, f64, f64)> = Vec::new();
    let mut gaps: Vec<f64> = Vec::new();
    let (mut chances, mut returned) = (Vec::new(), 0);
    for rows in by_customer.values() {
        let customer = rhythm.customer(rows, cut);
        let mut days: BTreeMap<i64, BTreeMap<i32, f64>> = BTreeMap::new();
        for row in rows {
            *days.entry(row.product).or_default().entry(row.day).or_default() += row.quantity;
        }
        for (product, days) in days {
            let known: Vec<i32> = days.range(..=cut).map(|(day, _)| *day).collect();
            gaps.extend(known.windows(2).map(|pair| f64::from(pair[1] - pair[0])));
            let mut later = days.range(cut + 1..);
            let after = later.next();
            if let Some(forecast) = customer.forecast(product) {
                chances.push(forecast.p_within(f64::from(seen_to - cut)));
                returned += i32::from(after.is_some());
            }
            if known.len() < 3 {
                continue;
            }
            let Some((start, quantity)) = after else { continue };
            if *start > starts_to {
                continue;
            }
            let forecast =
                customer.forecast_from(product, *start, *quantity).expect("it was bought");
            let window = f64::from(seen_to - start);
            closes += forecast.p_within(window);
            match later.next() {
                Some((end, _)) => scored.push((forecast, f64::from(end - start), window)),
                None => open += 1,
            }
        }
    }
    println!(
        "bought again by {SEEN_TO}: {returned} of {} customers x products, expected {:.0}",
        chances.len(),
        chances.iter().sum::<f64>()
    );
    println!("{} scored (expected {closes:.0}), {open} not closed and left out", scored.len());
    let holds = |low: f64, high: f64| {
        let inside = scored.iter().filter(|(forecast, gap, window)| {
            let share = |share| forecast.gap_at(share, *window);
            share(low) <= *gap && *gap <= share(high)
        });
        inside.count() as f64 / scored.len() as f64 * 100.0
    };
    println!(
        "the middle 60 % hold {:.1} %, the middle 80 % {:.1} %\n",
        holds(0.2, 0.8),
        holds(0.1, 0.9)
    );
    println!(
        "| method | mean abs log error | within 25 % | error days | pinball .1 | .5 | .9 |\n|---|---|---|---|---|---|---|"
    );
    gaps.sort_by(f64::total_cmp);
    let global = |share: f64| gaps[(share * (gaps.len() - 1) as f64) as usize];
    let rows = |of: &dyn Fn(&Forecast, f64, f64) -> f64| -> Vec<[f64; 4]> {
        scored
            .iter()
            .map(|(forecast, gap, window)| {
                let [low, middle, high] = [0.1, 0.5, 0.9].map(|share| of(forecast, share, *window));
                [low, middle, high, *gap]
            })
            .collect()
    };
    print("global quantiles of closed gaps", &rows(&|_, share, _| global(share)));
    print(
        "rhythm, if it comes within a year",
        &rows(&|forecast, share, _| forecast.gap_at(share, 365.0)),
    );
    print(
        "rhythm, if it comes within what is seen",
        &rows(&|forecast, share, window| forecast.gap_at(share, window)),
    );
}

fn print(method: &str, rows: &[[f64; 4]]) {
    let mean = |of: &dyn Fn(&[f64; 4]) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
    let pinball = |i: usize, share: f64| {
        mean(&|row| {
            let off = (row[3] / row[i]).ln();
            if off > 0.0 { share * off } else { (share - 1.0) * off }
        })
    };
    println!(
        "| {method} | {:.5} | {:.5} | {:.5} | {:.5} | {:.5} | {:.5} |",
        mean(&|row| (row[3] / row[1]).ln().abs()),
        mean(&|row| f64::from(u8::from((row[1] - row[3]).abs() <= 0.25 * row[3]))),
        mean(&|row| (row[3] - row[1]).abs()),
        pinball(0, 0.1),
        pinball(1, 0.5),
        pinball(2, 0.9),
    );
}

fn learn_made_up(purchases: u64) {
    let scatter = |seed: u64| {
        let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
    };
    let rows: Vec<Purchase> = (0..purchases)
        .map(|i| {
            // Each has five products, some of a few that many buy.
            let customer = scatter(i) % (purchases / 10).max(1);
            let choice = scatter(5 * customer + scatter(3 * i) % 5);
            let product = (choice % 100) * (choice / 100 % 100);
            Purchase {
                customer: customer as i64,
                product: product as i64,
                category: Some((product % 50) as i64),
                day: (scatter(7 * i) % 730) as i32,
                quantity: (1 + scatter(11 * i) % 3) as f64,
            }
        })
        .collect();
    let started = Instant::now();
    let rhythm = Rhythm::learn(&rows, 730);
    println!("learnt from {:?} in {:.2?}", rhythm.gaps, started.elapsed());
    let own: Vec<Purchase> = rows.iter().take(10).copied().collect();
    let started = Instant::now();
    let days: i64 = (0..10_000)
        .filter_map(|i| rhythm.customer(&own, 730 + i % 9).next_due())
        .map(|due| i64::from(due.day))
        .sum();
    println!(
        "what a customer of ten products is due for next: {:.2?} (days: {days})",
        started.elapsed() / 10_000
    );
}
