//! Decodes a WebSocket server's bytes into events (RFC 6455, section 5), without I/O: any split of
//! the bytes gives the same events.

use crate::error::Violation;

/// Maximum payload of a control frame in bytes.
pub const CONTROL_BYTES: usize = 125;
/// Maximum header length of an unmasked frame in bytes.
const HEADER_BYTES: usize = 10;

/// A decoded event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DecodedEvent {
    /// A text message of this many bytes, checked to be UTF-8, is at the front of the room.
    Text(usize),
    /// A binary message of this many bytes is at the front of the room.
    Binary(usize),
    /// A ping; [`Decoder::control`] holds the payload for the pong.
    Ping,
    /// A pong from the peer.
    Pong,
    /// A close frame, with the code if the peer gave one. Later bytes are ignored.
    Close(Option<u16>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum MessageKind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Content {
    /// Part of a message; the final one if `last` is set.
    Data {
        last: bool,
    },
    Ping,
    Pong,
    Close,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum DecoderStage {
    Header { bytes: [u8; HEADER_BYTES], have: usize },
    Payload { content: Content, left: usize },
    Closed,
    Broken(Violation),
}

const HEADER: DecoderStage = DecoderStage::Header { bytes: [0; HEADER_BYTES], have: 0 };

/// A decoder that parses frames and reassembles messages.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Decoder {
    stage: DecoderStage,
    /// Kind of the incomplete message.
    message: Option<MessageKind>,
    assembled: usize,
    control: [u8; CONTROL_BYTES],
    control_len: usize,
}

impl Decoder {
    /// Creates a decoder for the start of a connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stage: HEADER,
            message: None,
            assembled: 0,
            control: [0; CONTROL_BYTES],
            control_len: 0,
        }
    }

    /// Returns the payload of the last control frame.
    #[must_use]
    pub fn control(&self) -> &[u8] {
        self.control.get(..self.control_len).unwrap_or(&[])
    }

    /// Consumes bytes up to the next event and returns their number. `room` must be the same at
    /// every call until a message is complete.
    ///
    /// # Errors
    /// [`Violation`]: the connection is over, and every later call returns the same error.
    pub fn feed(
        &mut self,
        input: &[u8],
        room: &mut [u8],
    ) -> Result<(usize, Option<DecodedEvent>), Violation> {
        let outcome = self.advance(input, room);
        if let Err(violation) = outcome {
            // The violation is kept, so that every later call fails too.
            self.stage = DecoderStage::Broken(violation);
        }
        outcome
    }

    fn advance(
        &mut self,
        input: &[u8],
        room: &mut [u8],
    ) -> Result<(usize, Option<DecodedEvent>), Violation> {
        let mut rest = input;
        loop {
            match self.stage {
                // Bytes after a close frame have no meaning.
                DecoderStage::Closed => return Ok((input.len(), None)),
                DecoderStage::Broken(violation) => return Err(violation),
                // Tested before any input is read, so that an empty frame is finished as well.
                DecoderStage::Payload { content, left: 0 } => {
                    self.stage = HEADER;
                    if let Some(event) = self.finish(content, room)? {
                        return Ok((input.len().saturating_sub(rest.len()), Some(event)));
                    }
                }
                DecoderStage::Payload { content, left } => {
                    let Some((now, later)) = rest.split_at_checked(left.min(rest.len())) else {
                        return Ok((input.len(), None));
                    };
                    if now.is_empty() {
                        return Ok((input.len(), None));
                    }
                    self.store(content, now, room)?;
                    self.stage =
                        DecoderStage::Payload { content, left: left.saturating_sub(now.len()) };
                    rest = later;
                }
                DecoderStage::Header { bytes, have } => {
                    let Some((&byte, later)) = rest.split_first() else {
                        return Ok((input.len(), None));
                    };
                    self.stage = self.on_header(bytes, have, byte, room.len())?;
                    rest = later;
                }
            }
        }
    }

    fn on_header(
        &mut self,
        mut bytes: [u8; HEADER_BYTES],
        have: usize,
        byte: u8,
        room: usize,
    ) -> Result<DecoderStage, Violation> {
        if let Some(place) = bytes.get_mut(have) {
            *place = byte;
        }
        let have = have.saturating_add(1);
        let [first, second, rest @ ..] = &bytes;
        // A bad first byte is refused before the length arrives.
        if have == 1 {
            self.content(*first)?;
            return Ok(DecoderStage::Header { bytes, have });
        }
        // A client must fail a connection whose server masks (RFC 6455, section 5.1).
        if second & 0x80 != 0 {
            return Err(Violation::Masked);
        }
        let (length, needed) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
            (127, rest) => (u64::from_be_bytes(*rest), HEADER_BYTES),
            (short, _) => (u64::from(short), 2),
        };
        let content = self.content(*first)?;
        let control = !matches!(content, Content::Data { .. });
        // A control frame has at most 125 bytes, so it never needs a longer length form (RFC 6455,
        // section 5.5).
        if control && needed > 2 {
            return Err(Violation::LongControl);
        }
        if have < needed {
            return Ok(DecoderStage::Header { bytes, have });
        }
        // The length must be in its shortest form (RFC 6455, section 5.2).
        let shortest = match needed {
            2 => true,
            4 => length > 125,
            // The highest bit must be 0 (RFC 6455, section 5.2).
            _ => length > 0xffff && length >> 63 == 0,
        };
        if !shortest {
            return Err(Violation::BadLength);
        }
        let left = usize::try_from(length).map_err(|_| Violation::TooBig)?;
        if control {
            self.control_len = 0;
        } else {
            self.begin(*first);
            // Refused by the header, before any of the payload is read.
            if left > room.saturating_sub(self.assembled) {
                return Err(Violation::TooBig);
            }
        }
        Ok(DecoderStage::Payload { content, left })
    }

    /// Parses a frame's first byte and checks that such a frame may come now.
    fn content(&self, first: u8) -> Result<Content, Violation> {
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBit);
        }
        let last = first & 0x80 != 0;
        let content = match (first & 0x0f, self.message) {
            (0, None) => return Err(Violation::NothingToContinue),
            (1 | 2, Some(_)) => return Err(Violation::Interrupted),
            (0, Some(_)) | (1 | 2, None) => return Ok(Content::Data { last }),
            (8, _) => Content::Close,
            (9, _) => Content::Ping,
            (10, _) => Content::Pong,
            (_, _) => return Err(Violation::UnknownOpcode),
        };
        if last { Ok(content) } else { Err(Violation::FragmentedControl) }
    }

    fn begin(&mut self, first: u8) {
        let kind = match first & 0x0f {
            1 => MessageKind::Text,
            2 => MessageKind::Binary,
            _ => return,
        };
        self.message = Some(kind);
        self.assembled = 0;
    }

    fn store(&mut self, content: Content, bytes: &[u8], room: &mut [u8]) -> Result<(), Violation> {
        let (room, filled) = match content {
            Content::Data { .. } => (room, &mut self.assembled),
            Content::Ping | Content::Pong | Content::Close => {
                (self.control.as_mut_slice(), &mut self.control_len)
            }
        };
        let end = filled.saturating_add(bytes.len());
        // The header's check covers this, unless the room has shrunk since.
        let place = room.get_mut(*filled..end).ok_or(Violation::TooBig)?;
        // `copy_from_slice` would link a panic for unequal lengths.
        for (to, from) in place.iter_mut().zip(bytes) {
            *to = *from;
        }
        *filled = end;
        Ok(())
    }

    fn finish(&mut self, content: Content, room: &[u8]) -> Result<Option<DecodedEvent>, Violation> {
        match content {
            Content::Ping => Ok(Some(DecodedEvent::Ping)),
            Content::Pong => Ok(Some(DecodedEvent::Pong)),
            Content::Close => {
                let code = close_code(self.control())?;
                self.stage = DecoderStage::Closed;
                Ok(Some(DecodedEvent::Close(code)))
            }
            Content::Data { last: false } => Ok(None),
            Content::Data { last: true } => match self.message.take() {
                None => Ok(None),
                Some(MessageKind::Binary) => Ok(Some(DecodedEvent::Binary(self.assembled))),
                Some(MessageKind::Text) => {
                    // The text is checked as a whole, because fragments may split a character.
                    let text = room.get(..self.assembled).ok_or(Violation::TooBig)?;
                    core::str::from_utf8(text).map_err(|_| Violation::NotText)?;
                    Ok(Some(DecodedEvent::Text(self.assembled)))
                }
            },
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Parses the payload of a close frame (codes: RFC 6455, section 7.4, and the later registrations).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), reason),
        [_] => return Err(Violation::BadClose),
    };
    core::str::from_utf8(reason).map_err(|_| Violation::NotText)?;
    match code {
        // The codes 1004 to 1006 and 1015 are reserved and never sent (RFC 6455, section 7.4.1).
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Some(code)),
        _ => Err(Violation::BadClose),
    }
}
