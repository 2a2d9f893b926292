//! Decisions by value: what a rule says of somebody, and who wins.

use proptest::prelude::*;

use super::action::Action;
use super::decide::{Pass, plan};
use crate::ledger::{EnrolmentStatus, Outcome, Reason};
use crate::primitives::{Delay, Timestamp};
use crate::rules::{Class, Condition, RuleStatus, StopOn, StoredRule, TriggerKind};
use crate::secret::Secret;
use crate::situation::samples::*;
use crate::situation::{Arm, ConsentState, Situation};
use crate::stores::{ConsentMode, Store};

fn plan_with(store: &Store, rules: &[StoredRule], who: &Situation, now: Timestamp) -> Vec<Action> {
    let secret = Secret::new("0123456789abcdef");
    plan(&Pass { store, rules, secret: &secret, worth: &[], now }, who)
}

fn plan_at(rules: &[StoredRule], who: &Situation, now: Timestamp) -> Vec<Action> {
    plan_with(&store(), rules, who, now)
}

/// What was decided, in a word or two per action.
fn said(actions: &[Action], rules: &[StoredRule]) -> Vec<String> {
    let key = |index: &usize| rules[*index].rule.key.clone();
    actions
        .iter()
        .map(|action| match action {
            Action::Enrol { entry, .. } => format!("{} enrolled", key(&entry.rule)),
            Action::Wait { entry, .. } => format!("{} waits", key(&entry.rule)),
            Action::WaitOn { .. } => "waits on".into(),
            Action::Refuse { entry, outcome, reason, .. } => {
                format!("{} {outcome}/{reason}", key(&entry.rule))
            }
            Action::Stop { rule, reason, .. } => format!("{} stopped/{reason}", key(rule)),
            Action::Stretch { rule, .. } => format!("{} stretched", key(rule)),
            Action::Assign { experiment, arm, .. } => format!("{experiment}: {arm}"),
        })
        .collect()
}

/// Ann looked around from t0 to ten past, and left.
fn ann_visited() -> Situation {
    let mut ann = ann();
    ann.moments.visit = visit(t0(), t0().plus(Delay::seconds(600)));
    ann
}

/// The instant at which her visit's delay of four hours is over.
fn due() -> Timestamp {
    t0().plus(Delay::seconds(600)).plus(hours(4))
}

#[test]
fn a_visit_is_due_once_its_delay_is_over() {
    let rules = [rule(1, "browse", browse(hours(4)))];
    let ann = ann_visited();
    assert_eq!(plan_at(&rules, &ann, Timestamp(due().0 - 1)), []);
    let actions = plan_at(&rules, &ann, due());
    assert_eq!(said(&actions, &rules), ["browse enrolled"]);
    let Action::Enrol { entry, from } = &actions[0] else { panic!() };
    assert_eq!((*from, entry.due_at, entry.episode), (due(), due(), t0()));
    assert_eq!(entry.useful_until, due().plus(hours(72)));
}

#[test]
fn what_fell_due_before_the_rule_went_live_is_left_alone_unless_asked_for() {
    let mut rules = [rule(1, "browse", browse(hours(4)))];
    rules[0].live_since = Some(due());
    let now = due().plus(hours(1));
    assert_eq!(plan_at(&rules, &ann_visited(), now), []);
    rules[0].live_since = Some(Timestamp(due().0 - 1));
    assert_eq!(said(&plan_at(&rules, &ann_visited(), now), &rules), ["browse enrolled"]);

    rules[0].live_since = Some(due().plus(Delay::days(10)));
    rules[0].rule.include_past = Some(Delay::days(14));
    let now = due().plus(Delay::days(10)).plus(hours(1));
    let actions = plan_at(&rules, &ann_visited(), now);
    assert_eq!(said(&actions, &rules), ["browse enrolled"]);
    let Action::Enrol { from, .. } = &actions[0] else { panic!() };
    assert_eq!(Some(*from), rules[0].live_since, "it counts as due when the rule went live");
    rules[0].rule.include_past = Some(Delay::days(9));
    assert_eq!(plan_at(&rules, &ann_visited(), now), []);
}

