//! When the next order is to be expected: the days by which it has come with 20, 50 and 80 %. Pure.

use std::cell::OnceCell;

use serde::{Deserialize, Serialize};

use super::curve::Curve;

/// Days from the day of the prediction on. `None`: so likely the customer never orders again, or not within ten years.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NextOrder {
    pub day20: Option<f64>,
    pub day50: Option<f64>,
    pub day80: Option<f64>,
}

/// Where the probability is asked for; in between it is interpolated.
const GRID: [f64; 10] = [3.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0, 1095.0, 3650.0];

pub fn next_order(curve: &Curve<'_>) -> NextOrder {
    // Most customers are not likely to come back at all; how many orders ten years would bring need not be asked then.
    if curve.chance(GRID[GRID.len() - 1]) < 0.2 {
        return NextOrder { day20: None, day50: None, day80: None };
    }
    let asked: [OnceCell<f64>; GRID.len()] = Default::default();
    let reached = |at: usize| *asked[at].get_or_init(|| curve.p_order(GRID[at]));
    let by = |share: f64| day_of(reached, share);
    NextOrder { day20: by(0.2), day50: by(0.5), day80: by(0.8) }
}

/// The day by which the probability reaches `share`. `reached` tells it at each day of the grid; it is asked at as few as
/// will do, the last one first: of most customers that is all there is to ask.
fn day_of(reached: impl Fn(usize) -> f64, share: f64) -> Option<f64> {
    let mut after = GRID.len() - 1;
    if reached(after) < share {
        return None;
    }
    let mut below = 0;
    while below < after {
        let middle = (below + after) / 2;
        if reached(middle) < share { below = middle + 1 } else { after = middle }
    }
    // ln(−ln(1 − P)) is close to a straight line in ln(days) for every model here.
    let bend = |p: f64| (-(-p.clamp(1e-12, 1.0 - 1e-12)).ln_1p()).ln();
    if after == 0 {
        let whole = bend(reached(0));
        return Some((bend(share) - whole).exp().min(1.0) * GRID[0]);
    }
    let (low, high) = (bend(reached(after - 1)), bend(reached(after)));
    let part = if high > low { (bend(share) - low) / (high - low) } else { 1.0 };
    let (from, to) = (GRID[after - 1].ln(), GRID[after].ln());
    Some((from + part.clamp(0.0, 1.0) * (to - from)).exp())
}

/// How many of the next orders came within their 80 % window, in percent.
///
/// The window of a customer runs from the day of the prediction to the day by which the order was to have come with
/// 80 %. Of a customer who had not ordered when the observation ended within the window, nobody knows yet: he
/// counts by the part of the window's probability that was still to come, (0.8 − P) / (1 − P), P being that of an order
/// until then. `rows` hold P of an order until the next one came, and whether it came, or the observation ended.
pub fn coverage80_pct(rows: impl Iterator<Item = (f64, bool)>) -> Option<f64> {
    let (mut inside, mut all) = (0.0, 0.0);
    for (p, came) in rows {
        all += 1.0;
        inside += match (p <= 0.8, came) {
            (true, true) => 1.0,
            (true, false) => (0.8 - p) / (1.0 - p),
            (false, _) => 0.0,
        };
    }
    (all > 0.0).then(|| inside / all * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_of_a_steady_rate_are_those_of_the_exponential() {
        let rate = 0.01;
        let reached = GRID.map(|days| 1.0 - (-rate * days).exp());
        for share in [0.005, 0.2, 0.5, 0.8] {
            let exact = -(1.0_f64 - share).ln() / rate;
            let day = day_of(|at| reached[at], share).unwrap();
            assert!((day / exact - 1.0).abs() < 1e-9, "{share}: {day} for {exact}");
        }
        assert_eq!(day_of(|_| 0.4, 0.5), None);
    }

    #[test]
    fn the_censored_count_by_what_was_still_to_come() {
        assert_eq!(coverage80_pct([(0.5, true), (0.9, true)].into_iter()), Some(50.0));
        let censored = coverage80_pct([(0.6, false)].into_iter()).unwrap();
        assert!((censored - 50.0).abs() < 1e-9);
        assert_eq!(coverage80_pct([(0.9, false)].into_iter()), Some(0.0));
        assert_eq!(coverage80_pct(std::iter::empty()), None);
    }
}
