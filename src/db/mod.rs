//! The door to both databases: one connection type, reads and write transactions on blocking threads.
//!
//! Knows tables and dialects; knows no capability.

pub mod bulk;
mod checkpoint;
pub mod copy;
mod kept;
mod migrate;
mod pool;
pub mod schema;

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::{Pool, PooledConnection};
use diesel::sqlite::SqliteConnection;

use checkpoint::Checkpoints;
pub use kept::{Prepared, few_lengths, few_sizes, kept, parameters, plan_once};
pub use migrate::MigrateError;
use pool::ConnManager;
pub use pool::{Backend, DatabaseUrl, InvalidDatabaseUrl};

/// A connection to either database. Queries the enum cannot express `match` on it at the last call.
#[derive(diesel::MultiConnection)]
pub enum Conn {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// Runs one body against the concrete connection, for statements the enum cannot express (upserts, batches).
#[macro_export]
macro_rules! each_backend {
    ($conn:expr, $c:ident => $body:expr) => {
        match $conn {
            $crate::db::Conn::Postgres($c) => $body,
            $crate::db::Conn::Sqlite($c) => $body,
        }
    };
}

/// A fixed set of words: an enum here, TEXT in the database and in JSON.
#[macro_export]
macro_rules! text_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
                 diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        $vis enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(raw: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|v| v.as_str() == raw).ok_or_else(|| {
                    let allowed = Self::ALL.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(", ");
                    format!("`{raw}` is not one of: {allowed}")
                })
            }
        }

        impl<DB: diesel::backend::Backend> diesel::serialize::ToSql<diesel::sql_types::Text, DB> for $name
        where
            str: diesel::serialize::ToSql<diesel::sql_types::Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, DB>) -> diesel::serialize::Result {
                <str as diesel::serialize::ToSql<diesel::sql_types::Text, DB>>::to_sql(self.as_str(), out)
            }
        }

        impl<DB: diesel::backend::Backend> diesel::deserialize::FromSql<diesel::sql_types::Text, DB> for $name
        where
            String: diesel::deserialize::FromSql<diesel::sql_types::Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
                let raw = <String as diesel::deserialize::FromSql<diesel::sql_types::Text, DB>>::from_sql(bytes)?;
                raw.parse().map_err(Into::into)
            }
        }
    };
}

/// What one process at a time does for a store; the number is its lock's on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub enum Job {
    Scoring = 0x686f_6d66_0000_0000,
    Retention = 0x686f_6d67_0000_0000,
}

