//! The calls of the host, as bytes.
//!
//! ```text
//! call  = number *field       number: u8; a phone's calls begin at 32
//! field = length bytes        length: u16 LE; texts are UTF-8
//! ```
//!
//! An optional boolean is no byte, or 0 or 1.

/// The fields of a call that are not read yet.
pub(crate) struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    /// Returns the number of a call and its fields; `None` if there is no byte.
    pub(crate) fn of(call: &'b [u8]) -> Option<(u8, Self)> {
        let (&number, rest) = call.split_first()?;
        Some((number, Self(rest)))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (field, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        self.0 = rest;
        Some(field)
    }

    pub(crate) fn text(&mut self) -> Option<&'b str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn boolean(&mut self) -> Option<Option<bool>> {
        match self.bytes()? {
            [] => Some(None),
            [0] => Some(Some(false)),
            [1] => Some(Some(true)),
            _ => None,
        }
    }

    /// Returns `true` if all fields are read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
