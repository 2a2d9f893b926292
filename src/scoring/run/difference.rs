//! What a run changes of what is stored. Pure, but for writing it.

use crate::db::Conn;
use crate::primitives::{CustomerId, Timestamp};
use crate::scoring::assess::Scored;
use crate::scoring::store::{self, Entry, Left, StoredForecast, StoredScore, Table, ToWrite};
use crate::stores::Store;

/// What a chunk of a run changes of what is stored.
#[derive(Default)]
pub(super) struct Difference {
    pub changed: Vec<ToWrite>,
    pub entered: Vec<(CustomerId, &'static str)>,
    pub gone: Vec<CustomerId>,
    /// Who leaves a place on the at-risk list, and who takes one: who moved on it does both.
    pub left: Vec<Left>,
    pub joined: Vec<Entry>,
}

impl Difference {
    /// Both lists are in order of id.
    pub fn of(scored: &[Scored], stored: Vec<StoredScore>, as_of: Timestamp) -> Self {
        let mut difference = Self::default();
        let mut stored = stored.into_iter().peekable();
        for one in scored {
            while let Some(old) = stored.next_if(|old| old.customer_id < one.customer_id) {
                difference.is_gone(old);
            }
            let old = stored.next_if(|old| old.customer_id == one.customer_id);
            difference.compare(one, old, as_of);
        }
        stored.for_each(|old| difference.is_gone(old));
        difference
    }

    fn compare(&mut self, one: &Scored, old: Option<StoredScore>, as_of: Timestamp) {
        let forecast = StoredForecast::of(one);
        let past_stands = old.as_ref().is_some_and(|old| old.tells_the_same_past(one));
        if past_stands
            && old
                .as_ref()
                .is_some_and(|old| old.forecast == forecast && old.risk_rank == one.risk_rank)
        {
            return;
        }
        let at_risk_since =
            one.risk_rank.map(|_| old.as_ref().and_then(|old| old.at_risk_since).unwrap_or(as_of));
        let segment_since = match &old {
            Some(old) if old.segment == one.segment => old.segment_since,
            _ => {
                self.entered.push((one.customer_id, one.segment));
                as_of
            }
        };
        let stands = past_stands
            && old.as_ref().is_some_and(|old| {
                old.forecast.next_order_expected_at == forecast.next_order_expected_at
            });
        let left = old.as_ref().and_then(place);
        let entry = Entry::of(one);
        if left.as_ref().map(|left| (left.rank, left.segment.as_str()))
            != entry.map(|entry| (entry.rank, entry.segment))
            || old.is_some_and(|old| old.spent != one.spent)
        {
            self.left.extend(left);
            self.joined.extend(entry);
        }
        self.changed.push(ToWrite {
            scored: one.clone(),
            forecast,
            segment_since,
            at_risk_since,
            stands,
        });
    }

    fn is_gone(&mut self, old: StoredScore) {
        self.gone.push(old.customer_id);
        self.left.extend(place(&old));
    }

    pub fn write(
        &self,
        conn: &mut Conn,
        store: &Store,
        table: Table,
        as_of: Timestamp,
    ) -> diesel::QueryResult<()> {
        store::write(conn, table, store.id, &self.changed)?;
        store::remove(conn, table, &self.gone)?;
        match table {
            Table::Live => store::write_history(conn, &self.entered, as_of),
            Table::Historic => Ok(()),
        }
    }
}

/// Where one who is stored stands on the at-risk list.
fn place(old: &StoredScore) -> Option<Left> {
    let StoredScore { customer_id: customer, segment, risk_rank, .. } = old;
    Some(Left { segment: segment.clone(), rank: (*risk_rank)?, customer: *customer })
}
