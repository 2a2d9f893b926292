//! Pareto/NBD: who may leave at any time.
//!
//! Schmittlein, Morrison & Colombo 1987, Management Science 33(1). While alive, a customer orders at rate λ ~
//! Gamma(r, α), and leaves for good at rate μ ~ Gamma(s, β). The formulas are those of Fader & Hardie 2005, "A note
//! on deriving the Pareto/NBD model and related expressions", but the death between t_x and T is integrated over in
//! logarithmic time: their difference of two 2F1 has no digits left for heavy buyers.

use serde::{Deserialize, Serialize};

use super::counts::{Histories, History};
use super::fit::{self, FitError};
use super::nbd::Nbd;
use super::quadrature::{self, Course};
use super::special::{against, decay_mean, digamma_rise, ln_rising, softplus};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ParetoNbd {
    pub r: f64,
    pub alpha: f64,
    pub s: f64,
    pub beta: f64,
}

/// One customer's future, if still alive: λ ~ Gamma(`shape`, `rate`), μ ~ Gamma(`s`, `death_rate`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    pub p_alive: f64,
    pub(super) shape: f64,
    pub(super) rate: f64,
    pub(super) s: f64,
    pub(super) death_rate: f64,
}

/// ln s where nobody leaves, and ln β in the shop's gaps there.
const NO_DROPOUT: f64 = -27.0;

impl ParetoNbd {
    /// P(alive) = 1 / (1 + ∫ s/(β+τ) ((α+T)/(α+τ))^(r+x) ((β+T)/(β+τ))^s dτ over (t_x, T)). The integral is over
    /// when the customer died, if dead.
    pub fn outlook(&self, history: &History) -> Outlook {
        let Self { r, alpha, s, beta } = *self;
        let shape = r + f64::from(history.x);
        let silence = history.age - history.t_x;
        let p_alive = if silence > 0.0 {
            let (from_alpha, from_beta) = (alpha + history.t_x, beta + history.t_x);
            let falling = Falling::new((shape, from_alpha), (s + 1.0, from_beta));
            let log_odds = (s / from_beta).ln()
                + falling.integral(silence).ln()
                + shape * (silence / from_alpha).ln_1p()
                + s * (silence / from_beta).ln_1p();
            against(log_odds)
        } else {
            1.0
        };
        let (rate, death_rate) = (alpha + history.age, beta + history.age);
        Outlook { p_alive, shape, rate, s, death_rate }
    }

    /// ln L and its derivatives by ln r, ln α, ln s and ln β, over all customers: αʳ βˢ Γ(r+x)/Γ(r) · ((α+T)^−(r+x)
    /// (β+T)^−s + ∫ s (α+τ)^−(r+x) (β+τ)^−(s+1) dτ over (t_x, T)).
    pub fn log_likelihood(&self, histories: &Histories) -> (f64, [f64; 4]) {
        let Self { r, alpha, s, beta } = *self;
        let ln_alpha = alpha.ln();
        let by_x: Vec<[f64; 2]> = histories
            .xs
            .iter()
            .map(|x| [ln_rising(r, *x) - x * ln_alpha, digamma_rise(r, *x)])
            .collect();
        let by_time: Vec<[f64; 4]> = histories
            .times
            .iter()
            .map(|t| [(t / alpha).ln_1p(), t / (alpha + t), (t / beta).ln_1p(), t / (beta + t)])
            .collect();
        let [log, by_r, by_alpha, by_s, by_beta] = histories.sum(|row| {
            let x = histories.xs[row.x as usize];
            let shape = r + x;
            let [of_x, rise] = by_x[row.x as usize];
            let [aged, share, death_aged, death_share] = by_time[row.age as usize];
            let [bought, bought_share, death_bought, death_bought_share] =
                by_time[row.t_x as usize];
            let (from_alpha, from_beta) = (
                alpha + histories.times[row.t_x as usize],
                beta + histories.times[row.t_x as usize],
            );
            let silence = histories.times[row.age as usize] - histories.times[row.t_x as usize];
            let died = Falling::new((shape, from_alpha), (s + 1.0, from_beta)).means(silence);
            let log_odds = (s / from_beta * died.integral).ln()
                + shape * (aged - bought)
                + s * (death_aged - death_bought);
            let dead = against(-log_odds);
            let log = of_x - shape * aged - s * death_aged + softplus(log_odds);
            // Those of the one who died at τ, above those of the one who is alive at T.
            let more_r = aged - bought - died.ln_alpha;
            let more_s = death_aged - death_bought - died.ln_beta + 1.0 / s;
            // α/(α+τ) = α/(α+t_x) · (α+t_x)/(α+τ).
            let more_alpha = shape * ((1.0 - share) - (1.0 - bought_share) * died.alpha);
            let more_beta =
                s * (1.0 - death_share) - (s + 1.0) * (1.0 - death_bought_share) * died.beta;
            [
                log,
                rise - aged + dead * more_r,
                shape * share - x + dead * more_alpha,
                -death_aged + dead * more_s,
                s * death_share + dead * more_beta,
            ]
        });
        (log, [r * by_r, by_alpha, s * by_s, by_beta])
    }

