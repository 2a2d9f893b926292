//! Whether the intervals keep their word, by experiments made up of known truth.

use super::sequence::half_width;
use super::*;

/// Numbers from 0 to 1 that are the same on every machine (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (self.next().max(1e-300), self.next());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// A customer of a shop where a few spend much, and who bought much buys again.
    fn customer(&mut self, holdout: f64, converts: f64, lift: f64) -> Unit {
        let treated = self.next() >= holdout;
        let taste = self.normal();
        let before =
            if self.next() < 0.6 { (8.0 + 0.7 * taste + 0.5 * self.normal()).exp() } else { 0.0 };
        let share = converts * (1.0 + if treated { lift } else { 0.0 });
        let buys = self.next() < share;
        let revenue = (8.0 + 0.7 * taste + 0.5 * self.normal()).exp();
        let revenue = if buys { revenue } else { 0.0 };
        Unit { treated, stratum: 0, orders: u32::from(buys), revenue, before }
    }
}

fn every_day(per_day: f64) -> Asked {
    Asked { per_day, comparisons: 1 }
}

/// Whether an experiment ever seems decided, looked at after every so many customers.
fn ever(seed: u64, holdout: f64, converts: f64, lift: f64, last: usize) -> [bool; 3] {
    let mut chance = Chance(seed);
    let mut units = Vec::with_capacity(last);
    let mut found = [false; 3];
    while units.len() < last {
        units.extend((0..250).map(|_| chance.customer(holdout, converts, lift)));
        let seen = compare(&units, every_day(100.0));
        for (found, difference) in
            found.iter_mut().zip([seen.conversion, seen.orders, seen.revenue])
        {
            *found |= difference.answer != Answer::Unknown;
        }
    }
    found
}

#[test]
fn one_who_keeps_looking_is_rarely_told_of_an_effect_that_is_not_there() {
    const RUNS: u64 = 100;
    for (holdout, converts) in [(0.1, 0.05), (0.5, 0.12), (0.2, 0.02)] {
        let mut wrong = [0; 3];
        for run in 0..RUNS {
            let found = ever(run * 7_919 + 3, holdout, converts, 0.0, 4_500);
            wrong.iter_mut().zip(found).for_each(|(wrong, found)| *wrong += u64::from(found));
        }
        // One in twenty is the promise: if it were only just kept, 11 of 100 would come in about one case of ninety.
        assert!(wrong.iter().all(|wrong| *wrong <= 10), "holdout {holdout}: {wrong:?} of {RUNS}");
    }
}

#[test]
fn an_effect_that_is_there_is_found_with_its_sign() {
    let found = (0..40).filter(|run| ever(run * 104_729 + 1, 0.3, 0.1, 0.8, 6_000)[0]).count();
    assert!(found >= 36, "{found} of 40");
    let mut chance = Chance(5);
    let units: Vec<Unit> = (0..9_000).map(|_| chance.customer(0.3, 0.1, 0.8)).collect();
    let seen = compare(&units, every_day(100.0));
    assert_eq!(seen.conversion.answer, Answer::More);
    let (low, high) = seen.conversion.interval.unwrap();
    assert!(low < 0.08 && 0.08 < high, "the truth, 8 points, lies in {low}..{high}");
    assert_eq!(seen.conversion.days_to_answer, None, "it is there already");
    let turned: Vec<Unit> = units.iter().map(|u| Unit { treated: !u.treated, ..*u }).collect();
    assert_eq!(compare(&turned, every_day(100.0)).conversion.answer, Answer::Less);
}

#[test]
fn the_past_takes_noise_out_and_moves_nothing() {
    let mut chance = Chance(11);
    let units: Vec<Unit> = (0..4_000)
        .map(|_| {
            let before = 1_000.0 * chance.next();
            let revenue = 2.0 * before + 50.0 * chance.next();
            Unit { treated: chance.next() < 0.5, stratum: 0, orders: 1, revenue, before }
        })
        .collect();
    let blind: Vec<Unit> = units.iter().map(|unit| Unit { before: 0.0, ..*unit }).collect();
    let (seen, unseen) = (compare(&units, every_day(10.0)), compare(&blind, every_day(10.0)));
    let width = |c: &Comparison| c.revenue.interval.map(|(low, high)| high - low).unwrap();
    assert!(width(&seen) < 0.2 * width(&unseen), "{} {}", width(&seen), width(&unseen));
    assert!(seen.explained > 0.9 && unseen.explained == 0.0);
    let (low, high) = unseen.revenue.interval.unwrap();
    assert!(low < seen.revenue.estimate && seen.revenue.estimate < high);
}

