//! A message of the outbox: one step of one enrolment, once.

use diesel::prelude::*;

use crate::db::schema::messages;
use crate::ledger::Reason;
use crate::primitives::{CustomerId, EnrolmentId, MessageId, RuleId, StoreId, Timestamp};
use crate::rules::Class;
use crate::text_enum;

text_enum! {
    pub enum MessageStatus {
        Scheduled = "scheduled",
        /// Leased by a worker: it may be on its way.
        Sending = "sending",
        Sent = "sent",
        Failed = "failed",
        Cancelled = "cancelled",
        /// Handed over perhaps: nobody knows.
        InDoubt = "in_doubt",
    }
}

#[derive(Debug, Clone, PartialEq, HasQuery)]
#[diesel(table_name = messages)]
pub struct Message {
    pub customer_id: CustomerId,
    pub id: MessageId,
    pub store_id: StoreId,
    pub rule_id: RuleId,
    pub rule_version: i32,
    pub enrolment_id: EnrolmentId,
    /// From 1.
    pub step: i32,
    pub class: Class,
    pub status: MessageStatus,
    pub scheduled_at: Timestamp,
    pub useful_until: Timestamp,
    /// The first `scheduled_at`: the waits between steps are the differences of these.
    pub planned_for: Timestamp,
    /// Why it is deferred now.
    pub held_for: Option<Reason>,
    pub cancelled_for: Option<Reason>,
    pub attempts: i32,
    /// Business time of the last attempt.
    pub claimed_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    /// Of a rule in shadow: it goes as far as the door, and never leaves.
    pub shadow: bool,
}

impl Message {
    /// When it left, or may have left, to its customer, or would have; what caps and gaps count.
    pub fn left_at(&self) -> Option<Timestamp> {
        match self.status {
            MessageStatus::Cancelled if self.would_have_left() => self.claimed_at,
            MessageStatus::Sent => self.sent_at,
            MessageStatus::Sending | MessageStatus::InDoubt => self.claimed_at,
            _ => None,
        }
    }

    /// Whether nothing but the shadow kept it back.
    pub fn would_have_left(&self) -> bool {
        self.shadow && self.cancelled_for == Some(Reason::Shadow) && self.claimed_at.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Insertable)]
#[diesel(table_name = messages, treat_none_as_default_value = false)]
pub struct NewMessage {
    pub customer_id: CustomerId,
    pub id: MessageId,
    pub store_id: StoreId,
    pub rule_id: RuleId,
    pub rule_version: i32,
    pub enrolment_id: EnrolmentId,
    pub step: i32,
    pub class: Class,
    pub status: MessageStatus,
    pub scheduled_at: Timestamp,
    pub useful_until: Timestamp,
    pub planned_for: Timestamp,
    pub attempts: i32,
    pub shadow: bool,
    /// Of the wordings that are tried against each other, the one that was drawn.
    pub variant: Option<String>,
}
