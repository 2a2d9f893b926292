//! Scoring's pure part: a store's people measured and each scored, nothing read and nothing stored.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use homing::primitives::{CustomerId, Timestamp, Zone};
use homing::scoring::Summary;
use homing::scoring::assess::{Assessment, Buyer, History, Person};
use homing::scoring::rfm::Scale;

/// Numbers as a store has them, without a crate for chance: skewed, with many ties.
fn people(n: u64) -> Vec<Person> {
    let mut state = 1_u64;
    let mut chance = move || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    };
    (0..n)
        .map(|id| {
            let order_days = 1 + (-chance().ln() * 3.0) as i32;
            let days = (chance().powf(1.5) * 700.0) as i32;
            let history = Buyer {
                orders_count: order_days,
                order_days,
                spent: ((1.0 + -chance().ln()) * 4_000.0) as i64 * i64::from(order_days),
                first_order_day: 20_000 - days - (order_days - 1) * 20,
                last_order_at: Timestamp(i64::from(20_000 - days) * 86_400_000_000),
                last_order_day: 20_000 - days,
                median_gap_days: (order_days > 1).then(|| (chance() * 90.0).round().max(1.0)),
                log_gap_sum: f64::from(order_days - 1) * 20_f64.ln(),
                last_order_value: 4_000,
                visits: 0,
                last_visit_day: None,
            };
            Person { id: CustomerId(id as i64), history: History::Buyer(history) }
        })
        .collect()
}

/// A store's orders as columns: customers from 0, days, money in minor units. In no order, as a journal's are.
struct Orders {
    customers: Vec<u32>,
    days: Vec<i32>,
    money: Vec<i32>,
}

fn orders(customers: u64, orders: u64) -> Orders {
    let mut state = 7_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let row = |_| {
        // Some order much more often than others.
        let who = next() % customers * (next() % customers) / customers;
        (who as u32, 19_270 + (next() % 730) as i32, 500 + (next() % 9_500) as i32)
    };
    let rows: Vec<(u32, i32, i32)> = (0..orders).map(row).collect();
    Orders {
        customers: rows.iter().map(|row| row.0).collect(),
        days: rows.iter().map(|row| row.1).collect(),
        money: rows.iter().map(|row| row.2).collect(),
    }
}

/// One customer's orders, summed up: 16 bytes, so that a cache line holds four.
#[derive(Clone, Copy, Default)]
struct Sum {
    last: i32,
    orders: i32,
    money: i64,
}

/// From orders to segments, as the published peers do it: summed by customer, measured, scored. What the fold keeps from
/// order to order is made here at once.
fn segments(orders: &Orders, customers: usize) -> [u32; 26] {
    let mut sums = vec![Sum::default(); customers];
    for ((who, day), money) in orders.customers.iter().zip(&orders.days).zip(&orders.money) {
        let sum = &mut sums[*who as usize];
        sum.last = sum.last.max(*day);
        sum.orders += 1;
        sum.money += i64::from(*money);
    }
    sums.retain(|sum| sum.orders > 0);
    let days: Vec<i32> = sums.iter().map(|sum| 20_000 - sum.last).collect();
    let frequency: Vec<i32> = sums.iter().map(|sum| sum.orders).collect();
    let money: Vec<i64> = sums.iter().map(|sum| sum.money).collect();
    let scale = Scale::of(&days, &frequency, &money);
    let mut cells = [0; 26];
    for i in 0..sums.len() {
        let rfm = scale.score(days[i], frequency[i], money[i]);
        cells[usize::from(rfm.r * 5 + rfm.fm() - 5)] += 1;
    }
    cells
}

fn from_orders(c: &mut Criterion) {
    const CUSTOMERS: u64 = 1_000_000;
    const ORDERS: u64 = 10_000_000;
    let all = orders(CUSTOMERS, ORDERS);
    let mut group = c.benchmark_group("rfm");
    group.sample_size(10);
    group.throughput(Throughput::Elements(ORDERS));
    group.bench_function("a million customers from ten million orders", |b| {
        b.iter(|| segments(&all, CUSTOMERS as usize));
    });
    group.finish();
}

fn scoring(c: &mut Criterion) {
    let zone = Zone::utc();
    let as_of = Timestamp(20_000 * 86_400_000_000);
    let mut group = c.benchmark_group("rfm");
    group.sample_size(10);
    for n in [100_000_u64, 1_000_000] {
        let everyone = people(n);
        group.throughput(Throughput::Elements(n));
        group.bench_function(format!("rank and score three columns/{n}"), |b| {
            let column = |f: fn(&Buyer) -> i64| -> Vec<i64> {
                let value = |person: &Person| match &person.history {
                    History::Buyer(buyer) => f(buyer),
                    History::Visitor(_) => 0,
                };
                everyone.iter().map(value).collect()
            };
            let days: Vec<i32> = column(|buyer| i64::from(20_000 - buyer.last_order_day))
                .iter()
                .map(|d| *d as i32)
                .collect();
            let orders: Vec<i32> =
                column(|buyer| i64::from(buyer.order_days)).iter().map(|d| *d as i32).collect();
            let spent = column(|buyer| buyer.spent);
            b.iter(|| {
                let scale = Scale::of(&days, &orders, &spent);
                (0..days.len())
                    .map(|i| u64::from(scale.score(days[i], orders[i], spent[i]).fm()))
                    .sum::<u64>()
            });
        });
        group.bench_function(format!("assess, score and count/{n}"), |b| {
            b.iter_batched(
                Summary::empty,
                |mut summary| {
                    let assessment = Assessment::of(&everyone, as_of, &zone);
                    for person in &everyone {
                        summary.add(&assessment.score(person));
                    }
                    summary
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, scoring, from_orders);
criterion_main!(benches);
