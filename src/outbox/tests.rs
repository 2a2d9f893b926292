//! The door by value: who may leave, who waits, and until when.

use proptest::prelude::*;

use super::door::{House, Knock, Verdict, judge};
use super::{Message, MessageStatus};
use crate::ledger::{Enrolment, EnrolmentStatus, Reason};
use crate::primitives::{CustomerId, Delay, EnrolmentId, MessageId, StoreId, Timestamp};
use crate::rules::{Class, RuleStatus, StoredRule};
use crate::situation::samples::*;
use crate::situation::{ConsentState, Situation};
use crate::stores::{Cap, Store};

/// Ann's browse reminder, due at t0, and all that the door knows of it.
struct Scene {
    store: Store,
    rule: StoredRule,
    enrolment: Enrolment,
    message: Message,
    previous: Option<Message>,
    ann: Situation,
    left: Vec<Timestamp>,
    house: House,
}

fn scene() -> Scene {
    let rule = rule(1, "browse", browse(hours(4)));
    let seen = t0().minus(hours(4));
    let enrolment = enrolment(&rule, seen, seen, EnrolmentStatus::Active);
    let message = Message {
        customer_id: CustomerId(7),
        id: MessageId(1),
        store_id: StoreId(1),
        rule_id: rule.id,
        rule_version: 1,
        enrolment_id: EnrolmentId(enrolment.id.0),
        step: 1,
        class: Class::Marketing,
        status: MessageStatus::Scheduled,
        scheduled_at: t0(),
        useful_until: t0().plus(hours(72)),
        planned_for: t0(),
        held_for: None,
        cancelled_for: None,
        attempts: 0,
        claimed_at: None,
        sent_at: None,
        shadow: false,
    };
    let mut ann = ann();
    ann.standing.zone = "Asia/Shanghai".parse().unwrap();
    Scene {
        store: store(),
        rule,
        enrolment,
        message,
        previous: None,
        ann,
        left: Vec::new(),
        house: House::default(),
    }
}

impl Scene {
    fn judged_at(&self, now: Timestamp) -> Verdict {
        judge(&Knock {
            message: &self.message,
            store: &self.store,
            rule: Some(&self.rule),
            enrolment: Some(&self.enrolment),
            situation: Some(&self.ann),
            previous: self.previous.as_ref(),
            left: &self.left,
            house: self.house,
            now,
        })
    }

    /// Why it is held up, and until when.
    fn held_at(&self, now: Timestamp) -> Option<(Reason, Timestamp)> {
        match self.judged_at(now) {
            Verdict::Defer { until, reason, .. } => Some((reason, until)),
            Verdict::Send => None,
            other => panic!("{other:?}"),
        }
    }
}

