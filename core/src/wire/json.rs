//! JSON without allocation and without recursion (RFC 8259).
//!
//! [`members`] walks the members of one object; values are slices of the input, and the grammar is
//! checked to the last byte. A repeated key is reported each time, in order; the caller lets the
//! last one win. Nesting is bounded by [`JSON_DEPTH`].

use crate::error::Malformed;
use crate::limits::{JSON_DEPTH, NUMBER_CHARS};
use crate::serial::serial_text;

/// One JSON value. Strings, arrays and objects stay text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Value<'b> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as written.
    Number(Number<'b>),
    /// A string, escapes unresolved.
    Text(Text<'b>),
    /// An array, brackets included.
    Array(&'b str),
    /// An object, braces included.
    Object(&'b str),
}

/// A number as written. Callers convert it to a binary number themselves, so a device that only
/// sends numbers links no float code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Number<'b>(&'b str);

impl<'b> Number<'b> {
    /// Accepts a number of the JSON grammar of at most 40 characters.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let mut scan = Scan::new(text);
        (text.len() <= NUMBER_CHARS && scan.number().is_ok() && scan.peek().is_none())
            .then_some(Self(text))
    }

    /// Returns the number as written.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

serial_text!(Number, Number::parse, as_str);

/// A string as written, without its quotes and with its escapes unresolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Text<'b> {
    raw: &'b str,
    /// `true` if there is an escape in it.
    escaped: bool,
}

impl<'b> Text<'b> {
    /// Iterates over the characters of the string. An escape of half a surrogate pair yields
    /// `None`.
    pub fn chars(&self) -> impl Iterator<Item = Option<char>> + use<'b> {
        Unescape { rest: self.raw.chars() }
    }

    /// Returns `true` if the unescaped string equals `text`.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        // Most texts have no escapes, so plain comparison is the fast path.
        if self.escaped { self.chars().eq(text.chars().map(Some)) } else { self.raw == text }
    }

    /// Returns the unescaped string: the input itself if it has no escapes, otherwise decoded into
    /// the front of `room`, which then keeps the rest. Returns `None` for half a surrogate pair or
    /// a lack of room.
    #[must_use]
    pub fn decode(&self, room: &mut &'b mut [u8]) -> Option<&'b str> {
        if !self.escaped {
            return Some(self.raw);
        }
        // The length is measured first, so that a text that does not fit leaves `room` unchanged.
        let mut needed = 0usize;
        for c in self.chars() {
            needed = needed.checked_add(c?.len_utf8())?;
            if needed > room.len() {
                return None;
            }
        }
        let (mine, rest) = core::mem::take(room).split_at_mut_checked(needed)?;
        *room = rest;
        let mut at = 0usize;
        for c in self.chars().flatten() {
            let place = mine.get_mut(at..)?.get_mut(..c.len_utf8())?;
            c.encode_utf8(place);
            at = at.checked_add(c.len_utf8())?;
        }
        core::str::from_utf8(mine).ok()
    }
}

struct Unescape<'b> {
    rest: core::str::Chars<'b>,
}

impl Iterator for Unescape<'_> {
    type Item = Option<char>;

    fn next(&mut self) -> Option<Self::Item> {
        let c = self.rest.next()?;
        if c != '\\' {
            return Some(Some(c));
        }
        Some(match self.rest.next()? {
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => {
                let first = self.unit();
                match first {
                    0xd800..0xdc00 => self.low_half(first),
                    _ => char::from_u32(first),
                }
            }
            // The grammar leaves only `"`, `\` and `/`, which stand for themselves.
            other => Some(other),
        })
    }
}

impl Unescape<'_> {
    /// Reads four hex digits; the grammar was checked before.
    fn unit(&mut self) -> u32 {
        let digits = self.rest.by_ref().take(4);
        // The grammar has checked the digits already.
        digits.fold(0, |unit, c| unit << 4 | c.to_digit(16).unwrap_or(0))
    }

    /// Joins a high surrogate with the low one that must follow. If none does, the following
    /// characters stay for the next call.
    fn low_half(&mut self, high: u32) -> Option<char> {
        let mut ahead = Unescape { rest: self.rest.clone() };
        if ahead.rest.next() != Some('\\') || ahead.rest.next() != Some('u') {
            return None;
        }
        let low = ahead.unit();
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        self.rest = ahead.rest;
        let above_the_basic_plane = (high & 0x3ff) << 10 | low & 0x3ff;
        char::from_u32(above_the_basic_plane.wrapping_add(0x1_0000))
    }
}

