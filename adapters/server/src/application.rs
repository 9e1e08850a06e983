//! The application behind a gateway: it takes what paired nodes and companions send.

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::Action;
use handfast_core::id::NodeId;
use handfast_core::registry::sessions::{Session, SessionId};
use handfast_core::text::Name;
use std::net::IpAddr;

use crate::inbound::Admitted;

/// Takes what paired nodes send that pairing has no business with: audio, commands, whatever the
/// application speaks. A slow one holds up only the connection whose frame it has. Answers go
/// through [`crate::Gateway::send_text`] and [`crate::Gateway::send_binary`], and over the native
/// wire through [`crate::Gateway::send_app`] and [`crate::Gateway::publish`].
#[async_trait]
pub trait Application: Send + Sync + 'static {
    /// A text frame: a JSON object whose type is not one of pairing's.
    async fn text(&self, node_id: NodeId, frame: &str);

    /// A binary frame.
    async fn binary(&self, node_id: NodeId, frame: &[u8]);

    /// Something that a peer of the native wire does at an address, which its scopes allow.
    async fn app(&self, peer: &PeerInfo, action: Action, address: &str, bytes: &[u8]) {
        let _ = (peer, action, address, bytes);
    }

    /// A text frame of a companion on `/pair`, whatever it says. Answers go through
    /// [`crate::Gateway::send_companion`].
    async fn companion(&self, companion: &CompanionInfo, frame: &str) {
        let _ = (companion, frame);
    }

    /// A message that came over an extension's channel, from a sender that the gate has let in.
    async fn message(&self, from: Admitted, text: &str) {
        let _ = (from, text);
    }

    /// Something that an extension brought when it was polled, and that is no message.
    async fn polled(&self, extension: &str, item: &serde_json::Value) {
        let _ = (extension, item);
    }
}

/// Who is at the other end of a companion's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanionInfo {
    /// Its session; no secret.
    pub session: SessionId,
    /// As what it was let in.
    pub profile: Name,
    /// For which device its setup code was made.
    pub device_label: Option<Name>,
}

impl CompanionInfo {
    pub(crate) fn of(session: &Session) -> Self {
        Self {
            session: session.id,
            profile: session.profile.clone(),
            device_label: session.device_label.clone(),
        }
    }
}

/// Who is at the other end of a link of the native wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The node, or the delegate.
    pub peer: Peer,
    /// The static key that it has proven to hold.
    pub key: x25519::PublicKey,
    /// The static key of the node to which the gateway gave what the peer may do: its own, or that
    /// of its delegator.
    pub subject: x25519::PublicKey,
    /// From where it linked; 0.0.0.0 for a serial line.
    pub address: IpAddr,
}

/// An application that takes no frames: they are ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplication;

#[async_trait]
impl Application for NoApplication {
    async fn text(&self, _: NodeId, _: &str) {}

    async fn binary(&self, _: NodeId, _: &[u8]) {}
}
