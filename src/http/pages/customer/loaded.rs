//! What a customer's page is made of, read at once, and which part of it is looked at.

use std::collections::HashMap;

use diesel::QueryResult;

use crate::db::Conn;
use crate::primitives::{CustomerId, Timestamp};
use crate::reports::customer::{
    self as report, Click, Counts, Line, Order, Profile, Score, SegmentStay, Told, Visit,
};
use crate::reports::messages::{self, Message};
use crate::reports::rhythm::Repurchase;
use crate::reports::rows::decisions::{self, Decision};
use crate::reports::rules::RuleName;
use crate::reports::{self, Shown};
use crate::stores::Store;
use crate::text_enum;

/// On the first view of a part, and on a page of its own.
const FEW: usize = 10;
const MANY: usize = 50;
/// The rhythm shows so many orders at most, the newest.
const RHYTHM_ORDERS: i64 = 40;
/// Visits in the drawing of the rhythm, where they are not listed.
const RHYTHM_VISITS: i64 = 60;

text_enum! {
    pub enum View {
        All = "all",
        Ledger = "ledger",
        Timeline = "timeline",
        Orders = "orders",
        Messages = "messages",
    }
}

impl View {
    /// Rows of a list.
    pub fn limit(self) -> usize {
        if self == Self::All { FEW } else { MANY }
    }

    pub fn has_timeline(self) -> bool {
        matches!(self, Self::All | Self::Timeline)
    }

    pub fn has_ledger(self) -> bool {
        matches!(self, Self::All | Self::Ledger)
    }
}

pub struct Loaded {
    pub profile: Profile,
    pub score: Option<Score>,
    pub scored: Option<Shown>,
    pub stays: Vec<SegmentStay>,
    pub rhythm: Vec<Order>,
    pub orders: Vec<Order>,
    pub lines: Vec<Line>,
    pub visits: Vec<Visit>,
    pub told: Vec<Told>,
    /// Those of a person.
    pub clicks: Vec<Click>,
    pub decisions: Vec<Decision>,
    pub messages: Vec<Message>,
    /// What is still to go, soonest first; without what only the shadow plans.
    pub planned: Vec<Message>,
    pub counts: Counts,
    pub rules: HashMap<i64, RuleName>,
    pub again: Vec<Repurchase>,
}

pub enum Found {
    Here(Box<Loaded>),
    MovedTo(CustomerId),
    Nobody,
}

impl Loaded {
    /// `before`: where the page of `view` before this one ended, a time or, of the ledger, an id. One row more than a
    /// list shows tells whether there is a next page.
    pub fn find(
        conn: &mut Conn,
        store: &Store,
        id: CustomerId,
        view: View,
        before: Option<i64>,
    ) -> QueryResult<Found> {
        let Some(profile) = report::profile(conn, store, id)? else { return Ok(Found::Nobody) };
        if let Some(other) = profile.merged_into {
            return Ok(Found::MovedTo(other));
        }
        let limit = view.limit() as i64 + 1;
        let ended = |of: View| before.filter(|_| view == of).unwrap_or(i64::MAX);
        let until = |of: View| Timestamp(ended(of));
        let in_timeline = until(View::Timeline);
        let orders_until = if view.has_timeline() { in_timeline } else { until(View::Orders) };
        let orders = report::orders(conn, id, orders_until, limit)?;
        let rhythm = report::orders(conn, id, Timestamp::MAX, RHYTHM_ORDERS)?;
        let visits = match view.has_timeline() {
            true => report::visits(conn, id, in_timeline, limit)?,
            false => report::visits(conn, id, Timestamp::MAX, RHYTHM_VISITS)?,
        };
        let (mut told, mut clicks) = (Vec::new(), Vec::new());
        if view.has_timeline() {
            let oldest = visits.last().map_or(Timestamp(0), |visit| visit.started_at);
            told = report::told(conn, id, oldest, in_timeline)?;
            clicks = report::clicks(conn, id, oldest, in_timeline)?;
        }
        let messages_until =
            if view == View::Timeline { in_timeline } else { until(View::Messages) };
        let mut planned = messages::of_customer(conn, id, Timestamp::MAX, MANY as i64)?;
        planned.retain(|message| message.status == "scheduled" && !message.shadow);
        planned.reverse();
        let scored = reports::shown(conn, store)?;
        let mut with_lines = orders.clone();
        with_lines.extend(rhythm.iter().filter(|order| !orders.contains(order)).cloned());
        Ok(Found::Here(Box::new(Self {
            score: match scored {
                Some(shown) => report::score(conn, shown, id)?,
                None => None,
            },
            scored,
            stays: report::segments(conn, id, 20)?,
            lines: report::lines(conn, store, id, &with_lines)?,
            rhythm,
            orders,
            visits,
            told,
            clicks,
            decisions: decisions::of_customer(conn, id, ended(View::Ledger), limit)?,
            messages: messages::of_customer(conn, id, messages_until, MANY as i64 + 1)?,
            planned,
            counts: report::counts(conn, store, id)?,
            rules: reports::rules::names(conn, store)?,
            again: reports::rhythm::repurchases(conn, id, profile.last_order_at)?,
            profile,
        })))
    }
}
