//! One customer's life under a virtual clock: facts come to be known, the planner decides, messages knock at the
//! door. Pure: it is the engine of live planning and sending on values in memory, and writes nothing.
//!
//! It knows neither mail servers nor other customers: what is sent arrives at once, and no rate holds it up.

use std::collections::HashMap;

use super::deeds;
use super::house::Surroundings;
use super::known::{Known, Told};
use super::post::Post;
use super::scores::{Course, Scores, start_of};
use crate::journal::fold::{Fact, Folded, Frame, fold_all};
use crate::ledger::{Enrolment, EnrolmentStatus, Facts, Outcome, Reason};
use crate::outbox::door::closed_by_order;
use crate::planner::campaign::{firing, is_reachable};
use crate::planner::decide::{Action, Entry, Pass, enrolled_at, is_meant_for, plan};
use crate::planner::episode::{Episode, Silence};
use crate::planner::stays::GRACE;
use crate::primitives::{CustomerId, EmailAddress, EnrolmentId, RuleId, Timestamp};
use crate::rules::condition::Needs;
use crate::rules::{StoredRule, TriggerKind};
use crate::scoring::Kind;
use crate::scoring::assess::Person;
use crate::secret::Secret;
use crate::situation::store::folded::{FirstAndLast, ScoreThen, Then};
use crate::situation::{Arm, Moments, Situation, WeakOrder, entered_at};
use crate::stores::Store;

/// What is the same for all customers of a replay.
#[derive(Clone)]
pub struct World<'w> {
    pub store: &'w Store,
    pub frame: &'w Frame,
    /// All live from `from` on.
    pub rules: &'w [StoredRule],
    /// The place among the rules of the one that is looked at.
    pub tested: usize,
    /// What becomes of each customer is told, beside the sums.
    pub names_people: bool,
    pub secret: &'w Secret,
    /// Addresses never to be written to, and since when.
    pub suppressions: Option<&'w HashMap<String, Timestamp>>,
    /// Orders of people who share a phone number or a device with a customer, oldest first.
    pub weak_orders: Option<&'w HashMap<CustomerId, Vec<WeakOrder>>>,
    /// The catalogue's categories, by product; needed where a rule asks for one.
    pub categories: Option<&'w HashMap<String, String>>,
    /// What the rules ask beyond totals.
    pub needs: Needs,
    /// `None` where no rule asks for scores.
    pub scores: Option<&'w Scores>,
    /// What the whole store knows: its orders and its budget.
    pub house: Surroundings<'w>,
    pub from: Timestamp,
    /// The clock stops just before.
    pub to: Timestamp,
}

impl<'w> World<'w> {
    /// Without suppressions, weak links, categories and scores.
    pub fn new(
        store: &'w Store,
        frame: &'w Frame,
        rules: &'w [StoredRule],
        tested: usize,
        secret: &'w Secret,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        let needs = Needs::of(rules.iter().flat_map(|rule| rule.rule.conditions()));
        let (suppressions, weak_orders, categories, scores) = (None, None, None, None);
        Self {
            store,
            frame,
            rules,
            tested,
            names_people: false,
            secret,
            suppressions,
            weak_orders,
            categories,
            needs,
            scores,
            house: Surroundings::default(),
            from,
            to,
        }
    }
}

/// What is stored of one customer.
#[derive(Debug, Clone)]
pub struct History {
    pub customer: CustomerId,
    /// The shop's own id for them.
    pub external_id: Option<String>,
    /// In any order.
    pub facts: Vec<Fact>,
    /// Experiments drawn already: an assignment is kept.
    pub arms: Vec<(String, Arm)>,
}

/// One decision of the replay, as the ledger would hold it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub at: Timestamp,
    /// Its place among the rules.
    pub rule: usize,
    pub enrolment: EnrolmentId,
    /// `None`: of the enrolment as a whole.
    pub step: Option<i32>,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub facts: Facts,
    /// How many messages it takes back, or never lets be.
    pub messages: usize,
    /// Whether the rule was meant for the customer, whatever stood in the way; of the first word on an enrolment.
    pub meant: bool,
}

/// What came of one customer.
#[derive(Debug, Clone, Default)]
pub struct Lived {
    /// In the order of their times.
    pub events: Vec<Event>,
    /// When each order was placed, oldest first.
    pub orders: Vec<Timestamp>,
    /// Moments of the tested rule that an order closed before they fell due.
    pub bought_before_due: u64,
}

/// Replays one customer. The same history gives the same life.
pub fn replay(world: &World, history: History) -> Lived {
    let (mut lived, mut life) = live(world, history, None, None);
    life.learn_until(Timestamp::MAX);
    lived.orders = life.placed_orders();
    lived
}

