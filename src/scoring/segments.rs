//! What a run found, as `homing segments` and the API show it. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Run, Segment, Summary, Tally, VisitorSegment};
use crate::primitives::{Currency, Money, Timestamp};

/// The store by segment and score, in the contract's shape. Before the first run: nobody, as of never.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Segments {
    pub as_of: Option<Timestamp>,
    /// A look into the past, shown until the next live run.
    pub historic: bool,
    /// Scored buyers. Visitors are counted apart.
    pub customers: u64,
    pub segments: BTreeMap<Segment, Counted>,
    pub scores: Scores,
    /// Buyers by R, then by FM.
    pub cells: BTreeMap<u8, BTreeMap<u8, Counted>>,
    pub at_risk: Counted,
    pub visitors: Visitors,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counted {
    pub customers: u64,
    /// What they spent so far, net of refunds.
    pub revenue: Money,
}

/// Buyers with each score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    pub r: BTreeMap<u8, u64>,
    pub f: BTreeMap<u8, u64>,
    pub m: BTreeMap<u8, u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Visitors {
    pub customers: u64,
    pub segments: BTreeMap<VisitorSegment, u64>,
}

impl Segments {
    pub fn of(run: Option<&Run>, currency: &Currency) -> Self {
        let empty = Summary::empty();
        let summary = run.map_or(&empty, |run| &run.summary);
        let counted = |tally: &Tally| Counted {
            customers: tally.customers,
            revenue: Money::new(tally.revenue, currency.clone()),
        };
        let by_score = |counts: &[u64; 5]| (1..).zip(counts.iter().copied()).collect();
        let row = |row: &[Tally; 5]| (1..).zip(row.iter().map(counted)).collect();
        Self {
            as_of: run.map(|run| run.as_of),
            historic: run.is_some_and(|run| run.historic),
            customers: summary.buyers(),
            segments: summary
                .segments
                .iter()
                .map(|(segment, tally)| (*segment, counted(tally)))
                .collect(),
            scores: Scores {
                r: by_score(&summary.r),
                f: by_score(&summary.f),
                m: by_score(&summary.m),
            },
            cells: (1..).zip(summary.cells.iter().map(row)).collect(),
            at_risk: counted(&summary.at_risk),
            visitors: Visitors {
                customers: summary.visitors(),
                segments: summary.visitors.clone(),
            },
        }
    }
}
