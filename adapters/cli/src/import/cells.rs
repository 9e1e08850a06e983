//! Checked access to the values of a foreign database: SQLite does not enforce column types, so
//! each value is checked, and long ones are never loaded.

use handfast_core::UnixTime;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::{END_OF_TIME, clipped};
use crate::print::quoted;

/// Maximum length of a value in bytes.
const VALUE_BYTES: usize = 2048;

/// A table of the original, with all its columns.
pub(super) struct SourceTable {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    /// The `ORDER BY` clause for its rows; may be empty.
    pub(super) order: &'static str,
}

impl SourceTable {
    /// Returns a query for each value, unless it is too long, together with its length.
    pub(super) fn query(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|name| format!("CASE WHEN octet_length(t.{name}) <= {VALUE_BYTES} THEN t.{name} END, octet_length(t.{name})"))
            .collect();
        format!("SELECT {} FROM {} AS t {}", columns.join(", "), self.name, self.order)
    }
}

/// The values of one row, in the order of its table's columns.
pub(super) struct Cells<'a> {
    row: &'a Row<'a>,
    table: &'a SourceTable,
}

/// A value and its type.
pub(super) enum Cell<'a> {
    Nothing,
    Integer(i64),
    Real,
    Text(&'a str),
    NoText,
    Bytes,
    Long,
}

impl<'a> Cells<'a> {
    pub(super) const fn of(row: &'a Row<'a>, table: &'a SourceTable) -> Self {
        Self { row, table }
    }

    pub(super) fn cell(&self, at: usize) -> Cell<'_> {
        let is_there = matches!(self.row.get_ref(2 * at + 1), Ok(ValueRef::Integer(_)));
        match self.row.get_ref(2 * at) {
            Ok(ValueRef::Null) if is_there => Cell::Long,
            Ok(ValueRef::Null) | Err(_) => Cell::Nothing,
            Ok(ValueRef::Integer(number)) => Cell::Integer(number),
            Ok(ValueRef::Real(_)) => Cell::Real,
            Ok(ValueRef::Blob(_)) => Cell::Bytes,
            Ok(ValueRef::Text(bytes)) => {
                std::str::from_utf8(bytes).map_or(Cell::NoText, Cell::Text)
            }
        }
    }

    pub(super) fn wrong(&self, at: usize, what: &str) -> String {
        format!("{} {what}", self.table.columns.get(at).unwrap_or(&"a column"))
    }

    pub(super) fn text(&self, at: usize) -> Result<&str, String> {
        match self.cell(at) {
            Cell::Text(text) => Ok(text),
            Cell::Nothing => Err(self.wrong(at, "is missing")),
            Cell::Integer(_) | Cell::Real => Err(self.wrong(at, "is a number and no text")),
            Cell::NoText => Err(self.wrong(at, "is no UTF-8")),
            Cell::Bytes => Err(self.wrong(at, "is bytes and no text")),
            Cell::Long => Err(self.wrong(at, &format!("is longer than {VALUE_BYTES} bytes"))),
        }
    }

    pub(super) fn time(&self, at: usize) -> Result<UnixTime, String> {
        match self.cell(at) {
            Cell::Integer(secs) => match u64::try_from(secs) {
                Ok(secs) if secs <= END_OF_TIME => Ok(UnixTime::from_secs(secs)),
                Ok(_) => Err(self.wrong(
                    at,
                    "lies after the year 9999; Unix seconds are needed, not milliseconds",
                )),
                Err(_) => Err(self.wrong(at, "lies before 1970")),
            },
            Cell::Nothing => Err(self.wrong(at, "is missing")),
            Cell::Real | Cell::Text(_) | Cell::NoText | Cell::Bytes | Cell::Long => {
                Err(self.wrong(at, "is no whole number of Unix seconds"))
            }
        }
    }

    /// Formats a value that identifies its row.
    pub(super) fn shown(&self, at: usize) -> String {
        match self.cell(at) {
            Cell::Text(text) => quoted(&clipped(text)),
            Cell::Integer(number) => number.to_string(),
            Cell::Nothing => "(nothing)".to_owned(),
            Cell::Real => "(a number)".to_owned(),
            Cell::NoText | Cell::Bytes => "(bytes)".to_owned(),
            Cell::Long => "(too long)".to_owned(),
        }
    }

    /// Returns the name of a sender's row.
    pub(super) fn key(&self) -> String {
        [self.shown(0), self.shown(1), self.shown(2)].join(" ")
    }
}
