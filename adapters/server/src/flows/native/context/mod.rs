//! The state of one native connection outside core's machine, and the effects that need no
//! transport.

mod identity;
mod link;
mod pairing;
mod requests;
mod tasks;

use std::net::IpAddr;
use std::sync::Arc;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{CloneStanding, Cost, NativeConnection, Peer};
use handfast_core::grant::certificate::Serial;
use handfast_core::limits::SUBSCRIPTIONS;
use handfast_core::registry::codes::CodeId;
use handfast_core::wire::native::link::DispatchId;
use handfast_core::wire::registration::Heartbeat;
use handfast_core::{Machine, NodeId, Source, UnixTime};
use handfast_store::Stored;

pub(in crate::flows::native) use tasks::TaskOrder;

use super::effects::{LoadedNode, Lookup, NativeAnswer};
use super::peer_scopes::Rights;
use super::reassembly::Parts;
use crate::connection::handshake_budgets::{ProvingPlace, RateQueue};
use crate::connection::hub::{Dialect, Mailbox, PingRequest};
use crate::connection::rate_limit::Permit;
use crate::connection::slot_state::SlotState;
use crate::events::Event;
use crate::gateway::Gateway;
use crate::gateway::common::{failed, observation};
use crate::gateway::in_force::OwnedInForce;
use crate::policy::request::OwnedRequest;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The decision about reading a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flows::native) enum Read {
    Now,
    /// The frame is read once its turn has come ([`NativeContext::queue`]).
    Later,
    /// The frame is a replay, and is never read.
    Repeated,
}

/// The state of one connection.
pub(crate) struct NativeContext {
    pub(in crate::flows::native) gateway: Gateway,
    pub(in crate::flows::native) address: IpAddr,
    /// `true` if a web page of a foreign origin opened the connection.
    pub(in crate::flows::native) foreign_page: bool,
    pub(in crate::flows::native) place: SlotState,
    pub(in crate::flows::native) mailbox: Arc<Mailbox>,
    pub(in crate::flows::native) parts: Parts,
    /// The permit for the frame that was read; it counts as a failure of the source until the peer
    /// has authenticated.
    permit: Option<Box<Permit>>,
    /// The place of the handshake among those of the same key, until the peer has authenticated.
    pub(in crate::flows::native) proving: Option<Box<ProvingPlace>>,
    /// `true` if the frame to be read is the first message of a link.
    links: bool,
    /// The node's request to pair, until it is settled.
    request: Option<Box<OwnedRequest>>,
    /// The entry whose decision the connection waits for.
    waiting: Option<NodeId>,
    /// The PIN that the connection waits for.
    pin: Option<CodeId>,
    /// The time at which the last guess was reserved.
    reserved_at: UnixTime,
    /// The node that was offered a grant on this connection.
    offered: Option<Box<OfferedNode>>,
    /// The certificate with which a node links over TLS.
    pub(in crate::flows::native) certificate: Option<Serial>,
    /// The peer whose live connection this is.
    pub(in crate::flows::native) attached: Option<Peer>,
    rights: Option<Box<Rights>>,
    subscriptions: Vec<Arc<str>>,
    /// The addresses that the node was told and has not confirmed.
    told: Option<Box<str>>,
    /// `true` once messages may be delivered to the peer.
    received: bool,
    /// `true` once the node was asked for what earlier links left open.
    has_asked: bool,
    /// `true` once a task was sent over this link, or the node told of one.
    has_sent: bool,
    /// Tasks that this link was told to stop because another gateway has cancelled them.
    told_to_stop: Vec<DispatchId>,
    /// The newest ping that waits for the node's answer, and its number.
    ping: Option<Box<(u32, PingRequest)>>,
    /// Subscriptions that have ended because the rights in force no longer cover them, until the
    /// peer is told.
    ended: Vec<Arc<str>>,
}

/// A node that was offered a grant.
struct OfferedNode {
    node_id: NodeId,
    /// Number of the certificate that the node has stored with the grant that it is about to
    /// confirm.
    certified: Option<u64>,
}

