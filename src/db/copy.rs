//! Copies of an SQLite database as files, and whether a database is sound.

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Conn, Db, DbError};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Every page, and every row against its indexes.
    Whole,
    /// Every page.
    Quick,
}

/// What is wrong with the database's files; empty when nothing is. Reads all of an SQLite file; PostgreSQL keeps count
/// itself of pages that were not as it wrote them.
pub fn faults(conn: &mut Conn, look: Look) -> QueryResult<Vec<String>> {
    match conn {
        Conn::Sqlite(sqlite) => {
            let check = match look {
                Look::Whole => {
                    "SELECT integrity_check AS line FROM pragma_integrity_check LIMIT 20"
                }
                Look::Quick => "SELECT quick_check AS line FROM pragma_quick_check LIMIT 20",
            };
            let lines: Vec<Line> = diesel::sql_query(check).load(sqlite)?;
            let mut faults: Vec<String> =
                lines.into_iter().map(|line| line.line).filter(|line| line != "ok").collect();
            let orphans = "SELECT DISTINCT 'a row of ' || \"table\" || ' names one of ' || parent || ' that is missing' \
                           AS line FROM pragma_foreign_key_check LIMIT 20";
            if look == Look::Whole && faults.is_empty() {
                let orphans: Vec<Line> = diesel::sql_query(orphans).load(sqlite)?;
                faults.extend(orphans.into_iter().map(|line| line.line));
            }
            Ok(faults)
        }
        Conn::Postgres(pg) => {
            let mut faults = Vec::new();
            let broken = "SELECT CAST(coalesce(sum(checksum_failures), 0) AS BIGINT) AS n FROM pg_stat_database \
                          WHERE datname = current_database()";
            let broken: Count = diesel::sql_query(broken).get_result(pg)?;
            if broken.n > 0 {
                faults.push(format!("{} pages were not as PostgreSQL wrote them", broken.n));
            }
            let unfinished = "SELECT 'the index ' || c.relname || ' is not valid' AS line FROM pg_index i \
                              JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid";
            let unfinished: Vec<Line> = diesel::sql_query(unfinished).load(pg)?;
            faults.extend(unfinished.into_iter().map(|line| line.line));
            Ok(faults)
        }
    }
}

/// Whether an SQLite file holds our tables, of whatever version.
pub fn is_homings(conn: &mut Conn) -> QueryResult<bool> {
    let ours = "SELECT CAST(count(*) AS BIGINT) AS n FROM sqlite_master WHERE type = 'table' \
                AND name IN ('stores', 'fact_keys', '__diesel_schema_migrations')";
    Ok(diesel::sql_query(ours).get_result::<Count>(conn)?.n == 3)
}

impl Db {
    /// Writes the whole database, as it stands at one instant, into `file`, which is empty or not there. Whoever reads
    /// and writes meanwhile goes on. SQLite alone.
    ///
    /// # Errors
    /// The file cannot be written, or the disk is full.
    pub fn copy_into(&self, file: &Path) -> Result<(), DbError> {
        let quoted = file.display().to_string().replace('\'', "''");
        self.read_here(|conn| {
            conn.batch_execute(&format!("VACUUM INTO '{quoted}'")).map_err(DbError::from)
        })
    }

    /// Brings everything into the one file, so that it can be moved without its log. Nobody else may be using it.
    pub fn settle_into_one_file(&self) -> Result<(), DbError> {
        let _turn = self.checkpoints.as_ref().map(|checkpoints| checkpoints.pause());
        let mut conn = self.writers.get()?;
        conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(())
    }
}

/// Reads an SQLite file as it is, and leaves nothing beside it.
pub fn look_into<T>(
    file: &Path,
    f: impl FnOnce(&mut Conn) -> QueryResult<T>,
) -> Result<T, DbError> {
    let opened = SqliteConnection::establish(&file.display().to_string());
    let opened = opened.map_err(|e| diesel::result::Error::QueryBuilderError(Box::new(e)))?;
    Ok(f(&mut Conn::Sqlite(opened))?)
}

/// The files that make up the SQLite database at `file`, as far as they exist. A log left behind would be replayed into
/// whatever database takes its place.
pub fn files_of(file: &Path) -> Vec<PathBuf> {
    let beside = |end: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    [file.to_owned(), beside("-wal"), beside("-shm"), beside("-journal")]
        .into_iter()
        .filter(|file| file.exists())
        .collect()
}
