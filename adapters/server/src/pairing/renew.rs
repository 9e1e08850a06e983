//! Renewal over a link: of the capability token, or of a bearer for HTTP.

use std::time::Duration;

use handfast_core::flow::native::gateway::{Peer, RenewKind};
use handfast_core::grant::capability::Held;
use handfast_core::registry::authority::{Authority, Delegated, Right, Until};
use handfast_core::registry::grants::{GrantId, current};
use handfast_core::registry::record::Standing;
use handfast_core::registry::renewal::{Renewal, Renewed, renewal};
use handfast_core::{Label, Name, NodeId, Refusal, Span, UnixTime};
use handfast_store::SaveError;

use super::grants::{FreshGrant, offer_with};
use super::session::grant_life;
use crate::entropy;
use crate::events::Event;
use crate::gateway::bearers::LIFETIME;
use crate::gateway::in_force::OwnedInForce;
use crate::gateway::operator_types::OperatorError;
use crate::gateway::{Gateway, MOST_CONFLICTS};
use crate::policy::request::OwnedOffer;
use crate::telemetry::log_lines::{CausedBy, limited};

impl Gateway {
    /// Renews a part of what the peer of a link holds; `None` if it gets nothing. The new part
    /// allows what is in force for the link, ends with it, and depends on the chain that the peer
    /// presented, if any.
    pub(crate) async fn renew(
        &self,
        peer: Peer,
        what: RenewKind,
        in_force: Option<OwnedInForce>,
        expires: Option<UnixTime>,
        held: &[Held],
    ) -> Option<OwnedOffer> {
        let renewed = match (what, peer) {
            (RenewKind::Chain, Peer::Node(node_id)) => self.renew_chain(node_id).await,
            // A delegate's chain is renewed by its delegator.
            (RenewKind::Chain, Peer::Delegate(_)) => return None,
            (RenewKind::Token, _) => self.renew_token(peer, in_force?, expires, held).await,
        };
        renewed.unwrap_or_else(|error| {
            limited!(error, CausedBy::Any, { %error, } "a grant could not be renewed");
            None
        })
    }

    /// Makes the grant that core's rules allow the node.
    async fn renew_chain(&self, node_id: NodeId) -> Result<Option<OwnedOffer>, OperatorError> {
        let by = CausedBy::Node(node_id);
        for _ in 0..MOST_CONFLICTS {
            let entry = self.entry(node_id).await?;
            let now = self.inner.clock.unix();
            let (Some(holder), Standing::Paired { .. } | Standing::Muted { .. }) =
                (entry.record.keys, &entry.record.standing)
            else {
                return Ok(None);
            };
            let grants = self.inner.store.grants(node_id).await?;
            // A grant that only a jump of the clock has ended needs no new one.
            if self.doubts(&grants) {
                return Ok(None);
            }
            let within = self.inner.limits.renew_after_expiry;
            let fresh = match renewal(&grants, entry.ceiling.as_deref(), within, now) {
                Renewal::Again(waits) => return Ok(self.offer_of(&entry.record, waits, None)),
                Renewal::Fresh(fresh) => fresh,
                Renewal::TooOften => {
                    limited!(warn, by, { %node_id, } "a node renews its grant over and over; it gets no other one today");
                    return Ok(None);
                }
                Renewal::Nothing => return Ok(None),
            };
            // A grant ends with its maker, so it is not renewed after that.
            let Some(authority) = self.authority_of(fresh.maker).await? else { return Ok(None) };
            let usual = grant_life(self.inner.pairing.settings.token_expiry);
            let ends = match fresh.under(&authority, usual, now) {
                Ok(Renewed::Make(ends)) => ends,
                Ok(Renewed::Again(newest)) => {
                    return Ok(self.offer_of(&entry.record, newest, None));
                }
                Ok(Renewed::Nothing) => return Ok(None),
                Err(wider) => {
                    limited!(warn, by, { %node_id, %wider, } "the session that made a node's grant may do less by now; the grant is not renewed");
                    return Ok(None);
                }
            };
            let (scopes, maker) = (fresh.scopes, fresh.maker);
            let Ok(FreshGrant { grant, chain }) =
                self.fresh_grant(node_id, &holder, scopes.clone(), (ends, maker), now)
            else {
                return Ok(None);
            };
            // If the record is unchanged, the ceiling that the grant was made from is still the
            // node's.
            let (record, version) = (entry.record.clone(), Some(entry.version));
            match self
                .inner
                .store
                .offer(record, entry.profile, version, grant.clone(), None, now)
                .await
            {
                Ok(_) => {
                    self.event(Event::GrantOffered { node_id, grant: grant.id });
                    return Ok(Some(offer_with(&entry.record, &grant, chain, None)));
                }
                // Somebody has changed the record, so the ceiling is read again.
                Err(SaveError::Conflict) => continue,
                Err(SaveError::Missing) => return Ok(None),
                Err(SaveError::Store(error)) => return Err(error.into()),
            }
        }
        Err(OperatorError::Refused { node_id, refusal: Refusal::StoreFailed })
    }

