//! What whoever embeds the gateway may plug in.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::crypto::x25519;
use handfast_core::error::Refusal;
use handfast_core::flow::native::gateway::Peer;
use handfast_core::grant::scope::Action;
use handfast_core::id::NodeId;
use handfast_core::registry::grants::GrantId;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::registry::sessions::{Maker, Session, SessionId};
use handfast_core::text::Name;
use handfast_core::time::UnixTime;

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

/// A PIN, for a display that only trusted people see. It shows itself by [`Pin::expose`] alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Arc<Code>);

impl Pin {
    pub(crate) fn new(code: Code) -> Self {
        Self(Arc::new(code))
    }

    /// The characters.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Only letters and digits of ASCII are minted; the fallback is never taken.
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(redacted)")
    }
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

/// What may happen. Tokens are in none of it; a PIN is in one, hidden from logs.
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
        address: IpAddr,
    },
    /// A request was turned away without being entered.
    AskRefused {
        /// From where.
        address: IpAddr,
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
    /// More requests and wrong codes come from an address than the operator's displays are told of.
    /// What waits is listed all the same.
    LeftOut {
        /// From where.
        address: IpAddr,
    },
    /// A node asked to be paired with a PIN. Show it where only trusted people look.
    PairingRequest {
        /// What it calls itself.
        name: String,
        /// Where it says it stands.
        room: String,
        /// Of its static key.
        fingerprint: Fingerprint,
        /// What is to be typed at the node.
        pin: Pin,
        /// For so many seconds.
        expires_in: u32,
        /// From where it asks; 0.0.0.0 for a serial line.
        address: IpAddr,
        /// Who opened pairing by PIN.
        opened_by: Maker,
    },
    /// A PIN or a code was guessed wrong.
    CodeWrong {
        /// Whether it was a PIN.
        pin: bool,
        /// How often it may be tried yet.
        left: u8,
        /// From where.
        address: IpAddr,
    },
    /// A PIN or a code was guessed wrong too often: it is dead.
    CodeLocked,
    /// Too many PINs were guessed wrong from one source: for it they are locked until pairing is
    /// opened anew. Others go on.
    PinsLockedFor {
        /// From where the last one was guessed.
        address: IpAddr,
    },
    /// Pairing by PIN is open.
    WindowOpened {
        /// It closes by itself then; never, if there is no time.
        closes: Option<UnixTime>,
    },
    /// A setup code was spent, and a companion has a session.
    SessionOpened {
        /// Which.
        session: SessionId,
        /// As what it was let in.
        profile: String,
    },
    /// The operator, or the companion, ended a session.
    SessionRevoked {
        /// Which.
        session: SessionId,
    },
    /// A companion with a session has opened a connection.
    CompanionLinked {
        /// Which.
        session: SessionId,
    },
    /// That connection ended.
    CompanionUnlinked {
        /// Which.
        session: SessionId,
    },
    /// A stranger wrote over a channel, and waits to be let in.
    SenderAsked {
        /// Over which channel.
        channel: String,
        /// To which account there.
        account: String,
        /// Who.
        sender: String,
    },
    /// The operator let a sender in.
    SenderAllowed {
        /// Over which channel.
        channel: String,
        /// To which account there.
        account: String,
        /// Who.
        sender: String,
    },
    /// The operator decided something else about a sender.
    SenderDecided {
        /// Over which channel.
        channel: String,
        /// To which account there; none: to all.
        account: Option<String>,
        /// Who.
        sender: String,
        /// The word for it, as on the command line.
        decision: &'static str,
    },
    /// The operator let many senders in at once.
    SendersSeeded {
        /// Over which channel.
        channel: String,
        /// To which account there.
        account: String,
        /// How many of them are new.
        added: u64,
    },
    /// Pairing by PIN is closed.
    WindowClosed,
    /// Too many wrong PINs have closed pairing by PIN.
    WindowLocked,
    /// A grant was made for a node.
    GrantOffered {
        /// For which.
        node_id: NodeId,
        /// Which.
        grant: GrantId,
    },
    /// A node has confirmed a grant, or used it.
    GrantActivated {
        /// Which node.
        node_id: NodeId,
        /// Which grant.
        grant: GrantId,
    },
    /// Grants of a node were ended.
    GrantRevoked {
        /// Of which.
        node_id: NodeId,
        /// Which one; all of them, if none.
        grant: Option<GrantId>,
    },
    /// A holder of a chain linked.
    DelegateLinked {
        /// Of its static key.
        fingerprint: Fingerprint,
        /// Of the static key of the node to which the gateway gave the chain.
        subject: Fingerprint,
    },
    /// The link of a holder of a chain ended.
    DelegateUnlinked {
        /// Of its static key.
        fingerprint: Fingerprint,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_in_an_event_is_not_in_its_debug_text() {
        let pin = Pin::new(Code::parse("847291").unwrap());
        assert_eq!(pin.expose(), "847291");
        assert!(!format!("{pin:?}").contains("847291"));
    }
}
