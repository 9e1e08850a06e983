//! What whoever embeds the gateway may plug in.

use async_trait::async_trait;
use handfast_core::error::Refusal;
use handfast_core::id::NodeId;
use handfast_core::registry::lifecycle::Notice;

/// Takes the frames of paired nodes that pairing has no business with: audio, commands, whatever the application speaks. A slow one holds up
/// only the connection whose frame it has. Answers go through [`crate::Gateway::send_text`] and [`crate::Gateway::send_binary`].
#[async_trait]
pub trait Application: Send + Sync + 'static {
    /// A text frame: a JSON object whose type is not one of pairing's.
    async fn text(&self, node_id: NodeId, frame: &str);

    /// A binary frame.
    async fn binary(&self, node_id: NodeId, frame: &[u8]);
}

/// An application that takes no frames: they are ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplication;

#[async_trait]
impl Application for NoApplication {
    async fn text(&self, _: NodeId, _: &str) {}

    async fn binary(&self, _: NodeId, _: &[u8]) {}
}

/// Hears what happens. Called in passing, so it must not block: queue and return.
pub trait Observer: Send + Sync + 'static {
    /// Something happened; it is durable where it is a decision.
    fn event(&self, event: &Event);
}

/// What may happen. Tokens are in none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node asked to be paired, for the first time or again.
    Asked {
        /// Under which id it waits.
        node_id: NodeId,
        /// What it calls itself.
        name: String,
        /// Where it says it stands.
        room: String,
        /// From where.
        address: std::net::IpAddr,
    },
    /// A request was turned away without being entered.
    AskRefused {
        /// From where.
        address: std::net::IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// The operator approved a node, or gave it a new token.
    Paired(NodeId),
    /// The operator decided something else.
    Decided {
        /// About which node.
        node_id: NodeId,
        /// The word for it, as on the command line.
        decision: &'static str,
    },
    /// A node's link opened.
    Linked(NodeId),
    /// A node's link ended.
    Unlinked(NodeId),
    /// A live link was told.
    Pushed(NodeId, Notice),
}

/// Writes events as log lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {
    fn event(&self, event: &Event) {
        match event {
            Event::Asked { node_id, name, room, address } => {
                tracing::info!(%node_id, ?name, ?room, %address, "a node asks to be paired");
            }
            Event::AskRefused { address, refusal } => tracing::warn!(%address, ?refusal, "a pairing request was turned away"),
            Event::Paired(node_id) => tracing::info!(%node_id, "approved"),
            Event::Decided { node_id, decision } => tracing::info!(%node_id, decision, "decided"),
            Event::Linked(node_id) => tracing::info!(%node_id, "linked"),
            Event::Unlinked(node_id) => tracing::info!(%node_id, "unlinked"),
            Event::Pushed(node_id, notice) => tracing::info!(%node_id, ?notice, "pushed"),
        }
    }
}
