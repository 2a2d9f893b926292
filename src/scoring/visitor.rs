//! The same idea for people who visited and never bought: recency, number of visits, depth of intent. Pure.
//!
//! R = whole days since the last visit, F = visits, M = how far they ever went and how many products they
//! looked at. Fifths are taken among visitors, so a store with little traffic still parts its own. Visitors have
//! segments of their own, and are never counted among the eleven of the buyers.

use super::rfm::Rfm;
use serde::{Deserialize, Serialize};

use crate::text_enum;

/// How far a visitor ever went: the deeper step counts first, then the products looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Intent {
    pub depth: Depth,
    pub product_views: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    Page,
    Product,
    Cart,
    Checkout,
}

impl Intent {
    pub fn of(product_views: i32, carts: i32, checkouts: i32) -> Self {
        let depth = match (product_views, carts, checkouts) {
            (_, _, 1..) => Depth::Checkout,
            (_, 1.., _) => Depth::Cart,
            (1.., _, _) => Depth::Product,
            _ => Depth::Page,
        };
        Self { depth, product_views }
    }
}

text_enum! {
    /// The six segments of visitors, by R and the mean of F and M (FM):
    ///
    /// | R \ FM | 1–2 | 3 | 4–5 |
    /// |---|---|---|---|
    /// | 5 | new_visitors | engaged_visitors | hot_prospects |
    /// | 4 | casual_visitors | engaged_visitors | hot_prospects |
    /// | 3 | casual_visitors | engaged_visitors | engaged_visitors |
    /// | 1–2 | gone_visitors | fading_visitors | fading_visitors |
    pub enum VisitorSegment {
        /// Here lately, often or deep: the next order is theirs to place.
        HotProspects = "hot_prospects",
        EngagedVisitors = "engaged_visitors",
        NewVisitors = "new_visitors",
        CasualVisitors = "casual_visitors",
        /// Once keen, silent since.
        FadingVisitors = "fading_visitors",
        GoneVisitors = "gone_visitors",
    }
}

/// Whether a segment of this name is of visitors, not of buyers.
pub fn is_of_visitors(segment: &str) -> bool {
    VisitorSegment::ALL.iter().any(|known| known.as_str() == segment)
}

impl VisitorSegment {
    pub fn of(rfm: Rfm) -> Self {
        match (rfm.r, rfm.fm()) {
            (4.., 4..) => Self::HotProspects,
            (3.., 3..) => Self::EngagedVisitors,
            (5, _) => Self::NewVisitors,
            (3.., _) => Self::CasualVisitors,
            (_, 3..) => Self::FadingVisitors,
            _ => Self::GoneVisitors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deeper_step_outweighs_any_number_of_looks() {
        let deepest_first = [
            Intent::of(0, 0, 1),
            Intent::of(3, 1, 0),
            Intent::of(0, 1, 0),
            Intent::of(900, 0, 0),
            Intent::of(1, 0, 0),
            Intent::of(0, 0, 0),
        ];
        assert!(deepest_first.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn every_cell_is_in_the_segment_that_the_table_says() {
        use VisitorSegment::*;
        for r in 1..=5 {
            for fm in 1..=5 {
                let expected = match (r, fm) {
                    (4 | 5, 4 | 5) => HotProspects,
                    (3..=5, 3..=5) => EngagedVisitors,
                    (5, 1 | 2) => NewVisitors,
                    (3 | 4, 1 | 2) => CasualVisitors,
                    (1 | 2, 3..=5) => FadingVisitors,
                    _ => GoneVisitors,
                };
                assert_eq!(VisitorSegment::of(Rfm { r, f: fm, m: fm }), expected, "{r}{fm}");
            }
        }
    }
}
