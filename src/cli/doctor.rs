//! `homing doctor`: what is well, what is not, and what to do about it. Changes nothing.

mod line;
mod signature;

use diesel::sql_types::BigInt;

use super::{CliError, watchman};
use crate::config::Config;
use crate::customers::store::{self as customers, Lacking};
use crate::db::copy::{self, Look};
use crate::db::{Conn, Db, DbError};
use crate::journal;
use crate::mail::Transport;
use crate::primitives::{Clock, Delay, Timestamp};
use crate::replicas::{self, Replica};
use crate::restores;
use crate::rules::{self, StoredRule};
use crate::secret::Secret;
use crate::stores::{self, Store};

/// How a thing was found.
enum Finding {
    Well(String),
    /// It works, but not as one would wish.
    Doubtful {
        what: String,
        mend: String,
    },
    Broken {
        what: String,
        mend: String,
    },
}

use Finding::{Broken, Doubtful, Well};

/// Clocks of two machines may differ by this much before anything goes wrong.
const TOLERABLE_SKEW: Delay = Delay::seconds(5);

/// Checks everything and prints a line for each. Exit 1 when something is broken.
pub fn run(config: &Config, store_key: &str, clock: Clock) -> Result<(), CliError> {
    let mut broken = 0;
    let mut tell = |subject: &str, finding: Finding| match finding {
        Well(what) => println!("well      {subject:<10}{what}"),
        Doubtful { what, mend } => println!("doubtful  {subject:<10}{what}\n{:20}mend: {mend}", ""),
        Broken { what, mend } => {
            broken += 1;
            println!("broken    {subject:<10}{what}\n{:20}mend: {mend}", "");
        }
    };
    let (db, finding) = database(config);
    tell("database", finding);
    if let Some(db) = &db {
        tell("database", soundness(db));
        if let Some(finding) = line::finding(config, db) {
            tell("database", finding);
        }
        if let Some(finding) = restored(db) {
            tell("restored", finding);
        }
        for finding in servers(config, db, clock.now()) {
            tell("servers", finding);
        }
        match find_store(db, store_key) {
            Ok(store) => {
                for finding in store_settings(&store) {
                    tell("store", finding);
                }
                if let Some(dkim) = &store.sending.dkim {
                    tell("signature", signature::finding(&store, dkim));
                }
                for finding in folded_long_ago(db, &store) {
                    tell("rollups", finding);
                }
                for finding in paused_rules(db, &store) {
                    tell("rules", finding);
                }
                tell("clock", clock_against(db, &store, clock.now()));
            }
            Err(finding) => tell("store", finding),
        }
    }
    tell("secret", secret(config));
    tell("mail", mail(config));
    tell("links", links(config));
    tell("rules", canary(clock.now()));
    match broken {
        0 => Ok(()),
        1 => Err(CliError::text("one thing is broken")),
        many => Err(CliError::text(format!("{many} things are broken"))),
    }
}

/// The database, if it can be used as it is.
fn database(config: &Config) -> (Option<Db>, Finding) {
    let url = &config.database;
    // Opening would make the file: a doctor leaves no trace.
    if url.file().is_some_and(|file| !file.exists()) {
        let mend = "homing migrate, or set HOMING_DATABASE_URL to where the database is".to_owned();
        return (None, Broken { what: format!("there is none at {url}"), mend });
    }
    let pending = Db::open(url.clone()).map_err(|e| chain(&e)).and_then(|db| {
        let pending = db.pending_migrations().map_err(|e| chain(&e))?;
        Ok((db, pending))
    });
    match pending {
        Ok((db, 0)) => (Some(db), Well(format!("{url}, its schema up to date"))),
        Ok((_, pending)) => {
            let what = format!("{url} lacks {pending} steps of the schema");
            (None, Broken { what, mend: "homing migrate".to_owned() })
        }
        Err(why) => {
            let mend =
                "check HOMING_DATABASE_URL, and that the database runs and lets us in".to_owned();
            (None, Broken { what: format!("{url}: {why}"), mend })
        }
    }
}

/// Whether the files are as they were written: reads all of an SQLite file.
fn soundness(db: &Db) -> Finding {
    let mend = "stop serving it, keep a copy of the files, and put a backup back: docs/backup.md"
        .to_owned();
    match db.read_here(|conn| copy::faults(conn, Look::Quick).map_err(DbError::from)) {
        Ok(faults) if faults.is_empty() => Well("its pages are sound".to_owned()),
        Ok(faults) => Broken { what: format!("it is not sound: {}", faults.join("; ")), mend },
        Err(error) => Broken { what: format!("it is not sound: {}", chain(&error)), mend },
    }
}

/// A return from a backup that nobody has dealt with yet.
fn restored(db: &Db) -> Option<Finding> {
    let pause = db.read_here(|conn| restores::pause(conn).map_err(DbError::from));
    let pause = match pause {
        Ok(pause) => pause?,
        Err(error) => {
            return Some(Broken { what: chain(&error), mend: "homing migrate".to_owned() });
        }
    };
    let knows = pause.knows_until.map_or_else(
        || "it knows nothing".to_owned(),
        |at| format!("it knows nothing after {:.0}", at.to_jiff()),
    );
    Some(Broken {
        what: format!(
            "it was put back from a backup at {:.0}, and {knows}: nothing is planned or sent",
            pause.restored_at.to_jiff()
        ),
        mend: "tell it what it missed (docs/backup.md), then: homing resume".to_owned(),
    })
}

