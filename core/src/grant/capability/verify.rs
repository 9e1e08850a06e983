//! Verification of a chain against a gateway, a channel and a time.

use super::{Chain, Denied, Id};
use crate::crypto::{ed25519, x25519};
use crate::grant::scope::{Action, Address, Pattern, ScopesBuf};
use crate::limits::CAPABILITY_DEPTH;
use crate::text::Label;
use crate::time::UnixTime;

/// The facts that a chain is verified against.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Check<'c> {
    /// The public key of the gateway that must have issued the chain.
    pub gateway: &'c ed25519::PublicKey,
    /// The static key that the peer proved on the channel that carried the chain.
    pub channel: &'c x25519::PublicKey,
    /// The verifier's own audience; a chain for another audience does not count.
    pub audience: Option<Label<'c>>,
    /// The current time.
    pub now: UnixTime,
}

/// A block and the node that holds it. Revoking either revokes every chain that contains the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Held {
    /// The id of the block.
    pub id: Id,
    /// The static key of the block's holder.
    pub by: x25519::PublicKey,
}

/// Proof that a chain was verified. It answers questions about the chain's rights until it
/// [expires](Authorised::expires) or a block or holder that it [rests on](Authorised::held) is
/// revoked. Only [`verify`] makes it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Authorised {
    held: heapless::Vec<Held, CAPABILITY_DEPTH>,
    subject: x25519::PublicKey,
    expires: UnixTime,
    scopes: ScopesBuf,
}

impl Authorised {
    /// Returns `true` if the action is allowed at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.scopes.scopes().allows(action, address)
    }

    /// Returns `true` if everything that a subscription to the pattern delivers may be read.
    #[must_use]
    pub fn allows_subscription(&self, pattern: &Pattern<'_>) -> bool {
        self.scopes.scopes().allows_subscription(pattern)
    }

    /// Returns the leaf's scopes.
    #[must_use]
    pub const fn scopes(&self) -> &ScopesBuf {
        &self.scopes
    }

    /// Returns every block and its holder, the gateway's block first. Revoking one of them ends
    /// this authorisation.
    #[must_use]
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// Iterates over the ids of all blocks, the gateway's block first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &Id> {
        self.held.iter().map(|held| &held.id)
    }

    /// Returns the end of validity: the leaf's expiry, which is the earliest of all blocks.
    #[must_use]
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Returns the node to which the gateway issued the chain; all other holders are its delegates.
    #[must_use]
    pub const fn subject(&self) -> &x25519::PublicKey {
        &self.subject
    }
}

/// Verifies a chain in this order: its issuer, its holder, its time, its audience, each block's
/// terms against its parent's, **every** signature up to the gateway's key, and last the revocation
/// of each block and holder.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    chain: &Chain<'_>,
    check: &Check<'_>,
    revoked: impl FnMut(&Held) -> bool,
) -> Result<Authorised, Denied> {
    let leaf = chain.leaf();
    let terms = leaf.terms();
    // Cheap comparisons come before the signatures, so that junk costs little.
    if *chain.root().parent() != Id::of_issuer(check.gateway) {
        return Err(Denied::OtherIssuer);
    }
    if leaf.holder().channel != *check.channel {
        return Err(Denied::NotTheHolder);
    }
    // The leaf's time suffices, because no block begins before its parent or outlives it.
    if check.now < terms.not_before {
        return Err(Denied::NotYet);
    }
    if check.now >= terms.expires {
        return Err(Denied::Expired);
    }
    if terms.audience.is_some() && terms.audience != check.audience {
        return Err(Denied::OtherAudience);
    }
    for (parent, child) in chain.blocks().zip(chain.blocks().skip(1)) {
        if child.parent() != parent.id() {
            return Err(Denied::Detached);
        }
        child.terms().within(parent.terms()).map_err(Denied::Wider)?;
    }
    // The root is signed by the gateway, every other block by its parent's holder.
    let mut signer = Some(check.gateway);
    for block in chain.blocks() {
        // A holder without a signing key delegates nothing.
        if !signer.is_some_and(|signer| block.is_signed_by(signer)) {
            return Err(Denied::Signature);
        }
        signer = block.holder().signing.as_ref();
    }
    let mut held = heapless::Vec::new();
    for block in chain.blocks() {
        // No chain has more blocks than fit. An excess block would have to be denied, because a
        // block that is not held cannot be revoked.
        held.push(Held { id: *block.id(), by: block.holder().channel })
            .map_err(|_| Denied::Detached)?;
    }
    // Revocation is looked up last, so that only a genuine chain reaches the store.
    if held.iter().any(revoked) {
        return Err(Denied::Revoked);
    }
    Ok(Authorised {
        held,
        subject: chain.root().holder().channel,
        expires: terms.expires,
        scopes: (&terms.scopes).into(),
    })
}
