//! Puts a file's facts in order of their customers, in constant memory.
//!
//! Tables are clustered by customer. In the order of a file nearly each order of a batch would dirty pages of its own,
//! and a customer would be folded and written once per batch; together, once.

use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};

use crate::journal::NewFact;

/// Facts held in memory at once.
const WINDOW: usize = 50_000;
/// As the rows that made them count bytes.
const WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// Files that facts are set down in, by a hash of their customer, once they do not fit: each is then a 64th of all.
const SHARES: usize = 64;

/// Facts that wait until all of their customers' are there.
#[derive(Default)]
pub(super) struct ByCustomer {
    waiting: Vec<NewFact>,
    bytes: usize,
    shares: Vec<BufWriter<File>>,
}

impl ByCustomer {
    /// `bytes` is how long the facts' rows were in the file.
    pub fn add(&mut self, facts: Vec<NewFact>, bytes: usize) -> io::Result<()> {
        self.waiting.extend(facts);
        self.bytes += bytes;
        let is_full = self.waiting.len() >= WINDOW || self.bytes >= WINDOW_BYTES;
        if is_full || !self.shares.is_empty() { self.set_down() } else { Ok(()) }
    }

    /// A line of JSON for each fact, in its customer's share.
    fn set_down(&mut self) -> io::Result<()> {
        if self.shares.is_empty() {
            let share = |_| Ok(BufWriter::new(tempfile::tempfile()?));
            self.shares = (0..SHARES).map(share).collect::<io::Result<_>>()?;
        }
        self.bytes = 0;
        for fact in self.waiting.drain(..) {
            let share = &mut self.shares[share_of(&fact)];
            serde_json::to_writer(&mut *share, &fact)?;
            share.write_all(b"\n")?;
        }
        Ok(())
    }

    /// All facts, as many at once as fit in memory, sorted by customer; each one's stay in the order of the file.
    /// Nearly every customer's come in one window.
    pub fn windows(mut self) -> io::Result<Windows> {
        if self.shares.is_empty() {
            return Ok(Windows { in_memory: self.waiting, shares: Vec::new() });
        }
        self.set_down()?;
        let mut shares = Vec::with_capacity(self.shares.len());
        for share in self.shares {
            let mut file = share.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            shares.push(BufReader::new(file));
        }
        Ok(Windows { in_memory: Vec::new(), shares })
    }
}

/// One customer's facts have one subject; and where they have two, their order is nothing to the journal.
fn share_of(fact: &NewFact) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(fact.identifiers.subject());
    (hash % SHARES as u64) as usize
}

/// All facts, window by window.
pub(super) struct Windows {
    in_memory: Vec<NewFact>,
    shares: Vec<BufReader<File>>,
}

impl Windows {
    /// Reads as many shares as fill a window: small ones are stored together.
    fn next_window(&mut self) -> io::Result<Vec<NewFact>> {
        let mut facts = std::mem::take(&mut self.in_memory);
        let (mut line, mut bytes) = (Vec::new(), 0);
        while let Some(share) = self.shares.last_mut() {
            if facts.len() >= WINDOW || bytes >= WINDOW_BYTES {
                break;
            }
            line.clear();
            bytes += share.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                self.shares.pop();
            } else {
                facts.push(serde_json::from_slice(&line)?);
            }
        }
        facts.sort_by_cached_key(|fact: &NewFact| fact.identifiers.subject());
        Ok(facts)
    }
}

impl Iterator for Windows {
    type Item = io::Result<Vec<NewFact>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_window() {
            Ok(facts) if facts.is_empty() => None,
            window => Some(window),
        }
    }
}
