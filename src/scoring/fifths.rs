//! Which fifth of the store a value is in. Pure.

/// The four values that part a store's customers into fifths on one dimension, more being better.
///
/// The definition: score = 1 + floor(5 · w / N), w = customers strictly worse, N = all. A customer scores at
/// least s exactly when w ≥ ⌈(s − 1) · N / 5⌉ =: k, that is, when the k-th smallest value is below his. So four
/// order statistics say all, equal customers score equal, and no row order can matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fifths<T> {
    /// To score 2, 3, 4, 5 a value must be above these. `None`: all customers are alike.
    edges: Option<[T; 4]>,
}

impl<T: Ord + Copy> Fifths<T> {
    /// Linear in time: the edges are selected, nothing is sorted.
    pub fn of(mut values: Vec<T>) -> Self {
        let n = values.len();
        let Some(&first) = values.first() else { return Self { edges: None } };
        if values.iter().all(|value| *value == first) {
            return Self { edges: None };
        }
        let mut edges = [first; 4];
        let mut from = 0; // What stands before it is no larger than anything after it.
        for (edge, score) in edges.iter_mut().zip(2..) {
            let k = ((score - 1) * n).div_ceil(5);
            *edge = *values[from..].select_nth_unstable(k - 1 - from).1;
            from = k - 1;
        }
        Self { edges: Some(edges) }
    }

    /// 1 (least) to 5 (at least 80 % of the customers are strictly below); 3 for all where all are alike.
    pub fn score(&self, value: T) -> u8 {
        match &self.edges {
            None => 3,
            Some(edges) => 1 + edges.iter().map(|edge| u8::from(value > *edge)).sum::<u8>(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word.
    fn by_definition(values: &[i64], value: i64) -> u8 {
        if values.iter().all(|v| *v == values[0]) {
            return 3;
        }
        let worse = values.iter().filter(|v| **v < value).count();
        1 + (5 * worse / values.len()) as u8
    }

    #[test]
    fn a_customer_alone_is_in_the_middle() {
        assert_eq!(Fifths::of(vec![7]).score(7), 3);
        assert_eq!(Fifths::<i64>::of(vec![]).score(7), 3);
        let two = Fifths::of(vec![1, 2]);
        assert_eq!((two.score(1), two.score(2)), (1, 3));
    }

    proptest! {
        #[test]
        fn the_edges_give_the_definition(values in prop::collection::vec(-6..6_i64, 1..60)) {
            let fifths = Fifths::of(values.clone());
            for value in &values {
                prop_assert_eq!(fifths.score(*value), by_definition(&values, *value));
            }
        }

        #[test]
        fn scores_are_bounded_and_more_is_never_worse(
            values in prop::collection::vec(any::<i64>(), 1..200), a in any::<i64>(), b in any::<i64>()
        ) {
            let fifths = Fifths::of(values);
            let (less, more) = (fifths.score(a.min(b)), fifths.score(a.max(b)));
            prop_assert!(1 <= less && less <= more && more <= 5);
        }

        #[test]
        fn the_order_of_rows_is_nothing(mut values in prop::collection::vec(0..9_i64, 1..60)) {
            let fifths = Fifths::of(values.clone());
            values.reverse();
            prop_assert_eq!(Fifths::of(values.clone()), fifths);
            values.sort();
            prop_assert_eq!(Fifths::of(values), fifths);
        }
    }
}
