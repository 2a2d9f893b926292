//! Customers, rules and stores for the tests of those who judge them.

use super::{BasketMoment, ConsentState, Moments, OrderMoment, Situation, Standing, VisitMoment};
use crate::ledger::{Enrolment, EnrolmentStatus};
use crate::primitives::{CustomerId, Delay, EnrolmentId, RuleId, StoreId, Timestamp, Zone};
use crate::rules::{
    Class, Rule, RuleStatus, Step, StopOn, StoredRule, Subject, Trigger, TriggerKind,
};
use crate::stores::{Scoring, Sending, Store};

/// A Monday noon in Shanghai.
pub fn t0() -> Timestamp {
    "2026-06-01T04:00:00Z".parse().unwrap()
}

pub fn hours(hours: i64) -> Delay {
    Delay::hours(hours)
}

pub fn store() -> Store {
    Store {
        id: StoreId(1),
        key: "default".into(),
        name: "Lakeside Tea".into(),
        timezone: "Asia/Shanghai".parse().unwrap(),
        currency: "CNY".parse().unwrap(),
        locale: "zh-CN".into(),
        mail_from: Some("Lakeside Tea <hello@lakeside.example>".into()),
        reply_to: None,
        postal_address: Some("1 Lake Road".into()),
        sending: Sending::default(),
        scoring: Scoring::default(),
        retention: Default::default(),
        pause: None,
        resumed_at: None,
    }
}

/// A live marketing rule with one step; live for a year.
pub fn rule(id: i64, key: &str, kind: TriggerKind) -> StoredRule {
    let step = Step::sends("browse-reminder");
    StoredRule {
        id: RuleId(id),
        store: StoreId(1),
        version: 1,
        status: RuleStatus::Live,
        live_since: Some(t0().minus(Delay::days(365))),
        pause: None,
        rule: Rule {
            key: key.into(),
            name: key.into(),
            class: Class::Marketing,
            status: RuleStatus::Live,
            priority: 50,
            holdout: 0.0,
            at_most_every: None,
            include_past: None,
            stop_on: vec![StopOn::Order],
            trigger: Trigger { kind, useful_for: hours(72) },
            audience: None,
            steps: vec![step],
            tests: Vec::new(),
        },
    }
}

pub fn browse(after: Delay) -> TriggerKind {
    TriggerKind::VisitedWithoutBuying { after, min_visits: 1, min_product_views: 0 }
}

/// Reachable, agreed, and nothing has happened yet.
pub fn ann() -> Situation {
    Situation {
        customer: CustomerId(7),
        identity: "ext:ann".into(),
        standing: Standing {
            address: Some("ann@mail.example".parse().unwrap()),
            consent: ConsentState::Granted,
            suppressed: false,
            zone: Zone::utc(),
        },
        moments: Moments { visits_count: 1, ..Moments::default() },
        subject: Subject::unknown(&"CNY".parse().unwrap()),
        enrolments: Vec::new(),
        arms: Vec::new(),
    }
}

pub fn visit(from: Timestamp, until: Timestamp) -> Option<VisitMoment> {
    Some(VisitMoment { started_at: from, last_seen_at: until, product_views: 1, floor: None })
}

pub fn basket(from: Timestamp, at: Timestamp) -> Option<BasketMoment> {
    Some(BasketMoment { started_at: from, at, floor: None })
}

pub fn order(id: &str, at: Timestamp) -> Option<OrderMoment> {
    Some(OrderMoment { order_id: Some(id.into()), at, told_until: at, floor: None })
}

/// An enrolment of `rule` for the span, entered at its end.
pub fn enrolment(
    rule: &StoredRule,
    from: Timestamp,
    until: Timestamp,
    status: EnrolmentStatus,
) -> Enrolment {
    Enrolment {
        customer_id: CustomerId(7),
        id: EnrolmentId(rule.id.0 * 1_000_000 + from.0 % 1_000_000),
        store_id: StoreId(1),
        rule_id: rule.id,
        rule_version: rule.version,
        episode: from,
        episode_until: until,
        order_id: None,
        due_at: until.plus(rule.rule.trigger.kind.after()),
        useful_until: until.plus(rule.rule.trigger.kind.after()).plus(rule.rule.trigger.useful_for),
        status,
        reason: None,
        stops_after: Timestamp(from.0 - 1),
        created_at: until,
        enrolled_at: matches!(
            status,
            EnrolmentStatus::Active | EnrolmentStatus::Completed | EnrolmentStatus::HeldOut
        )
        .then_some(until),
        retry_at: (status == EnrolmentStatus::Waiting).then_some(until),
        shadow: false,
    }
}
