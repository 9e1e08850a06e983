//! One block of a capability token: its holder, scopes, lifetime, audience and signature.

use serde::{Deserialize, Serialize};

use super::{MalformedToken, Widening};
use crate::crypto::keys::OwnKeys;
use crate::crypto::{ed25519, labels, sha256, x25519};
use crate::grant::scope::Scopes;
use crate::serial::{byte_array, is_form_of};
use crate::text::Label;
use crate::time::UnixTime;

/// The id of a block: SHA-256 over a label and the whole signed block. The next block names it as
/// its parent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Id(#[serde(with = "byte_array")] [u8; 32]);

impl Id {
    /// Restores an id from the bytes in a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the parent id of a root block: a hash of the key that issued it.
    pub(super) fn of_issuer(key: &ed25519::PublicKey) -> Self {
        Self(sha256::hash_parts(labels::CAPABILITY_ISSUER, &[key.as_bytes()]))
    }

    fn of_signed(block: &[u8]) -> Self {
        Self(sha256::hash_parts(labels::CAPABILITY_ID, &[block]))
    }
}

impl core::fmt::Display for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for Id {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Id({self})")
    }
}

/// The holder of a block: the public keys of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Holder {
    /// The static key of the channels on which the block counts.
    pub channel: x25519::PublicKey,
    /// The key that signs further delegations; `None` for a node that delegates nothing.
    pub signing: Option<ed25519::PublicKey>,
}

impl Holder {
    /// Returns the holder with the public parts of these keys.
    #[must_use]
    pub fn of(keys: &OwnKeys) -> Self {
        #[cfg(feature = "identity")]
        let signing = Some(keys.signing.public());
        #[cfg(not(feature = "identity"))]
        let signing = None;
        Self { channel: *keys.channel.public(), signing }
    }

    /// Returns the holder with the signing key that it has proven meanwhile, or `None` if there is
    /// nothing to add: a known signing key is never replaced.
    #[must_use]
    pub fn completed_by(&self, signing: Option<ed25519::PublicKey>) -> Option<Self> {
        match (self.signing, signing) {
            (None, Some(_)) => Some(Self { channel: self.channel, signing }),
            (Some(_), _) | (None, None) => None,
        }
    }
}

/// The rights that a block grants, and their bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BlockTerms<'b> {
    /// The allowed actions and addresses.
    #[serde(borrow)]
    pub scopes: Scopes<'b>,
    /// Start of validity, inclusive.
    pub not_before: UnixTime,
    /// End of validity, exclusive; later than `not_before`.
    pub expires: UnixTime,
    /// The only audience at which the block counts; `None` if it counts everywhere.
    #[serde(borrow)]
    pub audience: Option<Label<'b>>,
}

impl BlockTerms<'_> {
    /// Checks that a parent may delegate these terms: nothing is wider than in the parent.
    ///
    /// # Errors
    /// The first property that is wider.
    pub fn within(&self, parent: &BlockTerms<'_>) -> Result<(), Widening> {
        if !parent.scopes.covers(&self.scopes) {
            return Err(Widening::Scopes);
        }
        if self.not_before < parent.not_before || self.expires > parent.expires {
            return Err(Widening::Life);
        }
        match parent.audience {
            Some(_) if self.audience != parent.audience => Err(Widening::Audience),
            // A parent without an audience counts everywhere, so its child may name any.
            Some(_) | None => Ok(()),
        }
    }
}

/// A block as read. Its values are legal; only [`verify`](super::verify) checks its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Block<'b> {
    id: Id,
    parent: Id,
    holder: Holder,
    terms: BlockTerms<'b>,
    body: &'b [u8],
    signature: &'b [u8; 64],
}

impl<'b> Block<'b> {
    /// Returns the block's id.
    #[must_use]
    pub const fn id(&self) -> &Id {
        &self.id
    }

    /// Returns the holder.
    #[must_use]
    pub const fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Returns the terms.
    #[must_use]
    pub const fn terms(&self) -> &BlockTerms<'b> {
        &self.terms
    }

    pub(super) const fn parent(&self) -> &Id {
        &self.parent
    }

    pub(super) fn is_signed_by(&self, signer: &ed25519::PublicKey) -> bool {
        signer
            .verify(
                labels::CAPABILITY,
                [self.body, &[]],
                &ed25519::Signature::from_bytes(*self.signature),
            )
            .is_ok()
    }

    /// Reads the block at the front of the bytes, and returns it with the bytes behind it.
    pub(super) fn read(bytes: &'b [u8]) -> Result<(Self, &'b [u8]), MalformedToken> {
        let (fields, rest) = postcard::take_from_bytes::<SignedFields<'b>>(bytes)?;
        let length = bytes.len().saturating_sub(rest.len());
        let (body, _) = bytes.split_at_checked(length).ok_or(MalformedToken::Truncated)?;
        let (signature, rest) = rest.split_first_chunk().ok_or(MalformedToken::Truncated)?;
        // The block was split off these bytes, so the slice exists.
        let signed = bytes.get(..length.saturating_add(signature.len()));
        // Postcard accepts a number that is longer than it needs to be. A block has one form,
        // because its hash is its id.
        if !is_form_of(&fields, body) {
            return Err(MalformedToken::Number);
        }
        let SignedFields { parent, channel, signing, terms } = fields;
        if terms.expires <= terms.not_before {
            return Err(MalformedToken::Life);
        }
        // The point decompression of the key is costly, so it comes after every check that may
        // fail.
        let signing = match signing {
            Some(RawKey(key)) => {
                Some(ed25519::PublicKey::parse(&key).map_err(|_| MalformedToken::Value)?)
            }
            None => None,
        };
        let block = Self {
            id: Id::of_signed(signed.unwrap_or_default()),
            parent,
            holder: Holder { channel, signing },
            terms,
            body,
            signature,
        };
        Ok((block, rest))
    }
}

/// The fields that a block's signature covers, in their order.
#[derive(Serialize, Deserialize)]
struct SignedFields<'b> {
    parent: Id,
    channel: x25519::PublicKey,
    signing: Option<RawKey>,
    #[serde(borrow)]
    terms: BlockTerms<'b>,
}

/// The encoding of a key that is still to be checked.
#[derive(Serialize, Deserialize)]
struct RawKey(#[serde(with = "byte_array")] [u8; 32]);

/// Writes a block and its signature over the written bytes to the front of `out`, and returns their
/// number. Returns `None` if `out` is too small.
pub(super) fn write(
    out: &mut [u8],
    parent: &Id,
    holder: &Holder,
    terms: &BlockTerms<'_>,
    signer: &ed25519::KeyPair,
) -> Option<usize> {
    let fields = SignedFields {
        parent: *parent,
        channel: holder.channel,
        signing: holder.signing.as_ref().map(|key| RawKey(*key.as_bytes())),
        terms: terms.clone(),
    };
    let body = postcard::to_slice(&fields, out).ok()?;
    let (length, signature) = (body.len(), signer.sign(labels::CAPABILITY, [body, &[]]));
    let place = out.get_mut(length..)?.first_chunk_mut()?;
    *place = *signature.as_bytes();
    length.checked_add(place.len())
}
