//! What a peer may do: by its node's grant, or by a chain that it presents.

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::grant::capability::{self, Chain, Check, Held};
use handfast_core::grant::scope::{Pattern, ScopesBuf};
use handfast_core::registry::grants::{self, Grant};
use handfast_core::registry::record::Standing;
use handfast_core::time::UnixTime;
use handfast_store::{Activation, Over, StoreError, Stored};

use crate::gateway::Gateway;
use crate::hook::Event;

/// What a peer may do. It stands in memory for every link, so the scopes are kept as short text.
#[derive(Debug)]
pub(super) struct Rights {
    scopes: Box<str>,
    /// Whom the gateway gave it to.
    pub(super) subject: PublicKey,
    /// Which blocks of a chain it rests on; none for what a grant allows.
    pub(super) held: Box<[Held]>,
    pub(super) expires: Option<UnixTime>,
}

impl Rights {
    /// What the node's current grant allows.
    pub(super) fn of_grants(key: &PublicKey, all: &[Grant], now: UnixTime) -> Self {
        let current = grants::current(all, now);
        Self {
            scopes: current.map(|grant| grant.scopes.as_str()).unwrap_or_default().into(),
            subject: *key,
            held: Box::default(),
            expires: current.and_then(Grant::ends),
        }
    }

    /// None if it may do nothing.
    pub(super) fn scopes(&self) -> Option<ScopesBuf> {
        if self.scopes.is_empty() { None } else { ScopesBuf::parse(&self.scopes).ok() }
    }

    pub(super) fn allow_subscription(&self, pattern: &str) -> bool {
        let pattern = Pattern::parse(pattern).ok();
        pattern.is_some_and(|pattern| self.scopes().is_some_and(|scopes| scopes.scopes().allows_subscription(&pattern)))
    }
}

impl Gateway {
    /// Whether the grant on which a link would rest would be over only by a jump of a clock that is in doubt.
    pub(crate) fn doubts(&self, all: &[Grant]) -> bool {
        let moment = self.inner.clock.moment();
        grants::current(all, moment.now).is_some_and(|current| current.is_doubted(&moment))
    }

    /// Writes that grants are over, where they are and that was not written.
    pub(crate) async fn note_grants(&self, all: &[Grant]) {
        let now = self.inner.clock.unix();
        let over = |grant: &&Grant| grant.state != grants::State::Ended && grant.expires.is_some_and(|expires| expires <= now);
        for grant in all.iter().filter(over) {
            self.note_over(Over::Grant(grant.node_id, grant.id)).await;
        }
    }

    /// Verifies a chain for the holder of this key, but for what the registry knows of it: [`Gateway::still_counts`].
    pub(super) fn verify(&self, chain: &[u8], key: &PublicKey) -> Option<Rights> {
        let gateway = self.keys().signing.public();
        let check = Check { gateway: &gateway, channel: key, audience: None, now: self.inner.clock.unix() };
        let chain = Chain::from_bytes(chain).inspect_err(|error| tracing::debug!(?error, "what was presented is no chain"));
        let authorised = capability::verify(&chain.ok()?, &check, |_| false)
            .inspect_err(|denied| tracing::debug!(?denied, "a chain does not count"))
            .ok()?;
        Some(Rights {
            scopes: authorised.scopes().as_str().into(),
            subject: *authorised.subject(),
            held: authorised.held().into(),
            expires: Some(authorised.expires()),
        })
    }

    /// Whether whoever holds this key may link by a verified chain alone. A node of the registry links as that, or it could speak though it is muted.
    pub(super) async fn lets_in(&self, key: &PublicKey, held: &[Held]) -> Result<bool, StoreError> {
        let known = self.inner.store.by_key(key).await?;
        let is_node = |stored: &Stored| matches!(stored.record.standing, Standing::Paired { .. } | Standing::Muted { .. });
        if known.as_ref().is_some_and(is_node) { Ok(false) } else { self.still_counts(held).await }
    }

    /// Whether the registry still has what a verified chain rests on. Whoever wants to hear of a revocation registers in the hub first. Using a chain
    /// confirms the grant that it is part of.
    pub(super) async fn still_counts(&self, held: &[Held]) -> Result<bool, StoreError> {
        let (store, now) = (&self.inner.store, self.inner.clock.unix());
        let Some(root) = held.first() else { return Ok(false) };
        if store.is_revoked(held.to_vec()).await? {
            return Ok(false);
        }
        for holder in held {
            let known = store.by_key(&holder.by).await?;
            // Who is muted does not speak through those it has delegated to, either.
            if known.is_some_and(|stored| matches!(stored.record.standing, Standing::Muted { .. })) {
                return Ok(false);
            }
        }
        // A registry that was restored may not have it: then its operator cannot see it either, nor end it.
        let Some(grant) = store.grant_of(&root.id).await? else { return Ok(false) };
        self.note_grants(std::slice::from_ref(&grant)).await;
        if !grant.counts(now) || grant.is_doubted(&self.inner.clock.moment()) {
            return Ok(false);
        }
        match grant.state {
            grants::State::Active | grants::State::Ended => Ok(true),
            grants::State::Offered { .. } => match store.activate(grant.node_id, grant.id, now).await? {
                Activation::Active { ended } => {
                    self.cut_blocks(&ended);
                    self.inner.hub.look_again(grant.node_id);
                    self.event(Event::GrantActivated { node_id: grant.node_id, grant: grant.id });
                    Ok(true)
                }
                Activation::NotThere => Ok(false),
            },
        }
    }
}
