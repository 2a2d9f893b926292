//! The header row: which separator the file uses, and which column stands where. By name, never by place.

use super::Encoding;
use super::cells::{bare, shown};
use super::records::{Next, Records};

/// One column of a format.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub required: bool,
}

/// Where the columns of a format stand in this file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub separator: u8,
    /// As the file writes them.
    pub names: Vec<String>,
    /// By the format's column: its place in the file.
    places: Vec<Option<usize>>,
    /// Of the file's columns, those that the format does not know.
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("the file is empty: its first row must name its columns")]
    Empty,
    #[error("the first row, which must name the columns, is longer than a megabyte")]
    Unreadable,
    #[error(
        "the header lacks {}: {}; it has {}",
        if missing.len() == 1 { "a column that is needed" } else { "columns that are needed" },
        missing.join(", "),
        found.join(", ")
    )]
    Missing { missing: Vec<String>, found: Vec<String> },
    #[error("the header names no one: it needs at least one of {0}")]
    NoneOf(String),
    #[error("the header names the column `{0}` twice")]
    Twice(String),
}

impl Header {
    /// Reads the head of a file: the separator is the one that makes most of the known names of the first row.
    pub fn read(
        head: &[u8],
        encoding: Encoding,
        columns: &[Column],
        one_of: &[&str],
    ) -> Result<Self, HeaderError> {
        let candidates =
            [b',', b'\t', b';'].map(|separator| Self::split(head, separator, encoding, columns));
        let mut best: Option<Self> = None;
        for candidate in candidates {
            let candidate = candidate?;
            if best.as_ref().is_none_or(|best| candidate.known() > best.known()) {
                best = Some(candidate);
            }
        }
        let header = best.ok_or(HeaderError::Empty)?;
        header.check(columns, one_of)?;
        Ok(header)
    }

    fn split(
        head: &[u8],
        separator: u8,
        encoding: Encoding,
        columns: &[Column],
    ) -> Result<Self, HeaderError> {
        let mut records = Records::new(head, separator);
        let record = match records.read_next().map_err(|_| HeaderError::Unreadable)? {
            Next::Record(record) => record,
            Next::Unreadable { .. } => return Err(HeaderError::Unreadable),
            Next::End => return Err(HeaderError::Empty),
        };
        let text = |cell| encoding.decode(cell).map_or(String::new(), |text| shown(&bare(&text)));
        let names: Vec<String> = record.cells().map(text).collect();
        let keys: Vec<String> = names.iter().map(|name| key(name)).collect();
        let places = columns.iter().map(|c| keys.iter().position(|k| k == c.name)).collect();
        let is_unknown = |k: &String| !k.is_empty() && columns.iter().all(|c| c.name != k.as_str());
        let unknown = std::iter::zip(&names, &keys)
            .filter(|(_, k)| is_unknown(k))
            .map(|(n, _)| n.clone())
            .collect();
        Ok(Self { separator, names, places, unknown })
    }

    fn known(&self) -> usize {
        self.places.iter().flatten().count()
    }

    fn check(&self, columns: &[Column], one_of: &[&str]) -> Result<(), HeaderError> {
        let missing: Vec<String> = std::iter::zip(columns, &self.places)
            .filter(|(column, place)| column.required && place.is_none())
            .map(|(column, _)| column.name.to_owned())
            .collect();
        if !missing.is_empty() {
            let found = self.names.iter().take(30).cloned().collect();
            return Err(HeaderError::Missing { missing, found });
        }
        let has = |name: &&str| self.names.iter().any(|n| key(n) == **name);
        if !one_of.is_empty() && !one_of.iter().any(has) {
            return Err(HeaderError::NoneOf(one_of.join(", ")));
        }
        let is_twice =
            |column: &&Column| self.names.iter().filter(|n| key(n) == column.name).count() > 1;
        match columns.iter().find(is_twice) {
            Some(column) => Err(HeaderError::Twice(column.name.to_owned())),
            None => Ok(()),
        }
    }

    /// Where the format's column of this index stands, if the file has it.
    pub fn place(&self, column: usize) -> Option<usize> {
        self.places[column]
    }
}

/// `Order ID` and `order_id` are one name.
fn key(name: &str) -> String {
    name.to_lowercase().replace([' ', '-'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { name: "order_id", required: true },
        Column { name: "total", required: true },
        Column { name: "name", required: false },
    ];

    fn header(head: &str) -> Result<Header, HeaderError> {
        Header::read(head.as_bytes(), Encoding::Utf8, &COLUMNS, &["name", "email"])
    }

    #[test]
    fn columns_are_found_by_name_under_any_separator() {
        for head in [
            "name,total,order_id\n1",
            "\u{FEFF}name\ttotal\tOrder ID\r\n",
            " NAME ;Total;\"order-id\"",
        ] {
            let header = header(head).unwrap();
            assert_eq!(
                [header.place(0), header.place(1), header.place(2)],
                [Some(2), Some(1), Some(0)],
                "{head}"
            );
        }
        assert_eq!(header("total;order_id;name;a,b,c\n").unwrap().separator, b';');
        assert_eq!(header("total,order_id,weather,name,\n").unwrap().unknown, ["weather"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = header("name,sum\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "the header lacks columns that are needed: order_id, total; it has name, sum"
        );
        assert_eq!(header("total,order_id"), Err(HeaderError::NoneOf("name, email".into())));
        assert_eq!(header(""), Err(HeaderError::Empty));
        assert_eq!(header("\n\n"), Err(HeaderError::Empty));
        assert_eq!(header("total,order_id,name,Total"), Err(HeaderError::Twice("total".into())));
    }
}
