//! The transaction that an operation runs in.

use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "postgres")]
use rusqlite::types::ToSqlOutput;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params, Row, params};

use crate::ops::{RowResult, Tx};
use crate::rows;
use crate::value::{self, FromSql, FromSqlError};

/// An open transaction of the writing connection, or a reading connection.
pub(super) struct SqliteTx<'a> {
    pub(super) connection: &'a Connection,
    /// Set when a secret is erased that the log still holds.
    pub(super) erased: &'a AtomicBool,
    /// Set when facts about a sender change.
    pub(super) facts_changed: bool,
}

impl<'a> SqliteTx<'a> {
    pub(super) const fn new(connection: &'a Connection, erased: &'a AtomicBool) -> Self {
        Self { connection, erased, facts_changed: false }
    }

    /// Runs a statement that changes rows. Returns their number.
    pub(super) fn execute(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(parameters)
    }

    /// Runs a statement that erases the secrets of its rows. Returns their number.
    pub(super) fn erase(&self, sql: &str, parameters: impl Params) -> rusqlite::Result<usize> {
        let rows = self.execute(sql, parameters)?;
        if rows > 0 {
            self.erased.store(true, Ordering::Relaxed);
        }
        Ok(rows)
    }

    /// Runs a statement that yields exactly one row.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.prepare_cached(sql)?.query_row(parameters, read)
    }

    /// Runs a statement that yields at most one row.
    pub(super) fn find<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        use rusqlite::OptionalExtension as _;
        self.one(sql, parameters, read).optional()
    }

    /// Runs a statement that yields any number of rows.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.connection.prepare_cached(sql)?.query_map(parameters, read)?.collect()
    }
}

impl rows::Row for Row<'_> {
    type Error = rusqlite::Error;

    fn get<T: FromSql>(&self, column: &str) -> rusqlite::Result<T> {
        rows::Row::at(self, self.as_ref().column_index(column)?)
    }

    fn at<T: FromSql>(&self, place: usize) -> rusqlite::Result<T> {
        let value = self.get_ref(place)?;
        T::column_result(ours(value)).map_err(|error| match error {
            FromSqlError::Range(number) => rusqlite::Error::IntegralValueOutOfRange(place, number),
            FromSqlError::Kind => {
                let name = self.as_ref().column_name(place).unwrap_or_default().to_owned();
                rusqlite::Error::InvalidColumnType(place, name, value.data_type())
            }
            error @ (FromSqlError::Text(_) | FromSqlError::Length(_)) => {
                let error = Box::new(error);
                rusqlite::Error::FromSqlConversionFailure(place, value.data_type(), error)
            }
        })
    }
}

const fn ours(value: ValueRef<'_>) -> value::ValueRef<'_> {
    match value {
        ValueRef::Null => value::ValueRef::Null,
        ValueRef::Integer(number) => value::ValueRef::Integer(number),
        ValueRef::Real(number) => value::ValueRef::Real(number),
        ValueRef::Text(text) => value::ValueRef::Text(text),
        ValueRef::Blob(bytes) => value::ValueRef::Blob(bytes),
    }
}

/// A value of a copy as a parameter.
#[cfg(feature = "postgres")]
impl rusqlite::ToSql for value::Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match value::ToSql::value(self) {
            value::ValueRef::Null => ValueRef::Null,
            value::ValueRef::Integer(number) => ValueRef::Integer(number),
            value::ValueRef::Real(number) => ValueRef::Real(number),
            value::ValueRef::Text(text) => ValueRef::Text(text),
            value::ValueRef::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Tx for SqliteTx<'_> {
    fn vault(&mut self, name: &str, fresh: &[u8]) -> RowResult<Vec<u8>> {
        self.execute(
            "INSERT INTO vault VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![name, fresh],
        )?;
        Ok(self.one("SELECT sealed FROM vault WHERE name = ?1", [name], |row| row.get(0))?)
    }

    fn replace_vault(&mut self, name: &str, before: &[u8], fresh: &[u8]) -> RowResult<bool> {
        let sql = "UPDATE vault SET sealed = ?3 WHERE name = ?1 AND sealed = ?2";
        Ok(self.erase(sql, params![name, before, fresh])? == 1)
    }

    fn probe(&mut self) -> RowResult<()> {
        self.execute("UPDATE generation SET base = base", [])?;
        Ok(())
    }
}
