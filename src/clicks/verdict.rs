//! Whose a click or an open was, by all that is known of its message. Pure: a later event can change what was thought
//! of an earlier one, so all of a message's are judged together, and their order of arrival is nothing.

use std::collections::BTreeSet;

use super::{Agent, EventKind};
use crate::primitives::{Delay, Timestamp};
use crate::text_enum;

text_enum! {
    pub enum Verdict {
        Human = "human",
        Machine = "machine",
    }
}

text_enum! {
    /// Why it was no person.
    pub enum Machine {
        /// It named no program at all.
        NoUserAgent = "no_user_agent",
        /// Its program says that it is a crawler, a script or a scanner.
        KnownScanner = "known_scanner",
        /// Apple's or Gmail's: pictures are loaded whether or not somebody reads.
        MailProxy = "mail_proxy",
        /// A browser made ready for what might be wanted.
        Prefetch = "prefetch",
        /// Within seconds of the delivery.
        AtDelivery = "at_delivery",
        /// All of the mail's links within seconds.
        AllLinks = "all_links",
    }
}

/// One event of a message, as far as it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub kind: EventKind,
    pub at: Timestamp,
    pub agent: Agent,
    /// Which target, of how many.
    pub link: i32,
    pub links: i32,
}

/// Nobody has read a mail so soon after the server took it.
const DELIVERY: Delay = Delay::seconds(10);
/// Nobody follows all of a mail's links within this, where there are two or more.
const AT_ONCE: Delay = Delay::seconds(5);
/// An event longer than this before its mail left tells that mail's time was set by hand (`homing tick --at`), and
/// nothing of who it was.
const CLOCKS_DIFFER: Delay = Delay::seconds(60);

/// The verdict on each of a message's events, in their order: `None` for a person's. `left_at`: when it was handed
/// over, or may have been.
pub fn judge(left_at: Option<Timestamp>, seen: &[Seen]) -> Vec<Option<Machine>> {
    let at_once = all_at_once(seen);
    seen.iter()
        .enumerate()
        .map(|(n, event)| match event.agent {
            Agent::Unnamed => Some(Machine::NoUserAgent),
            Agent::Robot => Some(Machine::KnownScanner),
            Agent::MailProxy => Some(Machine::MailProxy),
            Agent::Prefetch => Some(Machine::Prefetch),
            Agent::Browser if at_once.contains(&n) => Some(Machine::AllLinks),
            Agent::Browser if left_at.is_some_and(|left| is_at_delivery(left, event.at)) => {
                Some(Machine::AtDelivery)
            }
            Agent::Browser => None,
        })
        .collect()
}

fn is_at_delivery(left: Timestamp, at: Timestamp) -> bool {
    left.minus(CLOCKS_DIFFER) <= at && at < left.plus(DELIVERY)
}

/// Places of the clicks that lie in some short time in which every link was clicked.
fn all_at_once(seen: &[Seen]) -> BTreeSet<usize> {
    let mut clicks: Vec<usize> = (0..seen.len())
        .filter(|n| seen[*n].kind == EventKind::Click && seen[*n].links > 1)
        .collect();
    clicks.sort_by_key(|n| seen[*n].at);
    let mut found = BTreeSet::new();
    for (n, first) in clicks.iter().enumerate() {
        let until = seen[*first].at.plus(AT_ONCE);
        let within: Vec<usize> =
            clicks[n..].iter().copied().take_while(|other| seen[*other].at <= until).collect();
        let links: BTreeSet<i32> = within.iter().map(|other| seen[*other].link).collect();
        if links.len() as i32 >= seen[*first].links {
            found.extend(within);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn click(seconds: i64, link: i32, links: i32) -> Seen {
        let at = Timestamp(seconds * SECOND);
        Seen { kind: EventKind::Click, at, agent: Agent::Browser, link, links }
    }

    fn left() -> Option<Timestamp> {
        Some(Timestamp(1_000 * SECOND))
    }

    #[test]
    fn a_click_of_a_browser_some_time_after_the_mail_is_a_persons() {
        assert_eq!(judge(left(), &[click(1_010, 0, 3)]), [None]);
        assert_eq!(judge(left(), &[click(1_009, 0, 3)]), [Some(Machine::AtDelivery)]);
        assert_eq!(judge(left(), &[click(999, 0, 3)]), [Some(Machine::AtDelivery)]);
        assert_eq!(judge(None, &[click(999, 0, 3)]), [None]);
        assert_eq!(judge(left(), &[click(10, 0, 3)]), [None], "the mail's time was set by hand");
    }

    #[test]
    fn all_links_at_once_are_a_scanner_also_those_that_seemed_a_persons() {
        let two = [click(2_000, 0, 3), click(2_002, 2, 3)];
        assert_eq!(judge(left(), &two), [None, None]);
        let three = [two[0], two[1], click(2_005, 1, 3)];
        assert_eq!(judge(left(), &three), [Some(Machine::AllLinks); 3]);
        let late = [two[0], two[1], click(2_006, 1, 3), click(9_000, 1, 3)];
        assert_eq!(judge(left(), &late), [None; 4]);
        let again = [three[0], three[1], three[2], click(9_000, 1, 3)];
        assert_eq!(judge(left(), &again)[3], None, "the reader came after the scanner");
        assert_eq!(judge(left(), &[click(2_000, 0, 1)]), [None], "one link is all there is");
    }

    #[test]
    fn what_says_that_it_is_no_browser_is_believed() {
        for (agent, why) in [
            (Agent::Unnamed, Machine::NoUserAgent),
            (Agent::Robot, Machine::KnownScanner),
            (Agent::MailProxy, Machine::MailProxy),
            (Agent::Prefetch, Machine::Prefetch),
        ] {
            for kind in [EventKind::Click, EventKind::Open] {
                let event = Seen { agent, kind, ..click(9_000, 0, 3) };
                assert_eq!(judge(left(), &[event]), [Some(why)]);
            }
        }
    }

    proptest! {
        #[test]
        fn order_of_arrival_is_nothing(
            events in prop::collection::vec((990..1_030_i64, 0..3_i32), 0..12), seed in 0..1_000_usize
        ) {
            let mut seen: Vec<Seen> = events.iter().map(|(at, link)| click(*at, *link, 3)).collect();
            let mut before: Vec<_> = seen.iter().copied().zip(judge(left(), &seen)).map(|p| format!("{p:?}")).collect();
            if !seen.is_empty() {
                let turn = seed % seen.len();
                seen.rotate_left(turn);
                seen.reverse();
            }
            let mut after: Vec<_> = seen.iter().copied().zip(judge(left(), &seen)).map(|p| format!("{p:?}")).collect();
            before.sort();
            after.sort();
            prop_assert_eq!(before, after);
        }
    }
}
