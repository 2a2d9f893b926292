//! Who may leave after each order: BG/NBD, MBG/NBD, and with regular gaps BG/CNBD-k and MBG/CNBD-k.
//!
//! While alive, a customer orders at rate λ ~ Gamma(r, α): after an exponential gap, or with regularity k after an
//! Erlang-k one, k stages of rate λ each. After an order the customer leaves for good with probability
//! p ~ Beta(a, b). BG/NBD (Fader, Hardie & Lee 2005, Marketing Science 24(2)) asks after each repeat order;
//! MBG/NBD (Batislam, Denizel & Filiztekin 2007, IJRM 24(3)) after the first order too, so that one-time buyers
//! can be gone. The CNBD-k forms are those of Reutterer, Platzer & Schröder 2021, IJRM 38(1), and of their package
//! BTYDplus; k = 1 gives back the first two.

use serde::{Deserialize, Serialize};

use super::counts::{Histories, History};
use super::fit::{self, FitError};
use super::geometric_sums as sums;
use super::special::{against, digamma_rise, ln_gamma, ln_rising};

/// The highest regularity looked at: gaps that vary by less than 1/√12 of themselves are a subscription.
pub const MAX_K: usize = 12;

/// The parameters; `AT_ONCE` tells whether one may leave after the first order (MBG) or not before the second (BG).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Geometric<const AT_ONCE: bool> {
    pub r: f64,
    pub alpha: f64,
    pub a: f64,
    pub b: f64,
    /// Stages per gap, 1 to [`MAX_K`].
    pub k: u8,
}

/// One customer's future, if still alive: λ ~ Gamma(`shape`, `rate`) if no stage was passed since the last order,
/// and p ~ Beta(`a`, `stayed`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    pub p_alive: f64,
    pub(super) shape: f64,
    pub(super) rate: f64,
    pub(super) a: f64,
    pub(super) stayed: f64,
    pub(super) k: u8,
    /// P(j stages passed since the last order), j < k.
    pub(super) passed: [f64; MAX_K],
}

/// What nobody's dropout is, where a shop shows none: ln a at b = 1.
const NO_DROPOUT: f64 = -27.0;

impl<const AT_ONCE: bool> Geometric<AT_ONCE> {
    /// How often a customer was asked to leave, and stayed but for perhaps the last time, before the last time.
    fn asked_before(x: f64) -> f64 {
        if AT_ONCE { x } else { x - 1.0 }
    }

    /// P(alive) = 1 / (1 + a/(b+x−1) · ((α+T)/(α+t_x))^(r+kx) / Q) and what goes with it, where Q = Σ (r+kx)_j/j!
    /// ((T−t_x)/(α+T))ʲ over j < k: fewer than k stages since the last order. With x for x − 1 in MBG. For k = 1,
    /// where Q = 1, it is that of Fader, Hardie & Lee 2008, "Computing P(alive) using the BG/NBD model".
    pub fn outlook(&self, history: &History) -> Outlook {
        let Self { r, alpha, a, b, k } = *self;
        let x = f64::from(history.x);
        let shape = r + f64::from(k) * x;
        let rate = alpha + history.age;
        let silence = history.age - history.t_x;
        let mut passed = [0.0; MAX_K];
        let total = stages(shape, silence / rate, k, &mut passed);
        passed.iter_mut().for_each(|weight| *weight /= total);
        let before = Self::asked_before(x);
        let p_alive = if before < 0.0 {
            1.0
        } else {
            let silent = shape * (silence / (alpha + history.t_x)).ln_1p() - total.ln();
            against((a / (b + before)).ln() + silent)
        };
        Outlook { p_alive, shape, rate, a, stayed: b + before + 1.0, k, passed }
    }