/// Who serves the database now.
fn servers(config: &Config, db: &Db, now: Timestamp) -> Vec<Finding> {
    if let Some(file) = config.database.file() {
        let served = watchman::server_of(&file);
        return served.map(|by| Well(format!("it is served by {by}"))).into_iter().collect();
    }
    let heard_of = db.read_here(|conn| replicas::heard_of(conn, now).map_err(DbError::from));
    let heard_of = match heard_of {
        Ok(heard_of) => heard_of,
        Err(error) => {
            return vec![Broken { what: chain(&error), mend: "homing migrate".to_owned() }];
        }
    };
    heard_of.iter().map(|replica| serving(replica, now)).collect()
}

fn serving(replica: &Replica, now: Timestamp) -> Finding {
    let Replica { host, process, address, version, started_at, seen_at, .. } = replica;
    let who = format!("process {process} on {host} ({address}, {version})");
    let ahead = Delay::seconds((seen_at.0 - now.0) / 1_000_000);
    if ahead > TOLERABLE_SKEW {
        return Broken {
            what: format!("{who} was heard of at {seen_at}, and it is {now} here"),
            mend: "set both machines' clocks, and keep them set (NTP)".to_owned(),
        };
    }
    if replica.is_alive(now) {
        return Well(format!("{who} serves it since {:.0}", started_at.to_jiff()));
    }
    Doubtful {
        what: format!(
            "{who} was last heard of at {:.0}: it died, or stands still",
            seen_at.to_jiff()
        ),
        mend: "look at its log, and start it again; what it held is settled by the others"
            .to_owned(),
    }
}

/// What rollups lack that an older version folded.
fn folded_long_ago(db: &Db, store: &Store) -> Vec<Finding> {
    let lacking = db.read_here(|conn| customers::lacking(conn, store.id).map_err(DbError::from));
    let Ok(lacking) = lacking else { return Vec::new() };
    lacking_words(lacking, &store.key)
        .into_iter()
        .map(|(what, mend)| Doubtful { what, mend })
        .collect()
}

/// What is wrong with such rollups, and what mends it. `homing migrate` says it too.
pub(super) fn lacking_words(lacking: Lacking, store: &str) -> Vec<(String, String)> {
    let rebuild = format!("homing rebuild --store {store}, once, with `homing serve` stopped");
    let mut words = Vec::new();
    if lacking.rhythm {
        words.push((
            "customers folded by an older version lack the rhythm and last value of their orders, so predictions and value at risk are off"
                .to_owned(),
            format!("{rebuild}; then homing score --store {store}"),
        ));
    }
    if lacking.days {
        words.push((
            "profiles folded by an older version lack their days of the year, so rules on a date miss them".to_owned(),
            rebuild,
        ));
    }
    words
}

/// What the program paused by itself: the store's marketing mail, or rules.
fn paused_rules(db: &Db, store: &Store) -> Vec<Finding> {
    let all = db.read_here(|conn| rules::store::all(conn, store.id).map_err(DbError::from));
    let Ok(all) = all else { return Vec::new() };
    let finding = |rule: &StoredRule| {
        let pause = rule.pause?;
        let key = &rule.rule.key;
        Some(Broken {
            what: format!("{key} is paused since {:.0}: {}", pause.since.to_jiff(), pause.reason),
            mend: format!("see its decisions in the console; then: homing rules resume {key}"),
        })
    };
    let sending = store.pause.map(|pause| Broken {
        what: format!(
            "all marketing mail is paused since {:.0}: {}",
            pause.since.to_jiff(),
            pause.reason
        ),
        mend: "mend the cause; then: homing rules resume --sending".to_owned(),
    });
    sending.into_iter().chain(all.iter().filter_map(finding)).collect()
}

fn find_store(db: &Db, key: &str) -> Result<Store, Finding> {
    let found = db.read_here(|conn| stores::store::find_by_key(conn, key).map_err(DbError::from));
    match found {
        Ok(Some(store)) => Ok(store),
        Ok(None) => Err(Broken {
            what: format!("there is no store `{key}`"),
            mend: format!("homing apply --store {key} shop.toml"),
        }),
        Err(error) => Err(Broken { what: chain(&error), mend: "homing migrate".to_owned() }),
    }
}

fn store_settings(store: &Store) -> Vec<Finding> {
    let mut findings = Vec::new();
    match &store.mail_from {
        Some(from) => findings.push(Well(format!("`{}` writes as {from}", store.key))),
        None => findings.push(Broken {
            what: format!("`{}` has no settings yet: nothing is planned or sent", store.key),
            mend: "homing apply shop.toml".to_owned(),
        }),
    }
    if store.mail_from.is_some() && store.postal_address.is_none() {
        findings.push(Broken {
            what: "there is no postal address: marketing mail must carry one".to_owned(),
            mend: "set store.postal_address in shop.toml and apply it".to_owned(),
        });
    }
    findings
}

