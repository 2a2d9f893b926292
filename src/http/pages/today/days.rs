//! Finished days, kept for the small lines: a day of the past changes only by late facts, and slowly grows stale.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::civil::Date;

use crate::primitives::{Delay, StoreId, Timestamp};
use crate::reports::today::Totals;

#[derive(Default)]
pub struct DayMemo(Mutex<HashMap<(StoreId, Date), (Totals, Timestamp)>>);

impl DayMemo {
    /// Yesterday's late facts are seen within minutes, an older day's within the hour.
    pub fn get(
        &self,
        store: StoreId,
        date: Date,
        yesterday: bool,
        now: Timestamp,
    ) -> Option<Totals> {
        let keep = if yesterday { Delay::seconds(300) } else { Delay::hours(1) };
        let memo = self.0.lock().ok()?;
        let (totals, at) = memo.get(&(store, date))?;
        (now >= *at && now < at.plus(keep)).then_some(*totals)
    }

    pub fn put(&self, store: StoreId, date: Date, totals: Totals, now: Timestamp) {
        if let Ok(mut memo) = self.0.lock() {
            if memo.len() > 1_000 {
                memo.clear();
            }
            memo.insert((store, date), (totals, now));
        }
    }
}
