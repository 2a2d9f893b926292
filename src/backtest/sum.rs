//! What a rule would have done, summed up over its customers. Pure; the order of the customers is nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::civil::Date;
use serde::Serialize;

use super::Window;
use super::house::{Place, place};
use super::ledger::Event;
use super::life::Lived;
use super::world::World;
use crate::ledger::{Outcome, Reason};
use crate::primitives::{CustomerId, Delay, EnrolmentId, Timestamp};
use crate::rules::Class;
use crate::scoring::predict::history::scatter;

/// An order within so long after a would-be mail is told as bought after it.
pub const AFTER_MAIL: Delay = Delay::days(7);
/// Decisions shown of each kind.
const SAMPLES: usize = 3;

/// A backtest's outcome: `homing rules backtest --format json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub rule: String,
    pub from: Date,
    pub to: Date,
    /// Due, and the audience true; before holdout and guardrails.
    pub entered: u64,
    /// Messages, of all steps.
    pub would_send: u64,
    pub held_out: u64,
    /// Messages that had to wait for a guardrail or a stronger rule.
    pub deferred: u64,
    /// Messages that consent, address or suppression forbid.
    pub suppressed: u64,
    /// Due, and the audience not true, or too soon after the last time.
    pub not_eligible: u64,
    /// Who ordered after the rule's moment and before any mail could have left.
    pub bought_before_mail: u64,
    /// Who ordered within seven days after the first would-be mail, which they never got from this replay.
    pub bought_after_mail: u64,
    /// The first of the days with most sends; null where nothing would be sent.
    pub worst_day: Option<WorstDay>,
    /// Every day of the window.
    pub per_day: Vec<PerDay>,
    /// Every outcome with its reason, the most frequent first.
    pub outcomes: Vec<OutcomeCount>,
    /// Coupons that would have been given out.
    pub coupons: Vec<Coupon>,
    pub sample: Vec<Sample>,
    pub note: String,
    /// What became of whom, where the contest was asked to name them.
    #[serde(skip)]
    pub people: Vec<Fate>,
}