    /// Issues a bearer with the link's rights in force. It is no grant of the registry, and the
    /// node keeps its own grant.
    async fn renew_token(
        &self,
        peer: Peer,
        in_force: OwnedInForce,
        expires: Option<UnixTime>,
        held: &[Held],
    ) -> Result<Option<OwnedOffer>, OperatorError> {
        let inner = &self.inner;
        let (bearers, now) = (&inner.pairing.bearers, inner.clock.unix());
        let scopes = in_force.lend().at_most();
        // The last block of the chain is the peer's own.
        let right = Right::Capability(held.last().map(|leaf| leaf.id));
        let own = Authority::Delegated(Delegated {
            right,
            scopes: scopes.clone(),
            ends: expires,
            may_approve: false,
        });
        let until = Until::AtMost(now.after(Span::from_secs(LIFETIME.as_secs())));
        // A bearer allows what its link allows, and ends no later.
        let Ok(ends) = own.mint(&scopes.scopes(), until) else { return Ok(None) };
        let left = Some(Duration::from_secs(ends.as_secs().saturating_sub(now.as_secs())));
        // The bearer is issued before the registry is checked, so that a revocation from now on
        // either is seen here or ends the bearer.
        let token = bearers.issue((peer.into(), held), in_force.clone(), left, inner.clock.now());
        let rests = self.rests(peer, &in_force, held).await;
        let Ok(Some((id, node_id, room))) = rests else {
            // The bearer was issued above and must not be used.
            bearers.drop_holder(peer.into());
            return rests.map(|_| None);
        };
        Ok(token.map(|token| OwnedOffer {
            id,
            node_id,
            room,
            token: Some(token),
            chain: None,
            message: None,
        }))
    }

    /// Returns the grant that a peer's link depends on, its node and the node's standing; a
    /// delegate has none of it here. Returns `None` if the grant is over, or if less is in force by
    /// now than the given rights.
    async fn rests(
        &self,
        peer: Peer,
        in_force: &OwnedInForce,
        held: &[Held],
    ) -> Result<Option<(GrantId, NodeId, Name)>, OperatorError> {
        let store = &self.inner.store;
        if !held.is_empty() {
            match self.ceilings_over(held).await? {
                Some(ceilings) if ceilings.iter().all(|ceiling| in_force.holds_to(ceiling)) => {}
                Some(_) | None => return Ok(None),
            }
        }
        let Peer::Node(node_id) = peer else {
            return Ok(Some((
                GrantId::new(&entropy::draw()),
                NodeId::from_bytes([0; 16]),
                Name::from(Label::UNKNOWN),
            )));
        };
        let Some(stored) = store.load(node_id).await? else { return Ok(None) };
        if self.is_quarantined(node_id).await? {
            return Ok(None);
        }
        if held.is_empty()
            && !stored.ceiling.as_ref().is_none_or(|ceiling| in_force.holds_to(ceiling))
        {
            return Ok(None);
        }
        let grants = store.grants(node_id).await?;
        if self.doubts(&grants) {
            return Ok(None);
        }
        Ok(match (&stored.record.standing, current(&grants, self.inner.clock.unix())) {
            (Standing::Paired { .. }, Some(grant)) => Some((grant.id, node_id, stored.record.room)),
            // A muted node must not speak through HTTP, either.
            _ => None,
        })
    }
}
