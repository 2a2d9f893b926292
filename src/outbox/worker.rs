//! The worker: claims what is due, composes, hands over, settles. No transaction is open while SMTP talks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claim::{self, Claim, Claimed, Desk};
use super::settle::{self, Ending, Report};
use super::wording::{self, WordingError};
use super::{Tally, store};
use crate::config::Config;
use crate::db::{Backend, Db, DbError};
use crate::ledger::{Instants, Reason};
use crate::links::{ClickToken, OpenToken};
use crate::mail::dkim::{KeyError, SignError, Signer};
use crate::mail::{
    ComposeError, Composer, Delivery, InvalidSmtpUrl, Link, LoadError, ReadyMail, Tracking,
    Transport,
};
use crate::metrics::Metrics;
use crate::primitives::{Clock, Delay, RuleId};
use crate::rules::{self, StoredRule};
use crate::secret::{Secret, random_token};
use crate::stores::{self, Store};

/// Hand-overs in the air at once.
const AT_ONCE: usize = 16;
/// What the door said is too old after this, by the machine's clock.
const STALE: Delay = Delay::seconds(5);
/// Leases are renewed this often; they last three times as long.
const RENEWAL: Duration = Duration::from_secs(5);
/// A database that is away is asked again so often, a second apart, where something must be written down.
const TRIES: u32 = 5;

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

/// What happened to a claim in the air.
enum Flight {
    Ended(Box<Report>, Claimed),
    /// The door closed before it was handed over.
    TakenBack(Claimed),
}

/// Sends what is due in `store` until nothing is, or until `stop`: then what is in the air is finished first.
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
    let mut tally = Tally::default();
    if store.mail_from.is_none() || store.postal_address.is_none() {
        return Ok(tally);
    }
    let (id, now, no_way_out) = (store.id, clocks.instants().now, office.transport.is_none());
    let is_due = office
        .db
        .read(move |conn| store::has_due(conn, id, now, no_way_out).map_err(DbError::from));
    if !is_due.await? {
        return Ok(tally);
    }
    if no_way_out {
        return Ok(judge_shadows(office, store, clocks, stop).await?);
    }
    let signer = open_signer(store).await?;

    let owner: Arc<str> = owner_name().into();
    let rate = store.sending.rate.per_second;
    let mut flights: JoinSet<Flight> = JoinSet::new();
    let mut is_drained = false;
    let mut failed = None;
    // Whether a claim may have been committed without our hearing of it, and whether a report could not be written.
    let (mut may_hold, mut is_unsettled) = (false, false);
    let mut next_claim = Instant::now();
    let mut renewal = tokio::time::interval(RENEWAL);
    renewal.tick().await;
    loop {
        let free = AT_ONCE - flights.len();
        let may_claim = !is_drained && !stop.is_cancelled();
        // Half a crew at a time: a transaction per message would cost more than the message.
        if may_claim && free >= AT_ONCE / 2 && Instant::now() >= next_claim {
            let limit = (free as i64).min(i64::from(rate));
            let claimed = match claim_some(office, store, clocks, &owner, limit).await {
                Ok(claimed) => claimed,
                // What is in the air is finished and written down before the error is told.
                Err(error) => {
                    (failed, is_drained, may_hold) = (Some(error), true, true);
                    continue;
                }
            };
            is_drained = claimed.judged == 0;
            tally.add(claimed.tally);
            let pause = Duration::from_secs(1) * claimed.claims.len() as u32 / rate;
            next_claim = Instant::now() + pause;
            for claim in claimed.claims {
                let (office, store, owner) = (office.clone(), store.clone(), owner.clone());
                flights.spawn(fly(office, store, clocks, owner, signer.clone(), claim));
            }
            continue;
        }
        if flights.is_empty() {
            if !may_claim {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next_claim) => {}
                () = stop.cancelled() => {}
            }
            continue;
        }
        let can_claim_soon = may_claim && free >= AT_ONCE / 2;
        tokio::select! {
            Some(landed) = flights.join_next() => {
                let mut landed = vec![landed];
                while let Some(next) = flights.try_join_next() {
                    landed.push(next);
                }
                let mut reports = Vec::new();
                for flight in landed {
                    match flight {
                        Ok(Flight::Ended(report, again)) => {
                            tally.add(again.tally);
                            reports.push(*report);
                        }
                        Ok(Flight::TakenBack(again)) => tally.add(again.tally),
                        // Its lease runs out, and it is in doubt: nobody knows how far it came.
                        Err(error) => tracing::error!(%error, "a hand-over broke off"),
                    }
                }
                match settle_all(office, store, clocks, reports).await {
                    Ok(settled) => {
                        count(&office.metrics, &settled);
                        tally.add(settled);
                    }
                    // The others in the air are not broken off for it: they may yet be written down.
                    Err(error) => {
                        (failed, is_drained, is_unsettled) = (Some(error), true, true);
                    }
                }
            }
            _ = renewal.tick() => {
                let (owner, machine) = (owner.clone(), clocks.instants().machine);
                let renewed = office.db.write(move |conn| {
                    claim::renew(conn, &owner, machine).map_err(DbError::from)
                });
                // The leases still have ten seconds, and the next renewal comes in five.
                if let Err(error) = renewed.await {
                    tracing::warn!(%error, "leases could not be renewed");
                }
            }
            () = tokio::time::sleep_until(next_claim), if can_claim_soon => {}
        }
    }
    if may_hold && !is_unsettled {
        give_back(office, &owner).await;
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(tally),
    }
}

