//! While a peer is linked.

use std::sync::Arc;

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{Confirmation, Peer};
use handfast_core::grant::scope;
use handfast_core::id::NodeId;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::Standing;
use handfast_store::{Activation, Observation};

use super::Kept;
use crate::hook::{Event, PeerInfo};
use crate::native::action::{Answer, Loaded};
use crate::native::rights::Rights;
use crate::pairing::RenewKind;
use crate::pump::{failed, interrupted};

impl Kept {
    /// Registers first and looks then, so that whatever is decided from now on is either seen or pushed.
    pub(in crate::native) async fn attach(&mut self, node_id: NodeId, key: Option<&PublicKey>) -> Answer {
        let refused = self.gateway.inner.hub.attach(node_id, &self.mailbox).err();
        self.attached = refused.is_none().then_some(Peer::Node(node_id));
        let lookup = match self.gateway.inner.store.load(node_id).await {
            Ok(stored) => self.with_grants(stored).await,
            Err(error) => Err(failed(error)),
        };
        if let (Ok(Some(loaded)), Some(key)) = (&lookup, key) {
            self.take_rights(Rights::of_grants(key, &loaded.grants, self.now()));
        }
        // Who would not be let in anyway hears why, whether there is room or not.
        let would_enter = |loaded: &Loaded| matches!(loaded.record.standing, Standing::Paired { .. } | Standing::Muted { .. });
        Answer::Attached(match (refused, lookup) {
            (Some(refusal), Ok(Some(loaded))) if would_enter(&loaded) => Err(refusal),
            (_, lookup) => lookup,
        })
    }

    pub(in crate::native) async fn activate(&mut self, grant: GrantId, key: Option<&PublicKey>) -> Answer {
        let node_id = match self.attached {
            Some(Peer::Node(node_id)) => Some(node_id),
            Some(Peer::Delegate(_)) => None,
            None => self.offered,
        };
        let Some(node_id) = node_id else { return Answer::Activated(Ok(Confirmation::NotThere)) };
        let store = &self.gateway.inner.store;
        let before = match store.grants(node_id).await {
            Ok(before) => before,
            Err(error) => return Answer::Activated(Err(failed(error))),
        };
        let ended = match store.activate(node_id, grant, self.now()).await {
            Ok(Activation::Active { ended }) => ended,
            Ok(Activation::NotThere) => return Answer::Activated(Ok(Confirmation::NotThere)),
            Err(error) => return Answer::Activated(Err(failed(error))),
        };
        self.gateway.cut_blocks(&ended);
        let Some(of) = before.into_iter().find(|of| of.id == grant) else {
            return Answer::Activated(Ok(Confirmation::NotThere));
        };
        if of.state != State::Active {
            self.gateway.event(Event::GrantActivated { node_id, grant });
        }
        let of = Grant { state: State::Active, ..of };
        if self.attached.is_none() {
            // It was confirmed where the node pairs anew. A link that it has beside rested on what ended by it.
            self.gateway.inner.hub.look_again(node_id);
            return Answer::Activated(Ok(Confirmation::Active(of.expires)));
        }
        // What it may do is this grant's from now on, unless it is that of a chain, which has ends of its own.
        let chain_ends = self.rights.as_ref().filter(|rights| !rights.held.is_empty()).and_then(|rights| rights.expires);
        if let (None, Some(key)) = (chain_ends, key) {
            self.take_rights(Rights::of_grants(key, std::slice::from_ref(&of), self.now()));
        }
        let expires = of.expires.into_iter().chain(chain_ends).min();
        Answer::Activated(Ok(Confirmation::Active(expires)))
    }

