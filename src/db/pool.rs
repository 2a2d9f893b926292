//! Where the database is, and pools of connections to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::{ManageConnection, Pool};
use diesel::sqlite::SqliteConnection;

use super::{Conn, DbError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Postgres,
    Sqlite,
}

/// `sqlite:PATH` or `postgres://…`. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    backend: Backend,
    raw: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    #[error("HOMING_DATABASE_URL must begin with \"sqlite:\" or \"postgres://\"")]
    Scheme,
    #[error("HOMING_DATABASE_URL names no file after \"sqlite:\"")]
    NoFile,
    #[error(
        "HOMING_DATABASE_URL asks for TLS (sslmode={0}), which this binary was built without: build it with \
         `cargo build --release --features postgres-tls`, or use sslmode=disable on a trusted network"
    )]
    NoTls(String),
}

impl DatabaseUrl {
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The SQLite file, if it is one.
    pub fn file(&self) -> Option<PathBuf> {
        (self.backend == Backend::Sqlite).then(|| PathBuf::from(&self.raw))
    }

    pub fn sqlite(path: &Path) -> Self {
        Self { backend: Backend::Sqlite, raw: path.display().to_string() }
    }

    /// Whether it asks that the server prove whose it is, by a certificate for the host named.
    pub fn verifies_server(&self) -> bool {
        self.options("sslmode").any(|mode| mode == "verify-full")
    }

    /// Whether nothing that is told to the database leaves this machine: a file, a socket in a folder, or a loopback.
    pub fn is_on_this_machine(&self) -> bool {
        let rest = self.raw.split_once("://").map_or("", |(_, rest)| rest);
        let place = rest.split(['/', '?']).next().unwrap_or(rest);
        let hosts = place.rsplit_once('@').map_or(place, |(_, hosts)| hosts).split(',');
        let without_port = |host: &str| match host.split_once(']') {
            Some((ipv6, _)) => ipv6.trim_start_matches('[').to_owned(),
            None => host.split(':').next().unwrap_or(host).to_owned(),
        };
        let named =
            self.options("host").chain(self.options("hostaddr")).flat_map(|all| all.split(','));
        hosts.map(without_port).chain(named.map(|host| host.replace("%2F", "/"))).all(|host| {
            let is_loopback = |ip: std::net::IpAddr| ip.is_loopback();
            host.is_empty()
                || host.starts_with('/')
                || host == "localhost"
                || host.parse().is_ok_and(is_loopback)
        })
    }

    /// What is said after `?` by that name.
    fn options(&self, name: &str) -> impl Iterator<Item = &str> {
        let said = self.raw.split_once('?').map_or("", |(_, said)| said);
        let pairs = said.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        if let Some(path) = raw.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(InvalidDatabaseUrl::NoFile);
            }
            return Ok(Self { backend: Backend::Sqlite, raw: path.to_owned() });
        }
        if !raw.starts_with("postgres://") && !raw.starts_with("postgresql://") {
            return Err(InvalidDatabaseUrl::Scheme);
        }
        let mode = raw.split(['?', '&']).find_map(|part| part.strip_prefix("sslmode="));
        match mode {
            Some(mode @ ("require" | "verify-ca" | "verify-full"))
                if !cfg!(feature = "postgres-tls") =>
            {
                Err(InvalidDatabaseUrl::NoTls(mode.to_owned()))
            }
            _ => Ok(Self { backend: Backend::Postgres, raw: raw.to_owned() }),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.backend {
            Backend::Sqlite => write!(f, "sqlite:{}", self.raw),
            Backend::Postgres => {
                let rest = self.raw.split_once("://").map_or("", |(_, rest)| rest);
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                write!(f, "postgres://{}", place.split('?').next().unwrap_or(place))
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes connections of the kind the address says; diesel's own manager would try every kind in turn.
pub struct ConnManager {
    url: DatabaseUrl,
    writes: bool,
}

/// A replica that froze, or whose machine is gone, in the middle of a transaction would hold its locks, and with them
/// everybody else's work, for as long as the server believes in it.
const POSTGRES_SETTINGS: &str = "SET idle_in_transaction_session_timeout = '30s'; \
     SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;";

/// Per connection: WAL survives a crash, FULL makes a commit durable before it is acknowledged.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 15000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// The writer's cache holds the pages that one large transaction dirties: those that do not fit are written twice and
/// read again. The log is kept short beside the writer (`checkpoint`); where that does not keep up, a commit waits for it.
const SQLITE_WRITER: &str = "PRAGMA cache_size = -131072; PRAGMA wal_autocheckpoint = 128000; PRAGMA journal_size_limit = 67108864;";
const SQLITE_READER: &str = "PRAGMA cache_size = -16384;";

impl ManageConnection for ConnManager {
    type Connection = Conn;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Conn, Self::Error> {
        let failed = diesel::r2d2::Error::ConnectionError;
        match self.url.backend {
            Backend::Postgres => {
                let mut conn = PgConnection::establish(&self.url.raw).map_err(failed)?;
                conn.batch_execute(POSTGRES_SETTINGS).map_err(diesel::r2d2::Error::QueryError)?;
                Ok(Conn::Postgres(conn))
            }
            Backend::Sqlite => {
                let mut conn = SqliteConnection::establish(&self.url.raw).map_err(failed)?;
                let own = if self.writes { SQLITE_WRITER } else { SQLITE_READER };
                for settings in [SQLITE_SETTINGS, own] {
                    conn.batch_execute(settings).map_err(diesel::r2d2::Error::QueryError)?;
                }
                Ok(Conn::Sqlite(conn))
            }
        }
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), Self::Error> {
        match conn {
            Conn::Postgres(pg) => {
                pg.batch_execute("SELECT 1").map_err(diesel::r2d2::Error::QueryError)
            }
            // A file does not go away as a server does.
            Conn::Sqlite(_) => Ok(()),
        }
    }

    fn has_broken(&self, _: &mut Conn) -> bool {
        std::thread::panicking()
    }
}

pub(super) fn open(url: &DatabaseUrl) -> Result<(Pool<ConnManager>, Pool<ConnManager>), DbError> {
    let pool = |size, writes| {
        Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(10))
            .error_handler(Box::new(LogHandler))
            .build(ConnManager { url: url.clone(), writes })
    };
    Ok(match url.backend {
        Backend::Sqlite => (pool(8, false)?, pool(1, true)?),
        Backend::Postgres => {
            let shared = pool(16, true)?;
            (shared.clone(), shared)
        }
    })
}

/// r2d2 tries again on its own; its complaints go to our log.
#[derive(Debug)]
struct LogHandler;

impl diesel::r2d2::HandleError<diesel::r2d2::Error> for LogHandler {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        tracing::warn!(%error, "no database connection yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let url: DatabaseUrl =
            "postgres://homing:secret@db.example/shop?sslmode=disable".parse().unwrap();
        assert_eq!(
            (url.to_string(), url.backend()),
            ("postgres://db.example/shop".to_owned(), Backend::Postgres)
        );
        assert_eq!(
            "sqlite:homing.db".parse::<DatabaseUrl>().unwrap().file(),
            Some("homing.db".into())
        );
    }

    #[test]
    fn tls_is_refused_where_it_is_not_built_in() {
        let url = "postgres://h/db?sslmode=require".parse::<DatabaseUrl>();
        assert_eq!(url.is_err(), !cfg!(feature = "postgres-tls"));
        assert_eq!("mysql://h/db".parse::<DatabaseUrl>(), Err(InvalidDatabaseUrl::Scheme));
    }
}