/// A clock that runs behind sends late and lets old mail pass for useful; one that runs ahead sends at night.
fn clock_against(db: &Db, store: &Store, now: Timestamp) -> Finding {
    let others = db.read_here(|conn| {
        let last = journal::store::last_change(conn, store.id)?;
        Ok::<_, DbError>((last, server_time(conn)?))
    });
    let (last, server) = match others {
        Ok(others) => others,
        Err(error) => return Broken { what: chain(&error), mend: "check the database".to_owned() },
    };
    let mend = "set the machine's clock, and keep it set (NTP)".to_owned();
    if let Some(server) = server.filter(|server| (server.0 - now.0).abs() > TOLERABLE_SKEW.micros())
    {
        let what = format!("this machine says {now}, the database's {server}");
        return Broken { what, mend };
    }
    match last.filter(|last| *last > now.plus(TOLERABLE_SKEW)) {
        Some(last) => Broken { what: format!("it says {now}, but facts came in at {last}"), mend },
        None => Well(format!("{now}, in the store's zone {}", store.timezone.name())),
    }
}

/// What the database's machine takes for now; SQLite has no machine of its own.
fn server_time(conn: &mut Conn) -> Result<Option<Timestamp>, DbError> {
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Now {
        #[diesel(sql_type = BigInt)]
        micros: i64,
    }
    match conn {
        Conn::Sqlite(_) => Ok(None),
        Conn::Postgres(pg) => {
            let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros";
            Ok(Some(Timestamp(diesel::sql_query(now).get_result::<Now>(pg)?.micros)))
        }
    }
}

fn secret(config: &Config) -> Finding {
    let file = config.database.file().map(|file| file.with_extension("secret"));
    match &file {
        // Loading would make it: the first start does that.
        Some(file) if config.secret.is_none() && !file.exists() => {
            return Well("none yet; the first start makes it".to_owned());
        }
        _ => {}
    }
    if let Err(error) = Secret::load(config) {
        let mend = "set HOMING_SECRET, the same for every replica: openssl rand -hex 32".to_owned();
        return Broken { what: chain(&error), mend };
    }
    match file.filter(|file| config.secret.is_none() && is_open_to_others(file)) {
        Some(file) => Doubtful {
            what: format!("others on this machine can read {}", file.display()),
            mend: format!("chmod 600 {}", file.display()),
        },
        None => Well("there is one".to_owned()),
    }
}

#[cfg(unix)]
fn is_open_to_others(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::path::Path) -> bool {
    false
}

fn mail(config: &Config) -> Finding {
    let Some(url) = &config.smtp_url else {
        return Broken {
            what: "HOMING_SMTP_URL is not set: nothing can be sent".to_owned(),
            mend: "set it: smtp://host:port, smtps://user:password@host, or file:FOLDER to try things out".to_owned(),
        };
    };
    let probed = Transport::from_url(url).map_err(|e| e.to_string()).and_then(|transport| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let found = transport.probe().await.map_err(|e| e.to_string());
            transport.close().await;
            found
        })
    });
    match probed {
        Ok(what) => Well(what),
        Err(what) => Broken {
            what,
            mend: format!("check HOMING_SMTP_URL ({url:?}) and that the mail server answers"),
        },
    }
}

/// Whether this program brings each kind of rule from a fact to the door, on this machine.
fn canary(now: Timestamp) -> Finding {
    let mend = "this program does not work here: try the newest version, else report it".to_owned();
    match super::canary::walk(now) {
        Ok(lost) if lost.is_empty() => Well(
            "a canary walked every kind of trigger to the door, in a store of its own".to_owned(),
        ),
        Ok(lost) => {
            let what = format!("a canary did not reach the door by: {}", lost.join(", "));
            Broken { what, mend }
        }
        Err(error) => Broken { what: format!("the canary fell ill: {}", chain(&*error)), mend },
    }
}

/// Every mail carries links to us; recipients must be able to follow them.
fn links(config: &Config) -> Finding {
    let url = &config.public_url;
    let host =
        url.split_once("://").map_or("", |(_, rest)| rest.split(['/', ':']).next().unwrap_or(rest));
    let mend =
        "set HOMING_PUBLIC_URL to the https:// address under which customers reach this service"
            .to_owned();
    if matches!(host, "127.0.0.1" | "localhost" | "0.0.0.0" | "[") {
        Doubtful {
            what: format!("links in mails begin with {url}: they work on this machine alone"),
            mend,
        }
    } else if url.starts_with("http://") {
        Doubtful {
            what: format!(
                "links in mails begin with {url}: one-click unsubscribing needs https (RFC 8058)"
            ),
            mend,
        }
    } else {
        Well(format!("links in mails begin with {url}"))
    }
}

/// The error and its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let told = inner.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = inner.source();
    }
    text.lines().next().unwrap_or_default().to_owned()
}
