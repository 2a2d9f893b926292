//! One customer's future as a function of time: the mixture, corrected. Pure.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};

use super::baselines::Baseline;
use super::features::{self, FEATURES};
use super::history::{Day, Known};
use super::recalibrate::{self, Chance, Counts};
use super::{Choice, Learned};
use crate::scoring::models::{History, Outlook};

/// A model believed in less than this is not asked: it costs time and moves nothing.
const LEAST_WEIGHT: f64 = 0.003;

/// More horizons than this are not learnt at.
pub(super) const MOST_HORIZONS: usize = 4;

/// Days for which a mixture remembers what it said: those that forecasts ask for.
const REMEMBERED: [f64; 16] = [
    3.0, 7.0, 14.0, 21.0, 30.0, 45.0, 60.0, 65.0, 90.0, 100.0, 180.0, 365.0, 730.0, 1095.0, 1825.0,
    3650.0,
];

/// What the models, mixed, say of one history: the same for everyone who has it, so it can be asked once for all.
#[derive(Debug, Clone)]
pub struct Mixture {
    as_of: Day,
    history: History,
    /// Each with its part in probabilities, and in expected orders.
    members: Vec<(Outlook, f64, f64)>,
    chances: [OnceLock<f64>; REMEMBERED.len()],
    counts: [OnceLock<f64>; REMEMBERED.len()],
}

impl Mixture {
    pub(super) fn new(learned: &Learned, known: &Known) -> Self {
        let history = learned.clock.history(known);
        let asked = learned
            .members
            .iter()
            .filter(|member| member.chance_weight.max(member.count_weight) >= LEAST_WEIGHT);
        let before = learned.is_before(known);
        let mut members: Vec<(Outlook, f64, f64)> = asked
            .map(|m| (m.params(before).outlook(&history), m.chance_weight, m.count_weight))
            .collect();
        let (mut chance, mut count) = (0.0, 0.0);
        members.iter().for_each(|(_, a, b)| (chance, count) = (chance + a, count + b));
        members.iter_mut().for_each(|(_, a, b)| (*a, *b) = (*a / chance, *b / count));
        let (chances, counts) = Default::default();
        Self { as_of: known.as_of, history, members, chances, counts }
    }

    fn p_alive(&self) -> f64 {
        self.members.iter().map(|(outlook, weight, _)| weight * outlook.p_alive()).sum()
    }

    fn chance(&self, learned: &Learned, days: f64) -> f64 {
        remembered(&self.chances, days, || {
            let t = learned.clock.ahead(self.as_of, days);
            self.members.iter().map(|(outlook, weight, _)| weight * outlook.p_order(t)).sum()
        })
    }

    fn count(&self, learned: &Learned, days: f64) -> f64 {
        remembered(&self.counts, days, || {
            let t = learned.clock.ahead(self.as_of, days);
            self.members.iter().map(|(outlook, _, weight)| weight * outlook.expected(t)).sum()
        })
    }
}

fn remembered(
    cells: &[OnceLock<f64>; REMEMBERED.len()],
    days: f64,
    ask: impl FnOnce() -> f64,
) -> f64 {
    match REMEMBERED.iter().position(|known| *known == days) {
        Some(cell) => *cells[cell].get_or_init(ask),
        None => ask(),
    }
}

/// P(an order) and expected orders in the time from `known.as_of` on.
#[derive(Debug, Clone)]
pub struct Curve<'a> {
    learned: &'a Learned,
    mixture: Arc<Mixture>,
    features: [f64; FEATURES],
    /// What the mixture says at each learnt horizon, and how it is corrected there: worked out when first asked for.
    anchors: [OnceCell<Anchor>; MOST_HORIZONS],
    classes: [usize; 2],
}

/// One learnt horizon, for one customer.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    chance: f64,
    count: f64,
    /// Of the log odds.
    chance_shift: f64,
    /// Of ln(expected).
    count_shift: f64,
}

