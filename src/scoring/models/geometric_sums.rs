//! The sums over future orders of those who may leave after each.
//!
//! Stages in the time ahead are negative binomial: P(M = m) = (R)_m/m! · zᵐ (1−z)ᴿ, z = w/(1+w), w = t/(α+T). Given
//! them, all terms are positive, and are added up until the rest cannot matter. Where that would take thousands (very
//! long horizons, very many orders), the same number is an integral over p.

use super::nbd::p_any;
use super::quadrature::{self, Course};
use super::special::{decay_mean, ln_beta, softplus};

/// So many terms cost what the integral costs.
const FEW: f64 = 1500.0;

/// Regular gaps have no such integral: their sums may be longer.
const MANY: f64 = 2e6;

/// A mean over the number of stages ahead, M, which are taken one by one. P(M = m) is held by a part of its logarithm
/// and a factor, since it may begin at e⁻¹⁰⁰⁰⁰.
struct Stages {
    shape: f64,
    z: f64,
    m: f64,
    p: f64,
    sum: f64,
    /// What both are yet to be multiplied by, as a logarithm.
    scale: f64,
}

impl Stages {
    /// `None` where there would be too many.
    fn new(shape: f64, w: f64, limit: f64) -> Option<Self> {
        let mean = shape * w;
        let spread = (mean * (1.0 + w)).sqrt();
        if mean + 6.0 * spread + 30.0 * w > limit {
            return None;
        }
        let ln_none = -shape * w.ln_1p();
        let held = ln_none.max(-600.0);
        let z = w / (1.0 + w);
        Some(Self { shape, z, m: 0.0, p: held.exp(), sum: 0.0, scale: ln_none - held })
    }

    fn take(&mut self, value: f64) {
        self.sum += self.p * value;
    }

    fn advance(&mut self) {
        self.p *= self.z * (self.shape + self.m) / (self.m + 1.0);
        self.m += 1.0;
        if self.p > 1e200 {
            self.p *= 1e-200;
            self.sum *= 1e-200;
            self.scale += 200.0 * std::f64::consts::LN_10;
        }
    }

    /// Whether what is left cannot matter, if it is at most `next` at m + 1 and rises by no more than one with each m.
    fn is_done(&self, next: f64) -> bool {
        let ratio = self.z * ((self.shape + self.m) / (self.m + 1.0)).max(1.0);
        // At most Σ over m' > m of P(m') (m' − m).
        let rest = self.p * ratio / ((1.0 - ratio) * (1.0 - ratio));
        self.p == 0.0 || (ratio < 1.0 && rest * next < 1e-17 * self.sum)
    }

    fn mean(&self) -> f64 {
        self.sum * self.scale.exp()
    }
}

/// The orders that stages make, and the chance of staying for each.
struct Orders {
    a: f64,
    stayed: f64,
    k: usize,
    /// Stages since the last order.
    phase: usize,
    made: f64,
    /// P(stayed after all orders made).
    stays: f64,
    /// Σ over the orders made of P(stayed after all before).
    expected: f64,
}

impl Orders {
    fn new(a: f64, stayed: f64, k: u8, phase: usize) -> Self {
        Self { a, stayed, k: usize::from(k), phase, made: 0.0, stays: 1.0, expected: 0.0 }
    }

    fn pass(&mut self) {
        self.phase += 1;
        if self.phase == self.k {
            self.phase = 0;
            self.expected += self.stays;
            self.stays *= (self.stayed + self.made) / (self.a + self.stayed + self.made);
            self.made += 1.0;
        }
    }

    /// How many stages make the next order.
    fn needed(&self) -> u32 {
        (self.k - self.phase) as u32
    }
}

