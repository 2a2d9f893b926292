//! What a replay of one customer must know of all the others: when orders came in, and when the day's budget was spent.
//! Pure.
//!
//! Each customer lives alone, so the budget is found by living through it several times: the first time without it; then
//! each day closes after as many messages as it allows, in the order of their times, and what is put off crowds the days
//! that follow, until no day has too many.

use std::collections::BTreeMap;

use crate::outbox::door::House;
use crate::primitives::{CustomerId, Timestamp, Zone};
use crate::scoring::predict::history::scatter;

/// The place of a message among those of its day: its time, and of those at one time, a scattered id.
pub type Place = (Timestamp, u64);

pub fn place(at: Timestamp, customer: CustomerId) -> Place {
    (at, scatter(customer.0 as u64))
}

/// From which place on a day's budget is spent, by days counted from 1970.
pub type Closings = BTreeMap<i32, Place>;

/// The store around one customer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'h> {
    /// When each of its orders was placed, oldest first; asked for where the feed may grow stale.
    pub orders: Option<&'h [Timestamp]>,
    pub closings: Option<&'h Closings>,
}

impl Surroundings<'_> {
    /// As the door sees it at `now`, for a message to `customer`.
    pub fn at(&self, now: Timestamp, customer: CustomerId, zone: &Zone) -> House {
        let newest_order = match self.orders {
            Some(orders) => orders[..orders.partition_point(|at| *at <= now)].last().copied(),
            None => Some(now),
        };
        let closed = |closings: &Closings| {
            closings.get(&now.day_number(zone)).is_some_and(|from| place(now, customer) >= *from)
        };
        let is_spent = self.closings.is_some_and(closed);
        House { sent_today: if is_spent { u32::MAX } else { 0 }, newest_order }
    }
}

/// Closes the days on which more than `budget` left, each earlier than before; returns how many were too full.
pub fn close(closings: &mut Closings, left: &[Place], budget: u32, zone: &Zone) -> usize {
    let mut days: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for place in left {
        days.entry(place.0.day_number(zone)).or_default().push(*place);
    }
    let mut full = 0;
    for (day, mut places) in days {
        let budget = budget as usize;
        if places.len() > budget {
            full += 1;
            let (_, first_too_many, _) = places.select_nth_unstable(budget);
            closings.insert(day, *first_too_many);
        }
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::Delay;

    #[test]
    fn a_day_closes_after_its_budget_and_the_next_is_open() {
        let noon: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let zone = Zone::utc();
        let people: Vec<CustomerId> = (1..=9).map(CustomerId).collect();
        // All at one instant, as after a night.
        let left: Vec<Place> = people.iter().map(|id| place(noon, *id)).collect();
        let mut closings = Closings::new();
        assert_eq!(close(&mut closings, &left, 4, &zone), 1);
        let around = Surroundings { orders: None, closings: Some(&closings) };
        let pass = |at: Timestamp| {
            people.iter().filter(|id| around.at(at, **id, &zone).sent_today < 4).count()
        };
        assert_eq!(pass(noon), 4);
        assert_eq!(pass(noon.plus(Delay::seconds(1))), 0);
        assert_eq!(pass(noon.plus(Delay::hours(12))), 9, "the next day");
        assert_eq!(close(&mut closings, &left[..4], 4, &zone), 0, "as many as it allows");
    }

    #[test]
    fn the_newest_order_is_the_last_one_placed_by_then() {
        let at = |n: i64| Timestamp(n);
        let orders = [at(10), at(20)];
        let around = Surroundings { orders: Some(&orders), closings: None };
        let newest = |n| around.at(at(n), CustomerId(1), &Zone::utc()).newest_order;
        assert_eq!((newest(9), newest(10), newest(25)), (None, Some(at(10)), Some(at(20))));
    }
}
