//! Events of a node of the native wire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::NodeId;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{NativeNodeEvent, Trust};
use handfast_core::wire::native::pair::PairRefusal;
use handfast_core::wire::path::Action;
use handfast_core::wire::token::Token;
use tokio::sync::broadcast;

use crate::event::Lost;

/// An event of a node of the native wire.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NativeEvent {
    /// The node tries to reach the gateway.
    Connecting,
    /// A gateway answers; its identity and the trust in it so far.
    Gateway {
        /// The gateway's fingerprint, for comparison.
        fingerprint: Fingerprint,
        /// The basis of the trust.
        trust: Trust,
    },
    /// Another gateway than the expected one answers; the node told it nothing.
    OtherGateway(Fingerprint),
    /// The gateway now shows a PIN: [`NativeOwner::enter_code`](super::NativeOwner::enter_code).
    TypeThePin {
        /// Time until the PIN expires.
        expires_in: Duration,
        /// Number of attempts.
        attempts: u8,
    },
    /// The PIN or code was wrong; another may be entered.
    WrongCode {
        /// Number of attempts that are left.
        attempts_left: u8,
    },
    /// The gateway has proved that it knows the code, so it is the one that showed it.
    CodeConfirmed,
    /// The answering gateway did not prove that it knows the code: a foreign gateway, or a wrong
    /// code.
    GatewayUnproven,
    /// The operator can now approve the request by this node's fingerprint.
    WaitsForApproval {
        /// Time until the request expires.
        expires_in: Duration,
    },
    /// The gateway refused the pairing, over the sealed channel.
    PairingRefused(PairingRefusal),
    /// The node is paired, and its grant is durable.
    Granted {
        /// The node's id.
        node_id: NodeId,
        /// The node's room in the gateway's registry.
        room: String,
        /// A message from the gateway to the owner.
        message: Option<String>,
    },
    /// The link is open.
    Linked(NodeId),
    /// The gateway does not know this node any more, or has revoked it; it must be paired again.
    PairAgain,
    /// The grant has expired; the node asks for a new one.
    Expired,
    /// A peer refused before the handshake. The refusal is unauthenticated, so it proves nothing.
    TurnedAway,
    /// A peer said that it does not speak this version. The message is unauthenticated, so it
    /// proves nothing.
    OtherVersion,
    /// A message was not one that the gateway would send.
    Broken,
    /// Another connection with this node's key took the place of its link.
    Replaced,
    /// The operator muted the node.
    Muted,
    /// The operator unmuted the node.
    Unmuted,
    /// The operator revoked the node (`unpaired`).
    Unpaired,
    /// No scope of the node's token allows this action.
    NotAllowed {
        /// The refused action.
        action: Action,
        /// An address, or the pattern of a subscription.
        pattern: String,
    },
    /// The token was renewed, and the new one is durable.
    Renewed,
    /// The gateway did not renew the token.
    NotRenewed,
    /// The gateway's name for people.
    GatewayName(String),
    /// The certificate was renewed, and the new one is durable.
    CertificateRenewed,
    /// The gateway did not renew the certificate.
    CertificateNotRenewed,
    /// A bearer token for flows without a sealed channel, valid for minutes.
    Bearer(Arc<Token>),
    /// A message of the application.
    App(AppMessage),
    /// The connection is lost, or was never opened.
    Lost(Lost),
    /// The next attempt follows after this wait.
    RetryIn(Duration),
    /// The pairing is erased.
    Forgotten,
    /// The node is idle until the owner sends a command.
    Resting,
}

/// A message of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppMessage {
    /// The action at the address.
    pub action: Action,
    /// Address of the message, like `/lights/1`.
    pub address: String,
    /// The payload, as opaque bytes.
    pub bytes: Vec<u8>,
}

impl NativeEvent {
    pub(super) fn of(news: NativeNodeEvent<'_>) -> Self {
        let seconds = |secs: u32| Duration::from_secs(u64::from(secs));
        match news {
            NativeNodeEvent::Gateway { fingerprint, trust } => Self::Gateway { fingerprint, trust },
            NativeNodeEvent::OtherGateway(fingerprint) => Self::OtherGateway(fingerprint),
            // This node's buffer holds any request, and a setup code comes with the wish to show it.
            NativeNodeEvent::NotAsked(_) => Self::Resting,
            NativeNodeEvent::TypeThePin { expires_in, attempts } => {
                Self::TypeThePin { expires_in: seconds(expires_in), attempts }
            }
            NativeNodeEvent::WrongCode { attempts_left } => Self::WrongCode { attempts_left },
            NativeNodeEvent::CodeConfirmed => Self::CodeConfirmed,
            NativeNodeEvent::GatewayUnproven => Self::GatewayUnproven,
            NativeNodeEvent::WaitsForApproval { expires_in } => {
                Self::WaitsForApproval { expires_in: seconds(expires_in) }
            }
            NativeNodeEvent::PairingRefused(refusal) => Self::PairingRefused(refusal.into()),
            NativeNodeEvent::Granted { node_id, room, message } => Self::Granted {
                node_id,
                room: room.as_str().to_owned(),
                message: message.map(|words| words.as_str().to_owned()),
            },
            NativeNodeEvent::Linked(node_id) => Self::Linked(node_id),
            NativeNodeEvent::PairAgain => Self::PairAgain,
            NativeNodeEvent::Expired => Self::Expired,
            NativeNodeEvent::TurnedAway => Self::TurnedAway,
            NativeNodeEvent::OtherVersion => Self::OtherVersion,
            NativeNodeEvent::Broken => Self::Broken,
            NativeNodeEvent::Muted => Self::Muted,
            NativeNodeEvent::Replaced => Self::Replaced,
            NativeNodeEvent::Unmuted => Self::Unmuted,
            NativeNodeEvent::Unpaired => Self::Unpaired,
            NativeNodeEvent::NotAllowed { action, pattern } => {
                Self::NotAllowed { action, pattern: pattern.as_str().to_owned() }
            }
            NativeNodeEvent::GatewayName(name) => Self::GatewayName(name.as_str().to_owned()),
            NativeNodeEvent::CertificateRenewed => Self::CertificateRenewed,
            NativeNodeEvent::CertificateNotRenewed => Self::CertificateNotRenewed,
            NativeNodeEvent::Renewed => Self::Renewed,
            NativeNodeEvent::NotRenewed => Self::NotRenewed,
            NativeNodeEvent::RetryIn(wait) => {
                Self::RetryIn(Duration::from_millis(wait.as_millis()))
            }
            NativeNodeEvent::Forgotten => Self::Forgotten,
        }
    }
}