/// E[orders] while w goes by, of someone alive with j stages passed. λ is Gamma(`shape`, 1) and p Beta(`a`,
/// `stayed`).
pub fn orders(shape: f64, w: f64, a: f64, stayed: f64, k: u8, j: usize) -> f64 {
    if w <= 0.0 {
        return 0.0;
    }
    let limit = if k == 1 { FEW } else { MANY };
    let Some(mut ahead) = Stages::new(shape, w, limit) else {
        return orders_by_integral(shape, w, a, stayed, k, j);
    };
    let mut orders = Orders::new(a, stayed, k, j);
    loop {
        ahead.take(orders.expected);
        if ahead.is_done(orders.expected + 1.0) {
            return ahead.mean();
        }
        ahead.advance();
        orders.pass();
    }
}

/// P(still alive when w has gone by, and an order in the window after it), of someone alive with j stages passed.
pub fn any_order(shape: f64, w: f64, window: f64, a: f64, stayed: f64, k: u8, j: usize) -> f64 {
    if window <= 0.0 {
        return 0.0;
    }
    let mut orders = Orders::new(a, stayed, k, j);
    if w <= 0.0 {
        return at_least(orders.needed(), shape, window);
    }
    let window = window / (1.0 + w);
    let limit = if k == 1 { FEW } else { MANY };
    let Some(mut ahead) = Stages::new(shape, w, limit) else {
        return any_order_by_integral(shape, w, window, a, stayed, k);
    };
    loop {
        ahead.take(orders.stays * at_least(orders.needed(), shape + ahead.m, window));
        if ahead.is_done(orders.stays) {
            return ahead.mean();
        }
        ahead.advance();
        orders.pass();
    }
}

/// P(M ≥ n) for n ≥ 1.
fn at_least(n: u32, shape: f64, w: f64) -> f64 {
    if n == 1 {
        return p_any(shape, w);
    }
    let z = w / (1.0 + w);
    let mut p = (-shape * w.ln_1p()).exp();
    let mut m = 0.0;
    let mut next = || {
        let this = p;
        p *= z * (shape + m) / (m + 1.0);
        m += 1.0;
        this
    };
    let below: f64 = (0..n).map(|_| next()).sum();
    if below < 0.9 {
        return 1.0 - below;
    }
    // So rare that each term is much less than the one before.
    let mut sum = 0.0;
    loop {
        let term = next();
        sum += term;
        if term <= 1e-18 * sum {
            return sum;
        }
    }
}

/// The same as [`orders`], for k = 1: ∫ (1 − (1 + pw)⁻ᴿ)/p · pᵃ⁻¹ (1−p)ᵇ⁻¹/B(a, b) dp. An order is made and
/// survived at rate λ, and left after at rate λp, so that E[orders | λ, p] = (1 − e^(−λpt))/p.
///
/// With k > 1 so far out, beyond a million stages, ⌊M/k⌋ is their kth part less the mean remainder: the error is far
/// below one order in their number.
fn orders_by_integral(shape: f64, w: f64, a: f64, stayed: f64, k: u8, j: usize) -> f64 {
    let per_order = f64::from(k);
    let offset = (j as f64 - 0.5 * (per_order - 1.0)) / per_order;
    over_p(a, stayed, shape * w, move |ln_p, ln_stay| {
        if ln_p < -600.0 {
            return (shape * w / per_order + offset).ln();
        }
        let lasting = shape * (out_of_stage(ln_p, ln_stay, k) * w).ln_1p() - offset * ln_stay;
        lasting.ln() + decay_mean(lasting).ln() - ln_p
    })
}

/// The same as [`any_order`] for k = 1; with k > 1 so far out, every phase is as likely as another.
fn any_order_by_integral(shape: f64, w: f64, window: f64, a: f64, stayed: f64, k: u8) -> f64 {
    // `window` is measured by the rate after w; who passed fewer stages since has a slower one.
    let width = window * (1.0 + w);
    over_p(a, stayed, shape * w, move |ln_p, ln_stay| {
        let left = (out_of_stage(ln_p, ln_stay, k) * w).ln_1p();
        let width = width * (-left).exp();
        let any: f64 = (1..=u32::from(k)).map(|needed| at_least(needed, shape, width)).sum();
        (any / f64::from(k)).ln() - shape * left
    })
}