/// Walks the members of the object in `text`, in order. The whole text is checked, so an error may
/// come after some members.
///
/// # Errors
/// [`Malformed::Json`] for broken grammar or excessive nesting, [`Malformed::NotAnObject`] for any
/// other valid value.
pub fn members<'b>(text: &'b str, visit: impl FnMut(Text<'b>, Value<'b>)) -> Result<(), Malformed> {
    object_of(Scan::new(text), visit)
}

/// Walks the members as [`members`] does, and accepts Python's `NaN`, `Infinity` and `-Infinity`,
/// which are not JSON. They count as `null`.
///
/// # Errors
/// The same as for [`members`].
pub fn members_of_python<'b>(
    text: &'b str,
    visit: impl FnMut(Text<'b>, Value<'b>),
) -> Result<(), Malformed> {
    object_of(Scan { python: true, ..Scan::new(text) }, visit)
}

/// Rewrites a text that [`members_of_python`] accepts into JSON, with `null` in place of Python's
/// extra numbers. Returns `None` if it does not fit.
pub fn without_python<'o>(text: &str, out: &'o mut [u8]) -> Option<&'o str> {
    let (mut at, mut rest, mut in_string) = (0usize, text, false);
    while let Some(first) = rest.chars().next() {
        let found = PYTHON.iter().find(|word| !in_string && rest.starts_with(**word));
        let (taken, written) = match (found, first) {
            (Some(word), _) => (word.len(), "null"),
            // An escaped character neither ends nor begins a string.
            (None, '\\') => {
                let two = rest.char_indices().nth(2).map_or(rest.len(), |(two, _)| two);
                (two, rest.get(..two)?)
            }
            (None, _) => (first.len_utf8(), rest.get(..first.len_utf8())?),
        };
        in_string ^= first == '"';
        let end = at.checked_add(written.len())?;
        out.get_mut(at..end)?.copy_from_slice(written.as_bytes());
        at = end;
        rest = rest.get(taken..)?;
    }
    core::str::from_utf8(out.get(..at)?).ok()
}

/// The numbers that Python's `json` writes and JSON does not have.
const PYTHON: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

fn object_of<'b>(
    mut scan: Scan<'b>,
    mut visit: impl FnMut(Text<'b>, Value<'b>),
) -> Result<(), Malformed> {
    scan.space();
    if scan.peek() != Some(b'{') {
        // The whole text is scanned, to tell another valid value from broken JSON.
        scan.value().and_then(|_| scan.end()).map_err(|Syntax| Malformed::Json)?;
        return Err(Malformed::NotAnObject);
    }
    scan.object(&mut visit).and_then(|()| scan.end()).map_err(|Syntax| Malformed::Json)
}

struct Syntax;

struct Scan<'b> {
    text: &'b str,
    at: usize,
    /// `true` if Python's extra numbers are accepted.
    python: bool,
}

