//! Streams a file into the journal or the catalogue: read on one thread, stored on another, in constant memory.
//!
//! An import that breaks off has stored whole batches; running it again stores the rest and repeats nothing.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::read::MultiGzDecoder;

use super::csv::{
    Columns, CustomerRows, Encoding, Header, HeaderError, Next, Notes, OrderRows, ProductRows,
    Record, Records, Refusal, Row, RowError, Rows, Setting, Taken, Transcoded, guess,
};
use super::known::{self, Known};
use crate::db::{Db, DbError};
use crate::journal::{AppendError, Appended, Body, Journal, NewFact};
use crate::primitives::{StoreId, Timestamp, mask_formula};
use crate::products::{self, Product};
use crate::stores::Store;

/// Facts or products in one transaction: enough to pay for the commit, few enough to hold in memory.
const BATCH: usize = 5_000;
/// A batch of few but huge orders ends earlier.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Facts that are put in order of their customers before they are stored. Tables are clustered by customer: in the
/// order of a file nearly each order of a batch dirties pages of its own, and most of the time goes into writing them.
const WINDOW: usize = 100_000;
const WINDOW_BYTES: usize = 64 * 1024 * 1024;
/// A header is no longer.
const HEAD: usize = 256 * 1024;
/// Refusals that the report repeats; the file has them all.
const SHOWN_REFUSALS: usize = 10;

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
    /// Told of the bytes of the file and the rows that are done.
    pub progress: &'a dyn Fn(u64, u64),
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
        let facts = || FactSink {
            kind,
            db,
            journal,
            store,
            waiting: Vec::new(),
            waiting_bytes: 0,
            counts: Counts::default(),
        };
        match kind {
            Kind::Orders => self.stream(OrderRows::new(setting), facts()),
            Kind::Customers => self.stream(CustomerRows::new(setting), facts()),
            Kind::Products => {
                let (dry, counts) = (journal.is_none(), Counts::default());
                self.stream(ProductRows::new(setting), ProductSink { db, store, dry, counts })
            }
        }
    }

    fn stream<R: Rows<Item: Send>>(
        &self,
        rows: R,
        sink: impl Sink<R::Item>,
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
            done: file.done,
            taken: Taken::default(),
            taken_bytes: 0,
        };
        // Two batches wait at most: the reader, which is faster, must not fill the memory.
        let (sender, receiver) = sync_channel(2);
        std::thread::scope(|scope| {
            let storing = scope.spawn(move || store_all(sink, receiver));
            let read = reading.read(sender);
            let stored = storing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // When storing fails the reader only finds nobody listening: the cause is on this side.
            let counts = stored?;
            let mut report = read?;
            (report.created, report.updated, report.unchanged) =
                (counts.created, counts.updated, counts.unchanged);
            Ok(report)
        })
    }
}

/// The side that reads.
struct Reading<'a, R: Rows, I> {
    import: &'a Import<'a>,
    rows: R,
    header: Header,
    records: Records<I>,
    rejects: Rejects,
    report: Report,
    done: Arc<AtomicU64>,
    taken: Taken<R::Item>,
    taken_bytes: usize,
}

impl<R: Rows, I: Read> Reading<'_, R, I> {
    /// Stops early, without an error of its own, when nobody listens any more.
    fn read(mut self, sender: SyncSender<(Vec<R::Item>, usize)>) -> Result<Report, ImportError> {
        let mut at_header = true;
        loop {
            let next = self.records.read_next().map_err(|source| ImportError::Unreadable {
                path: self.import.path.to_owned(),
                source,
            })?;
            match next {
                Next::End => break,
                _ if std::mem::take(&mut at_header) => continue,
                Next::Unreadable { line, head } => {
                    let reason = "opens a quote that nothing closes, or is longer than a megabyte"
                        .to_owned();
                    let (error, raw) = (RowError { column: "", reason }, head.to_vec());
                    self.taken.refused.push(Refusal { line, error, raw });
                }
                Next::Record(record) => {
                    self.taken_bytes += record.raw.len();
                    if !take(
                        &mut self.rows,
                        record,
                        &self.header,
                        self.report.encoding,
                        &mut self.taken,
                    ) {
                        continue;
                    }
                }
            }
            self.report.rows_read += 1;
            if self.report.rows_read.is_multiple_of(2_000) {
                (self.import.progress)(self.done.load(Ordering::Relaxed), self.report.rows_read);
            }
            self.set_down_refused()?;
            let is_full = self.taken.items.len() >= BATCH || self.taken_bytes >= BATCH_BYTES;
            if is_full && !self.hand_over(&sender) {
                return Ok(self.report);
            }
        }
        self.rows.finish(&mut self.taken);
        self.set_down_refused()?;
        self.hand_over(&sender);
        (self.import.progress)(self.done.load(Ordering::Relaxed), self.report.rows_read);
        self.report.rejects = self.rejects.finish()?;
        self.report.notes = self.taken.notes;
        Ok(self.report)
    }

    fn set_down_refused(&mut self) -> Result<(), ImportError> {
        for refusal in self.taken.refused.drain(..) {
            self.report.rows_refused += 1;
            self.rejects.write(&refusal)?;
            if self.report.refusals.len() < SHOWN_REFUSALS {
                self.report.refusals.push((refusal.line, refusal.error));
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, sender: &SyncSender<(Vec<R::Item>, usize)>) -> bool {
        let bytes = std::mem::take(&mut self.taken_bytes);
        let items = std::mem::take(&mut self.taken.items);
        items.is_empty() || sender.send((items, bytes)).is_ok()
    }
}

/// False for a row in which nothing stands.
fn take<R: Rows>(
    rows: &mut R,
    record: Record<'_>,
    header: &Header,
    encoding: Encoding,
    taken: &mut Taken<R::Item>,
) -> bool {
    match Row::<R::Columns>::new(record, header, encoding) {
        Ok(row) if row.is_blank() => return false,
        Ok(row) => rows.take(&row, taken),
        Err((record, error)) => {
            taken.refused.push(Refusal { line: record.line, error, raw: record.raw.to_vec() });
        }
    }
    true
}

/// What became of the orders, customers or products that a file tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    created: u64,
    updated: u64,
    unchanged: u64,
}

