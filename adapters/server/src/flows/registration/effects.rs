//! Core's effects in owned form, so that they outlive an await, and the answers to them.

use axum::extract::ws::Message;
use handfast_core::flow::registration::gateway::{Claim, Effect};
use handfast_core::grant::token::{HashJob, Hashed, ProofTag};
use handfast_core::registry::admission::PendingRequest;
use handfast_core::registry::delivery::DeliveryId;
use handfast_core::{NodeId, Refusal};
use handfast_store::{Observation, Stored};

use crate::connection::action::Action;
use crate::entropy;
use crate::gateway::Inner;
use crate::gateway::common::observation;
use crate::proxies::PeerAddress;

/// An effect in owned form.
pub(super) type RegistrationAction = Action<Message, RegistrationRequest>;

/// A request that needs no socket.
pub(crate) enum RegistrationRequest {
    Admit(Box<PendingRequest>, String),
    Load(NodeId),
    Hash(HashJob, Claim),
    CountFailure,
    Refund,
    Remember(NodeId, ProofTag),
    Confirm(NodeId, DeliveryId),
    Attach(NodeId),
    Detach,
    /// The session that approved the node of the link may have ended.
    LookAgain(NodeId),
    Observe(NodeId, Observation),
    ApplicationText(NodeId, String),
    ApplicationBinary(NodeId, Vec<u8>),
}

/// An answer to a request, which becomes the next input.
pub(super) enum RegistrationAnswer {
    Admitted(Result<NodeId, Refusal>),
    Loaded(Result<Option<Stored>, Refusal>, NodeId),
    Hashed(Result<Hashed, Refusal>),
    Confirmed(Result<(), Refusal>),
    Attached(Result<Option<Stored>, Refusal>),
    /// The doubtful clock would end the rights of the link.
    InDoubt,
}

/// Turns a borrowing effect into an owned action before the first await.
pub(super) fn own(effect: Effect<'_>, inner: &Inner, peer: PeerAddress) -> RegistrationAction {
    let request = match effect {
        Effect::Send(text) => return RegistrationAction::Send(Message::Text(text.into())),
        Effect::Ping => return RegistrationAction::Send(Message::Ping(axum::body::Bytes::new())),
        Effect::Close(close) => return RegistrationAction::Close(close),
        Effect::Admit(request) => {
            let number = entropy::number();
            let asking = PendingRequest::new(
                &request,
                peer.ip(),
                inner.clock.unix(),
                &inner.limits,
                &entropy::draw(),
            )
            .made_by(number);
            RegistrationRequest::Admit(Box::new(asking), request.profile.as_str().to_owned())
        }
        Effect::Load(node_id) => RegistrationRequest::Load(node_id),
        Effect::Hash(job, claim) => RegistrationRequest::Hash(job, claim),
        Effect::CountFailure => RegistrationRequest::CountFailure,
        Effect::Refund => RegistrationRequest::Refund,
        Effect::Remember(node_id, tag) => RegistrationRequest::Remember(node_id, tag),
        Effect::Confirm(node_id, delivery) => RegistrationRequest::Confirm(node_id, delivery),
        Effect::Attach(node_id) => RegistrationRequest::Attach(node_id),
        Effect::Detach(_) => RegistrationRequest::Detach,
        Effect::Observe(node_id, heartbeat) => {
            RegistrationRequest::Observe(node_id, observation(heartbeat, inner))
        }
        Effect::ApplicationText(node_id, frame) => {
            RegistrationRequest::ApplicationText(node_id, frame.to_owned())
        }
        Effect::ApplicationBinary(node_id, frame) => {
            RegistrationRequest::ApplicationBinary(node_id, frame.to_vec())
        }
    };
    RegistrationAction::Request(request)
}