#[test]
fn late_news_cause_no_late_mail() {
    let rules = [rule(1, "browse", browse(hours(4)))];
    let mut ann = ann_visited();
    let floor = |at| move |v: &mut crate::situation::VisitMoment| v.floor = Some(at);
    ann.moments.visit.as_mut().map(floor(Timestamp(due().0 + 1)));
    assert_eq!(plan_at(&rules, &ann, due().plus(hours(1))), []);
    ann.moments.visit.as_mut().map(floor(due()));
    assert_eq!(said(&plan_at(&rules, &ann, due().plus(hours(1))), &rules), ["browse enrolled"]);
}

#[test]
fn after_an_outage_what_is_still_of_use_is_planned_and_the_rest_expires() {
    let mut rules = [rule(1, "browse", browse(hours(4)))];
    rules[0].rule.trigger.useful_for = hours(24);
    let at = |after| said(&plan_at(&rules, &ann_visited(), due().plus(after)), &rules);
    assert_eq!(at(hours(24)), ["browse enrolled"]);
    assert_eq!(at(hours(25)), ["browse expired/useful_until_passed"]);
    assert_eq!(at(hours(72)), [""; 0], "longer than the window: nothing is said");
}

#[test]
fn questions_are_asked_in_their_order() {
    let audience: Condition =
        serde_json::from_str(r#"{"field":"orders_count","op":"eq","value":5}"#).unwrap();
    let mut rules = [rule(1, "browse", browse(hours(4)))];
    rules[0].rule.audience = Some(audience);
    let mut ann = ann_visited();
    ann.standing.consent = ConsentState::None;
    ann.standing.address = None;
    ann.standing.suppressed = true;
    let asked = |ann: &Situation, rules: &[StoredRule]| said(&plan_at(rules, ann, due()), rules);
    assert_eq!(asked(&ann, &rules), ["browse suppressed/no_consent"]);
    ann.standing.consent = ConsentState::Granted;
    assert_eq!(asked(&ann, &rules), ["browse suppressed/no_address"]);
    ann.standing.address = Some("ann@mail.example".parse().unwrap());
    assert_eq!(asked(&ann, &rules), ["browse suppressed/suppressed"]);
    ann.standing.suppressed = false;
    assert_eq!(asked(&ann, &rules), ["browse not_eligible/audience"]);
    ann.subject.orders_count = Some(5);
    assert_eq!(asked(&ann, &rules), ["browse enrolled"]);

    // Service mail needs no consent, but never passes a suppression.
    rules[0].rule.class = Class::Service;
    ann.standing.consent = ConsentState::Withdrawn;
    assert_eq!(asked(&ann, &rules), ["browse enrolled"]);
    ann.standing.suppressed = true;
    assert_eq!(asked(&ann, &rules), ["browse suppressed/suppressed"]);
}

#[test]
fn opt_out_stores_write_to_all_but_those_who_refused() {
    let rules = [rule(1, "browse", browse(hours(4)))];
    let mut store = store();
    store.sending.consent = ConsentMode::OptOut;
    let mut ann = ann_visited();
    ann.standing.consent = ConsentState::None;
    assert_eq!(said(&plan_with(&store, &rules, &ann, due()), &rules), ["browse enrolled"]);
    ann.standing.consent = ConsentState::Withdrawn;
    let refused = plan_with(&store, &rules, &ann, due());
    assert_eq!(said(&refused, &rules), ["browse suppressed/no_consent"]);
}

#[test]
fn the_limits_of_the_trigger_are_those_of_the_visit() {
    let kind = |min_visits, min_product_views| TriggerKind::VisitedWithoutBuying {
        after: hours(4),
        min_visits,
        min_product_views,
    };
    for (kind, verdict) in [
        (kind(1, 1), "browse enrolled"),
        (kind(2, 1), "browse not_eligible/audience"),
        (kind(1, 2), "browse not_eligible/audience"),
    ] {
        let rules = [rule(1, "browse", kind)];
        assert_eq!(said(&plan_at(&rules, &ann_visited(), due()), &rules), [verdict]);
    }
}

#[test]
fn an_order_placed_since_closes_the_moment_without_a_row() {
    let rules = [rule(1, "browse", browse(hours(4)))];
    let mut ann = ann_visited();
    ann.moments.last_placed_at = Some(t0());
    assert_eq!(plan_at(&rules, &ann, due()), []);
    ann.moments.last_placed_at = Some(Timestamp(t0().0 - 1));
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), ["browse enrolled"]);
}

