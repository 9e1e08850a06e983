//! The codec of the native wire: reading and writing of each kind of field. A message names its
//! fields once, in [`fields!`] or [`variants!`], so that reading and writing cannot disagree.

use super::link::DispatchId;
use super::pair::GrantId;
use super::{CapabilityName, ReasonText};
use crate::crypto::{ed25519, x25519};
use crate::error::Undecodable;
use crate::id::NodeId;
use crate::limits::PLAINTEXT_BYTES;
use crate::text::Label;
use crate::time::UnixTime;
use crate::wire::json::Number;
use crate::wire::path::{Action, Address, Pattern};
use crate::wire::registration::Heartbeat;
use crate::wire::token::Token;

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

/// A value with exactly one form on the wire.
pub(super) trait Wire<'b>: Sized {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable>;
    fn write(&self, to: &mut impl Sink);
}

/// Reads one message that takes all of the bytes.
pub(super) fn parse<'b, M: Wire<'b>>(bytes: &'b [u8]) -> Result<M, Undecodable> {
    if bytes.len() > PLAINTEXT_BYTES {
        return Err(Undecodable::TooLong);
    }
    let mut reader = Reader(bytes);
    let message = M::read(&mut reader)?;
    // Trailing bytes would give one message many encodings.
    if reader.0.is_empty() { Ok(message) } else { Err(Undecodable::Trailing) }
}

/// Writes one message to the beginning of `out`, and returns it.
pub(super) fn write<'b, 'o, M: Wire<'b>>(
    message: &M,
    out: &'o mut [u8],
) -> Result<&'o [u8], NotWritten> {
    let mut buffer = Buffer { out, length: 0 };
    // The buffer counts beyond its end, which tells a long message from a small buffer.
    message.write(&mut buffer);
    let Buffer { out, length } = buffer;
    if length > PLAINTEXT_BYTES {
        return Err(NotWritten::MessageTooLong);
    }
    out.get(..length).ok_or(NotWritten::BufferTooSmall)
}

/// The bytes that are still to be read.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], Undecodable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Undecodable::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<&'b [u8; N], Undecodable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Undecodable::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads a number as LEB128 in its shortest form, at most `most`.
    pub(super) fn varint(&mut self, most: u64) -> Result<u64, Undecodable> {
        let mut value = 0;
        let mut shift = 0u32;
        loop {
            let [byte] = *self.array()?;
            let bits = u64::from(byte & 0x7f);
            // Bits that are shifted out, or a last byte of zero, would give a value a second
            // encoding.
            let placed = bits.checked_shl(shift).unwrap_or(0);
            let whole = placed.checked_shr(shift) == Some(bits);
            value |= placed;
            if !whole || value > most || (byte == 0 && shift > 0) {
                return Err(Undecodable::Number);
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift = shift.saturating_add(7);
        }
    }

    /// Reads bytes behind their length.
    fn bytes(&mut self) -> Result<&'b [u8], Undecodable> {
        let length = self.varint(u32::MAX.into())?;
        // A length beyond the address space fails as a truncated message.
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Reads text behind its length and checks it with the field's `parse`.
    pub(super) fn text<T>(
        &mut self,
        parse: impl FnOnce(&'b str) -> Option<T>,
    ) -> Result<T, Undecodable> {
        core::str::from_utf8(self.bytes()?).ok().and_then(parse).ok_or(Undecodable::Text)
    }
}

/// A target for writing: a buffer or a hash.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// Writes a number as LEB128 in its shortest form.
    fn varint(&mut self, mut value: u64) {
        while let rest @ 1.. = value >> 7 {
            self.put(&[value.to_le_bytes()[0] | 0x80]);
            value = rest;
        }
        self.put(&[value.to_le_bytes()[0]]);
    }

    /// Writes bytes behind their length.
    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.put(bytes);
    }
}

/// A buffer that counts the bytes beyond its end, so that the full length is known afterwards.
struct Buffer<'o> {
    out: &'o mut [u8],
    length: usize,
}

