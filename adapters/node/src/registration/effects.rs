//! The effects of a node without keys.

use std::convert::Infallible;
use std::sync::Arc;

use handfast_core::flow::registration::node::{Effect, RegistrationMemory, RegistrationNode};
use handfast_core::{Machine, Refusal};
use tokio::sync::broadcast;

use super::context::RegistrationContext;
use super::link::{Target, TextLink};
use super::node::NodeError;
use crate::connection::Opening;
use crate::driver::{EffectOf, NodeFlow, Work};
use crate::event::{Lost, OwnerCommand, RegistrationEvent};
use crate::registration::record::Identity;
use crate::registration::token_source::{LOOK_EVERY, TokenSource};
use crate::standing::{NodeStanding, Teller};
use crate::state::HeldState;
use crate::waits::Waits;

/// Core's name for the state of a node that waits for its next attempt.
const WAITING: &str = "Waiting";

/// The storage, the owner and the connections of a node.
pub(super) struct RegistrationEffects {
    pub(super) identity: Identity,
    pub(super) state: Arc<HeldState>,
    pub(super) target: Target,
    pub(super) events: broadcast::Sender<RegistrationEvent>,
    pub(super) teller: Teller,
    /// The file that the token came from, if it came from one. Such a token is not stored a second
    /// time.
    pub(super) source: Option<TokenSource>,
}

impl NodeFlow for RegistrationEffects {
    type Machine = RegistrationNode;
    type Context = RegistrationContext;
    type Link = TextLink;
    type Opened = ();
    type Memory = RegistrationMemory;
    type Kept = RegistrationMemory;
    type Command = OwnerCommand;
    type Request = OwnerCommand;
    type Happening = OwnerCommand;
    type Own = Infallible;
    type Event = RegistrationEvent;
    type Error = NodeError;

    fn waits(&self) -> Waits {
        self.target.waits
    }

    fn dial(&self) -> Opening<TextLink> {
        Box::pin(self.target.clone().dial())
    }

    fn opened(&mut self, _: &RegistrationNode, _: &TextLink) {}

    fn command(&mut self, _: &RegistrationNode, command: OwnerCommand) -> Option<OwnerCommand> {
        Some(command)
    }

    /// The wait for the next attempt may be long; a new token in the file is used at once.
    async fn next(&mut self, machine: &RegistrationNode) -> OwnerCommand {
        let source = self.source.as_mut().filter(|_| machine.state_name() == WAITING);
        let Some(source) = source else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(token) = source.other() {
                return OwnerCommand::Token(token);
            }
        }
    }

    async fn happened(
        &mut self,
        _: &RegistrationNode,
        event: OwnerCommand,
    ) -> Result<Option<OwnerCommand>, NodeError> {
        Ok(Some(event))
    }

    fn instead_of_tick(&mut self) -> Option<OwnerCommand> {
        self.source.as_mut().and_then(TokenSource::other).map(OwnerCommand::Token)
    }

    fn work<'b>(
        &mut self,
        _machine: &RegistrationNode,
        effect: EffectOf<'b, Self>,
    ) -> Work<'b, Self> {
        match effect {
            Effect::Connect => Work::Connect,
            Effect::Send(text) => Work::Send(text),
            Effect::Close(close) => Work::Close(close),
            Effect::Keep(memory) => Work::Keep(memory),
            Effect::Tell(event) => Work::Tell(event.into()),
        }
    }

    async fn carry_out(&mut self, work: Infallible) -> Result<Vec<OwnerCommand>, NodeError> {
        match work {}
    }

    async fn keep(&mut self, memory: RegistrationMemory) -> Result<RegistrationMemory, NodeError> {
        // This token is in its file already, so nothing has to be written.
        if self.source.is_some() && matches!(memory, RegistrationMemory::Paired { .. }) {
            return Ok(memory);
        }
        let (state, identity) = (self.state.clone(), self.identity.clone());
        // Flushing a file may take long, so it runs on a thread that may block.
        let saved =
            tokio::task::spawn_blocking(move || state.save(&identity, &memory).map(|()| memory));
        Ok(saved.await.map_err(|_| NodeError::Stopped)??)
    }

    fn tell(&mut self, event: RegistrationEvent) -> Vec<OwnerCommand> {
        self.log(&event);
        if let Some(standing) = standing_after(&event) {
            self.teller.tell(&self.state, standing);
        }
        // Nobody may be listening.
        let _ = self.events.send(event);
        Vec::new()
    }

    fn connecting() -> RegistrationEvent {
        RegistrationEvent::Connecting
    }

    fn lost(why: Lost) -> RegistrationEvent {
        RegistrationEvent::Lost(why)
    }
}

