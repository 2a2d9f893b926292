//! What every kind of row shares: cells by column, refusals, notes, and the facts that come out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cells::{bare, is_absent, is_masked, is_rounded, phone, shown};
use super::{Column, Encoding, Header, Record};
use crate::journal::{Body, Context, Identifiers, NewFact, Source, Traits};
use crate::primitives::{Currency, EmailAddress, StoreId, Timestamp, Zone, clean_text};

/// The columns of a format as an enum: `columns! { pub enum Field { Total = "total" required, Name = "name" } }`;
/// `required` marks those that a file must have.
macro_rules! columns {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variant:ident = $text:literal $($required:ident)?),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name { $($variant),* }

        impl $crate::intake::csv::Columns for $name {
            const ALL: &'static [$crate::intake::csv::Column] = &[$(
                $crate::intake::csv::Column { name: $text, required: columns!(@ $($required)?) }
            ),*];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
    (@) => { false };
    (@ required) => { true };
}
pub(super) use columns;

pub trait Columns: Copy + 'static {
    const ALL: &'static [Column];

    fn index(self) -> usize;

    fn name(self) -> &'static str {
        Self::ALL[self.index()].name
    }
}

/// What the meaning of cells depends on, apart from the cells.
#[derive(Debug, Clone)]
pub struct Setting {
    pub store: StoreId,
    /// Where times without a zone are local.
    pub zone: Zone,
    /// Of prices that name no currency.
    pub currency: Currency,
    /// Nothing told can lie after it.
    pub now: Timestamp,
}

/// Why a row, or the order it belongs to, is not taken. An empty column: the row as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    pub column: &'static str,
    pub reason: String,
}

/// A row that was not taken, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub line: u64,
    pub error: RowError,
    pub raw: Vec<u8>,
}

/// What was left out or corrected though its row was taken: how often, and the first line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes(BTreeMap<&'static str, (u64, u64)>);

impl Notes {
    pub fn add(&mut self, what: &'static str, line: u64) {
        self.0.entry(what).or_insert((0, line)).0 += 1;
    }

    /// What, how often, and where first.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        self.0.iter().map(|(what, (count, line))| (*what, *count, *line))
    }
}

/// What came out of the rows so far, for the shell to take away.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken<T> {
    pub items: Vec<T>,
    pub refused: Vec<Refusal>,
    pub notes: Notes,
}

impl<T> Default for Taken<T> {
    fn default() -> Self {
        Self { items: Vec::new(), refused: Vec::new(), notes: Notes::default() }
    }
}

/// A kind of file, read row by row.
pub trait Rows {
    type Columns: Columns;
    type Item;
    /// Columns of which the file must have at least one.
    const ONE_OF: &'static [&'static str] = &[];

    /// Takes the next row; what is complete goes to `taken`, now or with a later row.
    fn take(&mut self, row: &Row<'_, Self::Columns>, taken: &mut Taken<Self::Item>);

    /// The file has ended: hands over what still waits.
    fn finish(&mut self, _taken: &mut Taken<Self::Item>) {}
}

/// A record whose cells are known by column.
pub struct Row<'r, C> {
    pub record: Record<'r>,
    pub header: &'r Header,
    pub encoding: Encoding,
    columns: PhantomData<C>,
}

impl<'r, C: Columns> Row<'r, C> {
    /// # Errors
    /// More cells than the header has columns: a separator stands unquoted in one of them, and those behind it
    /// are not what they seem. Fewer are only empty ones left out.
    pub fn new(
        record: Record<'r>,
        header: &'r Header,
        encoding: Encoding,
    ) -> Result<Self, (Record<'r>, RowError)> {
        let width = header.names.len();
        if record.cells().skip(width).any(|cell| !cell.trim_ascii().is_empty()) {
            let reason = format!(
                "has {} cells where the header has {width}: a separator or a quote inside a cell is not quoted",
                record.len()
            );
            return Err((record, RowError { column: "", reason }));
        }
        Ok(Self { record, header, encoding, columns: PhantomData })
    }

    pub fn line(&self) -> u64 {
        self.record.line
    }

    pub fn is_blank(&self) -> bool {
        self.record.cells().all(|cell| cell.trim_ascii().is_empty())
    }

