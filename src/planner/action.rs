//! What a pass does about a customer, as values: the planner decides on them, the store writes them, a replay lives
//! by them.

use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Outcome, Reason};
use crate::primitives::{CustomerId, EnrolmentId, Timestamp, Zone};
use crate::rules::{RuleStatus, StoredRule};
use crate::situation::Arm;

/// An enrolment to be written: new, or a waiting one that has its answer now.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Index into the pass's rules.
    pub rule: usize,
    /// The row that waited, if one did.
    pub waiting: Option<EnrolmentId>,
    pub episode: Timestamp,
    pub episode_until: Timestamp,
    pub order_id: Option<String>,
    pub stops_after: Timestamp,
    pub due_at: Timestamp,
    pub useful_until: Timestamp,
    pub facts: Facts,
    /// The customer's, where steps have a time of day.
    pub zone: Zone,
    /// By which the customer's lots are drawn.
    pub identity: String,
}

impl Entry {
    /// The row of a new enrolment in `rule`, without a reason and waiting for nothing.
    pub fn row(
        &self,
        rule: &StoredRule,
        customer: CustomerId,
        id: EnrolmentId,
        status: EnrolmentStatus,
        now: Timestamp,
    ) -> Enrolment {
        Enrolment {
            customer_id: customer,
            id,
            store_id: rule.store,
            rule_id: rule.id,
            rule_version: rule.version,
            episode: self.episode,
            episode_until: self.episode_until,
            order_id: self.order_id.clone(),
            due_at: self.due_at,
            useful_until: self.useful_until,
            status,
            reason: None,
            stops_after: self.stops_after,
            created_at: now,
            enrolled_at: enrolled_at(status, now),
            retry_at: None,
            shadow: rule.status == RuleStatus::Shadow,
        }
    }
}

/// When an enrolment that gets `status` now entered its rule, if it did: the held out are analysed as entered.
pub fn enrolled_at(status: EnrolmentStatus, now: Timestamp) -> Option<Timestamp> {
    matches!(status, EnrolmentStatus::Active | EnrolmentStatus::HeldOut).then_some(now)
}

/// One thing to be done about one customer.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Enters the rule: all steps are planned, the first for `from`.
    Enrol { entry: Entry, from: Timestamp },
    /// A stronger rule comes first: asked again at `retry_at`.
    Wait { entry: Entry, retry_at: Timestamp },
    /// Turned down for this episode.
    Refuse { entry: Entry, status: EnrolmentStatus, outcome: Outcome, reason: Reason },
    /// A waiting enrolment keeps waiting, until a new time.
    WaitOn { rule: usize, enrolment: EnrolmentId, retry_at: Timestamp },
    /// Ends an open enrolment.
    Stop {
        rule: usize,
        enrolment: EnrolmentId,
        from: EnrolmentStatus,
        reason: Reason,
        facts: Facts,
    },
    /// A later moment came inside the episode: what is unsent is due `due_at` or later.
    /// The zone is the customer's, where steps have a time of day.
    Stretch { rule: usize, enrolment: EnrolmentId, until: Timestamp, due_at: Timestamp, zone: Zone },
    /// Keeps the arm of an experiment, drawn at first eligibility with this share held out.
    Assign { experiment: String, arm: Arm, share: f64 },
}

impl Action {
    /// The rule that it is about; `None` for the arm of an experiment.
    pub fn rule(&self) -> Option<usize> {
        match self {
            Self::Enrol { entry, .. } | Self::Wait { entry, .. } | Self::Refuse { entry, .. } => {
                Some(entry.rule)
            }
            Self::WaitOn { rule, .. } | Self::Stop { rule, .. } | Self::Stretch { rule, .. } => {
                Some(*rule)
            }
            Self::Assign { .. } => None,
        }
    }
}
