//! How good predictions were, once it is known what happened. Pure.
//!
//! Where a figure cannot be formed (nobody to judge, nobody or everybody bought) it is `None`, never a guess.

/// So that one certain and wrong prediction does not make a whole score infinite.
const LEAST_P: f64 = 1e-15;

/// Groups of equal size by predicted probability, for the calibration error.
const GROUPS: usize = 10;

fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let n = values.len();
    (n > 0).then(|| values.sum::<f64>() / n as f64)
}

/// Mean absolute error.
pub fn mae(expected: &[f64], happened: &[f64]) -> Option<f64> {
    mean(expected.iter().zip(happened).map(|(e, y)| (e - y).abs()))
}

/// Root of the mean squared error.
pub fn rmse(expected: &[f64], happened: &[f64]) -> Option<f64> {
    mean(expected.iter().zip(happened).map(|(e, y)| (e - y).powi(2))).map(f64::sqrt)
}

/// By how many percent the sum of what was expected missed the sum of what happened.
pub fn total_error_pct(expected: &[f64], happened: &[f64]) -> Option<f64> {
    let total: f64 = happened.iter().sum();
    (total > 0.0).then(|| (expected.iter().sum::<f64>() / total - 1.0) * 100.0)
}

/// Mean of −ln P(what happened).
pub fn log_loss(p: &[f64], happened: &[bool]) -> Option<f64> {
    mean(p.iter().zip(happened).map(|(p, yes)| surprise(*p, *yes)))
}

/// −ln P(what happened), of one prediction.
pub fn surprise(p: f64, yes: bool) -> f64 {
    let p = p.clamp(LEAST_P, 1.0 - LEAST_P);
    -if yes { p.ln() } else { (1.0 - p).ln() }
}

/// Mean squared error of the probability.
pub fn brier(p: &[f64], happened: &[bool]) -> Option<f64> {
    mean(p.iter().zip(happened).map(|(p, yes)| (p - f64::from(u8::from(*yes))).powi(2)))
}

/// One of ten groups of customers, by what was predicted of them.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Decile {
    pub customers: usize,
    /// Mean of the predicted probabilities.
    pub predicted: f64,
    /// Share to whom it happened.
    pub happened: f64,
}

/// Predicted against happened in ten groups of equal size, the least likely first.
///
/// Equal probabilities are spread over the groups that they touch, each group taking their mean: what came first in a
/// file must not move the figure.
pub fn deciles(p: &[f64], happened: &[bool]) -> Vec<Decile> {
    let n = p.len();
    let mut rows: Vec<(f64, f64)> =
        p.iter().zip(happened).map(|(p, yes)| (*p, f64::from(u8::from(*yes)))).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut from = 0;
    while from < n {
        let to = from + rows[from..].partition_point(|row| row.0 <= rows[from].0);
        let shared = rows[from..to].iter().map(|row| row.1).sum::<f64>() / (to - from) as f64;
        rows[from..to].iter_mut().for_each(|row| row.1 = shared);
        from = to;
    }
    let group = |g: usize| {
        let rows = &rows[group_start(g, n)..group_start(g + 1, n)];
        let mean =
            |of: fn(&(f64, f64)) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
        Decile { customers: rows.len(), predicted: mean(|row| row.0), happened: mean(|row| row.1) }
    };
    (0..GROUPS).map(group).filter(|decile| decile.customers > 0).collect()
}

/// Expected calibration error: the mean over the deciles of |predicted − happened|, in percent.
pub fn ece_pct(p: &[f64], happened: &[bool]) -> Option<f64> {
    mean(deciles(p, happened).iter().map(|d| (d.predicted - d.happened).abs() * 100.0))
}

/// The calibration error that chance alone leaves, in percent: that to be expected were every probability right.
///
/// What happens in a group of n then has the variance Σ p(1 − p) / n², and the mean distance of a normal number from its
/// mean is √(2/π) standard deviations.
pub fn ece_noise_pct(p: &[f64]) -> Option<f64> {
    let mut sorted = p.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let groups: Vec<&[f64]> = (0..GROUPS)
        .map(|g| &sorted[group_start(g, p.len())..group_start(g + 1, p.len())])
        .filter(|group| !group.is_empty())
        .collect();
    mean(groups.into_iter().map(|group| {
        let variance: f64 = group.iter().map(|p| p * (1.0 - p)).sum();
        variance.sqrt() / group.len() as f64 * std::f64::consts::FRAC_2_PI.sqrt() * 100.0
    }))
}

