//! Decides who owns an identity, from the evidence of all facts, whatever their order of arrival. Pure.
//!
//! An anonymous id belongs to the identified customer whose link to it has the smallest position; without
//! one, to the address with the smallest link. An address belongs to the identified customer with the
//! smallest link to it. An identity nobody else owns is a customer of its own: its home.

use std::collections::BTreeMap;

use super::{Identifiers, Identity, Strength};
use crate::primitives::Timestamp;

/// Where a fact stands in time: by occurrence, ties by its source's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub occurred_at: Timestamp,
    pub source_key: String,
}

/// Evidence that `identity` is `target`'s: the earliest fact that named both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub identity: Identity,
    pub target: Identity,
    pub position: Position,
}

/// The links one fact is evidence of. `previous` is the anonymous id that an alias hands over.
///
/// A weaker identity links to every stronger one named beside it; a phone number links to nothing,
/// since families share one.
pub fn links_of(
    identifiers: &Identifiers,
    previous: Option<&str>,
    position: &Position,
) -> Vec<Link> {
    let anonymous = identifiers.anonymous_id.as_deref().map(Identity::anonymous);
    let previous = previous.map(Identity::anonymous);
    let email = identifiers.email.as_ref().map(Identity::email);
    let external = identifiers.external_id.as_deref().map(Identity::external);
    let link = |identity: &Identity, target: &Identity| Link {
        identity: identity.clone(),
        target: target.clone(),
        position: position.clone(),
    };
    let mut links = Vec::new();
    for anonymous in anonymous.iter().chain(&previous) {
        match (&external, &email) {
            (Some(external), _) => links.push(link(anonymous, external)),
            (None, Some(email)) => links.push(link(anonymous, email)),
            (None, None) => {}
        }
    }
    if let (Some(email), Some(external)) = (&email, &external) {
        links.push(link(email, external));
    }
    links
}

/// The links known of some identities: for each, each target's earliest position.
#[derive(Debug, Default, Clone)]
pub struct Evidence {
    by_identity: BTreeMap<Identity, BTreeMap<Identity, Position>>,
}

impl Evidence {
    /// Takes a link in; true if it is new or earlier than what was known.
    pub fn add(&mut self, link: Link) -> bool {
        let targets = self.by_identity.entry(link.identity).or_default();
        match targets.get_mut(&link.target) {
            Some(known) if *known <= link.position => false,
            Some(known) => {
                *known = link.position;
                true
            }
            None => {
                targets.insert(link.target, link.position);
                true
            }
        }
    }

    /// The earliest fact that is evidence of `identity` being `target`'s.
    pub fn position(&self, identity: &Identity, target: &Identity) -> Option<&Position> {
        self.by_identity.get(identity)?.get(target)
    }

    /// The identity one step closer to the owner of `identity`, if another owns it.
    ///
    /// Identified targets come before addresses, and of each kind the earliest link wins.
    pub fn next_owner(&self, identity: &Identity) -> Option<&Identity> {
        if identity.strength() == Strength::Identified {
            return None;
        }
        let targets = self.by_identity.get(identity)?;
        targets
            .iter()
            .min_by_key(|(target, position)| (target.strength(), *position, *target))
            .map(|(target, _)| target)
    }
}

/// Who holds an order: the fact with the smallest claim. Identified people come first, then those who say it
/// was placed rather than refunded, then the better source, then the earlier fact.
///
/// The text sorts as the claim does, so that the database can hold it in one column.
pub fn order_claim(
    subject: Option<&Identity>,
    is_statement: bool,
    source_rank: i32,
    position: &Position,
) -> String {
    let strength = match subject.map_or(Strength::Nobody, Identity::strength) {
        Strength::Identified => 0,
        Strength::Known => 1,
        Strength::Anonymous => 2,
        Strength::Nobody => 3,
    };
    let (kind, rank) = (i32::from(!is_statement), 9 - source_rank.clamp(0, 9));
    format!("{strength}{kind}{rank}{:018}{}", position.occurred_at.0, position.source_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Position {
        Position { occurred_at: Timestamp(second * 1_000_000), source_key: format!("k{second}") }
    }

    fn who(anonymous: Option<&str>, external: Option<&str>, email: Option<&str>) -> Identifiers {
        Identifiers {
            anonymous_id: anonymous.map(Into::into),
            external_id: external.map(Into::into),
            email: email.map(|e| e.parse().unwrap()),
            phone: None,
        }
    }

    #[test]
    fn the_earliest_identified_link_owns_a_browser_whatever_arrives_first() {
        let late = links_of(&who(Some("a"), Some("2"), None), None, &at(9));
        let early = links_of(&who(Some("a"), Some("1"), None), None, &at(3));
        for order in [[&late, &early], [&early, &late]] {
            let mut evidence = Evidence::default();
            for link in order.into_iter().flatten() {
                evidence.add(link.clone());
            }
            assert_eq!(
                evidence.next_owner(&Identity::anonymous("a")),
                Some(&Identity::external("1"))
            );
        }
    }

    #[test]
    fn an_address_is_weaker_than_an_id_even_when_it_came_first() {
        let mut evidence = Evidence::default();
        for link in links_of(&who(Some("a"), None, Some("ann@shop.example")), None, &at(1)) {
            evidence.add(link);
        }
        let address = "ann@shop.example".parse().unwrap();
        assert_eq!(
            evidence.next_owner(&Identity::anonymous("a")),
            Some(&Identity::email(&address))
        );
        for link in links_of(&who(Some("a"), Some("7"), None), None, &at(5)) {
            assert!(evidence.add(link));
        }
        assert_eq!(evidence.next_owner(&Identity::anonymous("a")), Some(&Identity::external("7")));
    }

    #[test]
    fn identified_people_are_never_owned_by_another() {
        let mut evidence = Evidence::default();
        evidence.add(Link {
            identity: Identity::external("1"),
            target: Identity::external("2"),
            position: at(1),
        });
        assert_eq!(evidence.next_owner(&Identity::external("1")), None);
    }

    #[test]
    fn an_identified_statement_holds_an_order_before_an_anonymous_one() {
        let (ext, anon) = (Identity::external("1"), Identity::anonymous("a"));
        let strong = order_claim(Some(&ext), true, 1, &at(9));
        assert!(strong < order_claim(Some(&anon), true, 2, &at(1)));
        assert!(strong < order_claim(Some(&ext), false, 1, &at(1)));
        assert!(order_claim(Some(&ext), true, 2, &at(9)) < strong);
    }
}
