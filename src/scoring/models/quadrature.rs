//! Integrals of positive, log-concave functions whose logarithm is known.
//!
//! Every integral that the models need is of this kind once it is taken over the logarithm (of time) or the
//! logit (of a probability): analytic in a strip about the real line, with one peak. So panels of eight or sixteen
//! Gauss–Legendre points are laid outward from the peak, each as long as the function stays tame, until what
//! is left cannot matter. Nothing is subtracted: the result is good to about 1e-12, however small it is.

/// Points and weights on [-1, 1] (Abramowitz & Stegun, table 25.4), the positive half.
const GAUSS_16: [(f64, f64); 8] = [
    (0.095_012_509_837_637_44, 0.189_450_610_455_068_5),
    (0.281_603_550_779_258_9, 0.182_603_415_044_923_6),
    (0.458_016_777_657_227_4, 0.169_156_519_395_002_5),
    (0.617_876_244_402_643_7, 0.149_595_988_816_576_73),
    (0.755_404_408_355_003, 0.124_628_971_255_533_87),
    (0.865_631_202_387_831_7, 0.095_158_511_682_492_78),
    (0.944_575_023_073_232_6, 0.062_253_523_938_647_89),
    (0.989_400_934_991_649_9, 0.027_152_459_411_754_095),
];

/// The same for half as many points: enough where a function is tame.
const GAUSS_8: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
    (0.960_289_856_497_536_2, 0.101_228_536_290_376_26),
];

/// What shares of a peak's height and mass are too small to matter.
const NEGLIGIBLE: f64 = 1e-17;

/// How the logarithm of an integrand runs at a point: tells the length of the next panel.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    pub log: f64,
    pub slope: f64,
    /// The second derivative's size.
    pub curvature: f64,
    /// No panel from here may be longer: a fraction of the distance to the nearest singularity.
    pub reach: f64,
}

impl Course {
    /// A length over which the integrand falls by a factor of e²⁰ at most.
    fn panel(self) -> f64 {
        let by_slope = 8.0 / self.slope.abs();
        let by_curvature = 4.0 / self.curvature.sqrt();
        self.reach.min(by_slope).min(by_curvature)
    }

    fn is_tame_over(self, length: f64) -> bool {
        length * self.slope.abs() <= 4.0
            && length * length * self.curvature <= 4.0
            && length <= 0.5 * self.reach
    }
}

/// Lays panels from `from` to `to` (either way), and calls `visit(point, weight)` for each of their points; weights
/// are positive. `course` tells how the integrand runs at a panel's end, `visit` returns its value there times the
/// weight. Ends early when the rest of a log-concave function cannot matter. Returns the integral.
pub fn outward(
    from: f64,
    to: f64,
    course: impl Fn(f64) -> Course,
    mut visit: impl FnMut(f64, f64) -> f64,
) -> f64 {
    let direction = (to - from).signum();
    let mut at = from;
    let mut sum = 0.0;
    while at != to {
        let here = course(at);
        let falls = here.slope * direction < 0.0;
        if falls && here.log.exp() < NEGLIGIBLE * sum * here.slope.abs() {
            break;
        }
        let length = here.panel().min((to - at).abs());
        let end = if length < (to - at).abs() { at + direction * length } else { to };
        let (middle, half) = (0.5 * (at + end), 0.5 * length);
        let rule: &[(f64, f64)] = if here.is_tame_over(length) { &GAUSS_8 } else { &GAUSS_16 };
        for (x, weight) in rule {
            let weight = weight * half;
            sum += visit(middle - half * x, weight) + visit(middle + half * x, weight);
        }
        if end == at {
            break;
        }
        at = end;
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// ∫ exp(−(u/width)²/2) du from −reach to reach, in two walks from the peak.
    fn bell(width: f64, reach: f64) -> f64 {
        let log = |u: f64| -0.5 * (u / width) * (u / width);
        let course = |u: f64| Course {
            log: log(u),
            slope: -u / (width * width),
            curvature: 1.0 / (width * width),
            reach: f64::INFINITY,
        };
        let visit = |u: f64, weight: f64| weight * log(u).exp();
        outward(0.0, reach, course, visit) + outward(0.0, -reach, course, visit)
    }

    #[test]
    fn bells_of_any_width_have_their_area() {
        for width in [1e-6, 1.0, 1e6] {
            let exact = width * (2.0 * PI).sqrt();
            assert!((bell(width, 1e3 * width) / exact - 1.0).abs() < 1e-13, "{width}");
        }
    }

    #[test]
    fn a_walk_ends_where_it_is_told() {
        let half = 0.682_689_492_137_085_9 * (2.0 * PI).sqrt();
        assert!((bell(1.0, 1.0) / half - 1.0).abs() < 1e-13);
        assert_eq!(bell(1.0, 0.0), 0.0);
    }
}