/// What of a stage leads out: 1 − (1−p)^(1/k).
fn out_of_stage(ln_p: f64, ln_stay: f64, k: u8) -> f64 {
    if k == 1 { ln_p.exp() } else { -(ln_stay / f64::from(k)).exp_m1() }
}

/// The mean of exp(`log`(ln p, ln(1−p))) over p ~ Beta(a, b), taken over logit p. The function may bend where p is
/// 1/`mean` and above, and falls with p, no faster than p does.
fn over_p(a: f64, b: f64, mean: f64, log: impl Fn(f64, f64) -> f64) -> f64 {
    let norm = ln_beta(a, b);
    let whole = |u: f64| {
        let (ln_p, ln_stay) = (-softplus(-u), -softplus(u));
        log(ln_p, ln_stay) + a * ln_p + b * ln_stay - norm
    };
    let width = 1e-4;
    let slope = |u: f64| (whole(u + width) - whole(u - width)) / (2.0 * width);
    let (mut low, mut high) = (-100.0, 60.0);
    for _ in 0..30 {
        let middle: f64 = 0.5 * (low + high);
        if slope(middle) > 0.0 { low = middle } else { high = middle }
    }
    let peak = 0.5 * (low + high);
    let bends = (-(1.0 + mean.max(b)).ln(), (1.0 + a).ln());
    let course = |u: f64| {
        let p = 1.0 / (1.0 + (-u).exp());
        let away = (bends.0 - u).max(u - bends.1).max(0.0);
        Course {
            log: whole(u),
            slope: slope(u),
            curvature: (a + b + 1.0) * p * (1.0 - p) + 0.25,
            reach: 0.6 * (away + std::f64::consts::FRAC_PI_2),
        }
    };
    let visit = |u: f64, weight: f64| weight * whole(u).exp();
    quadrature::outward(peak, -1e6, course, visit) + quadrature::outward(peak, 1e6, course, visit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes, times, a and b for which both ways are open.
    const CASES: [(f64, f64, f64, f64); 7] = [
        (0.3, 5.0, 0.8, 2.4),
        (2.5, 1.0, 1.0, 4.0),
        (30.0, 3.0, 1.0 + 1e-9, 60.0),
        (200.0, 1.5, 0.01, 0.5),
        (0.01, 20.0, 40.0, 1e5),
        (400.0, 0.5, 1e5, 3e5),
        (1.0, 1e-6, 0.001, 0.001),
    ];

    #[test]
    fn sums_and_integrals_agree() {
        for (shape, w, a, b) in CASES {
            let (sum, integral) =
                (orders(shape, w, a, b, 1, 0), orders_by_integral(shape, w, a, b, 1, 0));
            assert!((sum / integral - 1.0).abs() < 1e-10, "orders {shape} {w}: {sum} {integral}");
            let window = 0.1 * w;
            let sum = any_order(shape, w, window, a, b, 1, 0);
            let integral = any_order_by_integral(shape, w, window / (1.0 + w), a, b, 1);
            assert!((sum / integral - 1.0).abs() < 1e-10, "any {shape} {w}: {sum} {integral}");
        }
    }

    #[test]
    fn regular_orders_so_far_out_are_counted_well_enough() {
        for k in [2, 5, 12] {
            let (shape, w, a, b) = (2_000.0, 10.0, 0.7, 9.0); // ln P(M = 0) is −4,796.
            let sum = orders(shape, w, a, b, k, 1);
            let integral = orders_by_integral(shape, w, a, b, k, 1);
            assert!((sum / integral - 1.0).abs() < 1e-3, "k = {k}: {sum} {integral}");
        }
    }

    #[test]
    fn rare_stages_keep_their_digits() {
        // P(M ≥ 3) ≈ (R)₃/3! w³ for a short time.
        let exact = 0.5 * 1.5 * 2.5 / 6.0 * 1e-15;
        assert!((at_least(3, 0.5, 1e-5) / exact - 1.0).abs() < 1e-4);
        assert!((at_least(3, 0.5, 1e9) - 1.0).abs() < 1e-3);
    }
}
