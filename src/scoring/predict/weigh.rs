//! How much each model is believed in: the weights on the simplex that would have done best. Pure.
//!
//! Probabilities are mixed by the log score (stacking: Yao, Vehtari, Simpson & Gelman 2018, Bayesian Analysis 13),
//! expected orders by their errors, since the model that tells best who will come is not always the one that tells
//! best how often.

use super::backtest::{ByModel, MODELS, Origin, Window};
use super::metrics;
use super::minimise::minimise;

/// Customers' worth of belief in each model before anything is seen.
const PRIOR: f64 = 0.5;

/// The same for expected orders, where the loss is of the order of 2 whatever the shop's size.
const ERROR_PRIOR: f64 = 0.001;

const ROUNDS: usize = 300;

pub fn mix(weights: &ByModel, values: &ByModel) -> f64 {
    weights.iter().zip(values).map(|(w, v)| w * v).sum()
}

/// For "orders again": the weights of the highest log score over the `origins`' windows of one horizon,
/// found by expectation maximisation.
pub fn by_log_score(origins: &[&Origin], horizon: usize) -> ByModel {
    let of_row =
        |p: &ByModel, orders: f64| p.map(|p| if orders > 0.0 { p } else { 1.0 - p }.max(1e-6));
    let likelihoods: Vec<(ByModel, f64)> = origins
        .iter()
        .flat_map(|origin| {
            let window = &origin.windows[horizon];
            let rows = window.p_order.iter().zip(&window.orders);
            rows.map(move |(p, orders)| (of_row(p, *orders), origin.weight))
        })
        .collect();
    let mut weights = [1.0 / MODELS as f64; MODELS];
    for _ in 0..ROUNDS {
        let mut credit = [PRIOR; MODELS];
        for (likelihood, weight) in &likelihoods {
            let share = weight / mix(&weights, likelihood);
            for i in 0..MODELS {
                credit[i] += weights[i] * likelihood[i] * share;
            }
        }
        let sum: f64 = credit.iter().sum();
        let next = credit.map(|credit| credit / sum);
        let moved = next.iter().zip(&weights).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        weights = next;
        if moved < 1e-5 {
            break;
        }
    }
    weights
}

/// The least errors that any single model makes in a window: what the mixture is measured against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    pub mae: f64,
    pub rmse: f64,
}

impl Bar {
    pub fn of(window: &Window) -> Self {
        let best = |of: fn(&[f64], &[f64]) -> Option<f64>| {
            (0..MODELS)
                .filter_map(|i| {
                    let expected: Vec<f64> = window.expected.iter().map(|row| row[i]).collect();
                    of(&expected, &window.orders)
                })
                .fold(f64::INFINITY, f64::min)
                .max(1e-6)
        };
        Self { mae: best(metrics::mae), rmse: best(metrics::rmse) }
    }

    /// Both errors as multiples of the bar, and where to move each expectation to lower their sum.
    ///
    /// The absolute error is rounded off at the bottom: its slope would jump.
    pub fn loss(&self, expected: &[f64], orders: &[f64], slope: &mut [f64]) -> f64 {
        const ROUND: f64 = 1e-4;
        let n = orders.len() as f64;
        let (mut absolute, mut squares) = (0.0, 0.0);
        for (e, y) in expected.iter().zip(orders) {
            absolute += ((e - y).powi(2) + ROUND).sqrt();
            squares += (e - y).powi(2);
        }
        let rmse = (squares / n).sqrt().max(1e-9);
        for ((e, y), slope) in expected.iter().zip(orders).zip(slope) {
            let off = e - y;
            *slope = off / (off * off + ROUND).sqrt() / n / self.mae + off / n / rmse / self.rmse;
        }
        absolute / n / self.mae + rmse / self.rmse
    }
}

/// For expected orders: the weights of the least errors, absolute and squared alike, over the `origins`' windows of
/// one horizon.
pub fn by_error(origins: &[&Origin], horizon: usize) -> ByModel {
    let all: f64 = origins.iter().map(|origin| origin.weight).sum();
    let windows: Vec<(&Window, Bar, f64)> = origins
        .iter()
        .map(|origin| {
            let window = &origin.windows[horizon];
            (window, Bar::of(window), origin.weight / all)
        })
        .collect();
    let mut slopes = Vec::new();
    let weights_of = |at: &[f64]| -> ByModel {
        let top = at.iter().copied().fold(f64::MIN, f64::max);
        let raw: ByModel = std::array::from_fn(|i| (at[i] - top).exp());
        let sum: f64 = raw.iter().sum();
        raw.map(|weight| weight / sum)
    };
    let at = minimise(vec![0.0; MODELS], |at, slope| {
        let weights = weights_of(at);
        let mut value = 0.0;
        let mut by_weight = [0.0; MODELS];
        for (window, bar, share) in &windows {
            let expected: Vec<f64> = window.expected.iter().map(|row| mix(&weights, row)).collect();
            slopes.resize(expected.len(), 0.0);
            value += bar.loss(&expected, &window.orders, &mut slopes) * share;
            for (row, slope) in window.expected.iter().zip(&slopes) {
                for i in 0..MODELS {
                    by_weight[i] += row[i] * slope * share;
                }
            }
        }
        let share = ERROR_PRIOR / MODELS as f64;
        for i in 0..MODELS {
            let weight = weights[i].max(1e-12);
            value -= share * weight.ln();
            by_weight[i] -= share / weight;
        }
        let middle = mix(&weights, &by_weight);
        for i in 0..MODELS {
            slope[i] = weights[i] * (by_weight[i] - middle);
        }
        value
    });
    weights_of(&at)
}
