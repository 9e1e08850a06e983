//! A node's signed request to be paired.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Csr, Method};
use crate::crypto::ed25519::{BadSignature, KeyPair, PublicKey, Signature};
use crate::crypto::labels;
use crate::crypto::noise::HandshakeHash;
use crate::limits::{
    ASKED_SCOPES_BYTES, CSR_BYTES, LABEL_BYTES, NATIVE_PROFILE_BYTES, PLAINTEXT_BYTES, SCOPES,
};
use crate::serial::serial_text;
use crate::text::Label;
use crate::wire::native::Features;
use crate::wire::path::{Action, Pattern};
use crate::wire::registration::Profile;

/// A node's request to be paired. The channel proves the node's static key; a node with a signing
/// key signs the request for this channel alone, which proves that key, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ask<'b> {
    #[serde(borrow)]
    request: Request<'b>,
    // Last, so that one contiguous run of bytes is signed.
    signer: Option<Signer>,
}

/// A node's signing key, and its signature of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Signer {
    key: PublicKey,
    signature: Signature,
}

/// The unsigned content of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    /// The permissions that the node asks for.
    #[serde(borrow)]
    pub wants: AskedScopes<'b>,
    /// The certificate request, if the node wants a certificate.
    #[serde(borrow)]
    pub csr: Option<Csr<'b>>,
}

/// Whatever the names, an `Ask` without a certificate request fits: number of message, features,
/// three texts behind two bytes of length each, method with selector, permissions behind one byte
/// of length, no request, signer with key and signature.
const _: () = assert!(
    1 + 10
        + 2 * (2 + LABEL_BYTES)
        + 2
        + NATIVE_PROFILE_BYTES
        + 5
        + 1
        + ASKED_SCOPES_BYTES
        + 1
        + 1
        + 32
        + 64
        <= PLAINTEXT_BYTES
);
/// An `Ask` with the longest certificate request fits, with all permissions, if each name has 64
/// bytes and the profile 144.
const _: () = assert!(
    1 + 10 + 2 * (2 + 64) + 2 + 144 + 5 + 1 + ASKED_SCOPES_BYTES + 3 + CSR_BYTES + 1 + 32 + 64
        <= PLAINTEXT_BYTES
);

/// The bytes that the signature of an [`Ask`] covers behind [`labels::ASK`]: the handshake hash,
/// and SHA-256 over all bytes of the `Ask` but its last 64, the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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

/// The permissions that a node asks for, as text of at most [`ASKED_SCOPES_BYTES`]: for each an
/// action, a colon and a pattern, one a line. An empty text leaves the choice to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AskedScopes<'b>(&'b str);

impl<'b> AskedScopes<'b> {
    /// The node asks for no permissions of its own.
    pub const NONE: AskedScopes<'static> = AskedScopes("");

    /// Checks a text. Returns `None` if it is too long, or a line of it is no permission.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let is_scope = |line: &str| {
            line.split_once(':').is_some_and(|(action, pattern)| {
                Action::parse(action).is_ok() && Pattern::parse(pattern).is_ok()
            })
        };
        let fine = text.len() <= ASKED_SCOPES_BYTES && text.split_terminator('\n').all(is_scope);
        fine.then_some(Self(text))
    }

    /// Returns the text, which [`ScopesBuf::parse`](crate::grant::scope::ScopesBuf::parse) reads.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

serial_text!(AskedScopes, AskedScopes::parse, as_str);

/// The shortest permission is `read:/` and its end of line, so the text never has more than a
/// grant may have.
const _: () = assert!(ASKED_SCOPES_BYTES.div_ceil("read:/\n".len()) <= SCOPES);
