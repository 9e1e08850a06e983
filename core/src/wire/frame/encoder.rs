//! The one encoder of frames. It yields byte by byte, so that a device stores no frame beside its
//! message.

use super::crc32;
use crate::limits::MESSAGE_BYTES;

/// Maximum number of bytes in a COBS group.
const GROUP: usize = 254;

/// The reason for not encoding a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EncodeError {
    /// The message is empty. Its frame would hold only the checksum, which is zero and which a
    /// damaged frame could equal.
    MessageEmpty,
    /// The message is longer than [`MESSAGE_BYTES`].
    MessageTooLong,
    /// The frame does not fit into the buffer; [`crate::limits::STREAM_FRAME`] always suffices.
    BufferTooSmall,
}

/// Writes a message as a frame to the beginning of `out`, and returns the frame.
///
/// # Errors
/// [`EncodeError`], if the message is empty or too long, or the buffer too small.
pub fn encode<'o>(message: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], EncodeError> {
    if message.is_empty() {
        return Err(EncodeError::MessageEmpty);
    }
    if message.len() > MESSAGE_BYTES {
        return Err(EncodeError::MessageTooLong);
    }
    let mut length = 0usize;
    for byte in frame(message) {
        *out.get_mut(length).ok_or(EncodeError::BufferTooSmall)? = byte;
        length = length.saturating_add(1);
    }
    out.get(..length).ok_or(EncodeError::BufferTooSmall)
}

/// Yields the bytes of a message's frame. The caller bounds the message, which [`encode`] does by
/// itself.
pub fn frame(message: &[u8]) -> impl Iterator<Item = u8> {
    // The zero in front ends whatever noise came before, so that a reader finds this frame.
    core::iter::once(0).chain(Stuffed::new(message, crc32(message).to_le_bytes())).chain([0])
}

/// The bytes of a message and its checksum, stuffed by COBS into groups of a code and up to 254
/// bytes. The code is one more than the number of bytes; it stands for a zero after them, unless it
/// is 255 or the last.
struct Stuffed<'m, const N: usize> {
    message: &'m [u8],
    checksum: [u8; N],
    /// Index of the next byte to read.
    at: usize,
    /// Bytes of this group that are still to be written.
    left: usize,
    /// A zero follows this group's bytes; the group's code stands for it.
    zero: bool,
    /// The last group had 254 bytes, so it may end the frame without a closing group.
    full: bool,
    ended: bool,
}

impl<'m, const N: usize> Stuffed<'m, N> {
    const fn new(message: &'m [u8], checksum: [u8; N]) -> Self {
        Self { message, checksum, at: 0, left: 0, zero: false, full: false, ended: false }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        // The checksum follows the message without a copy of both in one buffer.
        let after = at.checked_sub(self.message.len());
        match after {
            None => self.message.get(at).copied(),
            Some(after) => self.checksum.get(after).copied(),
        }
    }
}

impl<const N: usize> Iterator for Stuffed<'_, N> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let byte = self.byte(self.at);
            self.at = self.at.saturating_add(1);
            return byte;
        }
        // The zero itself is not sent: the code of its group stands for it.
        if self.zero {
            self.at = self.at.saturating_add(1);
        } else if self.ended || (self.full && self.byte(self.at).is_none()) {
            return None;
        }
        // The next group ends before a zero, at the end, or at 254 bytes.
        let bytes = (0..GROUP).take_while(|ahead| {
            !matches!(self.byte(self.at.saturating_add(*ahead)), Some(0) | None)
        });
        self.left = bytes.count();
        self.full = self.left == GROUP;
        let next = self.byte(self.at.saturating_add(self.left));
        self.zero = !self.full && next == Some(0);
        self.ended = !self.full && next.is_none();
        u8::try_from(self.left.saturating_add(1)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn stuffed(bytes: &[u8]) -> Vec<u8> {
        Stuffed::new(bytes, []).collect()
    }

    #[test]
    fn stuffing_gives_the_well_known_examples() {
        let counting = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
        assert_eq!(stuffed(&[0]), [1, 1]);
        assert_eq!(stuffed(&[0, 0]), [1, 1, 1]);
        assert_eq!(stuffed(&[0, 0x11, 0]), [1, 2, 0x11, 1]);
        assert_eq!(stuffed(&[0x11, 0x22, 0, 0x33]), [3, 0x11, 0x22, 2, 0x33]);
        assert_eq!(stuffed(&[0x11, 0, 0, 0]), [2, 0x11, 1, 1, 1]);
        assert_eq!(stuffed(&counting(1, 254)), [&[255][..], &counting(1, 254)].concat());
        assert_eq!(stuffed(&counting(0, 254)), [&[1, 255][..], &counting(1, 254)].concat());
        assert_eq!(stuffed(&counting(1, 255)), [&[255][..], &counting(1, 254), &[2, 255]].concat());
        let zero_at_255 = [&counting(2, 255)[..], &[0]].concat();
        assert_eq!(stuffed(&zero_at_255), [&[255][..], &counting(2, 255), &[1, 1]].concat());
    }
}
