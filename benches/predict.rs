//! What it costs to learn from a shop's past, and to tell a customer's future; and the same for what is bought again.
//!
//! `cargo bench --bench predict`. Learning fits six models anew on up to six days of the past, and weighs them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homing::scoring::predict::history::scatter;
use homing::scoring::predict::{Day, Known, Learned, OrderLog, Purchase};
use homing::scoring::rhythm::{self, Rhythm};

/// Known until this day; the shop opened on day 0.
const TODAY: Day = 600;

/// A number in [0, 1) by its seed alone.
fn chance(seed: u64) -> f64 {
    (scatter(seed) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Customers who came over the first year; most order once, the others every month or so until they leave.
fn orders(customers: u64) -> OrderLog {
    OrderLog::new((0..customers).flat_map(|who| {
        let first = (chance(who) * 365.0) as Day;
        let gap = 15.0 + 60.0 * chance(who ^ 1 << 40);
        let stays = 600.0 * chance(who ^ 1 << 41).powi(2);
        let orders = 1 + (stays / gap) as Day;
        (0..orders).map(move |n| {
            let at =
                first + (f64::from(n) * gap * (0.6 + 0.8 * chance(who << 8 | n as u64))) as Day;
            (
                who,
                Purchase {
                    day: at.min(TODAY + 100),
                    amount: 2_000.0 + 3_000.0 * chance(who ^ 1 << 42),
                },
            )
        })
    }))
}

/// A third of a shop's products run out; a customer buys three of two hundred.
fn purchases(customers: i64) -> Vec<rhythm::Purchase> {
    let mut rows = Vec::new();
    for customer in 0..customers {
        for k in 0..3 {
            let seed = (customer * 3 + k) as u64;
            let product = (chance(seed) * 200.0) as i64;
            let mut day = (chance(seed ^ 1 << 40) * 200.0) as i32;
            let times = if product % 3 == 0 { 12 } else { 1 };
            for n in 0..times {
                let quantity = 1.0 + (chance(seed << 8 | n) * 2.0).floor();
                rows.push(rhythm::Purchase {
                    customer,
                    product,
                    category: Some(product % 10),
                    day,
                    quantity,
                });
                day += (20.0 + 20.0 * chance(seed << 8 | n | 1 << 50)) as i32;
            }
        }
    }
    rows
}

fn learn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("learn");
    group.sample_size(10);
    for customers in [2_400, 10_000] {
        let log = orders(customers);
        group.throughput(Throughput::Elements(customers));
        group.bench_function(
            format!("models, backtests and combination of {customers} customers"),
            |b| {
                b.iter(|| Learned::from_log(black_box(&log), TODAY, &Learned::HORIZONS));
            },
        );
    }
    let rows = purchases(10_000);
    group.throughput(Throughput::Elements(rows.len() as u64));
    group.bench_function(format!("rhythms of {} purchases", rows.len()), |b| {
        b.iter(|| Rhythm::learn(black_box(&rows), TODAY));
    });
    group.finish();
}

fn tell(criterion: &mut Criterion) {
    let log = orders(2_400);
    let learned = Learned::from_log(&log, TODAY, &Learned::HORIZONS);
    let known: Vec<Known> =
        log.iter().filter_map(|(_, purchases)| Known::at(purchases, TODAY)).collect();
    let mut group = criterion.benchmark_group("tell");
    group.throughput(Throughput::Elements(known.len() as u64));
    group.bench_function("the outlook of each customer", |b| {
        b.iter(|| known.iter().map(|one| learned.predict(one).p_order_90d).sum::<f64>());
    });
    let rows = purchases(2_000);
    let rhythm = Rhythm::learn(&rows, TODAY);
    let customers: Vec<&[rhythm::Purchase]> =
        rows.chunk_by(|a, b| a.customer == b.customer).collect();
    group.throughput(Throughput::Elements(customers.len() as u64));
    group.bench_function("what each customer buys next", |b| {
        b.iter(|| {
            customers.iter().filter_map(|own| rhythm.customer(own, TODAY).next_due()).count()
        });
    });
    group.finish();
}

criterion_group!(benches, learn, tell);
criterion_main!(benches);
