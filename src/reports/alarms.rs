//! What an operator must know before anything else, and the numbers beside the rooms. Asked on every page: all cheap.

use diesel::prelude::*;

use super::capped_count;
use crate::db::Conn;
use crate::db::schema::customers;
use crate::primitives::{Delay, Timestamp};
use crate::restores::{self, Pause};
use crate::stores::{PauseReason, Store};

/// Scores are made every night: older than this, a night was missed.
const SCORES_OLD_AFTER: Delay = Delay::hours(36);

#[derive(Debug, Clone, Default)]
pub struct Alarms {
    /// On the worklist; at most `CAP` + 1.
    pub at_risk: i64,
    pub in_doubt: i64,
    pub failed_today: i64,
    /// Rules that the program paused by itself.
    pub rules_paused: i64,
    scores: Scores,
    /// A return from a backup that nobody has dealt with yet.
    restored: Option<Pause>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Scores {
    #[default]
    Fresh,
    /// There are customers, and nobody scored them yet.
    Never,
    Old(Timestamp),
    /// A run for a past day stands: what is shown is that day's.
    Historic(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// What the backup knows ends here, or else when it was put back.
    Restored(Timestamp),
    InDoubt(i64),
    FailedToday(i64),
    /// All marketing mail, by the program itself.
    SendingPaused(PauseReason),
    RulesPaused(i64),
    NoSender,
    NoPostalAddress,
    NoSmtp,
    NeverScored,
    ScoresOld(Timestamp),
    ScoresHistoric(Timestamp),
}

impl Alarms {
    /// The worst first.
    pub fn ringing(&self, store: &Store, smtp: bool) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        if let Some(pause) = self.restored {
            alarms.push(Alarm::Restored(pause.knows_until.unwrap_or(pause.restored_at)));
        }
        if self.in_doubt > 0 {
            alarms.push(Alarm::InDoubt(self.in_doubt));
        }
        if self.failed_today > 0 {
            alarms.push(Alarm::FailedToday(self.failed_today));
        }
        if let Some(pause) = store.pause {
            alarms.push(Alarm::SendingPaused(pause.reason));
        }
        if self.rules_paused > 0 {
            alarms.push(Alarm::RulesPaused(self.rules_paused));
        }
        if store.mail_from.is_none() {
            alarms.push(Alarm::NoSender);
        } else if store.postal_address.is_none() {
            alarms.push(Alarm::NoPostalAddress);
        }
        if !smtp {
            alarms.push(Alarm::NoSmtp);
        }
        match self.scores {
            Scores::Fresh => {}
            Scores::Never => alarms.push(Alarm::NeverScored),
            Scores::Old(at) => alarms.push(Alarm::ScoresOld(at)),
            Scores::Historic(as_of) => alarms.push(Alarm::ScoresHistoric(as_of)),
        }
        alarms
    }
}

pub fn load(conn: &mut Conn, store: &Store, now: Timestamp) -> QueryResult<Alarms> {
    let id = store.id.0;
    let midnight = store.timezone.start_of(now.day_in(&store.timezone)).0;
    let shown = super::shown(conn, store)?;
    Ok(Alarms {
        at_risk: match shown {
            Some(shown) => super::at_risk::count(conn, store, shown)?,
            None => 0,
        },
        in_doubt: capped_count(
            conn,
            &format!("FROM messages WHERE store_id = {id} AND status = 'in_doubt'"),
        )?,
        failed_today: capped_count(
            conn,
            &format!(
                "FROM messages WHERE store_id = {id} AND status = 'failed' AND scheduled_at >= {midnight}"
            ),
        )?,
        rules_paused: capped_count(
            conn,
            &format!(
                "FROM rules WHERE store_id = {id} AND paused_for IS NOT NULL AND retired_at IS NULL"
            ),
        )?,
        restored: restores::pause(conn)?,
        scores: match shown {
            Some(shown) if shown.historic => Scores::Historic(shown.as_of),
            Some(shown) if now > shown.ran_at.plus(SCORES_OLD_AFTER) => Scores::Old(shown.ran_at),
            Some(_) => Scores::Fresh,
            None if anyone(conn, store)? => Scores::Never,
            None => Scores::Fresh,
        },
    })
}

fn anyone(conn: &mut Conn, store: &Store) -> QueryResult<bool> {
    let anyone: Option<i64> = customers::table
        .filter(customers::store_id.eq(store.id))
        .select(customers::id)
        .first(conn)
        .optional()?;
    Ok(anyone.is_some())
}