/// As [`replay`], with the situation in the end; `score` is what is said of one whom nobody scores, `stay` since when
/// they are beyond the line of which `at_risk` rule.
pub fn live_to_the_end(
    world: &World,
    history: History,
    score: Option<ScoreThen>,
    stay: Option<(RuleId, Timestamp)>,
) -> (Lived, Situation) {
    let (lived, life) = live(world, history, score, stay);
    let mut situation = life.situation(Timestamp(world.to.0 - 1));
    situation.enrolments = life.enrolments;
    (lived, situation)
}

fn live<'w>(
    world: &'w World<'w>,
    history: History,
    score: Option<ScoreThen>,
    stay: Option<(RuleId, Timestamp)>,
) -> (Lived, Life<'w>) {
    let known = Known::of(history.facts);
    let mut lived = Lived::default();
    let mut joining = Vec::new();
    for (n, visitor) in known.visitors.into_iter().enumerate() {
        let until = visitor.until.min(world.to);
        if until <= world.from {
            continue;
        }
        let mut life = Life::new(world, history.customer, None, visitor.facts);
        life.ids = (n as i64 + 1) << 32;
        life.live_until(until);
        lived.events.append(&mut life.events);
        lived.bought_before_due += life.bought_before_due;
        joining.push(Joining { at: visitor.until, enrolments: life.enrolments, post: life.post });
    }
    let mut life = Life::new(world, history.customer, history.external_id, known.facts);
    life.arms = history.arms;
    life.joining = joining;
    life.score = score;
    life.stays =
        stay.map(|(rule, since)| Stay { rule, since, left_at: None }).into_iter().collect();
    life.live_until(world.to);
    lived.events.append(&mut life.events);
    lived.events.sort_by_key(|event| event.at);
    lived.bought_before_due += life.bought_before_due;
    (lived, life)
}

/// A customer as the beginning of each day knew them, where that changed.
pub fn course(world: &World, history: History) -> Course {
    let zone = &world.store.timezone;
    let facts = Known::of(history.facts).facts;
    let mut life = Life::new(world, history.customer, history.external_id, facts);
    let mut course = Course::new();
    while let Some(told) = life.told.get(life.known) {
        let next = told.known_at.day_number(zone) + 1;
        life.learn_until(Timestamp(start_of(next, zone).0 - 1));
        let person = Person::of(history.customer, &life.folded.rollup, zone);
        course.extend(person.map(|person| (next, person)));
    }
    course
}

/// What a visitor brings along who turns out to be the customer.
struct Joining {
    at: Timestamp,
    enrolments: Vec<Enrolment>,
    post: Post,
}

struct Life<'w> {
    world: &'w World<'w>,
    customer: CustomerId,
    external_id: Option<String>,
    told: Vec<Told>,
    /// How many of them are known.
    known: usize,
    folded: Folded,
    orders: FirstAndLast,
    score: Option<ScoreThen>,
    /// When they were scored first in the replay, and first as a buyer.
    first_scored: (Option<Timestamp>, Option<Timestamp>),
    /// Beyond the lines of which `at_risk` rules, since when, and since when not any more.
    stays: Vec<Stay>,
    joining: Vec<Joining>,
    enrolments: Vec<Enrolment>,
    arms: Vec<(String, Arm)>,
    post: Post,
    events: Vec<Event>,
    ids: i64,
    /// The tested rule's moment that has not fallen due yet.
    pending: Option<Pending>,
    bought_before_due: u64,
}

struct Stay {
    rule: RuleId,
    since: Timestamp,
    left_at: Option<Timestamp>,
}

struct Pending {
    stops_after: Timestamp,
    due_at: Timestamp,
}

impl<'w> Life<'w> {
    fn new(
        world: &'w World<'w>,
        customer: CustomerId,
        external_id: Option<String>,
        told: Vec<Told>,
    ) -> Self {
        let folded = fold_all(external_id.as_deref(), [], world.frame);
        Self {
            world,
            customer,
            external_id,
            told,
            known: 0,
            folded,
            orders: FirstAndLast::default(),
            score: None,
            first_scored: (None, None),
            stays: Vec::new(),
            joining: Vec::new(),
            enrolments: Vec::new(),
            arms: Vec::new(),
            post: Post::default(),
            events: Vec::new(),
            ids: 0,
            pending: None,
            bought_before_due: 0,
        }
    }

    /// Jumps from one moment that matters to the next: between them nothing can change.
    fn live_until(&mut self, until: Timestamp) {
        let mut now = self.world.from;
        while now < until {
            self.learn_until(now);
            let situation = self.pass(now);
            match self.next_moment(&situation, now, until) {
                Some(next) => now = next,
                None => break,
            }
        }
    }

