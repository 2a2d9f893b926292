//! The whole of it, on shops made from seeds: what must hold on any shop.

use proptest::prelude::*;

use super::backtest::MODELS;
use super::baselines::Baseline;
use super::evaluate::Holdout;
use super::history::scatter;
use super::*;

/// Even numbers in (0, 1) from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(1);
        (scatter(self.0) >> 11) as f64 / (1_u64 << 53) as f64 + 1e-17
    }

    /// Of a gamma distribution with a whole shape: sums of exponentials.
    fn gamma(&mut self, shape: u32, mean: f64) -> f64 {
        (0..shape).map(|_| -self.roll().ln()).sum::<f64>() * mean / f64::from(shape)
    }
}

/// How a made shop's customers order: gaps of a shape (1: at random, 8: like a clock), leaving after an order with a
/// probability, over so many days.
#[derive(Debug, Clone, Copy)]
struct Habits {
    customers: u64,
    regularity: u32,
    mean_gap: f64,
    leaving: f64,
    days: Day,
}

const CASUAL: Habits =
    Habits { customers: 700, regularity: 1, mean_gap: 45.0, leaving: 0.25, days: 365 };
const LIKE_CLOCKWORK: Habits =
    Habits { customers: 500, regularity: 8, mean_gap: 30.0, leaving: 0.06, days: 365 };
const NOBODY_LEAVES: Habits =
    Habits { customers: 600, regularity: 1, mean_gap: 60.0, leaving: 0.0, days: 365 };

fn purchases(habits: Habits, seed: u64) -> Vec<(u64, Purchase)> {
    let mut dice = Dice(scatter(seed));
    let mut all = Vec::new();
    for key in 0..habits.customers {
        let own_gap = habits.mean_gap * dice.gamma(2, 1.0).max(0.05);
        let own_amount = 20.0 * dice.gamma(3, 1.0);
        let mut at = dice.roll() * f64::from(habits.days) * 0.7;
        while at < f64::from(habits.days) {
            let amount = own_amount * dice.gamma(4, 1.0);
            all.push((scatter(key), Purchase { day: at as Day, amount }));
            if dice.roll() < habits.leaving {
                break;
            }
            at += dice.gamma(habits.regularity, own_gap).max(1.0);
        }
    }
    all
}

fn shop(habits: Habits, seed: u64) -> OrderLog {
    OrderLog::new(purchases(habits, seed))
}

const SPLIT: Day = 220;

#[test]
fn later_orders_and_the_sequence_of_rows_change_nothing() {
    let mut rows = purchases(CASUAL, 1);
    let whole = Learned::from_log(&OrderLog::new(rows.clone()), SPLIT, &[30, 120]);
    rows.retain(|(_, purchase)| purchase.day <= SPLIT);
    rows.sort_by_key(|(key, purchase)| scatter(key ^ purchase.day as u64));
    let known = Learned::from_log(&OrderLog::new(rows), SPLIT, &[120, 30, 30]);
    assert_eq!(whole, known);
}