/// The side that stores.
trait Sink<T>: Send {
    /// `bytes` is how long the items' rows were in the file.
    fn put(&mut self, items: Vec<T>, bytes: usize) -> Result<(), ImportError>;
    /// Stores what still waits; no more items come.
    fn finish(self) -> Result<Counts, ImportError>;
}

fn store_all<T>(
    mut sink: impl Sink<T>,
    batches: Receiver<(Vec<T>, usize)>,
) -> Result<Counts, ImportError> {
    for (items, bytes) in batches {
        sink.put(items, bytes)?;
    }
    sink.finish()
}

struct FactSink<'a> {
    kind: Kind,
    db: &'a Db,
    /// `None` on a rehearsal.
    journal: Option<&'a Journal>,
    store: StoreId,
    waiting: Vec<NewFact>,
    waiting_bytes: usize,
    counts: Counts,
}

impl Sink<NewFact> for FactSink<'_> {
    fn put(&mut self, facts: Vec<NewFact>, bytes: usize) -> Result<(), ImportError> {
        self.waiting.extend(facts);
        self.waiting_bytes += bytes;
        match self.waiting.len() >= WINDOW || self.waiting_bytes >= WINDOW_BYTES {
            true => self.store_waiting(),
            false => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Counts, ImportError> {
        self.store_waiting()?;
        Ok(self.counts)
    }
}

impl FactSink<'_> {
    /// Customer by customer; each one's facts stay in the order of the file.
    fn store_waiting(&mut self) -> Result<(), ImportError> {
        let mut facts = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        facts.sort_by_cached_key(|fact| fact.identifiers.subject());
        let mut facts = facts.into_iter();
        loop {
            let batch: Vec<NewFact> = facts.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.store_batch(batch)?;
        }
    }

    fn store_batch(&mut self, facts: Vec<NewFact>) -> Result<(), ImportError> {
        let store = self.store;
        // An orders file is counted by its orders; the profiles in it come along.
        let is_counted =
            |fact: &NewFact| self.kind != Kind::Orders || matches!(fact.body, Body::OrderStated(_));
        let mut known =
            self.db.read_here(|conn| Known::load(conn, store, &facts).map_err(DbError::from))?;
        let met: Vec<Option<bool>> =
            facts.iter().map(|fact| is_counted(fact).then(|| known.meet(fact))).collect();
        let repeats: Vec<bool> = match self.journal {
            Some(journal) => {
                let appended = journal.append_blocking(store, facts)?;
                appended.iter().map(|one| !matches!(one, Appended::New(_))).collect()
            }
            None => {
                let mut repeated = self.db.read_here(|conn| {
                    known::repeated(conn, store, &facts).map_err(DbError::from)
                })?;
                facts.into_iter().map(|fact| !repeated.insert(fact.source_key)).collect()
            }
        };
        for (known, repeat) in std::iter::zip(met, repeats) {
            match (known, repeat) {
                (None, _) => {}
                (Some(_), true) => self.counts.unchanged += 1,
                (Some(true), false) => self.counts.updated += 1,
                (Some(false), false) => self.counts.created += 1,
            }
        }
        Ok(())
    }
}

struct ProductSink<'a> {
    db: &'a Db,
    store: StoreId,
    dry: bool,
    counts: Counts,
}

impl Sink<Product> for ProductSink<'_> {
    fn put(&mut self, told: Vec<Product>, _: usize) -> Result<(), ImportError> {
        let store = self.store;
        let rows = told.len() as u64;
        let news = match self.dry {
            true => self
                .db
                .read_here(|conn| products::news(conn, store, told).map_err(DbError::from))?,
            false => self
                .db
                .write_here(|conn| products::tell(conn, store, told).map_err(DbError::from))?,
        };
        let (changed, created) = (news.changed.len() as u64, news.created as u64);
        self.counts.created += created;
        self.counts.updated += changed - created;
        self.counts.unchanged += rows - changed;
        Ok(())
    }

    fn finish(self) -> Result<Counts, ImportError> {
        Ok(self.counts)
    }
}

