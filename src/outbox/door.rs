//! The door: whether a message that is due may leave now. Pure; asked in the transaction that claims it.

use super::message::{Message, MessageStatus};
use super::quiet;
use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Reason};
use crate::primitives::{Delay, Timestamp};
use crate::rules::{
    Class, Exit, Otherwise, RuleStatus, Step, StepEvent, StopOn, StoredRule, TriggerKind,
};
use crate::situation::{Click, ConsentState, Moments, Situation, WeakOrder};
use crate::stores::{ConsentMode, Store};

/// A message of a rule, or a store, that is not live is looked at again after this; resuming it looks at once.
const WHILE_PAUSED: Delay = Delay::hours(1);
/// Whether orders come in again is looked at this often.
const WHILE_STALE: Delay = Delay::seconds(900);

/// What the door knows when a message knocks.
pub struct Knock<'k> {
    pub message: &'k Message,
    pub store: &'k Store,
    /// The rule as it stands now; `None` when it was taken out of the settings.
    pub rule: Option<&'k StoredRule>,
    pub enrolment: Option<&'k Enrolment>,
    /// `None` when the customer was erased.
    pub situation: Option<&'k Situation>,
    /// The enrolment's step before this one.
    pub previous: Option<&'k Message>,
    /// When marketing messages left, or may have left, to this customer; in any order.
    pub left: &'k [Timestamp],
    pub house: House,
    pub now: Timestamp,
}

/// What the door knows of the whole store; asked for only as far as its settings need it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct House {
    /// Marketing messages that left today, in the store's zone.
    pub sent_today: u32,
    /// When the newest order that is known of was placed.
    pub newest_order: Option<Timestamp>,
}

/// What becomes of the message.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Send,
    /// By the wording of the step's other exit.
    SendOther,
    /// The step's question leads past its message; the enrolment goes on.
    Skip {
        facts: Facts,
    },
    /// May leave later: judged again at `until`.
    Defer {
        until: Timestamp,
        reason: Reason,
        facts: Facts,
    },
    /// Its turn comes later, since the step before left late: no decision, only a time.
    Reschedule {
        at: Timestamp,
        useful_until: Timestamp,
    },
    /// The enrolment ends: what it was about is over.
    Stop {
        reason: Reason,
        facts: Facts,
    },
    /// The enrolment ends: the customer may not be written to.
    Bar {
        reason: Reason,
        facts: Facts,
    },
    /// Too late for this message to be of use.
    Expire {
        facts: Facts,
    },
    /// The enrolment has ended before.
    Cancel {
        reason: Option<Reason>,
    },
}

