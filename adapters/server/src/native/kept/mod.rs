//! What the gateway keeps for one connection of the native wire, and how it carries out what needs no carrier.

mod link;
mod pairing;

use std::net::IpAddr;
use std::sync::Arc;

use handfast_core::budget::Bucket;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::error::Refusal;
use handfast_core::flow::native::gateway::{Connection, Peer};
use handfast_core::grant::scope;
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::SUBSCRIPTIONS;
use handfast_core::time::UnixTime;
use handfast_core::wire::native::open::Intent;
use handfast_store::Stored;
use tokio::sync::OwnedSemaphorePermit;

use super::action::{Answer, Loaded, Lookup};
use super::parts::Parts;
use super::rights::Rights;
use crate::failures::Failures;
use crate::gateway::Gateway;
use crate::hook::Event;
use crate::hub::{Dialect, Mailbox};
use crate::pairing::OwnedRequest;
use crate::pump::failed;
use crate::seats::SeatGuard;

/// The place of a connection among those that have not authenticated.
pub(crate) enum Place {
    Seat(SeatGuard),
    /// There was none: it only hears so.
    Refused,
    /// It needs none (any more).
    Free,
}

/// How often one connection may tell something that is kept, present a chain, or confirm or renew a grant.
const EFFORTS_A_MINUTE: u32 = 120;

/// What is kept for one connection.
pub(in crate::native) struct Kept {
    pub(in crate::native) gateway: Gateway,
    pub(in crate::native) address: IpAddr,
    pub(in crate::native) place: Place,
    pub(in crate::native) mailbox: Arc<Mailbox>,
    pub(in crate::native) parts: Parts,
    /// The place of its handshake among those of strangers.
    handshake: Option<OwnedSemaphorePermit>,
    /// Whether its handshake counts among those of nodes that link again.
    links: bool,
    /// How often it may yet have the gateway write or verify something.
    efforts: Bucket,
    /// What it asked, until that is settled.
    request: Option<Box<OwnedRequest>>,
    /// The entry about which a decision is awaited.
    waiting: Option<NodeId>,
    /// When the last guess was reserved.
    reserved_at: UnixTime,
    /// To which node a grant was offered here.
    offered: Option<NodeId>,
    /// Whose live connection this is.
    pub(in crate::native) attached: Option<Peer>,
    rights: Option<Box<Rights>>,
    subscriptions: Vec<Arc<str>>,
}

impl Kept {
    pub(in crate::native) fn new(gateway: Gateway, address: IpAddr, place: Place) -> Self {
        gateway.inner.sessions.send_modify(|open| *open += 1);
        Self {
            address,
            place,
            mailbox: Mailbox::new(Dialect::Native),
            parts: Parts::default(),
            handshake: None,
            links: false,
            efforts: Bucket::new(EFFORTS_A_MINUTE, gateway.inner.clock.now()),
            request: None,
            waiting: None,
            reserved_at: UnixTime::from_secs(0),
            offered: None,
            attached: None,
            rights: None,
            subscriptions: Vec::new(),
            gateway,
        }
    }

    fn now(&self) -> UnixTime {
        self.gateway.inner.clock.unix()
    }

    /// Gives back what the connection needs no more, after each step.
    pub(in crate::native) fn stepped(&mut self, connection: &Connection, was: Option<Peer>) {
        if connection.linked().is_some() || connection.is_closed() {
            // The budget of those that have not authenticated is for others now.
            self.place = Place::Free;
            self.handshake = None;
        }
        if connection.waits_for_person() {
            // Nothing is under way, and whoever waits can come back to the same entry or PIN: it makes room if need be.
            self.handshake = None;
            if let Place::Seat(seat) = &self.place {
                seat.rests();
            }
        }
        if was.is_none() {
            match connection.linked() {
                Some(Peer::Node(node_id)) => self.gateway.event(Event::Linked(node_id)),
                Some(Peer::Delegate(key)) => {
                    let subject = self.rights.as_ref().map_or(key, |rights| rights.subject);
                    self.gateway
                        .event(Event::DelegateLinked { fingerprint: Fingerprint::of(&key), subject: Fingerprint::of(&subject) });
                }
                None => {}
            }
        }
    }

    pub(in crate::native) fn spoke(&self) {
        if let Place::Seat(seat) = &self.place {
            seat.spoke();
        }
    }

    pub(in crate::native) fn scopes(&self) -> Option<scope::ScopesBuf> {
        self.rights.as_ref()?.scopes()
    }

    pub(in crate::native) fn subscriptions_left(&self) -> usize {
        SUBSCRIPTIONS.saturating_sub(self.subscriptions.len())
    }

    pub(in crate::native) fn begin(&mut self, intent: Intent) -> Answer {
        let inner = &self.gateway.inner;
        let place = match intent {
            Intent::Link => None,
            Intent::Pair | Intent::Delegate => match Arc::clone(&inner.handshakes).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => return Answer::Begun(Err(Refusal::RateLimited)),
            },
        };
        self.links = place.is_none();
        if !self.budget().take(Source::of(self.address), inner.clock.now()) {
            return Answer::Begun(Err(Refusal::RateLimited));
        }
        self.handshake = place;
        Answer::Begun(Ok(()))
    }

    pub(in crate::native) fn refund(&self) {
        self.budget().refund(Source::of(self.address), self.gateway.inner.clock.now());
    }

    fn budget(&self) -> &Failures {
        let inner = &self.gateway.inner;
        if self.links { &inner.links } else { &inner.failures }
    }

    /// Whether the peer may have the gateway write or verify something once more: one that means well asks for much less.
    pub(in crate::native) fn may_bother(&mut self) -> bool {
        self.efforts.take(self.gateway.inner.clock.now())
    }

    pub(in crate::native) async fn find(&self, key: &PublicKey) -> Answer {
        Answer::Found(match self.gateway.inner.store.by_key(key).await {
            Ok(stored) => self.with_grants(stored).await,
            Err(error) => Err(failed(error)),
        })
    }

    async fn with_grants(&self, stored: Option<Stored>) -> Lookup {
        let Some(Stored { record, .. }) = stored else { return Ok(None) };
        let grants = self.gateway.inner.store.grants(record.node_id).await.map_err(failed)?;
        Ok(Some(Box::new(Loaded { record, grants })))
    }

    /// Takes the connection out of all tables.
    pub(in crate::native) fn detach(&mut self) {
        let hub = &self.gateway.inner.hub;
        for pattern in self.subscriptions.drain(..) {
            hub.unsubscribe(&pattern, &self.mailbox);
        }
        if let Some(rights) = self.rights.take() {
            hub.rest_no_more(&rights.held, &[], &self.mailbox);
        }
        if let Some(node_id) = self.waiting.take() {
            hub.wait_no_more(node_id, &self.mailbox);
        }
        if let Some(peer) = self.attached.take()
            && hub.detach(peer, &self.mailbox)
        {
            if let Peer::Node(node_id) = peer {
                self.gateway.inner.readings.leave(node_id, self.gateway.inner.clock.now());
            }
            self.gateway.event(match peer {
                Peer::Node(node_id) => Event::Unlinked(node_id),
                Peer::Delegate(key) => Event::DelegateUnlinked { fingerprint: Fingerprint::of(&key) },
            });
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.detach();
        self.gateway.inner.sessions.send_modify(|open| *open -= 1);
    }
}
