//! Permissions of a peer: by its node's grant, or by a chain that it presents.

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::{KeyPair, PublicKey};
use handfast_core::grant::capability::{self, Chain, Check, Held};
use handfast_core::grant::scope::{Pattern, ScopesBuf};
use handfast_core::registry::ceiling::{Ceiling, Entitled, entitled};
use handfast_core::registry::grants::{Grant, State, is_in_doubt};
use handfast_core::registry::record::Standing;
use handfast_core::{Label, Span, UnixTime};
use handfast_store::{Activation, Over, StoreError, Stored};

use crate::events::Event;
use crate::gateway::Gateway;
use crate::gateway::in_force::OwnedInForce;

/// Permissions of a peer. They stay in memory for every link, so the scopes are kept as short text.
#[derive(Debug)]
pub(super) struct Rights {
    /// Scopes of the grant or of the chain.
    scopes: Box<str>,
    /// Ceilings that reduce the scopes.
    bounds: Box<[Box<str>]>,
    /// Static key of the node to which the gateway issued the grant or the chain's root.
    pub(super) subject: PublicKey,
    /// Blocks of the chain on which the permissions rest; empty for a grant.
    pub(super) held: Box<[Held]>,
    /// End of the chain's own validity; `None` for a grant.
    ends: Option<UnixTime>,
    pub(super) expires: Option<UnixTime>,
    /// `true` if the node may do nothing now, but may renew its grant.
    pub(super) renews: bool,
}

impl Rights {
    /// Returns permissions that allow nothing.
    pub(super) fn none(key: &PublicKey) -> Self {
        Self {
            scopes: Box::default(),
            bounds: Box::default(),
            subject: *key,
            held: Box::default(),
            ends: None,
            expires: None,
            renews: false,
        }
    }

    /// Returns the permissions of a node by its grants and its ceiling.
    pub(super) fn of_node(
        key: &PublicKey,
        grants: &[Grant],
        ceiling: Option<&Ceiling>,
        renewable_for: Span,
        now: UnixTime,
    ) -> Self {
        match entitled(grants, ceiling, renewable_for, now) {
            Entitled::InForce(in_force, until) => {
                let bounds = in_force.bounds.iter();
                let bounds =
                    // A bound that takes nothing away is left out, to save memory for each link.
                    bounds.filter(|bound| !bound.scopes().covers(&in_force.scopes.scopes()));
                Self {
                    scopes: in_force.scopes.as_str().into(),
                    bounds: bounds.map(|bound| bound.as_str().into()).collect(),
                    expires: until,
                    ..Self::none(key)
                }
            }
            Entitled::Renewal => Self { renews: true, ..Self::none(key) },
            Entitled::Nothing => Self::none(key),
        }
    }

    /// Returns the permissions of the same chain under the ceilings in force now.
    pub(super) fn under(&self, ceilings: &[Ceiling]) -> Self {
        let scopes = ScopesBuf::parse(&self.scopes).unwrap_or_default();
        let takes_away = |ceiling: &&Ceiling| !ceiling.scopes.scopes().covers(&scopes.scopes());
        Self {
            scopes: self.scopes.clone(),
            bounds: ceilings
                .iter()
                .filter(takes_away)
                .map(|ceiling| ceiling.scopes.as_str().into())
                .collect(),
            subject: self.subject,
            held: self.held.clone(),
            ends: self.ends,
            expires: ceilings.iter().filter_map(|ceiling| ceiling.expires).chain(self.ends).min(),
            renews: false,
        }
    }

    /// Returns the permissions in force; `None` if they allow nothing.
    pub(super) fn in_force(&self) -> Option<OwnedInForce> {
        if self.scopes.is_empty() || self.bounds.iter().any(|bound| bound.is_empty()) {
            return None;
        }
        let scopes = ScopesBuf::parse(&self.scopes).ok()?;
        // The gateway wrote these texts; if one does not parse, nothing is allowed.
        let bounds: Result<Vec<_>, _> =
            self.bounds.iter().map(|bound| ScopesBuf::parse(bound)).collect();
        Some(OwnedInForce::new(scopes, bounds.ok()?))
    }

    pub(super) fn allow_subscription(&self, pattern: &str) -> bool {
        let pattern = Pattern::parse(pattern).ok();
        pattern.is_some_and(|pattern| {
            self.in_force().is_some_and(|rights| rights.lend().allows_subscription(&pattern))
        })
    }
}

impl Gateway {
    /// Returns `true` if the grant on which a link would rest is expired only by a doubtful jump of
    /// the clock.
    pub(crate) fn doubts(&self, all: &[Grant]) -> bool {
        is_in_doubt(all, &self.inner.clock.moment())
    }

