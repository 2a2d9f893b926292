//! Runs a backtest: reads histories in order of their customers, and shares them among the cores.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use rayon::prelude::*;

use super::house::{Closings, Surroundings, close};
use super::life::{self, History};
use super::scores::{Asked, Course, Scores};
use super::sum::{AFTER_MAIL, Report, Sum};
use super::world::World;
use super::{Contest, Window, store};
use crate::db::{Db, DbError};
use crate::journal::fold::{Fact, Frame};
use crate::journal::{self, store::Unread};
use crate::primitives::{CustomerId, Timestamp};
use crate::rules::{StepEvent, StoredRule, TriggerKind};
use crate::scoring;
use crate::scoring::predict::history::scatter;
use crate::secret::Secret;
use crate::situation::{self, Arm};
use crate::stores::Store;

/// So often is everybody's life lived through at most, to find what a daily budget puts off.
const LIVES: usize = 6;
/// Customers per read.
const PAGE: i64 = 1_000;
/// Fifths are learnt from about so many people, where there are more: an edge between fifths is then off by less
/// than half a per cent of them.
const MEASURED: usize = 20_000;

#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    #[error("the backtest was cancelled")]
    Cancelled,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for BacktestError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Who is told how far it is, and who may end it.
pub struct Progress<'p> {
    /// Is told how many of how many customers are done.
    pub seen: &'p (dyn Fn(usize, usize) + Sync),
    pub cancelled: &'p AtomicBool,
}

impl Progress<'_> {
    fn check(&self) -> Result<(), BacktestError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(BacktestError::Cancelled) } else { Ok(()) }
    }
}

/// What the rule that `contest` is about would have done in `window`, beside the rules that are live.
///
/// # Errors
/// The database fails, or somebody cancelled it.
pub fn run(
    db: &Db,
    secret: &Secret,
    contest: &Contest,
    window: Window,
    progress: &Progress,
) -> Result<Report, BacktestError> {
    let (store, zone) = (&contest.store, &contest.store.timezone);
    let (from, to) = (window.begins(zone), window.ends(zone));
    let (rules, tested) = (contest.rules_from(from), contest.tested());
    let frame = Frame { zone: zone.clone(), currency: store.currency.clone() };
    let (suppressions, weak_orders, people) = db.read_here(|conn| -> Result<_, BacktestError> {
        let weak_orders = situation::weak::orders_of_others(conn, store.id, to)?;
        let people = store::count_people(conn, store.id)?;
        Ok((store::suppressions(conn, store.id)?, weak_orders, people))
    })?;
    let mut world = World::new(store, &frame, &rules, tested, secret, from, to);
    world.suppressions = Some(&suppressions);
    world.weak_orders = Some(&weak_orders);
    world.names_people = contest.names_people();
    let categories = match world.needs.categories {
        true => {
            db.read_here(|conn| store::categories(conn, store.id).map_err(BacktestError::from))?
        }
        false => HashMap::new(),
    };
    world.categories = Some(&categories);
    let asked = Asked::by(&rules, &store.currency);
    let scores = match asked.scores {
        true => Some(learn_scores(db, &world, asked.clone(), people as usize, progress)?),
        false => None,
    };
    world.scores = scores.as_ref();
    let orders = match store.sending.feed_max_age {
        Some(_) => {
            Some(db.read_here(|conn| store::orders(conn, store.id, to).map_err(DbError::from))?)
        }
        None => None,
    };
    world.house.orders = orders.as_deref();
    let mut closings = Closings::new();
    let (mut lived, mut full) = (0, 0);
    let sum = loop {
        let around = Surroundings { closings: Some(&closings), ..world.house };
        let world = World { house: around, ..world.clone() };
        // Of all the lives that are lived through as far as is known.
        let (before, all) = (lived * people as usize, (lived + 1) * people as usize);
        let seen = |done| (progress.seen)(before + done, all);
        let mut sum = each_page(db, store, to.plus(AFTER_MAIL), progress, seen, |page| {
            page.into_par_iter()
                .map(|person| {
                    let history = person.read()?;
                    let customer = history.customer;
                    Ok(Sum::of(&world, customer, &life::replay(&world, history)))
                })
                .try_reduce(Sum::default, |a, b| Ok(a.add(b)))
        })?;
        lived += 1;
        if let Some(budget) = store.sending.daily_budget {
            full = close(&mut closings, &std::mem::take(&mut sum.left), budget, zone);
        }
        if full == 0 || lived == LIVES {
            break sum;
        }
    };
    let note = note(&world, &asked, people as usize, full);
    Ok(sum.report(&world, window, note))
}

/// One customer as stored, facts still unread: reading them is shared among the cores too.
struct Stored {
    customer: CustomerId,
    external_id: Option<String>,
    facts: Vec<Unread>,
    arms: Vec<(String, Arm)>,
}

impl Stored {
    fn read(self) -> Result<History, BacktestError> {
        let facts: Result<Vec<Fact>, _> = self.facts.into_iter().map(Unread::read).collect();
        let Self { customer, external_id, arms, .. } = self;
        Ok(History { customer, external_id, facts: facts?, arms })
    }
}

