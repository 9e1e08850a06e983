//! One block of a capability token: its holder, scopes, lifetime, audience and signature.

use super::codec::{BlockReader, BlockWriter, Full};
use super::{MalformedToken, Widening};
use crate::crypto::keys::OwnKeys;
use crate::crypto::{ed25519, labels, sha256, x25519};
use crate::grant::scope::{Action, Pattern, Scope, ScopeError, Scopes};
use crate::text::Label;
use crate::time::UnixTime;

/// The id of a block: SHA-256 over a label and the whole signed block. The next block names it as
/// its parent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Id([u8; 32]);

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

/// The holder of a block: both public keys of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Holder {
    /// The static key of the channels on which the block counts.
    pub channel: x25519::PublicKey,
    /// The key that signs further delegations.
    pub signing: ed25519::PublicKey,
}

impl Holder {
    /// Returns the holder with the public parts of these keys.
    #[must_use]
    pub fn of(keys: &OwnKeys) -> Self {
        Self { channel: *keys.channel.public(), signing: keys.signing.public() }
    }
}

/// The rights that a block grants, and their bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockTerms<'b> {
    /// The allowed actions and addresses.
    pub scopes: Scopes<'b>,
    /// Start of validity, inclusive.
    pub not_before: UnixTime,
    /// End of validity, exclusive; later than `not_before`.
    pub expires: UnixTime,
    /// The only audience at which the block counts; `None` if it counts everywhere.
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
            Some(_) | None => Ok(()),
        }
    }
}

/// A block as read. Its values are legal; only [`verify`](super::verify) checks its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    pub(super) fn read(reader: &mut BlockReader<'b>) -> Result<Self, MalformedToken> {
        // The reader is `Copy`; this one marks where the signed bytes begin.
        let start = *reader;
        let parent = Id(*reader.fixed()?);
        let channel = x25519::PublicKey::parse(reader.fixed()?).map_err(|_| MalformedToken::Key)?;
        let signing = reader.fixed()?;
        let scopes = read_scopes(reader)?;
        let not_before = UnixTime::from_secs(reader.number()?);
        let expires = UnixTime::from_secs(reader.number()?);
        if expires <= not_before {
            return Err(MalformedToken::Life);
        }
        let audience = match *reader.fixed()? {
            [0] => None,
            [1] => Some(read_audience(reader)?),
            _ => return Err(MalformedToken::Option),
        };
        let body = reader.since(start);
        let signature = reader.fixed()?;
        // The point decompression of the key is costly, so it comes after every check that may
        // fail.
        let signing = ed25519::PublicKey::parse(signing).map_err(|_| MalformedToken::Key)?;
        let terms = BlockTerms { scopes, not_before, expires, audience };
        Ok(Self {
            id: Id::of_signed(reader.since(start)),
            parent,
            holder: Holder { channel, signing },
            terms,
            body,
            signature,
        })
    }
}

/// Writes a block and its signature over the written bytes.
pub(super) fn write(
    writer: &mut BlockWriter<'_>,
    parent: &Id,
    holder: &Holder,
    terms: &BlockTerms<'_>,
    signer: &ed25519::KeyPair,
) -> Result<(), Full> {
    let start = writer.written();
    writer.bytes(parent.as_bytes())?;
    writer.bytes(holder.channel.as_bytes())?;
    writer.bytes(holder.signing.as_bytes())?;
    writer.number(u64::try_from(terms.scopes.as_slice().len()).map_err(|_| Full)?)?;
    for scope in terms.scopes.as_slice() {
        writer.number(match scope.action {
            Action::Read => 0,
            Action::Write => 1,
            Action::Admin => 2,
        })?;
        writer.text(scope.pattern.as_str())?;
    }
    writer.number(terms.not_before.as_secs())?;
    writer.number(terms.expires.as_secs())?;
    match &terms.audience {
        None => writer.bytes(&[0])?,
        Some(audience) => {
            writer.bytes(&[1])?;
            writer.text(audience.as_str())?;
        }
    }
    let signature = signer.sign(labels::CAPABILITY, [writer.since(start), &[]]);
    writer.bytes(signature.as_bytes())
}

fn read_scopes<'b>(reader: &mut BlockReader<'b>) -> Result<Scopes<'b>, MalformedToken> {
    let mut scopes = Scopes::new();
    // Stops at the first scope that the set rejects, whatever number the block announces.
    for _ in 0..reader.number()? {
        let action = match reader.number()? {
            0 => Action::Read,
            1 => Action::Write,
            2 => Action::Admin,
            _ => return Err(MalformedToken::Scope(ScopeError::UnknownAction)),
        };
        let pattern = Pattern::parse(reader.text()?).map_err(MalformedToken::Scope)?;
        scopes.push(Scope { action, pattern }).map_err(MalformedToken::Scope)?;
    }
    Ok(scopes)
}

fn read_audience<'b>(reader: &mut BlockReader<'b>) -> Result<Label<'b>, MalformedToken> {
    let text = reader.text()?;
    // A label replaces blank text with another one; such an audience would not be the signed one.
    Label::parse(text).filter(|label| label.as_str() == text).ok_or(MalformedToken::Text)
}
