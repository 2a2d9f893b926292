//! What is to be expected of one buyer: orders, money, the day of the next order, and what is at stake. Pure.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use super::assess::Buyer;
use super::learning::Learning;
use super::predict::history::DAYS_A_UNIT;
use super::predict::{Course, Curve, Day, Known, Mixture, Outlook};
use crate::primitives::{CustomerId, Timestamp};

/// One buyer's future as of the end of the scored day; money in minor units of the store's currency.
///
/// An order here is a day with orders: several of one day are one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    pub p_alive: f64,
    pub p_order_30d: f64,
    pub p_order_90d: f64,
    pub expected_orders_30d: f64,
    pub expected_orders_90d: f64,
    pub expected_orders_365d: f64,
    pub order_value: i64,
    /// Expected 365-day value if still as active as at the last order, minus expected value now; never below 0.
    pub value_at_risk: i64,
    /// The same seven days ago. `None` where who ordered since is not known exactly as he was then.
    pub value_at_risk_week_ago: Option<i64>,
    /// The next order has come by these with 20 and 80 %; `None`: so likely it never comes, or not in ten years.
    pub next_order_from: Option<Timestamp>,
    pub next_order_until: Option<Timestamp>,
    /// Half of those who, standing where this customer stood at the last order, come back within a year are back by
    /// then. It stays where it is while the customer is silent, so that a rule can count from it.
    pub next_order_expected_at: Option<Timestamp>,
}

/// Value at risk is held against what it was so many days ago.
pub const WEEK: Day = 7;
const YEAR: f64 = 365.0;
const DAY_MICROS: f64 = 86_400_000_000.0;

/// Who comes back less often than this within a year is expected back at no time.
const TOO_UNLIKELY: f64 = 0.02;

/// Where the probability of a return is asked for; in between it is interpolated.
const RETURN_DAYS: [f64; 10] = [3.0, 7.0, 14.0, 21.0, 30.0, 45.0, 65.0, 100.0, 180.0, YEAR];

/// Forecasts a store's buyers by what was learnt.
pub struct Forecaster<'a> {
    learning: &'a Learning,
    today: Day,
    /// Those who ordered within the last week, as they were known a week ago.
    week_ago: &'a HashMap<CustomerId, Known>,
    /// What many have in common: those who ordered on one day only, and anyone as of the last order, when silence does not
    /// yet tell one from another.
    shared: RwLock<HashMap<Course, Arc<Mixture>>>,
}

/// Mixtures that are shared at most, of about a kilobyte each.
const SHARED: usize = 30_000;

impl<'a> Forecaster<'a> {
    pub fn new(
        learning: &'a Learning,
        today: Day,
        week_ago: &'a HashMap<CustomerId, Known>,
    ) -> Self {
        Self { learning, today, week_ago, shared: RwLock::default() }
    }

    pub fn forecast(&self, id: CustomerId, buyer: &Buyer) -> Forecast {
        let known = known(buyer, self.today);
        let (now, at_last_order) = (self.curve(&known), self.curve(&known.as_of_last_order()));
        let outlook = Outlook::of(&now, &at_last_order);
        let value = self.learning.spend.expected(&known);
        let after = |days: Option<f64>| days.map(|days| end_of(self.today).after_days(days));
        Forecast {
            // Whoever orders again was a customer still: the corrected chance of an order is the better word.
            p_alive: outlook.p_alive.max(outlook.p_order_90d),
            p_order_30d: outlook.p_order_30d,
            p_order_90d: outlook.p_order_90d,
            expected_orders_30d: outlook.expected_orders_30d,
            expected_orders_90d: outlook.expected_orders_90d,
            expected_orders_365d: outlook.expected_orders_365d,
            order_value: value.round() as i64,
            value_at_risk: lost(
                outlook.expected_orders_365d_at_last_order,
                outlook.expected_orders_365d,
                value,
            ),
            value_at_risk_week_ago: self.value_at_risk_week_ago(id, &known, &at_last_order),
            next_order_from: after(outlook.next_order.day20),
            next_order_until: after(outlook.next_order.day80),
            next_order_expected_at: half_returned(&at_last_order)
                .map(|days| buyer.last_order_at.after_days(days)),
        }
    }

    fn value_at_risk_week_ago(
        &self,
        id: CustomerId,
        known: &Known,
        at_last_order: &Curve<'_>,
    ) -> Option<i64> {
        let then = known.earlier(self.today - WEEK);
        let lost_by = |then: &Known, at_last_order: &Curve<'_>| {
            let value = self.learning.spend.expected(then);
            lost(at_last_order.expected(YEAR), self.curve(then).expected(YEAR), value)
        };
        if known.last_day <= then.as_of {
            return Some(lost_by(&then, at_last_order));
        }
        // Of visits no more is known of that day than how many there are by now; the two sides of what was lost share it.
        let then = self.week_ago.get(&id)?.visited(known.visits, None);
        Some(lost_by(&then, &self.curve(&then.as_of_last_order())))
    }

    fn curve(&self, known: &Known) -> Curve<'_> {
        let orders = &self.learning.orders;
        if known.order_days > 1 && known.as_of > known.last_day {
            return orders.curve(known);
        }
        let course = orders.course(known);
        let shared = self.shared.read().ok().and_then(|all| all.get(&course).cloned());
        let mixture = shared.unwrap_or_else(|| {
            let mixture = Arc::new(orders.mixture(known));
            if let Ok(mut all) = self.shared.write()
                && all.len() < SHARED
            {
                all.insert(course, Arc::clone(&mixture));
            }
            mixture
        });
        orders.curve_by(known, mixture)
    }
}

