//! Integrals of positive, log-concave functions whose logarithm is known.
//!
//! Every integral that the models need is of this kind once it is taken over the logarithm (of time) or the
//! logit (of a probability): analytic in a strip about the real line, with one peak. So panels of sixteen
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
    /// Over this length the integrand falls by a factor of e²⁰ at most.
    fn panel(self) -> f64 {
        let by_slope = 8.0 / self.slope.abs();
        let by_curvature = 4.0 / self.curvature.sqrt();
        self.reach.min(by_slope).min(by_curvature)
    }
}

/// Lays panels from `from` to `to` (either way), and calls `visit(point, weight)` for each of their points; weights are
/// positive. `course` tells how the integrand runs at a panel's end, `visit` returns its value there times the
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
        for (x, weight) in GAUSS_16 {
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
