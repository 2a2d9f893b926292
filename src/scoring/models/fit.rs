//! Climbing a likelihood: quasi-Newton steps (BFGS) in the logarithms of the parameters, within bounds.
//!
//! The bounds are where a model has become another one (a or s → 0: nobody drops out; r → ∞: everybody orders
//! at one rate) to more digits than any shop can tell: a fit that runs to such a border ends on it.

use super::counts::Histories;

/// Why a model cannot be fitted to a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    #[error("a model needs at least two customers")]
    TooFewCustomers,
    #[error("nobody has ordered a second time yet")]
    NoRepeatOrders,
    #[error("no time has passed since the first orders")]
    NoTime,
    #[error("regularity needs the gaps between orders, and they were not given")]
    NoGaps,
    #[error("a model of spend needs at least two customers with orders of positive amounts")]
    TooFewAmounts,
}

/// Whether there is anything to learn from: everything else can be fitted.
pub(super) fn check(histories: &Histories) -> Result<(), FitError> {
    if histories.customers() < 2.0 {
        return Err(FitError::TooFewCustomers);
    }
    if histories.repeat_orders() <= 0.0 {
        return Err(FitError::NoRepeatOrders);
    }
    if histories.observed() <= 0.0 {
        return Err(FitError::NoTime);
    }
    Ok(())
}

/// Lowest and highest logarithm of each parameter. Those that are times are measured by the shop's mean gap, 1 /
/// `rate`.
pub(super) fn bounds<const N: usize>(rate: f64, is_time: [bool; N]) -> [(f64, f64); N] {
    is_time.map(|is_time| {
        let center = if is_time { -rate.ln() } else { 0.0 };
        (center - 14.0, center + 14.0)
    })
}

/// The top of a likelihood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak<const N: usize> {
    pub at: [f64; N],
    pub value: f64,
    inverse_hessian: [[f64; N]; N],
}

/// A likelihood and its gradient at a point.
type Value<const N: usize> = (f64, [f64; N]);

/// Above so many terms a fit begins on a part of them.
const COARSE: usize = 20_000;

/// What a likelihood is taken over.
pub(super) trait Sample: Sized {
    /// How many terms the likelihood has.
    fn kinds(&self) -> usize;

    /// Every `step`th term, weighted up.
    fn thinned(&self, step: usize) -> Self;
}

/// Climbs a likelihood: over a large sample first over a part, which costs little and ends so near the top that few
/// steps over all are left.
pub(super) fn from<S: Sample, const N: usize>(
    sample: &S,
    start: [f64; N],
    bounds: [(f64, f64); N],
    of: impl Fn(&[f64; N], &S) -> Value<N>,
) -> Peak<N> {
    from_best(sample, [start], bounds, of)
}

/// The same from the highest of some starts.
pub(super) fn from_best<S: Sample, const N: usize, const STARTS: usize>(
    sample: &S,
    starts: [[f64; N]; STARTS],
    bounds: [(f64, f64); N],
    of: impl Fn(&[f64; N], &S) -> Value<N>,
) -> Peak<N> {
    let kinds = sample.kinds();
    let part = (kinds > COARSE).then(|| sample.thinned(kinds.div_ceil(COARSE)));
    let ground = part.as_ref().unwrap_or(sample);
    let mut best = (starts[0], f64::NEG_INFINITY);
    for start in starts.into_iter().filter(|_| STARTS > 1) {
        let (value, _) = of(&start, ground);
        if value > best.1 {
            best = (start, value);
        }
    }
    let peak = climb(best.0, bounds, None, |at| of(at, ground));
    if part.is_none() {
        return peak;
    }
    climb(peak.at, bounds, Some(peak.inverse_hessian), |at| of(at, sample))
}

/// The parameters with dropout, if they explain the shop any better than those without; else these, which are
/// the same border wherever the climb happened to end on it.
pub(super) fn with_or_without<const N: usize>(
    with: Peak<N>,
    without: ([f64; N], f64),
) -> ([f64; N], f64) {
    if with.value > without.1 + 1e-3 { (with.at, with.value) } else { without }
}

/// The gain in log-likelihood below which a step is not worth taking.
const TOLERANCE: f64 = 1e-7;

/// No step changes a parameter by more than a factor of e².
const LONGEST: f64 = 2.0;

