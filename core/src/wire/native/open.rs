//! The messages in clear: the first message, and the answers in place of a handshake. They are not
//! authenticated. A node that receives a refusal backs off; it erases nothing and asks for no older
//! version because of it.

use serde::{Deserialize, Serialize};

use super::codec::{self, message};
use crate::crypto::noise::Prologue;
use crate::error::Undecodable;
use crate::limits::{CLEAR_BYTES, VERSIONS};

/// The version of all messages of this wire.
pub const VERSION: u8 = 1;

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Intent {
    /// Pairing: XX, then the messages of [`super::pair`].
    Pair,
    /// Linking again: IK, then the messages of [`super::link`].
    Link,
    /// Presenting a token chain with a key that the gateway does not know: XX, then the messages of
    /// [`super::link`].
    Delegate,
}

/// The first message of a connection, in version 1, with its bytes as sent. Both sides bind the
/// handshake to these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Open<'b> {
    intent: Intent,
    bytes: &'b [u8],
}

/// The reason for not opening a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotOpened {
    /// The message is of another version, with an unknown form; the answer is
    /// [`ClearRefusal::Unsupported`].
    Version(u8),
    /// The message is of version 1 but malformed.
    Malformed(Undecodable),
}

impl<'b> Open<'b> {
    /// Reads the first message of a connection.
    ///
    /// # Errors
    /// [`NotOpened`], for another version or a malformed message.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, NotOpened> {
        match bytes.split_first() {
            None => Err(NotOpened::Malformed(Undecodable::Truncated)),
            Some((&VERSION, rest)) => {
                let intent = codec::parse(rest).map_err(NotOpened::Malformed)?;
                // This message is in clear, so anyone could write its number in a longer form.
                if Open::new(intent).bytes == bytes {
                    Ok(Self { intent, bytes })
                } else {
                    Err(NotOpened::Malformed(Undecodable::Number))
                }
            }
            Some((&other, _)) => Err(NotOpened::Version(other)),
        }
    }

    /// Makes the message for an intent.
    #[must_use]
    pub const fn new(intent: Intent) -> Open<'static> {
        // The bytes are the version and the codec's form of the intent.
        let bytes: &'static [u8] = match intent {
            Intent::Pair => &[VERSION, 0],
            Intent::Link => &[VERSION, 1],
            Intent::Delegate => &[VERSION, 2],
        };
        Open { intent, bytes }
    }

    /// Returns the purpose of the connection.
    #[must_use]
    pub const fn intent(&self) -> Intent {
        self.intent
    }

    /// Returns the bytes as sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// Returns the prologue, to which the handshake is bound before its first message.
    #[must_use]
    pub const fn prologue(&self) -> Prologue<'b> {
        Prologue::of_open(self.bytes)
    }
}

/// The versions that a gateway supports: 1 to [`VERSIONS`] of them, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Versions<'b>(&'b [u8]);

impl<'b> Versions<'b> {
    /// The versions of this implementation: version 1 alone.
    pub const OURS: Versions<'static> = Versions(&[VERSION]);

    /// Checks a list of versions. Returns `None` if it is empty, too long or not rising.
    #[must_use]
    pub fn new(versions: &'b [u8]) -> Option<Self> {
        // A sorted list without repetitions has one form.
        ((1..=VERSIONS).contains(&versions.len()) && versions.is_sorted_by(|a, b| a < b))
            .then_some(Self(versions))
    }

    /// Returns the versions in rising order.
    #[must_use]
    pub const fn as_slice(&self) -> &'b [u8] {
        self.0
    }
}

impl Serialize for Versions<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Versions<'b> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let versions = <&'b [u8]>::deserialize(from)?;
        Self::new(versions).ok_or_else(|| serde::de::Error::custom("no list of versions"))
    }
}

/// A refusal in clear, in place of a handshake. Anyone on the network path can forge one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClearRefusal<'b> {
    /// The gateway is overloaded, or the first messages were malformed.
    Refused,
    /// The gateway does not support the version.
    Unsupported {
        /// The versions that it supports.
        #[serde(borrow)]
        versions: Versions<'b>,
    },
}

message!('b ClearRefusal<'b>);

/// The first frame that a node receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FirstAnswer<'b> {
    /// The second message of the handshake, still to be verified.
    Handshake(&'b [u8]),
    /// A refusal that proves nothing.
    Clear(ClearRefusal<'b>),
}

impl<'b> FirstAnswer<'b> {
    /// Tells the two apart by their length: a refusal is at most [`CLEAR_BYTES`] long, a message of
    /// a handshake always longer.
    ///
    /// # Errors
    /// The first defect of a short frame.
    pub fn parse(frame: &'b [u8]) -> Result<Self, Undecodable> {
        // Every handshake message is longer than any refusal in clear, so the length tells them
        // apart.
        if frame.len() > CLEAR_BYTES {
            Ok(Self::Handshake(frame))
        } else {
            ClearRefusal::parse(frame).map(Self::Clear)
        }
    }
}

/// The longest refusal is its number, length and versions; the shortest answer of a handshake is a
/// key, a tag and a payload with its tag.
const _: () = assert!(2 + VERSIONS <= CLEAR_BYTES && CLEAR_BYTES < 32 + 16);
