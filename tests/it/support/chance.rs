//! Chance from a seed: a run that went wrong can be had again.

use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64 (Steele, Lea & Flood 2014). Shared by threads: each draw is a step of one sequence.
#[derive(Debug)]
pub struct Chance(AtomicU64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&self, bound: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// True `n` times in 100.
    pub fn percent(&self, n: u64) -> bool {
        self.below(100) < n
    }

    /// Sleeps from `least` to `most` milliseconds.
    pub fn pause(&self, least: u64, most: u64) {
        let pause = least + self.below(most - least + 1);
        std::thread::sleep(std::time::Duration::from_millis(pause));
    }
}
