//! Facts as they came to be known: what a replay may know of at each moment. Pure.
//!
//! A fact is known from when it happened, or from when it was received if that is at most 72 hours later: a file of
//! last year's orders is taken as if the shop had told of each in time. What a browser did before it was known whose
//! it was belongs to a visitor until then, as it did when it happened.

use std::collections::{BTreeMap, HashMap};

use crate::identity::{Identifiers, Identity, Strength};
use crate::journal::Body;
use crate::journal::fold::Fact;
use crate::primitives::{Delay, Timestamp};

/// What was received so much later was told of in bulk, not late.
const LATE: Delay = Delay::hours(72);

/// A fact, and from when it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub known_at: Timestamp,
    pub fact: Fact,
}

/// Somebody whose facts are one customer's by now, and until when nobody knew.
#[derive(Debug, Clone, PartialEq)]
pub struct Visitor {
    pub until: Timestamp,
    pub facts: Vec<Told>,
}

/// A customer's facts in order of knowledge, and those who turned out to be this customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub facts: Vec<Told>,
    pub visitors: Vec<Visitor>,
}

impl Known {
    /// `facts` are all of one customer's, in any order.
    pub fn of(facts: Vec<Fact>) -> Self {
        let known: Vec<Timestamp> = facts.iter().map(known_at).collect();
        let joins = Joins::of(&facts, &known);
        let mut all = Vec::with_capacity(facts.len());
        let mut visitors: BTreeMap<Identity, Visitor> = BTreeMap::new();
        for (fact, told_at) in facts.into_iter().zip(known) {
            let fact = unhindered(fact, told_at);
            let subject = fact.payload.identifiers.subject();
            let joins = subject.as_ref().and_then(|subject| joins.joins_at(subject));
            let known_at = joins.map_or(told_at, |at| at.max(told_at));
            if let (Some(subject), Some(until)) = (subject, joins.filter(|at| told_at < *at)) {
                let visitor =
                    visitors.entry(subject).or_insert(Visitor { until, facts: Vec::new() });
                visitor.facts.push(Told { known_at: told_at, fact: fact.clone() });
            }
            all.push(Told { known_at, fact });
        }
        sort(&mut all);
        let mut visitors: Vec<Visitor> = visitors.into_values().collect();
        visitors.iter_mut().for_each(|visitor| sort(&mut visitor.facts));
        Self { facts: all, visitors }
    }
}

/// What was known at `at`, in order of position. Facts that had come by then are as they came.
pub fn as_known_at(facts: Vec<Fact>, at: Timestamp) -> Vec<Fact> {
    let known =
        facts.into_iter().map(|fact| (known_at(&fact), fact)).filter(|(told, _)| *told <= at);
    let mut known: Vec<Fact> = known
        .map(|(told, fact)| if fact.received_at <= at { fact } else { unhindered(fact, told) })
        .collect();
    known.sort_by(|a, b| a.position().cmp(&b.position()));
    known
}

fn sort(told: &mut [Told]) {
    told.sort_by(|a, b| (a.known_at, a.fact.position()).cmp(&(b.known_at, b.fact.position())));
}

fn known_at(fact: &Fact) -> Timestamp {
    let in_time = fact.received_at <= fact.occurred_at.plus(LATE);
    if in_time { fact.received_at.max(fact.occurred_at) } else { fact.occurred_at }
}

/// That late news causes no late mail binds live planning alone: in a replay every fact came when it was known.
fn unhindered(fact: Fact, known_at: Timestamp) -> Fact {
    Fact { live: true, received_at: known_at, ..fact }
}

/// When it came to be known that an identity is the customer's.
struct Joins {
    /// The earliest word that names both, by the weaker identity and the stronger.
    links: HashMap<Identity, HashMap<Identity, Timestamp>>,
    /// The strongest identity is who the customer is, from the beginning.
    strongest: Strength,
}