    /// Folds what is known by `now`.
    fn learn_until(&mut self, now: Timestamp) {
        let from = self.known;
        let new = self.told[from..].partition_point(|told| told.known_at <= now);
        self.known += new;
        let joined = self.join(now);
        if new == 0 && !joined {
            return;
        }
        let fits_on = |folded: &Folded, told: &Told| folded.takes_in_place(&told.fact);
        let (mut has_orders, mut in_place) = (false, true);
        for told in &self.told[from..self.known] {
            in_place = in_place && fits_on(&self.folded, told);
            if !in_place {
                break;
            }
            has_orders |= told.fact.payload.body.order_id().is_some();
            self.folded.take(&told.fact);
        }
        if !in_place {
            let mut facts: Vec<&Fact> =
                self.told[..self.known].iter().map(|told| &told.fact).collect();
            facts.sort_by_key(|fact| fact.position());
            let external_id = self.external_id.as_deref();
            self.folded = fold_all(external_id, facts, self.world.frame);
            has_orders = true;
        } else if has_orders {
            self.folded.sum_up_orders(self.world.frame);
        }
        if has_orders {
            self.orders = FirstAndLast::of(self.customer, &self.folded);
        }
        if self.world.needs == Needs::default() {
            self.folded.visits.clear();
        }
    }

    /// Takes over what visitors were in who are known to be this customer by `now`: of two enrolments for one
    /// episode the customer's own stands.
    fn join(&mut self, now: Timestamp) -> bool {
        let joining: Vec<Joining> = self.joining.extract_if(.., |other| other.at <= now).collect();
        let any = !joining.is_empty();
        for other in joining {
            for enrolment in other.enrolments {
                let is_same = |own: &Enrolment| {
                    own.rule_id == enrolment.rule_id && own.episode == enrolment.episode
                };
                if !self.enrolments.iter().any(is_same) {
                    self.enrolments.push(enrolment);
                }
            }
            self.post.take_over(other.post);
        }
        any
    }

    /// One pass of the planner, then of the sender.
    fn pass(&mut self, now: Timestamp) -> Situation {
        self.settle_score(now);
        let mut situation = self.situation(now);
        self.count_bought_before_due(&situation.moments, now);
        self.plan(&mut situation, now);
        let world = self.world;
        for rule in world.rules.iter().filter(|rule| firing(rule, world.store, now) == Some(now)) {
            // A firing asks nobody who cannot be written to, and has no word for who is not meant.
            if is_reachable(rule, world.store, &situation) && is_meant_for(rule, &situation, now) {
                situation.moments.firing = Some((rule.id, now));
                self.plan(&mut situation, now);
            }
        }
        situation.moments.firing = None;
        self.post.hasten(world.rules, &situation.moments, &self.enrolments, now);
        self.send(&situation, now);
        situation
    }

    fn plan(&mut self, situation: &mut Situation, now: Timestamp) {
        let World { store, rules, secret, .. } = *self.world;
        situation.enrolments.clone_from(&self.enrolments);
        situation.arms.clone_from(&self.arms);
        for action in plan(&Pass { store, rules, secret, worth: &[], now }, situation) {
            self.take(action, situation, now);
        }
    }

    fn situation(&self, now: Timestamp) -> Situation {
        let email = self.folded.profile.email.as_ref().map(EmailAddress::identity_key);
        let since = email.and_then(|key| self.world.suppressions?.get(&key));
        let mut situation = Then {
            customer: self.customer,
            store: self.world.store,
            folded: &self.folded,
            orders: &self.orders,
            suppressed: since.is_some_and(|since| *since <= now),
            score: self.score.as_ref(),
        }
        .situation();
        let of_others = self.world.weak_orders.and_then(|known| known.get(&self.customer));
        let placed = |orders: &Vec<WeakOrder>| {
            orders[..orders.partition_point(|order| order.placed_at <= now)].last().copied()
        };
        situation.moments.weak_order = of_others.and_then(placed);
        let open = self.stays.iter().filter(|stay| stay.left_at.is_none());
        situation.moments.at_risk = open.map(|stay| (stay.rule, stay.since)).collect();
        if self.world.needs != Needs::default() {
            let told = self.told[..self.known].iter().map(|told| &told.fact);
            deeds::add(&mut situation.subject, self.world, &self.folded, told);
            situation.subject.received = self.post.received(self.world.rules);
        }
        situation
    }