/// How often one customer came to one outcome, for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    pub customer: CustomerId,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub n: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstDay {
    pub date: Date,
    pub sends: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerDay {
    pub date: Date,
    pub entered: u64,
    /// Of these, who got an enrolment or was held out: what the ledger of a rule in shadow counts too.
    pub enrolled: u64,
    pub sends: u64,
    pub deferred: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutcomeCount {
    pub outcome: Outcome,
    pub reason: Option<Reason>,
    pub n: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coupon {
    pub coupon: String,
    pub messages: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    pub customer_id: CustomerId,
    pub at: Timestamp,
    pub step: Option<i32>,
    pub outcome: Outcome,
    pub reason: Option<Reason>,
}

/// An outcome and its reason, by name.
type Kind = (&'static str, Option<&'static str>);

/// Counts of some customers, that can be added to those of others.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    entered: u64,
    would_send: u64,
    held_out: u64,
    deferred: u64,
    suppressed: u64,
    not_eligible: u64,
    bought_before_mail: u64,
    bought_after_mail: u64,
    /// By days since 1970 in the store's zone: entered, sends, deferred, enrolled.
    days: BTreeMap<i32, [u64; 4]>,
    outcomes: BTreeMap<Kind, (Outcome, Option<Reason>, u64)>,
    sends_of_step: BTreeMap<i32, u64>,
    samples: BTreeMap<Kind, Vec<(u64, Sample)>>,
    people: Vec<Fate>,
    /// Where the day has a budget: the places of all marketing messages that left, of whichever rule.
    pub left: Vec<Place>,
}

impl Sum {
    /// What became of one customer in the rule that is looked at.
    pub fn of(world: &World, customer: CustomerId, lived: &Lived) -> Self {
        let mut sum = Self { bought_before_mail: lived.bought_before_due, ..Self::default() };
        let mut first_mail: HashMap<EnrolmentId, Timestamp> = HashMap::new();
        let mut held: HashSet<(EnrolmentId, i32)> = HashSet::new();
        for event in lived.events.iter().filter(|event| event.rule == world.tested) {
            let day = event.at.day_number(&world.store.timezone);
            if event.meant {
                sum.entered += 1;
                sum.days.entry(day).or_default()[0] += 1;
            }
            if matches!(event.outcome, Outcome::Enrolled | Outcome::HeldOut) {
                sum.days.entry(day).or_default()[3] += 1;
            }
            match event.outcome {
                Outcome::Sent => {
                    sum.would_send += 1;
                    sum.days.entry(day).or_default()[1] += 1;
                    *sum.sends_of_step.entry(event.step.unwrap_or(1)).or_default() += 1;
                    first_mail.entry(event.enrolment).or_insert(event.at);
                }
                // An enrolment that waits holds its first message up; a message is deferred once.
                Outcome::Deferred if held.insert((event.enrolment, event.step.unwrap_or(1))) => {
                    sum.deferred += 1;
                    sum.days.entry(day).or_default()[2] += 1;
                }
                Outcome::HeldOut => sum.held_out += 1,
                Outcome::Suppressed if event.step.is_some() || event.meant => {
                    sum.suppressed += event.messages as u64;
                }
                // Nobody may write to them, and the rule is not meant for them either.
                Outcome::Suppressed => sum.not_eligible += 1,
                Outcome::NotEligible => sum.not_eligible += 1,
                Outcome::Stopped if event.reason == Some(Reason::Bought) => {
                    let no_mail_yet = !first_mail.contains_key(&event.enrolment);
                    sum.bought_before_mail += u64::from(no_mail_yet);
                }
                _ => {}
            }
            sum.note_down(customer, event);
        }
        if world.names_people {
            let fates = sum.outcomes.values();
            sum.people = fates
                .map(|(outcome, reason, n)| Fate {
                    customer,
                    outcome: *outcome,
                    reason: *reason,
                    n: *n,
                })
                .collect();
        }
        if world.store.sending.daily_budget.is_some() {
            let is_marketing = |e: &&Event| world.rules[e.rule].rule.class == Class::Marketing;
            let sent = lived.events.iter().filter(|event| event.outcome == Outcome::Sent);
            sum.left = sent.filter(is_marketing).map(|event| place(event.at, customer)).collect();
        }
        let bought_after = |at: &&Timestamp| {
            let next = lived.orders.partition_point(|placed| placed <= *at);
            lived.orders.get(next).is_some_and(|placed| *placed <= at.plus(AFTER_MAIL))
        };
        sum.bought_after_mail = first_mail.values().filter(bought_after).count() as u64;
        sum
    }

    fn note_down(&mut self, customer: CustomerId, event: &Event) {
        let Event { at, step, outcome, reason, .. } = *event;
        let kind = (outcome.as_str(), reason.map(Reason::as_str));
        self.outcomes.entry(kind).or_insert((outcome, reason, 0)).2 += 1;
        let sample = Sample { customer_id: customer, at, step, outcome, reason };
        let samples = self.samples.entry(kind).or_default();
        samples.push((scatter(customer.0 as u64), sample));
        Self::keep_some(samples);
    }

    /// Those with the smallest scattered ids: whoever is asked first, the same are kept.
    fn keep_some(samples: &mut Vec<(u64, Sample)>) {
        samples.sort_by_key(|(place, sample)| (*place, sample.at, sample.step));
        samples.dedup_by_key(|(place, _)| *place);
        samples.truncate(SAMPLES);
    }

    pub fn add(mut self, other: Self) -> Self {
        self.entered += other.entered;
        self.would_send += other.would_send;
        self.held_out += other.held_out;
        self.deferred += other.deferred;
        self.suppressed += other.suppressed;
        self.not_eligible += other.not_eligible;
        self.bought_before_mail += other.bought_before_mail;
        self.bought_after_mail += other.bought_after_mail;
        for (day, counts) in other.days {
            let own = self.days.entry(day).or_default();
            own.iter_mut().zip(counts).for_each(|(own, n)| *own += n);
        }
        for (kind, (outcome, reason, n)) in other.outcomes {
            self.outcomes.entry(kind).or_insert((outcome, reason, 0)).2 += n;
        }
        self.left.extend(other.left);
        self.people.extend(other.people);
        for (step, n) in other.sends_of_step {
            *self.sends_of_step.entry(step).or_default() += n;
        }
        for (kind, theirs) in other.samples {
            let samples = self.samples.entry(kind).or_default();
            samples.extend(theirs);
            Self::keep_some(samples);
        }
        self
    }

    pub fn report(self, world: &World, window: Window, note: String) -> Report {
        let rule = &world.rules[world.tested].rule;
        let dates = std::iter::successors(Some(window.from), |day| day.tomorrow().ok());
        let per_day: Vec<PerDay> = dates
            .take_while(|date| *date < window.to)
            .map(|date| {
                let day = world.store.timezone.start_of(date).day_number(&world.store.timezone);
                let [entered, sends, deferred, enrolled] =
                    self.days.get(&day).copied().unwrap_or_default();
                PerDay { date, entered, enrolled, sends, deferred }
            })
            .collect();
        let most = per_day.iter().map(|day| day.sends).max().filter(|most| *most > 0);
        let worst = most.and_then(|most| per_day.iter().find(|day| day.sends == most));
        let worst_day = worst.map(|day| WorstDay { date: day.date, sends: day.sends });
        let mut coupons: BTreeMap<&str, u64> = BTreeMap::new();
        for (step, n) in &self.sends_of_step {
            let step = rule.steps.get(usize::try_from(*step - 1).unwrap_or(usize::MAX));
            if let Some(coupon) = step.and_then(|step| step.coupon.as_deref()) {
                *coupons.entry(coupon).or_default() += n;
            }
        }
        let mut outcomes: Vec<OutcomeCount> = self
            .outcomes
            .into_values()
            .map(|(outcome, reason, n)| OutcomeCount { outcome, reason, n })
            .collect();
        outcomes.sort_by_key(|count| std::cmp::Reverse(count.n));
        let samples = self.samples.into_values().flatten();
        let mut sample: Vec<Sample> = samples.map(|(_, sample)| sample).collect();
        sample.sort_by_key(|sample| (sample.at, sample.customer_id, sample.step));
        Report {
            rule: rule.key.clone(),
            from: window.from,
            to: window.to,
            entered: self.entered,
            would_send: self.would_send,
            held_out: self.held_out,
            deferred: self.deferred,
            suppressed: self.suppressed,
            not_eligible: self.not_eligible,
            bought_before_mail: self.bought_before_mail,
            bought_after_mail: self.bought_after_mail,
            worst_day,
            per_day,
            outcomes,
            coupons: coupons
                .into_iter()
                .map(|(coupon, messages)| Coupon { coupon: coupon.to_owned(), messages })
                .collect(),
            sample,
            note,
            people: self.people,
        }
    }
}