    /// ln L and its derivatives by ln r, ln α, ln a and ln b, over all customers: Fader, Hardie & Lee 2005, eq. (6),
    /// and for k > 1 its Erlang form by Reutterer et al. 2021, with the histories' gaps where they are known.
    pub fn log_likelihood(&self, histories: &Histories) -> (f64, [f64; 4]) {
        let Self { r, alpha, a, b, k } = *self;
        let ln_alpha = alpha.ln();
        let stages_per_gap = f64::from(k);
        let by_x: Vec<OfX> = histories
            .xs
            .iter()
            .map(|x| {
                let passed = stages_per_gap * x;
                let before = Self::asked_before(*x);
                let asked = before + 1.0;
                let by_both = digamma_rise(a + b, asked);
                OfX {
                    shape: r + passed,
                    passed,
                    alive: ln_rising(r, passed) - passed * ln_alpha + ln_rising(b, asked)
                        - ln_rising(a + b, asked),
                    rise: digamma_rise(r, passed),
                    by_a: -by_both,
                    by_b: digamma_rise(b, asked) - by_both,
                    left: if before < 0.0 { f64::NEG_INFINITY } else { (a / (b + before)).ln() },
                    per_b: 1.0 / (b + before.max(0.0)),
                }
            })
            .collect();
        let by_time: Vec<[f64; 2]> =
            histories.times.iter().map(|t| [(t / alpha).ln_1p(), t / (alpha + t)]).collect();
        let [log, by_r, by_alpha, by_a, by_b] = histories.sum(|row| {
            let of_x = &by_x[row.x as usize];
            let [aged, share] = by_time[row.age as usize];
            let [bought, bought_share] = by_time[row.t_x as usize];
            let silent = if k == 1 {
                Silence::default()
            } else {
                let y = share - bought_share * (1.0 - share) / (1.0 - bought_share);
                Silence::of(of_x.shape, y.max(0.0), k, 1.0 - share)
            };
            let log_odds = of_x.left + of_x.shape * (aged - bought) - silent.log;
            let tail = (-log_odds.abs()).exp();
            let dead = if log_odds > 0.0 { 1.0 } else { tail } / (1.0 + tail);
            let log =
                of_x.alive - of_x.shape * aged + silent.log + log_odds.max(0.0) + tail.ln_1p();
            [
                log,
                of_x.rise - aged + silent.by_shape + dead * (aged - bought - silent.by_shape),
                of_x.shape * share - of_x.passed
                    + silent.by_ln_alpha
                    + dead * (of_x.shape * (bought_share - share) - silent.by_ln_alpha),
                of_x.by_a + dead / a,
                of_x.by_b - dead * of_x.per_b,
            ]
        });
        let gaps = if k == 1 {
            0.0
        } else {
            (stages_per_gap - 1.0) * histories.ln_gaps().unwrap_or(0.0)
                - histories.repeat_orders() * ln_gamma(stages_per_gap)
        };
        (log + gaps, [r * by_r, by_alpha, a * by_a, b * by_b])
    }

    /// The best parameters for one regularity; those without dropout where nothing tells of it.
    pub fn fit(histories: &Histories, k: u8) -> Result<(Self, f64), FitError> {
        fit::check(histories)?;
        if k > 1 && histories.ln_gaps().is_none() {
            return Err(FitError::NoGaps);
        }
        let rate = f64::from(k) * histories.repeat_orders() / histories.observed();
        let [r, alpha, whole, _] = fit::bounds(rate, [false, true, false, false]);
        let of = |at: &[f64; 4], data: &Histories| Self::of_logs(at, k).log_likelihood(data);

        let start = [0.5_f64.ln(), (0.5 / rate).ln()];
        let stayers = fit::from(histories, start, [r, alpha], |at, data| {
            let (value, gradient) = of(&[at[0], at[1], NO_DROPOUT, 0.0], data);
            (value, [gradient[0], gradient[1]])
        });
        // From the best of some dropouts, from much to little and from alike to unlike.
        let starts = [(0.05, 1.0), (0.3, 3.0), (1.0, 3.0), (1.0, 1.0), (3.0, 30.0)]
            .map(|(a, b): (f64, f64)| [stayers.at[0], stayers.at[1], a.ln(), b.ln()]);
        let peak = fit::from_best(histories, starts, [r, alpha, whole, whole], of);
        let stays = [stayers.at[0], stayers.at[1], NO_DROPOUT, 0.0];
        let (at, log_likelihood) = fit::with_or_without(peak, (stays, stayers.value));
        Ok((Self::of_logs(&at, k), log_likelihood))
    }

