//! What a customer did, and what reached them: asked by how often and since when, not by a running total.

use std::collections::BTreeMap;
use std::fmt;

use super::{Condition, folded};
use crate::primitives::{Delay, Timestamp};
use crate::text_enum;

text_enum! {
    pub enum Did {
        /// An order that counts: paid, and not given back altogether.
        Bought = "bought",
        /// Any order placed, even if it was cancelled later.
        Ordered = "ordered",
        /// A product's page.
        Viewed = "viewed",
        /// Put something into the cart, or looked at the cart with it inside.
        Carted = "carted",
        /// Started a checkout.
        CheckedOut = "checked_out",
        /// A visit: facts less than 30 minutes apart.
        Visited = "visited",
    }
}

/// With what a behaviour had to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    Product(String),
    /// As the catalogue files the product now.
    Category(String),
}

/// "Bought P at least twice within 90 days", or never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    pub(super) never: bool,
    pub(super) what: Did,
    pub(super) of: Option<Of>,
    /// At least 1; of `never` it is 1.
    pub(super) at_least: u32,
    /// `None`: ever.
    pub(super) within: Option<Delay>,
}

/// One thing that a customer did.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    pub what: Did,
    pub at: Timestamp,
    pub products: Vec<String>,
    /// Of these products.
    pub categories: Vec<String>,
}

/// "Got mail of rule R within 14 days."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub rule: String,
    pub within: Option<Delay>,
}

impl Behaviour {
    pub(super) fn holds(&self, deeds: &[Deed], now: Timestamp) -> bool {
        (self.times(deeds, now) >= self.at_least as usize) != self.never
    }

    /// How often, in the time that is asked about.
    pub(super) fn times(&self, deeds: &[Deed], now: Timestamp) -> usize {
        deeds
            .iter()
            .filter(|deed| deed.what == self.what && is_within(deed.at, self.within, now))
            .filter(|deed| match &self.of {
                None => true,
                Some(Of::Product(id)) => deed.products.contains(id),
                Some(Of::Category(name)) => {
                    deed.categories.iter().any(|known| folded(known) == folded(name))
                }
            })
            .count()
    }

    pub(super) fn is_never_of(&self, what: Did) -> bool {
        self.never && self.what == what && self.of.is_none() && self.within.is_none()
    }

    /// What is counted: the name of its figure among a decision's facts.
    pub(super) fn subject(&self) -> String {
        let of = match &self.of {
            None => String::new(),
            Some(Of::Product(id)) => format!(" product {id}"),
            Some(Of::Category(name)) => format!(" category {name}"),
        };
        let within = self.within.map_or(String::new(), |within| format!(" within {within}"));
        format!("{}{of}{within}", self.what.as_str().replace('_', " "))
    }
}

impl Received {
    pub(super) fn holds(&self, received: &[(String, Timestamp)], now: Timestamp) -> bool {
        self.last(received, now).is_some()
    }

    /// When it did so last, in the time that is asked about.
    pub(super) fn last(
        &self,
        received: &[(String, Timestamp)],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let of_rule = received.iter().filter(|(rule, _)| *rule == self.rule);
        of_rule.map(|(_, at)| *at).filter(|at| is_within(*at, self.within, now)).max()
    }
}

/// Not later than `now`: what a clock that is set back, or a backtest, does not know yet.
fn is_within(at: Timestamp, within: Option<Delay>, now: Timestamp) -> bool {
    at <= now && within.is_none_or(|within| at > now.minus(within))
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.never, self.at_least) {
            (true, _) => write!(f, "never {}", self.subject()),
            (false, 1) => write!(f, "{}", self.subject()),
            (false, n) => write!(f, "{} at least {n} times", self.subject()),
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "received {}", self.rule)?;
        self.within.map_or(Ok(()), |within| write!(f, " within {within}"))
    }
}

/// What must be loaded of customers before some conditions can be asked of them: most ask for none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Where they came from, first and last.
    pub channels: bool,
    /// The rules whose mail reached them.
    pub received: bool,
    /// What they did, each since how long; `None`: ever.
    pub deeds: BTreeMap<Did, Option<Delay>>,
    /// With which products, and of which category these are.
    pub products: bool,
    pub categories: bool,
    /// The clicks of people up to then, where a step waits for one. No condition asks for it.
    pub clicks_until: Option<Timestamp>,
}