/// Takes the store's customers page by page, one being read while another is worked on.
fn each_page(
    db: &Db,
    store: &Store,
    until: Timestamp,
    progress: &Progress,
    seen: impl Fn(usize),
    work: impl Fn(Vec<Stored>) -> Result<Sum, BacktestError>,
) -> Result<Sum, BacktestError> {
    std::thread::scope(|scope| {
        let (give, pages) = mpsc::sync_channel(2);
        scope.spawn(move || {
            let mut after = CustomerId(i64::MIN);
            loop {
                let page = read_page(db, store, after, until);
                let last = match &page {
                    Ok(page) => page.last().map(|person| person.customer),
                    Err(_) => None,
                };
                // Whoever does not take it any more has failed, or was told to end.
                if give.send(page).is_err() {
                    return;
                }
                match last {
                    Some(last) => after = last,
                    None => return,
                }
            }
        });
        let (mut sum, mut done) = (Sum::default(), 0);
        for page in pages {
            progress.check()?;
            let page = page?;
            done += page.len();
            sum = sum.add(work(page)?);
            seen(done);
        }
        Ok(sum)
    })
}

fn read_page(
    db: &Db,
    store: &Store,
    after: CustomerId,
    until: Timestamp,
) -> Result<Vec<Stored>, BacktestError> {
    db.read_here(|conn| {
        let people = store::people_after(conn, store.id, after, PAGE)?;
        let (Some((first, _)), Some((last, _))) = (people.first(), people.last()) else {
            return Ok(Vec::new());
        };
        let mut arms = store::arms_between(conn, *first, *last)?;
        let unread = journal::store::unread_between(conn, store.id, *first, *last, until)?;
        let mut facts: HashMap<CustomerId, Vec<Unread>> = HashMap::with_capacity(people.len());
        for fact in unread {
            facts.entry(fact.customer()).or_default().push(fact);
        }
        let stored = people.into_iter().map(|(customer, external_id)| Stored {
            customer,
            external_id,
            facts: facts.remove(&customer).unwrap_or_default(),
            arms: arms.remove(&customer).unwrap_or_default(),
        });
        Ok(stored.collect())
    })
}

/// Learns the store's fifths for each day of the replay.
fn learn_scores(
    db: &Db,
    world: &World,
    asked: Asked,
    people: usize,
    progress: &Progress,
) -> Result<Scores, BacktestError> {
    let store = world.store;
    let part = (MEASURED as f64 / people.max(1) as f64).min(1.0);
    let limit = (part * u64::MAX as f64) as u64;
    let mut courses: Vec<Course> = Vec::new();
    let mut after = CustomerId(i64::MIN);
    loop {
        progress.check()?;
        let people = db.read_here(|conn| {
            store::people_after(conn, store.id, after, PAGE * 10).map_err(BacktestError::from)
        })?;
        let Some((last, _)) = people.last() else { break };
        after = *last;
        let measured: Vec<CustomerId> =
            people.iter().map(|(id, _)| *id).filter(|id| scatter(id.0 as u64) <= limit).collect();
        let facts = db.read_here(|conn| {
            journal::store::of_customers_until(conn, &measured, world.to)
                .map_err(BacktestError::from)
        })?;
        let histories: Vec<&[Fact]> = facts.chunk_by(|a, b| a.customer == b.customer).collect();
        let found: Vec<Course> = histories
            .into_par_iter()
            .map(|facts| {
                let customer = facts[0].customer;
                let (external_id, arms) = (None, Vec::new());
                let history = History { customer, external_id, facts: facts.to_vec(), arms };
                life::course(world, history)
            })
            .collect();
        courses.extend(found);
    }
    let learning = db.read_here(|conn| -> Result<_, BacktestError> {
        Ok(scoring::store::newest_learning(conn, store.id)?.map(|(learning, _)| learning))
    })?;
    let zone = store.timezone.clone();
    let (first, last) = (world.from.day_number(&zone), world.to.day_number(&zone));
    Ok(Scores::learn(zone, first, last, &courses, learning, asked))
}

/// What the figures say, and what they do not. `full`: days on which more would leave than the budget allows, still.
fn note(world: &World, asked: &Asked, people: usize, full: usize) -> String {
    let mut said = vec![
        "This shows volume and timing, not lift: who would have got mail and when, not what the mail would have earned."
            .to_owned(),
        format!(
            "Who bought after a would-be mail, within {AFTER_MAIL}, bought without it. Stored enrolments and messages are ignored; consent, \
             holdout and guardrails are applied as they are set now."
        ),
    ];
    if asked.scores {
        let fair = if people > MEASURED { " of a fair part of all customers" } else { "" };
        said.push(format!(
            "Scores are as of each day{fair}; forecasts are made by what the store has learnt last, which knows more than was known then."
        ));
    }
    let learned = |rule: &StoredRule| {
        matches!(rule.rule.trigger.kind, TriggerKind::RepurchaseDue { after: None })
    };
    if world.rules.iter().any(learned) {
        said.push(
            "Learned repurchases go by the customer's own rhythm, not by that of each product."
                .to_owned(),
        );
    }
    let waits_for_click = |rule: &StoredRule| {
        rule.rule.steps.iter().any(|step| step.wait_until == Some(StepEvent::Click))
    };
    if world.rules.iter().any(waits_for_click) {
        said.push(
            "Nobody clicked a mail that was never sent: a step that waits for a click waits until its time is over."
                .to_owned(),
        );
    }
    if world.weak_orders.is_some_and(|orders| !orders.is_empty()) {
        said.push(
            "Who shares a phone number or a device is taken from what is known today.".to_owned(),
        );
    }
    if let Some(budget) = world.store.sending.daily_budget {
        said.push(match full {
            0 => format!("The daily budget ({budget}) is applied; of those at one instant, chance says who waits."),
            n => format!("On {n} days still more would leave than the daily budget ({budget}) allows: far more is due than it lets through."),
        });
    }
    if world.store.sending.feed_max_age.is_some() {
        said.push("The feed is as old as the newest order placed by then.".to_owned());
    }
    let others = world.rules.len() - 1;
    if others > 0 {
        said.push(format!("The other live rules compete ({others})."));
    }
    said.join(" ")
}
