//! Effects of a linked peer.

use std::sync::Arc;

use handfast_core::NodeId;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{Confirmation, Peer, PingAnswer, RenewKind};
use handfast_core::grant::scope;
use handfast_core::registry::ceiling::Ceiling;
use handfast_core::registry::grants::{Grant, GrantId, State};
use handfast_core::registry::record::Standing;
use handfast_core::wire::native::link::CloneMark;
use handfast_store::{Activation, Observation};

use super::NativeContext;
use crate::application::PeerInfo;
use crate::connection::hub::{PingRequest, Replacement};
use crate::events::Event;
use crate::flows::native::effects::{LoadedNode, NativeAnswer};
use crate::flows::native::peer_scopes::Rights;
use crate::gateway::common::{failed, interrupted};
use crate::telemetry::log_lines::{CausedBy, limited};

impl NativeContext {
    /// Keeps a ping until the node answers it, and returns its number. An older one ends without an
    /// answer.
    pub(in crate::flows::native) fn pinged(&mut self, request: PingRequest) -> u32 {
        let number = self.ping.as_ref().map_or(0, |ping| ping.0.wrapping_add(1));
        self.ping = Some(Box::new((number, request)));
        number
    }

    /// Hands on the node's answer to its ping.
    pub(in crate::flows::native) fn ponged(&mut self, number: u32, answer: PingAnswer) {
        let Some(ping) = self.ping.take_if(|ping| ping.0 == number) else { return };
        let PingRequest { sent, answer: waits } = ping.1;
        let time = match answer {
            PingAnswer::Came => Some(sent.elapsed()),
            PingAnswer::NotTaken => None,
        };
        // The operator may have given up.
        let _ = waits.send(time);
    }

