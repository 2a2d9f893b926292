//! One run of the worker: turns at the desk, what is put into words, what is in the air, and how they keep pace.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Tally;
use super::claim::Claim;
use super::pace::Pace;
use super::post::{Look, Post, Turn};
use super::prepare::Prepared;
use super::settle::{Ending, Report};
use crate::db::DbError;
use crate::mail::Delivery;
use crate::metrics::Metrics;
use crate::primitives::Delay;
use crate::stores::Store;

/// Hand-overs in the air at once, each with a connection of its own. No more than that are ever claimed and not settled,
/// for whatever is claimed when this process dies is in doubt.
const AT_ONCE: usize = 32;
/// What the door said is too old after this, by the machine's clock.
const STALE: Delay = Delay::seconds(5);
/// Leases are renewed this often; they last three times as long.
const RENEWAL: Duration = Duration::from_secs(5);
/// What others hold, the planner for one, is looked at again so often before it is left to the next run.
const LOOKS_IN_VAIN: u32 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A turn is worth its way to the disk when so many have landed, or so many can leave; and if not, after this time.
const TOGETHER: usize = AT_ONCE / 2;
const SETTLED_WITHIN: Duration = Duration::from_millis(10);

/// What became of a message in the air, and what the door said meanwhile.
enum Flight {
    Ended(Box<Report>, Tally),
    /// The door closed before it was handed over.
    TakenBack(Tally),
}

pub struct Run {
    post: Arc<Post>,
    pace: Pace,
    turn: Option<JoinHandle<Turn>>,
    /// Claims being put into words; with their number, for whatever becomes of that.
    wording: JoinSet<(usize, Result<Vec<Prepared>, JoinError>)>,
    air: JoinSet<Flight>,
    /// How many are claimed and have not landed.
    held: usize,
    landed: Vec<Report>,
    /// When the first of the landed ones is settled at the latest.
    settle_by: Option<Instant>,
    is_drained: bool,
    looks_in_vain: u32,
    failed: Option<DbError>,
    /// Whether a claim may have been committed without our hearing of it, and whether a report could not be written.
    may_hold: bool,
    is_unsettled: bool,
    tally: Tally,
}

impl Run {
    /// `sharers`: the processes that share the store's rate, this one among them.
    pub fn new(post: Arc<Post>, sharers: u32) -> Self {
        Self {
            pace: Pace { rate: post.store.sending.rate, sharers, next: Instant::now() },
            post,
            turn: None,
            wording: JoinSet::new(),
            air: JoinSet::new(),
            held: 0,
            landed: Vec::new(),
            settle_by: None,
            is_drained: false,
            looks_in_vain: 0,
            failed: None,
            may_hold: false,
            is_unsettled: false,
            tally: Tally::default(),
        }
    }

