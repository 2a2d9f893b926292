//! What is known of one customer when something is decided about them, loaded for many at once.
//!
//! Knows facts, not rules: planner and outbox judge by it, each for itself.

pub mod audience;
mod behaviour;
#[cfg(test)]
pub mod samples;
pub mod store;
pub mod weak;

use std::collections::BTreeMap;

pub use crate::customers::ConsentState;
use crate::customers::DayKnown;
use crate::ledger::Enrolment;
use crate::primitives::{CustomerId, EmailAddress, EnrolmentId, RuleId, Timestamp, Zone};
use crate::rules::condition::Subject;
use crate::text_enum;

text_enum! {
    /// Which part of an experiment a customer is in.
    pub enum Arm {
        Treatment = "treatment",
        Holdout = "holdout",
    }
}

/// Whether somebody may be written to at all, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    pub address: Option<EmailAddress>,
    pub consent: ConsentState,
    /// The address is on the suppression list.
    pub suppressed: bool,
    /// The customer's own, else the store's.
    pub zone: Zone,
}

/// All that a decision about one customer may depend on, but for the rules, the settings and `now`.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    pub customer: CustomerId,
    /// The strongest name the customer is known by: what experiments are drawn from, so that a replay draws alike.
    pub identity: String,
    pub standing: Standing,
    pub moments: Moments,
    /// What audiences are asked of.
    pub subject: Subject,
    pub enrolments: Vec<Enrolment>,
    /// Experiment and arm, drawn before.
    pub arms: Vec<(String, Arm)>,
}

/// The times a rule can count from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    pub visit: Option<VisitMoment>,
    pub visits_count: i32,
    /// The open basket last touched, and the one whose checkout was.
    pub cart: Option<BasketMoment>,
    pub checkout: Option<BasketMoment>,
    /// All open baskets: when each began and was last touched.
    pub open_baskets: Vec<(Timestamp, Timestamp)>,
    pub first_order: Option<OrderMoment>,
    pub last_order: Option<OrderMoment>,
    /// Any order placed, counting or not: it closes visits and baskets and stops steps.
    pub last_placed_at: Option<Timestamp>,
    /// When the next order is expected by what was learnt; `None` also until that is known of the last order.
    pub next_order_expected_at: Option<Timestamp>,
    /// Segment, and since when.
    pub segment: Option<(String, Timestamp)>,
    /// Days of the year that the profile tells, by their names.
    pub days: BTreeMap<String, DayKnown>,
    /// The customer's own, else the store's: where days begin.
    pub zone: Zone,
    /// Where schedules are read.
    pub store_zone: Zone,
    /// The firing of a schedule that is carried out now.
    pub firing: Option<(RuleId, Timestamp)>,
    /// The products that they are expected to buy again, soonest first; none until that is known of the last order.
    pub repurchases: Vec<RepurchaseMoment>,
    /// Beyond the lines of which `at_risk` rules, and since when.
    pub at_risk: Vec<(RuleId, Timestamp)>,
    /// Clicks on links of mails by people, where some step waits for one. In any order.
    pub clicks: Vec<Click>,
    /// The last order of somebody who shares a phone number or a device with them: it may hold mail back, no more.
    pub weak_order: Option<WeakOrder>,
}

/// A person followed a link of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Click {
    pub enrolment: EnrolmentId,
    /// Of the message, from 1.
    pub step: i32,
    pub at: Timestamp,
}

/// Since when a segment, shown since `since`, counts as entered.
///
/// Whoever is scored for the first time was found in it, by an import perhaps, and did not enter it then: they count
/// from `first`, their first order or, of visitors, when they were first seen. `first_scored` is when they were scored
/// first at all, or of a buyers' segment, first as a buyer.
pub fn entered_at(
    since: Timestamp,
    first_scored: Option<Timestamp>,
    first: Option<Timestamp>,
) -> Timestamp {
    match first_scored {
        Some(at) if at < since => since,
        _ => first.map_or(since, |first| first.min(since)),
    }
}

text_enum! {
    /// What two customers share who may be one household, or one person.
    pub enum WeakLink {
        Phone = "phone",
        Device = "device",
    }
}

/// An order of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeakOrder {
    pub link: WeakLink,
    pub customer: CustomerId,
    pub placed_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VisitMoment {
    pub started_at: Timestamp,
    pub last_seen_at: Timestamp,
    pub product_views: i32,
    pub floor: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BasketMoment {
    pub started_at: Timestamp,
    /// The last change of the cart, or the last word of its checkout.
    pub at: Timestamp,
    pub floor: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RepurchaseMoment {
    pub product_id: String,
    pub name: Option<String>,
    pub expected_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderMoment {
    pub order_id: Option<String>,
    /// By the earliest word of any source.
    pub at: Timestamp,
    /// By the latest of its sources' first words: it must not be taken for an order placed after itself.
    pub told_until: Timestamp,
    pub floor: Option<Timestamp>,
}
