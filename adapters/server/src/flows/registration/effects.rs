//! Core's effects in owned form, so that they outlive an await, and the answers to them.

use axum::extract::ws::Message;
use handfast_core::flow::registration::gateway::{Effect, RegistrationRequest};
use handfast_core::grant::token::Hashed;
use handfast_core::registry::admission::PendingRequest;
use handfast_core::{NodeId, Refusal};
use handfast_store::{Observation, Stored};

use crate::connection::action::Action;
use crate::entropy;
use crate::gateway::Inner;
use crate::gateway::common::observation;
use crate::proxies::PeerAddress;

/// An effect in owned form.
pub(super) type RegistrationAction = Action<Message, RegistrationJob>;

/// Work that needs no socket. An effect that borrows from the step's buffers is copied, because the
/// work awaits; a request of core is handed on as it is.
pub(crate) enum RegistrationJob {
    Request(RegistrationRequest),
    Admit(Box<PendingRequest>, String),
    Observe(NodeId, Observation),
    ApplicationText(NodeId, String),
    ApplicationBinary(NodeId, Vec<u8>),
    /// The session that approved the node of the link may have ended.
    LookAgain(NodeId),
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
    RegistrationAction::Work(match effect {
        Effect::Send(text) => return RegistrationAction::Send(Message::Text(text.into())),
        Effect::Ping => return RegistrationAction::Send(Message::Ping(axum::body::Bytes::new())),
        Effect::Close(close) => return RegistrationAction::Close(close),
        Effect::Request(request) => RegistrationJob::Request(request),
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
            RegistrationJob::Admit(Box::new(asking), request.profile.as_str().to_owned())
        }
        Effect::Observe(node_id, heartbeat) => {
            RegistrationJob::Observe(node_id, observation(heartbeat, inner))
        }
        Effect::ApplicationText(node_id, frame) => {
            RegistrationJob::ApplicationText(node_id, frame.to_owned())
        }
        Effect::ApplicationBinary(node_id, frame) => {
            RegistrationJob::ApplicationBinary(node_id, frame.to_vec())
        }
    })
}