#[test]
fn an_episode_is_considered_once_however_it_grows() {
    let rules = [rule(1, "browse", browse(hours(4)))];
    let mut ann = ann_visited();
    let refused = enrolment(&rules[0], t0(), t0(), EnrolmentStatus::Refused);
    ann.enrolments = vec![refused];
    assert_eq!(plan_at(&rules, &ann, due()), [], "the visit went on since the row was written");
    // Facts told late join it to an earlier visit.
    ann.moments.visit = visit(t0().minus(hours(1)), t0().plus(hours(2)));
    assert_eq!(plan_at(&rules, &ann, due().plus(hours(3))), []);
    ann.moments.visit = visit(t0().plus(hours(5)), t0().plus(hours(5)));
    assert_eq!(said(&plan_at(&rules, &ann, t0().plus(hours(9))), &rules), ["browse enrolled"]);
}

#[test]
fn a_later_moment_inside_an_enrolled_episode_moves_what_is_unsent() {
    let rules = [rule(1, "cart", TriggerKind::CartAbandoned { after: hours(1) })];
    let mut ann = ann();
    ann.enrolments = vec![enrolment(&rules[0], t0(), t0(), EnrolmentStatus::Active)];
    let later = t0().plus(hours(2));
    ann.moments.cart = basket(t0(), later);
    ann.moments.open_baskets = vec![(t0(), later)];
    let actions = plan_at(&rules, &ann, later);
    assert_eq!(said(&actions, &rules), ["cart stretched"]);
    let Action::Stretch { until, due_at, .. } = &actions[0] else { panic!() };
    assert_eq!((*until, *due_at), (later, later.plus(hours(1))));
}

#[test]
fn open_enrolments_end_with_an_order_a_visit_or_an_emptied_basket() {
    let mut rules = [rule(1, "cart", TriggerKind::CartAbandoned { after: hours(1) })];
    let mut ann = ann();
    ann.enrolments = vec![enrolment(&rules[0], t0(), t0(), EnrolmentStatus::Active)];
    let now = t0().plus(hours(3));
    assert_eq!(said(&plan_at(&rules, &ann, now), &rules), ["cart stopped/basket_closed"]);
    ann.moments.open_baskets = vec![(t0(), t0())];
    assert_eq!(plan_at(&rules, &ann, now), []);
    ann.moments.last_placed_at = Some(t0());
    assert_eq!(said(&plan_at(&rules, &ann, now), &rules), ["cart stopped/bought"]);
    ann.moments.last_placed_at = None;
    ann.moments.visit = visit(t0().plus(hours(2)), t0().plus(hours(2)));
    assert_eq!(plan_at(&rules, &ann, now), []);
    rules[0].rule.stop_on = vec![StopOn::Visit];
    assert_eq!(said(&plan_at(&rules, &ann, now), &rules), ["cart stopped/visited"]);
}

#[test]
fn an_order_told_with_another_time_neither_enrols_again_nor_stops_its_own_mail() {
    let rules = [rule(1, "thanks", TriggerKind::Order { after: hours(1) })];
    let mut ann = ann();
    let mut thanked = enrolment(&rules[0], t0(), t0(), EnrolmentStatus::Active);
    thanked.order_id = Some("1001".into());
    thanked.stops_after = t0();
    ann.enrolments = vec![thanked];
    let corrected = t0().plus(Delay::seconds(3));
    ann.moments.last_order = order("1001", corrected);
    ann.moments.first_order = order("1001", corrected);
    ann.moments.last_placed_at = Some(corrected);
    assert_eq!(plan_at(&rules, &ann, corrected.plus(hours(1))), []);
    ann.moments.last_order = order("1002", corrected.plus(hours(2)));
    ann.moments.last_placed_at = Some(corrected.plus(hours(2)));
    let actions = plan_at(&rules, &ann, corrected.plus(hours(3)));
    assert_eq!(said(&actions, &rules), ["thanks stopped/bought", "thanks enrolled"]);
}

#[test]
fn a_first_order_is_greeted_once_in_a_life() {
    let rules = [rule(1, "welcome", TriggerKind::FirstOrder { after: hours(1) })];
    let mut ann = ann();
    ann.moments.first_order = order("1", t0());
    ann.moments.last_order = order("1", t0());
    ann.moments.last_placed_at = Some(t0());
    let now = t0().plus(hours(1));
    assert_eq!(said(&plan_at(&rules, &ann, now), &rules), ["welcome enrolled"]);
    let old = t0().minus(Delay::days(100));
    ann.enrolments = vec![enrolment(&rules[0], old, old, EnrolmentStatus::Refused)];
    assert_eq!(plan_at(&rules, &ann, now), []);
}

