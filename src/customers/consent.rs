//! Marketing consent by e-mail: what was told, and what holds. Pure, and indifferent to order of arrival.

use serde::{Deserialize, Serialize};

use crate::primitives::Timestamp;
use crate::text_enum;

text_enum! {
    /// What holds now.
    #[derive(Default)]
    pub enum ConsentState {
        #[default]
        None = "none",
        Granted = "granted",
        Withdrawn = "withdrawn",
    }
}

/// A word about marketing consent by e-mail. A withdrawal without its time has the fact's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsentTold {
    pub granted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How: `trait`, `csv`, `one-click`, `link`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// The latest word each way, and so what holds.
///
/// A grant without its own time holds only where no withdrawal is stored; a withdrawal is lifted only by a
/// grant whose own time is later; at equal times the withdrawal wins (design: Consent).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Consent {
    withdrawn: Option<Word>,
    granted: Option<Word>,
    granted_untimed: Option<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Word {
    at: Timestamp,
    channel: Option<String>,
}

impl Consent {
    /// Takes a word in. `occurred_at` is the fact's time.
    pub fn take(&mut self, told: &ConsentTold, occurred_at: Timestamp) {
        let word = Word { at: told.at.unwrap_or(occurred_at), channel: told.channel.clone() };
        let latest = match (told.granted, told.at) {
            (false, _) => &mut self.withdrawn,
            (true, Some(_)) => &mut self.granted,
            (true, None) => &mut self.granted_untimed,
        };
        if latest.as_ref().is_none_or(|known| *known < word) {
            *latest = Some(word);
        }
    }

    pub fn state(&self) -> ConsentState {
        match (self.ruling(), self.ruling() == self.withdrawn.as_ref()) {
            (None, _) => ConsentState::None,
            (_, true) => ConsentState::Withdrawn,
            (_, false) => ConsentState::Granted,
        }
    }

    /// When what holds was said.
    pub fn since(&self) -> Option<Timestamp> {
        self.ruling().map(|word| word.at)
    }

    pub fn channel(&self) -> Option<&str> {
        self.ruling().and_then(|word| word.channel.as_deref())
    }

    fn ruling(&self) -> Option<&Word> {
        match (&self.withdrawn, &self.granted) {
            (Some(withdrawn), Some(granted)) if granted.at > withdrawn.at => Some(granted),
            (Some(withdrawn), _) => Some(withdrawn),
            (None, granted) => granted.as_ref().or(self.granted_untimed.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(granted: bool, at: Option<i64>) -> ConsentTold {
        ConsentTold { granted, at: at.map(Timestamp), channel: None }
    }

    fn after(words: &[(ConsentTold, i64)]) -> ConsentState {
        let mut consent = Consent::default();
        for (word, occurred_at) in words {
            consent.take(word, Timestamp(*occurred_at));
        }
        consent.state()
    }

    #[test]
    fn a_withdrawal_is_lifted_only_by_a_later_dated_grant() {
        assert_eq!(after(&[]), ConsentState::None);
        assert_eq!(after(&[(told(true, None), 5)]), ConsentState::Granted);
        assert_eq!(
            after(&[(told(false, Some(3)), 3), (told(true, None), 9)]),
            ConsentState::Withdrawn
        );
        assert_eq!(
            after(&[(told(false, Some(3)), 3), (told(true, Some(2)), 9)]),
            ConsentState::Withdrawn
        );
        assert_eq!(
            after(&[(told(false, Some(3)), 3), (told(true, Some(3)), 9)]),
            ConsentState::Withdrawn
        );
        assert_eq!(
            after(&[(told(false, None), 3), (told(true, Some(4)), 9)]),
            ConsentState::Granted
        );
    }

    proptest! {
        #[test]
        fn order_of_arrival_does_not_matter(
            mut words in prop::collection::vec((any::<bool>(), prop::option::of(0..6_i64), 0..6_i64), 0..6),
            seed in any::<u64>(),
        ) {
            let tell = |words: &[(bool, Option<i64>, i64)]| {
                after(&words.iter().map(|(g, at, o)| (told(*g, *at), *o)).collect::<Vec<_>>())
            };
            let straight = tell(&words);
            let turn = (seed as usize) % words.len().max(1);
            words.rotate_left(turn);
            words.reverse();
            prop_assert_eq!(tell(&words), straight);
        }
    }
}
