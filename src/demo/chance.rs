//! Chance that repeats itself: the same seed gives the same sample store on every machine.

/// SplitMix64 (Steele, Lea & Flood 2014). Not for secrets.
pub struct Chance(u64);

impl Chance {
    /// A stream of its own per `index`, so that one customer's life does not depend on another's.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut mixed = Self(seed);
        let start = mixed.next() ^ index.wrapping_mul(0xd134_2543_de82_ef95);
        Self(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// In [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction()
    }

    /// In low..=high.
    pub fn whole(&mut self, low: i64, high: i64) -> i64 {
        low + (self.fraction() * (high - low + 1) as f64) as i64
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[(self.fraction() * all.len() as f64) as usize]
    }

    /// One of them, each as likely as its weight says.
    pub fn weighted<'a, T>(&mut self, all: &'a [(f64, T)]) -> &'a T {
        let mut left = self.fraction() * all.iter().map(|(weight, _)| weight).sum::<f64>();
        for (weight, value) in all {
            left -= weight;
            if left < 0.0 {
                return value;
            }
        }
        &all[all.len() - 1].1
    }

    /// Gamma with this shape (at least 1) and mean. Marsaglia & Tsang (2000).
    pub fn gamma(&mut self, shape: f64, mean: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.fraction()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * mean / shape;
            }
        }
    }

    /// Log-normal with this median; `spread` is the logarithm's standard deviation.
    pub fn around(&mut self, median: f64, spread: f64) -> f64 {
        median * (spread * self.normal()).exp()
    }

    /// Standard normal. Box & Muller (1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.fraction()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.fraction()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_has_its_mean_and_spread() {
        let mut chance = Chance::new(1, 1);
        let drawn: Vec<f64> = (0..20_000).map(|_| chance.gamma(6.0, 30.0)).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        // Variance = mean² / shape = 150.
        assert!((mean - 30.0).abs() < 0.5 && (variance - 150.0).abs() < 8.0, "{mean} {variance}");
    }

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, index| Chance::new(seed, index).fraction();
        assert_eq!(draw(7, 3), draw(7, 3));
        assert!(draw(7, 3) != draw(7, 4) && draw(7, 3) != draw(8, 3));
    }
}
