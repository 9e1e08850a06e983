//! The sealed messages of a link, after a handshake for [`Intent::Link`](super::open::Intent::Link)
//! or [`Intent::Delegate`](super::open::Intent::Delegate). Parts are sent ahead of the message that
//! refers to them.

mod dispatch;
mod renewal;

use serde::{Deserialize, Serialize};

use super::codec::message;
use super::pair::{ChainBytes, GrantId, PairGrant};
use super::part::Part;
use super::signer::SignerKey;
use super::{CapabilityName, Features, Payload};
use crate::crypto::ed25519::{BadSignature, KeyPair, PublicKey, Signature};
use crate::crypto::noise::HandshakeHash;
use crate::crypto::{labels, x25519};
use crate::id::NodeId;
use crate::limits::{
    CAPABILITY_NAME_CHARS, PATH_BYTES, PAYLOAD_BYTES, PLAINTEXT_BYTES, TOLD_ADDRESSES_BYTES,
};
use crate::serial::byte_array;
use crate::text::Label;
use crate::time::UnixTime;
use crate::wire::gateway_addresses::GatewayAddresses;
use crate::wire::path::{Action, Address, Pattern};
use crate::wire::registration::Heartbeat;

pub use dispatch::{
    Dispatch, DispatchAnswer, DispatchId, DispatchOutcome, DispatchProgress, DispatchResult,
    FinalOutcome, KnownDispatch, Percent,
};
pub use renewal::{CertificateRenewal, VerifiedRenewal};

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
    /// The mark that the node stored last, from a node that keeps one
    /// ([`Features::CLONE_COUNTER`]).
    pub mark: Option<CloneMark>,
    /// The grant that the node has stored; `None` while it has to renew an expired one.
    pub holds: Option<GrantId>,
}

/// The gateway's mark on a node's state: opaque bytes that the node stores and shows on its next
/// link, so that the gateway recognises a copy of that state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloneMark(#[serde(with = "byte_array")] [u8; CLONE_MARK_BYTES]);

/// Length of a [`CloneMark`] in bytes.
pub const CLONE_MARK_BYTES: usize = 24;

impl CloneMark {
    /// Takes the bytes of a mark; every value is well formed.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; CLONE_MARK_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; CLONE_MARK_BYTES] {
        &self.0
    }
}

/// A message from a node or a holder of a token chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    /// The mark is stored durably.
    MarkStored(CloneMark),
    /// How far a dispatch has come. It changes nothing but what people are shown.
    Progress(#[serde(borrow)] DispatchProgress<'b>),
    /// The answer to the [`FromGateway::Query`] with the same id and number.
    Answer(#[serde(borrow)] DispatchAnswer<'b>),
    /// The node of a TLS connection without a client certificate, before its [`Hello`].
    Identify(Identify),
    /// The certificate with this number is stored durably.
    CertificateStored {
        /// The number of the certificate.
        number: u64,
    },
}

message!('b FromNode<'b>);

/// A message from a gateway.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FromGateway<'b> {
    /// The gateway's heartbeat.
    Heartbeat {
        /// The wall-clock time, for nodes without a clock; `None` if the gateway does not know it.
        time: Option<UnixTime>,
    },
    /// A decision of the operator.
    Policy(#[serde(borrow)] Policy<'b>),
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
    /// The node stores this mark, then confirms it ([`Features::CLONE_COUNTER`]).
    Mark(CloneMark),
    /// The node stops this dispatch if it can ([`Features::DISPATCH`]). Its outcome follows.
    Cancel {
        /// The id of the dispatch.
        id: DispatchId,
    },
    /// What does the node know of this dispatch ([`Features::DISPATCH`])?
    Query {
        /// The id of the dispatch.
        id: DispatchId,
        /// The number of the dispatch.
        number: u64,
    },
    /// The gateway's name for people ([`Features::NAME`]).
    Name(#[serde(borrow)] Label<'b>),
    /// Over TLS, where no handshake carries it: the verdict on the node, first of all.
    Admitted(Admitted),
    /// The certificate that came in the preceding parts, which the node asked for; it stores it,
    /// then confirms it ([`Features::CERTIFICATE`]).
    Certificate {
        /// The number of the certificate.
        number: u64,
    },
    /// The certificate is not renewed ([`Features::CERTIFICATE`]).
    NotIssued,
    /// The key by which compact certificates of this gateway are verified, once on each link
    /// ([`Features::CERTIFICATE`]). One that differs from the key of before takes its place.
    CertificateKey(SignerKey),
}

message!('b FromGateway<'b>);

/// The operator's decision about a node. Only these messages, sealed, make a node forget or trust
/// anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Policy<'b> {
    /// The node sends no messages of the application from now on.
    Mute,
    /// The node may send messages of the application again.
    Unmute,
    /// The node forgets the pairing.
    Unpair,
    /// The gateway's static key from the next link on. It counts only over a link that the present
    /// static key has proven, so not over TLS.
    GatewayKey(x25519::PublicKey),
    /// The addresses at which the gateway is reached ([`Features::ADDRESSES`]), in place of those
    /// that were told before. They count only over a link that the gateway's static key has proven,
    /// and change nothing about that key.
    GatewayAddress(#[serde(borrow)] GatewayAddresses<'b>),
}

/// A capability of a node, as the node announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Announce<'b> {
    /// The capability's name.
    #[serde(borrow)]
    pub capability: CapabilityName<'b>,
    /// The capability's version.
    #[serde(borrow)]
    pub version: Label<'b>,
    /// `true` if the capability can be dispatched now.
    pub available: bool,
    /// `true` if running it twice does no more than running it once, so that a dispatch whose
    /// outcome was lost may be sent again.
    pub idempotent: bool,
}

/// A node's id, and the proof of its signing key over this channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identify {
    /// The id that the node claims, by which the gateway finds its key.
    pub node_id: NodeId,
    signature: Signature,
}

impl Identify {
    /// Signs for the channel with this hash.
    #[must_use]
    pub fn sign(node_id: NodeId, keys: &KeyPair, hash: &HandshakeHash) -> Self {
        let covered = [hash.as_bytes().as_slice(), node_id.as_bytes()];
        Self { node_id, signature: keys.sign(labels::IDENTIFY, covered) }
    }

    /// Verifies that the node with this key identifies itself on the channel with this hash.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, key: &PublicKey, hash: &HandshakeHash) -> Result<(), BadSignature> {
        let covered = [hash.as_bytes().as_slice(), self.node_id.as_bytes()];
        key.verify(labels::IDENTIFY, covered, &self.signature)
    }
}

/// The part of a grant to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Renew<'b> {
    /// The bearer token of other dialects.
    Token,
    /// The token chain.
    Chain,
    /// The certificate.
    Certificate(#[serde(borrow)] CertificateRenewal<'b>),
}

/// A message of the application, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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

/// The longest `App` (number of message, action, address, bytes), the longest `Dispatch` (number of
/// message, id, number, capability, remaining time, result bound, input), the longest `Answer`
/// (number of message, id, number, kind, outcome, result) and the longest `Policy` (number of
/// message, kind, addresses) fit into a message.
const _: () = assert!(1 + 1 + 2 + TOLD_ADDRESSES_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(1 + 1 + 2 + PATH_BYTES + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () =
    assert!(1 + 16 + 10 + 1 + CAPABILITY_NAME_CHARS + 5 + 3 + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(1 + 16 + 10 + 1 + 1 + 2 + PAYLOAD_BYTES <= PLAINTEXT_BYTES);
const _: () = assert!(size_of::<FromNode<'_>>() <= 96 && size_of::<FromGateway<'_>>() <= 176);
