//! Objects that are too large for a message: cut into parts, and reassembled in the caller's
//! buffer.

use serde::{Deserialize, Serialize};

use super::codec::Bounded;
use crate::limits::{
    CERTIFICATES_BYTES, CHAIN_BYTES, COMPACT_CERTIFICATE_BYTES, NATIVE_PROFILE_BYTES, PART_BYTES,
    PLAINTEXT_BYTES,
};

/// The kind of an object that is sent in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Object {
    /// An X.509 certificate in DER, then those of its issuers in order, each behind its length in
    /// two bytes, big-endian.
    Certificates,
    /// A token chain.
    Chain,
    /// A hardware profile.
    Profile,
    /// The certificate of a node without TLS.
    CompactCertificate,
}

impl Object {
    /// Returns the maximum length of the object, in bytes.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Certificates => CERTIFICATES_BYTES,
            Self::Chain => CHAIN_BYTES,
            Self::Profile => NATIVE_PROFILE_BYTES,
            Self::CompactCertificate => COMPACT_CERTIFICATE_BYTES,
        }
    }
}

/// A part of an object. Each part but the last has exactly [`PART_BYTES`], so an object is cut in
/// one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[serde(try_from = "Fields<'b>")]
pub struct Part<'b>(#[serde(borrow)] Fields<'b>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Fields<'b> {
    object: Object,
    index: u8,
    last: bool,
    #[serde(borrow)]
    bytes: Bounded<'b, 1, PART_BYTES>,
}

/// A part's overhead (numbers of message and object, index, last, length) and its bytes fit into a
/// message.
const _: () = assert!(1 + 1 + 1 + 1 + 2 + PART_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(CERTIFICATES_BYTES.div_ceil(PART_BYTES) <= 256, "an index is one byte");

impl<'b> Part<'b> {
    /// Cuts an object into its parts, in order. Returns `None` if it is empty or over its limit.
    #[must_use]
    pub fn cut(object: Object, bytes: &'b [u8]) -> Option<impl ExactSizeIterator<Item = Self>> {
        if bytes.is_empty() || bytes.len() > object.limit() {
            return None;
        }
        let chunks = bytes.chunks(PART_BYTES);
        let count = chunks.len();
        Some(chunks.enumerate().map(move |(at, chunk)| {
            let last = at.saturating_add(1) == count;
            // Chunks are 1 to PART_BYTES long, and the assertion above bounds their number to one
            // byte.
            let index = at.to_le_bytes()[0];
            Self(Fields { object, index, last, bytes: Bounded::within(chunk) })
        }))
    }

    /// Returns the kind of object that the part belongs to.
    #[must_use]
    pub const fn object(&self) -> Object {
        self.0.object
    }

    /// Returns the part's position, from 0.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.0.index
    }

    /// Returns `true` for the last part of an object.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.0.last
    }

    /// Returns the part's bytes of the object.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.0.bytes.as_bytes()
    }
}

impl<'b> TryFrom<Fields<'b>> for Part<'b> {
    type Error = &'static str;

    fn try_from(fields: Fields<'b>) -> Result<Self, Self::Error> {
        // All parts but the last are full, so that an object has one division.
        let full = fields.bytes.as_bytes().len() == PART_BYTES;
        if fields.last || full { Ok(Self(fields)) } else { Err("a part but the last is full") }
    }
}

/// The state of an incoming object, or of none. It holds no bytes: they are in the caller's buffer,
/// which is the same for all parts of an object.
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

/// The result of taking a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Assembled<'o> {
    /// More parts are due.
    More(Assembly),
    /// The object is complete.
    Whole {
        /// The kind of the object.
        object: Object,
        /// The object's bytes, at the beginning of the buffer.
        bytes: &'o [u8],
    },
}

/// The reason for rejecting a part. The assembly is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAssembled {
    /// Parts before it are missing.
    Gap,
    /// This part, or a later one, came before.
    Repeated,
    /// The part belongs to another object than the incoming one.
    OtherObject,
    /// The object is longer than its limit.
    TooLong,
    /// The object is longer than the buffer, though within its limit: the caller's choice, not the
    /// peer's fault.
    BufferTooSmall,
}

impl Assembly {
    /// No object is incoming.
    pub const IDLE: Self = Self(None);

    /// Returns the kind of the incoming object; `None` if there is none.
    #[must_use]
    pub fn object(&self) -> Option<Object> {
        self.0.map(|begun| begun.object)
    }

    /// Takes the next part, and appends its bytes in the buffer.
    ///
    /// # Errors
    /// [`NotAssembled`]; nothing was written then.
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
        // A part that fills the object to its limit without being the last implies a further part
        // beyond the limit.
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
