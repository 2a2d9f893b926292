//! Two plain ways to tell who comes back, which any shop could do on paper: what models must beat. Pure.
//!
//! *RFM cell rate*: of those in the same cell of R × FM, the share that ordered again. *Overdue ratio*: the same by days
//! since the last order over the customer's usual gap.

use super::super::gap;
use super::super::rfm;
use super::backtest::Origin;
use super::history::{Day, Known};

/// A cell's own customers count as against this many of the whole shop.
const SHOP: f64 = 10.0;

/// Bounds of the overdue ratio's classes.
const OVERDUE: [f64; 9] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    RfmRate,
    Overdue,
}

impl Baseline {
    pub const ALL: [Self; 2] = [Self::RfmRate, Self::Overdue];

    fn classes(self) -> usize {
        match self {
            Self::RfmRate => 25,
            Self::Overdue => OVERDUE.len() + 1,
        }
    }
}

/// How the shop's customers stand on one day, for classing one of them.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Standing {
    rfm: rfm::Scale<i64>,
    gap: Option<f64>,
}

impl Standing {
    pub fn of(known: &[Known]) -> Self {
        let days: Vec<i32> = known.iter().map(|known| known.as_of - known.last_day).collect();
        let orders: Vec<i32> = known.iter().map(|known| known.order_days as i32).collect();
        let money: Vec<i64> = known.iter().map(money).collect();
        let gaps = known.iter().map(|known| known.median_gap).collect();
        Self { rfm: rfm::Scale::of(&days, &orders, &money), gap: gap::store_gap_days(gaps) }
    }

    /// The customer's class under a baseline, from 0.
    pub fn class(&self, baseline: Baseline, known: &Known) -> usize {
        match baseline {
            Baseline::RfmRate => {
                let days = known.as_of - known.last_day;
                let rfm = self.rfm.score(days, known.order_days as i32, money(known));
                usize::from(rfm.r - 1) * 5 + usize::from(rfm.fm() - 1)
            }
            Baseline::Overdue => {
                let own = Some(known.median_gap);
                let usual = gap::usual_gap_days(own, known.order_days as i32, self.gap);
                let ratio = usual.map_or(0.0, |gap| known.days_since_last() / gap);
                OVERDUE.partition_point(|bound| *bound <= ratio)
            }
        }
    }
}

fn money(known: &Known) -> i64 {
    (known.amount * 100.0) as i64
}

/// What came of the customers of each class.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rates {
    /// Days that the rates are for.
    days: Day,
    /// Per class: P(order), orders.
    classes: Vec<(f64, f64)>,
}

impl Rates {
    /// From the origins whose window is nearly the longest: a rate over a month says little about a year.
    /// `half` restricts the customers. `None` where there is no origin.
    pub fn learn(
        baseline: Baseline,
        origins: &[(&Origin, &Standing)],
        horizon: usize,
        half: Option<bool>,
    ) -> Option<Self> {
        let days = origins.iter().map(|(origin, _)| origin.windows[horizon].days).max()?;
        let mut sums = vec![[0.0; 3]; baseline.classes()];
        let mut all = [0.0; 3];
        for (origin, standing) in origins {
            let window = &origin.windows[horizon];
            if f64::from(window.days) < 0.7 * f64::from(days) {
                continue;
            }
            let longer = f64::from(days) / f64::from(window.days);
            for (i, known) in origin.known.iter().enumerate() {
                if half.is_some_and(|half| origin.half[i] != half) {
                    continue;
                }
                let ordered = f64::from(u8::from(window.orders[i] > 0.0));
                let row = [1.0, ordered, window.orders[i] * longer];
                for (i, value) in row.into_iter().enumerate() {
                    sums[standing.class(baseline, known)][i] += value;
                    all[i] += value;
                }
            }
        }
        let shop = [1, 2].map(|i| (all[i] + 0.5) / (all[0] + 1.0));
        let rate = |sum: &[f64; 3], i: usize| (sum[i] + SHOP * shop[i - 1]) / (sum[0] + SHOP);
        Some(Self { days, classes: sums.iter().map(|sum| (rate(sum, 1), rate(sum, 2))).collect() })
    }

    /// P(order) and expected orders over `days`, as if orders came evenly.
    pub fn predict(&self, class: usize, days: f64) -> (f64, f64) {
        let (p, orders) = self.classes[class];
        let longer = days / f64::from(self.days);
        (1.0 - (1.0 - p).powf(longer), orders * longer)
    }
}
