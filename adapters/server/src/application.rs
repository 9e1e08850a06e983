//! The application behind a gateway: it takes what paired nodes and companions send.

use async_trait::async_trait;
use handfast_core::crypto::x25519;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::Action;
use handfast_core::registry::sessions::{Session, SessionId};
use handfast_core::{Name, NodeId};
use std::net::IpAddr;

use crate::inbound::Admitted;

/// The embedder's receiver of frames that do not concern pairing: audio, commands, and other
/// messages of the application. Every method ignores what it is given unless it is implemented.
///
/// A slow call holds up only the connection of its frame. Answers go
/// through [`crate::Gateway::send_text`] and [`crate::Gateway::send_binary`], and over the native
/// wire through [`crate::Gateway::send_app`] and [`crate::Gateway::publish`].
#[async_trait]
pub trait Application: Send + Sync + 'static {
    /// Handles a text frame: a JSON object whose type is not one of pairing's.
    async fn text(&self, node_id: NodeId, frame: &str) {
        let _ = (node_id, frame);
    }

    /// Handles a binary frame.
    async fn binary(&self, node_id: NodeId, frame: &[u8]) {
        let _ = (node_id, frame);
    }

    /// Handles a native peer's action at an address, which the peer's scopes allow.
    async fn app(&self, peer: &PeerInfo, action: Action, address: &str, bytes: &[u8]) {
        let _ = (peer, action, address, bytes);
    }

    /// Handles any text frame of a companion on `/pair`. Answers go through
    /// [`crate::Gateway::send_companion`].
    async fn companion(&self, companion: &CompanionInfo, frame: &str) {
        let _ = (companion, frame);
    }

    /// Handles a message from an extension's channel, whose sender the inbound gate has admitted.
    async fn message(&self, from: Admitted, text: &str) {
        let _ = (from, text);
    }

    /// Handles an item that an extension returned to a poll and that is no message.
    async fn polled(&self, extension: &str, item: &serde_json::Value) {
        let _ = (extension, item);
    }
}

/// The session and the device of a linked companion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompanionInfo {
    /// Its session; no secret.
    pub session: SessionId,
    /// The profile that defines the session's rights.
    pub profile: Name,
    /// The device that the setup code was made for, if the operator named it.
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

/// The identity of a linked peer of the native wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The node or the delegate.
    pub peer: Peer,
    /// The static key that the peer has proven to hold.
    pub key: x25519::PublicKey,
    /// The static key of the node that the gateway granted the rights to: the peer's own, or that
    /// of the node that delegated to it.
    pub subject: x25519::PublicKey,
    /// From where it linked; 0.0.0.0 for a serial line.
    pub address: IpAddr,
}

/// An application that ignores all frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApplication;

impl Application for NoApplication {}
