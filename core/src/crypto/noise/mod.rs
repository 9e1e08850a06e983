//! The Noise Protocol Framework, revision 34, for exactly two protocols:
//! `Noise_XX_25519_ChaChaPoly_SHA256` to pair ([`xx`]) and `Noise_IK_25519_ChaChaPoly_SHA256` to
//! link again ([`ik`]). Sections named in this module are those of its specification.
//!
//! ```text
//! XX   -> e                      IK   <- s                    (known before)
//!      <- e, ee, s, es                -> e, es, s, ss
//!      -> s, se                       <- e, ee, se
//! ```
//! Each role is a chain of values: a message is a method that consumes the value before it and
//! returns the next one, the last of them an [`Established`]. A message that fails leaves nothing
//! behind to go on with. Messages are written into the caller's buffer and read where they stand;
//! no message is longer than [`SEALED_BYTES`].

pub mod ik;
mod symmetric;
pub mod transport;
pub mod xx;

use super::labels;
use super::x25519::{BadKey, PublicKey};
use transport::{Receiving, Sending};

/// Most bytes of one message, of the handshake or after it.
pub const SEALED_BYTES: usize = 1024;

/// Why a message could not be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The message is shorter than its tokens and tags, or longer than [`SEALED_BYTES`].
    Length,
    /// A public key in it is not canonical, or gives an all-zero secret.
    Key,
    /// It was not sealed with this key, counter and transcript.
    Forged,
    /// All 2^64 - 1 counters of this direction are used up.
    Exhausted,
    /// The caller's buffer is too small, or the payload too long. The caller's mistake, not the
    /// peer's.
    Buffer,
}

impl From<BadKey> for Error {
    fn from(_: BadKey) -> Self {
        Self::Key
    }
}

/// What both sides bind the handshake to before its first message: a label and the exact bytes of
/// `Open`.
#[derive(Clone, Copy, Debug)]
pub struct Prologue<'a> {
    label: &'static [u8],
    bytes: &'a [u8],
}

impl<'a> Prologue<'a> {
    /// The one of the native wire, over the bytes of `Open` as they were sent.
    #[must_use]
    pub const fn of_open(open: &'a [u8]) -> Self {
        Self { label: labels::PROLOGUE, bytes: open }
    }

    /// These bytes alone, for test vectors and foreign peers in tests.
    #[must_use]
    pub const fn from_recorded(bytes: &'a [u8]) -> Self {
        Self { label: &[], bytes }
    }
}

/// The hash of the whole handshake (section 11.2): equal on both sides exactly if they saw the same
/// messages. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HandshakeHash([u8; 32]);

impl HandshakeHash {
    /// The bytes, to sign and to bind to.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash that was recorded, for test vectors and replays.
    #[must_use]
    pub const fn from_recorded(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// What a finished handshake yields.
#[derive(Debug)]
#[must_use = "dropping it drops the channel"]
pub struct Established {
    /// What both sides saw.
    pub hash: HandshakeHash,
    /// Whose private key the peer has proven to hold. An IK responder has that proof only with the
    /// first transport message it opens.
    pub peer: PublicKey,
    /// Our direction.
    pub sending: Sending,
    /// The peer's direction.
    pub receiving: Receiving,
}

/// No state is larger than this; a machine holds one of them at a time.
const STATE_BYTES: usize = 200;
const _: () = assert!(
    size_of::<xx::Initiator>() <= STATE_BYTES && size_of::<xx::Introduced>() <= STATE_BYTES
);
const _: () =
    assert!(size_of::<xx::Responder>() <= STATE_BYTES && size_of::<xx::Answered>() <= STATE_BYTES);
const _: () =
    assert!(size_of::<ik::Initiator>() <= STATE_BYTES && size_of::<ik::Responder>() <= STATE_BYTES);
const _: () = assert!(size_of::<Established>() <= STATE_BYTES);
