//! A schedule's firing carried out: the whole store is asked by one query, and decided about in pages.
//!
//! How far a firing has come is kept, so that a planner that dies goes on where it was, one that comes late makes a
//! firing up once, and a pass with none due touches nothing.

use diesel::prelude::*;

use super::decide::Pass;
use super::run::decide;
use crate::db::schema::firings;
use crate::db::{Conn, Db, DbError};
use crate::each_backend;
use crate::ledger::Instants;
use crate::outbox::Tally;
use crate::outbox::door::consents;
use crate::primitives::{CustomerId, RuleId, Timestamp};
use crate::rules::condition::{Comparison, Field};
use crate::rules::{Class, Condition, StoredRule, TriggerKind};
use crate::situation::{self, Situation, audience};
use crate::stores::{ConsentMode, Store};

/// Pages of one pass where there is a next one: a campaign to everybody must not hold other rules up.
pub const PAGES: usize = 40;

/// The firing that is due at `now`: the last one, while it is of use and if the rule was live.
pub fn firing(rule: &StoredRule, store: &Store, now: Timestamp) -> Option<Timestamp> {
    let TriggerKind::Schedule { cron } = &rule.rule.trigger.kind else { return None };
    let fired = cron.last_until(now, &store.timezone)?;
    let live_since = rule.live_since.unwrap_or(now);
    let live_since = rule.rule.include_past.map_or(live_since, |past| live_since.minus(past));
    let is_useful = fired > now.minus(rule.rule.trigger.useful_for);
    (is_useful && fired > live_since).then_some(fired)
}

/// Carries a firing on, by at most `pages` pages. Says whether it has come to its end.
pub fn carry_on(
    db: &Db,
    pass: &Pass,
    rule: &StoredRule,
    firing: Timestamp,
    at: Instants,
    pages: Option<usize>,
) -> Result<(Tally, bool), DbError> {
    let mut tally = Tally::default();
    let Some(mut after) =
        db.read_here(|conn| reached(conn, rule.id, firing).map_err(DbError::from))?
    else {
        return Ok((tally, true));
    };
    let asked = reachable(pass.store, rule);
    for _ in 0..pages.unwrap_or(usize::MAX) {
        let page = db.read_here(|conn| {
            let limit = situation::store::BATCH as i64;
            audience::members(conn, pass.store, Some(&asked), pass.now, after, limit)
                .map_err(DbError::from)
        })?;
        let fires = Some((rule.id, firing));
        let mut busy = Vec::new();
        tally.considered += page.len() as u64;
        tally.add(db.write_here(|conn| -> Result<_, DbError> {
            let free = situation::store::lock_free(conn, &page)?;
            busy.extend(page.iter().copied().filter(|id| free.binary_search(id).is_err()));
            decide(conn, pass, at, &free, fires)
        })?);
        for customer in busy {
            tally.add(db.write_here(|conn| -> Result<_, DbError> {
                situation::store::lock(conn, customer)?;
                decide(conn, pass, at, &[customer], fires)
            })?);
        }
        let is_over = page.len() < situation::store::BATCH;
        after = page.last().copied().unwrap_or(after);
        // Written last: what is done twice is planned once.
        db.write_here(|conn| {
            reach(conn, rule, firing, after, is_over.then_some(pass.now)).map_err(DbError::from)
        })?;
        if is_over {
            return Ok((tally, true));
        }
    }
    Ok((tally, false))
}

/// The audience, of those who can be written to: a firing has no word for everybody who cannot.
fn reachable(store: &Store, rule: &StoredRule) -> Condition {
    let mut parts = vec![Condition::Is(Comparison::flag(Field::HasEmail, true))];
    if rule.rule.class == Class::Marketing {
        let consent = match store.sending.consent {
            ConsentMode::OptIn => Condition::Is(Comparison::word(Field::Consent, "granted")),
            ConsentMode::OptOut => Condition::Not(Box::new(Condition::Is(Comparison::word(
                Field::Consent,
                "withdrawn",
            )))),
        };
        parts.push(consent);
    }
    parts.extend(rule.rule.audience.clone());
    Condition::All(parts)
}

/// Whether [`reachable`] holds of somebody, but for the audience.
pub fn is_reachable(rule: &StoredRule, store: &Store, situation: &Situation) -> bool {
    let standing = &situation.standing;
    let may =
        rule.rule.class == Class::Service || consents(store.sending.consent, standing.consent);
    standing.address.is_some() && may
}

/// After whom to go on; `None` where all is done.
fn reached(conn: &mut Conn, rule: RuleId, firing: Timestamp) -> QueryResult<Option<CustomerId>> {
    let row: Option<(CustomerId, Option<Timestamp>)> = firings::table
        .filter(firings::rule_id.eq(rule).and(firings::fired_at.eq(firing)))
        .select((firings::reached, firings::finished_at))
        .get_result(conn)
        .optional()?;
    Ok(match row {
        Some((_, Some(_))) => None,
        Some((reached, None)) => Some(reached),
        None => Some(CustomerId(0)),
    })
}

fn reach(
    conn: &mut Conn,
    rule: &StoredRule,
    firing: Timestamp,
    reached: CustomerId,
    finished_at: Option<Timestamp>,
) -> QueryResult<()> {
    each_backend!(conn, c => diesel::insert_into(firings::table)
        .values((
            firings::rule_id.eq(rule.id),
            firings::fired_at.eq(firing),
            firings::reached.eq(reached),
            firings::finished_at.eq(finished_at),
        ))
        .on_conflict((firings::rule_id, firings::fired_at))
        .do_update()
        .set((firings::reached.eq(reached), firings::finished_at.eq(finished_at)))
        .execute(c))
    .map(|_| ())
}
