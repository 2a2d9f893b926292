//! Compares the arms of one experiment. Pure.
//!
//! Only customers who were drawn by the same odds are compared with each other; the differences of such strata are
//! then averaged by their sizes (post-stratification: Miratrix, Sekhon & Yu 2013). A holdout of another size, or
//! other weights, would else compare those of one season with those of another.

use std::collections::BTreeMap;

use super::sequence::{Difference, Progress};

/// A customer whose window is over, and what they did in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    pub treated: bool,
    /// Alike for all who were drawn by the same odds.
    pub stratum: u64,
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
    /// With other odds each, and customers in both arms.
    pub strata: u64,
    /// Customers in no figure: of their stratum the other arm has nobody yet.
    pub unmatched: u64,
}

/// How many an experiment gains, and what else is asked at the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Customers that become eligible a day.
    pub per_day: f64,
    /// Answers that may be wrong one in twenty times together: where several are sought, each is the harder to get.
    pub comparisons: u32,
}

/// Fewer in an arm tell nothing that a formula for many could say.
const FEWEST_CUSTOMERS: u64 = 50;
const FEWEST_BUYERS: u64 = 10;
/// With fewer buyers the largest hundredth is nobody.
const BUYERS_FOR_CAP: usize = 100;

pub fn compare(units: &[Unit], asked: Asked) -> Comparison {
    let sizes = sizes(units);
    let matched: Vec<Unit> =
        units.iter().filter(|unit| is_matched(&sizes, unit.stratum)).copied().collect();
    let unmatched = (units.len() - matched.len()) as u64;
    let strata = sizes.values().filter(|size| !size.contains(&0)).count() as u64;
    let units = matched.as_slice();
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
    let progress = Progress {
        customers: units.len() as f64,
        per_day: asked.per_day,
        comparisons: asked.comparisons,
    };
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
    Comparison {
        treatment,
        holdout,
        cap,
        conversion,
        orders,
        revenue,
        explained,
        strata,
        unmatched,
    }
}

/// Customers of each stratum, held out and treated.
fn sizes(units: &[Unit]) -> BTreeMap<u64, [u64; 2]> {
    let mut sizes: BTreeMap<u64, [u64; 2]> = BTreeMap::new();
    for unit in units {
        sizes.entry(unit.stratum).or_default()[usize::from(unit.treated)] += 1;
    }
    sizes
}

fn is_matched(sizes: &BTreeMap<u64, [u64; 2]>, stratum: u64) -> bool {
    sizes.get(&stratum).is_some_and(|size| !size.contains(&0))
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

/// Sums of one outcome and of what was before, arm by arm and stratum by stratum; every stratum has both arms.
///
/// The outcome is adjusted by θ (before - its mean), θ the slope within them: CUPED (Deng, Xu, Kohavi & Walker 2013,
/// eq. 3 and 4). It moves no expectation, as chance decided the arms, and takes the noise out that the past explains.
struct Moments {
    strata: Vec<[Sums; 2]>,
    slope: f64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    n: f64,
    outcome: f64,
    before: f64,
    /// Sums of squares and products about the means.
    outcomes: f64,
    befores: f64,
    both: f64,
}

impl Sums {
    fn add(&mut self, y: f64, x: f64) {
        // Welford's running means: no difference of two large sums.
        self.n += 1.0;
        let (dy, dx) = (y - self.outcome, x - self.before);
        self.outcome += dy / self.n;
        self.before += dx / self.n;
        self.outcomes += dy * (y - self.outcome);
        self.befores += dx * (x - self.before);
        self.both += dx * (y - self.outcome);
    }

    /// The mean of what `slope` leaves of the outcome.
    fn rest(&self, slope: f64) -> f64 {
        self.outcome - slope * self.before
    }

    /// The sum of squares of what `slope` leaves of the outcome, about its mean.
    fn rests(&self, slope: f64) -> f64 {
        (self.outcomes - 2.0 * slope * self.both + slope.powi(2) * self.befores).max(0.0)
    }
}

impl Moments {
    fn of(units: &[Unit], before: &dyn Fn(&Unit) -> f64, outcome: &dyn Fn(&Unit) -> f64) -> Self {
        let mut strata: BTreeMap<u64, [Sums; 2]> = BTreeMap::new();
        for unit in units {
            let arms = strata.entry(unit.stratum).or_default();
            arms[usize::from(unit.treated)].add(outcome(unit), before(unit));
        }
        let strata: Vec<[Sums; 2]> = strata.into_values().collect();
        let sum = |of: fn(&Sums) -> f64| strata.iter().flatten().map(of).sum::<f64>();
        let (both, befores) = (sum(|sums| sums.both), sum(|sums| sums.befores));
        Self { slope: if befores > 0.0 { both / befores } else { 0.0 }, strata }
    }

    /// What the treated have more, each stratum by its size.
    fn difference(&self) -> f64 {
        let [holdout, treatment] = self.means();
        treatment - holdout
    }

    /// Each arm's, as if it had of every stratum as large a part as both arms together.
    fn means(&self) -> [f64; 2] {
        let all: f64 = self.strata.iter().flatten().map(|sums| sums.n).sum();
        [0, 1].map(|arm| {
            let part = |stratum: &[Sums; 2]| {
                let size = stratum[0].n + stratum[1].n;
                size / all.max(1.0) * stratum[arm].rest(self.slope)
            };
            self.strata.iter().map(part).sum()
        })
    }

    /// Of one customer's contribution: what is left of their outcome, over the odds of their arm. With one stratum this
    /// is n (s₁²/n₁ + s₀²/n₀). What lies between strata is left in: strata of a few customers have no variance of
    /// their own that one could trust.
    fn variance(&self) -> f64 {
        let all: f64 = self.strata.iter().flatten().map(|sums| sums.n).sum();
        let means = self.means();
        let of = |arm: usize| {
            let n: f64 = self.strata.iter().map(|stratum| stratum[arm].n).sum();
            let squares = self.strata.iter().map(|stratum| {
                let (sums, size) = (&stratum[arm], stratum[0].n + stratum[1].n);
                let off = sums.rest(self.slope) - means[arm];
                let squares = sums.rests(self.slope) + sums.n * off.powi(2);
                (size / sums.n.max(1.0)).powi(2) * squares
            });
            squares.sum::<f64>() * n / (n - 1.0).max(1.0) / all.max(1.0)
        };
        of(0) + of(1)
    }

    fn explained(&self) -> f64 {
        let sum = |of: fn(&Sums) -> f64| self.strata.iter().flatten().map(of).sum::<f64>();
        let outcomes = sum(|sums| sums.outcomes);
        if outcomes > 0.0 {
            (self.slope * sum(|sums| sums.both) / outcomes).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}
