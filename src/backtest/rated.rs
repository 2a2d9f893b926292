//! How one customer is rated while a replay goes on: score, segment, and the at-risk lines they are beyond. Pure;
//! `scoring::run` and `planner::stays` keep the same in rows.

use super::scores::Scores;
use crate::customers::Rollup;
use crate::planner::stays::GRACE;
use crate::primitives::{CustomerId, RuleId, Timestamp};
use crate::scoring::Kind;
use crate::situation::entered_at;
use crate::situation::store::folded::ScoreThen;

#[derive(Default)]
pub struct Rated {
    /// `None` while nobody scores them.
    pub score: Option<ScoreThen>,
    /// When they were scored first in the replay, and first as a buyer.
    first_scored: (Option<Timestamp>, Option<Timestamp>),
    /// Beyond the lines of which `at_risk` rules, since when, and since when not any more.
    stays: Vec<Stay>,
}

struct Stay {
    rule: RuleId,
    since: Timestamp,
    left_at: Option<Timestamp>,
}

impl Rated {
    /// As a store has it before the replay begins.
    pub fn before(score: Option<ScoreThen>, stay: Option<(RuleId, Timestamp)>) -> Self {
        let stays = stay.map(|(rule, since)| Stay { rule, since, left_at: None });
        Self { score, stays: stays.into_iter().collect(), ..Self::default() }
    }

    /// The `at_risk` rules beyond whose lines they are, and since when.
    pub fn at_risk(&self) -> Vec<(RuleId, Timestamp)> {
        let open = self.stays.iter().filter(|stay| stay.left_at.is_none());
        open.map(|stay| (stay.rule, stay.since)).collect()
    }

    /// Rates them as of the day of `now`; a segment is entered when it first shows.
    pub fn settle(
        &mut self,
        scores: &Scores,
        customer: CustomerId,
        rollup: &Rollup,
        now: Timestamp,
    ) {
        let scored = scores.of(customer, rollup, now);
        self.score = scored.map(|scored| {
            let before = self.score.as_ref().filter(|then| then.scored.segment == scored.segment);
            let (ever, as_buyer) = self.first_scored;
            let is_buyer = scored.kind == Kind::Buyer;
            let segment_since = match before {
                Some(then) => then.segment_since,
                None => entered_at(
                    now,
                    if is_buyer { as_buyer } else { ever },
                    rollup.first_order_at.or(rollup.first_seen_at),
                ),
            };
            self.first_scored =
                (ever.or(Some(now)), if is_buyer { as_buyer.or(Some(now)) } else { as_buyer });
            ScoreThen { segment_since, scored }
        });
        let passed = self.score.as_ref().map(|then| scores.passed(&then.scored));
        self.settle_stays(&passed.unwrap_or_default(), rollup.last_order_at, now);
    }

    /// As `planner::stays` does: a stay goes on for those who are back beyond the line soon, without an order.
    fn settle_stays(
        &mut self,
        passed: &[RuleId],
        last_order_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        for stay in &mut self.stays {
            match passed.contains(&stay.rule) {
                false => stay.left_at = stay.left_at.or(Some(now)),
                true if last_order_at.is_none_or(|at| at <= stay.since) => stay.left_at = None,
                true => {}
            }
        }
        let is_over = |stay: &Stay| {
            let left = stay.left_at.is_some_and(|at| at <= now.minus(GRACE));
            left || (stay.left_at.is_some() && last_order_at.is_some_and(|at| at > stay.since))
        };
        self.stays.retain(|stay| !is_over(stay));
        for rule in passed {
            if !self.stays.iter().any(|stay| stay.rule == *rule) {
                // Who is found beyond it by their first scoring as a buyer came there before: see `planner::stays`.
                let is_news = self.first_scored.1.is_some_and(|at| at < now);
                let since = if is_news { now } else { last_order_at.unwrap_or(now) };
                self.stays.push(Stay { rule: *rule, since, left_at: None });
            }
        }
    }
}