    /// Records that expired grants have ended. Nothing is recorded while the node may still renew.
    pub(crate) async fn note_grants(&self, all: &[Grant], ceiling: Option<&Ceiling>) {
        let now = self.inner.clock.unix();
        if matches!(
            entitled(all, ceiling, self.inner.limits.renew_after_expiry, now),
            Entitled::Renewal
        ) {
            return;
        }
        let over = |grant: &&Grant| {
            grant.state != State::Ended && grant.expires.is_some_and(|expires| expires <= now)
        };
        for grant in all.iter().filter(over) {
            self.note_over(Over::Grant(grant.node_id, grant.id)).await;
        }
    }

    /// Verifies a chain for the holder of this key, except for its state in the registry, which
    /// [`Gateway::ceilings_over`] checks.
    pub(super) fn verify(&self, chain: &[u8], key: &PublicKey) -> Option<Rights> {
        let (keys, moment) = (self.keys(), self.inner.clock.moment());
        let gateway = keys.signing.public();
        let chain = Chain::from_bytes(chain)
            .inspect_err(|error| tracing::debug!(?error, "what was presented is no chain"))
            .ok()?;
        // A chain may be meant for one verifier alone; this one is called by its fingerprint, and
        // by that of its older key as long as nodes link with it.
        let names = [Some(keys.channel.public()), keys.0.older_at(&moment).map(KeyPair::public)];
        let authorised = names.into_iter().flatten().find_map(|own| {
            let name = Fingerprint::of(own).to_string();
            let audience = Label::parse(&name);
            let check = Check { gateway: &gateway, channel: key, audience, now: moment.now };
            // Revocation is a matter of the registry, which is asked later.
            capability::verify(&chain, &check, |_| false)
                .inspect_err(|denied| tracing::debug!(?denied, "a chain does not count"))
                .ok()
        })?;
        Some(Rights {
            scopes: authorised.scopes().as_str().into(),
            subject: *authorised.subject(),
            held: authorised.held().into(),
            ends: Some(authorised.expires()),
            expires: Some(authorised.expires()),
            ..Rights::none(key)
        })
    }

    /// Returns the ceilings under which a key may link by a verified chain alone. `None` if the
    /// chain does not count, or if the key is that of a paired or muted node: it links as that, or
    /// a muted node could speak.
    ///
    /// # Errors
    /// [`StoreError`] if the registry cannot be read.
    pub(super) async fn lets_in(
        &self,
        key: &PublicKey,
        held: &[Held],
    ) -> Result<Option<Vec<Ceiling>>, StoreError> {
        let known = self.inner.store.by_key(key).await?;
        let is_node = |stored: &Stored| {
            matches!(stored.record.standing, Standing::Paired { .. } | Standing::Muted { .. })
        };
        if known.as_ref().is_some_and(is_node) { Ok(None) } else { self.ceilings_over(held).await }
    }

    /// Returns the ceilings under which a verified chain counts; `None` if the registry no longer
    /// has its authority. A caller that wants to learn of changes registers in the hub first. Using
    /// a chain confirms the grant to which it belongs.
    ///
    /// The node to which the gateway issued the chain always bounds it with its ceiling. Another
    /// node that delegated the chain does so only if the operator has decided about that node by
    /// name: it then does no more by another node's chain either.
    ///
    /// # Errors
    /// [`StoreError`] if the registry cannot be read or written.
    pub(crate) async fn ceilings_over(
        &self,
        held: &[Held],
    ) -> Result<Option<Vec<Ceiling>>, StoreError> {
        let (store, now) = (&self.inner.store, self.inner.clock.unix());
        // A chain without blocks grants nothing.
        let Some(root) = held.first() else { return Ok(None) };
        if store.is_revoked(held.to_vec()).await? {
            return Ok(None);
        }
        let mut ceilings = Vec::new();
        for holder in held {
            let Some(Stored { record, ceiling, .. }) = store.by_key(&holder.by).await? else {
                continue;
            };
            // A muted node does not speak through its delegates, nor one that may be copied.
            if matches!(record.standing, Standing::Muted { .. })
                || self.is_quarantined(record.node_id).await?
            {
                return Ok(None);
            }
            let Some(ceiling) = ceiling.filter(|ceiling| ceiling.named || holder.by == root.by)
            else {
                continue;
            };
            if ceiling.is_over(now) {
                return Ok(None);
            }
            if !ceilings.contains(&*ceiling) {
                ceilings.push(*ceiling);
            }
        }
        // A restored registry may lack the grant. Its operator could then neither see nor revoke
        // it.
        let Some(grant) = store.grant_of(&root.id).await? else { return Ok(None) };
        if !grant.counts(now) || grant.is_doubted(&self.inner.clock.moment()) {
            return Ok(None);
        }
        match grant.state {
            State::Active | State::Ended => Ok(Some(ceilings)),
            State::Offered { .. } => match store.activate(grant.node_id, grant.id, now).await? {
                Activation::Active { ended } => {
                    self.cut_blocks(&ended);
                    // The node's own link depended on the grants that this confirmation has ended.
                    self.inner.hub.look_again(grant.node_id);
                    self.event(Event::GrantActivated { node_id: grant.node_id, grant: grant.id });
                    Ok(Some(ceilings))
                }
                Activation::NotThere => Ok(None),
            },
        }
    }
}
