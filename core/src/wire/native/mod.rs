//! The native wire: the messages of Noise's sealed channel, and the two kinds that are sent in
//! clear before it ([`open`]).
//!
//! ```text
//! Open ─────────────▶                    in clear, one frame; its bytes are the prologue
//! Noise 1 ──────────▶
//!        ◀────────── Noise 2             or, in clear and proving nothing, a ClearRefusal
//! Noise 3 ──────────▶                    to pair and to delegate only (XX)
//! pair::FromNode, pair::FromGateway      after Intent::Pair
//! link::FromNode, link::FromGateway      after Intent::Link (IK; Noise 2 carries a
//!                                        link::Admitted) and Intent::Delegate
//! ```
//! Over mutual TLS there is neither `Open` nor Noise: the messages of a link are sent as they are,
//! and the 32 bytes of the TLS exporter (RFC 9266) take the place of the handshake's hash.
//!
//! **Form.** Postcard 1 reads and writes each message, into slices and without an allocator:
//! numbers as varints (single bytes as they are), bytes and text behind their length, enums behind
//! their variant's number, keys, tags and ids bare. Refused are bytes behind the end, an empty
//! label where one is due, a part that is smaller than it could be, and whatever the type of a
//! field does not allow. A number may be longer than it needs to be: only the peer itself can have
//! written it, because the channel is sealed. What a signature covers has one form, see
//! [`crate::grant::capability`].
//!
//! **Bounds.** A message is at most [`PLAINTEXT_BYTES`](crate::limits::PLAINTEXT_BYTES) long. The
//! bounds of the fields guarantee that each message fits (asserted beside the types), except an
//! [`Ask`](pair::Ask) with a certificate request and very long names, for which writing fails.
//! Larger objects are sent in [`part`]s, **ahead of the message that refers to them**.
//!
//! **Versions.** This is version 1, complete: it refuses everything it does not know, so nothing
//! can be hidden from a side that skips it, and no field is ever added. Changes make version 2,
//! which [`Open`](open::Open) names first and the handshake then binds.

pub(in crate::wire) mod codec;
pub mod link;
pub mod open;
pub mod pair;
pub mod part;
pub mod signer;

pub use codec::{Bounded, NotWritten};

/// A whole message of any of the native wire's types.
pub(crate) trait Message {
    /// Writes the message to the beginning of `out` and returns its length. Returns `None` if it
    /// does not fit.
    fn length_written(&self, out: &mut [u8]) -> Option<usize>;
}

use serde::{Deserialize, Serialize};

use crate::limits::{CAPABILITY_NAME_CHARS, PAYLOAD_BYTES, REASON_BYTES};
use crate::serial::serial_text;
use crate::text::Label;

/// The messages that a side takes beyond those of pairing and of a grant: a bit for each kind.
/// Nobody sends a message whose bit the other side has not set. Bits that this version does not
/// know are ignored, so a later version adds messages without a new version of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Features(u64);

impl Features {
    /// No message beyond those that every side takes.
    pub const NONE: Self = Self(0);
    /// [`App`](link::App).
    pub const APP: Self = Self(1);
    /// [`FromNode::Subscribe`](link::FromNode::Subscribe).
    pub const SUBSCRIBE: Self = Self(2);
    /// [`Dispatch`](link::Dispatch), its outcome, its progress, and the questions about it.
    pub const DISPATCH: Self = Self(4);
    /// [`FromGateway::Mark`](link::FromGateway::Mark) and its confirmation.
    pub const CLONE_COUNTER: Self = Self(8);
    /// [`FromGateway::Ping`](link::FromGateway::Ping) and its answer.
    pub const PING: Self = Self(16);
    /// [`FromGateway::Name`](link::FromGateway::Name), and its like while pairing.
    pub const NAME: Self = Self(32);
    /// Certificates: in the parts ahead of a grant from the gateway, and
    /// [`Renew::Certificate`](link::Renew::Certificate) to it. From the gateway also the
    /// [key](signer::SignerKey) that compact ones are verified by, while pairing and on a link.
    pub const CERTIFICATE: Self = Self(64);
    /// [`Policy::GatewayAddress`](link::Policy::GatewayAddress).
    pub const ADDRESSES: Self = Self(128);

    /// The messages that every node of this crate takes. One that runs tasks takes
    /// [`DISPATCH`](Self::DISPATCH), too, one that wants certificates
    /// [`CERTIFICATE`](Self::CERTIFICATE), and one that keeps several addresses
    /// [`ADDRESSES`](Self::ADDRESSES).
    pub const NODE: Self = Self::APP.with(Self::PING).with(Self::CLONE_COUNTER).with(Self::NAME);
    /// The messages that every holder of a token chain takes; it sends no [`Hello`](link::Hello).
    pub const DELEGATE: Self = Self::APP.with(Self::SUBSCRIBE);
    /// The messages that the gateway of this crate takes; one that issues certificates takes
    /// [`CERTIFICATE`](Self::CERTIFICATE), too.
    pub const GATEWAY: Self =
        Self::APP.with(Self::SUBSCRIBE).with(Self::DISPATCH).with(Self::CLONE_COUNTER);

    /// Makes a set from its bits, known or not.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns a set with the bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns `true` if each bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The opaque payload of an application's message, a dispatch or its result.
pub type Payload<'b> = Bounded<'b, 0, PAYLOAD_BYTES>;

/// The reason for a refusal, as a sentence for people: 1 to [`REASON_BYTES`], not blank, without
/// characters that move a cursor or reorder a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReasonText<'b>(&'b str);

impl<'b> ReasonText<'b> {
    /// Checks a text. Returns `None` if it is blank, too long or holds a forbidden character.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let fine = text.len() <= REASON_BYTES
            && !text.trim().is_empty()
            && !text.chars().any(Label::forbids);
        fine.then_some(Self(text))
    }

    /// Returns the reason as text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

serial_text!(ReasonText, ReasonText::parse, as_str);

/// The name of a node's capability, for instance `system.health`: 1 to [`CAPABILITY_NAME_CHARS`] of
/// `a`–`z`, `0`–`9`, `.`, `-` and `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CapabilityName<'b>(&'b str);

impl<'b> CapabilityName<'b> {
    /// Checks a text; returns `None` if it is not such a name.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        ((1..=CAPABILITY_NAME_CHARS).contains(&text.len()) && text.bytes().all(allowed))
            .then_some(Self(text))
    }

    /// Returns the name as text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

serial_text!(CapabilityName, CapabilityName::parse, as_str);