    /// Scores as of the day of `now`; a segment is entered when it first shows.
    fn settle_score(&mut self, now: Timestamp) {
        let Some(scores) = self.world.scores else { return };
        let scored = scores.of(self.customer, &self.folded.rollup, now);
        self.score = scored.map(|scored| {
            let before = self.score.as_ref().filter(|then| then.scored.segment == scored.segment);
            let (ever, as_buyer) = self.first_scored;
            let is_buyer = scored.kind == Kind::Buyer;
            let rollup = &self.folded.rollup;
            let segment_since = match before {
                Some(then) => then.segment_since,
                None => entered_at(
                    now,
                    if is_buyer { as_buyer } else { ever },
                    rollup.first_order_at.or(rollup.first_seen_at),
                ),
            };
            self.first_scored =
                (ever.or(Some(now)), if is_buyer { as_buyer.or(Some(now)) } else { as_buyer });
            ScoreThen { segment_since, scored }
        });
        let passed = self.score.as_ref().map(|then| scores.passed(&then.scored));
        self.settle_stays(&passed.unwrap_or_default(), now);
    }

    /// As `planner::stays` does: a stay goes on for those who are back beyond the line soon, without an order.
    fn settle_stays(&mut self, passed: &[RuleId], now: Timestamp) {
        let last_order_at = self.folded.rollup.last_order_at;
        for stay in &mut self.stays {
            match passed.contains(&stay.rule) {
                false => stay.left_at = stay.left_at.or(Some(now)),
                true if last_order_at.is_none_or(|at| at <= stay.since) => stay.left_at = None,
                true => {}
            }
        }
        let is_over = |stay: &Stay| {
            let left = stay.left_at.is_some_and(|at| at <= now.minus(GRACE));
            left || (stay.left_at.is_some() && last_order_at.is_some_and(|at| at > stay.since))
        };
        self.stays.retain(|stay| !is_over(stay));
        for rule in passed {
            if !self.stays.iter().any(|stay| stay.rule == *rule) {
                // Who is found beyond it by their first scoring as a buyer came there before: see `planner::stays`.
                let is_news = self.first_scored.1.is_some_and(|at| at < now);
                let since = if is_news { now } else { last_order_at.unwrap_or(now) };
                self.stays.push(Stay { rule: *rule, since, left_at: None });
            }
        }
    }

    fn take(&mut self, action: Action, situation: &Situation, now: Timestamp) {
        match action {
            Action::Assign { experiment, arm, .. } => self.arms.push((experiment, arm)),
            Action::Enrol { entry, from } => {
                let id = self.enter(&entry, EnrolmentStatus::Active, None, None, now);
                let rule = &self.world.rules[entry.rule];
                self.post.plan(rule, id, from, &entry.zone);
                self.decided(&entry, id, Outcome::Enrolled, None, 0, true, now);
            }
            Action::Wait { entry, retry_at } => {
                let status = EnrolmentStatus::Waiting;
                let id = self.enter(&entry, status, None, Some(retry_at), now);
                let why = Some(Reason::Outranked);
                self.decided(&entry, id, Outcome::Deferred, why, 0, true, now);
            }
            Action::Refuse { entry, status, outcome, reason } => {
                let rule = &self.world.rules[entry.rule];
                let meant = match outcome {
                    Outcome::NotEligible => false,
                    _ => entry.waiting.is_some() || is_meant_for(rule, situation, now),
                };
                let messages = match outcome {
                    Outcome::Suppressed => rule.rule.steps.len(),
                    _ => 0,
                };
                let id = self.enter(&entry, status, Some(reason), None, now);
                self.decided(&entry, id, outcome, Some(reason), messages, meant, now);
            }
            Action::WaitOn { enrolment, retry_at, .. } => {
                if let Some(row) = self.row(enrolment)
                    && row.status == EnrolmentStatus::Waiting
                {
                    row.retry_at = Some(retry_at);
                }
            }
            Action::Stop { rule, enrolment, reason, facts, .. } => {
                let Some(row) = self.row(enrolment) else { return };
                (row.status, row.reason, row.retry_at) =
                    (EnrolmentStatus::Stopped, Some(reason), None);
                let messages = self.post.cancel(enrolment, reason);
                let (outcome, reason) = (Outcome::Stopped, Some(reason));
                self.events.push(Event {
                    at: now,
                    rule,
                    enrolment,
                    step: None,
                    outcome,
                    reason,
                    facts,
                    messages,
                    meant: false,
                });
            }
            Action::Stretch { rule, enrolment, until, due_at, zone } => {
                let rule = &self.world.rules[rule];
                if let Some(row) = self.row(enrolment) {
                    row.episode_until = until;
                    row.due_at = due_at;
                    row.useful_until = due_at.plus(rule.rule.trigger.useful_for);
                }
                self.post.put_off(rule, enrolment, due_at, &zone);
            }
        }
    }

