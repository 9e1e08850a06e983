//! The sealed messages of a link, after a handshake for [`Intent::Link`](super::open::Intent::Link)
//! or [`Intent::Delegate`](super::open::Intent::Delegate). Parts are sent ahead of the message that
//! refers to them.

use serde::{Deserialize, Serialize};

use super::codec::message;
use super::pair::{ChainBytes, Csr, GrantId, PairGrant};
use super::part::Part;
use super::{CapabilityName, Features, Payload, ReasonText};
use crate::crypto::x25519;
use crate::id::opaque_id;
use crate::limits::{CAPABILITY_NAME_CHARS, PATH_BYTES, PAYLOAD_BYTES, PLAINTEXT_BYTES};
use crate::text::Label;
use crate::time::UnixTime;
use crate::wire::path::{Action, Address, Pattern};
use crate::wire::registration::Heartbeat;

/// The gateway's verdict on a node, in the second message of IK, or its answer to
/// [`FromNode::Present`]. It gives no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Admission {
    /// The node or the holder is admitted.
    Welcome,
    /// The node is unknown or revoked and has to ask anew.
    NotPaired,
    /// The node is known, but its grant has expired. It may renew the grant and do nothing else
    /// until then.
    Expired,
}

/// The payload of IK's second message: the verdict on the node, and the messages that the gateway
/// takes. It has the same length for every verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Admitted {
    /// The verdict.
    pub admission: Admission,
    /// The messages that the gateway takes.
    pub features: Features,
}

message!('b Admitted);

/// Maximum length of [`Admitted`] in bytes.
pub const ADMITTED_BYTES: usize = 1 + 10;

/// The first message of a node's link, which proves the node. A holder of a token chain presents
/// the chain instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Hello {
    /// The messages that the node takes.
    pub features: Features,
    /// The number of links that the node has opened, from a node that counts them
    /// ([`Features::CLONE_COUNTER`]).
    pub counter: Option<u64>,
    /// The grant that the node has stored; `None` while it has to renew an expired one.
    pub holds: Option<GrantId>,
}

