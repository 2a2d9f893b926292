//! Customers who were there before the log began. Pure.
//!
//! An export of the last year, or a move from another system, begins in the middle of a shop's life. Who orders in its first
//! weeks was mostly a customer before, and not since when nobody knows. Their first order seen is no first order: they have
//! stayed for long already, so they leave less than newcomers do, and the sooner they were seen the more often they order.
//! So they are fitted as a population of their own, with its own rates and its own leaving; each order counts from the
//! first one seen, which for them too is right. Whether to part them so, and how many, the replayed past decides: a shop
//! that truly opened on the log's first day is told no better by it.

use serde::{Deserialize, Serialize};

use super::history::{Day, Known};

/// The first days of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub first_day: Day,
    /// Who was first seen by the end of this day is taken to have been there before.
    pub until: Day,
}

/// The lengths that the past is asked about, in days.
const LENGTHS: [Day; 2] = [30, 60];

/// So much denser than later must first orders come in the beginning before anything is suspected.
const CROWD: f64 = 1.25;

impl Opening {
    /// Beginnings in which first orders stand so close that many of them can hardly be first.
    pub fn suspected(known: &[Known], first_day: Day, as_of: Day) -> Vec<Self> {
        let span = as_of - first_day + 1;
        let within = |length: Day| {
            known.iter().filter(|known| known.first_day < first_day + length).count() as f64
        };
        let crowded = |length: Day| {
            let later = (known.len() as f64 - within(length)) / f64::from(span - length);
            within(length) / f64::from(length) > CROWD * later
        };
        let asked = LENGTHS.into_iter().filter(|length| 3 * length < span && crowded(*length));
        asked.map(|length| Self { first_day, until: first_day + length - 1 }).collect()
    }

    /// Whether the customer was first seen in it.
    pub fn holds(self, known: &Known) -> bool {
        known.first_day <= self.until
    }
}
