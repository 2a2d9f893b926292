//! The purchase log: orders, lines, refunds, as their sources tell of them. Pure here; SQL in `store`.

pub mod store;
pub mod summary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::primitives::{Currency, Timestamp};
pub use crate::products::ProductRef;
use crate::text_enum;

text_enum! {
    pub enum OrderStatus {
        /// Not placed yet.
        Draft = "draft",
        /// Never real.
        Test = "test",
        /// Placed, not paid.
        Open = "open",
        Paid = "paid",
        Cancelled = "cancelled",
        /// Wholly given back.
        Refunded = "refunded",
    }
}

impl OrderStatus {
    /// A placed order closes visits and baskets and stops rules, even if it is cancelled later.
    pub fn is_placed(self) -> bool {
        !matches!(self, Self::Draft | Self::Test)
    }

    /// Of two words at one time, the one further along stands.
    fn stage(self) -> u8 {
        match self {
            Self::Test | Self::Draft => 0,
            Self::Open => 1,
            Self::Paid => 2,
            Self::Cancelled => 3,
            Self::Refunded => 4,
        }
    }
}

/// All that one source says of an order at one time. Money in minor units of `currency`, none negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderStated {
    pub order_id: String,
    pub status: OrderStatus,
    /// When the source says it was placed; absent where only the fact's own time is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Timestamp>,
    /// What the buyer pays.
    pub total: i64,
    pub currency: Currency,
    /// Given back so far by this source's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ProductRef>,
}

/// Which of several statements stands: the better source's, then the newest, then the one further along.
///
/// Text that sorts so, since the database keeps it in one column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing(pub String);

impl Standing {
    pub fn new(
        rank: i32,
        occurred_at: Timestamp,
        status: OrderStatus,
        received_at: Timestamp,
        key: &str,
    ) -> Self {
        let (rank, stage) = (rank.clamp(0, 9), status.stage());
        Self(format!("{rank}{:018}{stage}{:018}{key}", occurred_at.0, received_at.0))
    }
}

/// An order as all its statements together make it.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub status: OrderStatus,
    pub total: i64,
    pub currency: Currency,
    pub coupon: Option<String>,
    pub channel: Option<String>,
    /// Each source, and when by its earliest word the order was placed; empty while it is only a draft.
    pub told_by: BTreeMap<String, Timestamp>,
    pub best: Standing,
    /// The best statement's own count of what was given back.
    pub stated_refunded: i64,
    /// Refunds told apart from it, by source key: when and how much (`None`: all).
    pub refunds: BTreeMap<String, Refund>,
    /// `None` after loading: only a statement that stands brings lines.
    pub lines: Option<Vec<ProductRef>>,
    /// It may trigger nothing that fell due before.
    pub floor_at: Timestamp,
    /// The earliest statement, for orders never placed.
    first_told_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    pub refunded_at: Timestamp,
    pub amount: Option<i64>,
}

/// One statement and its circumstances.
pub struct Statement<'a> {
    pub source: &'a str,
    pub rank: i32,
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
    pub source_key: &'a str,
    pub floor_at: Timestamp,
    pub stated: &'a OrderStated,
}

impl Statement<'_> {
    pub fn placed_at(&self) -> Timestamp {
        self.stated.placed_at.unwrap_or(self.occurred_at)
    }
    fn standing(&self) -> Standing {
        Standing::new(
            self.rank,
            self.occurred_at,
            self.stated.status,
            self.received_at,
            self.source_key,
        )
    }
}

impl Order {
    /// The order as its first statement tells it.
    pub fn first_told(statement: &Statement<'_>, refunds: BTreeMap<String, Refund>) -> Self {
        let stated = statement.stated;
        let mut order = Self {
            status: stated.status,
            total: 0,
            currency: stated.currency.clone(),
            coupon: None,
            channel: None,
            told_by: BTreeMap::new(),
            best: Standing(String::new()),
            stated_refunded: 0,
            refunds,
            lines: None,
            floor_at: statement.floor_at,
            first_told_at: statement.placed_at(),
        };
        order.tell(statement);
        order
    }

    /// Takes one more statement in. Any order of statements gives the same order.
    pub fn tell(&mut self, statement: &Statement<'_>) {
        let stated = statement.stated;
        self.floor_at = self.floor_at.min(statement.floor_at);
        self.first_told_at = self.first_told_at.min(statement.placed_at());
        if stated.status.is_placed() {
            let placed_at =
                self.told_by.entry(statement.source.to_owned()).or_insert(statement.placed_at());
            *placed_at = statement.placed_at().min(*placed_at);
        }
        // Once it is placed, when it was a draft is nothing any more.
        self.first_told_at = self.placed_at();
        let standing = statement.standing();
        if standing <= self.best {
            return;
        }
        self.best = standing;
        self.status = stated.status;
        self.total = stated.total;
        self.currency = stated.currency.clone();
        self.coupon.clone_from(&stated.coupon);
        self.channel.clone_from(&stated.channel);
        self.stated_refunded = match stated.status {
            OrderStatus::Refunded => stated.total,
            _ => stated.refunded.unwrap_or(0).min(stated.total),
        };
        self.lines = Some(stated.lines.clone());
    }

