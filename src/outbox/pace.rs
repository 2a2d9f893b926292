//! How fast a run may claim: the store's rate, shared evenly by the processes that serve it.

use std::time::Duration;

use tokio::time::Instant;

use crate::stores::Rate;

/// The store's rate, kept from claim to claim: what is not used is not saved up.
pub struct Pace {
    pub rate: Rate,
    /// How many processes share the rate, this one among them.
    pub sharers: u32,
    /// When the next claim may be made.
    pub next: Instant,
}

impl Pace {
    /// At most a quarter of what a second sends: mail leaves evenly, and little is claimed at a time.
    pub fn limit(&self) -> usize {
        (self.rate.per_second / 4 / self.sharers).max(1) as usize
    }

    /// So many were claimed at `now`.
    pub fn took(&mut self, claims: usize, now: Instant) {
        let took = Duration::from_secs(1) * claims as u32 * self.sharers / self.rate.per_second;
        self.next = self.next.max(now) + took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharers_keep_one_rate_together() {
        let now = Instant::now();
        let after = |sharers, claims| {
            let mut pace = Pace { rate: Rate { per_second: 10 }, sharers, next: now };
            pace.took(claims, now);
            pace.next - now
        };
        assert_eq!(after(1, 20), Duration::from_secs(2));
        assert_eq!(after(4, 5), Duration::from_secs(2));
        let limit = |sharers| Pace { rate: Rate { per_second: 10 }, sharers, next: now }.limit();
        assert_eq!((limit(1), limit(2), limit(40)), (2, 1, 1), "nobody waits for ever");
    }
}