    /// The best parameters; the NBD's where nothing tells of dropout.
    pub fn fit(histories: &Histories) -> Result<(Self, f64), FitError> {
        let (nbd, stayers) = Nbd::fit(histories)?;
        let rate = histories.repeat_orders() / histories.observed();
        let bounds = fit::bounds(rate, [false, true, false, true]);
        let of_logs = |at: &[f64; 4]| Self {
            r: at[0].exp(),
            alpha: at[1].exp(),
            s: at[2].exp(),
            beta: at[3].exp(),
        };
        let gap = -rate.ln();
        let starts = [(0.1, 1.0), (0.6, 1.0), (0.6, 5.0), (2.0, 2.0), (5.0, 50.0)]
            .map(|(s, gaps): (f64, f64)| [nbd.r.ln(), nbd.alpha.ln(), s.ln(), gaps.ln() + gap]);
        let peak =
            fit::from_best(histories, starts, bounds, |at, data| of_logs(at).log_likelihood(data));
        let stays = [nbd.r.ln(), nbd.alpha.ln(), NO_DROPOUT, gap];
        let (at, log_likelihood) = fit::with_or_without(peak, (stays, stayers));
        Ok((of_logs(&at), log_likelihood))
    }
}

impl Outlook {
    /// E[orders in (T, T+t]] = P(alive) (r+x)/(α+T) ∫ (1 + τ/(β+T))⁻ˢ dτ: the note's last result, written so that s
    /// = 1 and a short t need no other formula.
    pub fn expected(&self, t: f64) -> f64 {
        self.expected_between(0.0, t)
    }

    pub fn expected_between(&self, from: f64, to: f64) -> f64 {
        let later = self.death_rate + from;
        let stretch = ((to - from) / later).ln_1p();
        let lived = later * stretch * decay_mean((self.s - 1.0) * stretch);
        self.p_alive_after(from) * (self.shape / self.rate) * lived
    }

    /// P(at least one order in (T+from, T+to]): alive until `from`, and an order after it before death.
    pub fn p_order_between(&self, from: f64, to: f64) -> f64 {
        let orders = (self.shape + 1.0, self.rate);
        let falling = Falling::new(orders, (self.s, self.death_rate + from));
        self.p_alive_after(from) * (self.shape / self.rate) * falling.integral(to - from)
    }

    fn p_alive_after(&self, t: f64) -> f64 {
        self.p_alive * (-self.s * (t / self.death_rate).ln_1p()).exp()
    }
}

/// (1 + τ/α)^−p (1 + τ/β)^−q as a function of τ ≥ 0, to be integrated over y = ln(1 + τ/m), where m is the smaller
/// of α and β.
struct Falling {
    /// The exponent and the scale m of the factor that y makes plain.
    near: (f64, f64),
    /// The exponent of the other factor, and m over its scale.
    far: (f64, f64),
    /// Whether the factors changed places.
    swapped: bool,
}

/// A [`Falling`] integrated, and means under it of ln(1 + τ/α), ln(1 + τ/β), 1/(1 + τ/α) and 1/(1 + τ/β).
struct Means {
    integral: f64,
    ln_alpha: f64,
    ln_beta: f64,
    alpha: f64,
    beta: f64,
}

impl Falling {
    fn new(alpha: (f64, f64), beta: (f64, f64)) -> Self {
        let swapped = beta.1 < alpha.1;
        let (near, far) = if swapped { (beta, alpha) } else { (alpha, beta) };
        Self { near, far: (far.0, near.1 / far.1), swapped }
    }

    /// ∫ over (0, t).
    fn integral(&self, t: f64) -> f64 {
        self.each_point(t, |_| {})
    }

    fn means(&self, t: f64) -> Means {
        let mut sums = [0.0; 4];
        let integral = self.each_point(t, |point| {
            sums[0] += point.share * point.near_log;
            sums[1] += point.share * point.far_log;
            sums[2] += point.share / (1.0 + point.near_grown);
            sums[3] += point.share / (1.0 + point.far_grown);
        });
        let [near, far, near_inverse, far_inverse] =
            if integral > 0.0 { sums.map(|sum| sum / integral) } else { [0.0, 0.0, 1.0, 1.0] };
        if self.swapped {
            Means { integral, ln_alpha: far, ln_beta: near, alpha: far_inverse, beta: near_inverse }
        } else {
            Means { integral, ln_alpha: near, ln_beta: far, alpha: near_inverse, beta: far_inverse }
        }
    }

    /// Integrates, and shows each point to `visit`.
    fn each_point(&self, t: f64, mut visit: impl FnMut(Point)) -> f64 {
        let ((near, scale), (far, ratio)) = (self.near, self.far);
        if t <= 0.0 {
            return 0.0;
        }
        let course = |y: f64| {
            let grown = ratio * y.exp_m1();
            let far_share = (ratio + grown) / (1.0 + grown);
            Course {
                log: (1.0 - near) * y - far * grown.ln_1p(),
                slope: 1.0 - near - far * far_share,
                curvature: far * far_share * (1.0 - far_share),
                reach: 3.0,
            }
        };
        scale
            * quadrature::outward(0.0, (t / scale).ln_1p(), course, |near_log, weight| {
                let near_grown = near_log.exp_m1();
                let far_grown = ratio * near_grown;
                let far_log = far_grown.ln_1p();
                let value = weight * ((1.0 - near) * near_log - far * far_log).exp();
                visit(Point { share: value * scale, near_log, far_log, near_grown, far_grown });
                value
            })
    }
}

/// A point of the integral over time: its part of it, and how far each factor has come, τ/m and its logarithm.
struct Point {
    share: f64,
    near_log: f64,
    far_log: f64,
    near_grown: f64,
    far_grown: f64,
}
