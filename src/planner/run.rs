//! The pass: finds who is due, decides about them in small transactions, and remembers how far it looked.

use std::collections::{BTreeSet, HashMap};

use super::decide::{Pass, plan};
use super::store::{self, Reach};
use super::{campaign, dates, stays, steps};
use crate::db::{Conn, Db, DbError, plan_once};
use crate::ledger::{self, Instants};
use crate::outbox::door::clicks_until;
use crate::outbox::{self, Tally};
use crate::primitives::{CustomerId, Delay, RuleId, StoreId, Timestamp};
use crate::restores;
use crate::rules::condition::Needs;
use crate::rules::{self, RuleStatus, StoredRule, TriggerKind};
use crate::secret::Secret;
use crate::situation;
use crate::stores::Store;

/// A transaction that wrote a rollup may become visible this much later than the time it wrote down.
const STRAGGLERS: Delay = Delay::seconds(30);
/// Every so often the whole window is looked at by state, whatever is remembered.
const WINDOW_EVERY: Delay = Delay::seconds(600);

/// What rules bring is asked this often, where it decides between them.
const WORTH_EVERY: Delay = Delay::hours(1);

/// How far a process has looked: a mere hint, which saves work and is lost without harm.
#[derive(Debug, Default)]
pub struct Positions {
    stores: HashMap<StoreId, Position>,
}

#[derive(Debug, Default)]
struct Position {
    /// The last pass, and the last one over the whole window, by the machine's clock.
    last: Option<Timestamp>,
    last_window: Option<Timestamp>,
    /// What tied rules brought lately, and when that was asked.
    worth: Option<(Timestamp, Vec<RuleId>, HashMap<RuleId, i64>)>,
    /// The rules it knew, by version and live_since: another trigger begins anew.
    rules: HashMap<RuleId, (i32, Option<Timestamp>)>,
    /// The firings of schedules that were carried out to their end.
    fired: HashMap<RuleId, Timestamp>,
}

impl Positions {
    /// The next pass over this store looks at the whole window: its customers were scored anew, for one.
    pub fn forget(&mut self, store: StoreId) {
        self.stores.remove(&store);
    }
}

/// Plans what is due for one store at `at.now`. With positions it looks at what fell due or changed since the last
/// pass, and at the whole window now and then; without, always at the whole window (`tick --at`, whose `now`
/// is not the clock's).
///
/// Where nothing is due nothing is written. Two planners at once do no harm: on PostgreSQL the customers' rows are
/// locked, and an episode enrols once by its key.
pub fn pass(
    db: &Db,
    store: &Store,
    secret: &Secret,
    at: Instants,
    positions: Option<&mut Positions>,
) -> Result<Tally, DbError> {
    // Without a sender and a postal address no mail of this store may leave.
    if store.mail_from.is_none() || store.postal_address.is_none() {
        return Ok(Tally::default());
    }
    if db.read_here(|conn| restores::pause(conn).map_err(DbError::from))?.is_some() {
        return Ok(Tally::default());
    }
    let mut position = positions.map(|positions| positions.stores.entry(store.id).or_default());
    let since = position.as_deref().and_then(|position| position.since(at.machine));
    let known = position.as_deref().map(|position| position.rules.clone()).unwrap_or_default();

    let live = db.read_here(|conn| rules::store::running(conn, store.id).map_err(DbError::from))?;
    stays::follow(db, store, &live)?;
    let due = db.read_here(|conn| find(conn, store, &live, at, since, &known))?;
    release(db, store, &live, at, &known)?;

    let customers: Vec<CustomerId> = due.into_iter().collect();
    let mut tally = Tally { considered: customers.len() as u64, ..Tally::default() };
    let worth = worth(db, store, &live, at, position.as_deref_mut())?;
    let pass = Pass { store, rules: &live, secret, worth: &worth, now: at.now };
    let mut busy = Vec::new();
    for batch in customers.chunks(situation::store::BATCH) {
        tally.add(db.write_here(|conn| -> Result<_, DbError> {
            plan_once(conn)?;
            let free = situation::store::lock_free(conn, batch)?;
            busy.extend(batch.iter().filter(|id| free.binary_search(id).is_err()));
            decide(conn, &pass, at, &free, None)
        })?);
    }
    // Those whom somebody else held: one by one, since now there is nothing to do but wait for each.
    for customer in busy {
        tally.add(db.write_here(|conn| -> Result<_, DbError> {
            situation::store::lock(conn, customer)?;
            decide(conn, &pass, at, &[customer], None)
        })?);
    }
    for rule in &live {
        let Some(firing) = campaign::firing(rule, store, at.now) else { continue };
        if position.as_deref().is_some_and(|known| known.fired.get(&rule.id) == Some(&firing)) {
            continue;
        }
        let pages = position.is_some().then_some(campaign::PAGES);
        let (told, is_over) = campaign::carry_on(db, &pass, rule, firing, at, pages)?;
        tally.add(told);
        if let Some(position) = position.as_deref_mut().filter(|_| is_over) {
            position.fired.insert(rule.id, firing);
        }
    }
    if let Some(position) = position {
        position.advance(at.machine, since.is_none(), &live);
    }
    Ok(tally)
}