fn ends_with(verdict: &Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Stop { reason, .. } | Verdict::Bar { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn what_nothing_holds_up_leaves() {
    assert_eq!(scene().judged_at(t0()), Verdict::Send);
}

#[test]
fn what_ends_it_for_good_is_named_before_what_holds_it_up() {
    let mut scene = scene();
    scene.left = vec![t0().minus(hours(1))];
    assert_eq!(scene.held_at(t0()).map(|held| held.0), Some(Reason::MinGap));
    scene.ann.standing.suppressed = true;
    assert_eq!(ends_with(&scene.judged_at(t0())), Some(Reason::Suppressed));
    scene.ann.standing.address = None;
    assert_eq!(ends_with(&scene.judged_at(t0())), Some(Reason::NoAddress));
    scene.ann.standing.consent = ConsentState::Withdrawn;
    assert_eq!(ends_with(&scene.judged_at(t0())), Some(Reason::NoConsent));
    scene.ann.moments.last_placed_at = Some(t0().minus(hours(1)));
    assert_eq!(ends_with(&scene.judged_at(t0())), Some(Reason::Bought));
    scene.enrolment.status = EnrolmentStatus::Stopped;
    assert_eq!(scene.judged_at(t0()), Verdict::Cancel { reason: None });
    scene.rule.status = RuleStatus::Paused;
    assert_eq!(scene.held_at(t0()), Some((Reason::Paused, t0().plus(hours(1)))));
}

#[test]
fn service_mail_is_held_up_by_nothing_but_a_suppression() {
    let mut scene = scene();
    scene.message.class = Class::Service;
    scene.left = vec![t0(); 9];
    scene.ann.standing.consent = ConsentState::Withdrawn;
    let midnight = t0().plus(hours(12));
    assert_eq!(scene.judged_at(midnight), Verdict::Send);
    scene.ann.standing.suppressed = true;
    assert_eq!(ends_with(&scene.judged_at(midnight)), Some(Reason::Suppressed));
}

#[test]
fn a_gap_is_kept_to_the_microsecond() {
    let mut scene = scene();
    let last = t0().minus(hours(15));
    scene.left = vec![last, last.minus(Delay::days(5))];
    scene.store.sending.cap = None;
    assert_eq!(scene.held_at(t0()), Some((Reason::MinGap, last.plus(hours(16)))));
    scene.store.sending.quiet_hours = None;
    assert_eq!(scene.held_at(last.plus(hours(16))), None);
}

#[test]
fn a_full_window_has_room_again_when_its_oldest_leaves() {
    let mut scene = scene();
    scene.store.sending.min_gap = None;
    scene.store.sending.quiet_hours = None;
    scene.message.useful_until = Timestamp::MAX;
    let days_ago = |n| t0().minus(Delay::days(n));
    scene.left = vec![days_ago(6), days_ago(1)];
    assert_eq!(scene.held_at(t0()), Some((Reason::Cap, t0().plus(Delay::days(1)))));
    scene.left = vec![days_ago(6), days_ago(1), days_ago(2)];
    assert_eq!(scene.held_at(t0()), Some((Reason::Cap, t0().plus(Delay::days(5)))));
    scene.left = vec![days_ago(7), days_ago(1)];
    assert_eq!(scene.held_at(t0()), None);
}

#[test]
fn a_deferral_past_its_use_brings_it_back_to_expire() {
    let mut scene = scene();
    scene.message.useful_until = t0().plus(hours(2));
    scene.left = vec![t0().minus(hours(1))];
    let back = Timestamp(t0().plus(hours(2)).0 + 1);
    assert_eq!(scene.held_at(t0()), Some((Reason::MinGap, back)));
    assert!(matches!(scene.judged_at(back), Verdict::Expire { .. }));
}

#[test]
fn a_step_waits_for_the_one_before_and_counts_from_when_it_left() {
    let mut scene = scene();
    scene.store.sending.min_gap = None;
    let planned = t0().minus(Delay::days(1));
    let before = |status, left: Option<Timestamp>| Message {
        status,
        planned_for: planned,
        scheduled_at: planned,
        sent_at: left,
        claimed_at: left,
        ..scene.message.clone()
    };
    let late = t0().minus(hours(1));
    let previous = [
        (before(MessageStatus::Sent, Some(planned)), None),
        (before(MessageStatus::Sent, Some(late)), Some(late.plus(Delay::days(1)))),
        (before(MessageStatus::InDoubt, Some(late)), Some(late.plus(Delay::days(1)))),
        (before(MessageStatus::Sending, Some(t0())), Some(t0().plus(Delay::days(1)))),
        (before(MessageStatus::Scheduled, None), Some(t0().plus(Delay::days(1)))),
        (before(MessageStatus::Failed, None), None),
        (before(MessageStatus::Cancelled, None), None),
    ];
    scene.message.step = 2;
    for (message, expected) in previous {
        scene.previous = Some(message);
        let at = match scene.judged_at(t0()) {
            Verdict::Reschedule { at, useful_until } => {
                assert_eq!(useful_until, at.plus(hours(72)));
                Some(at)
            }
            Verdict::Send => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(at, expected, "{:?}", scene.previous);
    }
}

proptest! {
    #[test]
    fn no_marketing_mail_leaves_without_consent_or_past_a_guardrail(
        consent in prop::sample::select(ConsentState::ALL),
        suppressed in any::<bool>(),
        bought in any::<bool>(),
        ages in prop::collection::vec(0..400_i64, 0..6),
        hour in 0..70_i64,
    ) {
        let mut scene = scene();
        scene.ann.standing.consent = consent;
        scene.ann.standing.suppressed = suppressed;
        scene.ann.moments.last_placed_at = bought.then(|| t0().minus(hours(1)));
        let now = t0().plus(hours(hour));
        scene.left = ages.iter().map(|age| now.minus(hours(*age))).collect();
        if scene.judged_at(now) == Verdict::Send {
            prop_assert!(consent == ConsentState::Granted && !suppressed && !bought);
            prop_assert!(ages.iter().all(|age| *age >= 16));
            prop_assert!(ages.iter().filter(|age| **age < 7 * 24).count() < 2);
            let local = scene.ann.standing.zone.tz().to_datetime(now.to_jiff()).hour();
            prop_assert!((9..21).contains(&local));
        }
    }

    #[test]
    fn a_deferral_always_leads_to_a_later_time(
        ages in prop::collection::vec(0..400_i64, 0..6), messages in 1..4_u32, hour in 0..70_i64,
    ) {
        let mut scene = scene();
        scene.store.sending.cap = Some(Cap { messages, within: Delay::days(7) });
        let now = t0().plus(hours(hour));
        scene.left = ages.iter().map(|age| now.minus(hours(*age))).collect();
        if let Verdict::Defer { until, .. } = scene.judged_at(now) {
            prop_assert!(until > now);
            prop_assert!(until <= Timestamp(scene.message.useful_until.0 + 1));
        }
    }
}

#[test]
fn a_message_in_shadow_goes_as_far_as_the_door_of_its_own_shadow_alone() {
    let mut scene = scene();
    scene.message.shadow = true;
    let said = scene.judged_at(t0());
    assert!(
        matches!(said, Verdict::Defer { reason: Reason::Paused, .. }),
        "its rule is live: {said:?}"
    );
    scene.rule.status = RuleStatus::Shadow;
    assert_eq!(
        scene.judged_at(t0()),
        Verdict::Send,
        "which the claim turns into a line of the ledger"
    );
    scene.message.shadow = false;
    let said = scene.judged_at(t0());
    assert!(matches!(said, Verdict::Defer { reason: Reason::Paused, .. }), "begun live: {said:?}");
}

#[test]
fn a_day_has_its_budget_and_service_mail_needs_none() {
    let mut scene = scene();
    scene.store.sending.daily_budget = Some(10);
    scene.house.sent_today = 9;
    assert_eq!(scene.judged_at(t0()), Verdict::Send);
    scene.house.sent_today = 10;
    // Noon of the first of June in Shanghai: the second begins at 16:00 UTC.
    let tomorrow = "2026-06-01T16:00:00Z".parse().unwrap();
    assert_eq!(scene.held_at(t0()), Some((Reason::DailyBudget, tomorrow)));
    scene.message.class = Class::Service;
    assert_eq!(scene.judged_at(t0()), Verdict::Send);
}

#[test]
fn while_no_orders_come_in_mail_waits_that_an_order_would_stop() {
    let mut scene = scene();
    scene.store.sending.feed_max_age = Some(hours(24));
    let again = t0().plus(Delay::seconds(900));
    assert_eq!(scene.held_at(t0()), Some((Reason::FeedStale, again)), "no order was ever told of");
    scene.house.newest_order = Some(t0().minus(hours(25)));
    assert_eq!(scene.held_at(t0()), Some((Reason::FeedStale, again)));
    scene.house.newest_order = Some(t0().minus(hours(24)));
    assert_eq!(scene.judged_at(t0()), Verdict::Send);
}