/// A file, unpacked and, where it is UTF-16, transcoded.
struct Opened {
    encoding: Encoding,
    /// Its first bytes; the header stands in them.
    head: Vec<u8>,
    rest: Box<dyn Read>,
    /// Bytes read so far of the file as it lies on disk.
    done: Arc<AtomicU64>,
}

impl Opened {
    fn new(path: &Path) -> io::Result<Self> {
        let is_file = std::fs::metadata(path)?.is_file();
        let (mut input, done) = unpacked(path)?;
        // A pipe cannot be read twice: its first bytes must do for the guess.
        let (encoding, first) = match is_file {
            true => (guess(unpacked(path)?.0)?, Vec::new()),
            false => {
                let first = head_of(&mut input)?;
                (guess(&first[..])?, first)
            }
        };
        let input = io::Cursor::new(first).chain(input);
        let mut rest: Box<dyn Read> = match encoding {
            Encoding::Utf16Le | Encoding::Utf16Be => Box::new(Transcoded::new(input, encoding)),
            _ => Box::new(input),
        };
        let head = head_of(&mut rest)?;
        Ok(Self { encoding, head, rest, done })
    }
}

fn head_of(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// gzip is known by its first bytes, whatever the file is called.
fn unpacked(path: &Path) -> io::Result<(Box<dyn Read>, Arc<AtomicU64>)> {
    let done = Arc::new(AtomicU64::new(0));
    let mut input = Counted { input: File::open(path)?, done: done.clone() };
    let mut magic = Vec::new();
    input.by_ref().take(2).read_to_end(&mut magic)?;
    let is_gzip = magic == [0x1F, 0x8B];
    let input = BufReader::with_capacity(256 * 1024, io::Cursor::new(magic).chain(input));
    Ok((if is_gzip { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) }, done))
}

struct Counted<R> {
    input: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// `FILE.rejected.csv`: line, column, reason, and the row as it was. Made with its first row.
struct Rejects {
    path: PathBuf,
    names: Vec<String>,
    separator: u8,
    encoding: Encoding,
    /// Mended rejects are imported themselves: their own first columns are not set down again.
    skip: usize,
    file: Option<csv::Writer<BufWriter<File>>>,
}

impl Rejects {
    fn new(source: &Path, header: &Header, encoding: Encoding) -> Self {
        let mut name = source.file_name().unwrap_or_default().to_owned();
        name.push(".rejected.csv");
        let is_own = header.names.iter().take(3).eq(["line", "column", "reason"].iter());
        Self {
            path: source.with_file_name(name),
            names: header.names.clone(),
            separator: header.separator,
            encoding,
            skip: if is_own { 3 } else { 0 },
            file: None,
        }
    }

    fn write(&mut self, refusal: &Refusal) -> Result<(), ImportError> {
        let failed =
            |source: io::Error, path: &Path| ImportError::Rejects { path: path.to_owned(), source };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = File::create(&self.path).map_err(|e| failed(e, &self.path))?;
                let mut file =
                    csv::WriterBuilder::new().flexible(true).from_writer(BufWriter::new(file));
                let names = self.names.iter().skip(self.skip).map(|name| mask_formula(name));
                let header =
                    ["line", "column", "reason"].map(str::to_owned).into_iter().chain(names);
                file.write_record(header).map_err(|e| failed(e.into(), &self.path))?;
                self.file.insert(file)
            }
        };
        let text = |cell: &[u8]| match self.encoding.decode(cell) {
            Some(text) => mask_formula(&text),
            None => mask_formula(&String::from_utf8_lossy(cell)),
        };
        let mut records = Records::new(&refusal.raw[..], self.separator);
        let cells: Vec<String> = match records.read_next() {
            Ok(Next::Record(record)) => record.cells().skip(self.skip).map(text).collect(),
            _ => vec![text(&refusal.raw)],
        };
        let RowError { column, reason } = &refusal.error;
        let told = [refusal.line.to_string(), (*column).to_owned(), mask_formula(reason)];
        file.write_record(told.into_iter().chain(cells)).map_err(|e| failed(e.into(), &self.path))
    }

    /// The file's path if there is one; one that an earlier import left is taken away.
    fn finish(&mut self) -> Result<Option<PathBuf>, ImportError> {
        let failed = |source: io::Error| ImportError::Rejects { path: self.path.clone(), source };
        match self.file.take() {
            Some(mut file) => {
                file.flush().map_err(failed)?;
                Ok(Some(self.path.clone()))
            }
            None => match std::fs::remove_file(&self.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
                _ => Ok(None),
            },
        }
    }
}
