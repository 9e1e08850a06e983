//! Reading and writing whole messages with postcard.

use serde::{Deserialize, Serialize};

use crate::error::Undecodable;
use crate::limits::PLAINTEXT_BYTES;

/// The reason for not writing a message. It is always the caller's mistake, never the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotWritten {
    /// The message does not fit into the buffer; [`PLAINTEXT_BYTES`] always suffice.
    BufferTooSmall,
    /// The message is longer than [`PLAINTEXT_BYTES`]: an `Ask` whose names and certificate request
    /// are too long together.
    MessageTooLong,
}

/// Reads one message that takes all of the bytes.
pub(in crate::wire) fn parse<'b, M: Deserialize<'b>>(bytes: &'b [u8]) -> Result<M, Undecodable> {
    if bytes.len() > PLAINTEXT_BYTES {
        return Err(Undecodable::TooLong);
    }
    let (message, rest) = postcard::take_from_bytes(bytes)?;
    // Whoever adds a field to a message makes another message; nothing hides behind one.
    if rest.is_empty() { Ok(message) } else { Err(Undecodable::Trailing) }
}

/// Writes one message to the beginning of `out`, and returns it.
pub(in crate::wire) fn write<'o>(
    message: &impl Serialize,
    out: &'o mut [u8],
) -> Result<&'o [u8], NotWritten> {
    let room = out.len().min(PLAINTEXT_BYTES);
    let full = if room < PLAINTEXT_BYTES {
        NotWritten::BufferTooSmall
    } else {
        NotWritten::MessageTooLong
    };
    // A buffer without room is the only failure of our types.
    let out = out.get_mut(..room).ok_or(full)?;
    postcard::to_slice(message, out).map(|written| &*written).map_err(|_| full)
}

/// Gives a type that may be a whole message its `parse` and `write`.
macro_rules! message {
    ($lt:lifetime $name:ty) => {
        impl<$lt> $name {
            /// Reads one message that takes all of the bytes.
            ///
            /// # Errors
            /// The first defect of the bytes.
            pub fn parse(bytes: &$lt [u8]) -> Result<Self, $crate::error::Undecodable> {
                $crate::wire::native::codec::parse(bytes)
            }

            /// Writes the message to the beginning of `out`, and returns the bytes written.
            ///
            /// # Errors
            /// The message does not fit into `out`, or exceeds the length of a message.
            pub fn write<'o>(
                &self,
                out: &'o mut [u8],
            ) -> Result<&'o [u8], $crate::wire::native::NotWritten> {
                $crate::wire::native::codec::write(self, out)
            }
        }

        impl<$lt> $crate::wire::native::Message for $name {
            fn length_written(&self, out: &mut [u8]) -> Option<usize> {
                self.write(out).ok().map(<[u8]>::len)
            }
        }
    };
}

pub(in crate::wire) use message;

/// Opaque bytes, from `MIN` to `MAX` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bounded<'b, const MIN: usize, const MAX: usize>(&'b [u8]);

impl<'b, const MIN: usize, const MAX: usize> Bounded<'b, MIN, MAX> {
    /// Checks the number of bytes; returns `None` if they are too few or too many.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Option<Self> {
        if MIN <= bytes.len() && bytes.len() <= MAX { Some(Self(bytes)) } else { None }
    }

    /// Wraps bytes whose origin guarantees the bounds.
    pub(super) const fn within(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.0
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for Bounded<'_, MIN, MAX> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de: 'b, 'b, const MIN: usize, const MAX: usize> Deserialize<'de> for Bounded<'b, MIN, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&'b [u8]>::deserialize(from)?;
        Self::new(bytes).ok_or_else(|| serde::de::Error::custom("too few or too many bytes"))
    }
}
