//! The inputs and effects of the machine.

use crate::error::Refusal;
use crate::grant::token::{HashJob, Hashed, ProofKey, ProofTag};
use crate::id::NodeId;
use crate::link::gateway as link;
use crate::registry::delivery::DeliveryId;
use crate::registry::lifecycle::Notice;
use crate::registry::record::{Record, Standing};
use crate::wire::close::Close;
use crate::wire::registration::{Heartbeat, PairRequest};

/// An event on a connection.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// A text frame arrived.
    Text(&'b str),
    /// A binary frame arrived.
    Binary(&'b [u8]),
    /// The peer answered a ping.
    Pong,
    /// The answer to [`Effect::Admit`]: the id under which the request waits, durably.
    Admitted(Result<NodeId, Refusal>),
    /// The answer to [`RegistrationRequest::Load`].
    Loaded(Lookup<'b>),
    /// The answer to [`RegistrationRequest::Hash`]; an error if the source has failed too often or the pool is
    /// full.
    Hashed(Result<Hashed, Refusal>),
    /// The answer to [`RegistrationRequest::Confirm`]: the delivery is durably confirmed, now or before;
    /// [`Refusal::InvalidCredentials`] if it was undone.
    Confirmed(Result<(), Refusal>),
    /// The answer to [`RegistrationRequest::Attach`]: the record, read once pushes reach this connection.
    Attached(Result<Option<&'b Record>, Refusal>),
    /// The operator decided about the node, or the node authenticated on another connection.
    Push(Notice),
    /// The deadline has come.
    Tick,
    /// The gateway shuts down.
    Shutdown,
    /// Another connection needs the slot, or the gateway cannot serve at present.
    Evict,
    /// The connection is closed.
    Closed,
}

/// The facts about a node that authenticates.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lookup<'b> {
    /// The node's record, if there is one; an error if the store failed.
    pub record: Result<Option<&'b Record>, Refusal>,
    /// The tag of the token that the node last proved to this process.
    pub kept: Option<ProofTag>,
    /// The key of such tags.
    pub key: &'b ProofKey,
}

/// An action that a connection asks its adapter for.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Send a text frame.
    Send(&'b str),
    /// Send a ping.
    Ping,
    /// Close the connection.
    Close(Close),
    /// Find the request among the pending ones, or enter it.
    Admit(PairRequest<'b>),
    /// Record the node's values and that it was present.
    Observe(NodeId, Heartbeat<'b>),
    /// Pass a text frame to the application.
    ApplicationText(NodeId, &'b str),
    /// Pass a binary frame to the application.
    ApplicationBinary(NodeId, &'b [u8]),
    /// Carry out a request that needs no connection.
    Request(RegistrationRequest),
}

/// A request of a connection to the adapter. It owns all it carries, so it can wait.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RegistrationRequest {
    /// Look up the node's record.
    Load(NodeId),
    /// Hash the token in the pool, in the claim's queue. It is one attempt of the source, which
    /// counts as a failure unless it is refunded.
    Hash(HashJob, Claim),
    /// Count one failed attempt of this source, although nothing was hashed.
    CountFailure,
    /// Refund the attempt of the [hashing](Self::Hash), which was not a failure.
    Refund,
    /// Remember this tag, to recognise the token from now on.
    Remember(NodeId, ProofTag),
    /// The token of this delivery was used, so it has arrived; make that durable.
    Confirm(NodeId, DeliveryId),
    /// Register this as the node's live connection, send an older one [`Notice::Replaced`], and
    /// then read the record once more.
    Attach(NodeId),
    /// The node is linked: its connection leaves the places of those that have not authenticated,
    /// and the node counts as seen from now on.
    Linked(NodeId),
    /// Remove the connection from the table of live ones if it is still the node's entry; a newer
    /// connection stays.
    Detach(NodeId),
}

impl From<RegistrationRequest> for Effect<'_> {
    fn from(request: RegistrationRequest) -> Self {
        Self::Request(request)
    }
}

/// The queue in which a token waits to be hashed. The work is the same in both; under load, tokens
/// for known nodes do not wait behind all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Claim {
    /// The id belongs to an approved node with a token.
    Paired,
    /// The id is unknown or its node has no token.
    Other,
}

impl Claim {
    /// Returns the claim for a node with this record.
    #[must_use]
    pub const fn of(record: Option<&Record>) -> Self {
        match record {
            Some(Record {
                standing: Standing::Paired { .. } | Standing::Muted { .. },
                keys: None,
                ..
            }) => Self::Paired,
            Some(_) | None => Self::Other,
        }
    }
}

impl<'b> From<link::Effect<'b>> for Effect<'b> {
    fn from(effect: link::Effect<'b>) -> Self {
        match effect {
            link::Effect::Send(text) => Self::Send(text),
            link::Effect::Ping => Self::Ping,
            link::Effect::Close(reason) => Self::Close(reason),
            link::Effect::Observe(node_id, heartbeat) => Self::Observe(node_id, heartbeat),
            link::Effect::ApplicationText(node_id, frame) => Self::ApplicationText(node_id, frame),
            link::Effect::ApplicationBinary(node_id, frame) => {
                Self::ApplicationBinary(node_id, frame)
            }
            link::Effect::Detach(node_id) => RegistrationRequest::Detach(node_id).into(),
        }
    }
}