/// Judges one message. The order is that of the ledger's honesty: what ends it for good is named before what
/// only holds it up.
pub fn judge(knock: &Knock) -> Verdict {
    let Knock { message, store, now, .. } = *knock;
    let runs = |rule: &&StoredRule| match message.shadow {
        true => rule.status == RuleStatus::Shadow,
        false => rule.status == RuleStatus::Live,
    };
    let Some(rule) = knock.rule.filter(runs) else {
        return paused(knock);
    };
    let Some(enrolment) = knock.enrolment.filter(|e| e.status == EnrolmentStatus::Active) else {
        return Verdict::Cancel { reason: knock.enrolment.and_then(|e| e.reason) };
    };
    let Some(situation) = knock.situation else {
        return Verdict::Bar { reason: Reason::Suppressed, facts: Facts::new() };
    };
    if let Some((reason, since)) = ended_by(rule, enrolment, &situation.moments) {
        return Verdict::Stop { reason, facts: Facts::new().with_known("since", since) };
    }
    if let Some(order) = bought_by_another(rule, enrolment.stops_after, &situation.moments) {
        return Verdict::Stop { reason: Reason::Bought, facts: facts_of(&order) };
    }
    if let Some(reason) = barred(message.class, store.sending.consent, situation) {
        return Verdict::Bar { reason, facts: Facts::new() };
    }
    let step = rule.rule.steps.get(message.step as usize - 1);
    let came = step
        .and_then(|step| step.wait_until)
        .and_then(|event| happened(event, enrolment, knock.previous, &situation.moments));
    // A step that comes later than planned, since the one before left late, is of use for as long as planned.
    let mut useful_until = message.useful_until;
    let mut at = turn(knock);
    if came.is_some() {
        at = None;
    } else if step.is_some_and(|step| step.wait_until.is_some()) {
        at = Some(at.unwrap_or(message.planned_for));
    }
    if let Some(time) = step.and_then(|step| step.send_at) {
        let base =
            at.unwrap_or(came.map_or(message.planned_for, |came| came.max(enrolment.created_at)));
        at = Some(time.from_on(base, &situation.standing.zone));
    }
    if let Some(at) = at {
        let useful_for = enrolment.useful_until.0 - enrolment.due_at.0;
        useful_until = useful_until.max(Timestamp(at.0 + useful_for));
        if at > now {
            return Verdict::Reschedule { at, useful_until };
        }
    }
    if now > useful_until {
        return Verdict::Expire { facts: Facts::new().with("useful_until", useful_until) };
    }
    let mut leaves = Verdict::Send;
    if let Some(step) = step.filter(|step| step.asks()) {
        let (yes, facts) = answer(step, came, situation, now);
        match (yes, step.then, &step.otherwise) {
            (true, Exit::Send, _) => {}
            (false, _, Otherwise::Send(_)) => leaves = Verdict::SendOther,
            (true, Exit::Skip, _) | (false, _, Otherwise::Go(Exit::Skip | Exit::Send)) => {
                return Verdict::Skip { facts };
            }
            (true, Exit::End, _) | (false, _, Otherwise::Go(Exit::End)) => {
                return Verdict::Stop { reason: Reason::Branch, facts };
            }
        }
    }
    match held_up(knock, rule, situation) {
        Some((until, reason, facts)) => defer(useful_until, until, reason, facts),
        None => leaves,
    }
}

/// What a step's question comes to, and what the answer was made on.
fn answer(
    step: &Step,
    came: Option<Timestamp>,
    situation: &Situation,
    now: Timestamp,
) -> (bool, Facts) {
    match (&step.only_if, step.wait_until) {
        (Some(condition), _) => {
            let yes = condition.holds(&situation.subject, now);
            let facts = condition.facts(&situation.subject, now);
            (yes, Facts::new().with("answer", yes).with("asked", facts))
        }
        (None, Some(event)) => {
            let facts = Facts::new().with("waited_for", event).with_known("came_at", came);
            (came.is_some(), facts.with_known("at_most", step.at_most))
        }
        (None, None) => (true, Facts::new()),
    }
}

/// When what a step waits for happened: after the step before left, or else since the customer entered. `None` while
/// that one has not left.
///
/// A click on that one's own mail came after it, whatever the clocks say: business time may be set by hand.
pub fn happened(
    event: StepEvent,
    enrolment: &Enrolment,
    previous: Option<&Message>,
    moments: &Moments,
) -> Option<Timestamp> {
    let since = match previous.map(|message| (message.status, message.left_at())) {
        Some((MessageStatus::Scheduled | MessageStatus::Sending, _)) => return None,
        Some((_, Some(left_at))) => left_at,
        _ => enrolment.enrolled_at.unwrap_or(enrolment.created_at),
    };
    let at = match event {
        StepEvent::Order => moments.last_placed_at,
        StepEvent::Visit => moments.visit.as_ref().map(|visit| visit.started_at),
        StepEvent::Click => {
            let own = moments.clicks.iter().filter(|click| click.enrolment == enrolment.id);
            let of_previous =
                |click: &&Click| previous.is_some_and(|message| message.step == click.step);
            return own.filter(|c| of_previous(c) || c.at > since).map(|click| click.at).min();
        }
    };
    at.filter(|at| *at > since)
}

/// A scanner that follows every link is known by its last one: before that has passed, nobody takes it for a person.
const CLICK_SETTLES: Delay = Delay::seconds(10);

/// Until when clicks count at `machine`, where some step of `rules` waits for one. By the machine's clock, as they are.
pub fn clicks_until<'r>(
    rules: impl IntoIterator<Item = &'r StoredRule>,
    machine: Timestamp,
) -> Option<Timestamp> {
    let mut steps = rules.into_iter().flat_map(|rule| &rule.rule.steps);
    steps
        .any(|step| step.wait_until == Some(StepEvent::Click))
        .then(|| machine.minus(CLICK_SETTLES))
}

