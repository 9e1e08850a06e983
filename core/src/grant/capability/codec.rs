//! The few forms of postcard that a capability token uses, written out: fixed bytes as they are,
//! numbers as LEB128, texts behind their length. Postcard's own reader accepts overlong numbers and
//! does not report the bytes of a value; a signature needs a canonical form and the signed bytes.

use super::MalformedToken;

/// A reader from the front of a byte slice.
#[derive(Clone, Copy)]
pub(super) struct BlockReader<'b>(pub(super) &'b [u8]);

impl<'b> BlockReader<'b> {
    pub(super) fn fixed<const N: usize>(&mut self) -> Result<&'b [u8; N], MalformedToken> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(MalformedToken::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads a number in its shortest form.
    pub(super) fn number(&mut self) -> Result<u64, MalformedToken> {
        let mut value = 0u64;
        let mut shift = 0u32;
        loop {
            let [byte] = *self.fixed()?;
            let bits = u64::from(byte & 0x7f);
            // Bits that are shifted out would give a value a second encoding.
            let placed = bits
                .checked_shl(shift)
                .filter(|placed| placed.wrapping_shr(shift) == bits)
                .ok_or(MalformedToken::Number)?;
            value |= placed;
            if byte & 0x80 == 0 {
                let overlong = byte == 0 && shift > 0;
                return if overlong { Err(MalformedToken::Number) } else { Ok(value) };
            }
            shift = shift.saturating_add(7);
        }
    }

    pub(super) fn text(&mut self) -> Result<&'b str, MalformedToken> {
        let length = usize::try_from(self.number()?).map_err(|_| MalformedToken::Truncated)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(MalformedToken::Truncated)?;
        self.0 = rest;
        core::str::from_utf8(taken).map_err(|_| MalformedToken::Text)
    }

    /// Returns the bytes that were read since an earlier state of this reader.
    pub(super) fn since(&self, earlier: Self) -> &'b [u8] {
        let read = earlier.0.len().saturating_sub(self.0.len());
        earlier.0.get(..read).unwrap_or(&[])
    }
}

/// The buffer has no room for the value.
#[derive(Debug)]
pub(super) struct Full;

/// A writer from the front of a buffer.
pub(super) struct BlockWriter<'o> {
    out: &'o mut [u8],
    written: usize,
}

impl<'o> BlockWriter<'o> {
    pub(super) const fn new(out: &'o mut [u8]) -> Self {
        Self { out, written: 0 }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let free = self.out.get_mut(self.written..).unwrap_or(&mut []);
        free.get_mut(..bytes.len()).ok_or(Full)?.copy_from_slice(bytes);
        self.written = self.written.saturating_add(bytes.len());
        Ok(())
    }

    pub(super) fn number(&mut self, mut value: u64) -> Result<(), Full> {
        while value > 0x7f {
            self.bytes(&[value.to_le_bytes()[0] | 0x80])?;
            value >>= 7;
        }
        self.bytes(&[value.to_le_bytes()[0]])
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), Full> {
        self.number(u64::try_from(text.len()).map_err(|_| Full)?)?;
        self.bytes(text.as_bytes())
    }

    /// Returns the number of bytes written.
    pub(super) const fn written(&self) -> usize {
        self.written
    }

    /// Returns the bytes written from position `start` on.
    pub(super) fn since(&self, start: usize) -> &[u8] {
        self.out.get(start..self.written).unwrap_or(&[])
    }

    /// Returns all bytes written.
    pub(super) fn finish(self) -> &'o [u8] {
        self.out.get(..self.written).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_lengths_are_read_back() {
        for value in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]) {
            let mut out = [0; 10];
            let mut writer = BlockWriter::new(&mut out);
            writer.number(value).unwrap();
            let mut reader = BlockReader(writer.finish());
            assert_eq!(reader.number(), Ok(value));
            assert!(reader.0.is_empty());
        }
    }

    #[test]
    fn overlong_numbers_and_numbers_of_more_than_64_bits_are_refused() {
        let wrong: [&[u8]; 6] = [
            &[0x80, 0],
            &[0xff, 0],
            &[0x81, 0x80, 0],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[0x80; 12],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0],
        ];
        for bytes in wrong {
            assert_eq!(BlockReader(bytes).number(), Err(MalformedToken::Number), "{bytes:x?}");
        }
        assert_eq!(BlockReader(&[0x80]).number(), Err(MalformedToken::Truncated));
    }
}
