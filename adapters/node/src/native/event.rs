//! What a node of the native wire tells its owner.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::native::node::{News, Trust};
use handfast_core::id::NodeId;
use handfast_core::wire::native::pair::Refusal;
use handfast_core::wire::path::Action;
use handfast_core::wire::token::Token;
use tokio::sync::broadcast;

use crate::event::Lost;

/// Something that happened to a node of the native wire.
#[derive(Clone, Debug)]
pub enum NativeEvent {
    /// It tries to reach the gateway.
    Connecting,
    /// This is the gateway that answers, and how it is trusted so far.
    Gateway {
        /// Its fingerprint, to compare.
        fingerprint: Fingerprint,
        /// How it is trusted.
        trust: Trust,
    },
    /// It is not the gateway that was expected; nothing was told to it.
    OtherGateway(Fingerprint),
    /// The gateway shows a PIN now: [`NativeOwner::enter_code`](super::NativeOwner::enter_code).
    TypeThePin {
        /// For how long.
        expires_in: Duration,
        /// How often it may be tried.
        attempts: u8,
    },
    /// That was not the PIN or the code; another may be entered.
    WrongCode {
        /// How often.
        attempts_left: u8,
    },
    /// The gateway knows the code, too: it is the one that showed it.
    CodeConfirmed,
    /// Whoever answers did not know the code: no gateway of ours, or a wrong code.
    GatewayUnproven,
    /// The operator can approve the request now, by this node's fingerprint.
    WaitsForApproval {
        /// For how long.
        expires_in: Duration,
    },
    /// The gateway said no, sealed.
    PairingRefused(PairingRefusal),
    /// The node is paired, and what it needs for that is durable.
    Granted {
        /// Its id.
        node_id: NodeId,
        /// Where the registry says it stands.
        room: String,
        /// What the gateway says to it.
        message: Option<String>,
    },
    /// The link is open.
    Linked(NodeId),
    /// The gateway does not know this node any more, or has revoked it: pair again.
    PairAgain,
    /// Its grant ran out; it asks to have it made anew.
    Expired,
    /// Somebody said in clear that nothing goes now; it proves nothing.
    TurnedAway,
    /// Somebody said in clear that this version is not spoken; it proves nothing.
    OtherVersion,
    /// What came was not what the gateway would send.
    Broken,
    /// The operator muted the node.
    Muted,
    /// The operator lets it speak again.
    Unmuted,
    /// The operator unpaired it.
    Unpaired,
    /// No scope of its token allows this.
    NotAllowed {
        /// What was to be done.
        action: Action,
        /// Where: an address, or the pattern of a subscription.
        pattern: String,
    },
    /// Its token was renewed, and the new one is durable.
    Renewed,
    /// It was not.
    NotRenewed,
    /// A bearer token for doors without a sealed channel, valid for minutes.
    Bearer(Arc<Token>),
    /// Something of the application's.
    App(AppMessage),
    /// The connection is gone, or never came about.
    Lost(Lost),
    /// The next attempt comes after this wait.
    RetryIn(Duration),
    /// The pairing is forgotten.
    Forgotten,
    /// Nothing more happens until the owner wishes something.
    Resting,
}

/// Something that an application sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppMessage {
    /// What is done.
    pub action: Action,
    /// Where.
    pub address: String,
    /// With what.
    pub bytes: Vec<u8>,
}

