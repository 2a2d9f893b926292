//! `[[rule.test]]` as a value: a made-up customer, what happened, and what a rule should decide at a time.

use crate::customers::Traits;
use crate::journal::Body;
use crate::primitives::{EmailAddress, Timestamp};

/// One test of one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// The rule's key.
    pub rule: String,
    /// Where it stands in the text, from 1.
    pub line: usize,
    pub name: Option<String>,
    pub at: Timestamp,
    pub customer: MadeUp,
    pub facts: Vec<(Timestamp, Body)>,
    /// A word of the ledger, and why; any reason where none is named.
    pub outcome: String,
    pub reason: Option<String>,
}

/// Who nothing is known of but what a test says: reachable, and agreed to mail.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeUp {
    pub external_id: String,
    pub email: Option<EmailAddress>,
    /// Granted, withdrawn, or never asked.
    pub consent: Option<bool>,
    pub suppressed: bool,
    pub traits: Traits,
    pub segment: Option<&'static str>,
    pub segment_since: Option<Timestamp>,
    pub r: Option<u8>,
    pub f: Option<u8>,
    pub m: Option<u8>,
    pub p_alive: Option<f64>,
    pub expected_orders_90d: Option<f64>,
    /// Minor units of the store's currency.
    pub value_at_risk: Option<i64>,
    /// When their next order is expected, by what was learnt of the last one before it.
    pub expected_at: Option<Timestamp>,
    /// Since when they are beyond the line that an `at_risk` rule draws.
    pub at_risk_since: Option<Timestamp>,
}

impl Default for MadeUp {
    fn default() -> Self {
        Self {
            external_id: "made-up".to_owned(),
            email: "someone@test.example".parse().ok(),
            consent: Some(true),
            suppressed: false,
            traits: Traits::default(),
            segment: None,
            segment_since: None,
            r: None,
            f: None,
            m: None,
            p_alive: None,
            expected_orders_90d: None,
            value_at_risk: None,
            expected_at: None,
            at_risk_since: None,
        }
    }
}

impl MadeUp {
    /// Whether anything of scoring is said of them.
    pub fn is_scored(&self) -> bool {
        let expects = self.expected_orders_90d.is_some() || self.expected_at.is_some();
        let known = [self.p_alive.is_some(), expects];
        let fifths = [self.r, self.f, self.m].iter().any(Option::is_some);
        fifths || known.contains(&true) || self.segment.is_some() || self.value_at_risk.is_some()
    }
}
