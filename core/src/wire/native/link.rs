//! The messages of a link, sealed, after a handshake for
//! [`Intent::Link`](super::open::Intent::Link) or
//! [`Intent::Delegate`](super::open::Intent::Delegate). What is sent in parts goes ahead of the
//! message that means it.

use super::codec::{fields, message, variants};
use super::pair::{Chain, Csr, Grant, GrantId};
use super::part::Part;
use super::{CapabilityName, Payload, Reason};
use crate::crypto::x25519;
use crate::id::opaque_id;
use crate::limits::{CAPABILITY_NAME_CHARS, PATH_BYTES, PAYLOAD_BYTES, PLAINTEXT_BYTES};
use crate::text::Label;
use crate::time::UnixTime;
use crate::wire::path::{Action, Address, Pattern};
use crate::wire::registration::Heartbeat;

/// Whether a node is let in: the payload of the second message of IK, and the answer to
/// [`FromNode::Present`]. One byte either way, and nothing about why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Admission {
    /// It is.
    Welcome,
    /// Unknown or revoked: it asks anew.
    NotPaired,
    /// It is, but what it was given ran out: it may have that made anew, and no more until then.
    Expired,
}

variants!('b Admission { 0 Welcome; 1 NotPaired; 2 Expired; });
message!('b Admission);

/// What a node, or a holder of a token chain, sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromNode<'b> {
    /// How it is.
    Heartbeat(Heartbeat<'b>),
    /// What it can do. Each name stands for itself; announced again, it replaces what was
    /// announced.
    Announce(Announce<'b>),
    /// What became of a dispatch.
    DispatchResult(DispatchResult<'b>),
    /// Wants a grant anew.
    Renew(Renew<'b>),
    /// Shows a token chain whose leaf is bound to the static key of this channel.
    Present {
        /// The chain.
        chain: Chain<'b>,
    },
    /// Something of the application's.
    App(App<'b>),
    /// Wants to hear of what happens there.
    Subscribe {
        /// Where.
        pattern: Pattern<'b>,
    },
    /// A part of what a later message will mean; a profile stands for itself.
    Part(Part<'b>),
    /// The grant is stored durably.
    Stored(GrantId),
    /// The end.
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

/// What a gateway sends.
#[derive(Debug, PartialEq, Eq)]
pub enum FromGateway<'b> {
    /// It is there.
    Heartbeat {
        /// What time it is, if it knows, for those without a clock.
        time: Option<UnixTime>,
    },
    /// What the operator decided.
    Policy(Policy),
    /// Something to do.
    Dispatch(Dispatch<'b>),
    /// Something of the application's.
    App(App<'b>),
    /// No scope allows what was sent.
    NotAllowed {
        /// What was to be done.
        action: Action,
        /// Where; the address of an [`App`], or the pattern of a subscription.
        pattern: Pattern<'b>,
    },
    /// Answers a token chain.
    Admission(Admission),
    /// A part of what a later message will mean.
    Part(Part<'b>),
    /// What renewing yields.
    Grant(Grant<'b>),
    /// Nothing is renewed.
    NotRenewed,
    /// The grant counts now; an older one may be dropped.
    Active(GrantId),
    /// The end.
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

/// What the operator decided about a node. Only these, sealed, make a node forget or trust
/// anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Policy {
    /// Send nothing of the application's.
    Mute,
    /// Send again.
    Unmute,
    /// Forget the pairing.
    Unpair,
    /// The gateway's static key from the next link on.
    GatewayKey(x25519::PublicKey),
}

variants!('b Policy { 0 Mute; 1 Unmute; 2 Unpair; 3 GatewayKey(key); });

/// A capability of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce<'b> {
    /// Its name.
    pub capability: CapabilityName<'b>,
    /// Its version.
    pub version: Label<'b>,
    /// Whether it can be dispatched now.
    pub available: bool,
}

fields!('b Announce<'b> { capability, version, available });

opaque_id! {
    /// Which dispatch: a node runs each once.
    DispatchId
}

/// Something for a node to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatch<'b> {
    /// Which.
    pub id: DispatchId,
    /// With which of its capabilities.
    pub capability: CapabilityName<'b>,
    /// Within so many seconds.
    pub timeout: u32,
    /// With at most so many bytes of result.
    pub max_payload: u16,
    /// What the capability needs to know.
    pub input: Payload<'b>,
}

fields!('b Dispatch<'b> { id, capability, timeout, max_payload, input });

/// What became of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchResult<'b> {
    /// Of which.
    pub id: DispatchId,
    /// What.
    pub outcome: Outcome<'b>,
}

fields!('b DispatchResult<'b> { id, outcome });

/// How far a dispatch got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'b> {
    /// Somebody at the node has to agree first; another result will follow.
    AwaitingMediation,
    /// Done.
    Succeeded(Payload<'b>),
    /// Tried.
    Failed(Reason<'b>),
    /// Not tried.
    Rejected(Reason<'b>),
    /// Not done in time.
    TimedOut,
}

variants!('b Outcome<'b> { 0 AwaitingMediation; 1 Succeeded(payload); 2 Failed(reason); 3 Rejected(reason); 4 TimedOut; });

/// Which part of a grant is wanted anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew<'b> {
    /// The bearer token.
    Token,
    /// The token chain.
    Chain,
    /// The certificate.
    Certificate {
        /// The request.
        csr: Csr<'b>,
    },
}

variants!('b Renew<'b> { 0 Token; 1 Chain; 2 Certificate { csr }; });

/// Something of the application's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct App<'b> {
    /// What is done.
    pub action: Action,
    /// Where.
    pub address: Address<'b>,
    /// With what.
    pub bytes: Payload<'b>,
}

fields!('b App<'b> { action, address, bytes });

/// Why a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Bye {
    /// On purpose.
    Done,
    /// Going down; come again.
    ShuttingDown,
    /// The same node linked anew.
    Replaced,
    /// A message was malformed or out of place.
    Protocol,
    /// Too much to do; come again later.
    Busy,
    /// An error that is not the peer's.
    Internal,
}

variants!('b Bye { 0 Done; 1 ShuttingDown; 2 Replaced; 3 Protocol; 4 Busy; 5 Internal; });

/// Number of message, action, address, bytes; and number of message, id, capability, timeout, most,
/// input.
const _: () = assert!(1 + 1 + 2 + PATH_BYTES + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () =
    assert!(1 + 16 + 1 + CAPABILITY_NAME_CHARS + 5 + 3 + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(size_of::<FromNode<'_>>() <= 80 && size_of::<FromGateway<'_>>() <= 176);
