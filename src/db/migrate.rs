//! Brings the schema up to date.

use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
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
                let ran =
                    pg.run_pending_migrations(POSTGRES).map(|ran| names(&ran)).map_err(failed);
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
                        Halted::Db(error) => DbError::from(error).into(),
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

/// What ends a transaction of migrations.
enum Halted {
    Migration(Box<dyn std::error::Error + Send + Sync>),
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
