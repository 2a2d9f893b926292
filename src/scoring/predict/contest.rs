//! Whether one forecast is worse than another, or only had worse luck. Pure.
//!
//! Both are asked about the same customers, so their losses are compared customer by customer: what makes a customer hard
//! to foresee is then in neither's disfavour (Diebold & Mariano 1995, J. of Business & Economic Statistics 13(3), with
//! customers for the points in time). A figure is a smooth function of mean losses, so by the delta method (van der
//! Vaart 1998, Asymptotic Statistics, ch. 3) its error is that of a mean of each customer's influence on it.
//!
//! The noise is that of customers. A season that came or not is one draw for the whole shop, and no standard error
//! over customers holds it.

use serde::{Deserialize, Serialize};

use super::metrics::surprise;
use crate::scoring::models::Model;

/// By so much may the combination be worse than the best single model, in percent.
pub const ALLOWED_PCT: f64 = 1.0;

/// One in twenty who are just at the bar is farther beyond it than so many standard errors.
const ONE_IN_TWENTY: f64 = 1.645;

/// A figure as the mean loss it is made of, with what each customer adds to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    pub figure: f64,
    /// Each customer's influence on the figure, times the number of customers, up to a constant: their spread is what
    /// its noise is made of.
    influence: Vec<f64>,
}

impl Loss {
    pub fn mae(expected: &[f64], happened: &[f64]) -> Option<Self> {
        Self::of_mean(expected.iter().zip(happened).map(|(e, y)| (e - y).abs()).collect())
    }

    /// The root's slope at the mean squared error is one over twice the root.
    pub fn rmse(expected: &[f64], happened: &[f64]) -> Option<Self> {
        let squares = expected.iter().zip(happened).map(|(e, y)| (e - y).powi(2)).collect();
        let Self { figure, mut influence } = Self::of_mean(squares)?;
        let root = figure.sqrt();
        influence.iter_mut().for_each(|i| *i /= 2.0 * root.max(f64::MIN_POSITIVE));
        Some(Self { figure: root, influence })
    }

    pub fn log_loss(p: &[f64], happened: &[bool]) -> Option<Self> {
        Self::of_mean(p.iter().zip(happened).map(|(p, yes)| surprise(*p, *yes)).collect())
    }

    fn of_mean(losses: Vec<f64>) -> Option<Self> {
        let n = losses.len();
        let figure = losses.iter().sum::<f64>() / n as f64;
        (n > 0).then_some(Self { figure, influence: losses })
    }
}

/// One figure of the combination beside that of the single model that was best by it.
///
/// Which one that is shows only afterwards, and luck helped it there: the comparison is on the stern side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Contest {
    pub best_model: Model,
    pub best: f64,
    /// The combination's figure less the best's; below 0: better.
    pub difference: f64,
    /// Of the difference, over customers.
    pub standard_error: f64,
    /// The difference in percent of the best's figure.
    pub worse_pct: f64,
    pub worse_pct_standard_error: f64,
    pub harm: Harm,
}

/// Whether the combination is more than [`ALLOWED_PCT`] worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    None,
    /// It is, but by no more than one in twenty comparisons is by chance.
    WithinNoise,
    BeyondNoise,
}

impl Contest {
    /// `models` holds who could be judged. `None` where that is nobody.
    pub fn of(combined: &Loss, models: &[(Model, Loss)]) -> Option<Self> {
        let (best_model, best) =
            models.iter().min_by(|(_, a), (_, b)| a.figure.total_cmp(&b.figure))?;
        let difference = combined.figure - best.figure;
        let ratio = combined.figure / best.figure.max(f64::MIN_POSITIVE);
        // Of c − b, and of c / b: (c's influence − ratio · b's) / b.
        let of = |weight: f64| {
            let both = combined.influence.iter().zip(&best.influence);
            standard_error(both.map(|(c, b)| c - weight * b).collect())
        };
        let worse_pct = (ratio - 1.0) * 100.0;
        let error = of(ratio) / best.figure.max(f64::MIN_POSITIVE) * 100.0;
        Some(Self {
            best_model: *best_model,
            best: best.figure,
            difference,
            standard_error: of(1.0),
            worse_pct,
            worse_pct_standard_error: error,
            harm: match worse_pct - ALLOWED_PCT {
                beyond if beyond <= 0.0 => Harm::None,
                beyond if beyond <= ONE_IN_TWENTY * error => Harm::WithinNoise,
                _ => Harm::BeyondNoise,
            },
        })
    }
}