    /// Verifies a chain. A delegate's connection is registered by it.
    pub(in crate::native) async fn present(&mut self, chain: Option<&[u8]>, key: Option<&PublicKey>) -> Answer {
        let (Some(chain), Some(key)) = (chain, key) else { return Answer::Presented(None) };
        let Some(rights) = self.gateway.verify(chain, key) else { return Answer::Presented(None) };
        let gateway = self.gateway.clone();
        let hub = &gateway.inner.hub;
        // First that a revocation reaches this connection, then the look whether there was one.
        hub.rest_on(&rights.held, &self.mailbox);
        let counts = match self.attached {
            Some(_) => gateway.still_counts(&rights.held).await,
            None => gateway.lets_in(key, &rights.held).await,
        };
        if !matches!(counts, Ok(true)) {
            let still = self.rights.as_ref().map(|rights| &*rights.held).unwrap_or_default();
            hub.rest_no_more(&rights.held, still, &self.mailbox);
        }
        match counts {
            Ok(true) => {}
            Ok(false) => return Answer::Presented(None),
            Err(error) => {
                failed(error);
                return Answer::StoreFailed;
            }
        }
        let expires = rights.expires;
        self.take_rights(rights);
        if self.attached.is_none() {
            let subject = self.rights.as_ref().map_or(*key, |rights| rights.subject);
            if hub.attach_delegate(*key, subject, &self.mailbox).is_err() {
                self.not_its_fault();
                return Answer::Full;
            }
            self.attached = Some(Peer::Delegate(*key));
        }
        Answer::Presented(expires)
    }

    /// Where what the peer presented counts no more, a node has what it was granted, and anybody else nothing.
    pub(in crate::native) async fn look_again(&mut self, peer: Peer, key: Option<&PublicKey>) -> Option<Answer> {
        let held = self.rights.as_ref().map(|rights| &*rights.held).unwrap_or_default();
        match (self.gateway.still_counts(held).await, peer) {
            (Ok(true), _) => return None,
            (Ok(false), Peer::Delegate(_)) => return Some(Answer::Ended),
            (Err(error), Peer::Delegate(_)) => {
                failed(error);
                return Some(Answer::StoreFailed);
            }
            (Ok(false) | Err(_), Peer::Node(node_id)) => {
                let grants = self.gateway.inner.store.grants(node_id).await.map_err(failed).unwrap_or_default();
                if let Some(key) = key {
                    self.take_rights(Rights::of_grants(key, &grants, self.now()));
                }
            }
        }
        None
    }

    /// Subscriptions that the new rights do not cover end with the old ones.
    fn take_rights(&mut self, rights: Rights) {
        let hub = &self.gateway.inner.hub;
        self.subscriptions.retain(|pattern| {
            let covered = rights.allow_subscription(pattern);
            if !covered {
                hub.unsubscribe(pattern, &self.mailbox);
            }
            covered
        });
        if let Some(before) = self.rights.replace(Box::new(rights)) {
            let held = self.rights.as_ref().map(|rights| &*rights.held).unwrap_or_default();
            hub.rest_no_more(&before.held, held, &self.mailbox);
        }
    }

    pub(in crate::native) fn subscribe(&mut self, pattern: Arc<str>) {
        if !self.subscriptions.contains(&pattern) {
            self.gateway.inner.hub.subscribe(&pattern, &self.mailbox);
            self.subscriptions.push(pattern);
        }
    }

    /// A slow application holds up its own frames, but neither a decision nor the shutdown.
    pub(in crate::native) async fn app(&self, key: Option<&PublicKey>, action: scope::Action, address: &str, bytes: &[u8]) {
        let (Some(peer), Some(key)) = (self.attached, key) else { return };
        let subject = self.rights.as_ref().map_or(*key, |rights| rights.subject);
        let info = PeerInfo { peer, key: *key, subject, address: self.address };
        let inner = &self.gateway.inner;
        tokio::select! {
            () = inner.application.app(&info, action, address, bytes) => {}
            () = interrupted(&self.mailbox, inner) => {}
        }
    }

    pub(in crate::native) async fn renew(&self, what: RenewKind) -> Answer {
        let Some(peer) = self.attached else { return Answer::Renewed(None) };
        let scopes = self.scopes();
        let expires = self.rights.as_ref().and_then(|rights| rights.expires);
        let held = self.rights.as_ref().map(|rights| &*rights.held).unwrap_or_default();
        Answer::Renewed(self.gateway.renew(peer, what, scopes.as_ref(), expires, held).await)
    }

    pub(in crate::native) fn observe(&self, observation: Observation) {
        // Of a delegate the registry knows nothing to keep it with.
        if let Some(Peer::Node(node_id)) = self.attached {
            self.gateway.inner.readings.tell(node_id, observation, self.gateway.inner.clock.now());
        }
    }
}
