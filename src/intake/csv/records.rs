//! A stream of bytes cut into records of cells (RFC 4180), each with the line it begins on.
//!
//! Memory stays within [`LONGEST_RECORD`] whatever stands in the file: a quote that is never closed would
//! else swallow the rest of it. Such a line is refused alone, and reading goes on behind it.

use std::io::{self, Read};

use csv_core::ReadRecordResult;

/// No order's note is longer.
pub const LONGEST_RECORD: usize = 1024 * 1024;

/// One record, borrowed from the reader. Cells are bytes, unquoted, not trimmed.
pub struct Record<'r> {
    /// Where it begins; the first line is 1.
    pub line: u64,
    cells: &'r [u8],
    ends: &'r [usize],
    /// As it stands in the file.
    pub raw: &'r [u8],
}

impl<'r> Record<'r> {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn cell(&self, index: usize) -> Option<&'r [u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.cells[start..end])
    }

    pub fn cells(&self) -> impl Iterator<Item = &'r [u8]> {
        (0..self.len()).filter_map(|index| self.cell(index))
    }
}

/// What the stream holds next.
pub enum Next<'r> {
    Record(Record<'r>),
    /// A line that opens a quote which does not close within [`LONGEST_RECORD`], or is longer itself.
    /// Its head is given.
    Unreadable {
        line: u64,
        head: &'r [u8],
    },
    End,
}

pub struct Records<R> {
    input: R,
    core: csv_core::Reader,
    /// Bytes read and not yet cut: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    line: u64,
    /// Inside a line that is being given up.
    skipping: bool,
    cells: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: Read> Records<R> {
    pub fn new(input: R, separator: u8) -> Self {
        Self {
            input,
            core: csv_core::ReaderBuilder::new().delimiter(separator).build(),
            buffer: vec![0; 128 * 1024],
            start: 0,
            end: 0,
            ended: false,
            line: 1,
            skipping: false,
            cells: vec![0; 4096],
            ends: vec![0; 64],
        }
    }

    /// The next record that has a character in it.
    pub fn read_next(&mut self) -> io::Result<Next<'_>> {
        loop {
            self.skip_line_ends();
            if self.start == self.end {
                if !self.fill()? {
                    return Ok(Next::End);
                }
                continue;
            }
            if self.skipping {
                self.skip_to_line_end();
                continue;
            }
            match self.cut() {
                Cut::Record { count, taken } => {
                    let raw_start = self.start;
                    let line = self.line;
                    self.start += taken;
                    let raw = &self.buffer[raw_start..self.start];
                    self.line += count_line_ends(raw);
                    let raw = raw.trim_ascii_end();
                    return Ok(Next::Record(Record {
                        line,
                        cells: &self.cells,
                        ends: &self.ends[..count],
                        raw,
                    }));
                }
                Cut::Incomplete if self.end - self.start < LONGEST_RECORD => {
                    self.fill()?;
                }
                Cut::Incomplete | Cut::Unclosed => {
                    self.skipping = true;
                    let rest = &self.buffer[self.start..self.end];
                    let to_line_end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                    let head = &rest[..to_line_end.min(1_000)];
                    return Ok(Next::Unreadable { line: self.line, head });
                }
            }
        }
    }

    /// Tries to cut a record from the bytes at hand.
    fn cut(&mut self) -> Cut {
        self.core.reset();
        let (mut read, mut written, mut count) = (0, 0, 0);
        loop {
            let input = &self.buffer[self.start + read..self.end];
            let (result, r, w, e) =
                self.core.read_record(input, &mut self.cells[written..], &mut self.ends[count..]);
            read += r;
            written += w;
            count += e;
            match result {
                ReadRecordResult::Record => return Cut::Record { count, taken: read },
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty if self.ended => {
                    // A line end behind the last byte ends the record, unless a quote is open.
                    let (result, _, _, e) = self.core.read_record(
                        b"\n",
                        &mut self.cells[written..],
                        &mut self.ends[count..],
                    );
                    match result {
                        ReadRecordResult::Record => {
                            return Cut::Record { count: count + e, taken: read };
                        }
                        ReadRecordResult::OutputEndsFull => {
                            self.ends.resize(self.ends.len() * 2, 0)
                        }
                        _ => return Cut::Unclosed,
                    }
                }
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return Cut::Incomplete,
            }
        }
    }

