//! orders.csv: one row per line item, gathered into one statement per order.
//!
//! Rows of one order usually follow each other, but a file sorted by product tears them apart. So an order stays
//! open while [`WINDOW`] others begin; rows of it that come later still are a statement of their own.
//! An order is taken whole or not at all: a file of the refused rows, mended, must be fit for import by itself.

use std::collections::{HashMap, HashSet, VecDeque};

use super::order::{Field, Order, Relation, Said, item};
use super::row::{Columns, Refusal, Row, RowError, Rows, Setting, Taken};
use crate::journal::{NewFact, ProductRef};

/// How many orders stay open for further rows.
pub const WINDOW: usize = 4_096;
/// How many bytes of rows they may hold together.
const HELD: usize = 8 * 1024 * 1024;
const MOST_ROWS: usize = 10_000;
/// How many told profiles are remembered: telling one again is harmless, only slower.
const REMEMBERED: usize = 500_000;

pub struct OrderRows {
    setting: Setting,
    /// Oldest first; the front one's number is `first`.
    open: VecDeque<Open>,
    first: u64,
    numbers: HashMap<String, u64>,
    /// The order of the last row: a row that names none continues it.
    last: Option<String>,
    /// Bytes of the rows of all open orders.
    held: usize,
    told: HashSet<u64>,
}

/// An order that may get further rows.
struct Open {
    id: String,
    state: State,
}

enum State {
    Gathering(Box<Statement>),
    /// Refused for the row on this line; its further rows are refused with it.
    Refused(u64),
    /// Handed over: a later statement of the same order has taken its place.
    Done,
}

struct Statement {
    order: Order,
    items: Vec<ProductRef>,
    /// All rows as they stand in the file, one after the other, and where each ends.
    raw: Vec<u8>,
    rows: Vec<(u64, usize)>,
}

impl OrderRows {
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            open: VecDeque::new(),
            first: 0,
            numbers: HashMap::new(),
            last: None,
            held: 0,
            told: HashSet::new(),
        }
    }

    fn place(&self, id: &str) -> Option<usize> {
        match self.open.back() {
            Some(last) if last.id == id => Some(self.open.len() - 1),
            _ => self.numbers.get(id).map(|number| (number - self.first) as usize),
        }
    }

    /// The row's order: its own id, or the order above where the row holds an item and nothing of an order.
    fn order_id(&self, row: &Row<'_, Field>) -> Result<String, RowError> {
        if let Some(id) = row.id(Field::OrderId)? {
            return Ok(id);
        }
        for column in
            [Field::PlacedAt, Field::Status, Field::Total, Field::CustomerId, Field::Email]
        {
            if !row.text(column)?.is_empty() {
                return Err(row.error(Field::OrderId, "is empty: it names the order".to_owned()));
            }
        }
        self.last.clone().ok_or_else(|| {
            row.error(Field::OrderId, "is empty, and no order stands above".to_owned())
        })
    }

    /// Takes a row of the order `id`. An error refuses the order.
    fn gather(
        &mut self,
        id: &str,
        row: &Row<'_, Field>,
        taken: &mut Taken<NewFact>,
    ) -> Result<(), RowError> {
        let place = self.place(id);
        let statement = place.and_then(|place| match &mut self.open[place].state {
            State::Gathering(statement) => Some(statement),
            State::Refused(_) | State::Done => None,
        });
        let known = statement.as_ref().map(|statement| &statement.order.currency);
        let said = Said::read(row, &self.setting, known, &mut taken.notes)?;
        if let Some(statement) = statement {
            match statement.order.relation(&said, row, statement.first_line()) {
                Relation::Continues if statement.rows.len() == MOST_ROWS => {
                    let reason = format!("belongs to an order of more than {MOST_ROWS} rows");
                    return Err(row.error(Field::OrderId, reason));
                }
                Relation::Continues => {
                    let item = item(row, &statement.order.currency, &mut taken.notes)?;
                    statement.order.add(said);
                    statement.add(item, row);
                    self.held += row.record.raw.len();
                    return Ok(());
                }
                Relation::Restates => {}
                Relation::Contradicts(error) => return Err(error),
            }
        }
        let order = said.begin(row)?;
        let item = item(row, &order.currency, &mut taken.notes)?;
        // Where the row restates an open order, that statement is complete.
        if let Some(place) = place {
            let state = std::mem::replace(&mut self.open[place].state, State::Done);
            self.hand_over(id.to_owned(), state, taken);
        }
        let mut statement =
            Box::new(Statement { order, items: Vec::new(), raw: Vec::new(), rows: Vec::new() });
        statement.add(item, row);
        self.held += row.record.raw.len();
        self.push(id, State::Gathering(statement));
        Ok(())
    }

    /// Refuses the rows of the order so far, and those to come. Returns the rows so far.
    fn refuse_order(&mut self, id: &str, line: u64, taken: &mut Taken<NewFact>) {
        let Some(place) = self.place(id) else { return self.push(id, State::Refused(line)) };
        let state = std::mem::replace(&mut self.open[place].state, State::Refused(line));
        if let State::Gathering(statement) = state {
            self.held -= statement.raw.len();
            taken.refused.extend(statement.rows().map(|(at, raw)| Refusal {
                line: at,
                error: sibling(line),
                raw: raw.to_vec(),
            }));
        }
    }

    fn push(&mut self, id: &str, state: State) {
        self.numbers.insert(id.to_owned(), self.first + self.open.len() as u64);
        self.open.push_back(Open { id: id.to_owned(), state });
    }

    fn hand_over_first(&mut self, taken: &mut Taken<NewFact>) {
        let Some(Open { id, state }) = self.open.pop_front() else { return };
        if self.numbers.get(&id) == Some(&self.first) {
            self.numbers.remove(&id);
        }
        self.first += 1;
        self.hand_over(id, state, taken);
    }

    fn hand_over(&mut self, id: String, state: State, taken: &mut Taken<NewFact>) {
        let State::Gathering(statement) = state else { return };
        self.held -= statement.raw.len();
        let first_line = statement.first_line();
        let Statement { order, items, .. } = *statement;
        let (profile, order) = order.into_facts(id, items, first_line, &mut taken.notes);
        taken.items.extend(profile.filter(|profile| self.is_news(&profile.source_key)));
        taken.items.push(order);
    }

    /// Whether this profile was not told lately: a regular's name stands in each of their orders.
    fn is_news(&mut self, source_key: &str) -> bool {
        let hash = source_key.rsplit(':').next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        hash.is_none_or(|hash| self.told.insert(hash))
    }
}