impl RegistrationEffects {
    /// Warns of an address without TLS.
    pub(super) fn warn_of_plain_text(&self) {
        if let Some(warning) = self.target.gateway.warning() {
            tracing::warn!("{warning}");
        }
    }

    fn log(&self, event: &RegistrationEvent) {
        let gateway = &self.target.gateway;
        match event {
            RegistrationEvent::Connecting => tracing::info!(%gateway, "connecting"),
            RegistrationEvent::WaitsForApproval(id) => {
                tracing::info!("waits for approval; on the gateway: handfast approve {id}");
            }
            RegistrationEvent::TokenKept if self.source.is_some() => {
                tracing::debug!("another token is used");
            }
            RegistrationEvent::TokenKept => tracing::info!("the token is kept"),
            RegistrationEvent::Linked { node_id, room } => {
                tracing::info!(%node_id, %room, "linked");
            }
            RegistrationEvent::Refused(Refusal::Muted) => {
                tracing::warn!("muted: the operator has to unmute this node; trying on meanwhile");
            }
            RegistrationEvent::Refused(Refusal::NotApproved) => {
                tracing::warn!(
                    "not approved yet: the operator has to approve this node; trying on meanwhile"
                );
            }
            RegistrationEvent::Refused(_) => tracing::error!(
                "refused: the gateway does not know this node with this token. Check that the token is the one last issued for \
                 this node id; if the node was unpaired, pair it again and replace the token. Trying on \
                 meanwhile, about once a minute"
            ),
            RegistrationEvent::Complaint(words) => {
                tracing::warn!("the gateway says that a message of this node was wrong: {words}");
            }
            RegistrationEvent::Lost(why) => tracing::warn!("{why}"),
            RegistrationEvent::RetryIn(wait) => {
                tracing::info!("trying again in {:.1} s", wait.as_secs_f32());
            }
            RegistrationEvent::NothingAsked => {
                tracing::warn!("a token came, but this node has not asked to be paired yet");
            }
            RegistrationEvent::Forgotten => tracing::info!("everything is forgotten"),
        }
    }
}

/// Returns the node's standing after an event; `None` if the event does not change it.
const fn standing_after(event: &RegistrationEvent) -> Option<NodeStanding> {
    match event {
        RegistrationEvent::Connecting => Some(NodeStanding::Connecting),
        RegistrationEvent::WaitsForApproval(_)
        | RegistrationEvent::Refused(Refusal::NotApproved) => Some(NodeStanding::Waiting),
        RegistrationEvent::TokenKept => Some(NodeStanding::Paired),
        RegistrationEvent::Linked { .. } => Some(NodeStanding::Linked),
        RegistrationEvent::Refused(Refusal::Muted) => Some(NodeStanding::Muted),
        RegistrationEvent::Refused(
            Refusal::InvalidCredentials | Refusal::Revoked | Refusal::NotPaired,
        ) => Some(NodeStanding::Refused),
        // A gateway may refuse for now, or because of its own faults.
        RegistrationEvent::Refused(
            Refusal::AlreadyPaired
            | Refusal::NoToken
            | Refusal::Expired
            | Refusal::Rejected { .. }
            | Refusal::Barred
            | Refusal::TooManyPending
            | Refusal::RateLimited
            | Refusal::StoreFailed
            | Refusal::ClockInDoubt
            | Refusal::AtCapacity,
        )
        | RegistrationEvent::Complaint(_)
        | RegistrationEvent::Lost(_)
        | RegistrationEvent::RetryIn(_)
        | RegistrationEvent::NothingAsked
        | RegistrationEvent::Forgotten => None,
    }
}
