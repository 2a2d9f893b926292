//! The side that reads: records into items and refusals.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use super::rejects::Rejects;
use super::{Import, ImportError, Progress, Report, Stored};
use crate::intake::csv::{
    Encoding, Header, Next, Record, Records, Refusal, Row, RowError, Rows, Taken,
};

/// Items that are handed over at once.
const BATCH: usize = 5_000;
/// A batch of few but huge orders ends earlier.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Refusals that the report repeats; the file has them all.
const SHOWN_REFUSALS: usize = 10;

pub(super) struct Reading<'a, R: Rows, I> {
    pub import: &'a Import<'a>,
    pub rows: R,
    pub header: Header,
    pub records: Records<I>,
    pub rejects: Rejects,
    pub report: Report,
    /// Bytes read so far.
    pub done: Arc<AtomicU64>,
    pub stored: &'a Stored,
    pub handed_over: u64,
    pub taken: Taken<R::Item>,
    pub taken_bytes: usize,
}

impl<R: Rows, I: Read> Reading<'_, R, I> {
    /// The report so far, and how many items were handed over. Stops early, without an error of its own, when nobody listens any more.
    pub(super) fn read(
        mut self,
        sender: &SyncSender<(Vec<R::Item>, usize)>,
    ) -> Result<(Report, u64), ImportError> {
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
                self.tell();
            }
            self.set_down_refused()?;
            let is_full = self.taken.items.len() >= BATCH || self.taken_bytes >= BATCH_BYTES;
            if is_full && !self.hand_over(sender) {
                return Ok((self.report, self.handed_over));
            }
        }
        self.rows.finish(&mut self.taken);
        self.set_down_refused()?;
        self.hand_over(sender);
        self.tell();
        self.report.rejects = self.rejects.finish()?;
        self.report.notes = self.taken.notes;
        Ok((self.report, self.handed_over))
    }

    fn tell(&self) {
        (self.import.progress)(Progress {
            bytes: self.done.load(Ordering::Relaxed),
            rows: self.report.rows_read,
            handed_over: self.handed_over,
            stored: self.stored.load(Ordering::Relaxed),
        });
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
        self.handed_over += items.len() as u64;
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
