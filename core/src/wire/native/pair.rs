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

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::codec::{Bounded, message};
use super::part::Part;
use super::{Features, ReasonText};
use crate::crypto::code::unambiguous;
use crate::crypto::cpace::{self, Element, Tag};
use crate::crypto::ed25519::{BadSignature, KeyPair, PublicKey, Signature};
use crate::crypto::labels;
use crate::crypto::noise::HandshakeHash;
use crate::entropy::Entropy;
use crate::id::{NodeId, opaque_id};
use crate::limits::{
    CSR_BYTES, INLINE_CHAIN_BYTES, LABEL_BYTES, NATIVE_PROFILE_BYTES, PLAINTEXT_BYTES,
    REASON_BYTES, SETUP_TOKEN_CHARS,
};
use crate::secret;
use crate::secret::exposed::{Conceal, Expose};
use crate::serial::{byte_array, serial_bytes, serial_text};
use crate::text::Label;
use crate::wire::registration::Profile;
use crate::wire::token::{TOKEN_CHARS, Token};

/// A certificate request (PKCS #10, DER), which only the certificate authority parses.
pub type Csr<'b> = Bounded<'b, 1, CSR_BYTES>;

/// A message from a node that wants to be paired.
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box an Ask with; it comes once"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl core::fmt::Debug for BootstrapToken<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BootstrapToken(redacted)")
    }
}

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

/// A node's request to be paired. The channel proves the node's static key; a node with a signing
/// key signs the request for this channel alone, which proves that key, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask<'b> {
    #[serde(borrow)]
    request: Request<'b>,
    // Last, so that one contiguous run of bytes is signed.
    signer: Option<Signer>,
}

/// A node's signing key, and its signature of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signer {
    key: PublicKey,
    signature: Signature,
}

/// The unsigned content of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'b> {
    /// The messages that the node takes.
    pub features: Features,
    /// The node's name for people.
    #[serde(borrow)]
    pub name: Label<'b>,
    /// The room in which the node stands.
    #[serde(borrow)]
    pub room: Label<'b>,
    /// The node's hardware.
    #[serde(borrow)]
    pub profile: NativeProfile<'b>,
    /// The proof that the node will give.
    pub method: Method,
    /// The certificate request, if the node wants a certificate.
    #[serde(borrow)]
    pub csr: Option<Csr<'b>>,
}

/// Whatever the names, an `Ask` without a certificate request fits: number of message, features,
/// three texts behind two bytes of length each, method with selector, no request, signer with key
/// and signature.
const _: () = assert!(
    1 + 10 + 2 * (2 + LABEL_BYTES) + 2 + NATIVE_PROFILE_BYTES + 5 + 1 + 1 + 32 + 64
        <= PLAINTEXT_BYTES
);
/// An `Ask` with the longest certificate request fits if each name has 64 bytes and the profile
/// 192.
const _: () =
    assert!(1 + 10 + 2 * (2 + 64) + 2 + 192 + 5 + 3 + CSR_BYTES + 1 + 32 + 64 <= PLAINTEXT_BYTES);

/// The bytes that the signature of an [`Ask`] covers behind [`labels::ASK`]: the handshake hash,
/// and SHA-256 over all bytes of the `Ask` but its last 64, the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    hash: [u8; 32],
    digest: [u8; 32],
}

impl Covered {
    fn new(request: &Request<'_>, key: &PublicKey, hash: &HandshakeHash) -> Self {
        // The hash covers the wire form, so both sides hash exactly the bytes that were sent.
        // The fields of an `Ask` in their order, up to the signature. It is hashed as this side
        // writes it, so a signature counts for no other form of it.
        let signed = (request, Some(key));
        let digest = postcard::serialize_with_flavor(&signed, Hashed(Sha256::new()));
        // A hash takes any number of bytes, so the placeholder is never used.
        Self { hash: *hash.as_bytes(), digest: digest.unwrap_or_default() }
    }

    /// Returns the parts in the order in which they are signed.
    #[must_use]
    pub const fn parts(&self) -> [&[u8]; 2] {
        [&self.hash, &self.digest]
    }
}

/// A target of postcard that hashes what it is given.
struct Hashed(Sha256);

impl Flavor for Hashed {
    type Output = [u8; 32];

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.update(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<[u8; 32]> {
        Ok(self.0.finalize().into())
    }
}

impl<'b> Ask<'b> {
    /// Makes a request of a node that has no signing key.
    #[must_use]
    pub const fn unsigned(request: Request<'b>) -> Self {
        Self { request, signer: None }
    }

    /// Signs a request for the channel with this hash.
    #[must_use]
    pub fn sign(request: Request<'b>, keys: &KeyPair, hash: &HandshakeHash) -> Self {
        let key = keys.public();
        let covered = Covered::new(&request, &key, hash);
        let signature = keys.sign(labels::ASK, covered.parts());
        Self { request, signer: Some(Signer { key, signature }) }
    }

    /// Returns what the signature covers on the channel with this hash; `None` without one.
    #[must_use]
    pub fn covered(&self, hash: &HandshakeHash) -> Option<Covered> {
        let signer = self.signer.as_ref()?;
        Some(Covered::new(&self.request, &signer.key, hash))
    }

    /// Verifies the signature for the channel with this hash, if there is one, and only then
    /// returns the request.
    ///
    /// # Errors
    /// [`AskDefect`].
    pub fn verify(self, hash: &HandshakeHash) -> Result<VerifiedAsk<'b>, AskDefect> {
        let Self { request, signer } = self;
        if let Some(Signer { key, signature }) = &signer {
            let covered = Covered::new(&request, key, hash);
            key.verify(labels::ASK, covered.parts(), signature)
                .map_err(|BadSignature| AskDefect::Signature)?;
        } else if request.csr.is_some() {
            return Err(AskDefect::Unsigned);
        }
        Ok(VerifiedAsk { request, key: signer.map(|signer| signer.key) })
    }
}

/// The reason for not accepting an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AskDefect {
    /// The signature does not match the key, the request or the channel.
    Signature,
    /// The node asks for a certificate and has no signing key.
    Unsigned,
}

/// An [`Ask`] whose signature was verified, if it has one. Only [`Ask::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedAsk<'b> {
    request: Request<'b>,
    key: Option<PublicKey>,
}

impl<'b> VerifiedAsk<'b> {
    /// Returns the verified request.
    #[must_use]
    pub const fn request(&self) -> &Request<'b> {
        &self.request
    }

    /// Returns the node's Ed25519 key, which the node has proven to hold; `None` if it has none.
    #[must_use]
    pub const fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }
}

/// A hardware profile of at most [`NATIVE_PROFILE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeProfile<'b>(Profile<'b>);

impl<'b> NativeProfile<'b> {
    /// The empty profile.
    pub const EMPTY: NativeProfile<'static> = NativeProfile(Profile::EMPTY);

    /// Wraps a profile; returns `None` if it is too long.
    #[must_use]
    pub const fn new(profile: Profile<'b>) -> Option<Self> {
        if profile.as_str().len() <= NATIVE_PROFILE_BYTES { Some(Self(profile)) } else { None }
    }

    const fn as_str(&self) -> &'b str {
        self.0.as_str()
    }

    /// Returns the profile in the form that all flows share.
    #[must_use]
    pub const fn profile(&self) -> Profile<'b> {
        self.0
    }
}

// The length is checked first, because it bounds the work of reading JSON.
serial_text!(
    NativeProfile,
    |text| {
        if text.len() <= NATIVE_PROFILE_BYTES { Profile::parse(text).map(Self) } else { None }
    },
    as_str
);

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
