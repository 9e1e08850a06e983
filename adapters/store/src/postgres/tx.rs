//! The transaction that an operation runs in.

use bytes::BytesMut;
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::{
    FromSql as FromColumn, IsNull, ToSql as ToColumn, Type, to_sql_checked,
};

use super::session::Session;
use crate::ops::{RowResult, Tx};
use crate::value::{FromSql, ToSql, ValueRef, params};
use crate::{StoreError, rows};

type BoxError = Box<dyn std::error::Error + Sync + Send>;

/// An open transaction of the writing connection, or a reading connection.
pub(super) struct PostgresTx<'a> {
    session: &'a mut Session,
    pub(super) effects: Effects,
}

/// What the store does once the transaction is committed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effects {
    /// Facts about a sender changed.
    pub(super) facts_changed: bool,
    /// Number of the run that was begun.
    pub(super) begun: Option<i64>,
}

impl<'a> PostgresTx<'a> {
    pub(super) const fn new(session: &'a mut Session) -> Self {
        Self { session, effects: Effects { facts_changed: false, begun: None } }
    }

    /// Returns the connection, for parameters of types that [`rows`] does not know.
    pub(super) const fn session(&mut self) -> &mut Session {
        self.session
    }

    /// Runs a statement that changes rows. Returns their number.
    pub(super) fn execute(&mut self, sql: &str, parameters: &[&dyn ToSql]) -> RowResult<usize> {
        let parameters = converted(parameters);
        self.session.execute(sql, &borrowed(&parameters))
    }

    /// Runs a statement that yields exactly one row.
    pub(super) fn one<T>(
        &mut self,
        sql: &str,
        parameters: &[&dyn ToSql],
        read: impl FnOnce(&Row) -> RowResult<T>,
    ) -> RowResult<T> {
        let found = self.find(sql, parameters, read)?;
        found.ok_or_else(|| StoreError::Database("a row that always exists is missing".to_owned()))
    }

    /// Runs a statement that yields at most one row.
    pub(super) fn find<T>(
        &mut self,
        sql: &str,
        parameters: &[&dyn ToSql],
        read: impl FnOnce(&Row) -> RowResult<T>,
    ) -> RowResult<Option<T>> {
        let parameters = converted(parameters);
        let mut rows = self.session.query(sql, &borrowed(&parameters))?;
        rows.drain(..).next().map(|row| read(&Row(row))).transpose()
    }

    /// Runs a statement that yields any number of rows.
    pub(super) fn all<T>(
        &mut self,
        sql: &str,
        parameters: &[&dyn ToSql],
        mut read: impl FnMut(&Row) -> RowResult<T>,
    ) -> RowResult<Vec<T>> {
        let parameters = converted(parameters);
        let rows = self.session.query(sql, &borrowed(&parameters))?;
        rows.into_iter().map(|row| read(&Row(row))).collect()
    }
}

impl Tx for PostgresTx<'_> {
    fn vault(&mut self, name: &str, fresh: &[u8]) -> RowResult<Vec<u8>> {
        let sql = "INSERT INTO vault VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, params![name, fresh])?;
        self.one("SELECT sealed FROM vault WHERE name = $1", params![name], |row| row.get(0))
    }

    fn replace_vault(&mut self, name: &str, before: &[u8], fresh: &[u8]) -> RowResult<bool> {
        let sql = "UPDATE vault SET sealed = $3 WHERE name = $1 AND sealed = $2";
        Ok(self.execute(sql, params![name, before, fresh])? == 1)
    }

    fn probe(&mut self) -> RowResult<()> {
        self.execute("UPDATE registry SET version = version", params![])?;
        Ok(())
    }
}

/// A row of a result.
pub(super) struct Row(tokio_postgres::Row);

impl Row {
    /// Returns the value of a column, by its place or its name.
    pub(super) fn get<I, T>(&self, column: I) -> RowResult<T>
    where
        I: RowIndex + std::fmt::Display,
        T: FromSql,
    {
        let Column(value) = self.0.try_get(&column).map_err(|error| {
            StoreError::Database(format!("column {column} cannot be read: {error}"))
        })?;
        T::column_result(value)
            .map_err(|error| StoreError::Database(format!("column {column}: {error}")))
    }
}

impl rows::Row for Row {
    type Error = StoreError;

    fn get<T: FromSql>(&self, column: &str) -> RowResult<T> {
        Self::get(self, column)
    }

    fn at<T: FromSql>(&self, place: usize) -> RowResult<T> {
        Self::get(self, place)
    }
}

/// A value of a column, as one of the types that [`rows`] knows.
struct Column<'a>(ValueRef<'a>);

impl<'a> FromColumn<'a> for Column<'a> {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Ok(Self(match *of {
            Type::BOOL => ValueRef::Integer(bool::from_sql(of, raw)?.into()),
            Type::INT2 => ValueRef::Integer(i16::from_sql(of, raw)?.into()),
            Type::INT4 => ValueRef::Integer(i32::from_sql(of, raw)?.into()),
            Type::INT8 => ValueRef::Integer(i64::from_sql(of, raw)?),
            Type::FLOAT8 => ValueRef::Real(f64::from_sql(of, raw)?),
            Type::TEXT => ValueRef::Text(raw),
            Type::BYTEA => ValueRef::Blob(raw),
            _ => return Err(format!("the type {of} is unknown").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxError> {
        Ok(Self(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter of a statement.
#[derive(Debug)]
struct Parameter<'a>(ValueRef<'a>);

fn converted<'a>(parameters: &[&'a dyn ToSql]) -> Vec<Parameter<'a>> {
    fn convert<'a>(parameter: &&'a dyn ToSql) -> Parameter<'a> {
        let parameter: &'a dyn ToSql = *parameter;
        Parameter(parameter.value())
    }
    parameters.iter().map(convert).collect()
}

fn borrowed<'a>(parameters: &'a [Parameter<'_>]) -> Vec<&'a (dyn ToColumn + Sync)> {
    parameters.iter().map(|parameter| parameter as _).collect()
}

impl ToColumn for Parameter<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        match (self.0, of) {
            (ValueRef::Null, _) => Ok(IsNull::Yes),
            (ValueRef::Integer(number), &Type::INT8) => ToColumn::to_sql(&number, of, out),
            (ValueRef::Integer(number), &Type::INT2) => {
                ToColumn::to_sql(&i16::try_from(number)?, of, out)
            }
            (ValueRef::Integer(number), &Type::BOOL) => ToColumn::to_sql(&(number != 0), of, out),
            (ValueRef::Real(number), &Type::FLOAT8) => ToColumn::to_sql(&number, of, out),
            (ValueRef::Text(text), &Type::TEXT) => {
                ToColumn::to_sql(&std::str::from_utf8(text)?, of, out)
            }
            (ValueRef::Blob(bytes), &Type::BYTEA) => ToColumn::to_sql(&bytes, of, out),
            (other, _) => Err(format!("a {} is no {of}", other.kind()).into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