/// What a read or a write can fail with, apart from its own errors.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("no connection to the database could be had")]
    Pool(#[from] diesel::r2d2::PoolError),
    #[error("the database refused a statement")]
    Query(#[from] diesel::result::Error),
    #[error("the work on the database was broken off")]
    BrokenOff,
}

/// Both pools of one database. Cheap to clone.
///
/// SQLite has one writer: its write pool is one connection, so that writers queue here and not in
/// `SQLITE_BUSY`. On PostgreSQL reads and writes share a pool.
#[derive(Clone)]
pub struct Db {
    readers: Pool<ConnManager>,
    writers: Pool<ConnManager>,
    url: Arc<DatabaseUrl>,
    /// SQLite's.
    checkpoints: Option<Arc<Checkpoints>>,
}

impl Db {
    /// Opens the pools. SQLite files are made when absent.
    ///
    /// # Errors
    /// The server is not there, or refuses; the file's folder does not exist or cannot be written.
    pub fn open(url: DatabaseUrl) -> Result<Self, DbError> {
        let (readers, writers) = pool::open(&url)?;
        let is_sqlite = url.backend() == Backend::Sqlite;
        let checkpoints =
            is_sqlite.then(|| Arc::new(Checkpoints::start(readers.clone(), writers.clone())));
        Ok(Self { readers, writers, url: Arc::new(url), checkpoints })
    }

    pub fn backend(&self) -> Backend {
        self.url.backend()
    }

    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Runs `f` on a read connection, on this thread: for the command line and for threads of our own.
    pub fn read_here<T, E: From<DbError>>(
        &self,
        f: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E> {
        f(&mut *self.reader()?)
    }

    /// Runs `f` in one write transaction, on this thread. An error rolls everything back.
    ///
    /// On SQLite it begins IMMEDIATE: a transaction that reads first and writes later would else die of
    /// `database is locked` when another process wrote in between.
    pub fn write_here<T, E: From<DbError>>(
        &self,
        f: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = self.writers.get().map_err(DbError::from)?;
        let transaction = Transaction::begin(&mut conn)?;
        let value = f(transaction.conn)?;
        transaction.commit()?;
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.tell();
        }
        Ok(value)
    }

    /// As [`Db::read_here`], on a blocking thread.
    pub async fn read<T, E>(
        &self,
        f: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let db = self.clone();
        let work = tokio::task::spawn_blocking(move || db.read_here(f));
        work.await.unwrap_or_else(|_| Err(DbError::BrokenOff.into()))
    }

    /// As [`Db::write_here`], on a blocking thread.
    pub async fn write<T, E>(
        &self,
        f: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let db = self.clone();
        let work = tokio::task::spawn_blocking(move || db.write_here(f));
        work.await.unwrap_or_else(|_| Err(DbError::BrokenOff.into()))
    }

    /// Runs `f` unless another process is at the same job now: `None` then. Ends with the process, however that ends.
    ///
    /// SQLite is served by one process, which sees to it itself.
    pub fn alone<T, E: From<DbError>>(
        &self,
        job: Job,
        store: crate::primitives::StoreId,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let mut conn = self.writers.get().map_err(DbError::from)?;
        let Conn::Postgres(pg) = &mut *conn else {
            drop(conn);
            return f().map(Some);
        };
        #[derive(QueryableByName)]
        struct Taken {
            #[diesel(sql_type = diesel::sql_types::Bool)]
            taken: bool,
        }
        let key = job as i64 | store.0;
        let take = diesel::sql_query("SELECT pg_try_advisory_lock($1) AS taken")
            .bind::<diesel::sql_types::BigInt, _>(key);
        if !take.get_result::<Taken>(pg).map_err(DbError::from)?.taken {
            return Ok(None);
        }
        let done = f();
        let give = diesel::sql_query("SELECT pg_advisory_unlock($1)")
            .bind::<diesel::sql_types::BigInt, _>(key);
        // A connection that is gone has let go by that.
        let _ = give.execute(pg);
        done.map(Some)
    }

    fn reader(&self) -> Result<PooledConnection<ConnManager>, DbError> {
        Ok(self.readers.get()?)
    }
}

/// An open write transaction: rolled back when dropped, also by a panic.
struct Transaction<'c> {
    conn: &'c mut Conn,
    open: bool,
}

impl<'c> Transaction<'c> {
    fn begin(conn: &'c mut Conn) -> Result<Self, DbError> {
        conn.batch_execute(match conn {
            Conn::Postgres(_) => "BEGIN",
            Conn::Sqlite(_) => "BEGIN IMMEDIATE",
        })?;
        Ok(Self { conn, open: true })
    }

    fn commit(mut self) -> Result<(), DbError> {
        self.conn.batch_execute("COMMIT")?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open {
            // What cannot be rolled back is a dead connection; the pool finds that out.
            let _ = self.conn.batch_execute("ROLLBACK");
        }
    }
}

/// Locks `store`'s journal on PostgreSQL until the transaction ends; SQLite's writer lock already does.
///
/// Two replicas that fold facts of one customer at once would each write a rollup without the other's.
pub fn lock_store(conn: &mut Conn, store: crate::primitives::StoreId) -> QueryResult<()> {
    match conn {
        Conn::Postgres(pg) => diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
            .bind::<diesel::sql_types::BigInt, _>(0x686f_6d65_0000_0000 | store.0)
            .execute(pg)
            .map(|_| ()),
        Conn::Sqlite(_) => Ok(()),
    }
}
