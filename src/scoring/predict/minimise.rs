//! The lowest point of a smooth function of a few numbers: quasi-Newton steps (BFGS). Pure.

/// Steps at most: on the functions here about twenty lead to the ground.
const STEPS: usize = 80;

/// Walks down from `start`. `of` gives the value at a point and writes the gradient. What is not finite is uphill.
pub fn minimise(start: Vec<f64>, mut of: impl FnMut(&[f64], &mut [f64]) -> f64) -> Vec<f64> {
    let n = start.len();
    let mut at = start;
    let mut slope = vec![0.0; n];
    let mut value = of(&at, &mut slope);
    let mut inverse = identity(n, 1.0 / slope.iter().map(|g| g.abs()).fold(1.0, f64::max));
    let mut fresh = true;
    let (mut next, mut next_slope) = (at.clone(), slope.clone());
    for _ in 0..STEPS {
        let mut step: Vec<f64> = inverse
            .iter()
            .map(|row| -row.iter().zip(&slope).map(|(h, g)| h * g).sum::<f64>())
            .collect();
        let mut fall: f64 = step.iter().zip(&slope).map(|(s, g)| s * g).sum();
        if fall.is_nan() || fall >= 0.0 {
            step = slope.iter().map(|g| -g).collect();
            fall = -slope.iter().map(|g| g * g).sum::<f64>();
            inverse = identity(n, 1.0);
            fresh = true;
        }
        if -fall < 1e-12 * (1.0 + value.abs()) {
            break;
        }
        let mut length = 1.0;
        let lower = loop {
            for i in 0..n {
                next[i] = at[i] + length * step[i];
            }
            let lower = of(&next, &mut next_slope);
            if lower <= value + 1e-4 * length * fall {
                break Some(lower);
            }
            length *= 0.5;
            if length < 1e-8 {
                break None;
            }
        };
        let Some(lower) = lower else {
            if fresh {
                break;
            }
            inverse = identity(n, 1.0);
            fresh = true;
            continue;
        };
        let moved: Vec<f64> = next.iter().zip(&at).map(|(new, old)| new - old).collect();
        let turned: Vec<f64> = next_slope.iter().zip(&slope).map(|(new, old)| new - old).collect();
        learn(&mut inverse, &moved, &turned, fresh);
        fresh = false;
        std::mem::swap(&mut at, &mut next);
        std::mem::swap(&mut slope, &mut next_slope);
        value = lower;
    }
    at
}

fn identity(n: usize, scale: f64) -> Vec<Vec<f64>> {
    (0..n).map(|i| (0..n).map(|j| if i == j { scale } else { 0.0 }).collect()).collect()
}

/// Nocedal & Wright, Numerical Optimization, (6.17); the first step sets the scale by (6.20).
fn learn(inverse: &mut [Vec<f64>], moved: &[f64], turned: &[f64], first: bool) {
    let n = moved.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let curve = dot(moved, turned);
    if curve <= 1e-14 * dot(turned, turned).max(f64::MIN_POSITIVE) {
        return;
    }
    if first {
        let scale = curve / dot(turned, turned);
        for (i, row) in inverse.iter_mut().enumerate() {
            row.fill(0.0);
            row[i] = scale;
        }
    }
    let along: Vec<f64> = inverse.iter().map(|row| dot(row, turned)).collect();
    let factor = (1.0 + dot(turned, &along) / curve) / curve;
    for i in 0..n {
        for j in 0..n {
            inverse[i][j] +=
                factor * moved[i] * moved[j] - (along[i] * moved[j] + moved[i] * along[j]) / curve;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrocks_valley_is_walked_to_its_end() {
        let at = minimise(vec![-1.2, 1.0], |at, slope| {
            let (x, y) = (at[0], at[1]);
            slope[0] = -400.0 * x * (y - x * x) - 2.0 * (1.0 - x);
            slope[1] = 200.0 * (y - x * x);
            100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2)
        });
        assert!((at[0] - 1.0).abs() < 1e-4 && (at[1] - 1.0).abs() < 1e-4, "{at:?}");
    }

    #[test]
    fn nothing_to_move_is_no_harm() {
        assert_eq!(minimise(vec![], |_, _| 1.0), Vec::<f64>::new());
        assert_eq!(
            minimise(vec![3.0], |_, slope| {
                slope[0] = 0.0;
                1.0
            }),
            [3.0]
        );
    }
}
