//! The Noise Protocol Framework, revision 34, for exactly two protocols:
//! `Noise_XX_25519_ChaChaPoly_SHA256` to pair ([`xx`]) and `Noise_IK_25519_ChaChaPoly_SHA256` to
//! link again ([`ik`]). Section numbers in this module are those of its specification.
//!
//! ```text
//! XX   -> e                      IK   <- s                    (known before)
//!      <- e, ee, s, es                -> e, es, s, ss
//!      -> s, se                       <- e, ee, se
//! ```
//! Each role is a chain of values: each message is a method that consumes the value before it and
//! returns the next one, the last of them an [`Established`]. A message that fails leaves no value
//! to continue with. Messages are written into the caller's buffer and read in place; no message is
//! longer than [`SEALED_BYTES`].

pub mod ik;
mod symmetric;
pub mod transport;
pub mod xx;

use super::labels;
use super::x25519::{BadKey, PublicKey};
use transport::{Receiving, Sending};

/// Maximum length of one message, of the handshake or after it, in bytes.
pub const SEALED_BYTES: usize = 1024;

/// The reason for not reading or writing a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The message is shorter than its tokens and tags, or longer than [`SEALED_BYTES`].
    Length,
    /// A public key in the message is not canonical, or gives an all-zero secret.
    Key,
    /// The message was not sealed with this key, counter and transcript.
    Forged,
    /// All 2^64 - 1 counters of this direction are used up.
    Exhausted,
    /// The caller's buffer is too small, or the payload too long. It is the caller's mistake, not
    /// the peer's.
    Buffer,
}

impl From<BadKey> for Error {
    fn from(_: BadKey) -> Self {
        Self::Key
    }
}

/// The prologue, to which both sides bind the handshake: a label and, on the native wire, the exact
/// bytes of `Open`.
#[derive(Clone, Copy, Debug)]
pub struct Prologue<'a> {
    label: &'static [u8],
    bytes: &'a [u8],
}

#[cfg(feature = "defmt")]
impl defmt::Format for Prologue<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Prologue({=[u8]:a}, {=[u8]})", self.label, self.bytes);
    }
}

impl<'a> Prologue<'a> {
    /// Makes the prologue of the native wire, over the bytes of `Open` as sent.
    #[must_use]
    pub const fn of_open(open: &'a [u8]) -> Self {
        Self { label: labels::PROLOGUE, bytes: open }
    }

    /// Makes the prologue of the sealed exchange in which a phone provisions a node.
    #[must_use]
    pub const fn of_provisioning() -> Prologue<'static> {
        Prologue { label: labels::PROVISIONING_PROLOGUE, bytes: &[] }
    }

    /// Takes these bytes alone, for test vectors and foreign peers in tests.
    #[must_use]
    pub const fn from_recorded(bytes: &'a [u8]) -> Self {
        Self { label: &[], bytes }
    }
}

/// The hash of the whole handshake (section 11.2). It is equal on both sides exactly if they saw
/// the same messages, and it is not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HandshakeHash([u8; 32]);

impl HandshakeHash {
    /// Returns the bytes, to sign and to bind to.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Takes a recorded hash, for test vectors and replays.
    #[must_use]
    pub const fn from_recorded(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The result of a finished handshake.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "dropping it drops the channel"]
pub struct Established {
    /// The hash of all messages that both sides saw.
    pub hash: HandshakeHash,
    /// The peer's static key, whose private half the peer has proven to hold. For an IK responder,
    /// only the first transport message completes that proof.
    pub peer: PublicKey,
    /// The direction from this side to the peer.
    pub sending: Sending,
    /// The direction from the peer to this side.
    pub receiving: Receiving,
}

/// Upper bound of every state's size; a machine holds one of them at a time.
const STATE_BYTES: usize = 200;
const _: () = assert!(
    size_of::<xx::Initiator>() <= STATE_BYTES && size_of::<xx::Introduced>() <= STATE_BYTES
);
const _: () =
    assert!(size_of::<xx::Responder>() <= STATE_BYTES && size_of::<xx::Answered>() <= STATE_BYTES);
const _: () =
    assert!(size_of::<ik::Initiator>() <= STATE_BYTES && size_of::<ik::Responder>() <= STATE_BYTES);
const _: () = assert!(size_of::<Established>() <= STATE_BYTES);