#[test]
fn win_back_reaches_who_ordered_long_ago_but_not_too_long_ago() {
    let days = Delay::days;
    let kind = TriggerKind::WinBack { after: days(60), until: Some(days(61)) };
    let mut rules = [rule(1, "win-back", kind)];
    rules[0].live_since = Some(t0().plus(days(40)));
    let mut ann = ann();
    ann.moments.last_order = order("1", t0());
    ann.moments.last_placed_at = Some(t0());
    assert_eq!(plan_at(&rules, &ann, t0().plus(days(59))), []);
    assert_eq!(said(&plan_at(&rules, &ann, t0().plus(days(60))), &rules), ["win-back enrolled"]);
    assert_eq!(plan_at(&rules, &ann, t0().plus(days(62))), []);
}

#[test]
fn somebody_is_enrolled_at_most_so_often() {
    let mut rules = [rule(1, "browse", browse(hours(4)))];
    rules[0].rule.at_most_every = Some(Delay::days(30));
    let mut ann = ann_visited();
    let past = t0().minus(Delay::days(29));
    ann.enrolments = vec![enrolment(&rules[0], past, past, EnrolmentStatus::Completed)];
    let refused = ["browse not_eligible/recently_enrolled"];
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), refused);
    ann.enrolments[0] = enrolment(&rules[0], past, past, EnrolmentStatus::HeldOut);
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), refused, "both arms count alike");
    ann.enrolments[0] = enrolment(&rules[0], past, past, EnrolmentStatus::Refused);
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), ["browse enrolled"]);
    ann.enrolments[0] = enrolment(&rules[0], past, past, EnrolmentStatus::Active);
    let twice = ["browse not_eligible/already_enrolled"];
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), twice);
}

#[test]
fn an_arm_is_drawn_once_and_kept() {
    let mut rules = [rule(1, "browse", browse(hours(4)))];
    rules[0].rule.holdout = 0.5;
    let arms: Vec<Vec<String>> = (0..200)
        .map(|n| {
            let who = Situation { identity: format!("ext:{n}"), ..ann_visited() };
            said(&plan_at(&rules, &who, due()), &rules)
        })
        .collect();
    let out = arms.iter().filter(|said| said[0] == "browse: holdout").count();
    assert!((70..130).contains(&out), "{out}");
    for said in &arms {
        let expected = match said[0].as_str() {
            "browse: holdout" => "browse held_out/holdout",
            _ => "browse enrolled",
        };
        assert_eq!(said[1..], [expected.to_owned()]);
    }
    let mut ann = ann_visited();
    ann.arms = vec![("browse".into(), Arm::Holdout)];
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), ["browse held_out/holdout"]);
    ann.arms = vec![("browse".into(), Arm::Treatment)];
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), ["browse enrolled"]);
    let mut everywhere = store();
    everywhere.sending.holdout = 1.0;
    let actions = plan_with(&everywhere, &rules, &ann, due());
    assert_eq!(said(&actions, &rules), ["global: holdout", "browse held_out/holdout"]);
}

fn ladder() -> [StoredRule; 3] {
    [
        rule(1, "browse", browse(hours(4))),
        rule(2, "cart", TriggerKind::CartAbandoned { after: hours(6) }),
        rule(3, "checkout", TriggerKind::CheckoutAbandoned { after: hours(1) }),
    ]
}

/// She put something into her basket during her visit.
fn ann_with_basket() -> Situation {
    let mut ann = ann_visited();
    ann.moments.cart = basket(t0(), t0().plus(Delay::seconds(300)));
    ann.moments.open_baskets = vec![(t0(), t0().plus(Delay::seconds(300)))];
    ann
}