    /// Until nothing is due, the database fails, or `stop`. What is claimed by then is handed over and written down first.
    pub async fn finish(mut self, stop: &CancellationToken) -> Result<Tally, DbError> {
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.tick().await;
        loop {
            let now = Instant::now();
            let goes_on = !self.is_drained && self.failed.is_none() && !stop.is_cancelled();
            self.begin_turn(goes_on, now);
            let is_waiting = goes_on && self.turn.is_none() && now < self.pace.next;
            if !is_waiting && self.turn.is_none() && self.held == 0 && self.landed.is_empty() {
                break;
            }
            let (next_claim, settle_by) = (self.pace.next, self.settle_by);
            tokio::select! {
                turn = done(&mut self.turn) => self.take_turn(turn),
                Some(Ok((claims, prepared))) = self.wording.join_next() => self.launch(claims, prepared),
                Some(flight) = self.air.join_next() => {
                    self.land(flight);
                    while let Some(flight) = self.air.try_join_next() {
                        self.land(flight);
                    }
                }
                _ = renewal.tick() => self.renew().await,
                () = tokio::time::sleep_until(next_claim), if is_waiting => {}
                () = at(settle_by), if self.turn.is_none() => {}
                () = stop.cancelled(), if goes_on => {}
            }
        }
        if self.may_hold && !self.is_unsettled {
            self.post.give_back().await;
        }
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.tally),
        }
    }

    /// One turn settles what has landed and claims as many as have a connection free. While it is at that, those before
    /// are in the air, so that neither the disk nor the mail server waits for the other.
    fn begin_turn(&mut self, goes_on: bool, now: Instant) {
        if self.turn.is_some() {
            return;
        }
        let free = AT_ONCE.saturating_sub(self.held);
        let may_claim = goes_on && now >= self.pace.next;
        let limit = if may_claim { self.pace.limit().min(free) } else { 0 };
        let is_late = self.settle_by.is_some_and(|by| now >= by);
        let is_worth_it = self.landed.len() >= TOGETHER
            || is_late
            || self.held == 0
            || (limit > 0 && free >= TOGETHER);
        if is_worth_it && (limit > 0 || !self.landed.is_empty()) {
            let reports = std::mem::take(&mut self.landed);
            self.settle_by = None;
            self.turn = Some(tokio::spawn(Turn::take(self.post.clone(), reports, limit)));
        }
    }

    fn take_turn(&mut self, turn: Result<Turn, JoinError>) {
        let broken_off =
            |_| Turn { settled: Err(DbError::BrokenOff), look: Some(Err(DbError::BrokenOff)) };
        let Turn { settled, look } = turn.unwrap_or_else(broken_off);
        match look {
            Some(Ok(look)) => self.take_look(look),
            // What is in the air is finished and written down before the error is told.
            Some(Err(error)) => (self.failed, self.may_hold) = (Some(error), true),
            None => {}
        }
        match settled {
            Ok(tally) => {
                count(&self.post.office.metrics, &tally);
                self.tally.add(tally);
            }
            // The others in the air are not broken off for it: they may yet be written down.
            Err(error) => (self.failed, self.is_unsettled) = (Some(error), true),
        }
    }

    fn take_look(&mut self, look: Look) {
        let Look { store, claims, judged, tally, is_held } = look;
        let now = Instant::now();
        self.looks_in_vain = if is_held { self.looks_in_vain + 1 } else { 0 };
        self.tally.add(tally);
        self.pace.rate = store.sending.rate;
        self.pace.took(claims.len(), now);
        if is_held && self.looks_in_vain < LOOKS_IN_VAIN {
            self.pace.next = now + LOOK_AGAIN;
        } else {
            self.is_drained = judged == 0;
        }
        if !claims.is_empty() {
            self.held += claims.len();
            self.wording.spawn(put_into_words(self.post.clone(), store, claims));
        }
    }

    fn launch(&mut self, claims: usize, prepared: Result<Vec<Prepared>, JoinError>) {
        match prepared {
            Ok(prepared) => {
                for prepared in prepared {
                    self.air.spawn(fly(self.post.clone(), prepared));
                }
            }
            // Their lease runs out, and they are in doubt.
            Err(error) => {
                tracing::error!(%error, "claimed messages could not be put into words");
                self.held -= claims;
                self.failed = Some(DbError::BrokenOff);
            }
        }
    }

    fn land(&mut self, flight: Result<Flight, JoinError>) {
        self.held -= 1;
        match flight {
            Ok(Flight::Ended(report, tally)) => {
                self.tally.add(tally);
                self.landed.push(*report);
                self.settle_by.get_or_insert(Instant::now() + SETTLED_WITHIN);
            }
            Ok(Flight::TakenBack(tally)) => self.tally.add(tally),
            // Its lease runs out, and it is in doubt: nobody knows how far it came.
            Err(error) => tracing::error!(%error, "a hand-over broke off"),
        }
    }

    /// Prolongs the leases, and asks who shares the rate by now.
    async fn renew(&mut self) {
        self.post.renew().await;
        if let Ok(sharers) = self.post.sharers().await {
            self.pace.sharers = sharers;
        }
    }
}

async fn put_into_words(
    post: Arc<Post>,
    store: Store,
    claims: Vec<Claim>,
) -> (usize, Result<Vec<Prepared>, JoinError>) {
    let n = claims.len();
    (n, tokio::task::spawn_blocking(move || post.prepare(&store, claims)).await)
}

/// Hands one message over.
async fn fly(post: Arc<Post>, prepared: Prepared) -> Flight {
    let Prepared { mut claim, mut mail } = prepared;
    let mut tally = Tally::default();
    while mail.is_ok() && post.clocks.instants().machine > claim.claimed.plus(STALE) {
        let (asking, asked) = (post.clone(), claim.clone());
        let answer = tokio::task::spawn_blocking(move || asking.claim_again(&asked));
        match answer.await.unwrap_or(Err(DbError::BrokenOff)) {
            Ok((fresh, told)) => {
                tally.add(told);
                let Some(fresh) = fresh else { return Flight::TakenBack(tally) };
                (claim, mail) = (fresh.claim, fresh.mail);
            }
            Err(error) => {
                let why = format!("the door could not be asked again: {error}");
                mail = Err(Ending::Handed(Delivery::NotSent { why }));
            }
        }
    }
    let (subject, ending) = match mail {
        Ok(mail) => {
            let delivery = post.transport.hand_over(&mail).await;
            (Some(mail.subject), Ending::Handed(delivery))
        }
        Err(ending) => (None, ending),
    };
    let Claim { message, address, .. } = claim;
    Flight::Ended(Box::new(Report { message, address, subject, ending }), tally)
}

/// What work comes to, once; never where there is none.
async fn done<T>(work: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match work {
        Some(running) => {
            let result = running.await;
            *work = None;
            result
        }
        None => std::future::pending().await,
    }
}

/// Waits until then; for ever where there is no then.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn count(metrics: &Metrics, tally: &Tally) {
    for (outcome, n) in [
        ("sent", tally.sent),
        ("failed", tally.failed),
        ("deferred", tally.deferred),
        ("in_doubt", tally.in_doubt),
    ] {
        metrics.messages.with_label_values(&[outcome]).inc_by(n);
    }
}