impl NativeContext {
    pub(in crate::flows::native) fn new(
        gateway: Gateway,
        address: IpAddr,
        place: SlotState,
    ) -> Self {
        gateway.inner.sessions.send_modify(|open| *open += 1);
        Self {
            address,
            foreign_page: false,
            place,
            mailbox: Mailbox::new(Dialect::Native, address),
            parts: Parts::default(),
            permit: None,
            proving: None,
            links: false,
            request: None,
            waiting: None,
            pin: None,
            reserved_at: UnixTime::from_secs(0),
            offered: None,
            certificate: None,
            attached: None,
            rights: None,
            subscriptions: Vec::new(),
            told: None,
            received: false,
            has_asked: false,
            has_sent: false,
            told_to_stop: Vec::new(),
            ping: None,
            ended: Vec::new(),
            gateway,
        }
    }

    fn offers(&mut self, node_id: NodeId) {
        self.offered = Some(Box::new(OfferedNode { node_id, certified: None }));
    }

    fn now(&self) -> UnixTime {
        self.gateway.inner.clock.unix()
    }

    /// Adjusts the connection's slot after each step to what the machine waits for.
    pub(in crate::flows::native) fn stepped(&mut self, connection: &NativeConnection) {
        if connection.is_closed() {
            self.leave_slot();
        }
        // Whatever waits for the node is looked at when its link opens, and when it may hear again.
        let receives = connection.receives();
        if receives && !std::mem::replace(&mut self.received, receives) {
            self.mailbox.has_tasks();
        }
        self.received = receives;
        if let SlotState::Seat(seat) = &self.place {
            if connection.waits_for_person() {
                // Nothing is in progress, and the node can come back to the same entry or PIN, so
                // its connection makes room if need be.
                seat.rests();
            } else if connection.stalls() {
                seat.stalls();
            }
        }
    }

    fn leave_slot(&mut self) {
        self.place = SlotState::Free;
        self.proving = None;
    }

    /// Reports the link. Linked peers have limits of their own, so the slot becomes free for others.
    pub(in crate::flows::native) fn linked(&mut self, peer: Peer) {
        self.leave_slot();
        match peer {
            Peer::Node(node_id) => {
                self.gateway.event(Event::Linked(node_id));
                self.observe(observation(Heartbeat::default(), &self.gateway.inner));
            }
            Peer::Delegate(key) => {
                let subject = self.rights.as_ref().map_or(key, |rights| rights.subject);
                self.gateway.event(Event::DelegateLinked {
                    fingerprint: Fingerprint::of(&key),
                    subject: Fingerprint::of(&subject),
                });
            }
        }
    }

    pub(in crate::flows::native) fn in_force(&self) -> Option<OwnedInForce> {
        self.rights.as_ref()?.in_force()
    }

