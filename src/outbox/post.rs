//! What all hand-overs of a run share, and its turns at the desk: what has landed is settled, and more is claimed.

use std::sync::Arc;
use std::time::Duration;

use super::claim::{self, Claim, Claimed, Desk};
use super::prepare::{Prepared, prepare};
use super::settle::{self, Report};
use super::worker::{Clocks, PostOffice};
use super::{Tally, lease};
use crate::db::{Backend, Conn, DbError, plan_once};
use crate::mail::Transport;
use crate::mail::dkim::Signer;
use crate::restores;
use crate::stores::{self, Store};

/// A database that is away is asked again so often, a second apart, where something must be written down.
const TRIES: u32 = 5;

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
pub struct Look {
    /// As its settings stand now.
    pub store: Store,
    pub claims: Vec<Claim>,
    pub judged: usize,
    pub tally: Tally,
    /// Nothing was looked at, and yet something is due: others hold its customers just now.
    pub is_held: bool,
}

/// What one turn at the desk came to.
pub struct Turn {
    pub settled: Result<Tally, DbError>,
    /// `None`: nothing was to be claimed.
    pub look: Option<Result<Look, DbError>>,
}

impl Turn {
    /// Settles `reports`, and claims at most `limit`. What has left is written down whatever it takes: a database that is
    /// away for a moment is asked again, for that alone.
    pub async fn take(post: Arc<Post>, reports: Vec<Report>, limit: usize) -> Self {
        let reports: Arc<[Report]> = reports.into();
        let mut turn = Self::try_once(&post, &reports, limit).await;
        for _ in 0..TRIES {
            let Err(error) = &turn.settled else { break };
            tracing::warn!(%error, "what was sent could not be written down yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
            turn.settled = Self::try_once(&post, &reports, 0).await.settled;
        }
        turn
    }

    async fn try_once(post: &Arc<Post>, reports: &Arc<[Report]>, limit: usize) -> Self {
        let (db, is_both) = (&post.office.db, limit > 0 && !reports.is_empty());
        // With one writer, one way to the disk for both. With many, what is held for the one kind of work and what is
        // held for the other could wait for each other in a circle: each has a transaction of its own, at once.
        if is_both && db.backend() == Backend::Sqlite {
            let (post, reports) = (post.clone(), reports.clone());
            let both = db.write(move |conn| -> Result<_, DbError> {
                Ok((post.settle(conn, &reports)?, post.look(conn, limit)?))
            });
            return match both.await {
                Ok((settled, look)) => Self { settled: Ok(settled), look: Some(Ok(look)) },
                Err(error) => Self { settled: Err(error), look: Some(Err(DbError::BrokenOff)) },
            };
        }
        let settle = async {
            let (post, reports) = (post.clone(), reports.clone());
            match reports.is_empty() {
                true => Ok(Tally::default()),
                false => db.write(move |conn| post.settle(conn, &reports)).await,
            }
        };
        let look = async {
            let post = post.clone();
            match limit {
                0 => None,
                limit => Some(db.write(move |conn| post.look(conn, limit)).await),
            }
        };
        let (settled, look) = tokio::join!(settle, look);
        Self { settled, look }
    }
}

impl Post {
    fn settle(&self, conn: &mut Conn, reports: &[Report]) -> Result<Tally, DbError> {
        plan_once(conn)?;
        let desk = Desk { store: &self.store, at: self.clocks.instants() };
        Ok(settle::settle(conn, &desk, reports)?)
    }

    fn look(&self, conn: &mut Conn, limit: usize) -> Result<Look, DbError> {
        plan_once(conn)?;
        // A backlog is hours of work: what was set meanwhile holds from now on.
        let store = stores::store::find(conn, self.store.id)?;
        let nothing = Claimed::default();
        // Another key, or none: the next run signs by it.
        if store.sending.dkim != self.store.sending.dkim {
            let Claimed { claims, judged, tally } = nothing;
            return Ok(Look { store, claims, judged, tally, is_held: false });
        }
        // The clock is read after the lock is had: waiting for it must not age the answer.
        let desk = Desk { store: &store, at: self.clocks.instants() };
        let Claimed { claims, judged, tally } =
            claim::claim_due(conn, &desk, limit as i64, &self.owner)?;
        let is_held = judged == 0
            && restores::pause(conn)?.is_none()
            && super::store::has_due(conn, store.id, desk.at.now, false)?;
        Ok(Look { store, claims, judged, tally, is_held })
    }

    /// Asks the door again, and makes ready anew: with a fresh claim its wording may be another. Blocks.
    pub fn claim_again(&self, claim: &Claim) -> Result<(Option<Prepared>, Tally), DbError> {
        let (store, claimed) = self.office.db.write_here(|conn| -> Result<_, DbError> {
            let store = stores::store::find(conn, self.store.id)?;
            let desk = Desk { store: &store, at: self.clocks.instants() };
            let claimed = claim::claim_again(conn, &desk, claim, &self.owner)?;
            Ok((store, claimed))
        })?;
        Ok((self.prepare(&store, claimed.claims).pop(), claimed.tally))
    }

    /// Puts claims into words. Blocks.
    pub fn prepare(&self, store: &Store, claims: Vec<Claim>) -> Vec<Prepared> {
        if claims.is_empty() {
            return Vec::new();
        }
        let at = self.clocks.instants();
        prepare(&self.office, store, self.signer.as_deref(), claims, at)
    }

    /// Prolongs what is held.
    pub async fn renew(&self) {
        let (owner, store) = (self.owner.clone(), self.store.id);
        let machine = self.clocks.instants().machine;
        let renewed = self
            .office
            .db
            .write(move |conn| lease::renew(conn, store, &owner, machine).map_err(DbError::from));
        // The leases still have ten seconds, and the next renewal comes in five.
        if let Err(error) = renewed.await {
            tracing::warn!(%error, "leases could not be renewed");
        }
    }

    /// How many processes share the store's rate.
    pub async fn sharers(&self) -> Result<u32, DbError> {
        self.office.sharers(self.clocks.instants().machine).await
    }

    /// A commit whose answer was lost may have leased messages to nobody: nothing of ours is in the air, so they are not
    /// in doubt.
    pub async fn give_back(&self) {
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
}