#[test]
fn a_lower_rung_waits_while_a_higher_one_is_open_and_stops_when_it_enrols() {
    let rules = ladder();
    let mut ann = ann_with_basket();
    let actions = plan_at(&rules, &ann, due());
    assert_eq!(said(&actions, &rules), ["browse waits"]);
    let cart_due = t0().plus(Delay::seconds(300)).plus(hours(6));
    let Action::Wait { retry_at, .. } = &actions[0] else { panic!() };
    assert_eq!(*retry_at, cart_due);

    let mut waiting =
        enrolment(&rules[0], t0(), t0().plus(Delay::seconds(600)), EnrolmentStatus::Waiting);
    waiting.retry_at = Some(cart_due);
    ann.enrolments = vec![waiting.clone()];
    assert_eq!(plan_at(&rules, &ann, Timestamp(cart_due.0 - 1)), []);
    let actions = plan_at(&rules, &ann, cart_due);
    assert_eq!(said(&actions, &rules), ["browse stopped/outranked", "cart enrolled"]);

    // Where the higher one turns the customer down, the lower one has its turn.
    let refused =
        enrolment(&rules[1], t0(), t0().plus(Delay::seconds(300)), EnrolmentStatus::Refused);
    ann.enrolments = vec![waiting.clone(), refused];
    assert_eq!(said(&plan_at(&rules, &ann, cart_due), &rules), ["browse enrolled"]);
    // And where it has enrolled, the lower one never enters.
    let entered =
        enrolment(&rules[1], t0(), t0().plus(Delay::seconds(300)), EnrolmentStatus::Completed);
    ann.enrolments = vec![waiting, entered];
    assert_eq!(said(&plan_at(&rules, &ann, cart_due), &rules), ["browse stopped/outranked"]);
}

#[test]
fn an_old_basket_outranks_no_new_visit() {
    let rules = ladder();
    let mut ann = ann_visited();
    let old = t0().minus(Delay::days(10));
    ann.moments.cart = basket(old, old);
    ann.moments.open_baskets = vec![(old, old)];
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), ["browse enrolled"]);
}

#[test]
fn checkout_outranks_cart_outranks_browse() {
    let mut rules = ladder();
    rules[1].rule.trigger.kind = TriggerKind::CartAbandoned { after: hours(4) };
    rules[2].rule.trigger.kind = TriggerKind::CheckoutAbandoned { after: hours(4) };
    let mut ann = ann_with_basket();
    ann.moments.checkout = basket(t0(), t0().plus(Delay::seconds(400)));
    let actions = plan_at(&rules, &ann, due());
    assert_eq!(
        said(&actions, &rules),
        ["checkout enrolled", "cart stopped/outranked", "browse stopped/outranked"]
    );
}

#[test]
fn of_several_rules_one_wins_and_the_others_wait_while_of_use() {
    let kind = TriggerKind::Order { after: hours(1) };
    let mut rules = [
        rule(1, "b-review", kind.clone()),
        rule(2, "a-review", kind.clone()),
        rule(3, "care", kind),
        rule(4, "welcome", TriggerKind::FirstOrder { after: hours(1) }),
    ];
    rules[3].rule.priority = 60;
    rules[2].rule.class = Class::Service;
    let mut ann = ann();
    ann.moments.first_order = order("1", t0());
    ann.moments.last_order = order("1", t0());
    ann.moments.last_placed_at = Some(t0());
    let now = t0().plus(hours(1));
    let actions = plan_at(&rules, &ann, now);
    assert_eq!(
        said(&actions, &rules),
        ["care enrolled", "welcome waits", "a-review waits", "b-review waits"]
    );
    let Action::Wait { entry, retry_at } = &actions[1] else { panic!() };
    assert_eq!(*retry_at, now.plus(hours(16)), "when the winner's mail is a gap away");
    assert_eq!(entry.facts.clone().into_map()["winner"], "care");
}

#[test]
fn waiting_ends_with_its_use() {
    let rules = ladder();
    let mut ann = ann_with_basket();
    let mut waiting =
        enrolment(&rules[0], t0(), t0().plus(Delay::seconds(600)), EnrolmentStatus::Waiting);
    waiting.useful_until = due();
    ann.enrolments = vec![waiting];
    let actions = plan_at(&rules, &ann, due());
    assert_eq!(said(&actions, &rules), ["browse expired/useful_until_passed"]);
}

#[test]
fn why_recomputes_only_what_has_no_row() {
    let rules = [
        rule(1, "browse", browse(hours(4))),
        rule(2, "cart", TriggerKind::CartAbandoned { after: hours(1) }),
    ];
    let why = |who: &Situation, known: bool, now| {
        let lines = super::why::unrecorded(&rules, who, |_| known, now);
        let words = |d: &crate::ledger::Decision| format!("{} {}", d.rule, d.reason.unwrap());
        lines.iter().map(words).collect::<Vec<_>>()
    };
    let mut ann = ann_visited();
    let early = Timestamp(due().0 - 1);
    assert_eq!(why(&ann, false, early), ["browse not_due_yet", "cart nothing_happened"]);
    assert_eq!(why(&ann, true, early), ["browse not_due_yet"], "no news of a rule with a ledger");
    ann.moments.last_placed_at = Some(t0().plus(hours(1)));
    assert_eq!(why(&ann, true, due()), ["browse bought"]);
    let span = (t0(), t0().plus(Delay::seconds(600)));
    ann.enrolments = vec![enrolment(&rules[0], span.0, span.1, EnrolmentStatus::Stopped)];
    assert_eq!(why(&ann, true, due()), [""; 0], "the ledger says it already");
}

