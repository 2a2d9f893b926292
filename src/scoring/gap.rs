//! A customer's own rhythm, how late he is by it, and his place on the at-risk list. Pure.

/// How many gaps of his own outweigh the store's rhythm.
///
/// Two, on the logarithm of days, predicts the next gap best on both real logs (CDNOW and Online Retail: mean
/// absolute log error 1.020 and 0.737; with the own median alone 1.160 and 0.817, with the arithmetic mean in
/// place of the geometric 1.041 and 0.759).
const STORE_WEIGHT: f64 = 2.0;

/// A customer overdue ten times over is gone: longer silence makes nobody more urgent.
const MOST_OVERDUE: f64 = 10.0;

/// The store's rhythm: the median of its customers' own median gaps, so that a trader counts as one.
///
/// `None` until somebody bought on a second day.
pub fn store_gap_days(mut own_medians: Vec<f64>) -> Option<f64> {
    own_medians.retain(|gap| *gap > 0.0);
    let n = own_medians.len();
    if n == 0 {
        return None;
    }
    let (below, upper, _) = own_medians.select_nth_unstable_by(n / 2, f64::total_cmp);
    let upper = *upper;
    if n % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::MIN, f64::max);
    Some((lower + upper) / 2.0)
}

/// Days between orders that are usual for this customer: the median of the own gaps, shrunk to the store's as if
/// that were two more gaps; the store's alone at one order day.
pub fn usual_gap_days(own_median: Option<f64>, order_days: i32, store: Option<f64>) -> Option<f64> {
    let own = own_median.filter(|gap| *gap > 0.0 && order_days > 1);
    match (own, store) {
        (Some(own), Some(store)) => {
            let gaps = f64::from(order_days - 1);
            let log = (gaps * own.ln() + STORE_WEIGHT * store.ln()) / (gaps + STORE_WEIGHT);
            Some(log.exp())
        }
        (own, store) => own.or(store),
    }
}

/// By how many usual gaps the customer is late: 0 while the next order is not due.
pub fn overdue(days_since_last_order: f64, usual_gap_days: Option<f64>) -> f64 {
    usual_gap_days.map_or(0.0, |gap| (days_since_last_order / gap - 1.0).max(0.0))
}

/// The order of the at-risk list before predictions exist: net spend × min(overdue, 10), in minor units.
pub fn risk_rank(spent: i64, overdue: f64) -> f64 {
    spent as f64 * overdue.min(MOST_OVERDUE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_store_s_rhythm_is_a_median_of_medians() {
        assert_eq!(store_gap_days(vec![]), None);
        assert_eq!(store_gap_days(vec![30.0, 1.0, 400.0]), Some(30.0));
        assert_eq!(store_gap_days(vec![40.0, 30.0, 1.0, 400.0]), Some(35.0));
    }

    #[test]
    fn a_one_time_buyer_has_the_store_s_rhythm_and_nobody_has_one_in_a_new_store() {
        assert_eq!(usual_gap_days(None, 1, Some(45.0)), Some(45.0));
        assert_eq!(usual_gap_days(None, 1, None), None);
        assert_eq!((overdue(900.0, None), risk_rank(5_000, 0.0)), (0.0, 0.0));
    }

    #[test]
    fn two_own_gaps_weigh_as_much_as_the_store() {
        let gap = usual_gap_days(Some(10.0), 3, Some(40.0)).unwrap();
        assert!((gap - 20.0).abs() < 1e-9, "{gap}");
        assert_eq!(overdue(20.0, Some(20.0)), 0.0);
        assert_eq!(overdue(50.0, Some(20.0)), 1.5);
        assert_eq!(risk_rank(10_000, 1.5), 15_000.0);
        assert_eq!(risk_rank(10_000, 99.0), 100_000.0);
    }

    proptest! {
        #[test]
        fn the_usual_gap_lies_between_the_own_and_the_store_s(
            own in 1.0..900.0_f64, store in 1.0..900.0_f64, order_days in 2..500_i32
        ) {
            let gap = usual_gap_days(Some(own), order_days, Some(store)).unwrap();
            let (low, high) = (own.min(store), own.max(store));
            prop_assert!(low * 0.999_999 <= gap && gap <= high * 1.000_001);
        }

        #[test]
        fn longer_silence_never_makes_anyone_less_late(days in 0.0..5_000.0_f64, more in 0.0..900.0_f64, gap in 1.0..900.0_f64) {
            let (now, later) = (overdue(days, Some(gap)), overdue(days + more, Some(gap)));
            prop_assert!(0.0 <= now && now <= later);
        }
    }
}
