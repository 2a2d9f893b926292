//! A file opened for reading: unpacked, its encoding guessed, its bytes counted.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::intake::csv::{Encoding, Transcoded, guess};

/// A header is no longer.
const HEAD: usize = 256 * 1024;

/// A file, unpacked and, where it is UTF-16, transcoded.
pub(super) struct Opened {
    pub(super) encoding: Encoding,
    /// Its first bytes; the header stands in them.
    pub(super) head: Vec<u8>,
    pub(super) rest: Box<dyn Read>,
    /// Bytes read so far of the file as it lies on disk.
    pub(super) done: Arc<AtomicU64>,
}

impl Opened {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
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