/// Where a group begins among `n` in sequence: the first n % 10 have one customer more.
fn group_start(group: usize, n: usize) -> usize {
    group * (n / GROUPS) + group.min(n % GROUPS)
}

/// P(one to whom it happened was predicted higher than one to whom it did not); ties count half.
pub fn auc(p: &[f64], happened: &[bool]) -> Option<f64> {
    let mut rows: Vec<(f64, bool)> = p.iter().copied().zip(happened.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut won, mut no_below, mut yes_all) = (0.0, 0.0, 0.0);
    let mut from = 0;
    while from < rows.len() {
        let to = from + rows[from..].partition_point(|row| row.0 <= rows[from].0);
        let yes = rows[from..to].iter().filter(|row| row.1).count() as f64;
        let no = (to - from) as f64 - yes;
        won += yes * (no_below + no / 2.0);
        no_below += no;
        yes_all += yes;
        from = to;
    }
    (yes_all > 0.0 && no_below > 0.0).then(|| won / (yes_all * no_below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_worked_out_by_hand() {
        let (expected, orders) = ([1.0, 0.5, 2.0], [0.0, 1.0, 2.0]);
        assert_eq!(mae(&expected, &orders), Some(0.5));
        assert_eq!(rmse(&expected, &orders), Some((1.25_f64 / 3.0).sqrt()));
        assert_eq!(total_error_pct(&expected, &orders).map(f64::round), Some(17.0));
        let (p, yes) = ([0.2, 0.6, 0.9], [false, true, true]);
        let by_hand = -(0.8_f64.ln() + 0.6_f64.ln() + 0.9_f64.ln()) / 3.0;
        assert!((log_loss(&p, &yes).unwrap() - by_hand).abs() < 1e-15);
        assert!((brier(&p, &yes).unwrap() - (0.04 + 0.16 + 0.01) / 3.0).abs() < 1e-15);
        assert!((log_loss(&[0.0], &[true]).unwrap() - 15.0 * 10.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn ties_count_half_in_the_auc() {
        assert_eq!(auc(&[0.1, 0.5, 0.5, 0.9], &[false, true, false, true]), Some(0.875));
        assert_eq!(auc(&[0.3; 4], &[false, true, false, true]), Some(0.5));
        assert_eq!(auc(&[0.3, 0.4], &[true, true]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    #[test]
    fn deciles_do_not_depend_on_the_sequence_of_equals() {
        let p: Vec<f64> = (0..25).map(|i| f64::from(i / 7) / 4.0).collect();
        let yes: Vec<bool> = (0..25).map(|i| i % 3 == 0).collect();
        let back = |mut rows: Vec<f64>| {
            rows.reverse();
            rows
        };
        let mut yes_back = yes.clone();
        yes_back.reverse();
        let (one, other) = (deciles(&p, &yes), deciles(&back(p.clone()), &yes_back));
        assert_eq!(one.len(), 10);
        assert_eq!(one.iter().map(|d| d.customers).sum::<usize>(), 25);
        for (a, b) in one.iter().zip(&other) {
            assert!((a.happened - b.happened).abs() < 1e-12);
        }
        assert_eq!(ece_pct(&[0.5; 20], &[[true; 10], [false; 10]].concat()), Some(0.0));
        assert_eq!(ece_pct(&[], &[]), None);
    }

    /// Shops drawn by the very probabilities that were told.
    #[test]
    fn a_forecast_that_is_right_has_the_calibration_error_of_chance() {
        use super::super::history::scatter;
        let draw = |seed: u64| (scatter(seed) >> 11) as f64 / (1_u64 << 53) as f64;
        let p: Vec<f64> = (0..997).map(|i| draw(i).powi(2)).collect();
        let found: Vec<f64> = (1..=200_u64)
            .map(|shop| {
                let drawn = |i: usize| draw(shop << 32 | i as u64);
                let happened: Vec<bool> =
                    p.iter().enumerate().map(|(i, p)| drawn(i) < *p).collect();
                ece_pct(&p, &happened).unwrap()
            })
            .collect();
        let usual = mean(found.into_iter()).unwrap();
        let told = ece_noise_pct(&p).unwrap();
        assert!((0.97..1.03).contains(&(told / usual)), "{told} against {usual}");
        assert_eq!(ece_noise_pct(&[0.0, 1.0]), Some(0.0));
        assert_eq!(ece_noise_pct(&[]), None);
    }
}
