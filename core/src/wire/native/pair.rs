//! The messages of pairing, sealed, after a handshake for
//! [`Intent::Pair`](super::open::Intent::Pair).
//!
//! ```text
//! Ask ──────────▶                  any method
//! SetupCode ────▶                  setup: the channel is sealed, and its other end the gateway that the code names
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

use sha2::{Digest, Sha256};

use super::Reason;
use super::codec::{Bounded, Reader, Sink, Wire, fields, message, variants};
use super::part::Part;
use crate::crypto::code::unambiguous;
use crate::crypto::cpace::{self, Element, Tag};
use crate::crypto::ed25519::{BadSignature, KeyPair, PublicKey, Signature};
use crate::crypto::labels;
use crate::crypto::noise::HandshakeHash;
use crate::entropy::Entropy;
use crate::error::Undecodable;
use crate::id::{NodeId, opaque_id};
use crate::limits::{
    CSR_BYTES, INLINE_CHAIN_BYTES, LABEL_BYTES, NATIVE_PROFILE_BYTES, PLAINTEXT_BYTES,
    REASON_BYTES, SETUP_TOKEN_CHARS,
};
use crate::text::Label;
use crate::wire::registration::Profile;
use crate::wire::token::{TOKEN_CHARS, Token};

/// A certificate request (PKCS #10, DER), as the certificate authority reads it.
pub type Csr<'b> = Bounded<'b, 1, CSR_BYTES>;

/// What a node sends to be paired.
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box an Ask with; it comes once"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromNode<'b> {
    /// Asks.
    Ask(Ask<'b>),
    /// CPace: the node's element. Not looked into here.
    Ya(Element),
    /// CPace: the node's tag. Well formed whatever it holds, so it counts as a guess.
    Ta(Tag),
    /// The grant is stored durably.
    Stored(GrantId),
    /// A setup code's token.
    SetupCode(BootstrapToken<'b>),
}

variants!('b FromNode<'b> { 0 Ask(ask); 1 Ya(element); 2 Ta(tag); 3 Stored(grant); 4 SetupCode(token); });
message!('b FromNode<'b>);

/// What a gateway sends to a node that wants to be paired.
#[derive(Debug, PartialEq, Eq)]
pub enum FromGateway<'b> {
    /// The request waits for the operator.
    Waiting {
        /// For so many seconds yet.
        expires_in: u32,
    },
    /// A PIN for this node is shown at the gateway.
    PinShown {
        /// For so many seconds.
        expires_in: u32,
        /// How often it may be tried.
        attempts: u8,
    },
    /// CPace: the gateway's element.
    Yb(Element),
    /// CPace: the gateway's tag.
    Tb(Tag),
    /// No, and why.
    Refused(Refusal<'b>),
    /// A part of what the grant will mean.
    Part(Part<'b>),
    /// What pairing yields.
    Grant(Grant<'b>),
    /// The grant counts now; an older one may be dropped.
    Active(GrantId),
    /// There is no such offer any more, or never was.
    NotPaired,
}

variants!('b FromGateway<'b> {
    0 Waiting { expires_in };
    1 PinShown { expires_in, attempts };
    2 Yb(element);
    3 Tb(tag);
    4 Refused(refusal);
    5 Part(part);
    6 Grant(grant);
    7 Active(grant);
    8 NotPaired;
});
message!('b FromGateway<'b>);

/// The token of a setup code, as it travels: 1 to [`SETUP_TOKEN_CHARS`] bytes of text that whoever
/// verifies it looks into. A secret until it is spent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BootstrapToken<'b>(&'b str);

impl<'b> BootstrapToken<'b> {
    /// Takes a text. `None` if it is empty or longer than any token.
    #[must_use]
    pub fn new(text: &'b str) -> Option<Self> {
        (1..=SETUP_TOKEN_CHARS).contains(&text.len()).then_some(Self(text))
    }

    /// The text.
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

impl<'b> Wire<'b> for BootstrapToken<'b> {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        from.text(Self::new)
    }

    fn write(&self, to: &mut impl Sink) {
        to.bytes(self.0.as_bytes());
    }
}

const _: () = assert!(1 + 2 + SETUP_TOKEN_CHARS <= PLAINTEXT_BYTES);

/// The wish of a node to be paired, signed with its Ed25519 key for this channel alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'b> {
    request: Request<'b>,
    key: PublicKey,
    signature: Signature,
}

fields!('b Ask<'b> { request, key, signature });

/// Who asks, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'b> {
    /// What people call it.
    pub name: Label<'b>,
    /// Where it stands.
    pub room: Label<'b>,
    /// What it is made of.
    pub profile: NativeProfile<'b>,
    /// What it will show.
    pub method: Method,
    /// The certificate that it wants, if any.
    pub csr: Option<Csr<'b>>,
}