    /// Keeps a linked node's profile, if it is another one than before.
    pub(in crate::flows::native) async fn describe(&self, profile: String) {
        let Some(Peer::Node(node_id)) = self.attached else { return };
        let kept = match self.gateway.entry(node_id).await {
            // An unchanged profile makes the disk no work.
            Ok(entry) if entry.profile == profile => return,
            Ok(_) => self.gateway.relabel(node_id, None, Some(profile)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            limited!(warn, CausedBy::Node(node_id), { %error, } "a node's profile could not be kept");
        }
    }

    /// Registers the connection in the hub, then reads the node, so that every later decision is
    /// either read or delivered.
    pub(in crate::flows::native) async fn attach(
        &mut self,
        node_id: NodeId,
        mark: Option<CloneMark>,
        key: Option<&PublicKey>,
    ) -> NativeAnswer {
        let epoch = match self.gateway.epoch_before_link(node_id).await {
            Ok(epoch) => epoch,
            Err(error) => return NativeAnswer::Attached(Err(failed(error))),
        };
        let now = self.gateway.inner.clock.elapsed();
        let attached = self.gateway.inner.hub.attach(node_id, &self.mailbox, now);
        if let Ok(Some(Replacement { older, times })) = attached {
            self.gateway.event(Event::Replaced { node_id, older, newer: self.address, times });
        }
        let refused = attached.err();
        self.attached = refused.is_none().then_some(Peer::Node(node_id));
        let lookup = match self.gateway.inner.store.load(node_id).await {
            Ok(stored) => self.with_grants(stored).await,
            Err(error) => Err(failed(error)),
        };
        // The certificate may have been revoked since its handshake. From here on a revocation finds
        // this connection in the hub.
        if let (None, Ok(Some(_)), Some(serial)) = (refused, &lookup, self.certificate)
            && let Err(refusal) = self.gateway.certificate_used(serial).await
        {
            return NativeAnswer::Attached(Err(refusal));
        }
        // Only a link that the node gets shows its mark.
        let lookup = match refused {
            None => self.with_mark(lookup, mark).await,
            Some(_) => lookup,
        };
        if let (None, Ok(Some(loaded))) = (refused, &lookup) {
            self.gateway.link_heard(&loaded.record, epoch, loaded.clone.quarantined);
        }
        // The rights are in place before the link opens, so no message is judged without them.
        if let (Ok(Some(loaded)), Some(key)) = (&lookup, key) {
            let rights = self.rights_of(key, &loaded.grants, loaded.ceiling.as_deref());
            self.take_rights(rights);
        }
        // A node that would be refused anyway learns the reason, even if there is no room.
        let would_enter = |loaded: &LoadedNode| {
            matches!(loaded.record.standing, Standing::Paired { .. } | Standing::Muted { .. })
        };
        NativeAnswer::Attached(match (refused, lookup) {
            (Some(refusal), Ok(Some(loaded))) if would_enter(&loaded) => Err(refusal),
            (_, lookup) => lookup,
        })
    }

    pub(in crate::flows::native) async fn activate(
        &mut self,
        grant: GrantId,
        key: Option<&PublicKey>,
    ) -> NativeAnswer {
        let node_id = match self.attached {
            Some(Peer::Node(node_id)) => Some(node_id),
            Some(Peer::Delegate(_)) => None,
            // A node that pairs may confirm only the grant that it was offered here.
            None => self.offered.as_ref().map(|offered| offered.node_id),
        };
        let Some(node_id) = node_id else {
            return NativeAnswer::Activated(Ok(Confirmation::NotThere));
        };
        let (store, now) = (&self.gateway.inner.store, self.now());
        // The grants are read first, because the confirmation ends the older ones.
        let before = match store.grants(node_id).await {
            Ok(before) => before,
            Err(error) => return NativeAnswer::Activated(Err(failed(error))),
        };
        // Only a link has permissions that a ceiling bounds.
        let ceiling = match self.attached {
            Some(_) => match store.load(node_id).await {
                Ok(stored) => stored.and_then(|stored| stored.ceiling),
                Err(error) => return NativeAnswer::Activated(Err(failed(error))),
            },
            None => None,
        };
        // Grant and certificate are confirmed in one write, so that neither counts alone.
        let certified = self.offered.as_mut().and_then(|offered| offered.certified.take());
        let activated = match certified {
            Some(number) => store.activate_certified(node_id, grant, number, now).await,
            None => store.activate(node_id, grant, now).await,
        };
        let ended = match activated {
            Ok(Activation::Active { ended }) => ended,
            Ok(Activation::NotThere) => return NativeAnswer::Activated(Ok(Confirmation::NotThere)),
            Err(error) => return NativeAnswer::Activated(Err(failed(error))),
        };
        // Links that rest on the grants that ended have to look again.
        self.gateway.cut_blocks(&ended);
        let Some(of) = before.into_iter().find(|of| of.id == grant) else {
            return NativeAnswer::Activated(Ok(Confirmation::NotThere));
        };
        // A confirmation that is repeated is no news.
        if of.state != State::Active {
            self.gateway.event(Event::GrantActivated { node_id, grant });
        }
        let of = Grant { state: State::Active, ..of };
        if self.attached.is_none() {
            // The grant was confirmed while the node pairs again. Its other link rested on the
            // grants that ended.
            self.gateway.inner.hub.look_again(node_id);
            return NativeAnswer::Activated(Ok(Confirmation::Active(of.expires)));
        }
        let own = key.map(|key| self.rights_of(key, std::slice::from_ref(&of), ceiling.as_deref()));
        let own_ends = own.as_ref().map_or(of.expires, |own| own.expires);
        // From now on the permissions are those of this grant, unless they come from a chain, which
        // ends by itself.
        let chain_ends = self
            .rights
            .as_ref()
            .filter(|rights| !rights.held.is_empty())
            .and_then(|rights| rights.expires);
        if let (None, Some(own)) = (chain_ends, own) {
            self.take_rights(own);
        }
        let expires = own_ends.into_iter().chain(chain_ends).min();
        NativeAnswer::Activated(Ok(Confirmation::Active(expires)))
    }

    /// Verifies a chain. It also registers a delegate's connection.
    pub(in crate::flows::native) async fn present(
        &mut self,
        chain: Option<&[u8]>,
        key: Option<&PublicKey>,
    ) -> NativeAnswer {
        let (Some(chain), Some(key)) = (chain, key) else { return NativeAnswer::Presented(None) };
        let Some(rights) = self.gateway.verify(chain, key) else {
            return NativeAnswer::Presented(None);
        };
        let gateway = self.gateway.clone();
        let hub = &gateway.inner.hub;
        // The connection registers for revocations before it looks for one, so that none is missed.
        hub.rest_on(&rights.held, &self.mailbox);
        let counts = match self.attached {
            // A linked node may present a chain beside its own grant.
            Some(_) => gateway.ceilings_over(&rights.held).await,
            None => gateway.lets_in(key, &rights.held).await,
        };
        if !matches!(counts, Ok(Some(_))) {
            // The blocks of the rights that stay in force remain registered.
            let still = self.rights.as_ref().map(|rights| &*rights.held).unwrap_or_default();
            hub.rest_no_more(&rights.held, still, &self.mailbox);
        }
        let rights = match counts {
            Ok(Some(ceilings)) => rights.under(&ceilings),
            Ok(None) => return NativeAnswer::Presented(None),
            Err(error) => {
                failed(error);
                return NativeAnswer::StoreFailed;
            }
        };
        let expires = rights.expires;
        self.take_rights(rights);
        if self.attached.is_none() {
            let subject = self.rights.as_ref().map_or(*key, |rights| rights.subject);
            if hub.attach_delegate(*key, subject, &self.mailbox).is_err() {
                // A full gateway must not count against the source.
                self.not_its_fault();
                return NativeAnswer::Full;
            }
            self.attached = Some(Peer::Delegate(*key));
        }
        NativeAnswer::Presented(expires)
    }

    /// Returns the permissions in force now. A presented chain counts under the ceilings over it.
    /// If the chain no longer counts, a node falls back to its grant, and a delegate has nothing.
    /// If the registry cannot be read, nothing is allowed.
    pub(in crate::flows::native) async fn look_again(
        &mut self,
        peer: Peer,
        key: Option<&PublicKey>,
    ) -> Option<NativeAnswer> {
        // The link rests on its certificate; the node comes back by its key.
        if let (Peer::Node(_), Some(serial)) = (peer, self.certificate)
            && self.gateway.inner.allowed.still_allows(&serial, self.now()).is_err()
        {
            return Some(NativeAnswer::Uncertified);
        }
        let key = key?;
        let chain = match &self.rights {
            Some(rights) if !rights.held.is_empty() => {
                let ceilings = self.gateway.ceilings_over(&rights.held).await.map_err(failed);
                ceilings.map(|ceilings| ceilings.map(|ceilings| rights.under(&ceilings)))
            }
            Some(_) | None => Ok(None),
        };
        let node_id = match peer {
            Peer::Node(node_id) => node_id,
            Peer::Delegate(_) => {
                return Some(match chain {
                    Ok(Some(rights)) => {
                        let until = rights.expires;
                        self.take_rights(rights);
                        NativeAnswer::Bounded { until, renews: false }
                    }
                    Ok(None) => NativeAnswer::Ended,
                    Err(_) => NativeAnswer::StoreFailed,
                });
            }
        };
        let own = match self.gateway.inner.store.load(node_id).await.map_err(failed) {
            Ok(stored) => self.with_grants(stored).await.ok().flatten(),
            Err(_) => None,
        };
        let own = own.map(|loaded| self.rights_of(key, &loaded.grants, loaded.ceiling.as_deref()));
        // If the registry cannot be read, nothing is allowed until it can be.
        let own = own.unwrap_or_else(|| Rights::none(key));
        let renews = own.renews;
        let (until, rights) = match chain {
            Ok(Some(rights)) => (own.expires.into_iter().chain(rights.expires).min(), rights),
            Ok(None) | Err(_) => (own.expires, own),
        };
        self.take_rights(rights);
        Some(NativeAnswer::Bounded { until, renews })
    }

    fn rights_of(&self, key: &PublicKey, grants: &[Grant], ceiling: Option<&Ceiling>) -> Rights {
        Rights::of_node(
            key,
            grants,
            ceiling,
            self.gateway.inner.limits.renew_after_expiry,
            self.now(),
        )
    }

    /// Replaces the permissions. Subscriptions that the new ones do not cover end, and the peer is
    /// told.
    fn take_rights(&mut self, rights: Rights) {
        let hub = &self.gateway.inner.hub;
        let (kept, ended) =
            self.subscriptions.drain(..).partition(|pattern| rights.allow_subscription(pattern));
        self.subscriptions = kept;
        let ended: Vec<Arc<str>> = ended;
        ended.iter().for_each(|pattern| hub.unsubscribe(pattern, &self.mailbox));
        self.ended.extend(ended);
        if let Some(before) = self.rights.replace(Box::new(rights)) {
            let held = self.rights.as_ref().map(|rights| &*rights.held).unwrap_or_default();
            hub.rest_no_more(&before.held, held, &self.mailbox);
        }
    }

    pub(in crate::flows::native) fn subscribe(&mut self, pattern: Arc<str>) {
        // A repeated subscription counts once.
        if !self.subscriptions.contains(&pattern) {
            self.gateway.inner.hub.subscribe(&pattern, &self.mailbox);
            self.subscriptions.push(pattern);
        }
    }

    /// Passes a frame to the application. A slow application delays only the frames of this
    /// connection, neither a decision nor the shutdown.
    pub(in crate::flows::native) async fn app(
        &self,
        key: Option<&PublicKey>,
        action: scope::Action,
        address: &str,
        bytes: &[u8],
    ) {
        let (Some(peer), Some(key)) = (self.attached, key) else { return };
        let subject = self.rights.as_ref().map_or(*key, |rights| rights.subject);
        let info = PeerInfo { peer, key: *key, subject, address: self.address };
        let inner = &self.gateway.inner;
        // Those who watch get the message even while the application is slow.
        inner.messages.tell(peer, Some((action, address)), bytes);
        tokio::select! {
            () = inner.application.app(&info, action, address, bytes) => {}
            () = interrupted(&self.mailbox, inner) => {}
        }
    }

    pub(in crate::flows::native) async fn renew(&self, what: RenewKind) -> NativeAnswer {
        let Some(peer) = self.attached else { return NativeAnswer::Renewed(None) };
        let in_force = self.in_force();
        let expires = self.rights.as_ref().and_then(|rights| rights.expires);
        let held = self.rights.as_ref().map(|rights| &*rights.held).unwrap_or_default();
        NativeAnswer::Renewed(self.gateway.renew(peer, what, in_force, expires, held).await)
    }

    pub(in crate::flows::native) fn observe(&self, observation: Observation) {
        // The registry has no entry of a delegate to store it with.
        if let Some(Peer::Node(node_id)) = self.attached {
            self.gateway.inner.readings.tell(node_id, observation, self.gateway.inner.clock.now());
        }
    }
}
