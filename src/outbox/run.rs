//! One run of the worker: what is claimed, what is in the air, what has landed, and how they keep pace.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claim::{self, Claim, Claimed, Desk};
use super::prepare::{Prepared, prepare};
use super::settle::{self, Ending, Report};
use super::worker::{Clocks, MOST, PostOffice};
use super::{Tally, lease};
use crate::db::DbError;
use crate::mail::dkim::Signer;
use crate::mail::{Delivery, Transport};
use crate::metrics::Metrics;
use crate::primitives::Delay;
use crate::restores;
use crate::stores::{self, Rate, Store};

/// Hand-overs in the air at once.
const AT_ONCE: usize = 32;
/// What the door said is too old after this, by the machine's clock.
const STALE: Delay = Delay::seconds(5);
/// Leases are renewed this often; they last three times as long.
const RENEWAL: Duration = Duration::from_secs(5);
/// A database that is away is asked again so often, a second apart, where something must be written down.
const TRIES: u32 = 5;
/// What others hold, the planner for one, is looked at again so often before it is left to the next run.
const LOOKS_IN_VAIN: u32 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// So many that have landed are settled together, if no more than this time passes until they have.
const TOGETHER: usize = 16;
const SETTLED_WITHIN: Duration = Duration::from_millis(10);

/// What all hand-overs of a run share.
pub struct Post {
    pub office: Arc<PostOffice>,
    /// As it was when the run began.
    pub store: Arc<Store>,
    pub transport: Transport,
    pub signer: Option<Arc<Signer>>,
    pub clocks: Clocks,
    /// Whose leases they are.
    pub owner: Arc<str>,
}

/// What one look at the due messages came to.
struct Batch {
    prepared: Vec<Prepared>,
    judged: usize,
    tally: Tally,
    /// As the settings stand now.
    rate: Rate,
    /// Nothing was looked at, and yet something is due: others hold its customers just now.
    is_held: bool,
}

/// What became of a message in the air, and what the door said meanwhile.
enum Flight {
    Ended(Box<Report>, Tally),
    /// The door closed before it was handed over.
    TakenBack(Tally),
}

pub struct Run {
    post: Arc<Post>,
    pace: Pace,
    claiming: Option<JoinHandle<Result<Batch, DbError>>>,
    ready: VecDeque<Prepared>,
    air: JoinSet<Flight>,
    landed: Vec<Report>,
    /// When the first of the landed ones is settled at the latest.
    settle_by: Option<Instant>,
    settling: Option<JoinHandle<Result<Tally, DbError>>>,
    is_drained: bool,
    looks_in_vain: u32,
    failed: Option<DbError>,
    /// Whether a claim may have been committed without our hearing of it, and whether a report could not be written.
    may_hold: bool,
    is_unsettled: bool,
    tally: Tally,
}