impl Sink for Buffer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(place) = self.out.get_mut(self.length..end) {
            // Both have the same length. Unlike `copy_from_slice`, this has no path that panics.
            for (to, from) in place.iter_mut().zip(bytes) {
                *to = *from;
            }
        }
        self.length = end;
    }
}

impl Sink for sha2::Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        sha2::Digest::update(self, bytes);
    }
}

/// Implements [`Wire`] for a struct by its fields, in the order of the wire.
macro_rules! fields {
    ($lt:lifetime $name:ty { $($field:ident),* }) => {
        impl<$lt> $crate::wire::native::codec::Wire<$lt> for $name {
            fn read(from: &mut $crate::wire::native::codec::Reader<$lt>) -> Result<Self, $crate::error::Undecodable> {
                Ok(Self { $($field: $crate::wire::native::codec::Wire::read(from)?),* })
            }

            fn write(&self, to: &mut impl $crate::wire::native::codec::Sink) {
                $($crate::wire::native::codec::Wire::write(&self.$field, to);)*
            }
        }
    };
}

/// Implements [`Wire`] for an enum by its variants with their numbers, which count from 0 as in the
/// type.
macro_rules! variants {
    ($lt:lifetime $name:ty { $($number:literal $variant:ident $(($one:ident))? $({ $($field:ident),* })?;)* }) => {
        impl<$lt> $crate::wire::native::codec::Wire<$lt> for $name {
            fn read(from: &mut $crate::wire::native::codec::Reader<$lt>) -> Result<Self, $crate::error::Undecodable> {
                match from.varint(u32::MAX.into())? {
                    $($number => {
                        $(let $one = $crate::wire::native::codec::Wire::read(from)?;)?
                        $($(let $field = $crate::wire::native::codec::Wire::read(from)?;)*)?
                        Ok(Self::$variant $(($one))? $({ $($field),* })?)
                    })*
                    _ => Err($crate::error::Undecodable::Unknown),
                }
            }

            fn write(&self, to: &mut impl $crate::wire::native::codec::Sink) {
                match self {
                    $(Self::$variant $(($one))? $({ $($field),* })? => {
                        to.varint($number);
                        $($crate::wire::native::codec::Wire::write($one, to);)?
                        $($($crate::wire::native::codec::Wire::write($field, to);)*)?
                    })*
                }
            }
        }
    };
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
            pub fn write<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], $crate::wire::native::NotWritten> {
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

pub(super) use {fields, message, variants};

/// Opaque bytes, from `MIN` to `MAX` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl<'b, const MIN: usize, const MAX: usize> Wire<'b> for Bounded<'b, MIN, MAX> {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        Self::new(from.bytes()?).ok_or(Undecodable::Length)
    }

    fn write(&self, to: &mut impl Sink) {
        to.bytes(self.0);
    }
}

impl<'b> Wire<'b> for u8 {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        from.array().map(|&[byte]| byte)
    }

    fn write(&self, to: &mut impl Sink) {
        to.put(&[*self]);
    }
}

macro_rules! varints {
    ($($number:ty)*) => {$(
        impl<'b> Wire<'b> for $number {
            fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
                Self::try_from(from.varint(Self::MAX.into())?).map_err(|_| Undecodable::Number)
            }

            fn write(&self, to: &mut impl Sink) {
                to.varint((*self).into());
            }
        }
    )*};
}
varints!(u16 u32 u64);

impl<'b> Wire<'b> for bool {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        match u8::read(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Undecodable::Unknown),
        }
    }

    fn write(&self, to: &mut impl Sink) {
        u8::from(*self).write(to);
    }
}

impl<'b, T: Wire<'b>> Wire<'b> for Option<T> {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        if bool::read(from)? { T::read(from).map(Some) } else { Ok(None) }
    }

    fn write(&self, to: &mut impl Sink) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }
}

