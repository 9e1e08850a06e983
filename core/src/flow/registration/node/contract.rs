//! The memory, inputs and effects of the machine.

use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::id::NodeId;
use crate::text::Label;
use crate::time::Span;
use crate::wire::close::Close;
use crate::wire::registration::{Heartbeat, PairRequest};
use crate::wire::token::Token;

/// The memory of a node across power cuts.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RegistrationMemory {
    /// The node has not asked yet.
    Blank,
    /// The node has asked, and waits for its token.
    Asked {
        /// The id that the gateway assigned.
        node_id: NodeId,
    },
    /// The node can authenticate.
    Paired {
        /// The id that the gateway assigned.
        node_id: NodeId,
        /// The token that proves the id.
        #[serde(with = "crate::secret::exposed")]
        token: Token,
    },
}

impl RegistrationMemory {
    /// Returns the node's id, once it has one.
    #[must_use]
    pub const fn node_id(&self) -> Option<NodeId> {
        match self {
            Self::Blank => None,
            Self::Asked { node_id } | Self::Paired { node_id, .. } => Some(*node_id),
        }
    }
}

/// The times of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timing {
    /// Time in which the gateway must answer.
    pub answer_within: Span,
    /// Interval between heartbeats.
    pub heartbeat_every: Span,
}

impl Timing {
    /// The default: ten seconds for an answer, a heartbeat a minute.
    pub const DEFAULT: Self =
        Self { answer_within: Span::from_secs(10), heartbeat_every: Span::from_secs(60) };
}

/// An event for a node.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// The deadline has come; carries the values for a heartbeat.
    Tick(Heartbeat<'b>),
    /// The answer to [`Effect::Connect`]: the connection is open. It carries the node's
    /// self-description.
    Connected(PairRequest<'b>),
    /// A text frame arrived.
    Text(&'b str),
    /// The connection is closed, or could not be opened. It carries entropy for the wait before the
    /// next attempt.
    Disconnected(Entropy<2>),
    /// The answer to [`Effect::Keep`], with the memory that is durable now.
    Kept(RegistrationMemory),
    /// The owner typed in the token that the operator saw.
    TokenEntered(Token),
    /// The owner wants to ask again; the gateway then assigns the id.
    AskAgain,
    /// The owner wants the node to forget everything.
    Forget,
}

/// A request of a node to the adapter.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Open a connection to the gateway. The answer is [`Input::Connected`] or
    /// [`Input::Disconnected`]. The adapter bounds the time, because only it knows the transport.
    Connect,
    /// Send a text frame.
    Send(&'b str),
    /// Close the connection.
    Close(Close),
    /// Make this memory durable, then answer with [`Input::Kept`]. The node does nothing else until
    /// then.
    Keep(RegistrationMemory),
    /// Report an event to the owner.
    Tell(RegistrationNodeEvent<'b>),
}

/// An event for the owner of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RegistrationNodeEvent<'b> {
    /// The operator can approve the request under this id now.
    WaitsForApproval(NodeId),
    /// The token is stored.
    TokenKept,
    /// The link is open.
    Linked {
        /// The id of the node itself.
        node_id: NodeId,
        /// The node's room in the registry.
        room: Label<'b>,
    },
    /// The gateway refuses the node.
    Refused(Refusal),
    /// The gateway reported an error with this text, which is untrusted.
    Complaint(&'b str),
    /// The next attempt follows after this wait.
    RetryIn(Span),
    /// A token was entered before the node had an id.
    NothingAsked,
    /// The node has forgotten everything.
    Forgotten,
}
