//! What a rule counts from: the episode it would write about, and when that falls due. Pure.

use super::dates::episode_of;
use crate::customers::DayTold;
use crate::ledger::{Enrolment, Reason};
use crate::outbox::door::closed_by_order;
use crate::primitives::{Delay, Timestamp};
use crate::rules::{DayOffset, FIRST_ORDER, StoredRule, TriggerKind};
use crate::situation::{Moments, OrderMoment};

/// A basket untouched for so long is forgotten (design: Basket).
const BASKET_LIFE: Delay = Delay::days(30);

/// What a rule enrols once: a visit, a basket, an order, a stay in a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    pub start: Timestamp,
    /// The latest moment in it, from which the rule counts.
    pub moment: Timestamp,
    /// The order that it is, for rules that count from one.
    pub order_id: Option<String>,
    /// An order placed later than this ends the enrolment.
    pub stops_after: Timestamp,
    /// When it falls due, where that is not the moment plus the rule's delay.
    pub(super) falls_due: Option<Timestamp>,
    /// Late news causes no late mail: what falls due before this is left alone.
    floor: Option<Timestamp>,
}

/// Why a rule has nothing to say about a customer now; nothing of it is recorded, `why` recomputes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Silence {
    /// What the trigger waits for has not happened.
    NothingHappened,
    /// An order closed the moment before it fell due.
    Bought {
        placed_at: Timestamp,
    },
    /// `win_back`: too long ago.
    TooLong {
        last_order_at: Timestamp,
    },
    NotDueYet {
        due_at: Timestamp,
    },
    DueBeforeLive {
        due_at: Timestamp,
    },
    /// The fact came after its due time.
    ToldTooLate {
        due_at: Timestamp,
    },
    /// Fell due, and the time in which it was of use is over.
    Over {
        due_at: Timestamp,
    },
}

impl Silence {
    pub fn reason(&self) -> Reason {
        match self {
            Self::NothingHappened => Reason::NothingHappened,
            Self::Bought { .. } => Reason::Bought,
            Self::NotDueYet { .. } => Reason::NotDueYet,
            Self::DueBeforeLive { .. } => Reason::DueBeforeLive,
            Self::ToldTooLate { .. } => Reason::ToldTooLate,
            Self::Over { .. } | Self::TooLong { .. } => Reason::UsefulUntilPassed,
        }
    }
}

impl Episode {
    /// The episode that `rule` would write about now, whether due or not.
    pub fn current(rule: &StoredRule, moments: &Moments, now: Timestamp) -> Result<Self, Silence> {
        let episode = Self::last(rule, moments, now)?;
        match moments.last_placed_at {
            Some(placed_at) if placed_at > episode.stops_after && closed_by_order(rule) => {
                Err(Silence::Bought { placed_at })
            }
            _ => Ok(episode),
        }
    }

    /// As [`Episode::current`], also where an order has closed it since.
    pub fn last(rule: &StoredRule, moments: &Moments, now: Timestamp) -> Result<Self, Silence> {
        Ok(match &rule.rule.trigger.kind {
            TriggerKind::VisitedWithoutBuying { .. } => {
                let visit = moments.visit.as_ref().ok_or(Silence::NothingHappened)?;
                Self::within(visit.started_at, visit.last_seen_at, visit.floor)
            }
            TriggerKind::CartAbandoned { .. } | TriggerKind::CheckoutAbandoned { .. } => {
                let basket = match rule.rule.trigger.kind {
                    TriggerKind::CartAbandoned { .. } => &moments.cart,
                    _ => &moments.checkout,
                };
                let basket = basket.as_ref().filter(|b| b.at.plus(BASKET_LIFE) >= now);
                let basket = basket.ok_or(Silence::NothingHappened)?;
                Self::within(basket.started_at, basket.at, basket.floor)
            }
            TriggerKind::FirstOrder { .. } => Self::of_order(&moments.first_order)?,
            TriggerKind::Order { .. } | TriggerKind::RepurchaseDue { after: Some(_) } => {
                Self::of_order(&moments.last_order)?
            }
            TriggerKind::RepurchaseDue { after: None } => {
                let expected = expected(rule, moments).ok_or(Silence::NothingHappened)?;
                Self { falls_due: Some(expected), ..Self::of_order(&moments.last_order)? }
            }
            TriggerKind::WinBack { until, .. } => {
                let episode = Self::of_order(&moments.last_order)?;
                if until.is_some_and(|until| episode.moment.plus(until) < now) {
                    return Err(Silence::TooLong { last_order_at: episode.moment });
                }
                episode
            }
            TriggerKind::SegmentEntered { segment, .. } => match &moments.segment {
                Some((current, since)) if current == segment => Self::stay(*since),
                _ => return Err(Silence::NothingHappened),
            },
            TriggerKind::AtRisk { .. } => {
                let stay = moments.at_risk.iter().find(|(id, _)| *id == rule.id);
                Self::stay(stay.ok_or(Silence::NothingHappened)?.1)
            }
            TriggerKind::Date { field, offset } => {
                Self::of_day(rule, field, *offset, moments, now)?
            }
            // Only who is asked by a firing is asked at all: the audience is that of its hour.
            TriggerKind::Schedule { .. } => match moments.firing {
                Some((id, fired_at)) if id == rule.id => Self::stay(fired_at),
                _ => return Err(Silence::NothingHappened),
            },
        })
    }

