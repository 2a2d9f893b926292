//! A rule as a value: a moment and a delay, an audience, steps, guardrails, a holdout.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::condition::Condition;
use super::cron::Cron;
use super::step::Step;
use crate::primitives::{Delay, RuleId, StoreId, Timestamp};
use crate::stores::Pause;
use crate::text_enum;

text_enum! {
    pub enum Class {
        Marketing = "marketing",
        /// Owed to the customer: goes without marketing consent, outside caps and quiet hours; never past a suppression.
        Service = "service",
    }
}

text_enum! {
    pub enum RuleStatus {
        Draft = "draft",
        Shadow = "shadow",
        Live = "live",
        Paused = "paused",
    }
}

text_enum! {
    /// What ends an enrolment before its last step.
    pub enum StopOn {
        /// Any order placed after the episode's moment.
        Order = "order",
        /// Any visit after enrolment.
        Visit = "visit",
    }
}

/// The rule as written: what `shop.toml` holds and a rule version stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub key: String,
    pub name: String,
    pub class: Class,
    pub status: RuleStatus,
    /// 0 to 100; the higher wins within a rung of the ladder.
    pub priority: u8,
    /// Share of eligible customers kept out, 0 to 1.
    pub holdout: f64,
    pub at_most_every: Option<Delay>,
    /// Also what fell due in this span before going live.
    pub include_past: Option<Delay>,
    pub stop_on: Vec<StopOn>,
    pub trigger: Trigger,
    pub audience: Option<Condition>,
    pub steps: Vec<Step>,
    /// Its tests as they were written, for `homing rules test`; nothing that decides reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<serde_json::Value>,
}

impl Rule {
    /// Everything that it asks of a customer.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let of_steps = self.steps.iter().filter_map(|step| step.only_if.as_ref());
        self.audience.iter().chain(of_steps)
    }
}

/// From what moment, and how long after it; how long after that it is still of use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    #[serde(flatten)]
    pub kind: TriggerKind,
    pub useful_for: Delay,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TriggerKind {
    VisitedWithoutBuying {
        after: Delay,
        min_visits: u32,
        min_product_views: u32,
    },
    CartAbandoned {
        after: Delay,
    },
    CheckoutAbandoned {
        after: Delay,
    },
    FirstOrder {
        after: Delay,
    },
    Order {
        after: Delay,
    },
    /// A fixed time after the last order, or else the day that the customer's own rhythm tells.
    RepurchaseDue {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Delay>,
    },
    /// From `after` to `until` without an order.
    WinBack {
        after: Delay,
        until: Option<Delay>,
    },
    SegmentEntered {
        segment: String,
        after: Delay,
    },
    /// Beyond a line: P(alive) below the rule's own, or else on the at-risk list; and of these, who has more at risk
    /// than `value_above`, in major units of the store's currency.
    AtRisk {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        p_alive_below: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value_above: Option<f64>,
    },
    /// A day of the year, moved by some days; it begins in the customer's own zone.
    Date {
        /// A trait that tells a day, such as `birthday`; or `first_order`.
        field: String,
        offset: DayOffset,
    },
    /// A campaign to the audience, by a cron line in the store's zone.
    Schedule {
        cron: Cron,
    },
}

/// The day of the year on which a customer first ordered.
pub const FIRST_ORDER: &str = "first_order";

/// Whole days before (negative) or after a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DayOffset(pub i32);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no offset: write whole days, such as \"-3d\", \"0d\" or \"7d\", at most half a year"
)]
pub struct InvalidDayOffset(String);

impl DayOffset {
    const MOST: i32 = 183;

    pub fn span(self) -> jiff::Span {
        jiff::Span::new().days(self.0)
    }
}

impl FromStr for DayOffset {
    type Err = InvalidDayOffset;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let days = raw.trim().strip_suffix('d').and_then(|days| days.trim_end().parse().ok());
        days.filter(|days| (-Self::MOST..=Self::MOST).contains(days))
            .map(Self)
            .ok_or_else(|| InvalidDayOffset(raw.to_owned()))
    }
}

impl fmt::Display for DayOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}d", self.0)
    }
}

impl Serialize for DayOffset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DayOffset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl TriggerKind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::VisitedWithoutBuying { .. } => "visited_without_buying",
            Self::CartAbandoned { .. } => "cart_abandoned",
            Self::CheckoutAbandoned { .. } => "checkout_abandoned",
            Self::FirstOrder { .. } => "first_order",
            Self::Order { .. } => "order",
            Self::RepurchaseDue { .. } => "repurchase_due",
            Self::WinBack { .. } => "win_back",
            Self::SegmentEntered { .. } => "segment_entered",
            Self::AtRisk { .. } => "at_risk",
            Self::Date { .. } => "date",
            Self::Schedule { .. } => "schedule",
        }
    }

    /// How long after its moment it falls due.
    pub fn after(&self) -> Delay {
        match self {
            Self::VisitedWithoutBuying { after, .. }
            | Self::CartAbandoned { after }
            | Self::CheckoutAbandoned { after }
            | Self::FirstOrder { after }
            | Self::Order { after }
            | Self::WinBack { after, .. }
            | Self::SegmentEntered { after, .. } => *after,
            Self::RepurchaseDue { after } => after.unwrap_or(Delay::ZERO),
            // Each scoring is a day after the last: that is delay enough.
            Self::AtRisk { .. } => Delay::ZERO,
            Self::Date { .. } | Self::Schedule { .. } => Delay::ZERO,
        }
    }

    /// Stage ladder, strongest first (design: Rules). Service mail stands above all, whatever its trigger.
    pub fn rung(&self) -> Rung {
        match self {
            Self::CheckoutAbandoned { .. } => Rung::Checkout,
            Self::CartAbandoned { .. } => Rung::Cart,
            Self::VisitedWithoutBuying { .. } => Rung::Browse,
            Self::FirstOrder { .. } | Self::Order { .. } => Rung::AfterOrder,
            Self::RepurchaseDue { .. } => Rung::Repurchase,
            Self::SegmentEntered { .. } | Self::AtRisk { .. } => Rung::AtRisk,
            Self::WinBack { .. } => Rung::WinBack,
            Self::Date { .. } => Rung::Date,
            Self::Schedule { .. } => Rung::Schedule,
        }
    }
}

/// The order in which rules outrank each other: the smaller wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    Service,
    Checkout,
    Cart,
    Browse,
    AfterOrder,
    Repurchase,
    AtRisk,
    WinBack,
    Date,
    Schedule,
}

/// A rule in force: what is stored beside its definition.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRule {
    pub id: RuleId,
    pub store: StoreId,
    pub version: i32,
    pub status: RuleStatus,
    /// When the trigger as it stands went live; what fell due before is left alone.
    pub live_since: Option<Timestamp>,
    /// Set where the program paused it: then `status` is not what the settings say.
    pub pause: Option<Pause>,
    pub rule: Rule,
}

impl StoredRule {
    pub fn rung(&self) -> Rung {
        match self.rule.class {
            Class::Service => Rung::Service,
            Class::Marketing => self.rule.trigger.kind.rung(),
        }
    }
}
