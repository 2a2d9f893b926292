//! What of a customer's past the models leave out, as numbers: by them the shop's own past corrects the models. Pure.

use super::super::models::History;
use super::history::Known;

pub const FEATURES: usize = 10;

/// A customer unlike all others is corrected like one three standard deviations off, and no further.
pub const FARTHEST: f64 = 3.0;

/// Raw: how often, how long silent, how long silent by the own rhythm, how far beyond it, whether only once, how long known,
/// what an order and the last order came to, how much later seen than silent, and how many visits. Logarithms, since shops
/// differ by factors. Beyond the own rhythm each day tells more than before it: who is not due yet is merely not due.
/// Where visits are not known, the last two are the same for all, and so say nothing.
pub fn raw(known: &Known, history: &History) -> [f64; FEATURES] {
    let silent = history.age - history.t_x;
    let late = match history.x {
        0 => 0.0,
        x => ((silent + 1.0) / (history.t_x / f64::from(x) + 1.0)).ln(),
    };
    let amount = |amount: f64| amount.max(0.0).ln_1p();
    [
        f64::from(history.x).ln_1p(),
        silent.ln_1p(),
        late,
        late.max(0.0),
        f64::from(u8::from(history.x == 0)),
        history.age.ln_1p(),
        amount(known.amount / f64::from(known.order_days)),
        amount(known.last_amount),
        known.days_since_last().ln_1p() - known.days_unseen().ln_1p(),
        f64::from(known.visits).ln_1p(),
    ]
}

/// The shop's mean and spread of each feature on one day: what counts is how a customer differs from the others.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scale {
    mean: [f64; FEATURES],
    spread: [f64; FEATURES],
}

impl Scale {
    /// Of all customers known on that day. A feature that all share says nothing and becomes 0.
    pub fn of(rows: &[[f64; FEATURES]]) -> Self {
        let moments: [Moments; FEATURES] =
            std::array::from_fn(|i| Moments::of(rows.iter().map(|row| row[i])));
        Self { mean: moments.map(|m| m.mean), spread: moments.map(|m| m.spread) }
    }

    pub fn apply(&self, raw: &[f64; FEATURES]) -> [f64; FEATURES] {
        let moments = |i: usize| Moments { mean: self.mean[i], spread: self.spread[i] };
        std::array::from_fn(|i| moments(i).standing(raw[i]))
    }
}

/// Mean and standard deviation of one number over the shop.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moments {
    pub mean: f64,
    pub spread: f64,
}

impl Moments {
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count().max(1) as f64;
        let mean = values.clone().sum::<f64>() / n;
        let spread = (values.map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        Self { mean, spread }
    }

    /// How many standard deviations above the mean, within [`FARTHEST`].
    pub fn standing(&self, value: f64) -> f64 {
        if self.spread > 1e-9 {
            ((value - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)
        } else {
            0.0
        }
    }
}
