//! Brings the schema up to date.

use diesel::connection::SimpleConnection;
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
                sqlite.run_pending_migrations(SQLITE).map(|ran| names(&ran)).map_err(failed)
            }
        }
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

fn names(ran: &[diesel::migration::MigrationVersion<'_>]) -> Vec<String> {
    ran.iter().map(ToString::to_string).collect()
}