/// What the database holds after the actions were written: enough to plan again.
fn after(
    mut who: Situation,
    rules: &[StoredRule],
    actions: &[Action],
    now: Timestamp,
) -> Situation {
    for (n, action) in actions.iter().enumerate() {
        let (entry, status, retry_at) = match action {
            Action::Enrol { entry, .. } => (entry, EnrolmentStatus::Active, None),
            Action::Wait { entry, retry_at } => (entry, EnrolmentStatus::Waiting, Some(*retry_at)),
            Action::Refuse { entry, status, .. } => (entry, *status, None),
            Action::Assign { experiment, arm, .. } => {
                who.arms.push((experiment.clone(), *arm));
                continue;
            }
            _ => continue,
        };
        let mut row = enrolment(&rules[entry.rule], entry.episode, entry.episode_until, status);
        row.id = crate::primitives::EnrolmentId(n as i64 + 1);
        (row.stops_after, row.useful_until) = (entry.stops_after, entry.useful_until);
        (row.due_at, row.created_at, row.retry_at) = (entry.due_at, now, retry_at);
        row.order_id.clone_from(&entry.order_id);
        who.enrolments.push(row);
    }
    who
}

fn anybody() -> impl Strategy<Value = Situation> {
    let consent = prop::sample::select(ConsentState::ALL);
    let span = || prop::option::of((0..200_i64, 0..3_i64));
    (consent, any::<bool>(), span(), span(), span(), prop::option::of(0..200_i64)).prop_map(
        |(consent, suppressed, seen, cart, bought, placed)| {
            let at = |hour: i64| t0().minus(Delay::hours(200 - hour));
            let mut who = ann();
            who.standing.consent = consent;
            who.standing.suppressed = suppressed;
            who.moments.visit = seen.and_then(|(from, long)| visit(at(from), at(from + long)));
            who.moments.cart = cart.and_then(|(from, long)| basket(at(from), at(from + long)));
            who.moments.open_baskets =
                who.moments.cart.iter().map(|b| (b.started_at, b.at)).collect();
            who.moments.last_order = bought.and_then(|(at_hour, _)| order("1", at(at_hour)));
            who.moments.last_placed_at = placed.map(at);
            who
        },
    )
}

fn many_rules() -> Vec<StoredRule> {
    let mut rules = ladder().to_vec();
    rules.push(rule(4, "review", TriggerKind::Order { after: hours(24) }));
    rules.push(rule(5, "nudge", TriggerKind::RepurchaseDue { after: Some(hours(24)) }));
    rules[4].rule.holdout = 0.5;
    rules
}

#[test]
fn who_was_drawn_stays_as_drawn_when_the_share_changes() {
    let mut rule = rule(1, "browse", browse(hours(4)));
    let mut who = ann_visited();
    who.arms = vec![("browse".to_owned(), Arm::Holdout)];
    rule.rule.holdout = 0.01;
    let now = due();
    let rules = [rule.clone()];
    assert_eq!(said(&plan_at(&rules, &who, now), &rules), ["browse held_out/holdout"]);
    who.arms = vec![("browse".to_owned(), Arm::Treatment)];
    rule.rule.holdout = 0.99;
    let rules = [rule.clone()];
    assert_eq!(said(&plan_at(&rules, &who, now), &rules), ["browse enrolled"]);
    // A holdout of everybody holds out everybody who comes, by name, and mails nobody.
    who.arms.clear();
    rule.rule.holdout = 1.0;
    let rules = [rule];
    assert_eq!(
        said(&plan_at(&rules, &who, now), &rules),
        ["browse: holdout", "browse held_out/holdout"]
    );
}

