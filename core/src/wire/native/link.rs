//! The sealed messages of a link, after a handshake for [`Intent::Link`](super::open::Intent::Link)
//! or [`Intent::Delegate`](super::open::Intent::Delegate). Parts are sent ahead of the message that
//! refers to them.

use super::codec::{fields, message, variants};
use super::pair::{ChainBytes, Csr, GrantId, PairGrant};
use super::part::Part;
use super::{CapabilityName, Payload, ReasonText};
use crate::crypto::x25519;
use crate::id::opaque_id;
use crate::limits::{CAPABILITY_NAME_CHARS, PATH_BYTES, PAYLOAD_BYTES, PLAINTEXT_BYTES};
use crate::text::Label;
use crate::time::UnixTime;
use crate::wire::path::{Action, Address, Pattern};
use crate::wire::registration::Heartbeat;

/// The gateway's verdict on a node: the payload of the second message of IK, and the answer to
/// [`FromNode::Present`]. It is one byte in each case and gives no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

variants!('b Admission { 0 Welcome; 1 NotPaired; 2 Expired; });
message!('b Admission);

/// A message from a node or a holder of a token chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromNode<'b> {
    /// The node's values.
    Heartbeat(Heartbeat<'b>),
    /// A capability of the node. Each name is independent; a repeated announcement replaces the
    /// earlier one.
    Announce(Announce<'b>),
    /// The outcome of a dispatch.
    DispatchResult(DispatchResult<'b>),
    /// A request to renew part of a grant.
    Renew(Renew<'b>),
    /// A token chain whose leaf is bound to the static key of this channel.
    Present {
        /// The chain, inline or in the parts sent before.
        chain: ChainBytes<'b>,
    },
    /// A message of the application.
    App(App<'b>),
    /// A subscription to the application's messages at matching addresses.
    Subscribe {
        /// The pattern of the addresses.
        pattern: Pattern<'b>,
    },
    /// A part of an object to which a later message refers; a profile needs no such message.
    Part(Part<'b>),
    /// The grant with this id is stored durably.
    Stored(GrantId),
    /// The node ends the link.
    Bye(Bye),
}

variants!('b FromNode<'b> {
    0 Heartbeat(heartbeat);
    1 Announce(announce);
    2 DispatchResult(result);
    3 Renew(renew);
    4 Present { chain };
    5 App(app);
    6 Subscribe { pattern };
    7 Part(part);
    8 Stored(grant);
    9 Bye(bye);
});
message!('b FromNode<'b>);

/// A message from a gateway.
#[derive(Debug, PartialEq, Eq)]
pub enum FromGateway<'b> {
    /// The gateway's heartbeat.
    Heartbeat {
        /// The wall-clock time, for nodes without a clock; `None` if the gateway does not know it.
        time: Option<UnixTime>,
    },
    /// A decision of the operator.
    Policy(Policy),
    /// A task for the node.
    Dispatch(Dispatch<'b>),
    /// A message of the application.
    App(App<'b>),
    /// No scope allows a message or subscription of the node.
    NotAllowed {
        /// The action that was refused.
        action: Action,
        /// The address of the [`App`], or the pattern of the subscription.
        pattern: Pattern<'b>,
    },
    /// The verdict on a token chain.
    Admission(Admission),
    /// A part of an object to which a later message refers.
    Part(Part<'b>),
    /// The result of a renewal.
    Grant(PairGrant<'b>),
    /// The request to renew is refused.
    NotRenewed,
    /// The grant with this id is active; the node may drop an older one.
    Active(GrantId),
    /// The gateway ends the link.
    Bye(Bye),
}

variants!('b FromGateway<'b> {
    0 Heartbeat { time };
    1 Policy(policy);
    2 Dispatch(dispatch);
    3 App(app);
    4 NotAllowed { action, pattern };
    5 Admission(admission);
    6 Part(part);
    7 Grant(grant);
    8 NotRenewed;
    9 Active(grant);
    10 Bye(bye);
});
message!('b FromGateway<'b>);

/// The operator's decision about a node. Only these messages, sealed, make a node forget or trust
/// anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

variants!('b Policy { 0 Mute; 1 Unmute; 2 Unpair; 3 GatewayKey(key); });

/// A capability of a node, as the node announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce<'b> {
    /// The capability's name.
    pub capability: CapabilityName<'b>,
    /// The capability's version.
    pub version: Label<'b>,
    /// `true` if the capability can be dispatched now.
    pub available: bool,
}

fields!('b Announce<'b> { capability, version, available });

opaque_id! {
    /// The id of a dispatch; a node runs each id once.
    DispatchId
}

/// A task for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch<'b> {
    /// The id of this dispatch.
    pub id: DispatchId,
    /// The node's capability that runs the task.
    pub capability: CapabilityName<'b>,
    /// Time in which the result is due, in seconds.
    pub timeout: u32,
    /// Maximum length of the result, in bytes.
    pub max_payload: u16,
    /// The input of the capability.
    pub input: Payload<'b>,
}

fields!('b Dispatch<'b> { id, capability, timeout, max_payload, input });

/// The outcome of a dispatch, with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchResult<'b> {
    /// The id of the dispatch.
    pub id: DispatchId,
    /// The outcome so far.
    pub outcome: DispatchOutcome<'b>,
}

fields!('b DispatchResult<'b> { id, outcome });

/// The progress of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DispatchOutcome<'b> {
    /// A person at the node has to agree first; another result follows.
    AwaitingMediation,
    /// The task is done, with this result.
    Succeeded(Payload<'b>),
    /// The task was tried and failed.
    Failed(ReasonText<'b>),
    /// The task was not tried.
    Rejected(ReasonText<'b>),
    /// The task was not done in time.
    TimedOut,
}

variants!('b DispatchOutcome<'b> { 0 AwaitingMediation; 1 Succeeded(payload); 2 Failed(reason); 3 Rejected(reason); 4 TimedOut; });

/// The part of a grant to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew<'b> {
    /// The bearer token of other dialects.
    Token,
    /// The token chain.
    Chain,
    /// The certificate, with a new request.
    Certificate {
        /// The new certificate request.
        csr: Csr<'b>,
    },
}

variants!('b Renew<'b> { 0 Token; 1 Chain; 2 Certificate { csr }; });

/// A message of the application, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'b> {
    /// The action on the address.
    pub action: Action,
    /// The address that the message is about.
    pub address: Address<'b>,
    /// The payload of the application.
    pub bytes: Payload<'b>,
}

fields!('b App<'b> { action, address, bytes });

/// The reason for ending a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

variants!('b Bye { 0 Done; 1 ShuttingDown; 2 Replaced; 3 Protocol; 4 Busy; 5 Internal; });

/// The longest `App` (number of message, action, address, bytes) and the longest `Dispatch` (number
/// of message, id, capability, timeout, result bound, input) fit into a message.
const _: () = assert!(1 + 1 + 2 + PATH_BYTES + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () =
    assert!(1 + 16 + 1 + CAPABILITY_NAME_CHARS + 5 + 3 + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(size_of::<FromNode<'_>>() <= 80 && size_of::<FromGateway<'_>>() <= 176);
