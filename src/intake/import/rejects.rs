//! The file of refused rows.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::ImportError;
use crate::intake::csv::{Encoding, Header, Next, Records, Refusal, RowError};
use crate::primitives::mask_formula;

/// `FILE.rejected.csv`: line, column, reason, and the row as it was. Made with its first row.
pub(super) struct Rejects {
    path: PathBuf,
    names: Vec<String>,
    separator: u8,
    encoding: Encoding,
    /// Mended rejects are imported themselves: their own first columns are not set down again.
    skip: usize,
    file: Option<csv::Writer<BufWriter<File>>>,
}

impl Rejects {
    pub(super) fn new(source: &Path, header: &Header, encoding: Encoding) -> Self {
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

    pub(super) fn write(&mut self, refusal: &Refusal) -> Result<(), ImportError> {
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
    pub(super) fn finish(&mut self) -> Result<Option<PathBuf>, ImportError> {
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