    fn row(&mut self, id: EnrolmentId) -> Option<&mut Enrolment> {
        self.enrolments.iter_mut().find(|row| row.id == id)
    }

    /// A new row, or the answer to one that waited.
    fn enter(
        &mut self,
        entry: &Entry,
        status: EnrolmentStatus,
        reason: Option<Reason>,
        retry_at: Option<Timestamp>,
        now: Timestamp,
    ) -> EnrolmentId {
        if let Some(row) = entry.waiting.and_then(|id| self.row(id)) {
            (row.status, row.reason) = (status, reason);
            (row.enrolled_at, row.retry_at) = (enrolled_at(status, now), retry_at);
            return row.id;
        }
        self.ids += 1;
        let (id, rule) = (EnrolmentId(self.ids), &self.world.rules[entry.rule]);
        let row = entry.row(rule, self.customer, id, status, now);
        self.enrolments.push(Enrolment { reason, retry_at, ..row });
        id
    }

    #[expect(clippy::too_many_arguments, reason = "one line of the ledger")]
    fn decided(
        &mut self,
        entry: &Entry,
        enrolment: EnrolmentId,
        outcome: Outcome,
        reason: Option<Reason>,
        messages: usize,
        meant: bool,
        now: Timestamp,
    ) {
        self.events.push(Event {
            at: now,
            rule: entry.rule,
            enrolment,
            step: None,
            outcome,
            reason,
            facts: entry.facts.clone(),
            messages,
            meant: meant && entry.waiting.is_none(),
        });
    }

    /// All that is due knocks at the door, the oldest first, until nothing is.
    fn send(&mut self, situation: &Situation, now: Timestamp) {
        let world = self.world;
        while let Some(knocking) = self.post.first_due(now) {
            let said = self.post.judge(knocking, world, situation, &self.enrolments, now);
            if let Some((enrolment, status, reason)) = said.ends
                && let Some(row) = self.row(enrolment)
                && row.status == EnrolmentStatus::Active
            {
                (row.status, row.reason) = (status, reason);
            }
            self.events.extend(said.event);
        }
    }

    /// When something may change next: a fact comes, a delay or a wait is over, a message is due, a score moves.
    fn next_moment(
        &mut self,
        situation: &Situation,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        let told = self.told.get(self.known).map(|told| told.known_at);
        let joins = self.joining.iter().map(|other| other.at);
        let retries = self.enrolments.iter().filter_map(|row| row.retry_at);
        let posted = self.post.next_due();
        self.pending = None;
        let mut dues = Vec::with_capacity(self.world.rules.len());
        for (index, rule) in self.world.rules.iter().enumerate() {
            let Ok(episode) = Episode::current(rule, &situation.moments, now) else { continue };
            let Err(Silence::NotDueYet { due_at }) = episode.due(rule, now) else { continue };
            dues.push(due_at);
            if index == self.world.tested {
                self.pending = Some(Pending { stops_after: episode.stops_after, due_at });
            }
        }
        let zone = &self.world.store.timezone;
        dues.extend(self.world.rules.iter().filter_map(|rule| match &rule.rule.trigger.kind {
            TriggerKind::Schedule { cron } => cron.next_after(now, zone),
            _ => None,
        }));
        let after = |at: &Timestamp| *at > now && *at < until;
        let next = (told.into_iter().chain(joins).chain(retries).chain(posted).chain(dues))
            .filter(after)
            .min();
        let Some(scores) = self.world.scores else { return next };
        let moves = scores.next_change(
            self.customer,
            &self.folded.rollup,
            self.score.as_ref(),
            now,
            next.unwrap_or(until),
        );
        moves.filter(after).or(next)
    }

    /// A moment of the tested rule that an order closed before anything could be decided about it: they bought anyway.
    fn count_bought_before_due(&mut self, moments: &Moments, now: Timestamp) {
        let Some(pending) = self.pending.take() else { return };
        let rule = &self.world.rules[self.world.tested];
        let bought = moments.last_placed_at.is_some_and(|at| at > pending.stops_after);
        if bought && closed_by_order(rule) && pending.due_at > now && pending.due_at < self.world.to
        {
            self.bought_before_due += 1;
        }
    }

    fn placed_orders(&self) -> Vec<Timestamp> {
        let placed = self.folded.log.orders.values().filter(|order| order.is_placed());
        let mut placed: Vec<Timestamp> = placed.map(|order| order.placed_at()).collect();
        placed.sort_unstable();
        placed
    }
}