impl<'b> Scan<'b> {
    const fn new(text: &'b str) -> Self {
        Self { text, at: 0, python: false }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn bump(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.bump();
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Syntax> {
        if self.peek() != Some(byte) {
            return Err(Syntax);
        }
        self.bump();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Syntax> {
        self.space();
        self.peek().map_or(Ok(()), |_| Err(Syntax))
    }

    fn since(&self, start: usize) -> Result<&'b str, Syntax> {
        self.text.get(start..self.at).ok_or(Syntax)
    }

    fn object(&mut self, visit: &mut impl FnMut(Text<'b>, Value<'b>)) -> Result<(), Syntax> {
        self.expect(b'{')?;
        self.space();
        if self.peek() == Some(b'}') {
            self.bump();
            return Ok(());
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            let value = self.value()?;
            visit(key, value);
            self.space();
            match self.peek() {
                Some(b',') => self.bump(),
                _ => return self.expect(b'}'),
            }
        }
    }

    fn value(&mut self) -> Result<Value<'b>, Syntax> {
        let start = self.at;
        match self.peek().ok_or(Syntax)? {
            b'"' => self.string().map(Value::Text),
            open @ (b'{' | b'[') => {
                self.nested()?;
                let text = self.since(start)?;
                Ok(if open == b'{' { Value::Object(text) } else { Value::Array(text) })
            }
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Value<'b>, Syntax> {
        match self.peek().ok_or(Syntax)? {
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            // `N` and `I` begin no JSON value; a minus sign may also begin an ordinary number.
            b'N' | b'I' | b'-' if self.python && self.python_number() => Ok(Value::Null),
            _ => self.number().map(|text| Value::Number(Number(text))),
        }
    }

    /// Skips one of Python's extra numbers; returns `false` if there is none here.
    fn python_number(&mut self) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let found = PYTHON.iter().find(|word| rest.starts_with(word.as_bytes()));
        self.at = self.at.saturating_add(found.map_or(0, |word| word.len()));
        found.is_some()
    }

    fn word(&mut self, word: &str, value: Value<'b>) -> Result<Value<'b>, Syntax> {
        word.bytes().try_for_each(|byte| self.expect(byte)).map(|()| value)
    }

    fn string(&mut self) -> Result<Text<'b>, Syntax> {
        self.expect(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.bump();
                    self.escape()?;
                }
                // Control characters must be escaped (RFC 8259, section 7).
                _ => return Err(Syntax),
            }
        }
        let raw = self.since(start)?;
        self.bump();
        Ok(Text { raw, escaped })
    }

    /// Skips the characters of a string up to one that ends it, begins an escape or is forbidden.
    fn plain(&mut self) {
        // Without branches, so that the compiler vectorises the test of eight characters.
        let special = |byte: &u8| (*byte == b'"') | (*byte == b'\\') | (*byte < 0x20);
        let mut rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        while let Some((eight, behind)) = rest.split_first_chunk::<8>()
            && !eight.iter().fold(false, |any, byte| any | special(byte))
        {
            rest = behind;
        }
        let left =
            rest.iter().position(special).map_or(0, |plain| rest.len().saturating_sub(plain));
        self.at = self.text.len().saturating_sub(left);
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.bump(),
            Some(b'u') => {
                self.bump();
                for _ in 0..4 {
                    if !self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                        return Err(Syntax);
                    }
                    self.bump();
                }
            }
            _ => return Err(Syntax),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'b str, Syntax> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.bump();
        }
        // A leading zero stands alone: `01` is not a JSON number.
        if self.peek() == Some(b'0') {
            self.bump();
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.bump();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.bump();
            if let Some(b'+' | b'-') = self.peek() {
                self.bump();
            }
            self.digits()?;
        }
        self.since(start)
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
        }
        if self.at == start { Err(Syntax) } else { Ok(()) }
    }

    /// Skips an object or an array. The kind of each open level is one bit, so depth costs no
    /// stack.
    fn nested(&mut self) -> Result<(), Syntax> {
        let mut depth = 0u32;
        // `JSON_DEPTH` is 127, so 128 bits hold the kinds of all open levels.
        let mut objects = 0u128;
        loop {
            // A value is due here.
            self.space();
            match self.peek().ok_or(Syntax)? {
                open @ (b'{' | b'[') => {
                    self.bump();
                    depth = depth.saturating_add(1);
                    // The object that `members` walks counts as a level, too.
                    if depth >= JSON_DEPTH {
                        return Err(Syntax);
                    }
                    objects = objects << 1 | u128::from(open == b'{');
                    self.space();
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(close) {
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => {
                    self.string()?;
                }
                _ => {
                    self.scalar()?;
                }
            }
            // A value has ended here: levels are closed until one continues.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.space();
                let in_object = objects & 1 == 1;
                match self.peek().ok_or(Syntax)? {
                    b',' => {
                        self.bump();
                        if in_object {
                            self.space();
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if in_object => self.bump(),
                    b']' if !in_object => self.bump(),
                    _ => return Err(Syntax),
                }
                depth = depth.saturating_sub(1);
                objects >>= 1;
            }
        }
    }

    fn key(&mut self) -> Result<(), Syntax> {
        self.string()?;
        self.space();
        self.expect(b':')
    }
}

#[cfg(test)]
mod tests;
