//! Models of the customer base: fitted to the CDNOW sample and to a million customers, and asked about each customer.
//!
//! On one core: `RAYON_NUM_THREADS=1 cargo bench --bench models`.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use homing::scoring::models::{Amounts, GammaGamma, Histories, History, Model};
use jiff::civil::Date;

/// The sample's customers until the end of September 1997, with the sum of their ln(gap) and the means of their
/// amounts.
fn cdnow() -> (Vec<History>, f64, Vec<(u32, f64)>) {
    let mut by_customer: BTreeMap<u32, BTreeMap<Date, f64>> = BTreeMap::new();
    let mut reader = csv::Reader::from_path("tests/data/cdnow_sample_log.csv").unwrap();
    let cut: Date = "1997-09-30".parse().unwrap();
    for record in reader.records() {
        let record = record.unwrap();
        let day: Date = record[2].parse().unwrap();
        if day <= cut {
            let days = by_customer.entry(record[1].parse().unwrap()).or_default();
            *days.entry(day).or_default() += record[4].parse::<f64>().unwrap();
        }
    }
    let weeks = |from: Date, to: Date| f64::from((to - from).get_days()) / 7.0;
    let (mut histories, mut ln_gaps, mut amounts) = (vec![], 0.0, vec![]);
    for days in by_customer.values() {
        let dates: Vec<Date> = days.keys().copied().collect();
        let (first, last) = (dates[0], dates[dates.len() - 1]);
        let x = dates.len() as u32 - 1;
        histories.push(History { x, t_x: weeks(first, last), age: weeks(first, cut) });
        ln_gaps += dates.windows(2).map(|pair| weeks(pair[0], pair[1]).ln()).sum::<f64>();
        amounts.push((x + 1, days.values().sum::<f64>() / f64::from(x + 1)));
    }
    (histories, ln_gaps, amounts)
}

/// Customers in whole days, made as the BG/NBD says, without a crate for chance: few share a history.
fn customers(n: usize) -> Vec<History> {
    let mut state = 1_u64;
    let mut chance = move || {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let customer = |_| {
        // λ ~ Gamma(1, 60 days) and p ~ Beta(1, 3), which have simple inverses.
        let rate = -(1.0 - chance()).ln() / 60.0;
        let leaves = 1.0 - (1.0 - chance()).powf(1.0 / 3.0);
        let age = 1.0 + (chance() * 1_400.0).floor();
        let (mut time, mut history) = (0.0, History { x: 0, t_x: 0.0, age });
        loop {
            time -= (1.0 - chance()).ln() / rate;
            let day = f64::floor(time);
            if day > age {
                return history;
            }
            if day > history.t_x {
                history = History { x: history.x + 1, t_x: day, ..history };
            }
            if chance() < leaves {
                return history;
            }
        }
    };
    (0..n).map(customer).collect()
}

fn fit(c: &mut Criterion) {
    let (histories, ln_gaps, amounts) = cdnow();
    let sample = Histories::new(histories.iter().copied()).unwrap().with_ln_gaps(ln_gaps);
    let mut group = c.benchmark_group("fit/cdnow sample");
    group.sample_size(30);
    for model in Model::ALL {
        group.bench_function(model.as_str(), |b| b.iter(|| model.fit(black_box(&sample)).unwrap()));
    }
    let amounts = Amounts::new(amounts);
    group.bench_function("gamma_gamma", |b| {
        b.iter(|| GammaGamma::fit(black_box(&amounts)).unwrap());
    });
    group.finish();

    let many = customers(1_000_000);
    let mut group = c.benchmark_group("fit/a million customers");
    group.sample_size(10);
    group.bench_function("group", |b| {
        b.iter(|| Histories::new(black_box(&many).iter().copied()).unwrap());
    });
    let grouped = Histories::new(many.iter().copied()).unwrap();
    for model in [Model::Nbd, Model::BgNbd, Model::MbgNbd, Model::ParetoNbd] {
        group
            .bench_function(model.as_str(), |b| b.iter(|| model.fit(black_box(&grouped)).unwrap()));
    }
    group.finish();
}

/// P(alive) and expected orders in half a year, of each customer of the sample.
fn score(c: &mut Criterion) {
    let (histories, ln_gaps, _) = cdnow();
    let sample = Histories::new(histories.iter().copied()).unwrap().with_ln_gaps(ln_gaps);
    let mut group = c.benchmark_group("score/cdnow sample");
    group.throughput(Throughput::Elements(histories.len() as u64));
    group.sample_size(30);
    for model in Model::ALL {
        let params = model.fit(&sample).unwrap().params;
        group.bench_function(model.as_str(), |b| {
            b.iter(|| {
                let score = |history: &History| {
                    let outlook = params.outlook(history);
                    outlook.p_alive() + outlook.expected(26.0)
                };
                black_box(&histories).iter().map(score).sum::<f64>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fit, score);
criterion_main!(benches);