    /// The best parameters and regularity: k rises as long as the likelihood does, as in BTYDplus.
    pub fn fit_regular(histories: &Histories) -> Result<(Self, f64), FitError> {
        let mut best = Self::fit(histories, 1)?;
        for k in 2..=MAX_K as u8 {
            let next = Self::fit(histories, k)?;
            if next.1 <= best.1 {
                break;
            }
            best = next;
        }
        Ok(best)
    }

    fn of_logs(at: &[f64; 4], k: u8) -> Self {
        Self { r: at[0].exp(), alpha: at[1].exp(), a: at[2].exp(), b: at[3].exp(), k }
    }
}

impl Outlook {
    /// E[orders in (T, T+t]]: P(alive) times the sum over n of P(the nth is made), that is of P(as many stages are
    /// passed) · P(stayed n − 1 times) = P(stages ≥ nk − j) · B(a, b'+n−1)/B(a, b').
    ///
    /// For k = 1 it equals eq. (10) of Fader, Hardie & Lee 2005, whose 2F1 is 0/0 at a = 1.
    pub fn expected(&self, t: f64) -> f64 {
        let w = t / self.rate;
        let (a, stayed) = (self.a, self.stayed);
        self.over_stages(|j| sums::orders(self.shape + j as f64, w, a, stayed, self.k, j))
    }

    /// P(at least one order in (T+from, T+to]): still alive after `from`, and then k stages, counting from the last
    /// order.
    pub fn p_order_between(&self, from: f64, to: f64) -> f64 {
        let (w, window) = (from / self.rate, (to - from) / self.rate);
        let (a, stayed) = (self.a, self.stayed);
        self.over_stages(|j| {
            sums::any_order(self.shape + j as f64, w, window, a, stayed, self.k, j)
        })
    }

    fn over_stages(&self, of: impl Fn(usize) -> f64) -> f64 {
        let weighted = |(j, weight): (usize, &f64)| weight * of(j);
        let passed = &self.passed[..usize::from(self.k)];
        self.p_alive * passed.iter().enumerate().map(weighted).sum::<f64>()
    }
}

/// What a likelihood needs of an x.
struct OfX {
    shape: f64,
    passed: f64,
    alive: f64,
    rise: f64,
    by_a: f64,
    by_b: f64,
    /// The log odds of having left after the last order, before the silence that followed.
    left: f64,
    per_b: f64,
}

/// The logarithm of Σ (R)_j/j! yʲ over j < k, and its derivatives: no k stages since the last order.
#[derive(Default)]
struct Silence {
    log: f64,
    by_shape: f64,
    by_ln_alpha: f64,
}

impl Silence {
    fn of(shape: f64, y: f64, k: u8, alpha_share: f64) -> Self {
        let (mut sum, mut by_shape, mut by_y) = (0.0, 0.0, 0.0);
        let (mut term, mut rise) = (1.0, 0.0);
        for j in 0..k {
            let count = f64::from(j);
            sum += term;
            by_shape += term * rise;
            by_y += term * count;
            rise += 1.0 / (shape + count);
            term *= y * (shape + count) / (count + 1.0);
        }
        Self { log: sum.ln(), by_shape: by_shape / sum, by_ln_alpha: -alpha_share * by_y / sum }
    }
}

/// The terms (R)_j/j! yʲ for j < k, and their sum.
fn stages(shape: f64, y: f64, k: u8, terms: &mut [f64; MAX_K]) -> f64 {
    let mut term = 1.0;
    let mut total = 0.0;
    for (j, slot) in terms.iter_mut().enumerate().take(usize::from(k)) {
        let count = j as f64;
        *slot = term;
        total += term;
        term *= y * (shape + count) / (count + 1.0);
    }
    total
}