    /// The cell without armour and padding; empty where the file lacks the column.
    pub fn text(&self, column: C) -> Result<Cow<'r, str>, RowError> {
        let cell = self.header.place(column.index()).and_then(|place| self.record.cell(place));
        let Some(cell) = cell.filter(|cell| !cell.is_empty()) else { return Ok(Cow::Borrowed("")) };
        let Some(text) = self.encoding.decode(cell) else {
            return Err(
                self.error(column, format!("holds bytes that are no {}", self.encoding.name()))
            );
        };
        if text.contains('\0') {
            return Err(self.error(column, "holds a NUL character".to_owned()));
        }
        Ok(match text {
            Cow::Borrowed(text) => bare(text),
            Cow::Owned(text) => Cow::Owned(bare(&text).into_owned()),
        })
    }

    pub fn error(&self, column: C, reason: String) -> RowError {
        RowError { column: column.name(), reason }
    }

    /// The cell read by `read`, whose reason becomes the row's; `None` where nothing is written.
    pub fn read<T>(
        &self,
        column: C,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, RowError> {
        let text = self.text(column)?;
        match is_absent(&text) {
            true => Ok(None),
            false => read(&text).map(Some).map_err(|reason| self.error(column, reason)),
        }
    }

    /// Words for people, shortened to `max_chars`; masked ones are none.
    pub fn words(&self, column: C, max_chars: usize) -> Result<Option<String>, RowError> {
        let text = self.text(column)?;
        Ok(if is_absent(&text) || is_masked(&text) { None } else { clean_text(&text, max_chars) })
    }

    /// An id, whole: one that was rounded or is absurdly long could be another's.
    pub fn id(&self, column: C) -> Result<Option<String>, RowError> {
        let text = self.text(column)?;
        if is_absent(&text) {
            return Ok(None);
        }
        if is_rounded(&text) {
            let reason = format!(
                "`{}` was rounded by a spreadsheet and lost digits: export it as text",
                shown(&text)
            );
            return Err(self.error(column, reason));
        }
        if text.chars().count() > LONGEST_ID {
            return Err(self.error(column, format!("is longer than {LONGEST_ID} characters")));
        }
        Ok(clean_text(&text, LONGEST_ID))
    }

    /// Who the row is about: customer_id, email, and phone only where nothing else names them.
    ///
    /// An address that is none is left out where another identity holds: the order is worth more than the typo.
    pub fn who(&self, [id, email, number]: [C; 3], notes: &mut Notes) -> Result<Who, RowError> {
        let external_id = self.id(id)?.filter(|id| !is_masked(id));
        let text = self.text(email)?;
        let (mut address, mut wrong) = (None, None);
        if !is_absent(&text) && !is_masked(&text) {
            match text.parse::<EmailAddress>() {
                Ok(email) => address = Some(email),
                Err(error) => wrong = Some(self.error(email, error.to_string())),
            }
        }
        let told = self.words(number, 40)?.filter(|text| !is_rounded(text));
        let phone = told.as_deref().and_then(phone);
        let identifiers = Identifiers {
            anonymous_id: None,
            phone: phone.clone().filter(|_| external_id.is_none() && address.is_none()),
            external_id,
            email: address,
        };
        match wrong {
            Some(error) if identifiers.is_empty() => return Err(error),
            Some(_) => notes.add("e-mail addresses that are none were left out", self.line()),
            None => {}
        }
        if identifiers.is_empty() && told.is_some() {
            let reason = "names nobody without its country: write +44…; or give a customer_id or an e-mail address";
            return Err(self.error(number, reason.to_owned()));
        }
        Ok(Who { identifiers, phone: phone.or(told) })
    }
}

const LONGEST_ID: usize = 200;

/// Who a row is about. The phone is as told where it is no identity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Who {
    pub identifiers: Identifiers,
    pub phone: Option<String>,
}

/// Sixteen hexadecimal digits that depend on what is said alone: the same words from any file are the same fact.
pub fn fingerprint(said: &impl Serialize) -> String {
    let json = serde_json::to_vec(said).unwrap_or_default();
    let hash = Sha256::digest(&json);
    hash[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

/// The fact that a profile is told; its key is its content, so that telling it again is no news.
pub fn identified(identifiers: Identifiers, traits: Traits, at: Timestamp) -> NewFact {
    let source_key = format!("customer:{}", fingerprint(&(&identifiers, &traits)));
    from_file(source_key, at, identifiers, Body::Identified { traits: Box::new(traits) })
}

/// A fact of history: it may trigger only what falls due after its arrival.
pub fn from_file(
    source_key: String,
    occurred_at: Timestamp,
    identifiers: Identifiers,
    body: Body,
) -> NewFact {
    NewFact {
        source: Source::Csv,
        source_key,
        occurred_at,
        live: false,
        identifiers,
        body,
        context: Context::default(),
    }
}
