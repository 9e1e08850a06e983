//! What the gateway keeps for one connection of the native wire, and how it carries out what needs
//! no carrier.

mod link;
mod pairing;

use std::net::IpAddr;
use std::sync::Arc;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::native::gateway::{Connection, Cost, Peer};
use handfast_core::id::{NodeId, Source};
use handfast_core::limits::SUBSCRIPTIONS;
use handfast_core::time::UnixTime;
use handfast_store::Stored;

use super::budgets::{ProvingPlace, Queue};
use super::effects::{Answer, Loaded, Lookup};
use super::peer_scopes::Rights;
use super::reassembly::Parts;
use crate::connection::common::failed;
use crate::connection::hub::{Dialect, Mailbox};
use crate::connection::rate_limit::Permit;
use crate::connection::slots::SeatGuard;
use crate::gateway::Gateway;
use crate::gateway::in_force::OwnedInForce;
use crate::hook::Event;
use crate::pairing::OwnedRequest;
use crate::telemetry::log_lines::{CausedBy, limited};

/// The place of a connection among those that have not authenticated.
pub(crate) enum Place {
    Seat(SeatGuard),
    /// There was none: it only hears so.
    Refused,
    /// It needs none (any more).
    Free,
}

/// Whether a frame is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flows::native) enum Read {
    Now,
    /// Once its turn has come: [`Kept::turn`].
    Later,
    /// Never: it was sent before.
    Repeated,
}

/// What is kept for one connection.
pub(in crate::flows::native) struct Kept {
    pub(in crate::flows::native) gateway: Gateway,
    pub(in crate::flows::native) address: IpAddr,
    pub(in crate::flows::native) place: Place,
    pub(in crate::flows::native) mailbox: Arc<Mailbox>,
    pub(in crate::flows::native) parts: Parts,
    /// What was read of it counts as a failure of its source until the peer has proven itself.
    permit: Option<Box<Permit>>,
    /// The place of its handshake among those of the same key, until then.
    pub(in crate::flows::native) proving: Option<Box<ProvingPlace>>,
    /// Whether what is to be read is a first message of a link.
    links: bool,
    /// What it asked, until that is settled.
    request: Option<Box<OwnedRequest>>,
    /// The entry about which a decision is awaited.
    waiting: Option<NodeId>,
    /// When the last guess was reserved.
    reserved_at: UnixTime,
    /// To which node a grant was offered here.
    offered: Option<NodeId>,
    /// Whose live connection this is.
    pub(in crate::flows::native) attached: Option<Peer>,
    rights: Option<Box<Rights>>,
    subscriptions: Vec<Arc<str>>,
    /// Those that ended because what is in force covers them no more, until the peer hears of it.
    ended: Vec<Arc<str>>,
}

impl Kept {
    pub(in crate::flows::native) fn new(gateway: Gateway, address: IpAddr, place: Place) -> Self {
        gateway.inner.sessions.send_modify(|open| *open += 1);
        Self {
            address,
            place,
            mailbox: Mailbox::new(Dialect::Native),
            parts: Parts::default(),
            permit: None,
            proving: None,
            links: false,
            request: None,
            waiting: None,
            reserved_at: UnixTime::from_secs(0),
            offered: None,
            attached: None,
            rights: None,
            subscriptions: Vec::new(),
            ended: Vec::new(),
            gateway,
        }
    }

    fn now(&self) -> UnixTime {
        self.gateway.inner.clock.unix()
    }

    /// Gives back what the connection needs no more, after each step.
    pub(in crate::flows::native) fn stepped(&mut self, connection: &Connection, was: Option<Peer>) {
        if connection.linked().is_some() || connection.is_closed() {
            // The budget of those that have not authenticated is for others now.
            self.place = Place::Free;
            self.proving = None;
        }
        if let Place::Seat(seat) = &self.place {
            if connection.waits_for_person() {
                // Nothing is under way, and whoever waits can come back to the same entry or PIN:
                // it makes room if need be.
                seat.rests();
            } else if connection.stalls() {
                seat.stalls();
            }
        }
        if was.is_none() {
            match connection.linked() {
                Some(Peer::Node(node_id)) => self.gateway.event(Event::Linked(node_id)),
                Some(Peer::Delegate(key)) => {
                    let subject = self.rights.as_ref().map_or(key, |rights| rights.subject);
                    self.gateway.event(Event::DelegateLinked {
                        fingerprint: Fingerprint::of(&key),
                        subject: Fingerprint::of(&subject),
                    });
                }
                None => {}
            }
        }
    }

