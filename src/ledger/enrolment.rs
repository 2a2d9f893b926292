//! An enrolment: one customer, one rule, one episode, considered once.

use diesel::prelude::*;

use super::Reason;
use crate::db::schema::enrolments;
use crate::primitives::{CustomerId, EnrolmentId, RuleId, StoreId, Timestamp};
use crate::text_enum;

text_enum! {
    pub enum EnrolmentStatus {
        /// Has messages to come.
        Active = "active",
        /// A stronger rule comes first; asked again at `retry_at`.
        Waiting = "waiting",
        /// All steps are settled, and one at least was sent.
        Completed = "completed",
        /// Ended early: bought, outranked, no longer allowed.
        Stopped = "stopped",
        /// In the part of the experiment that gets nothing.
        HeldOut = "held_out",
        /// Asked at due time and turned down.
        Refused = "refused",
        /// Nothing was sent while it was of use.
        Expired = "expired",
    }
}

#[derive(Debug, Clone, PartialEq, HasQuery, Insertable)]
#[diesel(table_name = enrolments, treat_none_as_default_value = false)]
pub struct Enrolment {
    pub customer_id: CustomerId,
    pub id: EnrolmentId,
    pub store_id: StoreId,
    pub rule_id: RuleId,
    pub rule_version: i32,
    /// When the visit, basket, order or stay began.
    pub episode: Timestamp,
    /// The latest moment seen in it.
    pub episode_until: Timestamp,
    /// The order that the episode is, for rules that count from one.
    pub order_id: Option<String>,
    pub due_at: Timestamp,
    pub useful_until: Timestamp,
    pub status: EnrolmentStatus,
    pub reason: Option<Reason>,
    /// An order placed later than this ends it.
    pub stops_after: Timestamp,
    pub created_at: Timestamp,
    /// When it entered, or was held out.
    pub enrolled_at: Option<Timestamp>,
    pub retry_at: Option<Timestamp>,
    /// Of a rule that only says what it would do. No other rule knows of it, nor the same one once it is live.
    pub shadow: bool,
}

impl Enrolment {
    /// Whether it still can lead to a message.
    pub fn is_open(&self) -> bool {
        matches!(self.status, EnrolmentStatus::Active | EnrolmentStatus::Waiting)
    }

    /// Whether the customer entered the rule, be it into the part that gets nothing.
    pub fn entered(&self) -> bool {
        self.enrolled_at.is_some()
    }

    /// Whether the two spans have an instant in common: then they are one episode.
    pub fn touches(&self, from: Timestamp, until: Timestamp) -> bool {
        self.episode <= until && from <= self.episode_until
    }
}
