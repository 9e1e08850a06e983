//! While a peer is linked.

use std::sync::Arc;

use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{Confirmation, Peer};
use handfast_core::grant::scope;
use handfast_core::id::NodeId;
use handfast_core::registry::grants::{GrantId, State};
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
        let refused = self.gateway.inner.hub.attach(Peer::Node(node_id), &self.mailbox).err();
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
        self.gateway.cut(&ended);
        let of = before.iter().find(|of| of.id == grant);
        if of.is_none_or(|of| of.state != State::Active) {
            self.gateway.event(Event::GrantActivated { node_id, grant });
        }
        // What it may do is this grant's from now on, unless it is that of a chain, which has ends of its own.
        let by_grant = self.rights.as_ref().is_none_or(|rights| rights.held.is_empty());
        if let (Some(of), Some(key), Some(_), true) = (of, key, self.attached, by_grant) {
            self.take_rights(Rights::of_grants(key, std::slice::from_ref(of), self.now()));
        }
        Answer::Activated(Ok(Confirmation::Active(of.and_then(|of| of.expires))))
    }

    /// Verifies a chain. A delegate's connection is registered by it.
    pub(in crate::native) async fn present(&mut self, chain: Option<&[u8]>, key: Option<&PublicKey>) -> Answer {
        let (Some(chain), Some(key)) = (chain, key) else { return Answer::Presented(None) };
        let Some(rights) = self.gateway.verify(chain, key) else { return Answer::Presented(None) };
        let gateway = self.gateway.clone();
        let hub = &gateway.inner.hub;
        // First that a revocation reaches this connection, then the look whether there was one.
        hub.rest_on(&rights.held, &self.mailbox);
        let counts = gateway.still_counts(&rights.held).await;
        if !matches!(counts, Ok(true)) {
            hub.rest_no_more(&rights.held, &self.mailbox);
        }
        match counts {
            Ok(true) => {}
            Ok(false) => return Answer::Presented(None),
            Err(error) => {
                failed(error);
                return Answer::Unable;
            }
        }
        let expires = rights.expires;
        self.take_rights(rights);
        if self.attached.is_none() {
            let peer = Peer::Delegate(*key);
            if hub.attach(peer, &self.mailbox).is_err() {
                return Answer::Unable;
            }
            self.attached = Some(peer);
        }
        Answer::Presented(expires)
    }

    /// What a node presented counts no more; what it was granted does.
    pub(in crate::native) async fn fall_back(&mut self, node_id: NodeId, key: Option<&PublicKey>) {
        let grants = self.gateway.inner.store.grants(node_id).await.map_err(failed).unwrap_or_default();
        if let Some(key) = key {
            self.take_rights(Rights::of_grants(key, &grants, self.now()));
        }
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
            let gone: Vec<_> = before.held.iter().filter(|block| !held.contains(block)).copied().collect();
            hub.rest_no_more(&gone, &self.mailbox);
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

    pub(in crate::native) async fn observe(&self, observation: Observation) {
        // Of a delegate the registry knows nothing to keep it with.
        if let Some(Peer::Node(node_id)) = self.attached
            && let Err(error) = self.gateway.inner.store.observe(node_id, observation).await
        {
            tracing::error!(%node_id, %error, "what the node told could not be kept");
        }
    }
}