    /// Takes the subscriptions that have ended since the last call, because the rights in force no
    /// longer cover them.
    pub(in crate::flows::native) fn ended_subscriptions(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.ended)
    }

    pub(in crate::flows::native) fn subscriptions_left(&self) -> usize {
        SUBSCRIPTIONS.saturating_sub(self.subscriptions.len())
    }

    pub(super) fn source(&self) -> Source {
        Source::of(self.address)
    }

    /// Returns the queue in which the frame to be read waits for its turn.
    pub(in crate::flows::native) fn queue(&self) -> &RateQueue {
        let native = &self.gateway.inner.native;
        if self.links { &native.links } else { &native.strangers }
    }

    /// Takes a turn for a frame that is costly to read. Returns [`Read::Later`] if it has to wait
    /// for one.
    pub(in crate::flows::native) fn may_read(&mut self, cost: Cost<'_>) -> Read {
        self.links = match cost {
            Cost::Nothing => return Read::Now,
            Cost::Link(ephemeral) => {
                if ephemeral.is_some_and(|ephemeral| self.gateway.inner.native.knows(ephemeral)) {
                    // A replay costs its sender an attempt, though nothing of it is read.
                    self.gateway.inner.native.links.charge(self.source());
                    return Read::Repeated;
                }
                true
            }
            Cost::Stranger => false,
        };
        if !self.queue().goes_first(self.source()) {
            // A waiting frame has cost nothing yet, so its connection may be displaced.
            if let SlotState::Seat(seat) = &self.place {
                seat.stalls();
            }
            return Read::Later;
        }
        self.reads();
        Read::Now
    }

    /// Charges the frame that is read now to its source, until the permit is given back.
    pub(in crate::flows::native) fn reads(&mut self) {
        self.place.spoke();
        self.permit = self.queue().permit(self.source()).map(Box::new);
    }

    /// Gives back what the peer's handshake used up: the peer has authenticated.
    pub(in crate::flows::native) fn refund(&mut self) {
        self.not_its_fault();
        self.proving = None;
    }

    /// Gives back the permit, because the frame was no failure of its source.
    pub(in crate::flows::native) fn not_its_fault(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.give_back(self.gateway.inner.clock.now());
        }
    }

    /// Returns `true` if the peer may cause one more write or verification. Honest peers need far
    /// fewer. The budget is the key's, over all its connections.
    pub(in crate::flows::native) fn may_bother(&self, key: Option<&PublicKey>) -> bool {
        let inner = &self.gateway.inner;
        key.is_none_or(|key| inner.native.efforts.permit(*key, inner.clock.now()).is_some())
    }

    pub(in crate::flows::native) fn enter(
        &mut self,
        key: &PublicKey,
        ephemeral: &[u8; 32],
    ) -> NativeAnswer {
        let inner = &self.gateway.inner;
        NativeAnswer::Entered(
            inner
                .native
                .enter(key, ephemeral, inner.clock.now())
                .map(|place| self.proving = Some(Box::new(place))),
        )
    }

    pub(in crate::flows::native) async fn find(&mut self, key: &PublicKey) -> NativeAnswer {
        let found = match self.gateway.in_touch() {
            Ok(()) => match self.gateway.inner.store.by_key(key).await {
                Ok(stored) => self.with_grants(stored).await,
                Err(error) => Err(failed(error)),
            },
            Err(refusal) => Err(refusal),
        };
        // The store's failure must not count against the source.
        if found.is_err() {
            self.not_its_fault();
        }
        NativeAnswer::Found(found)
    }

    pub(in crate::flows::native) async fn find_node(&mut self, node_id: NodeId) -> NativeAnswer {
        let found = match self.gateway.in_touch() {
            Ok(()) => match self.gateway.inner.store.load(node_id).await {
                Ok(stored) => self.with_grants(stored).await,
                Err(error) => Err(failed(error)),
            },
            Err(refusal) => Err(refusal),
        };
        NativeAnswer::Found(found)
    }

    async fn with_grants(&self, stored: Option<Stored>) -> Lookup {
        let Some(Stored { record, ceiling, .. }) = stored else { return Ok(None) };
        let grants = self.gateway.inner.store.grants(record.node_id).await.map_err(failed)?;
        if self.gateway.doubts(&grants) {
            let node_id = record.node_id;
            limited!(warn, CausedBy::Node(node_id), { %node_id, } "the clock is in doubt, and by it a grant has expired: its node gets no link");
            return Err(handfast_core::Refusal::ClockInDoubt);
        }
        self.gateway.note_grants(&grants, ceiling.as_deref()).await;
        let clone = CloneStanding::default();
        Ok(Some(Box::new(LoadedNode { clone, record, grants, ceiling })))
    }

    /// Removes the connection from all tables.
    pub(in crate::flows::native) fn detach(&mut self) {
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
        if let Some(pin) = self.pin.take() {
            hub.wait_for_pin_no_more(pin, &self.mailbox);
        }
        if let Some(peer) = self.attached.take()
            && hub.detach(peer, &self.mailbox)
        {
            if let Peer::Node(node_id) = peer {
                self.tasks_lost(node_id);
                self.gateway.inner.readings.leave(node_id, self.gateway.inner.clock.now());
            }
            self.gateway.event(match peer {
                Peer::Node(node_id) => Event::Unlinked(node_id),
                Peer::Delegate(key) => {
                    Event::DelegateUnlinked { fingerprint: Fingerprint::of(&key) }
                }
            });
        }
    }
}

impl Drop for NativeContext {
    fn drop(&mut self) {
        self.detach();
        self.gateway.inner.sessions.send_modify(|open| *open -= 1);
    }
}