/// A message from a node or a holder of a token chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNode<'b> {
    /// The node's values.
    Heartbeat(#[serde(borrow)] Heartbeat<'b>),
    /// A capability of the node. Each name is independent; a repeated announcement replaces the
    /// earlier one.
    Announce(#[serde(borrow)] Announce<'b>),
    /// The outcome of a dispatch.
    DispatchResult(#[serde(borrow)] DispatchResult<'b>),
    /// A request to renew part of a grant.
    Renew(#[serde(borrow)] Renew<'b>),
    /// A token chain whose leaf is bound to the static key of this channel.
    Present {
        /// The chain, inline or in the parts sent before.
        #[serde(borrow)]
        chain: ChainBytes<'b>,
    },
    /// A message of the application.
    App(#[serde(borrow)] App<'b>),
    /// A subscription to the application's messages at matching addresses.
    Subscribe {
        /// The pattern of the addresses.
        #[serde(borrow)]
        pattern: Pattern<'b>,
    },
    /// A part of an object to which a later message refers; a profile needs no such message.
    Part(#[serde(borrow)] Part<'b>),
    /// The grant with this id is stored durably.
    Stored(GrantId),
    /// The node ends the link.
    Bye(Bye),
    /// The node proves itself, first of all.
    Hello(Hello),
    /// The answer to the [`FromGateway::Ping`] with this number, at once.
    Pong {
        /// The number of the ping.
        number: u32,
    },
}

message!('b FromNode<'b>);

/// A message from a gateway.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromGateway<'b> {
    /// The gateway's heartbeat.
    Heartbeat {
        /// The wall-clock time, for nodes without a clock; `None` if the gateway does not know it.
        time: Option<UnixTime>,
    },
    /// A decision of the operator.
    Policy(Policy),
    /// A task for the node.
    Dispatch(#[serde(borrow)] Dispatch<'b>),
    /// A message of the application.
    App(#[serde(borrow)] App<'b>),
    /// No scope allows a message or subscription of the node.
    NotAllowed {
        /// The action that was refused.
        action: Action,
        /// The address of the [`App`], or the pattern of the subscription.
        #[serde(borrow)]
        pattern: Pattern<'b>,
    },
    /// The verdict on a token chain.
    Admission(Admission),
    /// A part of an object to which a later message refers.
    Part(#[serde(borrow)] Part<'b>),
    /// The result of a renewal.
    Grant(#[serde(borrow)] PairGrant<'b>),
    /// The request to renew is refused.
    NotRenewed,
    /// The grant with this id is active; the node may drop an older one.
    Active(GrantId),
    /// The gateway ends the link.
    Bye(Bye),
    /// The node answers at once ([`Features::PING`]).
    Ping {
        /// A number that the answer repeats.
        number: u32,
    },
}

message!('b FromGateway<'b>);

/// The operator's decision about a node. Only these messages, sealed, make a node forget or trust
/// anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Policy {
    /// The node sends no messages of the application from now on.
    Mute,
    /// The node may send messages of the application again.
    Unmute,
    /// The node forgets the pairing.
    Unpair,
    /// The gateway's static key from the next link on.
    GatewayKey(x25519::PublicKey),
}

/// A capability of a node, as the node announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce<'b> {
    /// The capability's name.
    #[serde(borrow)]
    pub capability: CapabilityName<'b>,
    /// The capability's version.
    #[serde(borrow)]
    pub version: Label<'b>,
    /// `true` if the capability can be dispatched now.
    pub available: bool,
}

opaque_id! {
    /// The id of a dispatch; a node runs each id once.
    DispatchId
}

/// A task for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch<'b> {
    /// The id of this dispatch.
    pub id: DispatchId,
    /// The node's capability that runs the task.
    #[serde(borrow)]
    pub capability: CapabilityName<'b>,
    /// Time in which the result is due, in seconds.
    pub timeout: u32,
    /// Maximum length of the result, in bytes.
    pub max_payload: u16,
    /// The input of the capability.
    #[serde(borrow)]
    pub input: Payload<'b>,
}

/// The outcome of a dispatch, with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchResult<'b> {
    /// The id of the dispatch.
    pub id: DispatchId,
    /// The outcome so far.
    #[serde(borrow)]
    pub outcome: DispatchOutcome<'b>,
}

/// The progress of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DispatchOutcome<'b> {
    /// A person at the node has to agree first; another result follows.
    AwaitingMediation,
    /// The task is done, with this result.
    Succeeded(#[serde(borrow)] Payload<'b>),
    /// The task was tried and failed.
    Failed(#[serde(borrow)] ReasonText<'b>),
    /// The task was not tried.
    Rejected(#[serde(borrow)] ReasonText<'b>),
    /// The task was not done in time.
    TimedOut,
}

/// The part of a grant to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Renew<'b> {
    /// The bearer token of other dialects.
    Token,
    /// The token chain.
    Chain,
    /// The certificate, with a new request.
    Certificate {
        /// The new certificate request.
        #[serde(borrow)]
        csr: Csr<'b>,
    },
}

/// A message of the application, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App<'b> {
    /// The action on the address.
    pub action: Action,
    /// The address that the message is about.
    #[serde(borrow)]
    pub address: Address<'b>,
    /// The payload of the application.
    #[serde(borrow)]
    pub bytes: Payload<'b>,
}

/// The reason for ending a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Bye {
    /// The peer ends it on purpose.
    Done,
    /// The peer shuts down; a new link is welcome later.
    ShuttingDown,
    /// The same node opened another link.
    Replaced,
    /// A message was malformed or out of place.
    Protocol,
    /// The peer is overloaded; a new link is welcome later.
    Busy,
    /// An internal error, not the other side's fault.
    Internal,
}

/// The longest `App` (number of message, action, address, bytes) and the longest `Dispatch` (number
/// of message, id, capability, timeout, result bound, input) fit into a message.
const _: () = assert!(1 + 1 + 2 + PATH_BYTES + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () =
    assert!(1 + 16 + 1 + CAPABILITY_NAME_CHARS + 5 + 3 + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(size_of::<FromNode<'_>>() <= 80 && size_of::<FromGateway<'_>>() <= 176);
