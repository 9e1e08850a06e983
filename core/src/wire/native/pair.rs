//! The sealed messages of pairing, after a handshake for
//! [`Intent::Pair`](super::open::Intent::Pair).
//!
//! ```text
//! Ask ──────────▶                  any method
//! SetupCode ────▶                  setup: the channel is sealed, and its other end is the
//!                                  gateway that the code names
//!     ◀────────── Waiting          approval: stored under the node's fingerprint
//!     ◀────────── PinShown         pin: now it can be typed
//! Ya ───────────▶                  pin and code: CPace
//!     ◀────────── Yb
//! Ta ───────────▶
//!     ◀────────── Tb
//!     ◀────────── Part… Grant      only now
//! Stored ───────▶
//!     ◀────────── Active
//! ```

mod ask;

use serde::{Deserialize, Serialize};

use super::ReasonText;
use super::codec::{Bounded, message};
use super::part::Part;
use super::signer::SignerKey;
use crate::crypto::code::unambiguous;
use crate::crypto::cpace::{self, Element, Tag};
use crate::entropy::Entropy;
use crate::id::{NodeId, opaque_id};
use crate::limits::{
    CSR_BYTES, INLINE_CHAIN_BYTES, LABEL_BYTES, PLAINTEXT_BYTES, REASON_BYTES, SETUP_TOKEN_CHARS,
};
use crate::secret;
use crate::secret::exposed::{Conceal, Expose};
use crate::serial::{byte_array, serial_bytes};
use crate::text::Label;
use crate::wire::token::{TOKEN_CHARS, Token};

pub use ask::{Ask, AskDefect, AskedScopes, Covered, NativeProfile, Request, VerifiedAsk};

/// A certificate request (PKCS #10, DER), which only the certificate authority parses.
pub type Csr<'b> = Bounded<'b, 1, CSR_BYTES>;

