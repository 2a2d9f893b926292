use proptest::prelude::*;

use super::*;

const TODAY: i32 = 400;

fn bought(customer: i64, product: i64, days: &[i32]) -> Vec<Purchase> {
    days.iter()
        .map(|day| Purchase { customer, product, category: None, day: *day, quantity: 1.0 })
        .collect()
}

/// Numbers between 0 and 1 that look drawn, the same each time.
fn scattered(seed: i64) -> f64 {
    let mixed = (seed as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 29)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// People who buy `product` every `days` or so, with each gap `spread` around that, until 400; `lasting` multiplies the
/// gap after a double pack.
fn regulars(product: i64, people: i64, days: f64, spread: f64, lasting: f64) -> Vec<Purchase> {
    let mut rows = Vec::new();
    for customer in 0..people {
        let mut day = 60.0 * scattered(customer + 1_000 * product);
        for k in 0.. {
            let seed = 77 * customer + 7_919 * k + 104_729 * product;
            let double = scattered(seed + 1) < 0.5;
            let quantity = if double { 2.0 } else { 1.0 };
            rows.push(Purchase { customer, product, category: Some(9), day: day as i32, quantity });
            let z = normal::quantile_of_tail(scattered(seed).clamp(0.01, 0.99));
            day += (days.ln() + spread * z).exp() * if double { lasting } else { 1.0 };
            if day > f64::from(TODAY) {
                break;
            }
        }
    }
    rows
}

fn middle_gap(rhythm: &Rhythm, product: i64) -> f64 {
    let fresh = bought(-1, product, &[TODAY]);
    rhythm.customer(&fresh, TODAY).forecast(product).unwrap().gap_at(0.5, YEAR)
}

#[test]
fn a_products_own_rhythm_is_found() {
    let rows = [regulars(1, 300, 20.0, 0.4, 1.0), regulars(2, 300, 70.0, 0.4, 1.0)].concat();
    let rhythm = Rhythm::learn(&rows, TODAY);
    let (snacks, soap) = (middle_gap(&rhythm, 1), middle_gap(&rhythm, 2));
    assert!((17.0..23.0).contains(&snacks), "{snacks}");
    assert!((58.0..82.0).contains(&soap), "{soap}");
    assert!((0.3..0.55).contains(&rhythm.spread.within), "{:?}", rhythm.spread);
}

#[test]
fn who_is_not_back_yet_counts() {
    // Every second one has been silent for longer than the others' gap of 100 days.
    let mut rows = Vec::new();
    for customer in 0..200 {
        let gap = 60 + (40.0 * scattered(customer)) as i32;
        rows.extend(bought(customer, 1, &[TODAY - gap - 5, TODAY - 5]));
    }
    let back_alone = Rhythm::learn(&rows, TODAY);
    for customer in 200..400 {
        rows.extend(bought(customer, 1, &[TODAY - 110]));
    }
    let with_the_silent = Rhythm::learn(&rows, TODAY);
    assert!(middle_gap(&back_alone, 1) < middle_gap(&with_the_silent, 1));
    let comes_again = |rhythm: &Rhythm| {
        rhythm.customer(&bought(1, 1, &[TODAY]), TODAY).forecast(1).unwrap().p_within(YEAR)
    };
    assert!(comes_again(&back_alone) > comes_again(&with_the_silent));
}

#[test]
fn a_pair_without_a_gap_of_its_own_has_its_products() {
    let rhythm = Rhythm::learn(&regulars(1, 200, 30.0, 0.4, 1.0), TODAY);
    let of = |customer| {
        let rows = bought(customer, 1, &[TODAY]);
        rhythm.customer(&rows, TODAY).next(1).unwrap()
    };
    assert_eq!(of(5), of(100_000));
    // And a product never seen, its category's; a category never seen, the shop's.
    let day50 = |product, category| {
        let rows = [Purchase { customer: 1, product, category, day: TODAY, quantity: 1.0 }];
        rhythm.customer(&rows, TODAY).next(product).unwrap().day50
    };
    assert!((day50(1, Some(9)) - day50(77, Some(9))).abs() <= 6);
    assert_eq!(day50(77, Some(3)), day50(78, None));
}

#[test]
fn own_gaps_outweigh_the_products_the_more_there_are() {
    let rhythm = Rhythm::learn(&regulars(1, 300, 40.0, 0.5, 1.0), TODAY);
    let middle = |days: &[i32]| {
        let rows = bought(1, 1, days);
        rhythm.customer(&rows, TODAY).forecast(1).unwrap().gap_at(0.5, YEAR)
    };
    let (never, once, often) =
        (middle(&[400]), middle(&[390, 400]), middle(&[360, 370, 380, 390, 400]));
    assert!(often < once && once < never && often > 8.0, "{often} {once} {never}");
}

#[test]
fn a_persons_pace_shows_in_what_they_bought_once() {
    let rows: Vec<Purchase> = (0..6)
        .flat_map(|product| {
            let slow = move |row: &Purchase| row.customer % 2 == 0;
            let quick =
                regulars(product, 100, 15.0, 0.3, 1.0).into_iter().filter(move |row| !slow(row));
            let slow =
                regulars(product, 100, 60.0, 0.3, 1.0).into_iter().filter(move |row| slow(row));
            quick.chain(slow)
        })
        .collect();
    let rhythm = Rhythm::learn(&rows, TODAY);
    assert!(rhythm.spread.person > 0.3, "{:?}", rhythm.spread);
    let middle = |gap: i32| {
        let mut own = bought(1, 1, &[TODAY - 3 * gap, TODAY - 2 * gap, TODAY - gap, TODAY]);
        own.extend(bought(1, 2, &[TODAY]));
        rhythm.customer(&own, TODAY).forecast(2).unwrap().gap_at(0.5, YEAR)
    };
    assert!(1.3 * middle(15) < middle(60), "{} {}", middle(15), middle(60));
}

#[test]
fn two_packs_last_longer_where_the_data_say_so() {
    let lasts = |lasting| {
        let rhythm = Rhythm::learn(&regulars(1, 300, 25.0, 0.3, lasting), TODAY);
        rhythm.lasts(1, None)
    };
    assert!(lasts(2.0) > 0.8, "{}", lasts(2.0));
    assert!(lasts(1.0) < 0.1, "{}", lasts(1.0));
    // Few data: no effect is made up.
    let few = Rhythm::learn(&regulars(1, 1, 25.0, 0.3, 2.0)[..3], TODAY);
    assert!(few.lasts(1, None) < 0.4, "{}", few.lasts(1, None));
    let rhythm = Rhythm::learn(&regulars(1, 300, 25.0, 0.3, 2.0), TODAY);
    let of = |quantity| {
        let rows = bought(1, 1, &[TODAY - 90, TODAY - 60, TODAY - 30]);
        rhythm.customer(&rows, TODAY).forecast_from(1, TODAY, quantity).unwrap().gap_at(0.5, YEAR)
    };
    assert!((1.6..2.1).contains(&(of(2.0) / of(1.0))), "{} {}", of(1.0), of(2.0));
}

#[test]
fn what_is_bought_once_for_ever_is_not_expected() {
    let rows: Vec<Purchase> =
        (0..500).flat_map(|customer| bought(customer, 1, &[(customer % 50) as i32])).collect();
    let rhythm = Rhythm::learn(&rows, 1_500);
    assert_eq!(rhythm.gaps, Gaps { closed: 0, open: 500 });
    assert_eq!(rhythm.customer(&bought(1, 1, &[1_490]), 1_500).next(1), None);
    assert_eq!(rhythm.customer(&bought(1, 1, &[0]), 1_500).next_due(), None);
}

#[test]
fn of_several_products_the_earliest_is_due_next() {
    let rows = [regulars(1, 200, 20.0, 0.4, 1.0), regulars(2, 200, 70.0, 0.4, 1.0)].concat();
    let rhythm = Rhythm::learn(&rows, TODAY);
    let own = [bought(1, 1, &[360, 380]), bought(1, 2, &[260, 330])].concat();
    let customer = rhythm.customer(&own, 381);
    let due = customer.next_due().unwrap();
    assert_eq!((due.product, Some(due.day)), (1, customer.next(1).map(|expected| expected.day50)));
    assert!(due.probability > 0.8 && due.day <= customer.next(2).unwrap().day50);
    assert_eq!(rhythm.customer(&[], TODAY).next_due(), None);
    assert_eq!(customer.next(3), None);
}

#[test]
fn degenerate_shops_are_no_harm() {
    let odd = |quantity| Purchase { customer: 1, product: 1, category: None, day: 5, quantity };
    let shops = [
        vec![],
        bought(1, 1, &[5]),
        bought(1, 1, &[5, 5, 5]),
        (0..40).flat_map(|customer| bought(customer, customer % 3, &[7])).collect(),
        bought(1, 1, &[i32::MIN, 0, 7]),
        vec![
            odd(0.0),
            odd(-3.0),
            odd(f64::NAN),
            odd(f64::INFINITY),
            odd(f64::MIN_POSITIVE),
            odd(f64::MAX),
        ],
    ];
    for rows in shops {
        let rhythm = Rhythm::learn(&rows, 10);
        let json = serde_json::to_string(&rhythm).unwrap();
        assert!(!json.contains("null"), "{json}");
        let customer = rhythm.customer(&rows, 10);
        assert!(customer.next(1).is_none_or(|expected| expected.day20 > 10));
    }
    // What was no purchase, and what came later, is not seen.
    let rows = [bought(1, 1, &[1, 20]), vec![odd(-1.0), odd(f64::NAN)]].concat();
    assert_eq!(Rhythm::learn(&rows, 10), Rhythm::learn(&bought(1, 1, &[1]), 10));
}

#[test]
fn it_predicts_the_same_when_read_back() {
    let rows = regulars(1, 60, 30.0, 0.5, 1.3);
    let rhythm = Rhythm::learn(&rows, TODAY);
    let back: Rhythm = serde_json::from_str(&serde_json::to_string(&rhythm).unwrap()).unwrap();
    assert_eq!(
        back.customer(&rows[..4], TODAY).next_due(),
        rhythm.customer(&rows[..4], TODAY).next_due()
    );
}

prop_compose! {
    fn any_rows()(rows in prop::collection::vec(
        (0..12_i64, 0..5_i64, prop::option::of(0..2_i64), 0..500_i32, 0.2..30.0_f64), 0..120
    )) -> Vec<Purchase> {
        rows.into_iter()
            .map(|(customer, product, category, day, quantity)| Purchase { customer, product, category, day, quantity })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_rows_is_nothing(rows in any_rows(), turn in 0..120_usize) {
        let one = Rhythm::learn(&rows, TODAY);
        let mut turned = rows;
        let turn = turn.min(turned.len());
        turned.rotate_left(turn);
        turned.reverse();
        prop_assert_eq!(Rhythm::learn(&turned, TODAY), one);
    }

    #[test]
    fn due_days_lie_ahead_in_order_and_chances_between_0_and_1(rows in any_rows(), later in 0..4_000_i32) {
        let rhythm = Rhythm::learn(&rows, TODAY);
        let as_of = TODAY + later;
        for own in 0..12 {
            let own: Vec<Purchase> = rows.iter().filter(|row| row.customer == own).copied().collect();
            let customer = rhythm.customer(&own, as_of);
            for product in 0..5 {
                if let Some(Expected { day20, day50, day80, p_within_year }) = customer.next(product) {
                    prop_assert!(as_of < day20 && day20 <= day50 && day50 <= day80 && day80 <= as_of + 366);
                    prop_assert!((LEAST_CHANCE..=1.0).contains(&p_within_year));
                }
                if let Some(forecast) = customer.forecast(product) {
                    let [soon, late] = [30.0, 90.0].map(|days| forecast.p_within(days));
                    prop_assert!(0.0 <= soon && soon <= late && late <= 1.0);
                }
            }
            if let Some(due) = customer.next_due() {
                prop_assert!(due.day > as_of && own.iter().any(|row| row.product == due.product));
            }
        }
    }

    #[test]
    fn longer_silence_never_makes_a_next_purchase_likelier(silent in 0..3_000_i32) {
        let rhythm = Rhythm::learn(&regulars(1, 40, 30.0, 0.5, 1.0), TODAY);
        let own = bought(1, 1, &[0, 30, 60]);
        let p = |as_of| rhythm.customer(&own, as_of).forecast(1).unwrap().p_within(1e9);
        prop_assert!(p(60 + silent + 30) <= p(60 + silent) + 1e-9);
    }
}
