//! One customer's life under a virtual clock: facts come to be known, the planner decides, messages knock at the
//! door. Pure: it is the engine of live planning and sending on values in memory, and writes nothing.
//!
//! It knows neither mail servers nor other customers: what is sent arrives at once, and no rate holds it up.

use super::deeds;
use super::known::{Known, Told};
use super::ledger::{Event, Ledger};
use super::post::Post;
use super::rated::Rated;
use super::scores::{Course, start_of};
use super::world::World;
use crate::journal::fold::{Fact, Folded, fold_all};
use crate::ledger::Enrolment;
use crate::outbox::door::closed_by_order;
use crate::planner::campaign::{firing, is_reachable};
use crate::planner::decide::{Pass, is_meant_for, plan};
use crate::planner::episode::{Episode, Silence};
use crate::primitives::{CustomerId, EmailAddress, RuleId, Timestamp};
use crate::rules::TriggerKind;
use crate::rules::condition::Needs;
use crate::scoring::assess::Person;
use crate::situation::store::folded::{FirstAndLast, ScoreThen, Then};
use crate::situation::{Arm, Moments, Situation, WeakOrder};

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
    situation.enrolments = life.ledger.enrolments;
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
        life.ledger = Ledger::numbered_after((n as i64 + 1) << 32);
        life.live_until(until);
        lived.events.append(&mut life.ledger.events);
        lived.bought_before_due += life.bought_before_due;
        let (at, enrolments) = (visitor.until, life.ledger.enrolments);
        joining.push(Joining { at, enrolments, post: life.post });
    }
    let mut life = Life::new(world, history.customer, history.external_id, known.facts);
    life.ledger.arms = history.arms;
    life.joining = joining;
    life.rated = Rated::before(score, stay);
    life.live_until(world.to);
    lived.events.append(&mut life.ledger.events);
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
    rated: Rated,
    joining: Vec<Joining>,
    ledger: Ledger,
    post: Post,
    /// The tested rule's moment that has not fallen due yet.
    pending: Option<Pending>,
    bought_before_due: u64,
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
            rated: Rated::default(),
            joining: Vec::new(),
            ledger: Ledger::default(),
            post: Post::default(),
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

    /// Takes over what visitors were in who are known to be this customer by `now`.
    fn join(&mut self, now: Timestamp) -> bool {
        let joining: Vec<Joining> = self.joining.extract_if(.., |other| other.at <= now).collect();
        let any = !joining.is_empty();
        for other in joining {
            self.ledger.take_over(other.enrolments);
            self.post.take_over(other.post);
        }
        any
    }

    /// One pass of the planner, then of the sender.
    fn pass(&mut self, now: Timestamp) -> Situation {
        if let Some(scores) = self.world.scores {
            self.rated.settle(scores, self.customer, &self.folded.rollup, now);
        }
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
        self.post.hasten(world.rules, &situation.moments, &self.ledger.enrolments, now);
        self.send(&situation, now);
        situation
    }

    fn plan(&mut self, situation: &mut Situation, now: Timestamp) {
        let World { store, rules, secret, .. } = *self.world;
        situation.enrolments.clone_from(&self.ledger.enrolments);
        situation.arms.clone_from(&self.ledger.arms);
        for action in plan(&Pass { store, rules, secret, worth: &[], now }, situation) {
            self.ledger.take(action, self.world, situation, &mut self.post, now);
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
            score: self.rated.score.as_ref(),
        }
        .situation();
        let of_others = self.world.weak_orders.and_then(|known| known.get(&self.customer));
        let placed = |orders: &Vec<WeakOrder>| {
            orders[..orders.partition_point(|order| order.placed_at <= now)].last().copied()
        };
        situation.moments.weak_order = of_others.and_then(placed);
        situation.moments.at_risk = self.rated.at_risk();
        if self.world.needs != Needs::default() {
            let told = self.told[..self.known].iter().map(|told| &told.fact);
            deeds::add(&mut situation.subject, self.world, &self.folded, told);
            situation.subject.received = self.post.received(self.world.rules);
        }
        situation
    }

    /// All that is due knocks at the door, the oldest first, until nothing is.
    fn send(&mut self, situation: &Situation, now: Timestamp) {
        let world = self.world;
        while let Some(knocking) = self.post.first_due(now) {
            let enrolments = &self.ledger.enrolments;
            let said = self.post.judge(knocking, world, situation, enrolments, now);
            if let Some((enrolment, status, reason)) = said.ends {
                self.ledger.end(enrolment, status, reason);
            }
            self.ledger.events.extend(said.event);
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
        let retries = self.ledger.enrolments.iter().filter_map(|row| row.retry_at);
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
            self.rated.score.as_ref(),
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