impl Rows for OrderRows {
    type Columns = Field;
    type Item = NewFact;
    const ONE_OF: &'static [&'static str] = &["customer_id", "email", "phone"];

    fn take(&mut self, row: &Row<'_, Field>, taken: &mut Taken<NewFact>) {
        let refusal = |error| Refusal { line: row.line(), error, raw: row.record.raw.to_vec() };
        let id = match self.order_id(row) {
            Ok(id) => id,
            Err(error) => {
                self.last = None;
                return taken.refused.push(refusal(error));
            }
        };
        let refused_at = self.place(&id).and_then(|place| match self.open[place].state {
            State::Refused(line) => Some(line),
            State::Gathering(_) | State::Done => None,
        });
        if let Some(line) = refused_at {
            taken.refused.push(refusal(sibling(line)));
        } else if let Err(error) = self.gather(&id, row, taken) {
            self.refuse_order(&id, row.line(), taken);
            taken.refused.push(refusal(error));
        }
        self.last = Some(id);
        while self.open.len() > WINDOW || (self.held > HELD && self.open.len() > 1) {
            self.hand_over_first(taken);
        }
    }

    fn finish(&mut self, taken: &mut Taken<NewFact>) {
        while !self.open.is_empty() {
            self.hand_over_first(taken);
        }
    }
}

impl Statement {
    fn add(&mut self, item: Option<ProductRef>, row: &Row<'_, Field>) {
        self.items.extend(item);
        self.raw.extend_from_slice(row.record.raw);
        self.rows.push((row.line(), self.raw.len()));
    }

    fn first_line(&self) -> u64 {
        self.rows.first().map_or(0, |(line, _)| *line)
    }

    fn rows(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|(_, end)| *end));
        std::iter::zip(starts, &self.rows)
            .map(|(start, (line, end))| (*line, &self.raw[start..*end]))
    }
}

fn sibling(line: u64) -> RowError {
    let reason = format!("belongs to an order that is refused for its row on line {line}");
    RowError { column: Field::OrderId.name(), reason }
}
