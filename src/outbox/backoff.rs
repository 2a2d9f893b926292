//! When a message is tried again after a temporary failure. Pure.

use crate::primitives::{Delay, MessageId, Timestamp};

/// After the first, second, … failed attempt; the last one repeats.
const DELAYS: [Delay; 6] = [
    Delay::seconds(5 * 60),
    Delay::seconds(15 * 60),
    Delay::hours(1),
    Delay::hours(3),
    Delay::hours(6),
    Delay::hours(12),
];

/// No attempt is made later than this after the first one, by the plan of delays.
const PATIENCE: Delay = Delay::hours(48);

/// When attempt number `attempts` (from 1) failed at `now`: the time of the next; `None` to give up.
///
/// A tenth of the delay is spread by the message's id: mails that failed together do not all return together, and
/// asking twice gives the same answer.
pub fn next_attempt(
    message: MessageId,
    attempts: i32,
    now: Timestamp,
    useful_until: Timestamp,
) -> Option<Timestamp> {
    let nth = |n: i32| DELAYS[(n.max(1) as usize - 1).min(DELAYS.len() - 1)];
    let spent: i64 = (1..=attempts.clamp(1, 1_000)).map(|n| nth(n).micros()).sum();
    if spent > PATIENCE.micros() {
        return None;
    }
    let delay = nth(attempts).micros();
    let spread = (message.0 as u64 ^ attempts as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let jitter = (i128::from(delay / 10) * i128::from(spread)) >> 32;
    let next = Timestamp(now.0 + delay + jitter as i64);
    (next <= useful_until).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_780_000_000_000_000);

    #[test]
    fn delays_grow_and_end_within_two_days() {
        let after = |attempts| next_attempt(MessageId(7), attempts, NOW, Timestamp::MAX);
        let hours: Vec<f64> =
            (1..=8).map(|n| (after(n).unwrap().0 - NOW.0) as f64 / 3_600e6).collect();
        for (hours, planned) in
            hours.iter().zip([1.0 / 12.0, 0.25, 1.0, 3.0, 6.0, 12.0, 12.0, 12.0])
        {
            assert!((planned..=planned * 1.1).contains(hours), "{hours} {planned}");
        }
        assert_eq!(after(9), None, "the tenth attempt would be 58 hours after the first");
    }

    #[test]
    fn nothing_is_tried_after_it_stops_being_of_use() {
        let until = NOW.plus(Delay::seconds(299));
        assert_eq!(next_attempt(MessageId(7), 1, NOW, until), None);
    }

    #[test]
    fn messages_that_fail_together_return_apart_and_each_predictably() {
        let after = |id| next_attempt(MessageId(id), 1, NOW, Timestamp::MAX).unwrap();
        let times: std::collections::BTreeSet<_> = (0..100).map(after).collect();
        assert!(times.len() > 90);
        assert_eq!(after(3), after(3));
    }
}
