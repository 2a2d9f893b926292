//! NBD: everybody stays, and orders at a rate of their own.
//!
//! Ehrenberg 1959, "The pattern of consumer purchases", Applied Statistics 8(1). Orders are a Poisson process at
//! rate λ; λ ~ Gamma(r, α) over customers. It is also what every model with dropout becomes where none is seen.

use serde::{Deserialize, Serialize};

use super::counts::{Histories, History};
use super::fit::{self, FitError};
use super::special::{digamma_rise, ln_rising};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Nbd {
    pub r: f64,
    pub alpha: f64,
}

/// One customer's future: λ is Gamma(`shape`, `rate`) after what was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    pub(super) shape: f64,
    pub(super) rate: f64,
}

impl Nbd {
    pub fn outlook(&self, history: &History) -> Outlook {
        Outlook { shape: self.r + f64::from(history.x), rate: self.alpha + history.age }
    }

    /// ln L and its derivatives by ln r and ln α, over all customers.
    ///
    /// L = Γ(r+x)/Γ(r) · αʳ / (α+T)^(r+x): the likelihood of the times of the orders, as in Fader, Hardie & Lee 2005,
    /// eq. (6) without dropout, so that it compares with the other models'.
    pub fn log_likelihood(&self, histories: &Histories) -> (f64, [f64; 2]) {
        let Self { r, alpha } = *self;
        let ln_alpha = alpha.ln();
        let by_x: Vec<[f64; 2]> = histories
            .xs
            .iter()
            .map(|x| [ln_rising(r, *x) - x * ln_alpha, digamma_rise(r, *x)])
            .collect();
        let by_time: Vec<[f64; 2]> =
            histories.times.iter().map(|t| [(t / alpha).ln_1p(), t / (alpha + t)]).collect();
        let [log, by_r, by_alpha] = histories.sum(|row| {
            let x = histories.xs[row.x as usize];
            let [of_x, rise] = by_x[row.x as usize];
            let [aged, share] = by_time[row.age as usize];
            [of_x - (r + x) * aged, rise - aged, (r + x) * share - x]
        });
        (log, [r * by_r, by_alpha])
    }

    pub fn fit(histories: &Histories) -> Result<(Self, f64), FitError> {
        fit::check(histories)?;
        let rate = histories.repeat_orders() / histories.observed();
        let start = [(0.5_f64).ln(), (0.5 / rate).ln()];
        let peak = fit::from(histories, start, fit::bounds(rate, [false, true]), |at, data| {
            Self { r: at[0].exp(), alpha: at[1].exp() }.log_likelihood(data)
        });
        Ok((Self { r: peak.at[0].exp(), alpha: peak.at[1].exp() }, peak.value))
    }
}

impl Outlook {
    /// E[orders in (T, T+t]] = (r+x) t / (α+T).
    pub fn expected(&self, t: f64) -> f64 {
        self.shape * (t / self.rate)
    }

    /// P(an order in (T+from, T+to]) = 1 − ((α+T)/(α+T+to−from))^(r+x): what came before does not matter.
    pub fn p_order_between(&self, from: f64, to: f64) -> f64 {
        p_any(self.shape, (to - from) / self.rate)
    }
}

/// 1 − (1 + w)^−shape: P(at least one event), for a Gamma(shape, 1) rate and time w.
pub(super) fn p_any(shape: f64, w: f64) -> f64 {
    -(-shape * w.ln_1p()).exp_m1()
}
