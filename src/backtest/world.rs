//! What is the same for all customers of a replay.

use std::collections::HashMap;

use super::house::Surroundings;
use super::scores::Scores;
use crate::journal::fold::Frame;
use crate::primitives::{CustomerId, Timestamp};
use crate::rules::StoredRule;
use crate::rules::condition::Needs;
use crate::secret::Secret;
use crate::situation::WeakOrder;
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
