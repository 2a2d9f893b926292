//! Functions of the gamma family, as differences.
//!
//! The models need ln Γ(a + n) − ln Γ(a), ln B(a, b) and their derivatives where a is 10⁶ and n is 1, or 5,000.
//! Taken from any ln Γ, however exact, the difference of two values of 10⁷ has lost eight digits; here it is
//! formed term by term. Stirling's series and the recurrences are those of Abramowitz & Stegun 6.1.40, 6.1.15,
//! 6.3.18 and 6.3.5; the form of ln B is that of Didonato & Morris 1992, TOMS 18(3), algorithm 708.

use std::f64::consts::PI;

/// From here on Stirling's series, as far as it is taken, is exact to the last digit.
const LARGE: f64 = 10.0;

/// What ln Γ(x) is above (x − ½) ln x − x + ½ ln 2π, for x ≥ 10.
fn stirling_rest(x: f64) -> f64 {
    let y = 1.0 / (x * x);
    let inner = 1.0 / 1188.0 - y * (691.0 / 360_360.0 - y / 156.0);
    let series = 1.0 / 360.0 - y * (1.0 / 1260.0 - y * (1.0 / 1680.0 - y * inner));
    (1.0 / 12.0 - y * series) / x
}

/// What ψ(x) is below ln x, for x ≥ 10.
fn digamma_rest(x: f64) -> f64 {
    let y = 1.0 / (x * x);
    let inner = 1.0 / 240.0 - y * (1.0 / 132.0 - y * (691.0 / 32_760.0 - y / 12.0));
    0.5 / x + y * (1.0 / 12.0 - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y * inner)))
}

/// How many steps of the recurrence bring `x` to where Stirling's series holds.
fn steps_to_large(x: f64) -> u32 {
    if x < LARGE { (LARGE - x).ceil() as u32 } else { 0 }
}

/// ln Γ(x) for x > 0.
pub fn ln_gamma(x: f64) -> f64 {
    let mut product = 1.0;
    let mut large = x;
    for _ in 0..steps_to_large(x) {
        product *= large;
        large += 1.0;
    }
    (large - 0.5) * large.ln() - large + 0.5 * (2.0 * PI).ln() + stirling_rest(large) - product.ln()
}

/// ψ(x), the derivative of ln Γ, for x > 0.
pub fn digamma(x: f64) -> f64 {
    let mut sum = 0.0;
    let mut large = x;
    for _ in 0..steps_to_large(x) {
        sum += 1.0 / large;
        large += 1.0;
    }
    large.ln() - digamma_rest(large) - sum
}

/// ln Γ(a + n) − ln Γ(a), the logarithm of the rising factorial, for a > 0 and n ≥ 0.
pub fn ln_rising(a: f64, n: f64) -> f64 {
    if n == 0.0 {
        return 0.0;
    }
    let mut ratio = 1.0;
    let mut large = a;
    for _ in 0..steps_to_large(a) {
        ratio *= large / (large + n);
        large += 1.0;
    }
    let sum = large + n;
    (large - 0.5) * (n / large).ln_1p() + n * (sum.ln() - 1.0) + stirling_rest(sum)
        - stirling_rest(large)
        + ratio.ln()
}

/// ψ(a + n) − ψ(a) for a > 0 and n ≥ 0.
pub fn digamma_rise(a: f64, n: f64) -> f64 {
    if n == 0.0 {
        return 0.0;
    }
    let mut steps = 0.0;
    let mut large = a;
    for _ in 0..steps_to_large(a) {
        steps += n / (large * (large + n));
        large += 1.0;
    }
    (n / large).ln_1p() + digamma_rest(large) - digamma_rest(large + n) + steps
}

/// ln B(a, b) for a, b > 0.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, big) = if a < b { (a, b) } else { (b, a) };
    if small < LARGE {
        return ln_gamma(small) - ln_rising(big, small);
    }
    let sum = a + b;
    let spread = 0.5 * (2.0 * PI * sum / (a * b)).ln() + stirling_rest(a) + stirling_rest(b)
        - stirling_rest(sum);
    spread - a * (b / a).ln_1p() - b * (a / b).ln_1p()
}

/// ln(1 + eˣ), without overflow.
pub fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

/// 1 / (1 + eˣ): a probability from the log odds against it.
pub fn against(log_odds: f64) -> f64 {
    1.0 / (1.0 + log_odds.exp())
}

/// (1 − e⁻ʸ) / y, which is 1 at 0.
pub fn decay_mean(y: f64) -> f64 {
    if y == 0.0 { 1.0 } else { -(-y).exp_m1() / y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_come_out() {
        assert!((ln_gamma(0.5) - 0.5 * PI.ln()).abs() < 1e-14);
        assert!(ln_gamma(1.0).abs() < 1e-14 && ln_gamma(2.0).abs() < 1e-14);
        assert!((ln_gamma(171.0) / 706.573_062_245_787_4 - 1.0).abs() < 1e-15);
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-15);
        assert!((digamma(0.001) / -1_000.575_571_931_810_3 - 1.0).abs() < 1e-15);
        assert!((ln_beta(2.0, 3.0) - (1.0_f64 / 12.0).ln()).abs() < 1e-14);
    }

    #[test]
    fn differences_of_large_values_keep_their_digits() {
        for a in [1e-3, 0.7, 9.99, 10.0, 1e6, 1e9] {
            let product: f64 = (0..7).map(|i| (a + f64::from(i)).ln()).sum();
            assert!((ln_rising(a, 7.0) / product - 1.0).abs() < 1e-14, "{a}");
            let sum: f64 = (0..7).map(|i| 1.0 / (a + f64::from(i))).sum();
            assert!((digamma_rise(a, 7.0) / sum - 1.0).abs() < 1e-9, "{a}");
        }
        // B(a, 1) = 1/a and B(a, 2) = 1/(a (a+1)).
        for a in [1e-3, 3.0, 1e6] {
            assert!((ln_beta(a, 1.0) + a.ln()).abs() < 1e-13, "{a}");
            assert!((ln_beta(a, 2.0) + a.ln() + (a + 1.0).ln()).abs() < 1e-13, "{a}");
        }
        // The central binomial coefficient, by its own series.
        let n = 1e6_f64;
        let central = -2.0 * n * 2.0_f64.ln() + 0.5 * (4.0 * PI / n).ln();
        assert!((ln_beta(n, n) - central - 1.0 / (8.0 * n)).abs() < 1e-9);
    }

    #[test]
    fn log_odds_do_not_overflow() {
        assert_eq!((against(1e9), against(-1e9)), (0.0, 1.0));
        assert_eq!((softplus(1e9), softplus(-1e9)), (1e9, 0.0));
        assert_eq!((decay_mean(0.0), decay_mean(1e-20)), (1.0, 1.0));
    }
}
