//! What a link asks for anew: its capability, or a bearer for HTTP.

use std::time::Duration;

use handfast_core::error::Refusal;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::capability::Held;
use handfast_core::grant::scope::ScopesBuf;
use handfast_core::id::NodeId;
use handfast_core::registry::authority::{Authority, Delegated, Right, Until};
use handfast_core::registry::grants::{Grant, GrantId, State, current};
use handfast_core::registry::record::Standing;
use handfast_core::text::{Name, UNKNOWN};
use handfast_core::time::{Span, UnixTime};
use handfast_store::SaveError;

use super::owned::{OwnedOffer, RenewKind};
use crate::bearer::LIFETIME;
use crate::chance;
use crate::gateway::{Gateway, MOST_CONFLICTS, OperatorError};
use crate::hook::Event;

/// Most grants that are made for one node within a day before it gets none by renewing: each is kept for a year after it ended.
const MOST_A_DAY: usize = 16;
const DAY: Span = Span::from_secs(24 * 3600);

impl Gateway {
    /// Makes a part of what the peer of a link holds anew; `None` if it gets nothing. The scopes are those of the link, it ends then, and it rests on this
    /// chain, if it presented one.
    pub(crate) async fn renew(
        &self,
        peer: Peer,
        what: RenewKind,
        scopes: Option<&ScopesBuf>,
        expires: Option<UnixTime>,
        held: &[Held],
    ) -> Option<OwnedOffer> {
        let renewed = match (what, peer) {
            (RenewKind::Chain, Peer::Node(node_id)) => self.renew_chain(node_id).await,
            (RenewKind::Chain, Peer::Delegate(_)) => return None,
            (RenewKind::Token, _) => self.renew_token(peer, scopes?, expires, held).await,
        };
        renewed.unwrap_or_else(|error| {
            tracing::error!(%error, "a grant could not be renewed");
            None
        })
    }

