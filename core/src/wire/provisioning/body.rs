//! Reading the fields of a body, with all that is wrong in it at once.

use super::super::json::{self, Value};
use super::Country;
use crate::error::Malformed;
use crate::limits::{EXTERNAL_ID_BYTES, LABEL_BYTES, PROVISIONING_FIELDS};
use crate::text::Label;
use crate::time::{UnixTime, rfc3339};

/// A defect of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BodyDefect {
    /// The body is not JSON.
    NotJson,
    /// The body is JSON but not an object.
    NotAnObject,
    /// These fields are wrong.
    Fields(FieldDefects),
}

/// The fields of a body that are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FieldDefects {
    names: &'static [&'static str],
    problems: [Option<Problem>; PROVISIONING_FIELDS],
}

impl FieldDefects {
    /// Iterates over the names of the fields and their problems, in the order of the request's
    /// fields.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Problem)> {
        let named = self.names.iter().zip(self.problems);
        named.filter_map(|(name, problem)| Some((*name, problem?)))
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Problem {
    /// The field is missing.
    Missing,
    /// The field is not a string.
    NotText,
    /// The text is empty.
    Empty,
    /// The text is longer than this number of bytes.
    TooLong(u16),
    /// The text has a character that is not allowed there.
    Characters,
    /// The value is not a time.
    NotATime,
    /// The text is no invitation of a gateway.
    NotAnInvitation,
    /// The text is no code of a country.
    NotACountry,
}

/// Reads the fields of one body. A field that is wrong is noted and read as empty; the result is
/// given out only if none is.
pub(super) struct Reader<'b, const N: usize> {
    values: [Option<Value<'b>>; N],
    room: &'b mut [u8],
    defects: FieldDefects,
}

impl<'b, const N: usize> Reader<'b, N> {
    pub(super) fn new(
        body: &'b str,
        names: &'static [&'static str; N],
        room: &'b mut [u8],
    ) -> Result<Self, BodyDefect> {
        const { assert!(N <= PROVISIONING_FIELDS, "each field has room for its problem") };
        let mut values = [None; N];
        json::members(body, |key, value| {
            for (name, place) in names.iter().zip(&mut values) {
                // The last of a repeated member counts.
                if key.is(name) {
                    *place = Some(value);
                }
            }
        })
        .map_err(|defect| match defect {
            Malformed::Json => BodyDefect::NotJson,
            Malformed::NotAnObject | Malformed::Field(_) => BodyDefect::NotAnObject,
        })?;
        let defects = FieldDefects { names, problems: [None; PROVISIONING_FIELDS] };
        Ok(Self { values, room, defects })
    }

    pub(super) fn finish<T>(self, read: T) -> Result<T, BodyDefect> {
        match self.defects.iter().next() {
            None => Ok(read),
            Some(_) => Err(BodyDefect::Fields(self.defects)),
        }
    }

    /// Notes a problem. The first one of a field counts.
    pub(super) fn wrong<T>(&mut self, name: &str, problem: Problem) -> Option<T> {
        let places = self.defects.names.iter().zip(&mut self.defects.problems);
        for (_, place) in places.filter(|(other, _)| **other == name) {
            place.get_or_insert(problem);
        }
        None
    }

    fn value(&self, name: &str) -> Option<Value<'b>> {
        let at = self.defects.names.iter().position(|other| *other == name)?;
        self.values.get(at).copied().flatten()
    }

    fn checked(&mut self, name: &'static str, value: Value<'b>, most: usize) -> Option<&'b str> {
        match value {
            Value::Text(text) => match text.decode(&mut self.room) {
                Some(text) if text.len() <= most => Some(text),
                Some(_) => {
                    self.wrong(name, Problem::TooLong(u16::try_from(most).unwrap_or(u16::MAX)))
                }
                None => self.wrong(name, Problem::Characters),
            },
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => self.wrong(name, Problem::NotText),
        }
    }

    pub(super) fn text(&mut self, name: &'static str, most: usize) -> &'b str {
        match self.value(name) {
            Some(value) => self.checked(name, value, most),
            None => self.wrong(name, Problem::Missing),
        }
        .unwrap_or_default()
    }

    pub(super) fn optional(&mut self, name: &'static str, most: usize) -> Option<&'b str> {
        match self.value(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.checked(name, value, most),
        }
    }

    pub(super) fn some(&mut self, name: &'static str, most: usize) -> &'b str {
        let text = self.text(name, most);
        if text.is_empty() {
            self.wrong::<()>(name, Problem::Empty);
        }
        text
    }

    /// Reads visible ASCII, which may stand in the header of a request.
    pub(super) fn visible(&mut self, name: &'static str, most: usize) -> &'b str {
        let text = self.some(name, most);
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong::<()>(name, Problem::Characters);
        }
        text
    }

    /// Reads an id, which ends at a colon where it stands before a key.
    pub(super) fn id(&mut self, name: &'static str) -> &'b str {
        let text = self.visible(name, EXTERNAL_ID_BYTES);
        if text.contains(':') {
            self.wrong::<()>(name, Problem::Characters);
        }
        text
    }

    pub(super) fn country(&mut self, name: &'static str) -> Option<Country> {
        let text = self.optional(name, LABEL_BYTES)?;
        Country::parse(text).or_else(|| self.wrong(name, Problem::NotACountry))
    }

    pub(super) fn label(&mut self, name: &'static str) -> Label<'b> {
        let text = self.text(name, LABEL_BYTES);
        match Label::parse(text) {
            Some(label) => label,
            None => self.wrong(name, Problem::Characters).unwrap_or(Label::UNKNOWN),
        }
    }

    /// Reads a time: RFC 3339, or a number of seconds since 1970, or of milliseconds where it is
    /// too large for seconds.
    pub(super) fn time(&mut self, name: &'static str) -> UnixTime {
        let read = match self.value(name) {
            Some(Value::Number(number)) => epoch(number.as_str()),
            Some(Value::Text(text)) => {
                let text = text.decode(&mut self.room).unwrap_or_default();
                rfc3339::read(text).or_else(|| epoch(text))
            }
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
            None => {
                self.wrong::<()>(name, Problem::Missing);
                None
            }
        };
        match read {
            Some(time) => time,
            None => self.wrong(name, Problem::NotATime).unwrap_or_default(),
        }
    }
}

/// Seconds above this are milliseconds: they would lie after the year 2600.
const MOST_SECONDS: u64 = 20_000_000_000;

fn epoch(text: &str) -> Option<UnixTime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    // Rust reads a plus sign before a number, and a time has none.
    let number: u64 = whole.parse().ok().filter(|_| digits && !whole.starts_with('+'))?;
    let seconds = if number > MOST_SECONDS { number / 1000 } else { number };
    Some(UnixTime::from_secs(seconds))
}