/// The reason for which a gateway refuses to pair a node. Its `Display` text says what to do about
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairingRefusal {
    /// The PIN or code was wrong, and no other may be tried on this connection.
    WrongCode,
    /// The PIN, the code or the request expired, or the operator withdrew it.
    Expired,
    /// Too many wrong codes were entered.
    Locked,
    /// Pairing is not open.
    Closed,
    /// The operator, or a handler that decides for them, denied the request.
    Denied {
        /// The reason in the operator's words.
        reason: Option<String>,
    },
    /// This node's key was revoked.
    Revoked,
    /// The gateway has no capacity.
    Busy {
        /// Time until a new attempt makes sense.
        retry_in: Duration,
    },
    /// The setup code was spent by another node.
    Spent,
    /// The gateway cannot store anything at the moment.
    CannotStore {
        /// Time until a new attempt makes sense.
        retry_in: Duration,
    },
    /// The gateway received a message out of place.
    Protocol,
    /// The request asks for a certificate without a signing key.
    Unsigned,
}

impl From<PairRefusal<'_>> for PairingRefusal {
    fn from(refusal: PairRefusal<'_>) -> Self {
        match refusal {
            PairRefusal::WrongCode { .. } => Self::WrongCode,
            PairRefusal::Expired => Self::Expired,
            PairRefusal::Locked => Self::Locked,
            PairRefusal::Closed => Self::Closed,
            PairRefusal::Denied { reason } => {
                Self::Denied { reason: reason.map(|words| words.as_str().to_owned()) }
            }
            PairRefusal::Revoked => Self::Revoked,
            PairRefusal::Busy { retry_in } => {
                Self::Busy { retry_in: Duration::from_secs(u64::from(retry_in)) }
            }
            PairRefusal::Spent => Self::Spent,
            PairRefusal::CannotStore { retry_in } => {
                Self::CannotStore { retry_in: Duration::from_secs(u64::from(retry_in)) }
            }
            PairRefusal::Protocol => Self::Protocol,
            PairRefusal::Unsigned => Self::Unsigned,
        }
    }
}

impl fmt::Display for PairingRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongCode => f.write_str("the PIN or code was wrong; ask for a new one and pair again"),
            Self::Expired => f.write_str("the PIN, the code or the request ran out or was withdrawn; pair again, and with a code have a new one made"),
            Self::Locked => f.write_str(
                "too many wrong attempts; a code is dead then: have a new one made. If pairing as a whole is locked, the operator opens it \
                 again: handfast pairing open",
            ),
            Self::Closed => f.write_str("pairing is closed at the gateway; the operator opens it: handfast pairing open"),
            Self::Denied { reason: None } => f.write_str("the operator turned the request down; talk to them before asking again"),
            Self::Denied { reason: Some(reason) } => {
                write!(f, "the request was turned down: {reason}. Talk to the operator before asking again")
            }
            Self::Revoked => f.write_str(
                "the key of this node was revoked at the gateway, which is final; only a node with \
                 new keys can pair",
            ),
            Self::Busy { retry_in } => write!(f, "the gateway has too much to do; try again in {} s", retry_in.as_secs()),
            Self::CannotStore { retry_in } => write!(
                f,
                "the gateway cannot store anything at the moment, for instance because its disk is full; tell its operator, and try again in {} s",
                retry_in.as_secs()
            ),
            Self::Spent => f.write_str(
                "this setup code was used already, and not by this node; have a new one made, and find out who used it: handfast companions \
                 list, handfast nodes list",
            ),
            Self::Unsigned => f.write_str(
                "the request asks for a certificate, and this node has no signing key; pair without one",
            ),
            Self::Protocol => f.write_str(
                "the gateway found a message of this node out of place; check that both are of the same version (handfast-node --version)",
            ),
        }
    }
}

/// The events of a node since this receiver was created.
#[derive(Debug)]
pub struct NativeEvents(pub(super) broadcast::Receiver<NativeEvent>);

impl NativeEvents {
    /// Waits for the next event; `None` once the node has ended. A receiver that falls hundreds of
    /// events behind loses the oldest.
    pub async fn next(&mut self) -> Option<NativeEvent> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                // A receiver that fell behind goes on with what is left.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