    /// The last such day while it is in the rule's window, else the next one. The order or profile that tells of it
    /// may be younger than the day: of a day once lived through, the first anniversary is a year later.
    fn of_day(
        rule: &StoredRule,
        field: &str,
        offset: DayOffset,
        moments: &Moments,
        now: Timestamp,
    ) -> Result<Self, Silence> {
        let (told, floor, from) = if field == FIRST_ORDER {
            let order = moments.first_order.as_ref().ok_or(Silence::NothingHappened)?;
            let day = DayTold::from(order.at.day_in(&moments.zone));
            (day, order.floor, day.year.map(|year| year + 1))
        } else {
            let known = moments.days.get(field).ok_or(Silence::NothingHappened)?;
            (known.day, Some(known.floor), known.day.year)
        };
        let this_year = now.day_in(&moments.zone).year();
        let days = (this_year - 2..=this_year + 2)
            .filter(|year| from.is_none_or(|from| *year >= from))
            .filter_map(|year| told.in_year(year)?.checked_add(offset.span()).ok())
            .map(|day| (moments.zone.start_of(day), day));
        let (past, coming): (Vec<_>, Vec<_>) = days.partition(|(begins, _)| *begins <= now);
        let last = past.last().filter(|(begins, _)| *begins > now.minus(window(rule)));
        let (begins, day) = last.or(coming.first()).ok_or(Silence::NothingHappened)?;
        let start = episode_of(*day);
        Ok(Self {
            start,
            moment: start,
            order_id: None,
            stops_after: *begins,
            falls_due: Some(*begins),
            floor,
        })
    }

    /// In a segment, or beyond a line: an order placed since ends it.
    fn stay(since: Timestamp) -> Self {
        Self {
            start: since,
            moment: since,
            order_id: None,
            stops_after: since,
            falls_due: None,
            floor: None,
        }
    }

    /// Of a visit or a basket: any order placed from its beginning on closes it.
    fn within(start: Timestamp, moment: Timestamp, floor: Option<Timestamp>) -> Self {
        let stops_after = Timestamp(start.0 - 1);
        Self { start, moment, order_id: None, stops_after, falls_due: None, floor }
    }

    fn of_order(order: &Option<OrderMoment>) -> Result<Self, Silence> {
        let order = order.as_ref().ok_or(Silence::NothingHappened)?;
        Ok(Self {
            start: order.at,
            moment: order.at,
            order_id: order.order_id.clone(),
            stops_after: order.told_until,
            falls_due: None,
            floor: order.floor,
        })
    }

    /// When it falls due, if it is due at `now` by state: within the rule's window, and not by late news.
    pub fn due(&self, rule: &StoredRule, now: Timestamp) -> Result<Timestamp, Silence> {
        let raw = self.falls_due.unwrap_or(self.moment.plus(rule.rule.trigger.kind.after()));
        if raw > now {
            return Err(Silence::NotDueYet { due_at: raw });
        }
        let live_since = rule.live_since.unwrap_or(now);
        // What the operator asks for from before counts as due when the rule went live.
        let due_at = match rule.rule.include_past {
            Some(past) if raw <= live_since && raw > live_since.minus(past) => live_since,
            _ if raw <= live_since => return Err(Silence::DueBeforeLive { due_at: raw }),
            _ => raw,
        };
        if self.floor.is_some_and(|floor| due_at < floor) {
            return Err(Silence::ToldTooLate { due_at });
        }
        if due_at <= now.minus(window(rule)) {
            return Err(Silence::Over { due_at });
        }
        Ok(due_at)
    }

    /// Whether `enrolment`, of the same rule, is of this episode.
    pub fn is_of(&self, enrolment: &Enrolment) -> bool {
        match (&self.order_id, &enrolment.order_id) {
            (Some(ours), Some(theirs)) if ours == theirs => true,
            // The same instant under two ids is one purchase told twice.
            _ => enrolment.touches(self.start, self.moment),
        }
    }
}

/// When a customer is expected to buy again: the first of the products that they buy again, else anything. What was
/// expected before the rule went live is left alone, and the next product has its turn.
fn expected(rule: &StoredRule, moments: &Moments) -> Option<Timestamp> {
    let live_since = rule.live_since.unwrap_or(Timestamp::MAX);
    let from = rule.rule.include_past.map_or(live_since, |past| live_since.minus(past));
    let mut products = moments.repurchases.iter().map(|product| product.expected_at);
    let first = products.clone().next();
    products.find(|at| *at > from).or(first).or(moments.next_order_expected_at)
}

/// How far back what fell due is still looked at: an outage shorter than that loses nothing.
pub fn window(rule: &StoredRule) -> Delay {
    match rule.rule.trigger.kind {
        // A firing that is of no use any more is not made up, and nobody is told so.
        TriggerKind::Schedule { .. } => rule.rule.trigger.useful_for,
        _ => rule.rule.trigger.useful_for.max(Delay::hours(72)),
    }
}

/// The rules between which the stage ladder holds within one episode.
pub fn is_of_visit_or_basket(rule: &StoredRule) -> bool {
    matches!(
        rule.rule.trigger.kind,
        TriggerKind::VisitedWithoutBuying { .. }
            | TriggerKind::CartAbandoned { .. }
            | TriggerKind::CheckoutAbandoned { .. }
    )
}
