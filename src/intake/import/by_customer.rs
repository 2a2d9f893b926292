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
    pub fn windows(mut self) -> io::Result<impl Iterator<Item = io::Result<Vec<NewFact>>>> {
        let in_memory = match self.shares.is_empty() {
            true => Some(Ok(sorted(self.waiting))),
            false => {
                self.set_down()?;
                None
            }
        };
        let mut shares = Vec::with_capacity(self.shares.len());
        for share in self.shares {
            let mut file = share.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            shares.push(Share { lines: BufReader::new(file), line: Vec::new() });
        }
        Ok(in_memory.into_iter().chain(shares.into_iter().flatten()))
    }
}

/// One customer's facts have one subject; and where they have two, their order is nothing to the journal.
fn share_of(fact: &NewFact) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(fact.identifiers.subject());
    (hash % SHARES as u64) as usize
}

fn sorted(mut facts: Vec<NewFact>) -> Vec<NewFact> {
    facts.sort_by_cached_key(|fact| fact.identifiers.subject());
    facts
}

/// A share, read back window by window.
struct Share {
    lines: BufReader<File>,
    line: Vec<u8>,
}

impl Share {
    fn next_window(&mut self) -> io::Result<Vec<NewFact>> {
        let (mut facts, mut bytes) = (Vec::new(), 0);
        while facts.len() < WINDOW && bytes < WINDOW_BYTES {
            self.line.clear();
            if self.lines.read_until(b'\n', &mut self.line)? == 0 {
                break;
            }
            bytes += self.line.len();
            facts.push(serde_json::from_slice(&self.line)?);
        }
        Ok(sorted(facts))
    }
}

impl Iterator for Share {
    type Item = io::Result<Vec<NewFact>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_window() {
            Ok(facts) if facts.is_empty() => None,
            window => Some(window),
        }
    }
}
