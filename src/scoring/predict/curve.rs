//! One customer's future as a function of time: the mixture, corrected. Pure.

use std::cell::OnceCell;

use super::baselines::Baseline;
use super::features::{self, FEATURES};
use super::history::{Day, Known};
use super::recalibrate::{self, Chance, Counts};
use super::{Choice, Learned};
use crate::scoring::models::Outlook;

/// A model believed in less than this is not asked: it costs time and moves nothing.
const LEAST_WEIGHT: f64 = 0.003;

/// More horizons than this are not learnt at.
pub(super) const MOST_HORIZONS: usize = 4;

/// P(an order) and expected orders in the time from `known.as_of` on.
#[derive(Debug, Clone)]
pub struct Curve<'a> {
    learned: &'a Learned,
    as_of: Day,
    members: Vec<(Outlook, f64, f64)>,
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
    pub(super) fn new(learned: &'a Learned, known: &Known) -> Self {
        let history = learned.clock.history(known);
        let asked = learned
            .members
            .iter()
            .filter(|member| member.chance_weight.max(member.count_weight) >= LEAST_WEIGHT);
        let mut members: Vec<(Outlook, f64, f64)> = asked
            .map(|m| (m.fitted.params.outlook(&history), m.chance_weight, m.count_weight))
            .collect();
        let (mut chance, mut count) = (0.0, 0.0);
        members.iter().for_each(|(_, a, b)| (chance, count) = (chance + a, count + b));
        members.iter_mut().for_each(|(_, a, b)| (*a, *b) = (*a / chance, *b / count));
        let classes = match (&learned.standing, learned.choice) {
            (Some(standing), Choice::Baseline(_)) => {
                Baseline::ALL.map(|baseline| standing.class(baseline, known))
            }
            _ => [0; 2],
        };
        let features = learned.scale.apply(&features::raw(known, &history));
        Self {
            learned,
            as_of: known.as_of,
            members,
            features,
            anchors: Default::default(),
            classes,
        }
    }

    /// P(still a customer).
    pub fn p_alive(&self) -> f64 {
        self.members.iter().map(|(outlook, weight, _)| weight * outlook.p_alive()).sum()
    }

    /// P(at least one order in the next `days`).
    pub fn p_order(&self, days: f64) -> f64 {
        if days <= 0.0 {
            return 0.0;
        }
        if let Some((p, _)) = self.by_rule(days) {
            return p;
        }
        if let Some(anchor) = self.anchor_at(days) {
            return recalibrate::chance(recalibrate::logit(anchor.chance) + anchor.chance_shift);
        }
        let mixed = self.mixed_chance(days);
        match self.shift(days, |anchor| anchor.chance_shift) {
            Some(shift) => recalibrate::chance(recalibrate::logit(mixed) + shift),
            None => mixed,
        }
    }

    /// E(orders in the next `days`): never less than the probability of one.
    pub fn expected(&self, days: f64) -> f64 {
        if days <= 0.0 {
            return 0.0;
        }
        let counted = match (self.by_rule(days), self.anchor_at(days)) {
            (Some((_, orders)), _) => orders,
            (None, Some(anchor)) => anchor.count * anchor.count_shift.exp(),
            (None, None) => {
                let shift = self.shift(days, |anchor| anchor.count_shift);
                self.mixed_count(days) * shift.map_or(1.0, f64::exp)
            }
        };
        counted.max(self.p_order(days))
    }

    /// By the plain rule, where the shop's past chose one.
    fn by_rule(&self, days: f64) -> Option<(f64, f64)> {
        let Choice::Baseline(baseline) = self.learned.choice else { return None };
        self.learned.rates(baseline, self.classes[baseline as usize], days)
    }

    fn mixed_chance(&self, days: f64) -> f64 {
        let t = self.learned.clock.ahead(self.as_of, days);
        self.members.iter().map(|(outlook, weight, _)| weight * outlook.p_order(t)).sum()
    }

    fn mixed_count(&self, days: f64) -> f64 {
        let t = self.learned.clock.ahead(self.as_of, days);
        self.members.iter().map(|(outlook, _, weight)| weight * outlook.expected(t)).sum()
    }

    fn anchor_at(&self, days: f64) -> Option<&Anchor> {
        let horizon = self.learned.corrections.iter().position(|c| f64::from(c.days) == days)?;
        Some(self.anchor(horizon))
    }

    fn anchor(&self, horizon: usize) -> &Anchor {
        self.anchors[horizon].get_or_init(|| {
            let c = &self.learned.corrections[horizon];
            let days = f64::from(c.days);
            let (chance, count) = (self.mixed_chance(days), self.mixed_count(days).max(1e-12));
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
