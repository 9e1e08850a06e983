//! The state of a node's connection outside core's machine, and the effects that need no socket.

use std::sync::Arc;

use handfast_core::flow::native::gateway::Peer;
use handfast_core::flow::registration::gateway::RegistrationRequest;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::record::Standing;
use handfast_core::wire::registration::Heartbeat;
use handfast_core::{NodeId, Refusal};
use handfast_store::Stored;

use super::effects::{RegistrationAnswer, RegistrationJob};
use crate::connection::hub::{Dialect, Mailbox, Replacement};
use crate::connection::slot_state::SlotState;
use crate::events::Event;
use crate::gateway::Gateway;
use crate::gateway::common::{failed, interrupted, observation};
use crate::gateway::hash_pool::AuthAttempt;
use crate::proxies::PeerAddress;

/// The state of one connection, without its socket.
pub(crate) struct RegistrationContext {
    pub(super) gateway: Gateway,
    pub(super) peer: PeerAddress,
    pub(super) slot: SlotState,
    pub(super) mailbox: Arc<Mailbox>,
    /// The node whose live connection this is.
    attached: Option<NodeId>,
    /// The attempt that the node's token used up; it is given back if the token was right.
    attempt: Option<Box<AuthAttempt>>,
}

impl RegistrationContext {
    pub(super) fn new(gateway: Gateway, peer: PeerAddress, slot: SlotState) -> Self {
        gateway.inner.sessions.send_modify(|open| *open += 1);
        let mailbox = Mailbox::new(Dialect::Missy, peer.ip());
        Self { gateway, peer, slot, mailbox, attached: None, attempt: None }
    }

    /// Carries out a job.
    pub(super) async fn answer(&mut self, job: RegistrationJob) -> Option<RegistrationAnswer> {
        let inner = &self.gateway.inner;
        match job {
            RegistrationJob::Request(request) => return self.answer_request(request).await,
            RegistrationJob::Admit(asking, profile) => {
                return Some(RegistrationAnswer::Admitted(self.admit(*asking, profile).await));
            }
            RegistrationJob::LookAgain(node_id) => {
                // If the registry cannot be read, the answer is the same as in doubt.
                let in_doubt = inner.rests_on_doubt(node_id).await.unwrap_or(true);
                return in_doubt.then_some(RegistrationAnswer::InDoubt);
            }
            RegistrationJob::Observe(node_id, observation) => {
                inner.readings.tell(node_id, observation, inner.clock.now());
            }
            // A slow application delays its own frames, but neither a decision nor the shutdown.
            RegistrationJob::ApplicationText(node_id, frame) => {
                inner.messages.tell(Peer::Node(node_id), None, frame.as_bytes());
                tokio::select! {
                    () = inner.application.text(node_id, &frame) => {}
                    () = interrupted(&self.mailbox, inner) => {}
                }
            }
            RegistrationJob::ApplicationBinary(node_id, frame) => {
                inner.messages.tell(Peer::Node(node_id), None, &frame);
                tokio::select! {
                    () = inner.application.binary(node_id, &frame) => {}
                    () = interrupted(&self.mailbox, inner) => {}
                }
            }
        }
        None
    }

    async fn answer_request(&mut self, request: RegistrationRequest) -> Option<RegistrationAnswer> {
        let inner = &self.gateway.inner;
        let source = self.peer.source();
        let now = inner.clock.now();
        match request {
            RegistrationRequest::Load(node_id) => {
                let loaded = match self.gateway.in_touch() {
                    Ok(()) => inner.store.load(node_id).await.map_err(failed),
                    Err(refusal) => Err(refusal),
                };
                return Some(RegistrationAnswer::Loaded(loaded, node_id));
            }
            RegistrationRequest::Hash(job, claim) => {
                let hashed = inner.pool.hash(job, claim, source, now).await;
                return Some(RegistrationAnswer::Hashed(hashed.ok_or(Refusal::RateLimited).map(
                    |(hashed, attempt)| {
                        self.attempt = Some(Box::new(attempt));
                        hashed
                    },
                )));
            }
            RegistrationRequest::CountFailure => inner.pool.charge(source, now),
            RegistrationRequest::Refund => {
                if let Some(attempt) = self.attempt.take() {
                    attempt.give_back(now);
                }
            }
            RegistrationRequest::Remember(node_id, tag) => inner.proven.remember(node_id, tag),
            RegistrationRequest::Confirm(node_id, delivery) => {
                return Some(RegistrationAnswer::Confirmed(
                    self.gateway.token_used(node_id, delivery).await,
                ));
            }
            RegistrationRequest::Attach(node_id) => {
                return Some(RegistrationAnswer::Attached(self.attach(node_id).await));
            }
            RegistrationRequest::Linked(node_id) => {
                // Linked nodes have limits of their own, so the slot becomes free for others.
                self.slot = SlotState::Free;
                inner.event(&Event::Linked(node_id));
                inner.readings.tell(node_id, observation(Heartbeat::default(), inner), now);
            }
            // The connection knows the node that it was attached for.
            RegistrationRequest::Detach(_) => self.detach(),
        }
        None
    }

    async fn admit(&self, asking: PendingRequest, profile: String) -> Result<NodeId, Refusal> {
        let address = asking.record.address;
        let (name, room) = (asking.record.name.to_string(), asking.record.room.to_string());
        let admitted = match self.gateway.admit(asking, profile).await {
            Ok(admitted) => admitted,
            Err(error) => Err(failed(error)),
        };
        // The request is in the registry by now, so it may be told.
        self.gateway.event(match &admitted {
            Ok(node_id) => Event::Asked { node_id: *node_id, name, room, address },
            Err(refusal) => Event::AskRefused { address, refusal: *refusal },
        });
        admitted
    }

    /// Registers the connection in the hub, then reads the node, so that every later decision is
    /// either read or delivered.
    async fn attach(&mut self, node_id: NodeId) -> Result<Option<Stored>, Refusal> {
        let inner = &self.gateway.inner;
        let epoch = self.gateway.epoch_before_link(node_id).await.map_err(failed)?;
        let attached = inner.hub.attach(node_id, &self.mailbox, inner.clock.elapsed());
        if let Ok(Some(Replacement { older, times })) = attached {
            let newer = self.peer.ip();
            inner.event(&Event::Replaced { node_id, older, newer, times });
        }
        let refused = attached.err();
        self.attached = refused.is_none().then_some(node_id);
        let record = match inner.rests_on_doubt(node_id).await {
            Ok(true) => Err(Refusal::ClockInDoubt),
            Ok(false) => inner.store.load(node_id).await.map_err(failed),
            Err(error) => Err(failed(error)),
        };
        // A node that would be refused anyway learns the reason even if there is no room.
        let would_enter = |s: &Stored| matches!(s.record.standing, Standing::Paired { .. });
        match (refused, record) {
            (Some(refusal), Ok(Some(stored))) if would_enter(&stored) => Err(refusal),
            (_, record) => {
                if let (None, Ok(Some(stored))) = (refused, &record) {
                    self.gateway.link_heard(&stored.record, epoch, false);
                }
                record
            }
        }
    }

    fn detach(&mut self) {
        if let Some(node_id) = self.attached.take()
            && self.gateway.inner.hub.detach(Peer::Node(node_id), &self.mailbox)
        {
            self.gateway.inner.readings.leave(node_id, self.gateway.inner.clock.now());
            self.gateway.event(Event::Unlinked(node_id));
        }
    }
}

impl Drop for RegistrationContext {
    fn drop(&mut self) {
        self.detach();
        self.gateway.inner.sessions.send_modify(|open| *open -= 1);
    }
}