    /// A new grant with the permissions and the lifetime of the newest.
    async fn renew_chain(&self, node_id: NodeId) -> Result<Option<OwnedOffer>, OperatorError> {
        for _ in 0..MOST_CONFLICTS {
            let entry = self.entry(node_id).await?;
            let now = self.inner.clock.unix();
            let (Some(holder), Standing::Paired { .. } | Standing::Muted { .. }) = (entry.record.keys, &entry.record.standing)
            else {
                return Ok(None);
            };
            let grants = self.inner.store.grants(node_id).await?;
            let Some(current) = current(&grants, now) else { return Ok(None) };
            if self.doubts(&grants) {
                return Ok(None);
            }
            // One that ran out unconfirmed is still the operator's last word on what the node may do.
            let Some(newest) = grants.iter().rev().find(|grant| grant.state != State::Ended) else { return Ok(None) };
            if newest.counts(now) && is_fresh(newest, now) && current.id != newest.id {
                // Its answer was lost, or the operator has made it meanwhile.
                return Ok(self.offer_of(&entry.record, newest, None));
            }
            if grants.iter().filter(|grant| now < grant.not_before.after(DAY)).count() >= MOST_A_DAY {
                tracing::warn!(%node_id, "a node renews its grant over and over; it gets no other one today");
                return Ok(None);
            }
            let Some(authority) = self.authority_of(newest.maker).await? else { return Ok(None) };
            let lives = newest.expires.map_or(self.inner.pairing.settings.token_expiry, |expires| lifetime(newest, expires));
            let until = Until::AtMost(now.after(Span::from_secs(lives.as_secs().max(1))));
            let ends = match authority.mint(&newest.scopes.scopes(), until) {
                // It ends with whoever made it, and is as long as it can be already.
                Ok(ends)
                    if authority.is_delegated()
                        && newest.counts(now)
                        && newest.expires.is_some_and(|expires| ends <= expires) =>
                {
                    return Ok(Some(newest)
                        .filter(|newest| current.id != newest.id)
                        .and_then(|newest| self.offer_of(&entry.record, newest, None)));
                }
                Ok(ends) => ends,
                Err(wider) => {
                    tracing::warn!(%node_id, %wider, "the session that made a node's grant may do less by now; the grant is not renewed");
                    return Ok(None);
                }
            };
            let fresh = self.fresh_grant(node_id, &holder, newest.scopes.clone(), (ends, newest.maker), now);
            let Ok(grant) = fresh else { return Ok(None) };
            let offered = self.inner.store.offer(entry.record.clone(), entry.profile, Some(entry.version), grant.clone(), now);
            match offered.await {
                Ok(_) => {
                    self.event(Event::GrantOffered { node_id, grant: grant.id });
                    return Ok(self.offer_of(&entry.record, &grant, None));
                }
                Err(SaveError::Conflict) => continue,
                Err(SaveError::Missing) => return Ok(None),
                Err(SaveError::Store(error)) => return Err(error.into()),
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// A bearer with the scopes of the link. It is no grant of the registry: the node keeps the grant that it has.
    async fn renew_token(
        &self,
        peer: Peer,
        scopes: &ScopesBuf,
        expires: Option<UnixTime>,
        held: &[Held],
    ) -> Result<Option<OwnedOffer>, OperatorError> {
        let inner = &self.inner;
        let (bearers, now) = (&inner.pairing.bearers, inner.clock.unix());
        let right = Right::Capability(held.last().map(|leaf| leaf.id));
        let own = Authority::Delegated(Delegated { right, scopes: scopes.clone(), ends: expires, may_approve: false });
        let until = Until::AtMost(now.after(Span::from_secs(LIFETIME.as_secs())));
        // A bearer has what its link has, and ends no later.
        let Ok(ends) = own.mint(&scopes.scopes(), until) else { return Ok(None) };
        let left = Some(Duration::from_secs(ends.as_secs().saturating_sub(now.as_secs())));
        // It is there before the registry is looked at: what is revoked from now on is either seen here or ends it.
        let token = bearers.issue((peer.into(), held), scopes.clone(), left, inner.clock.now());
        let rests = self.rests(peer, held).await;
        let Ok(Some((id, node_id, room))) = rests else {
            bearers.drop_holder(peer.into());
            return rests.map(|_| None);
        };
        Ok(token.map(|token| OwnedOffer { id, node_id, room, token: Some(token), chain: None, message: None }))
    }

    /// The grant that a peer's link rests on, its node and where that stands; a delegate has none of it here. `None` if it counts no more.
    async fn rests(&self, peer: Peer, held: &[Held]) -> Result<Option<(GrantId, NodeId, Name)>, OperatorError> {
        let store = &self.inner.store;
        if !held.is_empty() && store.is_revoked(held.to_vec()).await? {
            return Ok(None);
        }
        let Peer::Node(node_id) = peer else {
            return Ok(Some((GrantId::new(&chance::draw()), NodeId::from_bytes([0; 16]), Name::from(UNKNOWN))));
        };
        let Some(stored) = store.load(node_id).await? else { return Ok(None) };
        let grants = store.grants(node_id).await?;
        if self.doubts(&grants) {
            return Ok(None);
        }
        Ok(match (&stored.record.standing, current(&grants, self.inner.clock.unix())) {
            (Standing::Paired { .. }, Some(grant)) => Some((grant.id, node_id, stored.record.room)),
            // Who is muted says nothing through another door either.
            _ => None,
        })
    }
}

/// Whether an offer has at least half of its life before it; what is older is made anew.
fn is_fresh(grant: &Grant, now: UnixTime) -> bool {
    let left = grant.expires.map(|expires| Duration::from_secs(expires.as_secs().saturating_sub(now.as_secs())));
    let whole = grant.expires.map(|expires| lifetime(grant, expires));
    matches!(grant.state, State::Offered { .. }) && left.zip(whole).is_none_or(|(left, whole)| left >= whole / 2)
}

fn lifetime(grant: &Grant, expires: UnixTime) -> Duration {
    Duration::from_secs(expires.as_secs().saturating_sub(grant.not_before.as_secs()))
}