#[test]
fn too_few_are_unknown_and_say_nothing_of_when() {
    let unit =
        |treated, n: u32| Unit { treated, stratum: 0, orders: n % 2, revenue: 100.0, before: 0.0 };
    let few: Vec<Unit> = (0..60).flat_map(|n| [unit(true, n), unit(n >= 20, n)]).collect();
    let seen = compare(&few, every_day(5.0));
    assert_eq!((seen.treatment.customers, seen.holdout.customers), (100, 20));
    assert_eq!((seen.revenue.answer, seen.revenue.interval), (Answer::Unknown, None));
    assert_eq!(seen.revenue.minimum_detectable, None);
    let nobody = compare(&[], every_day(0.0));
    assert_eq!((nobody.conversion.answer, nobody.conversion.estimate), (Answer::Unknown, 0.0));
}

#[test]
fn one_large_buyer_decides_nothing() {
    let mut chance = Chance(23);
    let mut units: Vec<Unit> = (0..3_000).map(|_| chance.customer(0.5, 0.2, 0.0)).collect();
    units[17] = Unit { treated: true, stratum: 0, orders: 1, revenue: 1e9, before: 0.0 };
    let seen = compare(&units, every_day(10.0));
    assert!(seen.cap.unwrap() < 1e6 && seen.treatment.revenue > 1e9);
    assert!(seen.treatment.revenue_winsorised < 1e8);
    assert_eq!(seen.revenue.answer, Answer::Unknown);
}

#[test]
fn the_time_to_an_answer_is_when_the_interval_is_as_narrow_as_the_effect() {
    let progress = Progress { customers: 1_000.0, per_day: 50.0, comparisons: 1 };
    let seen = Difference::at(progress, 0.05, Some(1.0));
    let days = seen.days_to_answer.unwrap();
    assert!((half_width(1_000.0 + 50.0 * days, 0.05) - 0.05).abs() < 1e-6, "{days}");
    assert_eq!(Difference::at(progress, 1e-6, Some(1.0)).days_to_answer, None, "never");
    let standing = Progress { per_day: 0.0, ..progress };
    assert_eq!(Difference::at(standing, 0.05, Some(1.0)).days_to_answer, None);
    // A fixed interval after 1,000: 0.062; one that may be looked at always is wider, and not by twice.
    assert!((0.08..0.13).contains(&half_width(1_000.0, 0.05)), "{}", half_width(1_000.0, 0.05));
}

/// A holdout of a tenth in a good season, and of half in a bad one: in both nothing is caused.
fn two_seasons(seed: u64, each: usize) -> Vec<Unit> {
    let mut chance = Chance(seed);
    let mut season = |stratum, holdout, converts| -> Vec<Unit> {
        (0..each).map(|_| Unit { stratum, ..chance.customer(holdout, converts, 0.0) }).collect()
    };
    [season(1, 0.1, 0.3), season(2, 0.5, 0.05)].concat()
}

#[test]
fn a_holdout_of_another_size_compares_no_season_with_another() {
    let mut wrong = [0; 3];
    for run in 0..60 {
        let units = two_seasons(run * 31 + 7, 3_000);
        let seen = compare(&units, every_day(100.0));
        assert_eq!((seen.strata, seen.unmatched), (2, 0));
        let found = [seen.conversion, seen.orders, seen.revenue];
        wrong.iter_mut().zip(found).for_each(|(wrong, found)| {
            *wrong += u64::from(found.answer != Answer::Unknown);
        });
        let mixed: Vec<Unit> = units.iter().map(|unit| Unit { stratum: 0, ..*unit }).collect();
        let misled = compare(&mixed, every_day(100.0)).conversion;
        assert_eq!(misled.answer, Answer::More, "who mixes them finds what is not there");
    }
    assert!(wrong.iter().all(|wrong| *wrong <= 4), "{wrong:?} of 60");
}

#[test]
fn a_difference_that_is_there_is_the_same_in_strata_and_whoever_has_no_match_is_left_out() {
    let mut chance = Chance(77);
    let mut season = |stratum, holdout, n: usize| -> Vec<Unit> {
        (0..n).map(|_| Unit { stratum, ..chance.customer(holdout, 0.2, 0.5) }).collect()
    };
    let mut units = [season(1, 0.1, 6_000), season(2, 0.5, 6_000)].concat();
    let alone = Unit { treated: true, stratum: 3, orders: 9, revenue: 1e7, before: 0.0 };
    units.push(alone);
    let seen = compare(&units, every_day(100.0));
    assert_eq!((seen.strata, seen.unmatched, seen.conversion.answer), (2, 1, Answer::More));
    let (low, high) = seen.conversion.interval.unwrap();
    assert!(low < 0.1 && 0.1 < high, "the truth, ten points, lies in {low}..{high}");
    assert!(seen.treatment.orders < 12_000, "nine orders of one alone are in no figure");
}

#[test]
fn several_answers_at_once_are_harder_to_get() {
    let mut chance = Chance(41);
    let units: Vec<Unit> = (0..2_000).map(|_| chance.customer(0.5, 0.1, 0.3)).collect();
    let width = |comparisons| {
        let seen = compare(&units, Asked { per_day: 10.0, comparisons });
        seen.conversion.interval.map(|(low, high)| high - low).unwrap()
    };
    assert!(width(1) < width(2) && width(2) < width(5) && width(5) < 1.5 * width(1));
}