#[test]
fn a_shop_is_learnt_the_same_on_any_number_of_threads() {
    let log = shop(CASUAL, 2);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Learned::from_log(&log, SPLIT, &[30]))
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn weights_are_parts_of_one_and_predictions_are_probabilities() {
    for habits in [CASUAL, LIKE_CLOCKWORK] {
        let log = shop(habits, 3);
        let learned = Learned::from_log(&log, SPLIT, &Learned::HORIZONS);
        assert_eq!((learned.members.len(), learned.sufficiency), (MODELS, Sufficiency::Enough));
        for weight in [|m: &Member| m.chance_weight, |m: &Member| m.count_weight] {
            assert!(learned.members.iter().all(|member| weight(member) >= 0.0));
            let sum: f64 = learned.members.iter().map(weight).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
        for (_, own) in log.iter() {
            let Some(known) = Known::at(own, SPLIT) else { continue };
            let seen = learned.predict(&known);
            assert!((0.0..=1.0).contains(&seen.p_alive));
            assert!(0.0 <= seen.p_order_30d && seen.p_order_30d <= 1.0);
            assert!(seen.p_order_30d <= seen.expected_orders_30d);
            assert!(seen.p_order_90d <= seen.expected_orders_90d);
            assert!(seen.expected_orders_30d <= seen.expected_orders_90d);
            let days = [seen.next_order.day20, seen.next_order.day50, seen.next_order.day80];
            let reached: Vec<f64> = days.iter().map(|day| day.unwrap_or(f64::INFINITY)).collect();
            assert!(reached.is_sorted() && reached[0] > 0.0, "{reached:?}");
        }
    }
}

#[test]
fn what_is_stored_predicts_the_same() {
    let log = shop(LIKE_CLOCKWORK, 4);
    let learned = Learned::from_log(&log, SPLIT, &[30, 90]);
    let stored = serde_json::to_string(&learned).unwrap();
    let back: Learned = serde_json::from_str(&stored).unwrap();
    let known: Vec<Known> = log.iter().filter_map(|(_, own)| Known::at(own, SPLIT)).collect();
    for known in known.iter().take(50) {
        let (now, then) = (learned.predict(known), back.predict(known));
        assert!((now.p_order_90d - then.p_order_90d).abs() < 1e-12);
        assert!((now.expected_orders_365d - then.expected_orders_365d).abs() < 1e-9);
    }
}

/// On shops that one of the models describes, the combination may cost next to nothing; where none does, it gains.
#[test]
fn the_combination_does_no_harm() {
    for (habits, seed) in [(CASUAL, 11), (LIKE_CLOCKWORK, 12), (NOBODY_LEAVES, 13)] {
        let log = shop(habits, seed);
        let holdout = Holdout::of(&log, SPLIT, 140);
        let learned = Learned::from_log(&log, SPLIT, &[30, 140]);
        assert_eq!(learned.choice, Choice::Combination);
        let combined = holdout.judge(&holdout.by_combination(&learned));
        let singles: Vec<_> = learned
            .members
            .iter()
            .map(|member| holdout.judge(&holdout.by_model(&member.fitted.params)))
            .collect();
        let of = |f: &evaluate::Figures| [f.mae, f.rmse, f.log_loss].map(Option::unwrap);
        for (i, name) in ["MAE", "RMSE", "log loss"].into_iter().enumerate() {
            let best = singles.iter().map(|single| of(single)[i]).fold(f64::INFINITY, f64::min);
            let ratio = of(&combined)[i] / best;
            assert!(ratio < 1.02, "{habits:?}: {name} {ratio} of the best single model's");
        }
        for baseline in Baseline::ALL {
            let plain = holdout.judge(&holdout.by_baseline(&learned, baseline).unwrap());
            assert!(combined.log_loss < plain.log_loss, "{habits:?}: {baseline:?}");
        }
    }
}

/// A shop that has been open for years, of which the log holds the last ten months: old customers stay longer than new ones.
fn begun_in_the_middle(seed: u64) -> OrderLog {
    let mut dice = Dice(scatter(seed));
    let mut all = Vec::new();
    for key in 0..3_000 {
        let gap = (50.0 * dice.gamma(2, 1.0)).max(3.0);
        let mut at = -900.0 + dice.roll() * 1_150.0;
        // Some only try, some stay: of the former none is left when the log begins.
        let stay = if dice.roll() < 0.6 { 40.0 } else { 1_500.0 };
        let leaves = at + dice.gamma(1, stay);
        while at < 340.0 && at < leaves {
            if at >= 0.0 {
                all.push((scatter(key), Purchase { day: at as Day, amount: 10.0 }));
            }
            at += dice.gamma(2, gap).max(1.0);
        }
    }
    OrderLog::new(all)
}

/// Old customers told as new ones, and told as a population of their own: the past sees which is right.
#[test]
fn customers_of_before_the_log_are_no_newcomers() {
    let (log, split) = (begun_in_the_middle(31), 210);
    let learned = Learned::from_log(&log, split, &[30, 120]);
    let opening = learned.opening.expect("the log begins in the middle");
    let about = About::Opening { until: opening.until };
    let answer = learned.backtest.asked.iter().find(|asked| asked.about == about).unwrap();
    assert!(answer.better && answer.with < answer.without, "{answer:?}");
    let holdout = Holdout::of(&log, split, 120);
    let told = holdout.judge(&holdout.by_combination(&learned));
    let mut blind = learned.clone();
    blind.opening = None;
    for member in &mut blind.members {
        member.parted = None;
    }
    let taken_as_new = holdout.judge(&holdout.by_combination(&blind));
    assert!(told.log_loss < taken_as_new.log_loss, "{told:?} {taken_as_new:?}");
    assert!(told.rmse < taken_as_new.rmse, "{told:?} {taken_as_new:?}");
    // Of two who ordered on the same days but one, the one who was there before is likelier to be there still.
    let seen = |first: Day| {
        let days = [first, 70, 100];
        let own: Vec<Purchase> = days.map(|day| Purchase { day, amount: 10.0 }).to_vec();
        learned.predict(&Known::at(&own, split).unwrap()).p_alive
    };
    assert!(seen(opening.until) > seen(opening.until + 1));
    // And a shop that did open on the first day is told as it is.
    assert_eq!(Learned::from_log(&shop(CASUAL, 32), SPLIT, &[30]).opening, None);
}

/// Orders that visits foretell: half the customers look around in the week before they order.
#[test]
fn who_looks_around_is_likelier_to_order() {
    let mut dice = Dice(scatter(41));
    let (mut orders, mut visits) = (Vec::new(), Vec::new());
    for key in 0..1_500 {
        let mut at = dice.roll() * 150.0;
        let own_gap = 40.0 * dice.gamma(2, 1.0).max(0.2);
        while at < 330.0 {
            orders.push((scatter(key), Purchase { day: at as Day, amount: 10.0 }));
            if dice.roll() < 0.15 {
                break;
            }
            at += dice.gamma(1, own_gap).max(1.0);
            if key % 2 == 0 {
                visits.push((scatter(key), (at - 7.0 * dice.roll()).max(0.0) as Day));
                visits.push((scatter(key), (at - 7.0 * dice.roll()).max(0.0) as Day));
            }
        }
    }
    let (blind, seeing) = (OrderLog::new(orders.clone()), OrderLog::new(orders));
    let seeing = seeing.with_visits(visits);
    let judged = |log: &OrderLog| {
        let learned = Learned::from_log(log, SPLIT, &[14, 30]);
        let holdout = Holdout::of(log, SPLIT, 30);
        holdout.judge(&holdout.by_combination(&learned)).log_loss.unwrap()
    };
    let (without, with) = (judged(&blind), judged(&seeing));
    assert!(with < 0.98 * without, "{with} with visits, {without} without");
    // A log without visits is what it was before there were any.
    let none = blind.clone().with_visits([]);
    assert_eq!(Learned::from_log(&blind, SPLIT, &[30]), Learned::from_log(&none, SPLIT, &[30]));
    let learned = Learned::from_log(&seeing, SPLIT, &[14, 30]);
    let absent = Known::at(&[Purchase { day: 100, amount: 10.0 }], SPLIT).unwrap();
    let p = |known: &Known| learned.predict(known).p_order_30d;
    assert!(p(&absent.visited(3, Some(SPLIT - 2))) > p(&absent.visited(3, Some(101))));
}

/// Shops too small or too young are told what is usual in shops, and told so.
#[test]
fn a_shop_without_a_past_gets_what_is_usual() {
    let purchase = |day: Day| Purchase { day, amount: 10.0 };
    let empty = OrderLog::new([]);
    let one = OrderLog::new([(1, purchase(0)), (1, purchase(9))]);
    let never_again = OrderLog::new((0..500).map(|key| (key, purchase(key as Day % 90))));
    let one_day = OrderLog::new((0..200).flat_map(|key| {
        [(key, purchase(0)), (key, purchase(20 + key as Day % 40)), (key, purchase(90))]
    }));
    let yesterday = OrderLog::new(
        (0..200).flat_map(|key| [(key, purchase(90 + key as Day % 5)), (key, purchase(99))]),
    );
    let few = |more_repeat_orders| Sufficiency::TooFew { more_repeat_orders };
    for (log, sufficiency, pooled) in [
        (empty, few(50), true),
        (one, few(49), true),
        (never_again, few(50), true),
        // Enough orders to learn from, but the label says what they are worth.
        (one_day, Sufficiency::TooYoung, false),
        (yesterday, Sufficiency::TooYoung, true),
    ] {
        let learned = Learned::from_log(&log, 100, &Learned::HORIZONS);
        assert_eq!(learned.sufficiency, sufficiency);
        assert_eq!(learned.choice == Choice::Pooled, pooled);
        for (_, own) in log.iter() {
            let seen = learned.predict(&Known::at(own, 100).unwrap());
            assert!(seen.p_order_90d > 0.0 && seen.p_order_90d < 1.0, "{seen:?}");
            assert!(seen.expected_orders_365d.is_finite());
        }
        let holdout = Holdout::of(&log, 100, 90);
        assert_eq!(holdout.judge(&holdout.by_combination(&learned)).total_error_pct, None);
    }
}

/// How many order again is believed of a small shop, as far as there are orders to tell it.
#[test]
fn a_small_shop_is_usual_at_its_own_pace() {
    let shop = |again: u64| {
        OrderLog::new((0..200).flat_map(move |key| {
            let first = Purchase { day: key as Day % 100, amount: 10.0 };
            let second = Purchase { day: first.day + 30, ..first };
            std::iter::once((key, first)).chain((key < again).then_some((key, second)))
        }))
    };
    let newcomer = Known::at(&[Purchase { day: 119, amount: 10.0 }], 120).unwrap();
    let expected = |again| {
        let learned = Learned::from_log(&shop(again), 120, &[30]);
        assert!(matches!(learned.sufficiency, Sufficiency::TooFew { .. }));
        learned.predict(&newcomer).expected_orders_90d
    };
    assert!(expected(0) < expected(20) && expected(20) < expected(45));
}

#[test]
fn a_year_as_it_was_at_the_last_order_ignores_the_silence_since() {
    let log = shop(CASUAL, 5);
    let learned = Learned::from_log(&log, SPLIT, &Learned::HORIZONS);
    let silent = log
        .iter()
        .filter_map(|(_, own)| Known::at(own, SPLIT))
        .find(|known| known.order_days > 3 && known.days_since_last() > 100.0)
        .expect("a good customer gone quiet");
    let seen = learned.predict(&silent);
    assert!(seen.expected_orders_365d_at_last_order > 1.5 * seen.expected_orders_365d, "{seen:?}");
    let later = learned.predict(&Known { as_of: silent.as_of + 30, ..silent });
    assert_eq!(later.expected_orders_365d_at_last_order, seen.expected_orders_365d_at_last_order);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any scatter of orders, however odd, is learnt from without a crash, and gives probabilities.
    #[test]
    fn any_shop_gives_probabilities(
        rows in prop::collection::vec((0_u64..40, 0 as Day..200, -5.0..500.0_f64), 0..400),
    ) {
        let log = OrderLog::new(
            rows.into_iter().map(|(key, day, amount)| (key, Purchase { day, amount })),
        );
        let learned = Learned::from_log(&log, 150, &[30, 365]);
        for (_, own) in log.iter() {
            let Some(known) = Known::at(own, 150) else { continue };
            let curve = learned.curve(&known);
            for days in [0.0, 0.5, 30.0, 400.0, 4000.0] {
                let p = curve.p_order(days);
                prop_assert!((0.0..=1.0).contains(&p), "{p}");
                prop_assert!(curve.expected(days).is_finite() && curve.expected(days) >= p);
            }
        }
    }
}