impl NativeEvent {
    pub(super) fn of(news: News<'_>) -> Self {
        let seconds = |secs: u32| Duration::from_secs(u64::from(secs));
        match news {
            News::Gateway { fingerprint, trust } => Self::Gateway { fingerprint, trust },
            News::OtherGateway(fingerprint) => Self::OtherGateway(fingerprint),
            News::TypeThePin { expires_in, attempts } => {
                Self::TypeThePin { expires_in: seconds(expires_in), attempts }
            }
            News::WrongCode { attempts_left } => Self::WrongCode { attempts_left },
            News::CodeConfirmed => Self::CodeConfirmed,
            News::GatewayUnproven => Self::GatewayUnproven,
            News::WaitsForApproval { expires_in } => {
                Self::WaitsForApproval { expires_in: seconds(expires_in) }
            }
            News::PairingRefused(refusal) => Self::PairingRefused(refusal.into()),
            News::Granted { node_id, room, message } => Self::Granted {
                node_id,
                room: room.as_str().to_owned(),
                message: message.map(|words| words.as_str().to_owned()),
            },
            News::Linked(node_id) => Self::Linked(node_id),
            News::PairAgain => Self::PairAgain,
            News::Expired => Self::Expired,
            News::TurnedAway => Self::TurnedAway,
            News::OtherVersion => Self::OtherVersion,
            News::Broken => Self::Broken,
            News::Muted => Self::Muted,
            News::Unmuted => Self::Unmuted,
            News::Unpaired => Self::Unpaired,
            News::NotAllowed { action, pattern } => {
                Self::NotAllowed { action, pattern: pattern.as_str().to_owned() }
            }
            News::Renewed => Self::Renewed,
            News::NotRenewed => Self::NotRenewed,
            News::RetryIn(wait) => Self::RetryIn(Duration::from_millis(wait.as_millis())),
            News::Forgotten => Self::Forgotten,
        }
    }
}

/// Why a gateway does not pair a node. Shown, it says what mends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairingRefusal {
    /// The PIN or code was wrong, and no other may be tried on this connection.
    WrongCode,
    /// The PIN, the code or the request ran out.
    Expired,
    /// Too many wrong ones.
    Locked,
    /// Pairing is not open.
    Closed,
    /// The operator, or who decides for them, said no.
    Denied {
        /// In their words.
        reason: Option<String>,
    },
    /// This node's key was revoked.
    Revoked,
    /// The gateway has no room.
    Busy {
        /// When to come again.
        retry_in: Duration,
    },
    /// The setup code was spent by somebody else.
    Spent,
    /// The gateway cannot store anything at the moment.
    CannotStore {
        /// When to come again.
        retry_in: Duration,
    },
    /// The gateway found a message out of place.
    Protocol,
}

impl From<Refusal<'_>> for PairingRefusal {
    fn from(refusal: Refusal<'_>) -> Self {
        match refusal {
            Refusal::WrongCode { .. } => Self::WrongCode,
            Refusal::Expired => Self::Expired,
            Refusal::Locked => Self::Locked,
            Refusal::Closed => Self::Closed,
            Refusal::Denied { reason } => {
                Self::Denied { reason: reason.map(|words| words.as_str().to_owned()) }
            }
            Refusal::Revoked => Self::Revoked,
            Refusal::Busy { retry_in } => {
                Self::Busy { retry_in: Duration::from_secs(u64::from(retry_in)) }
            }
            Refusal::Spent => Self::Spent,
            Refusal::CannotStore { retry_in } => {
                Self::CannotStore { retry_in: Duration::from_secs(u64::from(retry_in)) }
            }
            Refusal::Protocol => Self::Protocol,
        }
    }
}

impl fmt::Display for PairingRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongCode => f.write_str("the PIN or code was wrong; ask for a new one and pair again"),
            Self::Expired => f.write_str("the PIN, the code or the request ran out; pair again, and with a code have a new one made"),
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
                "the key of this node was revoked at the gateway, which is final. To pair with a new key:\n  handfast-node reset --yes\n\
                 and pair again",
            ),
            Self::Busy { retry_in } => write!(f, "the gateway has too much to do; try again in {} s", retry_in.as_secs()),
            Self::CannotStore { retry_in } => write!(
                f,
                "the gateway cannot store anything at the moment, for instance because its disk is full; tell its operator, and try again in {} s",
                retry_in.as_secs()
            ),
            Self::Spent => f.write_str(
                "this setup code was used already, and not by this node; have a new one made, and find out who used it: handfast setup list, \
                 handfast paired list",
            ),
            Self::Protocol => f.write_str(
                "the gateway found a message of this node out of place; check that both are of the same version (handfast-node --version)",
            ),
        }
    }
}

/// The events of a node, from the moment this was taken.
#[derive(Debug)]
pub struct NativeEvents(pub(super) broadcast::Receiver<NativeEvent>);

impl NativeEvents {
    /// The next one; `None` once the node has ended. Whoever falls hundreds of events behind loses
    /// the oldest.
    pub async fn next(&mut self) -> Option<NativeEvent> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