impl<'a> Curve<'a> {
    /// `mixture` is that of the same history.
    pub(super) fn new(learned: &'a Learned, known: &Known, mixture: Arc<Mixture>) -> Self {
        let classes = match (&learned.standing, learned.choice) {
            (Some(standing), Choice::Baseline(_)) => {
                Baseline::ALL.map(|baseline| standing.class(baseline, known))
            }
            _ => [0; 2],
        };
        let features = learned.scale.apply(&features::raw(known, &mixture.history));
        Self { learned, mixture, features, anchors: Default::default(), classes }
    }

    /// P(still a customer).
    pub fn p_alive(&self) -> f64 {
        self.mixture.p_alive()
    }

    /// P(at least one order in the next `days`): never more than the orders expected.
    pub fn p_order(&self, days: f64) -> f64 {
        if days <= 0.0 {
            return 0.0;
        }
        let chance = self.chance(days);
        chance.min(recalibrate::between(chance, self.count(days)))
    }

    /// E(orders in the next `days`): never less than the probability of one.
    pub fn expected(&self, days: f64) -> f64 {
        if days <= 0.0 {
            return 0.0;
        }
        let count = self.count(days);
        count.max(recalibrate::between(self.chance(days), count))
    }

    /// P(an order), as learnt by itself: [`Self::p_order`] is at most this.
    pub(super) fn chance(&self, days: f64) -> f64 {
        if let Some((p, _)) = self.by_rule(days) {
            return p;
        }
        if let Some(anchor) = self.anchor_at(days) {
            return recalibrate::chance(recalibrate::logit(anchor.chance) + anchor.chance_shift);
        }
        let mixed = self.mixture.chance(self.learned, days);
        match self.shift(days, |anchor| anchor.chance_shift) {
            Some(shift) => recalibrate::chance(recalibrate::logit(mixed) + shift),
            None => mixed,
        }
    }

    /// Expected orders, as learnt by themselves.
    fn count(&self, days: f64) -> f64 {
        match (self.by_rule(days), self.anchor_at(days)) {
            (Some((_, orders)), _) => orders,
            (None, Some(anchor)) => anchor.count * anchor.count_shift.exp(),
            (None, None) => {
                let shift = self.shift(days, |anchor| anchor.count_shift);
                self.mixture.count(self.learned, days) * shift.map_or(1.0, f64::exp)
            }
        }
    }

    /// By the plain rule, where the shop's past chose one.
    fn by_rule(&self, days: f64) -> Option<(f64, f64)> {
        let Choice::Baseline(baseline) = self.learned.choice else { return None };
        self.learned.rates(baseline, self.classes[baseline as usize], days)
    }

    fn anchor_at(&self, days: f64) -> Option<&Anchor> {
        let horizon = self.learned.corrections.iter().position(|c| f64::from(c.days) == days)?;
        Some(self.anchor(horizon))
    }

    fn anchor(&self, horizon: usize) -> &Anchor {
        self.anchors[horizon].get_or_init(|| {
            let c = &self.learned.corrections[horizon];
            let days = f64::from(c.days);
            let chance = self.mixture.chance(self.learned, days);
            let count = self.mixture.count(self.learned, days).max(1e-12);
            let terms = Chance::terms(recalibrate::logit(chance), c.middle, &self.features);
            let counts = Counts::terms(count.ln(), &c.shop, &self.features);
            let factor = recalibrate::factor(c.count_share * c.counts.correction(&counts));
            Anchor {
                chance,
                count,
                chance_shift: c.chance_share * c.chance.correction(&terms),
                count_shift: c.level + factor.ln(),
            }
        })
    }

    /// The corrections between two horizons change with ln(days); outside they stay as they are.
    fn shift(&self, days: f64, of: impl Fn(&Anchor) -> f64) -> Option<f64> {
        let corrections = &self.learned.corrections;
        let days_of = |horizon: usize| f64::from(corrections[horizon].days);
        let next = corrections.partition_point(|c| f64::from(c.days) < days);
        match (next.checked_sub(1), corrections.get(next)) {
            (None, None) => None,
            (None, Some(_)) => Some(of(self.anchor(0))),
            (Some(last), None) => Some(of(self.anchor(last))),
            (Some(before), Some(_)) => {
                let part = (days / days_of(before)).ln() / (days_of(next) / days_of(before)).ln();
                let (low, high) = (of(self.anchor(before)), of(self.anchor(next)));
                Some(low + part * (high - low))
            }
        }
    }
}