impl Joins {
    fn of(facts: &[Fact], known: &[Timestamp]) -> Self {
        let mut links: HashMap<Identity, HashMap<Identity, Timestamp>> = HashMap::new();
        let mut strongest = Strength::Nobody;
        for (fact, known_at) in facts.iter().zip(known) {
            let identifiers = &fact.payload.identifiers;
            let Some(subject) = identifiers.subject() else { continue };
            strongest = strongest.min(subject.strength());
            let previous = match &fact.payload.body {
                Body::Aliased { previous_id } => Some(Identity::anonymous(previous_id)),
                _ => None,
            };
            for weaker in weaker(identifiers, &subject).into_iter().chain(previous) {
                let at = links.entry(weaker).or_default().entry(subject.clone());
                at.and_modify(|at| *at = (*known_at).min(*at)).or_insert(*known_at);
            }
        }
        Self { links, strongest }
    }

    /// `None`: it was the customer's from the beginning, as far as anyone can tell.
    fn joins_at(&self, identity: &Identity) -> Option<Timestamp> {
        if identity.strength() <= self.strongest {
            return None;
        }
        let links = self.links.get(identity)?;
        let through = |(stronger, at): (&Identity, &Timestamp)| match self.joins_at(stronger) {
            Some(theirs) => theirs.max(*at),
            None => *at,
        };
        // Each link leads to a stronger identity, so this comes to an end.
        links.iter().filter(|(other, _)| other.strength() < identity.strength()).map(through).min()
    }
}

/// What else the fact names, beside its subject.
fn weaker(identifiers: &Identifiers, subject: &Identity) -> Vec<Identity> {
    let email = identifiers.email.as_ref().map(Identity::email);
    let anonymous = identifiers.anonymous_id.as_deref().map(Identity::anonymous);
    email.into_iter().chain(anonymous).filter(|identity| identity != subject).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::journal::{Context, Payload, Source};
    use crate::primitives::{CustomerId, FactId};

    fn at(hours: i64) -> Timestamp {
        Timestamp(1_780_000_000_000_000).plus(Delay::hours(hours))
    }

    fn fact(key: &str, occurred: i64, received: i64, identifiers: Identifiers) -> Fact {
        Fact {
            id: FactId(1),
            customer: CustomerId(7),
            source: Source::Tracking,
            source_key: key.into(),
            subject: Identity::external("ann"),
            occurred_at: at(occurred),
            received_at: at(received),
            live: false,
            payload: Payload {
                identifiers,
                context: Context::default(),
                body: Body::PageViewed { title: None, referrer: None },
            },
        }
    }

    fn ann() -> Identifiers {
        Identifiers { external_id: Some("ann".into()), ..Identifiers::default() }
    }

    fn browser() -> Identifiers {
        Identifiers { anonymous_id: Some("b1".into()), ..Identifiers::default() }
    }

    fn keys(told: &[Told]) -> Vec<(&str, Timestamp)> {
        told.iter().map(|told| (told.fact.source_key.as_str(), told.known_at)).collect()
    }

    #[test]
    fn what_comes_within_three_days_was_late_and_what_comes_later_was_told_in_bulk() {
        let known = Known::of(vec![
            fact("late", 0, 70, ann()),
            fact("in bulk", 10, 9_000, ann()),
            fact("at once", 20, 20, ann()),
            fact("before its time", 30, 29, ann()),
        ]);
        assert_eq!(
            keys(&known.facts),
            [
                ("in bulk", at(10)),
                ("at once", at(20)),
                ("before its time", at(30)),
                ("late", at(70))
            ]
        );
        assert!(known.visitors.is_empty());
    }

    #[test]
    fn a_browser_is_a_visitor_until_it_is_known_whose_it_is() {
        let both = Identifiers { anonymous_id: Some("b1".into()), ..ann() };
        let known = Known::of(vec![
            fact("seen", 0, 0, browser()),
            fact("signs in", 5, 5, both),
            fact("seen again", 6, 6, browser()),
        ]);
        assert_eq!(
            keys(&known.facts),
            [("seen", at(5)), ("signs in", at(5)), ("seen again", at(6))]
        );
        assert_eq!(known.visitors.len(), 1);
        assert_eq!(known.visitors[0].until, at(5));
        assert_eq!(keys(&known.visitors[0].facts), [("seen", at(0))]);
    }

    #[test]
    fn a_browser_that_nobody_signed_in_with_is_its_own_customer() {
        let known = Known::of(vec![fact("seen", 0, 0, browser())]);
        assert_eq!((keys(&known.facts), known.visitors.len()), (vec![("seen", at(0))], 0));
    }
}