/// What a thousand messages of each rule brought lately, where two rules would be alike without that. Asked of the
/// database once an hour: it is an estimate.
fn worth(
    db: &Db,
    store: &Store,
    live: &[StoredRule],
    at: Instants,
    position: Option<&mut Position>,
) -> Result<Vec<i64>, DbError> {
    let place = |rule: &StoredRule| (rule.rung(), rule.rule.priority);
    let is_tied = |rule: &StoredRule| {
        live.iter().any(|other| other.id != rule.id && place(other) == place(rule))
    };
    let tied: Vec<RuleId> = live.iter().filter(|rule| is_tied(rule)).map(|rule| rule.id).collect();
    if tied.is_empty() {
        return Ok(Vec::new());
    }
    let known = position.as_deref().and_then(|known| known.worth.as_ref());
    let is_fresh = |(asked, rules, _): &&(Timestamp, Vec<RuleId>, _)| {
        *rules == tied && *asked <= at.machine && asked.plus(WORTH_EVERY) > at.machine
    };
    let brought: HashMap<RuleId, i64> = match known.filter(is_fresh) {
        Some((_, _, brought)) => brought.clone(),
        None => {
            let brought = db.read_here(|conn| {
                store::worth(conn, store, &tied, at.now).map_err(DbError::from)
            })?;
            if let Some(position) = position {
                position.worth = Some((at.machine, tied, brought.clone()));
            }
            brought
        }
    };
    Ok(live.iter().map(|rule| brought.get(&rule.id).copied().unwrap_or(0)).collect())
}

/// Decides about customers whose rows are locked, and writes it. `firing` is what a schedule asks them for, if one does.
pub(super) fn decide(
    conn: &mut Conn,
    pass: &Pass,
    at: Instants,
    customers: &[CustomerId],
    firing: Option<(RuleId, Timestamp)>,
) -> Result<Tally, DbError> {
    let asked = pass.rules.iter().flat_map(|rule| rule.rule.conditions());
    let clicks_until = clicks_until(pass.rules, at.machine);
    let needs = Needs { clicks_until, ..Needs::of(asked) };
    let mut situations = situation::store::load_for(conn, pass.store, customers, &needs, pass.now)?;
    for situation in &mut situations {
        situation.moments.firing = firing;
    }
    let decided: Vec<_> = situations
        .iter()
        .map(|situation| (situation.customer, plan(pass, situation)))
        .filter(|(_, actions)| !actions.is_empty())
        .collect();
    let tally = store::write(conn, pass, at, decided)?;
    let waiting = steps::wait_for_events(pass.rules);
    if !waiting.is_empty() {
        store::hasten(conn, pass, &waiting, &situations)?;
    }
    Ok(tally)
}

