//! What a rule's page is made of, read at once.

use std::collections::HashMap;

use diesel::QueryResult;

use super::LATELY;
use crate::db::{Conn, Db};
use crate::http::pages::Pages;
use crate::planner::moves;
use crate::primitives::{CustomerId, Delay, Timestamp};
use crate::reports::CAP;
use crate::reports::customers::{self, Called};
use crate::reports::rows::decisions::{self, Decision};
use crate::reports::rules::{self as report, Listed, Outcome};
use crate::reports::today::WentOut;
use crate::rules::Rule;
use crate::situation::audience;
use crate::stores::Store;

/// Decisions shown, the newest.
const RECENT: i64 = 15;

/// What takes a look at everybody, or at all who ever entered: nobody asks for it by looking at a rule.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// How many fit the audience.
    pub audience: bool,
    /// How many are under way in an older version.
    pub in_older: bool,
}

pub struct Loaded {
    pub rule: Listed,
    /// Its own alone.
    pub outcomes: Vec<Outcome>,
    pub recent: Vec<Decision>,
    /// Whom the decisions are about.
    pub called: HashMap<CustomerId, Called>,
    pub planned: i64,
    pub went_out: WentOut,
    pub falling_due: Option<i64>,
    pub counted: Option<i64>,
    /// Newest first.
    pub versions: Vec<(i32, Timestamp, Rule)>,
    pub in_older: Option<i64>,
}

impl Loaded {
    /// `None` where the store has no rule of that key.
    pub fn find(
        db: &Db,
        conn: &mut Conn,
        pages: &Pages,
        store: &Store,
        key: &str,
        wanted: Counts,
        now: Timestamp,
    ) -> QueryResult<Option<Self>> {
        let Some(rule) = report::all(conn, store)?.into_iter().find(|rule| rule.key == key) else {
            return Ok(None);
        };
        let went_out = pages.sums.went_out(db, conn, store, now, LATELY)?;
        let mut outcomes = pages.sums.outcomes(db, conn, store, now, LATELY)?;
        outcomes.retain(|outcome| outcome.rule_id == rule.id.0);
        let recent = decisions::recent(conn, rule.id, RECENT)?;
        let ids: Vec<CustomerId> = recent.iter().map(|one| one.customer_id).collect();
        let (trigger, audience) = (&rule.rule.trigger.kind, rule.rule.audience.as_ref());
        Ok(Some(Self {
            outcomes,
            called: customers::called(conn, store.id, &ids)?,
            recent,
            planned: report::planned(conn, rule.id)?,
            went_out: went_out.get(&rule.id.0).copied().unwrap_or_default(),
            falling_due: report::falling_due(conn, store, trigger, now, Delay::days(1))?,
            counted: match wanted.audience {
                true => Some(audience::count(conn, store, audience, now)?),
                false => None,
            },
            versions: crate::rules::store::versions(conn, rule.id)?,
            in_older: match wanted.in_older {
                true => Some(moves::under_way(conn, rule.id, CAP + 1)?),
                false => None,
            },
            rule,
        }))
    }
}
