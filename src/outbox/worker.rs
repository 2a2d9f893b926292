//! The worker: claims what is due, composes, hands over, settles. No transaction is open while SMTP talks.
//!
//! Two things go on at once: some messages are in the air, while what has landed before them is settled and what follows
//! them is claimed. So neither the disk nor the mail server waits for the other.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::claim::{self, Desk};
use super::doubt;
use super::post::Post;
use super::run::Run;
use super::{Tally, store};
use crate::config::Config;
use crate::db::{Backend, Conn, Db, DbError};
use crate::ledger::Instants;
use crate::mail::dkim::{KeyError, Signer};
use crate::mail::{Composer, InvalidSmtpUrl, LoadError, Transport};
use crate::metrics::Metrics;
use crate::primitives::{Clock, Timestamp};
use crate::replicas;
use crate::secret::{Secret, random_token};
use crate::stores::Store;

/// What rules in shadow would send is judged so many at a time: nothing waits for it.
const SHADOWS: i64 = 32;

/// What is needed to turn a claimed message into mail that left.
pub struct PostOffice {
    pub db: Db,
    pub composer: Composer,
    /// `None`: no way out is configured, and everything stays scheduled.
    pub transport: Option<Transport>,
    pub secret: Secret,
    /// Base of the links in mails.
    pub public_url: String,
    pub metrics: Metrics,
}

/// Why nothing can be sent: settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the mail templates cannot be used")]
    Templates(#[from] LoadError),
    #[error(transparent)]
    Transport(#[from] InvalidSmtpUrl),
}

impl PostOffice {
    /// Templates and the way out, as the settings name them. Opens no connection yet.
    pub fn open(
        config: &Config,
        db: Db,
        secret: Secret,
        metrics: Metrics,
    ) -> Result<Self, OpenError> {
        let composer = Composer::load(config.templates.as_deref())?;
        let transport = config.smtp_url.as_ref().map(Transport::from_url).transpose()?;
        let public_url = config.public_url.clone();
        Ok(Self { db, composer, transport, secret, public_url, metrics })
    }

    /// How many processes share what each store may send in a second: all that serve this database, of which SQLite's
    /// is one alone, whatever one that died before it has left written.
    pub(super) async fn sharers(&self, machine: Timestamp) -> Result<u32, DbError> {
        if self.db.backend() == Backend::Sqlite {
            return Ok(1);
        }
        let alive = move |conn: &mut Conn| replicas::alive(conn, machine).map_err(DbError::from);
        Ok(self.db.read(alive).await?.max(1))
    }
}

/// Why a pass ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Db(#[from] DbError),
    /// What should be signed is not sent without: it all stays scheduled.
    #[error("mail cannot be signed, and waits: {0}")]
    Key(#[from] KeyError),
}

/// Where the two clocks of a run come from.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    /// Business time; `tick --at` fixes it.
    pub business: Clock,
    /// The machine's own.
    pub machine: Clock,
}

impl Clocks {
    pub fn system() -> Self {
        Self { business: Clock::System, machine: Clock::System }
    }

    pub fn instants(self) -> Instants {
        let machine = self.machine.now();
        // One reading for both, or a message could be sent before it was claimed.
        let now = match self.business {
            Clock::System => machine,
            fixed => fixed.now(),
        };
        Instants { now, machine }
    }
}

/// Sends what is due in `store` until nothing is, or until `stop`: then what is claimed is finished first.
///
/// Two of them at once, in one process or in many, share the work and never a message.
///
/// # Errors
/// The database fails: what was in the air and could not be settled is in doubt once its lease is over. Or the key
/// that the store's mail is signed with cannot be read: nothing is claimed then.
pub async fn deliver_due(
    office: &Arc<PostOffice>,
    store: &Arc<Store>,
    clocks: Clocks,
    stop: &CancellationToken,
) -> Result<Tally, SendError> {
    if store.mail_from.is_none() || store.postal_address.is_none() {
        return Ok(Tally::default());
    }
    let (id, now, no_way_out) = (store.id, clocks.instants().now, office.transport.is_none());
    let is_due = office
        .db
        .read(move |conn| store::has_due(conn, id, now, no_way_out).map_err(DbError::from));
    if !is_due.await? {
        return Ok(Tally::default());
    }
    let Some(transport) = office.transport.clone() else {
        return Ok(judge_shadows(office, store, clocks, stop).await?);
    };
    let post = Arc::new(Post {
        office: office.clone(),
        store: store.clone(),
        transport,
        signer: open_signer(store).await?,
        clocks,
        owner: owner_name().into(),
    });
    let sharers = post.sharers().await?;
    Ok(Run::new(post, sharers).finish(stop).await?)
}

/// Read anew for each pass: a key that was put in its place is used at once.
async fn open_signer(store: &Arc<Store>) -> Result<Option<Arc<Signer>>, SendError> {
    let Some(dkim) = store.sending.dkim.clone() else { return Ok(None) };
    let opened = tokio::task::spawn_blocking(move || Signer::open(&dkim)).await;
    Ok(Some(Arc::new(opened.map_err(|_| DbError::BrokenOff)??)))
}

/// What rules in shadow would send is decided also where nothing can be sent.
async fn judge_shadows(
    office: &Arc<PostOffice>,
    store: &Arc<Store>,
    clocks: Clocks,
    stop: &CancellationToken,
) -> Result<Tally, DbError> {
    let mut tally = Tally::default();
    while !stop.is_cancelled() {
        let store = store.clone();
        let work = office.db.write(move |conn| -> Result<_, DbError> {
            let desk = Desk { store: &store, at: clocks.instants() };
            Ok(claim::judge_shadows(conn, &desk, SHADOWS)?)
        });
        let judged = work.await?;
        tally.add(judged.tally);
        if judged.judged == 0 {
            break;
        }
    }
    Ok(tally)
}

/// Decides what dead workers left behind in `store`. On SQLite, where one machine holds the database, a worker
/// whose process is gone is dead before its lease is over.
pub fn settle_lost(db: &Db, store: &Store, at: Instants) -> Result<Tally, DbError> {
    let is_sqlite = db.backend() == Backend::Sqlite;
    let is_dead = move |owner: &str| is_sqlite && is_process_gone(owner);
    let is_any = db.read_here(|conn| -> Result<_, DbError> {
        Ok(doubt::has_lost(conn, store.id, at.machine, is_dead)?)
    })?;
    if !is_any {
        return Ok(Tally::default());
    }
    db.write_here(|conn| -> Result<_, DbError> {
        Ok(doubt::settle_lost(conn, &Desk { store, at }, is_dead)?)
    })
}

/// Who holds a lease: the process, and one of its runs.
fn owner_name() -> String {
    let run: String = random_token().chars().take(8).collect();
    format!("{}-{run}", std::process::id())
}

/// Whether the process that an owner's name begins with has ended. Where that cannot be known, it has not.
fn is_process_gone(owner: &str) -> bool {
    let processes = std::path::Path::new("/proc");
    let pid = owner.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
    match pid {
        Some(pid) => processes.join("self").exists() && !processes.join(pid.to_string()).exists(),
        None => false,
    }
}