/// The day by which half of those who return within a year have returned.
fn half_returned(curve: &Curve<'_>) -> Option<f64> {
    let within_year = curve.p_order(YEAR);
    if within_year < TOO_UNLIKELY {
        return None;
    }
    let half = within_year / 2.0;
    let (mut from, mut p_from) = (0.0, 0.0);
    for to in RETURN_DAYS {
        let p_to = curve.p_order(to);
        if p_to >= half {
            let part = if p_to > p_from { (half - p_from) / (p_to - p_from) } else { 1.0 };
            return Some(from + (to - from) * part.clamp(0.0, 1.0));
        }
        (from, p_from) = (to, p_to);
    }
    Some(YEAR)
}

/// Money that is no longer to be expected.
fn lost(orders_then: f64, orders_now: f64, value: f64) -> i64 {
    ((orders_then - orders_now).max(0.0) * value).round() as i64
}

/// The buyer as the models see one, at the end of `today`.
pub fn known(buyer: &Buyer, today: Day) -> Known {
    let gaps = f64::from(buyer.order_days - 1);
    Known {
        first_day: buyer.first_order_day.min(today),
        last_day: buyer.last_order_day.min(today),
        as_of: today,
        order_days: buyer.order_days.max(1) as u32,
        ln_gaps: buyer.log_gap_sum - gaps * DAYS_A_UNIT.ln(),
        amount: buyer.spent as f64,
        last_amount: buyer.last_order_value as f64,
        median_gap: buyer.median_gap_days.unwrap_or(0.0),
        visits: 0,
        last_visit: None,
    }
    .visited(buyer.visits as u32, buyer.last_visit_day)
}

/// About the end of a day counted from 1970; forecasts are not better than to a day, whatever the zone.
fn end_of(day: Day) -> Timestamp {
    Timestamp((i64::from(day) + 1) * DAY_MICROS as i64)
}

trait AfterDays {
    fn after_days(self, days: f64) -> Self;
}

impl AfterDays for Timestamp {
    fn after_days(self, days: f64) -> Self {
        Self(self.0.saturating_add((days * DAY_MICROS) as i64)).min(Self::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scoring::predict::{OrderLog, Purchase};

    const DAY: i64 = 86_400_000_000;

    /// A hundred and twenty people: most come every three weeks or so, a third stopped after the second order.
    fn learning() -> Learning {
        let log = OrderLog::new((0..120_u64).flat_map(|who| {
            let gap = 14 + (who % 15) as Day;
            let orders = if who % 3 == 0 { 2 } else { 14 };
            (0..orders)
                .map(move |n| (who, Purchase { day: (who % 40) as Day + n * gap, amount: 2_000.0 }))
        }));
        Learning::of(&log, 300)
    }

    fn buyer(order_days: i32, first: Day, last: Day) -> Buyer {
        let gap = f64::from(last - first) / f64::from((order_days - 1).max(1));
        Buyer {
            orders_count: order_days,
            order_days,
            spent: i64::from(order_days) * 2_000,
            first_order_day: first,
            last_order_at: Timestamp(i64::from(last) * DAY + DAY / 2),
            last_order_day: last,
            median_gap_days: (order_days > 1).then_some(gap),
            log_gap_sum: f64::from(order_days - 1) * gap.max(1.0).ln(),
            last_order_value: 2_000,
            visits: 0,
            last_visit_day: None,
        }
    }

    #[test]
    fn silence_lowers_hope_and_raises_what_is_at_stake() {
        let (learning, nobody) = (learning(), HashMap::new());
        let forecaster = Forecaster::new(&learning, 300, &nobody);
        let recent = forecaster.forecast(CustomerId(1), &buyer(10, 90, 295));
        let silent = forecaster.forecast(CustomerId(2), &buyer(10, 10, 215));
        assert!(recent.p_alive > silent.p_alive, "{recent:?} {silent:?}");
        assert!(recent.p_order_90d > silent.p_order_90d);
        assert!(silent.value_at_risk > recent.value_at_risk);
        assert!(silent.value_at_risk >= silent.value_at_risk_week_ago.unwrap());
        for one in [recent, silent] {
            assert!((0.0..=1.0).contains(&one.p_alive));
            assert!(one.p_order_30d <= one.p_order_90d);
            assert!(one.expected_orders_30d <= one.expected_orders_90d);
            assert!(one.expected_orders_90d <= one.expected_orders_365d);
            assert!((1_500..2_500).contains(&one.order_value), "{}", one.order_value);
            assert!(one.next_order_from <= one.next_order_until || one.next_order_until.is_none());
        }
    }

    #[test]
    fn the_expected_day_stays_while_the_customer_is_silent() {
        let (learning, nobody) = (learning(), HashMap::new());
        let regular = buyer(10, 60, 265);
        let at =
            |today| Forecaster::new(&learning, today, &nobody).forecast(CustomerId(1), &regular);
        assert_eq!(at(280).next_order_expected_at, at(300).next_order_expected_at);
        assert!(at(300).next_order_expected_at.unwrap() > regular.last_order_at);
        assert!(at(280).next_order_from < at(300).next_order_from, "that window moves on");
    }

    #[test]
    fn last_week_is_told_only_where_it_is_known() {
        let learning = learning();
        let regular = buyer(10, 90, 296);
        let nobody = HashMap::new();
        let blind = Forecaster::new(&learning, 300, &nobody).forecast(CustomerId(1), &regular);
        assert_eq!(blind.value_at_risk_week_ago, None);
        let before = Known { as_of: 293, ..known(&buyer(9, 90, 275), 293) };
        let then = HashMap::from([(CustomerId(1), before)]);
        let told = Forecaster::new(&learning, 300, &then).forecast(CustomerId(1), &regular);
        assert!(told.value_at_risk_week_ago.is_some());
    }
}
