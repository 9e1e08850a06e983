//! A JSON writer into a fixed buffer.

use super::json::Number;

/// A writer of one flat object, member by member. A member that does not fit makes the result
/// `None`, so a truncated message is never sent.
pub struct ObjectWriter<'b> {
    out: &'b mut [u8],
    len: usize,
    fits: bool,
    first: bool,
}

impl<'b> ObjectWriter<'b> {
    /// Starts an object at the front of `out`.
    pub fn new(out: &'b mut [u8]) -> Self {
        let mut writer = Self { out, len: 0, fits: true, first: true };
        writer.raw("{");
        writer
    }

    /// Writes a member with a text, escaped as JSON demands.
    #[must_use]
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        self.raw("\"");
        for c in value.chars() {
            self.character(c);
        }
        self.raw("\"");
        self
    }

    /// Writes a member with `true`, `false` or, for `None`, `null`.
    #[must_use]
    pub fn boolean(self, key: &str, value: Option<bool>) -> Self {
        self.verbatim(
            key,
            match value {
                Some(true) => "true",
                Some(false) => "false",
                None => "null",
            },
        )
    }

    /// Writes a member with a number or, for `None`, `null`.
    #[must_use]
    pub fn number(self, key: &str, value: Option<Number<'_>>) -> Self {
        self.verbatim(key, value.map_or("null", |number| number.as_str()))
    }

    /// Writes a member whose value is JSON already.
    #[must_use]
    pub fn verbatim(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.raw(json);
        self
    }

    /// Ends the object and returns its text. Returns `None` if it did not fit.
    #[must_use]
    pub fn finish(mut self) -> Option<&'b str> {
        self.raw("}");
        let Self { out, len, fits, .. } = self;
        let written = if fits { out.get(..len)? } else { return None };
        core::str::from_utf8(written).ok()
    }

    fn key(&mut self, key: &str) {
        if !core::mem::replace(&mut self.first, false) {
            self.raw(",");
        }
        self.raw("\"");
        // Keys are constants, and none has a character to escape.
        self.raw(key);
        self.raw("\":");
    }

    fn character(&mut self, c: char) {
        match c {
            '"' => self.raw("\\\""),
            '\\' => self.raw("\\\\"),
            // One form of escape serves all control characters.
            '\u{0}'..='\u{1f}' => {
                let code = u32::from(c).to_le_bytes()[0];
                let digits = [crate::id::hex_digit(code >> 4), crate::id::hex_digit(code)];
                self.raw("\\u00");
                self.bytes(&digits);
            }
            _ => {
                let mut utf8 = [0; 4];
                self.raw(c.encode_utf8(&mut utf8));
            }
        }
    }

    fn raw(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.out.get_mut(self.len..end) {
            Some(place) => {
                // Both have the same length. Unlike `copy_from_slice`, this has no path that
                // panics.
                for (to, from) in place.iter_mut().zip(bytes) {
                    *to = *from;
                }
                self.len = end;
            }
            None => self.fits = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_with_their_escapes() {
        let mut out = [0; 128];
        let written = ObjectWriter::new(&mut out)
            .text("t", "a\"b\\c\n\u{1}é")
            .boolean("b", None)
            .number("n", Number::parse("-1.5"))
            .verbatim("o", "{}")
            .finish();
        assert_eq!(written, Some(r#"{"t":"a\"b\\c\u000a\u0001é","b":null,"n":-1.5,"o":{}}"#));
    }

    #[test]
    fn what_does_not_fit_is_not_there_at_all() {
        let mut out = [0; 9];
        assert_eq!(ObjectWriter::new(&mut out).text("a", "bc").finish(), None);
        let mut out = [0; 10];
        assert_eq!(ObjectWriter::new(&mut out).text("a", "bc").finish(), Some(r#"{"a":"bc"}"#));
    }
}