    /// True once any source said so, whatever became of it.
    pub fn is_placed(&self) -> bool {
        !self.told_by.is_empty()
    }

    /// By the earliest word of any source.
    pub fn placed_at(&self) -> Timestamp {
        self.told_by.values().min().copied().unwrap_or(self.first_told_at)
    }

    /// By the latest of the sources' first words: what closes visits and baskets. A file that knows only the day
    /// says midnight, and the browser that knew better must not lose its say.
    pub fn last_placed_at(&self) -> Option<Timestamp> {
        self.told_by.values().max().copied()
    }

    /// Given back, capped at the total. The same refund may be in the best source's count and told apart: the larger stands.
    pub fn refunded(&self) -> i64 {
        let told = self
            .refunds
            .values()
            .fold(0_i64, |sum, refund| sum.saturating_add(refund.amount.unwrap_or(self.total)));
        self.stated_refunded.max(told).clamp(0, self.total)
    }

    /// Whether it is in rollups and scores: paid, and not wholly given back (design: Order).
    pub fn counts(&self) -> bool {
        self.status == OrderStatus::Paid && (self.total == 0 || self.refunded() < self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stated(status: OrderStatus, total: i64) -> OrderStated {
        OrderStated {
            order_id: "1".into(),
            status,
            placed_at: None,
            total,
            currency: "CNY".parse().unwrap(),
            refunded: None,
            coupon: None,
            channel: None,
            lines: vec![],
        }
    }

    fn say<'a>(stated: &'a OrderStated, source: &'a str, at: i64, key: &'a str) -> Statement<'a> {
        let rank = if source == "csv" { 2 } else { 1 };
        let at = Timestamp(at);
        Statement {
            source,
            rank,
            occurred_at: at,
            received_at: at,
            source_key: key,
            floor_at: at,
            stated,
        }
    }

    #[test]
    fn the_better_source_stands_though_it_spoke_earlier() {
        let (file, browser) = (stated(OrderStatus::Paid, 900), stated(OrderStatus::Paid, 1000));
        let mut order = Order::first_told(&say(&browser, "tracking", 9, "b"), BTreeMap::new());
        order.tell(&say(&file, "csv", 5, "a"));
        assert_eq!(
            (order.total, order.placed_at(), order.last_placed_at()),
            (900, Timestamp(5), Some(Timestamp(9)))
        );
    }

    #[test]
    fn a_refund_is_capped_and_counted_once() {
        let paid = stated(OrderStatus::Paid, 1000);
        let mut order = Order::first_told(&say(&paid, "tracking", 1, "a"), BTreeMap::new());
        order.refunds.insert("r1".into(), Refund { refunded_at: Timestamp(2), amount: Some(400) });
        assert_eq!((order.refunded(), order.counts()), (400, true));
        order.refunds.insert("r2".into(), Refund { refunded_at: Timestamp(3), amount: Some(5000) });
        assert_eq!((order.refunded(), order.counts()), (1000, false));
    }

    #[test]
    fn a_cancelled_order_was_placed_and_does_not_count() {
        let cancelled = stated(OrderStatus::Cancelled, 1000);
        let order = Order::first_told(&say(&cancelled, "csv", 1, "a"), BTreeMap::new());
        assert!(order.is_placed() && !order.counts());
        let draft =
            Order::first_told(&say(&stated(OrderStatus::Draft, 1), "csv", 1, "a"), BTreeMap::new());
        assert!(!draft.is_placed());
    }

    proptest! {
        #[test]
        fn statements_in_any_order_make_one_order(
            told in prop::collection::vec((0..6_usize, 0..9_i64, any::<bool>(), 0..5_i64), 1..7),
            turn in 0..7_usize,
        ) {
            let all: Vec<OrderStated> = told.iter().map(|(s, total, _, _)| stated(OrderStatus::ALL[*s], *total)).collect();
            let keys: Vec<String> = (0..told.len()).map(|n| format!("k{n}")).collect();
            let make = |order: &[usize]| {
                let statement = |n: usize| say(&all[n], if told[n].2 { "csv" } else { "tracking" }, told[n].3, &keys[n]);
                let mut made = Order::first_told(&statement(order[0]), BTreeMap::new());
                order[1..].iter().for_each(|n| made.tell(&statement(*n)));
                made
            };
            let straight: Vec<usize> = (0..told.len()).collect();
            let mut turned = straight.clone();
            turned.rotate_left(turn % told.len());
            turned.reverse();
            prop_assert_eq!(make(&straight), make(&turned));
        }
    }
}
