//! The native wire: the messages that travel in Noise's sealed channel, and the two kinds that go
//! in clear before it ([`open`]).
//!
//! ```text
//! Open ─────────────▶                    in clear, one frame; its bytes are the prologue
//! Noise 1 ──────────▶
//!        ◀────────── Noise 2             or, in clear and proving nothing, a ClearRefusal
//! Noise 3 ──────────▶                    to pair and to delegate only (XX)
//! pair::FromNode, pair::FromGateway      after Intent::Pair
//! link::FromNode, link::FromGateway      after Intent::Link (IK; Noise 2 carries a link::Admission) and Intent::Delegate
//! ```
//! **Form.** Each message is bit for bit what postcard 1 writes for the same type, read and written
//! by an explicit codec that allocates nothing: numbers as varints (but single bytes as they are),
//! bytes and text behind their length, choices behind their number, keys, tags and ids bare. Of all
//! forms that would read alike one is accepted: no overlong number, nothing behind the end, no
//! empty label where one is due, no part that is smaller than it could be. What was read, written
//! again, is the same bytes.
//!
//! **Bounds.** A message is at most [`PLAINTEXT_BYTES`](crate::limits::PLAINTEXT_BYTES). Every
//! field is bounded so that each message fits whatever its fields hold (asserted where the types
//! stand), but an [`Ask`](pair::Ask) with a certificate request beside very long names: writing
//! tells. Larger objects travel in [`part`]s, **ahead of the message that means them**.
//!
//! **Versions.** This is version 1, and all of it: what it does not know it refuses, so nothing can
//! be smuggled past a side that skips it, and no field is ever added to it. What changes is version
//! 2, which [`Open`](open::Open) names first and the handshake then binds.

mod codec;
pub mod link;
pub mod open;
pub mod pair;
pub mod part;

pub use codec::{Bounded, NotWritten};

/// A whole message, for those who send any of them.
pub(crate) trait Message {
    /// Writes it to the beginning of `out`. `None` if it does not fit.
    fn length_written(&self, out: &mut [u8]) -> Option<usize>;
}

use crate::limits::{CAPABILITY_NAME_CHARS, PAYLOAD_BYTES, REASON_BYTES};
use crate::text::is_forbidden;

/// What the application, a dispatch or its result carries; nobody here looks into it.
pub type Payload<'b> = Bounded<'b, 0, PAYLOAD_BYTES>;

/// Why something was declined, as a sentence for people: 1 to [`REASON_BYTES`], not blank, without
/// characters that move a cursor or reorder a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'b>(&'b str);

impl<'b> Reason<'b> {
    /// Checks a text. `None` if it is blank, too long or holds a forbidden character.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let fine = text.len() <= REASON_BYTES
            && !text.trim().is_empty()
            && !text.chars().any(is_forbidden);
        fine.then_some(Self(text))
    }

    /// As text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

/// The name of something a node can do, for instance `system.health`: 1 to
/// [`CAPABILITY_NAME_CHARS`] of `a`–`z`, `0`–`9`, `.`, `-` and `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilityName<'b>(&'b str);

impl<'b> CapabilityName<'b> {
    /// Checks a text.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        ((1..=CAPABILITY_NAME_CHARS).contains(&text.len()) && text.bytes().all(allowed))
            .then_some(Self(text))
    }

    /// As text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}