/// A message from a node that wants to be paired.
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box an Ask with; it comes once"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PairFromNode<'b> {
    /// The request.
    Ask(#[serde(borrow)] Ask<'b>),
    /// CPace: the node's element, not yet checked.
    Ya(#[serde(with = "byte_array")] Element),
    /// CPace: the node's tag. Every value is well formed, so a wrong tag counts as a guess.
    Ta(#[serde(with = "byte_array")] Tag),
    /// The grant with this id is stored durably.
    Stored(GrantId),
    /// The token of a setup code.
    SetupCode(#[serde(borrow, with = "secret::exposed")] BootstrapToken<'b>),
}

message!('b PairFromNode<'b>);

/// A message from a gateway to a node that wants to be paired.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PairFromGateway<'b> {
    /// The request waits for the operator.
    Waiting {
        /// The time that remains, in seconds.
        expires_in: u32,
    },
    /// A PIN for this node is shown at the gateway.
    PinShown {
        /// The lifetime of the PIN, in seconds.
        expires_in: u32,
        /// The number of attempts.
        attempts: u8,
    },
    /// CPace: the gateway's element.
    Yb(#[serde(with = "byte_array")] Element),
    /// CPace: the gateway's tag.
    Tb(#[serde(with = "byte_array")] Tag),
    /// The refusal and its reason.
    Refused(#[serde(borrow)] PairRefusal<'b>),
    /// A part of an object to which the grant refers.
    Part(#[serde(borrow)] Part<'b>),
    /// The result of pairing.
    Grant(#[serde(borrow)] PairGrant<'b>),
    /// The grant with this id is active; the node may drop an older one.
    Active(GrantId),
    /// The offer does not exist, or no longer.
    NotPaired,
    /// The gateway's name for people ([`Features::NAME`](super::Features::NAME)).
    Name(#[serde(borrow)] Label<'b>),
    /// The key that signed the compact certificate in the parts that follow
    /// ([`Features::CERTIFICATE`](super::Features::CERTIFICATE)).
    CertificateKey(SignerKey),
}

message!('b PairFromGateway<'b>);

/// The token of a setup code as it is sent: 1 to [`SETUP_TOKEN_CHARS`] bytes of text that only its
/// verifier parses. It is a secret until it is spent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BootstrapToken<'b>(&'b str);

impl<'b> BootstrapToken<'b> {
    /// Wraps a text. Returns `None` if it is empty or longer than any token.
    #[must_use]
    pub fn new(text: &'b str) -> Option<Self> {
        (1..=SETUP_TOKEN_CHARS).contains(&text.len()).then_some(Self(text))
    }

    /// Returns the secret text.
    #[must_use]
    pub const fn expose(&self) -> &'b str {
        self.0
    }
}

crate::secret::redacted!(BootstrapToken<'_>);

impl Expose for BootstrapToken<'_> {
    fn expose_to<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0)
    }
}

impl<'de: 'b, 'b> Conceal<'de> for BootstrapToken<'b> {
    fn conceal_from<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <&'b str>::deserialize(from)?;
        Self::new(text).ok_or_else(|| serde::de::Error::custom("no token is so long"))
    }
}

const _: () = assert!(1 + 2 + SETUP_TOKEN_CHARS <= PLAINTEXT_BYTES);

/// The proof with which a node is paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Method {
    /// The node's fingerprint, which the operator compares.
    Approval,
    /// A PIN that the gateway shows for this node.
    Pin,
    /// A code that was minted beforehand.
    Code {
        /// The public part of the code.
        selector: Selector,
    },
    /// A setup code, which follows at once. Its token goes only to the gateway whose fingerprint
    /// came with it.
    Setup,
}

impl Method {
    /// Returns the method as CPace binds it; `None` for methods without CPace.
    #[must_use]
    pub const fn cpace(self) -> Option<cpace::CodeOrigin> {
        match self {
            Self::Approval | Self::Setup => None,
            Self::Pin => Some(cpace::CodeOrigin::Pin),
            Self::Code { .. } => Some(cpace::CodeOrigin::Code),
        }
    }
}

/// The public part of a code: four letters and digits in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Selector([u8; 4]);

impl Selector {
    /// Reads typed text in upper or lower case.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let characters: [u8; 4] = typed.as_bytes().try_into().ok()?;
        Self::new(characters.map(|byte| byte.to_ascii_uppercase()))
    }

    /// Makes a fresh selector of characters that do not look alike. There are only a million, so
    /// the caller checks that it is not in use.
    #[must_use]
    pub fn mint(entropy: &Entropy<4>) -> Self {
        Self(entropy.expose().map(unambiguous))
    }

    fn new(characters: [u8; 4]) -> Option<Self> {
        characters
            .iter()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9'))
            .then_some(Self(characters))
    }

    const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// Returns the four characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only letters and digits of ASCII are ever held; the fallback is never taken.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

serial_bytes!(Selector, |characters: &[u8; 4]| Self::new(*characters), as_bytes);

/// The reason for not pairing a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PairRefusal<'b> {
    /// The code is wrong.
    WrongCode {
        /// The number of attempts that remain.
        attempts_left: u8,
    },
    /// The PIN, the code or the request has expired.
    Expired,
    /// Too many guesses were wrong, so the code is void.
    Locked,
    /// Pairing is not open.
    Closed,
    /// The operator, or an extension that decides for them, rejected the request.
    Denied {
        /// The operator's reason, if one was given.
        #[serde(borrow)]
        reason: Option<ReasonText<'b>>,
    },
    /// The key was revoked, which is final.
    Revoked,
    /// The gateway is overloaded or has no free slot.
    Busy {
        /// Time before the next attempt, in seconds.
        retry_in: u32,
    },
    /// The last message was malformed or out of place.
    Protocol,
    /// The setup code was spent by another device.
    Spent,
    /// The gateway's store cannot write at the moment.
    CannotStore {
        /// Time before the next attempt, in seconds.
        retry_in: u32,
    },
    /// The request asks for a certificate, which only a node with a signing key gets.
    Unsigned,
}

opaque_id! {
    /// The id of an offer of a grant. A grant that is minted anew has another id, so storing the
    /// old one activates nothing.
    GrantId
}

/// The result of pairing or renewing. The right to link with the static key is implied and has no
/// field.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PairGrant<'b> {
    /// The id of the offer, which the node names once it has stored the grant.
    pub id: GrantId,
    /// The id of the node itself.
    pub node_id: NodeId,
    /// The node's room in the registry.
    #[serde(borrow)]
    pub room: Label<'b>,
    /// A bearer token for dialects without a sealed channel.
    #[serde(with = "secret::exposed")]
    pub token: Option<Token>,
    /// A capability token.
    #[serde(borrow)]
    pub chain: Option<ChainBytes<'b>>,
    /// `true` if the certificates in the preceding parts belong to the grant.
    pub certificates: bool,
    /// A message of the operator, or of an extension that decides for them.
    #[serde(borrow)]
    pub message: Option<ReasonText<'b>>,
}

/// A token chain, as opaque bytes; [`crate::grant`] interprets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ChainBytes<'b> {
    /// The chain itself.
    Here(#[serde(borrow)] Bounded<'b, 1, INLINE_CHAIN_BYTES>),
    /// The chain was sent in the preceding parts.
    InParts,
}

/// The longest `PairGrant` fits: number of message, ids, room, token, chain, certificates, message.
const _: () = assert!(
    1 + 16
        + 16
        + 2
        + LABEL_BYTES
        + 2
        + TOKEN_CHARS
        + 2
        + 2
        + INLINE_CHAIN_BYTES
        + 1
        + 1
        + 2
        + REASON_BYTES
        <= PLAINTEXT_BYTES
);
const _: () =
    assert!(size_of::<PairFromNode<'_>>() <= 400 && size_of::<PairFromGateway<'_>>() <= 176);
