//! The little linear algebra that regressions with a dozen coefficients need. Pure.

/// Solves `bend` · step = `slope` by Cholesky; only the lower half of `bend` is read. It holds a ridge, and so is
/// positive definite.
pub fn solve<B, R, S>(mut bend: B, mut slope: S) -> S
where
    B: AsMut<[R]>,
    R: AsRef<[f64]> + AsMut<[f64]>,
    S: AsMut<[f64]>,
{
    let (rows, step) = (bend.as_mut(), slope.as_mut());
    let n = step.len();
    for i in 0..n {
        for j in 0..=i {
            let (a, b) = (rows[i].as_ref(), rows[j].as_ref());
            let left = a[j] - dot(&a[..j], &b[..j]);
            let root = if i == j { left.max(1e-12).sqrt() } else { left / b[j] };
            rows[i].as_mut()[j] = root;
        }
    }
    for i in 0..n {
        let row = rows[i].as_ref();
        step[i] = (step[i] - dot(&row[..i], &step[..i])) / row[i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| rows[k].as_ref()[i] * step[k]).sum();
        step[i] = (step[i] - known) / rows[i].as_ref()[i];
    }
    slope
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved_whatever_holds_it() {
        // 4x + 2y = 10, 2x + 3y = 11: x = 1, y = 3. The upper half is not read.
        let step = solve([[4.0, f64::NAN], [2.0, 3.0]], [10.0, 11.0]);
        assert!((step[0] - 1.0).abs() < 1e-12 && (step[1] - 3.0).abs() < 1e-12, "{step:?}");
        let same = solve(vec![vec![4.0, 0.0], vec![2.0, 3.0]], vec![10.0, 11.0]);
        assert_eq!(same, step.to_vec());
    }
}