fields!('b Request<'b> { name, room, profile, method, csr });

/// Number of message, three texts behind two bytes of length, method with selector, no request,
/// key, signature: whatever the names, an `Ask` fits.
const _: () = assert!(
    1 + 2 * (2 + LABEL_BYTES) + 2 + NATIVE_PROFILE_BYTES + 5 + 1 + 32 + 64 <= PLAINTEXT_BYTES
);
/// With names of 16 characters of four bytes, or 64 of one, and the longest request it fits too, if
/// the profile has 192 bytes.
const _: () = assert!(1 + 2 * (2 + 64) + 2 + 192 + 5 + 3 + CSR_BYTES + 32 + 64 <= PLAINTEXT_BYTES);

/// What the signature of an [`Ask`] covers behind [`labels::ASK`]: the handshake hash, and SHA-256
/// over all of the `Ask` but the signature, as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    hash: [u8; 32],
    digest: [u8; 32],
}

impl Covered {
    fn new(request: &Request<'_>, key: &PublicKey, hash: &HandshakeHash) -> Self {
        let mut digest = Sha256::new();
        request.write(&mut digest);
        key.write(&mut digest);
        Self { hash: *hash.as_bytes(), digest: digest.finalize().into() }
    }

    /// In the order in which they are signed.
    #[must_use]
    pub const fn parts(&self) -> [&[u8]; 2] {
        [&self.hash, &self.digest]
    }
}

impl<'b> Ask<'b> {
    /// Signs a request for the channel with this hash.
    #[must_use]
    pub fn sign(request: Request<'b>, keys: &KeyPair, hash: &HandshakeHash) -> Self {
        let key = keys.public();
        let signature = keys.sign(labels::ASK, Covered::new(&request, &key, hash).parts());
        Self { request, key, signature }
    }

    /// What the signature covers on the channel with this hash.
    #[must_use]
    pub fn covered(&self, hash: &HandshakeHash) -> Covered {
        Covered::new(&self.request, &self.key, hash)
    }

    /// Verifies the signature for the channel with this hash, and only then yields what is asked.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(self, hash: &HandshakeHash) -> Result<Asked<'b>, BadSignature> {
        self.key.verify(labels::ASK, self.covered(hash).parts(), &self.signature)?;
        Ok(Asked { request: self.request, key: self.key })
    }
}

/// An [`Ask`] whose signature was verified. Only that makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'b> {
    request: Request<'b>,
    key: PublicKey,
}

impl<'b> Asked<'b> {
    /// Who asks, and for what.
    #[must_use]
    pub const fn request(&self) -> &Request<'b> {
        &self.request
    }

    /// The node's Ed25519 key, which it has proven to hold.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// A hardware profile of at most [`NATIVE_PROFILE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeProfile<'b>(Profile<'b>);

impl<'b> NativeProfile<'b> {
    /// No profile.
    pub const EMPTY: NativeProfile<'static> = NativeProfile(Profile::EMPTY);

    /// The profile, if it is short enough.
    #[must_use]
    pub const fn new(profile: Profile<'b>) -> Option<Self> {
        if profile.as_str().len() <= NATIVE_PROFILE_BYTES { Some(Self(profile)) } else { None }
    }

    /// The profile, as every door hands it on.
    #[must_use]
    pub const fn profile(&self) -> Profile<'b> {
        self.0
    }
}

impl<'b> Wire<'b> for NativeProfile<'b> {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        // Length first: it bounds what is read as JSON.
        from.text(|text| {
            if text.len() <= NATIVE_PROFILE_BYTES { Profile::parse(text).map(Self) } else { None }
        })
    }

    fn write(&self, to: &mut impl Sink) {
        to.bytes(self.0.as_str().as_bytes());
    }
}