/// Finds the top of `of` from `start`: Nocedal & Wright 2006, algorithm 6.1, with parameters on a bound held there
/// while the gradient points outward.
pub(super) fn climb<const N: usize>(
    start: [f64; N],
    bounds: [(f64, f64); N],
    inverse_hessian: Option<[[f64; N]; N]>,
    mut of: impl FnMut(&[f64; N]) -> Value<N>,
) -> Peak<N> {
    let clamp = |at: [f64; N]| std::array::from_fn(|i| at[i].clamp(bounds[i].0, bounds[i].1));
    let mut at: [f64; N] = clamp(start);
    let (mut value, mut gradient) = of(&at);
    let mut inverse = inverse_hessian.unwrap_or_else(|| steepest(&gradient));
    let mut is_fresh = inverse_hessian.is_none();
    let mut quiet = 0;
    for _ in 0..200 {
        let held: [bool; N] = std::array::from_fn(|i| {
            (at[i] <= bounds[i].0 && gradient[i] < 0.0)
                || (at[i] >= bounds[i].1 && gradient[i] > 0.0)
        });
        let free: [f64; N] = std::array::from_fn(|i| if held[i] { 0.0 } else { gradient[i] });
        let mut step = product(&inverse, &free);
        (0..N).filter(|i| held[*i]).for_each(|i| step[i] = 0.0);
        let mut slope = dot(&step, &free);
        if slope <= 0.0 || !slope.is_finite() {
            inverse = steepest(&free);
            is_fresh = true;
            step = product(&inverse, &free);
            slope = dot(&step, &free);
        }
        let longest = step.iter().fold(0.0_f64, |longest, s| longest.max(s.abs()));
        if longest == 0.0 || (slope < 2.0 * TOLERANCE && !is_fresh) {
            break;
        }
        let shrink = (LONGEST / longest).min(1.0);
        let Some((next, (next_value, next_gradient))) =
            along(&at, value, slope, step, shrink, clamp, &mut of)
        else {
            if is_fresh {
                break;
            }
            inverse = steepest(&free);
            is_fresh = true;
            continue;
        };
        let moved: [f64; N] = std::array::from_fn(|i| next[i] - at[i]);
        let bend: [f64; N] = std::array::from_fn(|i| gradient[i] - next_gradient[i]);
        update(&mut inverse, &moved, &bend, is_fresh);
        is_fresh = false;
        quiet = if next_value - value < TOLERANCE { quiet + 1 } else { 0 };
        (at, value, gradient) = (next, next_value, next_gradient);
        if quiet == 2 {
            break;
        }
    }
    Peak { at, value, inverse_hessian: inverse }
}

/// A point further up along `step`: as far as the slope promises (Armijo), and not before it has fallen (Wolfe).
fn along<const N: usize>(
    at: &[f64; N],
    value: f64,
    slope: f64,
    step: [f64; N],
    mut length: f64,
    clamp: impl Fn([f64; N]) -> [f64; N],
    of: &mut impl FnMut(&[f64; N]) -> Value<N>,
) -> Option<([f64; N], Value<N>)> {
    let mut best: Option<([f64; N], Value<N>)> = None;
    let longest = LONGEST / step.iter().fold(0.0_f64, |longest, s| longest.max(s.abs()));
    for _ in 0..30 {
        let next = clamp(std::array::from_fn(|i| at[i] + length * step[i]));
        let found = of(&next);
        let enough = found.0.is_finite() && found.0 >= value + 1e-4 * length * slope;
        if let Some(before) = best {
            return Some(if enough && found.0 > before.1.0 { (next, found) } else { before });
        }
        if enough {
            let still = dot(&found.1, &step);
            if still > 0.9 * slope && length < longest {
                best = Some((next, found));
                length = (4.0 * length).min(longest);
                continue;
            }
            return Some((next, found));
        }
        // The parabola through what is known, but not too far back.
        let bend = value + length * slope - found.0;
        let guess = if bend.is_finite() { 0.5 * length * length * slope / bend } else { 0.0 };
        length = guess.clamp(0.1 * length, 0.5 * length);
        if length * slope < 1e-14 * value.abs() {
            break;
        }
    }
    None
}

/// Uphill by half a unit of the parameter that matters most.
fn steepest<const N: usize>(gradient: &[f64; N]) -> [[f64; N]; N] {
    let largest = gradient.iter().fold(0.0_f64, |largest, g| largest.max(g.abs()));
    let scale = if largest > 0.0 { 0.5 / largest } else { 0.0 };
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { scale } else { 0.0 }))
}

/// The BFGS update of the inverse Hessian: Nocedal & Wright 2006, eq. (6.17), and (6.20) before the first.
fn update<const N: usize>(
    inverse: &mut [[f64; N]; N],
    moved: &[f64; N],
    bend: &[f64; N],
    is_fresh: bool,
) {
    let along = dot(moved, bend);
    if along <= 1e-10 * dot(bend, bend).sqrt() * dot(moved, moved).sqrt() {
        return;
    }
    if is_fresh {
        let scale = along / dot(bend, bend);
        *inverse =
            std::array::from_fn(|i| std::array::from_fn(|j| if i == j { scale } else { 0.0 }));
    }
    let turned = product(inverse, bend);
    let factor = 1.0 + dot(bend, &turned) / along;
    for i in 0..N {
        for j in 0..N {
            inverse[i][j] +=
                (factor * moved[i] * moved[j] - turned[i] * moved[j] - moved[i] * turned[j])
                    / along;
        }
    }
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    (0..N).map(|i| a[i] * b[i]).sum()
}

fn product<const N: usize>(matrix: &[[f64; N]; N], vector: &[f64; N]) -> [f64; N] {
    std::array::from_fn(|i| dot(&matrix[i], vector))
}