    /// Reads more behind what is at hand; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    self.ended = read == 0;
                    return Ok(read > 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn skip_line_ends(&mut self) {
        while self.start < self.end && matches!(self.buffer[self.start], b'\n' | b'\r') {
            self.line += u64::from(self.buffer[self.start] == b'\n');
            self.skipping &= self.buffer[self.start] != b'\n';
            self.start += 1;
        }
    }

    fn skip_to_line_end(&mut self) {
        let rest = &self.buffer[self.start..self.end];
        self.start += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
}

enum Cut {
    Record {
        count: usize,
        taken: usize,
    },
    /// More bytes are needed.
    Incomplete,
    /// The file ends inside a quote.
    Unclosed,
}

fn count_line_ends(raw: &[u8]) -> u64 {
    raw.iter().filter(|b| **b == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Vec<(u64, Vec<String>)> {
        let mut records = Records::new(bytes, b',');
        let mut all = Vec::new();
        loop {
            match records.read_next().unwrap() {
                Next::End => return all,
                Next::Record(record) => {
                    let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
                    all.push((record.line, record.cells().map(text).collect()));
                }
                Next::Unreadable { line, .. } => all.push((line, vec!["unreadable".to_owned()])),
            }
        }
    }

    #[test]
    fn lines_are_counted_through_quotes_and_every_line_end() {
        let records = read(b"a,b\r\n\r\n\"x\ny\",2\n\n3,\"4 \"\"q\"\"\"\r\nlast,");
        let expected = [
            (1, vec!["a", "b"]),
            (3, vec!["x\ny", "2"]),
            (6, vec!["3", "4 \"q\""]),
            (7, vec!["last", ""]),
        ];
        assert_eq!(records.len(), expected.len());
        for ((line, cells), (expected_line, expected_cells)) in records.iter().zip(&expected) {
            assert_eq!(
                (line, cells.iter().map(String::as_str).collect()),
                (expected_line, expected_cells.clone())
            );
        }
    }

    #[test]
    fn a_quote_that_never_closes_costs_its_line_alone() {
        let mut file = b"a,b\n\"open,1\n".to_vec();
        for _ in 0..200_000 {
            file.extend_from_slice(b"fine,22222\n");
        }
        let records = read(&file);
        assert_eq!(records[1], (2, vec!["unreadable".to_owned()]));
        assert_eq!(records.len(), 200_002);
        assert_eq!(records[200_001].0, 200_002);
    }

    #[test]
    fn a_quote_still_open_at_the_end_costs_its_line_alone() {
        let lines: Vec<u64> =
            read(b"a,b\n1,\"open\n2,fine\n3,fine").iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 4]);
        assert_eq!(read(b"1,\"x\ny\""), [(1, vec!["1".to_owned(), "x\ny".to_owned()])]);
    }

    #[test]
    fn a_line_without_end_is_given_up_in_bounded_memory() {
        let mut records = Records::new(io::repeat(b'x').take(50_000_000), b',');
        assert!(matches!(records.read_next().unwrap(), Next::Unreadable { line: 1, .. }));
        assert!(matches!(records.read_next().unwrap(), Next::End));
        assert!(
            records.buffer.len() <= 2 * LONGEST_RECORD && records.cells.len() <= 4 * LONGEST_RECORD
        );
    }

    proptest! {
        #[test]
        fn records_are_those_of_the_csv_crate(bytes in "[a\",\n\r 1]{0,60}") {
            let ours: Vec<Vec<String>> = read(bytes.as_bytes()).into_iter().map(|(_, cells)| cells).collect();
            let theirs: Vec<Vec<String>> = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(bytes.as_bytes())
                .records()
                .map(|record| record.unwrap().iter().map(str::to_owned).collect())
                .collect();
            // The csv crate gives what follows an open quote as one cell; here that line is given up alone.
            let is_open = ours.iter().any(|cells| cells.iter().any(|cell| cell == "unreadable"));
            prop_assert!(is_open || ours == theirs, "{:?} {:?}", ours, theirs);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes);
        }
    }
}