proptest! {
    #[test]
    fn nobody_is_enrolled_without_consent_or_past_a_suppression(who in anybody(), hour in 0..200_i64) {
        let rules = many_rules();
        let actions = plan_at(&rules, &who, t0().minus(Delay::hours(hour - 100)));
        let may = who.standing.consent == ConsentState::Granted && !who.standing.suppressed;
        let enrols = actions.iter().any(|action| matches!(action, Action::Enrol { .. }));
        prop_assert!(may || !enrols);
    }

    #[test]
    fn planning_twice_is_planning_once(who in anybody(), hour in 0..200_i64) {
        let rules = many_rules();
        let now = t0().minus(Delay::hours(hour - 100));
        let first = plan_at(&rules, &who, now);
        let then = after(who, &rules, &first, now);
        let second = plan_at(&rules, &then, now);
        prop_assert_eq!(said(&second, &rules), Vec::<String>::new());
    }

    #[test]
    fn at_most_one_rule_enrols_in_a_pass(who in anybody(), hour in 0..200_i64) {
        let rules = many_rules();
        let actions = plan_at(&rules, &who, t0().minus(Delay::hours(hour - 100)));
        let enrolled = actions.iter().filter(|action| matches!(action, Action::Enrol { .. })).count();
        prop_assert!(enrolled <= 1);
    }

    #[test]
    fn nobody_is_asked_after_buying(who in anybody(), hour in 0..200_i64) {
        let rules = many_rules();
        let actions = plan_at(&rules, &who, t0().minus(Delay::hours(hour - 100)));
        for action in &actions {
            if let Action::Enrol { entry, .. } = action {
                prop_assert!(who.moments.last_placed_at.is_none_or(|at| at <= entry.stops_after));
            }
            if let Action::Refuse { outcome, reason, .. } = action {
                prop_assert!(*outcome != Outcome::Stopped || *reason == Reason::Outranked);
            }
        }
    }
}

#[test]
fn a_rule_in_shadow_is_heard_beside_the_live_ones_and_takes_nothing_from_them() {
    let mut rules = [
        rule(1, "browse", browse(hours(4))),
        rule(2, "cart", TriggerKind::CartAbandoned { after: hours(4) }),
    ];
    rules[1].status = RuleStatus::Shadow;
    let mut ann = ann_visited();
    ann.moments.cart = basket(t0(), t0().plus(Delay::seconds(600)));
    ann.moments.open_baskets = vec![(t0(), t0().plus(Delay::seconds(600)))];
    let actions = plan_at(&rules, &ann, due());
    assert_eq!(said(&actions, &rules), ["browse enrolled", "cart enrolled"]);
    // Both live, the basket comes first.
    rules[1].status = RuleStatus::Live;
    assert_eq!(
        said(&plan_at(&rules, &ann, due()), &rules),
        ["cart enrolled", "browse stopped/outranked"]
    );
    // What a rule did in shadow is nothing to it once it is live.
    let mut shadowed = enrolment(&rules[1], t0(), due(), EnrolmentStatus::Active);
    shadowed.shadow = true;
    ann.enrolments = vec![shadowed];
    assert_eq!(
        said(&plan_at(&rules, &ann, due()), &rules),
        ["cart enrolled", "browse stopped/outranked"]
    );
    rules[1].status = RuleStatus::Shadow;
    assert_eq!(said(&plan_at(&rules, &ann, due()), &rules), ["browse enrolled"]);
}

#[test]
fn of_two_alike_the_one_that_brings_more_comes_first_and_the_ledger_names_it() {
    let back =
        |id, key| rule(id, key, TriggerKind::WinBack { after: Delay::days(10), until: None });
    let rules = [back(1, "a-letter"), back(2, "b-letter")];
    let mut ann = ann();
    ann.moments.last_order = order("1", t0());
    ann.moments.last_placed_at = Some(t0());
    let (store, secret, now) =
        (store(), Secret::new("0123456789abcdef"), t0().plus(Delay::days(10)));
    let planned = |worth: &[i64]| {
        plan(&Pass { store: &store, rules: &rules, secret: &secret, worth, now }, &ann)
    };
    assert_eq!(said(&planned(&[]), &rules), ["a-letter enrolled", "b-letter waits"]);
    assert_eq!(said(&planned(&[900, 1_000]), &rules), ["b-letter enrolled", "a-letter waits"]);
    let planned = planned(&[900, 1_000]);
    let Some(Action::Wait { entry, .. }) = planned.last() else { panic!() };
    assert_eq!(entry.facts.clone().into_map()["winner"], "b-letter");
}
