//! Whether a chain counts, here and now.

use super::{Chain, Denied, Id};
use crate::crypto::{ed25519, x25519};
use crate::grant::scope::{Action, Address, Pattern, ScopesBuf};
use crate::limits::CAPABILITY_DEPTH;
use crate::text::Label;
use crate::time::UnixTime;

/// Against what a chain is verified.
#[derive(Clone, Copy, Debug)]
pub struct Check<'c> {
    /// The key of the gateway that must have issued it.
    pub gateway: &'c ed25519::PublicKey,
    /// The static key that the peer proved on the channel on which the chain came.
    pub channel: &'c x25519::PublicKey,
    /// Who this is; a chain with another audience does not count.
    pub audience: Option<Label<'c>>,
    /// What time it is.
    pub now: UnixTime,
}

/// A block and the node that holds it: revoking either ends every chain with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Held {
    /// The block.
    pub id: Id,
    /// The static key of its holder.
    pub by: x25519::PublicKey,
}

/// Shows that a chain was verified, and answers what it allows until it
/// [expires](Authorised::expires) or one of what it [rests on](Authorised::held) is revoked. Only
/// [`verify`] makes it.
#[derive(Clone, Debug)]
pub struct Authorised {
    held: heapless::Vec<Held, CAPABILITY_DEPTH>,
    subject: x25519::PublicKey,
    expires: UnixTime,
    scopes: ScopesBuf,
}

impl Authorised {
    /// Whether the action is allowed at the address.
    #[must_use]
    pub fn allows(&self, action: Action, address: &Address<'_>) -> bool {
        self.scopes.scopes().allows(action, address)
    }

    /// Whether all that a subscription would bring may be read.
    #[must_use]
    pub fn allows_subscription(&self, pattern: &Pattern<'_>) -> bool {
        self.scopes.scopes().allows_subscription(pattern)
    }

    /// The leaf's scopes.
    #[must_use]
    pub const fn scopes(&self) -> &ScopesBuf {
        &self.scopes
    }

    /// Every block and its holder, the gateway's block first. If one of them is revoked, this is
    /// over.
    #[must_use]
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// The ids of all blocks, the gateway's block first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &Id> {
        self.held.iter().map(|held| &held.id)
    }

    /// When this is over: the leaf's expiry, which is the earliest of all.
    #[must_use]
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// The node that the gateway issued the chain to; all others in it are its delegates.
    #[must_use]
    pub const fn subject(&self) -> &x25519::PublicKey {
        &self.subject
    }
}

/// Verifies a chain: its issuer, its holder, its time and audience, that each block lies within its
/// parent, **every** signature up to the gateway's key, and last, for a chain that is all this,
/// whether one of its blocks or holders was revoked.
///
/// # Errors
/// The first of it that fails.
pub fn verify(
    chain: &Chain<'_>,
    check: &Check<'_>,
    revoked: impl FnMut(&Held) -> bool,
) -> Result<Authorised, Denied> {
    let leaf = chain.leaf();
    let terms = leaf.terms();
    if *chain.root().parent() != Id::of_issuer(check.gateway) {
        return Err(Denied::OtherIssuer);
    }
    if leaf.holder().channel != *check.channel {
        return Err(Denied::NotTheHolder);
    }
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
    let mut signer = check.gateway;
    for block in chain.blocks() {
        if !block.is_signed_by(signer) {
            return Err(Denied::Signature);
        }
        signer = &block.holder().signing;
    }
    let mut held = heapless::Vec::new();
    for block in chain.blocks() {
        // No chain has more blocks than fit. If one had, it would have to be denied: what is not
        // held cannot be revoked.
        held.push(Held { id: *block.id(), by: block.holder().channel })
            .map_err(|_| Denied::Detached)?;
    }
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
