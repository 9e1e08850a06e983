//! Objects that are too large for a message: cut into parts, and put together again in the caller's
//! buffer.

use super::codec::{Bounded, Reader, Sink, Wire, fields, variants};
use crate::error::Undecodable;
use crate::limits::{
    CERTIFICATES_BYTES, CHAIN_BYTES, NATIVE_PROFILE_BYTES, PART_BYTES, PLAINTEXT_BYTES,
};

/// What travels in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Object {
    /// A certificate with those above it.
    Certificates,
    /// A token chain.
    Chain,
    /// A hardware profile.
    Profile,
}

variants!('b Object { 0 Certificates; 1 Chain; 2 Profile; });

impl Object {
    /// Most bytes of it.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Certificates => CERTIFICATES_BYTES,
            Self::Chain => CHAIN_BYTES,
            Self::Profile => NATIVE_PROFILE_BYTES,
        }
    }
}

/// A part of an object. Each but the last has exactly [`PART_BYTES`], so an object is cut in one
/// way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'b>(Fields<'b>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields<'b> {
    object: Object,
    index: u8,
    last: bool,
    bytes: Bounded<'b, 1, PART_BYTES>,
}

fields!('b Fields<'b> { object, index, last, bytes });

/// Numbers of message and object, index, last, length: all but the bytes.
const _: () = assert!(1 + 1 + 1 + 1 + 2 + PART_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(CERTIFICATES_BYTES.div_ceil(PART_BYTES) <= 256, "an index is one byte");

impl<'b> Part<'b> {
    /// Cuts an object into its parts, in their order. `None` if it is empty or over its limit.
    #[must_use]
    pub fn cut(object: Object, bytes: &'b [u8]) -> Option<impl ExactSizeIterator<Item = Self>> {
        if bytes.is_empty() || bytes.len() > object.limit() {
            return None;
        }
        let chunks = bytes.chunks(PART_BYTES);
        let count = chunks.len();
        Some(chunks.enumerate().map(move |(at, chunk)| {
            let last = at.saturating_add(1) == count;
            // Chunks are 1 to PART_BYTES long, and there are few enough of them, as is asserted
            // above.
            let index = at.to_le_bytes()[0];
            Self(Fields { object, index, last, bytes: Bounded::within(chunk) })
        }))
    }

    /// What it is a part of.
    #[must_use]
    pub const fn object(&self) -> Object {
        self.0.object
    }

    /// Which part, from 0.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.0.index
    }

    /// Whether the object ends with it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.0.last
    }

    /// What it adds to the object.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.0.bytes.as_bytes()
    }
}

impl<'b> Wire<'b> for Part<'b> {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        let fields = Fields::read(from)?;
        let full = fields.bytes.as_bytes().len() == PART_BYTES;
        if fields.last || full { Ok(Self(fields)) } else { Err(Undecodable::Length) }
    }

    fn write(&self, to: &mut impl Sink) {
        self.0.write(to);
    }
}

/// An object that is coming in, or none. It holds no bytes: they stand in the caller's buffer, the
/// same one for all parts of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Assembly(Option<Begun>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Begun {
    object: Object,
    next: u8,
    length: usize,
}

/// What a part led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assembled<'o> {
    /// More is to come.
    More(Assembly),
    /// The object is whole.
    Whole {
        /// Which.
        object: Object,
        /// Its bytes, at the beginning of the buffer.
        bytes: &'o [u8],
    },
}

/// Why a part does not go on with what came before it. The assembly is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAssembled {
    /// Parts before it are missing.
    Gap,
    /// It, or one after it, came before.
    Repeated,
    /// It is of another object than the one that is coming in.
    OtherObject,
    /// The object is over its limit.
    TooLong,
    /// The object is over what the buffer holds, though not over its limit: the caller's choice,
    /// not the peer's fault.
    BufferTooSmall,
}

impl Assembly {
    /// Nothing is coming in.
    pub const IDLE: Self = Self(None);

    /// The object that is coming in.
    #[must_use]
    pub fn object(&self) -> Option<Object> {
        self.0.map(|begun| begun.object)
    }

    /// Takes the next part, and copies its bytes behind those before it.
    ///
    /// # Errors
    /// [`NotAssembled`]. Nothing was written then.
    pub fn take<'o>(
        self,
        part: &Part<'_>,
        buffer: &'o mut [u8],
    ) -> Result<Assembled<'o>, NotAssembled> {
        let Fields { object, index, last, bytes } = part.0;
        let begun = self.0.unwrap_or(Begun { object, next: 0, length: 0 });
        if begun.object != object {
            return Err(NotAssembled::OtherObject);
        }
        match index.cmp(&begun.next) {
            core::cmp::Ordering::Less => return Err(NotAssembled::Repeated),
            core::cmp::Ordering::Greater => return Err(NotAssembled::Gap),
            core::cmp::Ordering::Equal => {}
        }
        let length = begun.length.saturating_add(bytes.as_bytes().len());
        // A part that fills the object to its limit and is not the last is one too many already.
        if length > object.limit() || (!last && length == object.limit()) {
            return Err(NotAssembled::TooLong);
        }
        buffer
            .get_mut(begun.length..length)
            .ok_or(NotAssembled::BufferTooSmall)?
            .copy_from_slice(bytes.as_bytes());
        if last {
            Ok(Assembled::Whole { object, bytes: buffer.get(..length).unwrap_or_default() })
        } else {
            Ok(Assembled::More(Self(Some(Begun { object, next: index.saturating_add(1), length }))))
        }
    }
}
