//! What a customer's orders add up to. Pure.

use super::Order;
use crate::primitives::{Currency, Timestamp, Zone};

/// Totals and moments of one customer's orders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    pub orders_count: i32,
    /// Distinct days, in the store's zone, with a counting order.
    pub order_days: i32,
    /// Minor units of the store's currency, net of refunds; orders in other currencies add nothing.
    pub spent: i64,
    pub foreign_orders: i32,
    pub first_order_at: Option<Timestamp>,
    pub first_order_floor: Option<Timestamp>,
    pub last_order_at: Option<Timestamp>,
    pub last_order_floor: Option<Timestamp>,
    /// Days since 1970.
    pub last_order_day: Option<i32>,
    /// Median of the days between successive order days; `None` with fewer than two.
    pub median_gap_days: Option<f64>,
    /// Sum of ln(days) over those gaps.
    pub log_gap_sum: f64,
    /// What the orders of the last order day add to `spent`.
    pub last_order_value: i64,
    pub last_placed_at: Option<Timestamp>,
}

impl Summary {
    pub fn of<'a>(
        orders: impl Iterator<Item = &'a Order>,
        zone: &Zone,
        currency: &Currency,
    ) -> Self {
        let mut summary = Self::default();
        let mut days: Vec<i32> = Vec::new();
        let mut values: Vec<(i32, i64)> = Vec::new();
        for order in orders {
            summary.last_placed_at = summary.last_placed_at.max(order.last_placed_at());
            if !order.counts() {
                continue;
            }
            let placed_at = order.placed_at();
            summary.orders_count += 1;
            let day = placed_at.day_number(zone);
            days.push(day);
            if order.currency == *currency {
                let value = order.total - order.refunded();
                summary.spent = summary.spent.saturating_add(value);
                values.push((day, value));
            } else {
                summary.foreign_orders += 1;
            }
            if summary.first_order_at.is_none_or(|first| placed_at < first) {
                (summary.first_order_at, summary.first_order_floor) =
                    (Some(placed_at), Some(order.floor_at));
            }
            // Of orders placed at one instant the earliest floor stands, so that their order is nothing.
            match summary.last_order_at {
                Some(last) if placed_at < last => {}
                Some(last) if placed_at == last => {
                    summary.last_order_floor = summary.last_order_floor.min(Some(order.floor_at));
                }
                _ => {
                    (summary.last_order_at, summary.last_order_floor) =
                        (Some(placed_at), Some(order.floor_at))
                }
            }
        }
        days.sort_unstable();
        days.dedup();
        summary.order_days = i32::try_from(days.len()).unwrap_or(i32::MAX);
        summary.last_order_day = days.last().copied();
        let mut gaps: Vec<i32> = days.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        summary.median_gap_days = median(&gaps);
        summary.log_gap_sum = gaps.iter().map(|gap| f64::from(*gap).ln()).sum();
        let last_day = values.iter().filter(|(day, _)| Some(*day) == summary.last_order_day);
        summary.last_order_value =
            last_day.fold(0_i64, |sum, (_, value)| sum.saturating_add(*value));
        summary
    }
}

/// The middle of sorted values, or the mean of the two middle ones.
fn median(sorted: &[i32]) -> Option<f64> {
    let half = sorted.len() / 2;
    match (sorted.len(), sorted.len() % 2) {
        (0, _) => None,
        (_, 1) => Some(f64::from(sorted[half])),
        _ => Some((f64::from(sorted[half - 1]) + f64::from(sorted[half])) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3]), Some(3.0));
        assert_eq!(median(&[3, 8]), Some(5.5));
        assert_eq!(median(&[1, 3, 8]), Some(3.0));
    }
}