/// What a node shows to be paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Method {
    /// Its fingerprint, to the operator.
    Approval,
    /// A PIN that the gateway will show for it.
    Pin,
    /// A code that was minted beforehand.
    Code {
        /// Which.
        selector: Selector,
    },
    /// A setup code, which follows at once: its token goes only to the gateway whose fingerprint
    /// came with it.
    Setup,
}

variants!('b Method { 0 Approval; 1 Pin; 2 Code { selector }; 3 Setup; });

impl Method {
    /// The method as CPace binds it; `None` if there is no CPace.
    #[must_use]
    pub const fn cpace(self) -> Option<cpace::Method> {
        match self {
            Self::Approval | Self::Setup => None,
            Self::Pin => Some(cpace::Method::Pin),
            Self::Code { .. } => Some(cpace::Method::Code),
        }
    }
}

/// The public part of a code: four letters and digits in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Selector([u8; 4]);

impl Selector {
    /// Reads what was typed, in upper or lower case.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let characters: [u8; 4] = typed.as_bytes().try_into().ok()?;
        Self::new(characters.map(|byte| byte.to_ascii_uppercase()))
    }

    /// A fresh one, of characters that do not look like one another. There are a million: whoever
    /// mints looks whether it is taken.
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

    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only letters and digits of ASCII are ever held; the fallback is never taken.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl<'b> Wire<'b> for Selector {
    fn read(from: &mut Reader<'b>) -> Result<Self, Undecodable> {
        Self::new(Wire::read(from)?).ok_or(Undecodable::Text)
    }

    fn write(&self, to: &mut impl Sink) {
        to.put(&self.0);
    }
}

/// Why a node is not paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal<'b> {
    /// Not this code.
    WrongCode {
        /// How often another may be tried.
        attempts_left: u8,
    },
    /// The PIN, the code or the request ran out.
    Expired,
    /// Too many wrong ones: this code is dead.
    Locked,
    /// Pairing is not open.
    Closed,
    /// The operator, or who decides for them, said no.
    Denied {
        /// In their words.
        reason: Option<Reason<'b>>,
    },
    /// This key was revoked; that is final.
    Revoked,
    /// No room, or too much to do.
    Busy {
        /// When to come again, in seconds.
        retry_in: u32,
    },
    /// The last message was malformed or out of place.
    Protocol,
    /// The setup code was spent by somebody else.
    Spent,
    /// The gateway cannot store anything at the moment.
    CannotStore {
        /// When to come again, in seconds.
        retry_in: u32,
    },
}

variants!('b Refusal<'b> {
    0 WrongCode { attempts_left };
    1 Expired;
    2 Locked;
    3 Closed;
    4 Denied { reason };
    5 Revoked;
    6 Busy { retry_in };
    7 Protocol;
    8 Spent;
    9 CannotStore { retry_in };
});

opaque_id! {
    /// Which offer of a grant: what was minted anew has another one, so storing the old one
    /// activates nothing.
    GrantId
}

/// What pairing, or renewing, yields. That the node may link with its static key needs no field.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant<'b> {
    /// Which offer it is, to be named when it is stored.
    pub id: GrantId,
    /// The node itself.
    pub node_id: NodeId,
    /// Where the registry says it stands.
    pub room: Label<'b>,
    /// A bearer token for doors without a sealed channel.
    pub token: Option<Token>,
    /// A capability.
    pub chain: Option<Chain<'b>>,
    /// Whether the certificates that came in parts are part of it.
    pub certificates: bool,
    /// What the operator, or who decides for them, says to it.
    pub message: Option<Reason<'b>>,
}

fields!('b Grant<'b> { id, node_id, room, token, chain, certificates, message });

/// A token chain; what it says is [`crate::grant`]'s business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain<'b> {
    /// Here.
    Here(Bounded<'b, 1, INLINE_CHAIN_BYTES>),
    /// It came in parts, just before.
    InParts,
}

variants!('b Chain<'b> { 0 Here(bytes); 1 InParts; });

/// Number of message, ids, room, token, chain, certificates, message.
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
const _: () = assert!(size_of::<FromNode<'_>>() <= 400 && size_of::<FromGateway<'_>>() <= 176);
