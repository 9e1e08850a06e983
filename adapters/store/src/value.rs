//! The values of columns and parameters, for every backend that has SQL: an integer, a number, a
//! text, bytes, or nothing.

/// The value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Nothing.
    Null,
    /// An integer.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A borrowed [`Value`], whose text may be none yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ValueRef<'a> {
    /// Nothing.
    Null,
    /// An integer.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text, as the database has it.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

impl ValueRef<'_> {
    /// Returns the word for the kind of value.
    #[cfg(feature = "postgres")]
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "integer",
            Self::Real(_) => "number",
            Self::Text(_) => "text",
            Self::Blob(_) => "blob",
        }
    }
}

/// Error of a column whose value has another type than the one that is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FromSqlError {
    /// The value is of another kind.
    #[error("the value is of another type")]
    Kind,
    /// The integer does not fit.
    #[error("the integer {0} does not fit")]
    Range(i64),
    /// The text is not UTF-8.
    #[error(transparent)]
    Text(#[from] std::str::Utf8Error),
    /// The bytes are of another number.
    #[error("there are {0} bytes")]
    Length(usize),
}

/// A type that a column is read as.
pub(crate) trait FromSql: Sized {
    /// Converts a value.
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError>;
}

/// A type that a parameter can have.
pub(crate) trait ToSql {
    /// Returns the value.
    fn value(&self) -> ValueRef<'_>;
}

/// The parameters of a statement.
macro_rules! params {
    () => { &[] as &[&dyn $crate::value::ToSql] };
    ($($parameter:expr),+ $(,)?) => {
        &[$(&$parameter as &dyn $crate::value::ToSql),+] as &[&dyn $crate::value::ToSql]
    };
}
pub(crate) use params;

macro_rules! integers {
    ($($kind:ty),+) => {
        $(
            impl FromSql for $kind {
                fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
                    let number = i64::column_result(value)?;
                    Self::try_from(number).map_err(|_| FromSqlError::Range(number))
                }
            }

            impl ToSql for $kind {
                fn value(&self) -> ValueRef<'_> {
                    ValueRef::Integer(i64::from(*self))
                }
            }
        )+
    };
}
integers!(u8, u16, i32, u32);

impl FromSql for i64 {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        match value {
            ValueRef::Integer(number) => Ok(number),
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
                Err(FromSqlError::Kind)
            }
        }
    }
}

impl FromSql for bool {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        Ok(i64::column_result(value)? != 0)
    }
}

impl FromSql for f64 {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        match value {
            ValueRef::Real(number) => Ok(number),
            // A column of numbers may have stored a whole one as an integer.
            ValueRef::Integer(number) => Ok(number as Self),
            ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => Err(FromSqlError::Kind),
        }
    }
}

impl FromSql for String {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        match value {
            ValueRef::Text(text) => Ok(std::str::from_utf8(text)?.to_owned()),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => {
                Err(FromSqlError::Kind)
            }
        }
    }
}

impl FromSql for Vec<u8> {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        blob(value).map(<[u8]>::to_vec)
    }
}

impl<const N: usize> FromSql for [u8; N] {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        let bytes = blob(value)?;
        bytes.try_into().map_err(|_| FromSqlError::Length(bytes.len()))
    }
}

impl<T: FromSql> FromSql for Option<T> {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        match value {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
                T::column_result(value).map(Some)
            }
        }
    }
}

impl FromSql for Value {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(_) => Self::Text(String::column_result(value)?),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        })
    }
}

fn blob(value: ValueRef<'_>) -> Result<&[u8], FromSqlError> {
    match value {
        ValueRef::Blob(bytes) => Ok(bytes),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) => {
            Err(FromSqlError::Kind)
        }
    }
}

impl ToSql for i64 {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Integer(*self)
    }
}

impl ToSql for bool {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Integer(i64::from(*self))
    }
}

impl ToSql for f64 {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Real(*self)
    }
}

impl ToSql for str {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Text(self.as_bytes())
    }
}

impl ToSql for String {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Text(self.as_bytes())
    }
}

impl ToSql for [u8] {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl ToSql for Vec<u8> {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl<const N: usize> ToSql for [u8; N] {
    fn value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl<T: ToSql> ToSql for Option<T> {
    fn value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, T::value)
    }
}

impl<T: ToSql + ?Sized> ToSql for &T {
    fn value(&self) -> ValueRef<'_> {
        (**self).value()
    }
}

impl ToSql for Value {
    fn value(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_as_it_was_written_and_as_nothing_else() {
        assert_eq!(u8::column_result(200_u8.value()), Ok(200));
        assert_eq!(u8::column_result(ValueRef::Integer(256)), Err(FromSqlError::Range(256)));
        assert_eq!(<[u8; 2]>::column_result([1_u8, 2].value()), Ok([1, 2]));
        assert_eq!(<[u8; 3]>::column_result([1_u8, 2].value()), Err(FromSqlError::Length(2)));
        assert_eq!(String::column_result("lamp".value()), Ok("lamp".to_owned()));
        assert_eq!(String::column_result(ValueRef::Blob(b"lamp")), Err(FromSqlError::Kind));
        assert_eq!(Option::<i64>::column_result(None::<i64>.value()), Ok(None));
        assert_eq!(i64::column_result(ValueRef::Null), Err(FromSqlError::Kind));
        let text = Value::Text("lamp".to_owned());
        assert_eq!(Value::column_result(text.value()), Ok(text));
    }
}
