//! The audience language: conditions over a customer's rollup, score and profile. Pure.

use serde::{Deserialize, Serialize};

/// `all` / `any` / `not`, nested, over field comparisons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    #[serde(untagged)]
    Is(Comparison),
}

/// One field compared with one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub field: String,
    pub op: String,
    pub value: serde_json::Value,
}