/// The order of somebody with the same phone or device that speaks against writing about what happened until
/// `stops_after`: it may well be the same person's. Mail that is owed is never held back for it, nor what is about an
/// order that the customer did place.
pub fn bought_by_another(
    rule: &StoredRule,
    stops_after: Timestamp,
    moments: &Moments,
) -> Option<WeakOrder> {
    let is_about_an_order = matches!(
        rule.rule.trigger.kind,
        TriggerKind::FirstOrder { .. } | TriggerKind::Order { .. }
    );
    let asks_to_buy = rule.rule.class == Class::Marketing && !is_about_an_order;
    moments
        .weak_order
        .filter(|order| asks_to_buy && closed_by_order(rule) && order.placed_at > stops_after)
}

/// What the ledger says of it.
pub fn facts_of(order: &WeakOrder) -> Facts {
    Facts::new()
        .with("since", order.placed_at)
        .with("weak_link", order.link)
        .with("other_customer", order.customer)
}

fn paused(knock: &Knock) -> Verdict {
    let Knock { message, now, .. } = *knock;
    if now > message.useful_until {
        return Verdict::Expire { facts: Facts::new().with("useful_until", message.useful_until) };
    }
    let status = knock.rule.map_or("retired", |rule| rule.status.as_str());
    let facts = Facts::new().with("rule_status", status);
    defer(message.useful_until, now.plus(WHILE_PAUSED), Reason::Paused, facts)
}

/// A deferral past the message's use brings it back just after, where it expires by the one way there is.
fn defer(useful_until: Timestamp, until: Timestamp, reason: Reason, facts: Facts) -> Verdict {
    let until = until.min(Timestamp(useful_until.0 + 1));
    Verdict::Defer { until, reason, facts: facts.with("until", until) }
}

/// Why mail of this class must not go to somebody at all.
fn barred(class: Class, mode: ConsentMode, situation: &Situation) -> Option<Reason> {
    let standing = &situation.standing;
    if class == Class::Marketing && !consents(mode, standing.consent) {
        Some(Reason::NoConsent)
    } else if standing.address.is_none() {
        Some(Reason::NoAddress)
    } else if standing.suppressed {
        Some(Reason::Suppressed)
    } else {
        None
    }
}

/// The time that this step's wait is over, counted from when the one before left; later than `now` while that one
/// is unsettled. `None` where no step before holds it up.
fn turn(knock: &Knock) -> Option<Timestamp> {
    let previous = knock.previous?;
    let from = match previous.status {
        MessageStatus::Scheduled => previous.scheduled_at.max(knock.now),
        MessageStatus::Sending => knock.now,
        MessageStatus::Sent | MessageStatus::InDoubt => previous.left_at()?,
        // A step that never left holds nobody up.
        MessageStatus::Cancelled if previous.would_have_left() => previous.left_at()?,
        MessageStatus::Failed | MessageStatus::Cancelled => return None,
    };
    let wait = (knock.message.planned_for.0 - previous.planned_for.0).max(0);
    let at = Timestamp(from.0 + wait);
    let is_unsettled = matches!(previous.status, MessageStatus::Scheduled | MessageStatus::Sending);
    // A step without a wait still comes after the one before it.
    Some(if is_unsettled { at.max(knock.now.plus(Delay::seconds(60))) } else { at })
}

