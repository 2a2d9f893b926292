//! The standard normal distribution: tail, hazard and quantile. Pure.

use std::f64::consts::PI;

/// Beyond this the tail is nothing, and its logarithm no longer says more than its square.
const FAR: f64 = 30.0;

pub fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// P(Z > z): the rational form of Hart 1968, algorithm 5666, as given by West 2005; to 1e-15.
pub fn tail(z: f64) -> f64 {
    const P: [f64; 7] = [
        220.206867912376,
        221.213596169931,
        112.079291497871,
        33.912866078383,
        6.37396220353165,
        0.700383064443688,
        0.0352624965998911,
    ];
    const Q: [f64; 8] = [
        440.413735824752,
        793.826512519948,
        637.333633378831,
        296.564248779674,
        86.7807322029461,
        16.064177579207,
        1.75566716318264,
        0.0883883476483184,
    ];
    let x = z.abs().min(FAR);
    let upper = if x < 7.071 {
        let value = |of: &[f64]| of.iter().rev().fold(0.0, |sum, c| sum * x + c);
        (-0.5 * x * x).exp() * value(&P) / value(&Q)
    } else {
        let fraction = x + 1.0 / (x + 2.0 / (x + 3.0 / (x + 4.0 / (x + 0.65))));
        density(x) / fraction
    };
    if z > 0.0 { upper } else { 1.0 - upper }
}

/// Density over [`tail`]: how far above a bound the mean of what exceeds it lies.
pub fn hazard(z: f64, tail: f64) -> f64 {
    if z > FAR { z + 1.0 / z } else { density(z) / tail }
}

/// The z with P(Z > z) = `upper`, by bisection refined with Newton's steps; bounded by what [`tail`] tells apart.
pub fn quantile_of_tail(upper: f64) -> f64 {
    let (mut low, mut high) = (-FAR, FAR);
    let mut z = 0.0;
    for _ in 0..60 {
        let off = tail(z) - upper;
        if off > 0.0 {
            low = z
        } else {
            high = z
        }
        let newton = z + off / density(z);
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - z).abs() < 1e-12 {
            return next;
        }
        z = next;
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_of_the_table() {
        for (z, upper) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457),
            (-1.96, 0.975_002_104_851_780),
            (8.0, 6.220_960_574_271_78e-16),
        ] {
            assert!((tail(z) / upper - 1.0).abs() < 1e-6, "{z}: {}", tail(z));
        }
        let hazard_at = |z| hazard(z, tail(z));
        assert!((hazard_at(0.0) - (2.0 / PI).sqrt()).abs() < 1e-12);
        assert!(hazard_at(40.0) > 40.0 && hazard_at(29.0) > 29.0);
    }

    #[test]
    fn the_quantile_undoes_the_tail() {
        for z in [-5.0, -1.3, 0.0, 0.4, 2.0, 6.0] {
            assert!((quantile_of_tail(tail(z)) - z).abs() < 1e-6, "{z}");
        }
    }
}
