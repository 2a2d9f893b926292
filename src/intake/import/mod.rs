//! Streams a file into the journal or the catalogue: read on one thread, stored on another, in constant memory.
//!
//! An import that breaks off has stored whole batches; running it again stores the rest and repeats nothing.

mod by_customer;
mod file;
mod reading;
mod rejects;
mod storing;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use self::by_customer::ByCustomer;
use self::file::Opened;
use self::reading::Reading;
use self::rejects::Rejects;
use self::storing::{Counts, FactSink, ProductSink, Sink, store_all};
use super::csv::{
    Columns, CustomerRows, Encoding, Header, HeaderError, Notes, OrderRows, ProductRows, Records,
    RowError, Rows, Setting, Taken,
};
use crate::db::{Db, DbError};
use crate::journal::{AppendError, Journal};
use crate::primitives::Timestamp;
use crate::stores::Store;

/// Facts or products stored so far.
type Stored = AtomicU64;

/// How often one who waits for the storing side is told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Orders,
    Customers,
    Products,
}

/// What to import, and where to.
pub struct Import<'a> {
    pub kind: Kind,
    pub path: &'a Path,
    pub store: &'a Store,
    pub now: Timestamp,
    pub progress: &'a dyn Fn(Progress),
}

/// How far an import is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Of the file, read so far.
    pub bytes: u64,
    pub rows: u64,
    /// Facts or products that the rows made, and how many of them are stored.
    pub handed_over: u64,
    pub stored: u64,
}

/// What became of a file's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub encoding: Encoding,
    pub separator: u8,
    /// Columns that the format does not know; they were not read.
    pub unknown_columns: Vec<String>,
    pub rows_read: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub rows_refused: u64,
    /// The first ones.
    pub refusals: Vec<(u64, RowError)>,
    /// Where all refused rows are, with their reasons; `None` when there are none.
    pub rejects: Option<PathBuf>,
    pub notes: Notes,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path} cannot be read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is no such file as can be imported: {source}")]
    Header { path: PathBuf, source: HeaderError },
    #[error("the refused rows cannot be written to {path}")]
    Rejects { path: PathBuf, source: io::Error },
    #[error("the rows could not be set aside in the folder for temporary files (TMPDIR)")]
    SetAside(#[source] io::Error),
    #[error("the rows could not be stored")]
    Append(#[from] AppendError),
    #[error("the rows could not be stored")]
    Db(#[from] DbError),
}

impl Import<'_> {
    /// Imports the file.
    ///
    /// # Errors
    /// The file cannot be read, its header lacks what is needed, or the rows cannot be stored. Batches stored
    /// before stay; importing again is safe.
    pub fn run(&self, db: &Db, journal: &Journal) -> Result<Report, ImportError> {
        self.with(db, Some(journal))
    }

    /// Reads and checks the file, and tells what [`Import::run`] would do. Stores nothing.
    pub fn rehearse(&self, db: &Db) -> Result<Report, ImportError> {
        self.with(db, None)
    }

    fn with(&self, db: &Db, journal: Option<&Journal>) -> Result<Report, ImportError> {
        let store = self.store.id;
        let setting = Setting {
            store,
            zone: self.store.timezone.clone(),
            currency: self.store.currency.clone(),
            now: self.now,
        };
        let kind = self.kind;
        let stored = &Stored::new(0);
        let facts =
            || FactSink { kind, db, journal, store, stored, waiting: ByCustomer::default() };
        match kind {
            Kind::Orders => self.stream(OrderRows::new(setting), facts(), stored),
            Kind::Customers => self.stream(CustomerRows::new(setting), facts(), stored),
            Kind::Products => {
                let (dry, counts) = (journal.is_none(), Counts::default());
                let sink = ProductSink { db, store, stored, dry, counts };
                self.stream(ProductRows::new(setting), sink, stored)
            }
        }
    }

    fn stream<R: Rows<Item: Send>>(
        &self,
        rows: R,
        sink: impl Sink<R::Item>,
        stored: &Stored,
    ) -> Result<Report, ImportError> {
        let unreadable = |source| ImportError::Unreadable { path: self.path.to_owned(), source };
        let mut file = Opened::new(self.path).map_err(unreadable)?;
        let header = Header::read(&file.head, file.encoding, R::Columns::ALL, R::ONE_OF)
            .map_err(|source| ImportError::Header { path: self.path.to_owned(), source })?;
        let input = io::Cursor::new(std::mem::take(&mut file.head)).chain(file.rest);
        let reading = Reading {
            import: self,
            rows,
            records: Records::new(input, header.separator),
            rejects: Rejects::new(self.path, &header, file.encoding),
            report: Report {
                encoding: file.encoding,
                separator: header.separator,
                unknown_columns: header.unknown.clone(),
                rows_read: 0,
                created: 0,
                updated: 0,
                unchanged: 0,
                rows_refused: 0,
                refusals: Vec::new(),
                rejects: None,
                notes: Notes::default(),
            },
            header,
            done: file.done.clone(),
            stored,
            handed_over: 0,
            taken: Taken::default(),
            taken_bytes: 0,
        };
        // Two batches wait at most: the reader, which is faster, must not fill the memory.
        let (sender, receiver) = sync_channel(2);
        std::thread::scope(|scope| {
            let storing = scope.spawn(move || store_all(sink, receiver));
            let read = reading.read(&sender);
            drop(sender);
            while let (Ok((_, handed_over)), false) = (&read, storing.is_finished()) {
                std::thread::sleep(TOLD_EVERY);
                (self.progress)(Progress {
                    bytes: file.done.load(Ordering::Relaxed),
                    rows: read.as_ref().map_or(0, |(report, _)| report.rows_read),
                    handed_over: *handed_over,
                    stored: stored.load(Ordering::Relaxed),
                });
            }
            let done = storing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // When storing fails the reader only finds nobody listening: the cause is on this side.
            let counts = done?;
            let (mut report, _) = read?;
            (report.created, report.updated, report.unchanged) =
                (counts.created, counts.updated, counts.unchanged);
            Ok(report)
        })
    }
}
