//! Brings the schema up to date.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Conn, Db, DbError};

const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("the schema could not be brought up to date: {0}")]
    Migration(String),
}

impl Db {
    /// Runs the migrations that have not run yet; returns their names. Replicas starting together take turns.
    pub fn migrate(&self) -> Result<Vec<String>, MigrateError> {
        let mut conn = self.writers.get().map_err(DbError::from)?;
        let failed =
            |e: Box<dyn std::error::Error + Send + Sync>| MigrateError::Migration(e.to_string());
        match &mut *conn {
            Conn::Postgres(pg) => {
                pg.batch_execute("SELECT pg_advisory_lock(7308620)").map_err(DbError::from)?;
                let ran = migrate_beside_others(pg);
                pg.batch_execute("SELECT pg_advisory_unlock(7308620)").map_err(DbError::from)?;
                ran
            }
            Conn::Sqlite(sqlite) => {
                if sqlite.pending_migrations(SQLITE).map_err(failed)?.is_empty() {
                    return Ok(Vec::new());
                }
                // All of them or none; and who comes second waits here, then finds nothing to do.
                sqlite
                    .immediate_transaction(|conn| {
                        conn.run_pending_migrations(SQLITE)
                            .map(|ran| names(&ran))
                            .map_err(Halted::Migration)
                    })
                    .map_err(|halted| match halted {
                        Halted::Migration(error) => failed(error),
                        Halted::InUse(error) | Halted::Db(error) => DbError::from(error).into(),
                    })
            }
        }
    }

    /// Migrations that ran on this database and that this program does not know: a newer one made it.
    pub fn unknown_migrations(&self) -> Result<Vec<String>, MigrateError> {
        let mut conn = self.writers.get().map_err(DbError::from)?;
        let failed =
            |e: Box<dyn std::error::Error + Send + Sync>| MigrateError::Migration(e.to_string());
        let (applied, known) = match &mut *conn {
            Conn::Postgres(pg) => (
                pg.applied_migrations().map(|all| names(&all)).map_err(failed)?,
                known_names::<diesel::pg::Pg>(&POSTGRES),
            ),
            Conn::Sqlite(sqlite) => (
                sqlite.applied_migrations().map(|all| names(&all)).map_err(failed)?,
                known_names::<diesel::sqlite::Sqlite>(&SQLITE),
            ),
        };
        Ok(applied.into_iter().filter(|name| !known.contains(name)).collect())
    }

    /// How many migrations have not run yet.
    pub fn pending_migrations(&self) -> Result<usize, MigrateError> {
        let mut conn = self.writers.get().map_err(DbError::from)?;
        let pending = match &mut *conn {
            Conn::Postgres(pg) => pg.pending_migrations(POSTGRES).map(|all| all.len()),
            Conn::Sqlite(sqlite) => sqlite.pending_migrations(SQLITE).map(|all| all.len()),
        };
        pending.map_err(|e| MigrateError::Migration(e.to_string()))
    }
}

/// How often it is tried to have the tables alone, each time for so long at most: less than the second after which
/// PostgreSQL looks for deadlocks, so that whoever works on them is never the one that is broken off.
const TRIES: u32 = 600;
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '500ms'";

/// All of them or none, with every table locked before the first step: other processes serve from these tables, and one
/// that held what a later step wants, and waited for what an earlier one took, would break off hours of copying.
fn migrate_beside_others(pg: &mut PgConnection) -> Result<Vec<String>, MigrateError> {
    let failed =
        |e: Box<dyn std::error::Error + Send + Sync>| MigrateError::Migration(e.to_string());
    if pg.pending_migrations(POSTGRES).map_err(failed)?.is_empty() {
        return Ok(Vec::new());
    }
    let mut tried = 0;
    loop {
        let ran = pg.transaction(|pg| {
            lock_all(pg).map_err(Halted::InUse)?;
            pg.run_pending_migrations(POSTGRES).map(|ran| names(&ran)).map_err(Halted::Migration)
        });
        tried += 1;
        match ran {
            Ok(ran) => return Ok(ran),
            Err(Halted::Migration(error)) => return Err(failed(error)),
            // Whatever keeps us from the tables, a deadlock too, was somebody else's haste: the server's words for it are
            // in its own language.
            Err(Halted::InUse(_)) if tried < TRIES => {
                std::thread::sleep(Duration::from_millis(100))
            }
            Err(Halted::InUse(error) | Halted::Db(error)) => {
                return Err(DbError::from(error).into());
            }
        }
    }
}

fn lock_all(pg: &mut PgConnection) -> QueryResult<()> {
    #[derive(QueryableByName)]
    struct Tables {
        #[diesel(sql_type = Nullable<Text>)]
        all: Option<String>,
    }
    let found: Tables = diesel::sql_query(
        "SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) AS \"all\" FROM pg_class c \
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
         AND pg_has_role(c.relowner, 'USAGE')",
    )
    .get_result(pg)?;
    let Some(all) = found.all else { return Ok(()) };
    pg.batch_execute(LOCK_TIMEOUT)?;
    pg.batch_execute(&format!("LOCK TABLE {all} IN ACCESS EXCLUSIVE MODE"))?;
    pg.batch_execute("SET LOCAL lock_timeout = 0")
}

/// What ends a transaction of migrations.
enum Halted {
    Migration(Box<dyn std::error::Error + Send + Sync>),
    /// The tables could not be had alone.
    InUse(diesel::result::Error),
    Db(diesel::result::Error),
}

impl From<diesel::result::Error> for Halted {
    fn from(error: diesel::result::Error) -> Self {
        Self::Db(error)
    }
}

fn known_names<DB: diesel::backend::Backend>(source: &EmbeddedMigrations) -> Vec<String> {
    let all = MigrationSource::<DB>::migrations(source).unwrap_or_default();
    all.iter().map(|migration| migration.name().version().to_string()).collect()
}

fn names(ran: &[diesel::migration::MigrationVersion<'_>]) -> Vec<String> {
    ran.iter().map(ToString::to_string).collect()
}