impl Run {
    pub fn new(post: Arc<Post>) -> Self {
        Self {
            pace: Pace { rate: post.store.sending.rate, next: Instant::now() },
            post,
            claiming: None,
            ready: VecDeque::new(),
            air: JoinSet::new(),
            landed: Vec::new(),
            settle_by: None,
            settling: None,
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
            let goes_on = !self.is_drained && self.failed.is_none() && !stop.is_cancelled();
            self.begin_what_can_begin(goes_on);
            let is_waiting = goes_on && self.claiming.is_none() && self.ready.is_empty();
            if !is_waiting && self.has_nothing_to_do() {
                break;
            }
            let (next_claim, settle_by) = (self.pace.next, self.settle_by);
            tokio::select! {
                batch = done(&mut self.claiming) => self.take_batch(batch),
                settled = done(&mut self.settling) => self.take_settled(settled),
                Some(flight) = self.air.join_next() => {
                    self.land(flight);
                    while let Some(flight) = self.air.try_join_next() {
                        self.land(flight);
                    }
                }
                _ = renewal.tick() => self.renew().await,
                () = tokio::time::sleep_until(next_claim), if is_waiting => {}
                () = at(settle_by), if self.settling.is_none() => {}
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

    fn has_nothing_to_do(&self) -> bool {
        self.claiming.is_none()
            && self.ready.is_empty()
            && self.air.is_empty()
            && self.landed.is_empty()
            && self.settling.is_none()
    }

    fn begin_what_can_begin(&mut self, goes_on: bool) {
        while self.air.len() < AT_ONCE
            && let Some(prepared) = self.ready.pop_front()
        {
            self.air.spawn(fly(self.post.clone(), prepared));
        }
        // While the last of a batch are in the air the next is made ready; no more than that lies about, since what is
        // claimed when this process dies is in doubt.
        let is_wanted = goes_on && self.claiming.is_none() && self.ready.is_empty();
        if is_wanted && Instant::now() >= self.pace.next {
            let (post, limit) = (self.post.clone(), self.pace.limit());
            self.claiming = Some(tokio::task::spawn_blocking(move || post.claim(limit)));
        }
        let is_late = self.settle_by.is_some_and(|by| Instant::now() >= by);
        let is_last = self.air.is_empty() && self.ready.is_empty();
        let is_worth_it = self.landed.len() >= TOGETHER || is_late || is_last;
        if self.settling.is_none() && !self.landed.is_empty() && is_worth_it {
            let reports = std::mem::take(&mut self.landed);
            self.settle_by = None;
            self.settling = Some(tokio::spawn(settle_all(self.post.clone(), reports)));
        }
    }

    fn take_batch(&mut self, batch: Result<Result<Batch, DbError>, JoinError>) {
        match batch.unwrap_or(Err(DbError::BrokenOff)) {
            Ok(batch) => {
                self.looks_in_vain = if batch.is_held { self.looks_in_vain + 1 } else { 0 };
                if batch.is_held && self.looks_in_vain < LOOKS_IN_VAIN {
                    self.pace.next = Instant::now() + LOOK_AGAIN;
                } else {
                    self.is_drained = batch.judged == 0;
                }
                self.tally.add(batch.tally);
                self.pace.rate = batch.rate;
                self.pace.took(batch.prepared.len());
                self.ready.extend(batch.prepared);
            }
            // What is in the air is finished and written down before the error is told.
            Err(error) => (self.failed, self.may_hold) = (Some(error), true),
        }
    }

    fn take_settled(&mut self, settled: Result<Result<Tally, DbError>, JoinError>) {
        match settled.unwrap_or(Err(DbError::BrokenOff)) {
            Ok(tally) => {
                count(&self.post.office.metrics, &tally);
                self.tally.add(tally);
            }
            // The others in the air are not broken off for it: they may yet be written down.
            Err(error) => (self.failed, self.is_unsettled) = (Some(error), true),
        }
    }

    fn land(&mut self, flight: Result<Flight, JoinError>) {
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

    async fn renew(&self) {
        let (owner, store) = (self.post.owner.clone(), self.post.store.id);
        let machine = self.post.clocks.instants().machine;
        let renewed =
            self.post.office.db.write(move |conn| {
                lease::renew(conn, store, &owner, machine).map_err(DbError::from)
            });
        // The leases still have ten seconds, and the next renewal comes in five.
        if let Err(error) = renewed.await {
            tracing::warn!(%error, "leases could not be renewed");
        }
    }
}

/// The store's rate, kept from claim to claim: what is not used is not saved up.
struct Pace {
    rate: Rate,
    /// When the next claim may be made.
    next: Instant,
}

impl Pace {
    /// At most a quarter of what a second sends: mail leaves evenly, and little is claimed at a time.
    fn limit(&mut self) -> i64 {
        self.next = self.next.max(Instant::now());
        i64::from(self.rate.per_second / 4).clamp(1, MOST as i64)
    }

    fn took(&mut self, claims: usize) {
        self.next += Duration::from_secs(1) * claims as u32 / self.rate.per_second;
    }
}

impl Post {
    /// Claims, and makes ready what may leave. Blocks.
    fn claim(&self, limit: i64) -> Result<Batch, DbError> {
        let (store, claimed, is_held) =
            self.office.db.write_here(|conn| -> Result<_, DbError> {
                // A backlog is hours of work: what was set meanwhile holds from now on.
                let store = stores::store::find(conn, self.store.id)?;
                // Another key, or none: the next run signs by it.
                if store.sending.dkim != self.store.sending.dkim {
                    return Ok((store, Claimed::default(), false));
                }
                // The clock is read after the lock is had: waiting for it must not age the answer.
                let desk = Desk { store: &store, at: self.clocks.instants() };
                let claimed = claim::claim_due(conn, &desk, limit, &self.owner)?;
                let is_held = claimed.judged == 0
                    && restores::pause(conn)?.is_none()
                    && super::store::has_due(conn, store.id, desk.at.now, false)?;
                Ok((store, claimed, is_held))
            })?;
        let (judged, tally, rate) = (claimed.judged, claimed.tally, store.sending.rate);
        Ok(Batch { prepared: self.prepare(&store, claimed.claims), judged, tally, rate, is_held })
    }

    /// Asks the door again, and makes ready anew: with a fresh claim its wording may be another. Blocks.
    fn claim_again(&self, claim: &Claim) -> Result<(Option<Prepared>, Tally), DbError> {
        let (store, claimed) = self.office.db.write_here(|conn| -> Result<_, DbError> {
            let store = stores::store::find(conn, self.store.id)?;
            let desk = Desk { store: &store, at: self.clocks.instants() };
            let claimed = claim::claim_again(conn, &desk, claim, &self.owner)?;
            Ok((store, claimed))
        })?;
        Ok((self.prepare(&store, claimed.claims).pop(), claimed.tally))
    }

    /// A commit whose answer was lost may have leased messages to nobody: nothing of ours is in the air, so they are not
    /// in doubt.
    async fn give_back(&self) {
        let mut tries = 0;
        loop {
            let (owner, store) = (self.owner.clone(), self.store.id);
            let work = self
                .office
                .db
                .write(move |conn| lease::give_back(conn, store, &owner).map_err(DbError::from));
            match work.await {
                Ok(0) => return,
                Ok(messages) => {
                    return tracing::warn!(
                        messages,
                        "claims whose answer was lost were taken back"
                    );
                }
                Err(error) if tries < TRIES => {
                    tracing::warn!(%error, "what was claimed could not be taken back yet");
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // Once their lease is over they are in doubt, which is safe.
                Err(error) => return tracing::error!(%error, "what was claimed is not taken back"),
            }
        }
    }

    fn prepare(&self, store: &Store, claims: Vec<Claim>) -> Vec<Prepared> {
        if claims.is_empty() {
            return Vec::new();
        }
        let at = self.clocks.instants();
        prepare(&self.office, store, self.signer.as_deref(), claims, at)
    }
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

/// What has left is written down whatever it takes: a database that is away for a moment is asked again.
async fn settle_all(post: Arc<Post>, reports: Vec<Report>) -> Result<Tally, DbError> {
    let reports: Arc<[Report]> = reports.into();
    let mut tries = 0;
    loop {
        let (post, reports) = (post.clone(), reports.clone());
        let db = post.office.db.clone();
        let work = db.write(move |conn| -> Result<_, DbError> {
            let desk = Desk { store: &post.store, at: post.clocks.instants() };
            Ok(settle::settle(conn, &desk, &reports)?)
        });
        match work.await {
            Err(error) if tries < TRIES => {
                tracing::warn!(%error, "what was sent could not be written down yet");
                tries += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            settled => return settled,
        }
    }
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
