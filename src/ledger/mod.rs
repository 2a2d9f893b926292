//! The ledger: who was considered by which rule, what was decided, and why.
//!
//! Holds enrolments and decisions as values and rows. Decides nothing: the planner and the outbox do.

mod enrolment;
pub mod store;

use serde_json::{Map, Value};

pub use enrolment::{Enrolment, EnrolmentStatus};

use crate::primitives::{
    CustomerId, DecisionId, EnrolmentId, IdGenerator, MessageId, RuleId, StoreId, Timestamp,
};
use crate::text_enum;

text_enum! {
    /// What became of a customer, an enrolment or a message.
    pub enum Outcome {
        Enrolled = "enrolled",
        Sent = "sent",
        Deferred = "deferred",
        Suppressed = "suppressed",
        HeldOut = "held_out",
        NotEligible = "not_eligible",
        Stopped = "stopped",
        Expired = "expired",
        Failed = "failed",
        InDoubt = "in_doubt",
    }
}

text_enum! {
    /// Why. The words are part of the outer contract: they are added to, never changed.
    pub enum Reason {
        /// An order was placed since: the customer's own or, where the facts name a `weak_link`, one of somebody with the
        /// same phone or device.
        Bought = "bought",
        NoConsent = "no_consent",
        NoAddress = "no_address",
        /// The address is on the suppression list.
        Suppressed = "suppressed",
        Cap = "cap",
        MinGap = "min_gap",
        QuietHours = "quiet_hours",
        UsefulUntilPassed = "useful_until_passed",
        Holdout = "holdout",
        /// The trigger's own limits, or the audience, leave the customer out.
        Audience = "audience",
        /// Another rule came first.
        Outranked = "outranked",
        /// An earlier episode of the same rule is still being written about.
        AlreadyEnrolled = "already_enrolled",
        RecentlyEnrolled = "recently_enrolled",
        /// It fell due before the rule went live.
        DueBeforeLive = "due_before_live",
        /// It was told of only after it had fallen due.
        ToldTooLate = "told_too_late",
        FeedStale = "feed_stale",
        /// As many marketing messages as the store allows itself in a day have left.
        DailyBudget = "daily_budget",
        /// The rule is not live now.
        Paused = "paused",
        /// Would have been sent: the rule is in shadow, and sends nothing.
        Shadow = "shadow",
        /// Came back for another visit, and the rule stops on that.
        Visited = "visited",
        /// The basket was emptied, or forgotten.
        BasketClosed = "basket_closed",
        /// The moment is known and its delay is not over yet.
        NotDueYet = "not_due_yet",
        /// What the rule waits for has not happened.
        NothingHappened = "nothing_happened",
        /// The mail server asked to be tried again, or was away.
        TemporaryFailure = "temporary_failure",
        /// The mail server will never take the message.
        RefusedByServer = "refused_by_server",
        /// No attempt succeeded in the time there was.
        GaveUp = "gave_up",
        /// The message could not be put into words.
        Template = "template",
        /// Handed over, and no answer came.
        NoAnswer = "no_answer",
        /// The sender died between hand-over and record.
        SenderLost = "sender_lost",
        /// Due between a backup and its return: nobody knows what was done about it.
        Restored = "restored",
        /// The step's own question led elsewhere.
        Branch = "branch",
        /// An operator moved the enrolment to another version of its rule.
        Moved = "moved",
        /// Closed by an operator.
        Operator = "operator",
    }
}

/// The facts a decision was made on: a small JSON object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts(Map<String, Value>);

impl Facts {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &str, value: impl serde::Serialize) -> Self {
        // What cannot be shown is left out: a ledger row must never fail for a detail.
        if let Ok(value) = serde_json::to_value(value) {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// As [`Facts::with`], where the value is known.
    pub fn with_known(self, name: &str, value: Option<impl serde::Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With all that `others` say.
    pub fn and(mut self, others: Option<Self>) -> Self {
        self.0.extend(others.into_iter().flat_map(|facts| facts.0));
        self
    }

    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    fn to_text(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// One line of the ledger, to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDecision {
    pub customer: CustomerId,
    pub store: StoreId,
    pub at: Timestamp,
    pub rule: RuleId,
    pub enrolment: Option<EnrolmentId>,
    pub step: Option<i32>,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub facts: Facts,
    pub message: Option<MessageId>,
}

/// One line of the ledger as people see it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Decision {
    #[serde(skip)]
    pub id: Option<DecisionId>,
    pub at: Timestamp,
    pub rule: String,
    pub step: Option<i32>,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub facts: Map<String, Value>,
    pub message_id: Option<MessageId>,
}

/// The two clocks of a pass. They are one and the same in `serve`; `tick --at` sets the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instants {
    /// Business time: what is due, what the ledger, `sent_at`, caps and the Date header say.
    pub now: Timestamp,
    /// This machine's clock: leases, and the ids that are made.
    pub machine: Timestamp,
}

impl Instants {
    pub fn at(now: Timestamp) -> Self {
        Self { now, machine: now }
    }

    /// A new id for anything the ledger or the outbox keeps.
    pub fn new_id(self) -> i64 {
        static IDS: std::sync::LazyLock<IdGenerator> = std::sync::LazyLock::new(|| {
            let mut node = [0u8; 8];
            // Without chance to draw from, the process id tells replicas apart as well as can be.
            let node = match getrandom::fill(&mut node) {
                Ok(()) => u64::from_le_bytes(node),
                Err(_) => u64::from(std::process::id()),
            };
            IdGenerator::new(node)
        });
        IDS.next(self.machine.millis())
    }
}
