//! Messages on a byte stream (UART, TCP). Each message is followed by its CRC-32, stuffed by COBS
//! so that it holds no zero byte, and set between two zero bytes. The leading zero costs a byte; it
//! separates a frame from noise or from a frame that broke off before it.
//!
//! CRC-32 is that of IEEE 802.3 (reflected, 0xEDB88320), little endian. COBS is the form without an
//! empty group after a last group of 254.

mod encoder;

pub use encoder::{EncodeError, encode, frame};

use crate::limits::{CHECKSUM_BYTES, STREAM_BUFFER};

/// A defect of an incoming frame. The decoder continues with the next frame after each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FrameError {
    /// The frame ended within a group of COBS, or is too short for a message and its checksum.
    Truncated,
    /// The message is longer than [`MESSAGE_BYTES`](crate::limits::MESSAGE_BYTES) or than the
    /// buffer. It is reported at the first
    /// excess byte, and the rest of the frame is skipped.
    TooLong,
    /// The checksum does not match the message.
    Checksum,
    /// The COBS encoding is not the one that [`encode`] writes.
    NotCanonical,
}

/// The code of a group of 254 bytes, which no zero follows.
const FULL: u8 = 255;

/// A reader of frames from a stream that arrives in pieces of any size. The buffer holds one
/// message and its checksum; [`STREAM_BUFFER`] bytes suffice for all.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameDecoder<B> {
    buffer: B,
    cutter: Cutter,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> FrameDecoder<B> {
    /// Makes a decoder at the beginning of a stream. In a buffer smaller than [`STREAM_BUFFER`],
    /// longer messages are [`FrameError::TooLong`].
    #[must_use]
    pub const fn new(buffer: B) -> Self {
        Self { buffer, cutter: Cutter::new() }
    }

    /// Takes bytes from the front of `input` until a frame ends, valid or not. Returns `None` once
    /// all bytes are taken; the caller repeats the call until then.
    pub fn read(&mut self, input: &mut &[u8]) -> Option<Result<&[u8], FrameError>> {
        let cut = self.cutter.read(input, self.buffer.as_mut())?;
        Some(cut.map(|length| self.buffer.as_ref().get(..length).unwrap_or_default()))
    }
}

/// A [`FrameDecoder`] without its buffer, for callers that decrypt messages in place while the
/// decoder still holds the stream.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Cutter {
    filled: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    /// Between two frames.
    Between,
    /// Within a frame, in this group.
    Within(Group),
    /// Within a frame that was found too long.
    Skipping,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Group {
    /// The number of bytes of the group that are still to come.
    left: u8,
    /// `true` for a group of 254 bytes, which no zero follows.
    full: bool,
    /// `true` if the encoder would omit the group as the last one: an empty group after a full one.
    needless: bool,
}

impl Group {
    const fn new(code: u8, after_full: bool) -> Self {
        Self { left: code.saturating_sub(1), full: code == FULL, needless: after_full && code == 1 }
    }
}

impl Cutter {
    /// Makes a cutter at the beginning of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { filled: 0, state: State::Between }
    }

    /// Reads as [`FrameDecoder::read`] does, into `buffer`, and returns the length of the message.
    /// The caller passes the same buffer, unchanged, until a frame ends.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        buffer: &mut [u8],
    ) -> Option<Result<usize, FrameError>> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if let Some(cut) = self.take(byte, buffer) {
                return Some(cut);
            }
        }
        None
    }

    /// Takes one byte; returns the length of the message in the buffer if the byte ends a frame.
    fn take(&mut self, byte: u8, buffer: &mut [u8]) -> Option<Result<usize, FrameError>> {
        let (state, answer) = match (self.state, byte) {
            // Zeros between frames carry nothing; after an error they mark the next beginning.
            (State::Between | State::Skipping, 0) => (State::Between, None),
            (State::Skipping, _) => (State::Skipping, None),
            (State::Between, code) => {
                self.filled = 0;
                (State::Within(Group::new(code, false)), None)
            }
            (State::Within(group), 0) => (State::Between, Some(self.finish(group, buffer))),
            (State::Within(Group { left: 0, full, .. }), code) => {
                // A group of fewer than 254 bytes stands for a zero behind it.
                let fits = if full { Ok(()) } else { self.keep(0, buffer) };
                going_on(fits, Group::new(code, full))
            }
            (State::Within(group), byte) => {
                let fits = self.keep(byte, buffer);
                going_on(fits, Group { left: group.left.saturating_sub(1), ..group })
            }
        };
        self.state = state;
        answer
    }

    fn keep(&mut self, byte: u8, buffer: &mut [u8]) -> Result<(), FrameError> {
        // A larger buffer does not make the longest message longer.
        let room = buffer.get_mut(self.filled).filter(|_| self.filled < STREAM_BUFFER);
        *room.ok_or(FrameError::TooLong)? = byte;
        self.filled = self.filled.saturating_add(1);
        Ok(())
    }

    fn finish(&self, group: Group, buffer: &[u8]) -> Result<usize, FrameError> {
        let body = buffer.get(..self.filled).unwrap_or_default();
        match body.split_last_chunk::<CHECKSUM_BYTES>() {
            Some((message, checksum)) if group.left == 0 && !message.is_empty() => {
                // The same bytes have a shorter encoding, and only one is accepted.
                if group.needless {
                    Err(FrameError::NotCanonical)
                } else if crc32(message).to_le_bytes() != *checksum {
                    Err(FrameError::Checksum)
                } else {
                    Ok(message.len())
                }
            }
            Some(_) | None => Err(FrameError::Truncated),
        }
    }
}

impl Default for Cutter {
    fn default() -> Self {
        Self::new()
    }
}

fn going_on(
    fits: Result<(), FrameError>,
    group: Group,
) -> (State, Option<Result<usize, FrameError>>) {
    match fits {
        Ok(()) => (State::Within(group), None),
        Err(error) => (State::Skipping, Some(Err(error))),
    }
}

/// Computes the CRC-32 of IEEE 802.3. It detects line errors, not tampering.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let by_half_byte = |crc: u32, low: u32| {
        let entry = usize::try_from((crc ^ low) & 0xf).ok().and_then(|at| CRC_OF_HALF_BYTE.get(at));
        crc >> 4 ^ entry.copied().unwrap_or(0)
    };
    !bytes
        .iter()
        .map(|&byte| u32::from(byte))
        .fold(!0, |crc, byte| by_half_byte(by_half_byte(crc, byte), byte >> 4))
}

/// The CRC of each half byte. The table takes 64 bytes of flash and a third of the time of a
/// bitwise loop.
const CRC_OF_HALF_BYTE: [u32; 16] = {
    let mut table = [0; 16];
    let mut rest: &mut [u32] = &mut table;
    let mut half_byte: u32 = 0;
    while let [entry, others @ ..] = rest {
        *entry = half_byte;
        let mut bit = 0;
        while bit < 4 {
            *entry = (*entry >> 1) ^ (0xedb8_8320 & (*entry & 1).wrapping_neg());
            bit = u32::wrapping_add(bit, 1);
        }
        half_byte = half_byte.wrapping_add(1);
        rest = others;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_has_its_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
