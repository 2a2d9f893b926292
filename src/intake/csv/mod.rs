//! CSV files in Homing's own format, read row by row into facts and products. Pure: no database, no clock.
//!
//! Spreadsheets and platforms mangle files in well-known ways; what can be undone for certain is undone here,
//! what cannot is refused with its line, column and reason, and the rest of the file goes on.

mod cells;
mod customers;
mod encoding;
mod header;
mod order;
mod orders;
mod products;
mod records;
mod row;
#[cfg(test)]
mod tests;

pub use cells::instant;
pub use customers::CustomerRows;
pub use encoding::{Encoding, Transcoded, guess};
pub use header::{Column, Header, HeaderError};
pub use orders::OrderRows;
pub use products::ProductRows;
pub use records::{LONGEST_RECORD, Next, Record, Records};
pub use row::{Columns, Notes, Refusal, Row, RowError, Rows, Setting, Taken};
