//! Compares the arms of one experiment. Pure.

use super::sequence::{Difference, Progress};

/// A customer whose window is over, and what they did in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    pub treated: bool,
    /// Orders that count, placed within the window.
    pub orders: u32,
    /// What they brought, net of refunds, in minor units of the store's currency.
    pub revenue: f64,
    /// What the customer spent before, which chance had no hand in.
    pub before: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ArmFigures {
    pub customers: u64,
    /// Those with an order.
    pub converted: u64,
    pub orders: u64,
    /// As it was, in minor units.
    pub revenue: f64,
    /// With the largest buyers cut down to the cap.
    pub revenue_winsorised: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub treatment: ArmFigures,
    pub holdout: ArmFigures,
    /// What no customer counts for more than, in minor units; `None` while there are too few buyers to say.
    pub cap: Option<f64>,
    /// All three per customer, adjusted for what was spent before.
    pub conversion: Difference,
    pub orders: Difference,
    pub revenue: Difference,
    /// The share of the variance of revenue that spending before explains.
    pub explained: f64,
}

/// Fewer in an arm tell nothing that a formula for many could say.
const FEWEST_CUSTOMERS: u64 = 50;
const FEWEST_BUYERS: u64 = 10;
/// With fewer buyers the largest hundredth is nobody.
const BUYERS_FOR_CAP: usize = 100;

/// `per_day`: customers that become eligible a day.
pub fn compare(units: &[Unit], per_day: f64) -> Comparison {
    let cap = cap(units.iter().map(|unit| unit.revenue));
    let cut = |amount: f64, cap: Option<f64>| cap.map_or(amount, |cap| amount.min(cap));
    let arm = |treated: bool| {
        let mut figures = ArmFigures::default();
        for unit in units.iter().filter(|unit| unit.treated == treated) {
            figures.customers += 1;
            figures.converted += u64::from(unit.orders > 0);
            figures.orders += u64::from(unit.orders);
            figures.revenue += unit.revenue;
            figures.revenue_winsorised += cut(unit.revenue, cap);
        }
        figures
    };
    let (treatment, holdout) = (arm(true), arm(false));
    let is_enough = [treatment, holdout]
        .iter()
        .all(|arm| arm.customers >= FEWEST_CUSTOMERS && arm.converted >= FEWEST_BUYERS);
    let progress = Progress { customers: units.len() as f64, per_day };
    let before_cap = self::cap(units.iter().map(|unit| unit.before));
    let difference = |outcome: &dyn Fn(&Unit) -> f64, floor: f64| {
        let moments = Moments::of(units, &|unit| cut(unit.before, before_cap), outcome);
        let variance = is_enough.then(|| moments.variance().max(floor));
        (Difference::at(progress, moments.difference(), variance), moments.explained())
    };
    let (conversion, _) = difference(
        &|unit| f64::from(u8::from(unit.orders > 0)),
        least_variance(treatment, holdout),
    );
    let (orders, _) = difference(&|unit| f64::from(unit.orders), 0.0);
    let (revenue, explained) = difference(&|unit| cut(unit.revenue, cap), 0.0);
    Comparison { treatment, holdout, cap, conversion, orders, revenue, explained }
}

/// Of the amounts that are not nothing, the one that a hundredth exceed.
fn cap(amounts: impl Iterator<Item = f64>) -> Option<f64> {
    let mut amounts: Vec<f64> = amounts.filter(|amount| *amount > 0.0).collect();
    if amounts.len() < BUYERS_FOR_CAP {
        return None;
    }
    let at = (amounts.len() * 99).div_ceil(100) - 1;
    let (_, cap, _) = amounts.select_nth_unstable_by(at, f64::total_cmp);
    Some(*cap)
}

/// Of a difference of shares, with one more of each kind in each arm: so few buyers by chance look steadier than they
/// are (Agresti & Caffo 2000). Half of it, as spending before may explain the rest.
fn least_variance(treatment: ArmFigures, holdout: ArmFigures) -> f64 {
    let all = (treatment.customers + holdout.customers) as f64;
    let of = |arm: ArmFigures| {
        let share = (arm.converted as f64 + 1.0) / (arm.customers as f64 + 2.0);
        share * (1.0 - share) * all / (arm.customers as f64).max(1.0)
    };
    0.5 * (of(treatment) + of(holdout))
}

/// Sums of one outcome and of what was before, arm by arm.
///
/// The outcome is adjusted by θ (before - its mean), θ the slope within the arms: CUPED (Deng, Xu, Kohavi & Walker 2013,
/// eq. 3 and 4). It moves no expectation, as chance decided the arms, and takes the noise out that the past explains.
struct Moments {
    arms: [Sums; 2],
    slope: f64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    n: f64,
    outcome: f64,
    before: f64,
    /// Sums of squares and products about the arm's means.
    outcomes: f64,
    befores: f64,
    both: f64,
}

impl Moments {
    fn of(units: &[Unit], before: &dyn Fn(&Unit) -> f64, outcome: &dyn Fn(&Unit) -> f64) -> Self {
        let mut arms = [Sums::default(); 2];
        for unit in units {
            // Welford's running means: no difference of two large sums.
            let arm = &mut arms[usize::from(unit.treated)];
            let (y, x) = (outcome(unit), before(unit));
            arm.n += 1.0;
            let (dy, dx) = (y - arm.outcome, x - arm.before);
            arm.outcome += dy / arm.n;
            arm.before += dx / arm.n;
            arm.outcomes += dy * (y - arm.outcome);
            arm.befores += dx * (x - arm.before);
            arm.both += dx * (y - arm.outcome);
        }
        let sum = |of: fn(&Sums) -> f64| arms.iter().map(of).sum::<f64>();
        let (both, befores) = (sum(|arm| arm.both), sum(|arm| arm.befores));
        Self { arms, slope: if befores > 0.0 { both / befores } else { 0.0 } }
    }

    fn difference(&self) -> f64 {
        let [holdout, treatment] = &self.arms;
        treatment.outcome - holdout.outcome - self.slope * (treatment.before - holdout.before)
    }

    /// Of one customer's contribution: n (s₁²/n₁ + s₀²/n₀).
    fn variance(&self) -> f64 {
        let all: f64 = self.arms.iter().map(|arm| arm.n).sum();
        let of = |arm: &Sums| {
            let rest =
                arm.outcomes - 2.0 * self.slope * arm.both + self.slope.powi(2) * arm.befores;
            rest.max(0.0) / (arm.n - 1.0).max(1.0) * all / arm.n.max(1.0)
        };
        self.arms.iter().map(of).sum()
    }

    fn explained(&self) -> f64 {
        let sum = |of: fn(&Sums) -> f64| self.arms.iter().map(of).sum::<f64>();
        let outcomes = sum(|arm| arm.outcomes);
        if outcomes > 0.0 {
            (self.slope * sum(|arm| arm.both) / outcomes).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}