    pub(in crate::flows::native) fn spoke(&self) {
        if let Place::Seat(seat) = &self.place {
            seat.spoke();
        }
    }

    pub(in crate::flows::native) fn in_force(&self) -> Option<OwnedInForce> {
        self.rights.as_ref()?.in_force()
    }

    /// The subscriptions that ended since this was asked last, because what is in force does not
    /// cover them any more.
    pub(in crate::flows::native) fn ended_subscriptions(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.ended)
    }

    pub(in crate::flows::native) fn subscriptions_left(&self) -> usize {
        SUBSCRIPTIONS.saturating_sub(self.subscriptions.len())
    }

    pub(super) fn source(&self) -> Source {
        Source::of(self.address)
    }

    fn queue(&self) -> &Queue {
        let native = &self.gateway.inner.native;
        if self.links { &native.links } else { &native.strangers }
    }

    /// Takes a turn for a frame that costs something to read, or says that it has to wait for one.
    pub(in crate::flows::native) fn may_read(&mut self, cost: Cost<'_>) -> Read {
        self.links = match cost {
            Cost::Nothing => return Read::Now,
            Cost::Link(ephemeral) => {
                if ephemeral.is_some_and(|ephemeral| self.gateway.inner.native.knows(ephemeral)) {
                    self.gateway.inner.native.links.charge(self.source());
                    return Read::Repeated;
                }
                true
            }
            Cost::Stranger => false,
        };
        if !self.queue().goes_first(self.source()) {
            // Nothing is under way until its turn comes: it keeps its place from nobody who needs
            // one.
            if let Place::Seat(seat) = &self.place {
                seat.stalls();
            }
            return Read::Later;
        }
        self.reads();
        Read::Now
    }

    /// Waits for the turn of what has to wait for one.
    pub(in crate::flows::native) async fn turn(&self) {
        self.queue().wait().await;
    }

    /// What is read now is the source's failure, unless it turns out not to be.
    pub(in crate::flows::native) fn reads(&mut self) {
        self.spoke();
        self.permit = self.queue().permit(self.source()).map(Box::new);
    }

    /// The peer has proven itself.
    pub(in crate::flows::native) fn refund(&mut self) {
        self.not_its_fault();
        self.proving = None;
    }

    /// What was read was no failure of the source's.
    pub(in crate::flows::native) fn not_its_fault(&mut self) {
        if let Some(permit) = self.permit.take() {
            permit.give_back(self.gateway.inner.clock.now());
        }
    }

    /// Whether the peer may have the gateway write or verify something once more: one that means
    /// well asks for much less. What counts is its key, however many connections it makes.
    pub(in crate::flows::native) fn may_bother(&self, key: Option<&PublicKey>) -> bool {
        let inner = &self.gateway.inner;
        key.is_none_or(|key| inner.native.efforts.permit(*key, inner.clock.now()).is_some())
    }

    pub(in crate::flows::native) fn enter(
        &mut self,
        key: &PublicKey,
        ephemeral: &[u8; 32],
    ) -> Answer {
        let inner = &self.gateway.inner;
        Answer::Entered(
            inner
                .native
                .enter(key, ephemeral, inner.clock.now())
                .map(|place| self.proving = Some(Box::new(place))),
        )
    }

    pub(in crate::flows::native) async fn find(&mut self, key: &PublicKey) -> Answer {
        let found = match self.gateway.inner.store.by_key(key).await {
            Ok(stored) => self.with_grants(stored).await,
            Err(error) => Err(failed(error)),
        };
        if found.is_err() {
            self.not_its_fault();
        }
        Answer::Found(found)
    }

    async fn with_grants(&self, stored: Option<Stored>) -> Lookup {
        let Some(Stored { record, ceiling, .. }) = stored else { return Ok(None) };
        let grants = self.gateway.inner.store.grants(record.node_id).await.map_err(failed)?;
        if self.gateway.doubts(&grants) {
            let node_id = record.node_id;
            limited!(warn, CausedBy::Node(node_id), { %node_id, } "the clock is in doubt, and by it a grant has expired: its node gets no link");
            return Err(handfast_core::error::Refusal::ClockInDoubt);
        }
        self.gateway.note_grants(&grants, ceiling.as_deref()).await;
        Ok(Some(Box::new(Loaded { record, grants, ceiling })))
    }

    /// Takes the connection out of all tables.
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
        if let Some(peer) = self.attached.take()
            && hub.detach(peer, &self.mailbox)
        {
            if let Peer::Node(node_id) = peer {
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

impl Drop for Kept {
    fn drop(&mut self) {
        self.detach();
        self.gateway.inner.sessions.send_modify(|open| *open -= 1);
    }
}