impl Position {
    /// Since when to look; `None` for the whole window.
    fn since(&self, machine: Timestamp) -> Option<Timestamp> {
        let is_fresh = self.last_window.is_some_and(|at| at.plus(WINDOW_EVERY) > machine);
        // A clock that was put back makes every position a guess.
        self.last.filter(|last| is_fresh && *last <= machine)
    }

    fn advance(&mut self, machine: Timestamp, was_window: bool, live: &[StoredRule]) {
        self.last = Some(machine);
        if was_window {
            self.last_window = Some(machine);
        }
        self.rules = live.iter().map(|rule| (rule.id, (rule.version, rule.live_since))).collect();
    }
}

fn find(
    conn: &mut Conn,
    store: &Store,
    live: &[StoredRule],
    at: Instants,
    since: Option<Timestamp>,
    known: &HashMap<RuleId, (i32, Option<Timestamp>)>,
) -> Result<BTreeSet<CustomerId>, DbError> {
    let mut due = BTreeSet::new();
    let changed = since.map(|since| since.minus(STRAGGLERS));
    for rule in live {
        let is_known = known.get(&rule.id) == Some(&(rule.version, rule.live_since));
        let reaches = match since.zip(changed).filter(|_| is_known) {
            Some((since, changed)) => {
                vec![Reach::DueSince(since), Reach::ChangedSince(changed)]
            }
            None => vec![Reach::Window],
        };
        for reach in reaches {
            due.extend(match &rule.rule.trigger.kind {
                // Its customers are found page by page, once for each firing.
                TriggerKind::Schedule { .. } => Vec::new(),
                TriggerKind::Date { field, offset } => {
                    dates::due(conn, store, rule, (field, *offset), at.now, reach)?
                }
                _ => store::due(conn, rule, at.now, reach)?,
            });
        }
    }
    match changed {
        Some(changed) => due.extend(store::changed_while_enrolled(conn, store.id, changed)?),
        None => {
            due.extend(store::bought_while_enrolled(conn, store.id)?);
            due.extend(store::went_on_while_enrolled(conn, store.id, live)?);
            due.extend(store::came_while_enrolled(conn, &steps::wait_for_events(live))?);
        }
    }
    // Clicks are no facts: no rollup changes with them.
    if clicks_until(live, at.machine).is_some() {
        due.extend(store::clicked_while_enrolled(conn, store.id, changed)?);
    }
    due.extend(store::waited_long_enough(conn, store.id, live, at.now)?);
    Ok(due)
}

/// A rule that went live again has its held messages looked at now, not at the end of their hour; what it began in
/// shadow ends.
fn release(
    db: &Db,
    store: &Store,
    live: &[StoredRule],
    at: Instants,
    known: &HashMap<RuleId, (i32, Option<Timestamp>)>,
) -> Result<(), DbError> {
    let resumed: Vec<&StoredRule> = live
        .iter()
        .filter(|rule| known.get(&rule.id) != Some(&(rule.version, rule.live_since)))
        .collect();
    if resumed.is_empty() {
        return Ok(());
    }
    let live: Vec<RuleId> =
        resumed.iter().filter(|rule| rule.status == RuleStatus::Live).map(|rule| rule.id).collect();
    let (is_held, has_shadows) = db.read_here(|conn| -> Result<_, DbError> {
        let ids: Vec<RuleId> = resumed.iter().map(|rule| rule.id).collect();
        let is_held = outbox::store::has_paused(conn, store.id, &ids, at.now)?;
        Ok((is_held, ledger::store::has_open_shadows(conn, &live)?))
    })?;
    if has_shadows {
        db.write_here(|conn| -> Result<_, DbError> {
            for rule in live {
                outbox::store::end_shadows(conn, store.id, rule)?;
                ledger::store::end_shadows(conn, rule)?;
            }
            Ok(())
        })?;
    }
    if is_held {
        db.write_here(|conn| -> Result<_, DbError> {
            for rule in resumed {
                outbox::store::release_paused(conn, store.id, rule.id, at.now)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