/// The guardrails that hold marketing mail up: the store's pause, a silent feed, budget, gap, cap, quiet hours. Service mail is owed at once.
fn held_up(
    knock: &Knock,
    rule: &StoredRule,
    situation: &Situation,
) -> Option<(Timestamp, Reason, Facts)> {
    let Knock { message, store, house, now, .. } = *knock;
    if message.class == Class::Service {
        return None;
    }
    if let Some(pause) = store.pause.filter(|_| !message.shadow) {
        let facts = Facts::new().with("store_paused_for", pause.reason).with("since", pause.since);
        return Some((now.plus(WHILE_PAUSED), Reason::Paused, facts));
    }
    // Who bought meanwhile is not known while no orders come in.
    if let Some(age) = store.sending.feed_max_age
        && closed_by_order(rule)
        && house.newest_order.is_none_or(|at| at.plus(age) < now)
    {
        let facts =
            Facts::new().with("feed_max_age", age).with_known("newest_order", house.newest_order);
        return Some((now.plus(WHILE_STALE), Reason::FeedStale, facts));
    }
    if let Some(budget) = store.sending.daily_budget
        && house.sent_today >= budget
    {
        let tomorrow = now.day_in(&store.timezone).tomorrow().ok()?;
        let facts = Facts::new().with("daily_budget", budget);
        return Some((store.timezone.start_of(tomorrow), Reason::DailyBudget, facts));
    }
    let mut left: Vec<Timestamp> = knock.left.to_vec();
    left.sort_unstable_by(|a, b| b.cmp(a));
    if let (Some(gap), Some(last)) = (store.sending.min_gap, left.first())
        && last.plus(gap) > now
    {
        let facts = Facts::new().with("last_at", last).with("min_gap", gap);
        return Some((last.plus(gap), Reason::MinGap, facts));
    }
    if let Some(cap) = store.sending.cap {
        let within = left.iter().filter(|at| at.plus(cap.within) > now).count();
        // The window has room again when the oldest of the last `cap` messages leaves it.
        if let Some(oldest) = left.get(cap.messages as usize - 1)
            && within >= cap.messages as usize
        {
            let facts = Facts::new().with("cap", cap).with("left_in_window", within);
            return Some((oldest.plus(cap.within), Reason::Cap, facts));
        }
    }
    let hours = store.sending.quiet_hours?;
    let zone = &situation.standing.zone;
    let until = quiet::ends_at(hours, zone, now)?;
    let facts = Facts::new().with("quiet_hours", hours).with("timezone", zone);
    Some((until, Reason::QuietHours, facts))
}

/// Whether marketing mail may go to somebody whose consent is `state`.
pub fn consents(mode: ConsentMode, state: ConsentState) -> bool {
    match mode {
        ConsentMode::OptIn => state == ConsentState::Granted,
        ConsentMode::OptOut => state != ConsentState::Withdrawn,
    }
}

/// Visits and baskets are closed by an order whatever the rule says; the rest where it stops on orders.
pub fn closed_by_order(rule: &StoredRule) -> bool {
    matches!(
        rule.rule.trigger.kind,
        TriggerKind::VisitedWithoutBuying { .. }
            | TriggerKind::CartAbandoned { .. }
            | TriggerKind::CheckoutAbandoned { .. }
    ) || rule.rule.stop_on.contains(&StopOn::Order)
}

/// Whether something ended `enrolment` since: the reason, and when that happened where it is known.
pub fn ended_by(
    rule: &StoredRule,
    enrolment: &Enrolment,
    moments: &Moments,
) -> Option<(Reason, Option<Timestamp>)> {
    // Another source may tell another time of the same order: an order never stops its own mail.
    let own = [&moments.first_order, &moments.last_order]
        .into_iter()
        .flatten()
        .filter(|order| order.order_id.is_some() && order.order_id == enrolment.order_id)
        .map(|order| order.told_until)
        .max();
    let stops_after = own.map_or(enrolment.stops_after, |at| at.max(enrolment.stops_after));
    if let Some(placed_at) = moments.last_placed_at
        && placed_at > stops_after
        && closed_by_order(rule)
    {
        return Some((Reason::Bought, Some(placed_at)));
    }
    if rule.rule.stop_on.contains(&StopOn::Visit)
        && let Some(visit) = &moments.visit
        && visit.started_at > enrolment.episode_until
        && visit.last_seen_at > enrolment.created_at
    {
        return Some((Reason::Visited, Some(visit.last_seen_at)));
    }
    let is_basket = matches!(
        rule.rule.trigger.kind,
        TriggerKind::CartAbandoned { .. } | TriggerKind::CheckoutAbandoned { .. }
    );
    let is_open =
        || moments.open_baskets.iter().any(|(from, until)| enrolment.touches(*from, *until));
    if is_basket && !is_open() { Some((Reason::BasketClosed, None)) } else { None }
}