/// Of the mean of independent values.
fn standard_error(values: Vec<f64>) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    if n > 1.0 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::history::scatter;
    use super::*;

    fn chance(seed: u64) -> f64 {
        (scatter(seed) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn a_difference_has_the_error_of_its_pairs() {
        let orders = [0.0, 1.0, 2.0, 5.0];
        let best = Loss::mae(&[0.0, 1.0, 1.0, 3.0], &orders).unwrap();
        let combined = Loss::mae(&[0.5, 1.0, 1.0, 2.0], &orders).unwrap();
        let worse = Loss::mae(&[9.0; 4], &orders).unwrap();
        let models = [(Model::Nbd, worse), (Model::BgNbd, best)];
        let contest = Contest::of(&combined, &models).unwrap();
        // Losses 0, 0, 1, 2 against ½, 0, 1, 3: differences ½, 0, 0, 1.
        assert_eq!((contest.best_model, contest.best), (Model::BgNbd, 0.75));
        assert_eq!(contest.difference, 0.375);
        let spread = ([0.125_f64, -0.375, -0.375, 0.625].map(|d| d * d).iter().sum::<f64>()) / 3.0;
        assert!((contest.standard_error - (spread / 4.0).sqrt()).abs() < 1e-12);
        // Of the ratio 1½: ½, 0, −½, 0 over the best's ¾.
        let spread = (0.5_f64 / 3.0 / 4.0).sqrt() / 0.75 * 100.0;
        assert!((contest.worse_pct - 50.0).abs() < 1e-9);
        assert!((contest.worse_pct_standard_error - spread).abs() < 1e-9);
        assert_eq!(contest.harm, Harm::BeyondNoise);
        let barely = Loss::mae(&[0.3, 1.0, 1.0, 3.0], &orders).unwrap();
        let contest = Contest::of(&barely, &models).unwrap();
        assert!((contest.worse_pct - 10.0).abs() < 1e-9);
        assert_eq!(contest.harm, Harm::WithinNoise, "one customer tells little");
        let same = Contest::of(&combined, &[(Model::Nbd, combined.clone())]).unwrap();
        assert_eq!((same.difference, same.standard_error, same.harm), (0.0, 0.0, Harm::None));
        assert_eq!(Contest::of(&combined, &[]), None);
    }

    /// The delta method against what the figure does when customers are drawn anew.
    #[test]
    fn errors_are_those_of_shops_drawn_anew() {
        let n = 400;
        let orders: Vec<f64> = (0..n).map(|i| (chance(i).powi(3) * 8.0).floor()).collect();
        let told = |off: f64, seed: u64| -> Vec<f64> {
            (0..n).map(|i| orders[i as usize] * 0.6 + off * chance(i ^ seed)).collect()
        };
        let (one, other) = (told(1.0, 1 << 40), told(1.3, 1 << 41));
        let part = |rows: &[u64], all: &[f64]| -> Vec<f64> {
            rows.iter().map(|row| all[*row as usize]).collect()
        };
        let contest = |rows: &[u64]| {
            let orders = part(rows, &orders);
            let best = Loss::rmse(&part(rows, &one), &orders).unwrap();
            let combined = Loss::rmse(&part(rows, &other), &orders).unwrap();
            Contest::of(&combined, &[(Model::Nbd, best)]).unwrap()
        };
        let all = contest(&(0..n).collect::<Vec<u64>>());
        let drawn: Vec<f64> = (0..400_u64)
            .map(|shop| {
                let row = |i| (chance(i | (shop + 1) << 20) * n as f64) as u64;
                contest(&(0..n).map(row).collect::<Vec<u64>>()).worse_pct
            })
            .collect();
        let spread = standard_error(drawn) * 20.0;
        let ratio = all.worse_pct_standard_error / spread;
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
    }
}