impl<'b, const N: usize> Wire<'b> for [u8; N] {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        from.array().copied()
    }

    fn write(&self, to: &mut impl Sink) {
        to.put(self);
    }
}

/// Implements [`Wire`] for text with a type of its own, by its parser and its accessor.
macro_rules! texts {
    ($($name:ty: $parse:expr, $text:ident;)*) => {$(
        impl<'b> Wire<'b> for $name {
            fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
                from.text($parse)
            }

            fn write(&self, to: &mut impl Sink) {
                to.bytes(self.$text().as_bytes());
            }
        }
    )*};
}
texts! {
    // `Label::parse` turns blank text into `unknown`; on this wire only the written-out form is
    // accepted.
    Label<'b>: |text| Label::parse(text).filter(|label| label.as_str() == text), as_str;
    Number<'b>: Number::parse, as_str;
    Address<'b>: |text| Address::parse(text).ok(), as_str;
    Pattern<'b>: |text| Pattern::parse(text).ok(), as_str;
    Token: Token::parse, expose;
    ReasonText<'b>: ReasonText::parse, as_str;
    CapabilityName<'b>: CapabilityName::parse, as_str;
}

/// Implements [`Wire`] for a plain wrapper of bytes or a number.
macro_rules! wrapped {
    ($($name:ty: $inner:ty, $from:expr, $to:expr;)*) => {$(
        impl<'b> Wire<'b> for $name {
            fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
                let read: fn($inner) -> Result<Self, Undecodable> = $from;
                read(Wire::read(from)?)
            }

            fn write(&self, to: &mut impl Sink) {
                let inner: fn(&Self) -> $inner = $to;
                inner(self).write(to);
            }
        }
    )*};
}
wrapped! {
    NodeId: [u8; 16], |bytes| Ok(Self::from_bytes(bytes)), |id| *id.as_bytes();
    GrantId: [u8; 16], |bytes| Ok(Self::from_bytes(bytes)), |id| *id.as_bytes();
    DispatchId: [u8; 16], |bytes| Ok(Self::from_bytes(bytes)), |id| *id.as_bytes();
    UnixTime: u64, |seconds| Ok(Self::from_secs(seconds)), |time| time.as_secs();
    x25519::PublicKey: [u8; 32], |bytes| Self::parse(&bytes).map_err(|_| Undecodable::Key), |key| *key.as_bytes();
    ed25519::PublicKey: [u8; 32], |bytes| Self::parse(&bytes).map_err(|_| Undecodable::Key), |key| *key.as_bytes();
    ed25519::Signature: [u8; 64], |bytes| Ok(Self::from_bytes(bytes)), |signature| *signature.as_bytes();
}

variants!('b Action { 0 Read; 1 Write; 2 Admin; });
fields!('b Heartbeat<'b> { occupancy, noise_level, wake_word_fp });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form_each() {
        for (number, form) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[128, 1]),
            (16383, &[255, 127]),
            (16384, &[128, 128, 1]),
            (u32::MAX.into(), &[255, 255, 255, 255, 15]),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            assert_eq!(Reader(form).varint(u64::MAX), Ok(number));
            let mut out = [0; 10];
            let mut buffer = Buffer { out: &mut out, length: 0 };
            buffer.varint(number);
            let length = buffer.length;
            assert_eq!(&out[..length], form);
        }
    }

    #[test]
    fn overlong_and_overlarge_numbers_are_refused() {
        for form in [
            &[128, 0][..],
            &[255, 0],
            &[128, 128, 0],
            &[129, 128, 128, 128, 128, 128, 128, 128, 128, 0],
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 129, 1],
            &[128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1],
        ] {
            assert_eq!(Reader(form).varint(u64::MAX), Err(Undecodable::Number), "{form:?}");
        }
        assert_eq!(Reader(&[128, 2]).varint(255), Err(Undecodable::Number));
        assert_eq!(Reader(&[255, 255]).varint(u64::MAX), Err(Undecodable::Truncated));
    }
}