/// Read anew for each pass: a key that was put in its place is used at once.
async fn open_signer(store: &Arc<Store>) -> Result<Option<Arc<Signer>>, SendError> {
    let Some(dkim) = store.sending.dkim.clone() else { return Ok(None) };
    let opened = tokio::task::spawn_blocking(move || Signer::open(&dkim)).await;
    Ok(Some(Arc::new(opened.map_err(|_| DbError::BrokenOff)??)))
}

/// A commit whose answer was lost may have leased messages to nobody: nothing of ours is in the air, so they are not
/// in doubt.
async fn give_back(office: &Arc<PostOffice>, owner: &Arc<str>) {
    let mut tries = 0;
    loop {
        let owner = owner.clone();
        let work =
            office.db.write(move |conn| claim::give_back(conn, &owner).map_err(DbError::from));
        match work.await {
            Ok(0) => return,
            Ok(messages) => {
                return tracing::warn!(messages, "claims whose answer was lost were taken back");
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
            let at = clocks.instants();
            let rules = rules_of(conn, &store)?;
            let desk = Desk { store: &store, rules: &rules, at };
            Ok(claim::judge_shadows(conn, &desk, AT_ONCE as i64)?)
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
        Ok(settle::has_lost(conn, store.id, at.machine, is_dead)?)
    })?;
    if !is_any {
        return Ok(Tally::default());
    }
    db.write_here(|conn| -> Result<_, DbError> {
        let rules = HashMap::new();
        let desk = Desk { store, rules: &rules, at };
        Ok(settle::settle_lost(conn, &desk, is_dead)?)
    })
}

async fn claim_some(
    office: &Arc<PostOffice>,
    store: &Arc<Store>,
    clocks: Clocks,
    owner: &Arc<str>,
    limit: i64,
) -> Result<Claimed, DbError> {
    let (store, owner) = (store.clone(), owner.clone());
    let work = office.db.write(move |conn| -> Result<_, DbError> {
        // After the lock is had: waiting for it must not age the answer.
        let at = clocks.instants();
        let rules = rules_of(conn, &store)?;
        // A backlog may take hours: what the operator changes meanwhile holds at once.
        let store = stores::store::find(conn, store.id)?;
        let desk = Desk { store: &store, rules: &rules, at };
        Ok(claim::claim_due(conn, &desk, limit, &owner)?)
    });
    work.await
}

fn rules_of(
    conn: &mut crate::db::Conn,
    store: &Store,
) -> Result<HashMap<RuleId, StoredRule>, DbError> {
    let all = rules::store::all(conn, store.id)?;
    Ok(all.into_iter().map(|rule| (rule.id, rule)).collect())
}

/// Composes one message and hands it over.
async fn fly(
    office: Arc<PostOffice>,
    store: Arc<Store>,
    clocks: Clocks,
    owner: Arc<str>,
    signer: Option<Arc<Signer>>,
    mut claim: Claim,
) -> Flight {
    let mut again = Claimed::default();
    let report = |claim: &Claim, subject, ending| {
        Box::new(Report {
            message: claim.message.clone(),
            address: claim.address.clone(),
            subject,
            ending,
        })
    };
    let mut mail = match compose(&office, &store, clocks, &claim).await {
        Ok(mail) => mail,
        Err(ending) => return Flight::Ended(report(&claim, None, ending), again),
    };
    if clocks.instants().machine > claim.claimed.plus(STALE) {
        match ask_again(&office, &store, clocks, &owner, &claim).await {
            Ok(mut claimed) => match claimed.claims.pop() {
                Some(fresh) => (claim, again) = (fresh, claimed),
                None => return Flight::TakenBack(claimed),
            },
            Err(error) => {
                let why = format!("the door could not be asked again: {error}");
                let ending = Ending::Handed(Delivery::NotSent { why });
                return Flight::Ended(report(&claim, None, ending), again);
            }
        }
    }
    let Some(transport) = &office.transport else { return Flight::TakenBack(again) };
    if let Some(signer) = signer {
        let at = clocks.instants().machine;
        let signed = tokio::task::spawn_blocking(move || {
            let bytes = signer.sign(&mail.bytes, at)?;
            Ok::<_, SignError>(ReadyMail { bytes, ..mail })
        });
        mail = match signed.await.unwrap_or(Err(SignError)) {
            Ok(signed) => signed,
            Err(error) => {
                let ending = Ending::Handed(Delivery::NotSent { why: error.to_string() });
                return Flight::Ended(report(&claim, None, ending), again);
            }
        };
    }
    let delivery = transport.hand_over(&mail).await;
    Flight::Ended(report(&claim, Some(mail.subject), Ending::Handed(delivery)), again)
}

async fn ask_again(
    office: &Arc<PostOffice>,
    store: &Arc<Store>,
    clocks: Clocks,
    owner: &Arc<str>,
    claim: &Claim,
) -> Result<Claimed, DbError> {
    let (store, owner, claim) = (store.clone(), owner.clone(), claim.clone());
    let work = office.db.write(move |conn| -> Result<_, DbError> {
        let at = clocks.instants();
        let rules = rules_of(conn, &store)?;
        let desk = Desk { store: &store, rules: &rules, at };
        Ok(claim::claim_again(conn, &desk, &claim, &owner)?)
    });
    work.await
}

/// The whole message or none: what cannot be rendered fails with its reason, and no half mail leaves.
async fn compose(
    office: &Arc<PostOffice>,
    store: &Arc<Store>,
    clocks: Clocks,
    claim: &Claim,
) -> Result<ReadyMail, Ending> {
    let (post, store, claim) = (office.clone(), store.clone(), claim.clone());
    let now = clocks.instants().now;
    let work = office.db.read(move |conn| -> Result<_, DbError> {
        let wording = wording::gather(conn, &store, &claim, &post.secret, &post.public_url, now);
        let wording = match wording {
            Ok(wording) => wording,
            Err(WordingError::Query(error)) => return Err(error.into()),
            Err(error) => return Ok(Err((error.to_string(), Reason::Template))),
        };
        let locales: Vec<&str> = wording.locales.iter().map(String::as_str).collect();
        let message = claim.message.id;
        let click = |link: Link<'_>| {
            let (number, of, target) = (link.number, link.of, link.target.to_owned());
            ClickToken { store: store.id, message, link: number, links: of, target }
                .url(&post.public_url, &post.secret)
        };
        let open = OpenToken { store: store.id, message };
        let tracking = Tracking {
            click: store.sending.track_clicks.then_some(&click as _),
            pixel: store.sending.track_opens.then(|| open.url(&post.public_url, &post.secret)),
        };
        let mail = post.composer.compose(
            &wording.template,
            &locales,
            &wording.context,
            &wording.headers,
            &tracking,
        );
        Ok(mail.map_err(|error| match error {
            ComposeError::AddressNotAscii => (error.to_string(), Reason::NoAddress),
            error => (with_causes(&error), Reason::Template),
        }))
    });
    match work.await {
        Ok(Ok(mail)) => Ok(mail),
        Ok(Err((why, reason))) => Err(Ending::NotComposed { why, reason }),
        Err(error) => Err(Ending::Handed(Delivery::NotSent { why: with_causes(&error) })),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What has left is written down whatever it takes: a database that is away for a moment is asked again.
async fn settle_all(
    office: &Arc<PostOffice>,
    store: &Arc<Store>,
    clocks: Clocks,
    reports: Vec<Report>,
) -> Result<Tally, DbError> {
    let reports: Arc<[Report]> = reports.into();
    let mut tries = 0;
    loop {
        let (store, reports) = (store.clone(), reports.clone());
        let work = office.db.write(move |conn| -> Result<_, DbError> {
            let rules = HashMap::new();
            let desk = Desk { store: &store, rules: &rules, at: clocks.instants() };
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
