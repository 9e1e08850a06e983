//! What goes in clear: the first message, and the answers that come instead of a handshake. They
//! are not authenticated. Who gets a refusal backs off; it erases nothing, and asks for no older
//! version, because of it.

use super::codec::{self, Reader, Sink, Wire, message, variants};
use crate::crypto::noise::Prologue;
use crate::error::Undecodable;
use crate::limits::{CLEAR_BYTES, VERSIONS};

/// The version of all messages here.
pub const VERSION: u8 = 1;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Intent {
    /// To pair: XX, then the messages of [`super::pair`].
    Pair,
    /// To link again: IK, then those of [`super::link`].
    Link,
    /// To present a token chain with a key that the gateway does not know: XX, then those of
    /// [`super::link`].
    Delegate,
}

variants!('b Intent { 0 Pair; 1 Link; 2 Delegate; });

/// The first message of a connection, of version 1, with its bytes as they were sent: both sides
/// bind the handshake to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'b> {
    intent: Intent,
    bytes: &'b [u8],
}

/// Why no connection opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotOpened {
    /// Another version, whose form nobody here knows: the answer is [`ClearRefusal::Unsupported`].
    Version(u8),
    /// Version 1, but not its form.
    Malformed(Undecodable),
}

impl<'b> Open<'b> {
    /// Reads the first message of a connection.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub fn parse(bytes: &'b [u8]) -> Result<Self, NotOpened> {
        match bytes.split_first() {
            None => Err(NotOpened::Malformed(Undecodable::Truncated)),
            Some((&VERSION, rest)) => match codec::parse(rest) {
                Ok(intent) => Ok(Self { intent, bytes }),
                Err(malformed) => Err(NotOpened::Malformed(malformed)),
            },
            Some((&other, _)) => Err(NotOpened::Version(other)),
        }
    }

    /// The message with this intent, to send and to bind to.
    #[must_use]
    pub const fn new(intent: Intent) -> Open<'static> {
        let bytes: &'static [u8] = match intent {
            Intent::Pair => &[VERSION, 0],
            Intent::Link => &[VERSION, 1],
            Intent::Delegate => &[VERSION, 2],
        };
        Open { intent, bytes }
    }

    /// What the connection is for.
    #[must_use]
    pub const fn intent(&self) -> Intent {
        self.intent
    }

    /// The bytes that were or will be sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// What the handshake is bound to before its first message.
    #[must_use]
    pub const fn prologue(&self) -> Prologue<'b> {
        Prologue::of_open(self.bytes)
    }
}

/// The versions that a gateway speaks: 1 to [`VERSIONS`], rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions<'b>(&'b [u8]);

impl<'b> Versions<'b> {
    /// Version 1 alone.
    pub const OURS: Versions<'static> = Versions(&[VERSION]);

    /// These versions. `None` if they are none, too many, or not rising.
    #[must_use]
    pub fn new(versions: &'b [u8]) -> Option<Self> {
        ((1..=VERSIONS).contains(&versions.len()) && versions.is_sorted_by(|a, b| a < b))
            .then_some(Self(versions))
    }

    /// In rising order.
    #[must_use]
    pub const fn as_slice(&self) -> &'b [u8] {
        self.0
    }
}

impl<'b> Wire<'b> for Versions<'b> {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        let versions = codec::Bounded::<'b, 1, VERSIONS>::read(from)?;
        Self::new(versions.as_bytes()).ok_or(Undecodable::Number)
    }

    fn write(&self, to: &mut impl Sink) {
        to.bytes(self.0);
    }
}

/// What comes in clear instead of a handshake. Anybody on the way can write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearRefusal<'b> {
    /// Not now: too much is under way, or the first messages were malformed.
    Refused,
    /// Not this version.
    Unsupported {
        /// Those that are.
        versions: Versions<'b>,
    },
}

variants!('b ClearRefusal<'b> { 0 Refused; 1 Unsupported { versions }; });
message!('b ClearRefusal<'b>);

/// The first frame that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstAnswer<'b> {
    /// The second message of the handshake, to be checked.
    Handshake(&'b [u8]),
    /// A refusal that proves nothing.
    Clear(ClearRefusal<'b>),
}

impl<'b> FirstAnswer<'b> {
    /// Tells the two apart by their length: no refusal is longer than [`CLEAR_BYTES`], no message
    /// of a handshake as short.
    ///
    /// # Errors
    /// What is wrong with a short one.
    pub fn parse(frame: &'b [u8]) -> Result<Self, Undecodable> {
        if frame.len() > CLEAR_BYTES {
            Ok(Self::Handshake(frame))
        } else {
            ClearRefusal::parse(frame).map(Self::Clear)
        }
    }
}

/// Number, length and versions of the longest refusal; key, tag and payload with its tag of the
/// shortest answer.
const _: () = assert!(2 + VERSIONS <= CLEAR_BYTES && CLEAR_BYTES < 32 + 16);