impl Needs {
    pub fn of<'c>(conditions: impl IntoIterator<Item = &'c Condition>) -> Self {
        use super::Field::{FirstCampaign, FirstChannel, LastCampaign, LastChannel};
        let mut needs = Self::default();
        for condition in conditions {
            condition.visit(&mut |leaf| match leaf {
                Condition::Is(comparison) => {
                    let channels = [FirstChannel, LastChannel, FirstCampaign, LastCampaign];
                    needs.channels |= channels.contains(&comparison.field);
                }
                Condition::Received(_) => needs.received = true,
                Condition::Did(behaviour) => needs.take(behaviour),
                _ => {}
            });
        }
        needs
    }

    fn take(&mut self, behaviour: &Behaviour) {
        self.products |= behaviour.of.is_some();
        self.categories |= matches!(behaviour.of, Some(Of::Category(_)));
        self.deeds
            .entry(behaviour.what)
            .and_modify(|span| *span = span.zip(behaviour.within).map(|(a, b)| a.max(b)))
            .or_insert(behaviour.within);
    }

    /// Since when `what` is to be loaded; `None`: not at all.
    pub fn since(&self, what: Did, now: Timestamp) -> Option<Timestamp> {
        let span = self.deeds.get(&what)?;
        Some(span.map_or(Timestamp::MIN, |span| now.minus(span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Condition {
        serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"))
    }

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn deed(what: Did, days: i64, product: &str, category: &str) -> Deed {
        let at = now().minus(Delay::days(days));
        Deed { what, at, products: vec![product.into()], categories: vec![category.into()] }
    }

    #[test]
    fn behaviour_is_counted_in_its_time_and_of_its_product() {
        let deeds = [
            deed(Did::Bought, 3, "longjing", "Green tea"),
            deed(Did::Bought, 40, "longjing", "Green tea"),
            deed(Did::Bought, 50, "pot", "Ware"),
            deed(Did::Viewed, 1, "pot", "Ware"),
            deed(Did::Viewed, -1, "cup", "Ware"),
        ];
        let holds = |json: &str| match read(json) {
            Condition::Did(behaviour) => behaviour.holds(&deeds, now()),
            other => panic!("{other}"),
        };
        for yes in [
            r#"{"did":"bought"}"#,
            r#"{"did":"bought","product":"longjing","at_least":2}"#,
            r#"{"did":"bought","category":"green TEA","at_least":2,"within":"60d"}"#,
            r#"{"never":"bought","product":"pot","within":"50d"}"#,
            r#"{"never":"carted"}"#,
            r#"{"never":"viewed","product":"cup"}"#,
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            r#"{"did":"bought","product":"longjing","at_least":2,"within":"30d"}"#,
            r#"{"did":"bought","product":"Longjing"}"#,
            r#"{"never":"bought","product":"pot","within":"51d"}"#,
            r#"{"did":"visited"}"#,
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn what_is_loaded_reaches_as_far_back_as_any_rule_asks() {
        let asked = [
            read(
                r#"{"all":[{"did":"bought","within":"30d"},{"not":{"did":"bought","product":"p","within":"90d"}}]}"#,
            ),
            read(r#"{"any":[{"did":"viewed","category":"tea"},{"did":"viewed","within":"1d"}]}"#),
            read(r#"{"received":"win-back","within":"14d"}"#),
        ];
        let needs = Needs::of(&asked);
        assert_eq!(needs.since(Did::Bought, now()), Some(now().minus(Delay::days(90))));
        assert_eq!(needs.since(Did::Viewed, now()), Some(Timestamp::MIN));
        assert_eq!(needs.since(Did::Carted, now()), None);
        assert!(needs.received && needs.products && needs.categories && !needs.channels);
        assert_eq!(
            Needs::of([&read(r#"{"field":"spent","op":"gt","value":1}"#)]),
            Needs::default()
        );
    }
}
