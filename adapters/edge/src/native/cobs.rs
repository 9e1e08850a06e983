//! COBS framing byte by byte, so that no frame is ever stored beside its message.

use handfast_core::wire::frame::crc32;

/// Maximum number of bytes in a COBS group.
const GROUP: usize = 254;

/// Yields the bytes of a message's frame, as [`handfast_core::wire::frame::encode`] writes them.
pub(super) fn frame(message: &[u8]) -> impl Iterator<Item = u8> {
    let checksum = crc32(message).to_le_bytes();
    core::iter::once(0)
        .chain(Stuffed {
            message,
            checksum,
            at: 0,
            left: 0,
            zero: false,
            full: false,
            ended: false,
        })
        .chain([0])
}

struct Stuffed<'m> {
    message: &'m [u8],
    checksum: [u8; 4],
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

impl Stuffed<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        // The checksum follows the message without a copy of both in one buffer.
        let after = at.checked_sub(self.message.len());
        match after {
            None => self.message.get(at).copied(),
            Some(after) => self.checksum.get(after).copied(),
        }
    }
}

impl Iterator for Stuffed<'_> {
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
    use handfast_core::limits::{MESSAGE_BYTES, STREAM_FRAME};
    use handfast_core::wire::frame::encode;
    use std::vec::Vec;

    #[test]
    fn every_frame_is_the_one_that_the_core_writes() {
        let mut out = [0; STREAM_FRAME];
        for length in (1..=MESSAGE_BYTES).filter(|n| *n < 20 || n % 254 < 6 || n % 254 > 246) {
            // No zeros, many, few, and one at each place around the end of a group.
            for seed in 0..12 {
                let byte = |at: usize| match seed {
                    0 => 1,
                    1 => 0,
                    2 => (at * 7 % 3) as u8,
                    3 => (at * 31 % 251) as u8,
                    seed => u8::from(!(at + seed).is_multiple_of(254)),
                };
                let message: Vec<u8> = (0..length).map(byte).collect();
                let expected = encode(&message, &mut out).unwrap();
                assert!(frame(&message).eq(expected.iter().copied()), "{length} {seed}");
            }
        }
    }
}
