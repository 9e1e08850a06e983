//! The inputs, effects and memory of a node's machine.

use crate::crypto::code::Code;
use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::keys::OwnKeys;
#[cfg(feature = "identity")]
use crate::crypto::noise::HandshakeHash;
use crate::crypto::x25519::PublicKey;
use crate::entropy::Entropy;
use crate::id::NodeId;
use crate::registry::grants::GrantId;
use crate::text::Label;
use crate::time::{Span, UnixTime};
use crate::wire::close::Close;
use crate::wire::gateway_addresses::GatewayAddresses;
use crate::wire::native::link::{
    Announce, App, CloneMark, Dispatch, DispatchAnswer, DispatchId, DispatchProgress,
    DispatchResult, Renew,
};
use crate::wire::native::pair::{self, AskedScopes, BootstrapToken, Csr, Method, Selector};
use crate::wire::native::part::Part;
use crate::wire::native::signer::SignerKey;
use crate::wire::native::{Features, ReasonText as Words};
use crate::wire::path::{Action, Pattern};
use crate::wire::registration::{Heartbeat, PairRequest};
use crate::wire::token::Token;

/// The memory of a node across power cuts, besides its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NativeMemory {
    /// The node has neither asked nor been paired.
    Blank,
    /// The node has asked this gateway, which it trusts from then on, and waits for the operator.
    Asked {
        /// The gateway's static key.
        gateway: PublicKey,
    },
    /// The node is paired with a gateway.
    Paired(Paired),
}

/// The memory of a paired node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Paired {
    /// The gateway's static key.
    pub gateway: PublicKey,
    /// The id that the gateway assigned.
    pub node_id: NodeId,
    /// The id of the grant that the node holds.
    pub grant: GrantId,
    /// The gateway's newest mark on this memory, by which the gateway recognises a copy of it.
    pub mark: Option<CloneMark>,
}

/// The owner's choice of a method to pair by.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PairMethod {
    /// The operator compares the node's fingerprint and approves.
    Approval,
    /// The gateway shows a PIN, and the owner types it at the node.
    Pin,
    /// The node proves a code that the operator minted beforehand, typed or scanned.
    Code {
        /// The public part of the code.
        selector: Selector,
        /// The secret part of the code.
        code: Code,
    },
    /// The node shows a setup code, [`NodeIdentity::setup`], to the gateway whose fingerprint came
    /// with it and to no other.
    Setup,
}

impl PairMethod {
    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Approval => Method::Approval,
            Self::Pin => Method::Pin,
            Self::Code { selector, .. } => Method::Code { selector: *selector },
            Self::Setup => Method::Setup,
        }
    }
}

/// The node's keys and description, which the adapter supplies.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NodeIdentity<'b> {
    /// The node's two key pairs.
    pub keys: &'b OwnKeys,
    /// The node's self-description. A profile longer than [`crate::limits::NATIVE_PROFILE_BYTES`]
    /// is left out.
    pub about: PairRequest<'b>,
    /// The setup code for pairing, if there is one. The adapter holds it, because it is longer than
    /// the machine's whole state.
    pub setup: Option<BootstrapToken<'b>>,
    /// The permissions that the node asks for when it pairs.
    pub wants: AskedScopes<'b>,
    /// The certificate that the node asks for when it pairs. Without the feature `identity` it asks
    /// for none.
    pub certificate: CertificateWish<'b>,
    /// `true` if the adapter carries out [`Effect::Dispatch`], [`Effect::Cancel`] and
    /// [`Effect::Query`].
    pub dispatch: bool,
}

impl NodeIdentity<'_> {
    /// Returns the messages that the node takes.
    pub(super) const fn features(&self) -> Features {
        let mut features = Features::NODE;
        if self.dispatch {
            features = features.with(Features::DISPATCH);
        }
        match self.certificate {
            CertificateWish::Compact | CertificateWish::X509(_) if cfg!(feature = "identity") => {
                features.with(Features::CERTIFICATE)
            }
            CertificateWish::None | CertificateWish::Compact | CertificateWish::X509(_) => features,
        }
    }
}

/// The kind of certificate that a node asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CertificateWish<'b> {
    /// The node wants no certificate.
    #[default]
    None,
    /// The node wants the compact certificate.
    Compact,
    /// The node wants an X.509 certificate for this request.
    X509(Csr<'b>),
}

impl<'b> CertificateWish<'b> {
    /// Returns the certificate request, if there is one.
    #[must_use]
    pub const fn csr(&self) -> Option<Csr<'b>> {
        match self {
            Self::None | Self::Compact => None,
            Self::X509(csr) => Some(*csr),
        }
    }
}

/// An event for a node.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// The deadline has come; carries the values for a heartbeat.
    Tick(Heartbeat<'b>),
    /// The answer to [`Effect::Connect`]: the connection is open. It carries entropy for the
    /// ephemeral key.
    Connected(Entropy<32>, NodeIdentity<'b>),
    /// The answer to [`Effect::Connect`] of a paired node: a TLS connection is open, whose server
    /// the adapter has verified. With `certified`, the node has shown its certificate; else it
    /// identifies itself by a signature.
    #[cfg(feature = "identity")]
    ConnectedTls {
        /// The 32 bytes of the TLS exporter (RFC 9266).
        exporter: HandshakeHash,
        /// `true` if the node has shown its client certificate.
        certified: bool,
        /// The node's keys and description.
        own: NodeIdentity<'b>,
    },
    /// A frame arrived.
    Frame {
        /// The frame's bytes, which are opened in place.
        bytes: &'b mut [u8],
        /// Fresh entropy, whether or not it is needed.
        entropy: Entropy<32>,
        /// The node's keys and description.
        own: NodeIdentity<'b>,
    },
    /// The connection is closed, or could not be opened. It carries entropy for the wait before the
    /// next attempt.
    Disconnected(Entropy<2>),
    /// The answer to [`Effect::Keep`]: the memory is durable.
    Kept,
    /// The answer to [`Effect::Keep`] after [`Effect::Certificate`], where the memory is durable
    /// and the certificate was not stored, because it does not count.
    KeptWithout,
    /// The owner chose a method to pair by; with a fingerprint, no other gateway is accepted.
    Pair(PairMethod, Option<Fingerprint>),
    /// The owner typed the PIN that the gateway shows, or another code after a wrong one.
    CodeEntered(Code, Entropy<32>, NodeIdentity<'b>),
    /// The application sends a message over the link.
    App(App<'b>),
    /// The application subscribes to the addresses of a pattern.
    Subscribe(Pattern<'b>),
    /// The owner or the application asks for a renewed grant or a bearer token. A certificate has
    /// an input of its own, because its request is signed for the link.
    Renew(Renew<'b>),
    /// The adapter asks for a new certificate, of the kind that the description names.
    #[cfg(feature = "identity")]
    RenewCertificate(NodeIdentity<'b>),
    /// The adapter can open a better connection now than the one in use, for instance one that
    /// needs the certificate that has come. A linked node ends its link and connects at once.
    #[cfg(feature = "identity")]
    Redial,
    /// The answer to [`Effect::Search`]: the number of addresses that were found, beside those
    /// that are known. It carries entropy for the wait before the next attempt.
    #[cfg(feature = "search")]
    Found(u8, Entropy<2>),
    /// The node offers this capability, or no longer.
    Announce(Announce<'b>),
    /// The state of a dispatch; the answer to [`Effect::Dispatch`] and to [`Effect::Cancel`].
    Outcome(DispatchResult<'b>),
    /// How far a dispatch has come.
    Progress(DispatchProgress<'b>),
    /// The answer to [`Effect::Query`].
    Answer(DispatchAnswer<'b>),
    /// The owner wants the pairing forgotten.
    Forget,
}

/// A request of a node to the adapter.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Open a connection to the gateway. The answer is [`Input::Connected`] or
    /// [`Input::Disconnected`]; the adapter bounds the time.
    Connect,
    /// Look on the local network for the gateway with this fingerprint. The answer is
    /// [`Input::Found`], within some seconds. Only a node with the feature `search` asks for it.
    Search(Fingerprint),
    /// Open a connection to the found address of this index, answered as [`Self::Connect`]. Where
    /// it leads is not known yet.
    ConnectFound(u8),
    /// The gateway has proven its key at the found address that was called last, so keep that
    /// address for the next time.
    KeepFound,
    /// Make these addresses of the gateway durable, in place of those that it told before, and carry
    /// out nothing else until then. Only a node that [keeps addresses](super::Node::keeping_addresses)
    /// is told some.
    KeepAddresses(GatewayAddresses<'b>),
    /// Send a frame.
    Send(&'b [u8]),
    /// Close the connection, then report [`Input::Disconnected`].
    Close(Close),
    /// Append this part of a chain or a certificate to those before it, if the node stores such
    /// objects.
    Part(Part<'b>),
    /// Store the certificate that came in parts with the memory of the next [`Effect::Keep`].
    Certificate,
    /// By this key the compact certificates that come are verified, if the node stores them.
    CertificateKey(SignerKey),
    /// The gateway tells the time of day. A node without a clock judges certificates by it.
    Time(UnixTime),
    /// Run this task, unless it was taken before, and answer with [`Input::Outcome`].
    Dispatch(Dispatch<'b>),
    /// Stop this task if it runs, and answer with [`Input::Outcome`].
    Cancel(DispatchId),
    /// Answer with [`Input::Answer`] what became of the task with this id and number.
    Query(DispatchId, u64),
    /// Store this capability token (`None`: the one that came in parts) with the memory of the next
    /// [`Effect::Keep`], if the node stores chains.
    Chain(Option<&'b [u8]>),
    /// Make the node's [memory](super::Node::memory) durable, then answer with [`Input::Kept`]. The
    /// node does nothing else until then, so the memory does not change meanwhile.
    Keep,
    /// Hand out a bearer token for dialects without a sealed channel. It is valid for minutes.
    Bearer(Token),
    /// Pass a message to the application.
    App(App<'b>),
    /// Report an event to the owner.
    Tell(NativeNodeEvent<'b>),
}

/// An event for the owner of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NativeNodeEvent<'b> {
    /// A gateway answered; its identity and the trust in it so far.
    Gateway {
        /// The gateway's fingerprint, to compare.
        fingerprint: Fingerprint,
        /// The grounds for trusting it.
        trust: Trust,
    },
    /// The gateway is not the expected one. It was told nothing.
    OtherGateway(Fingerprint),
    /// The node cannot ask to be paired, so it told the gateway nothing.
    NotAsked(NotAsked),
    /// The gateway shows a PIN, which the owner has to type.
    TypeThePin {
        /// The lifetime of the PIN, in seconds.
        expires_in: u32,
        /// The number of attempts.
        attempts: u8,
    },
    /// The code was wrong.
    WrongCode {
        /// The number of attempts that remain.
        attempts_left: u8,
    },
    /// The gateway has proven that it knows the code, so it is the one that showed it.
    CodeConfirmed,
    /// The peer does not know the code, although the node has sent its part of CPace: it is not the
    /// owner's gateway.
    GatewayUnproven,
    /// The operator can now approve the request, by this node's fingerprint.
    WaitsForApproval {
        /// The time that remains, in seconds.
        expires_in: u32,
    },
    /// The gateway refused, in a sealed message.
    PairingRefused(pair::PairRefusal<'b>),
    /// The grant arrived; it is being stored.
    Granted {
        /// The id of the node itself.
        node_id: NodeId,
        /// The node's room in the registry.
        room: Label<'b>,
        /// The gateway's message to the owner, if there is one.
        message: Option<Words<'b>>,
    },
    /// The link is open.
    Linked(NodeId),
    /// The gateway does not know this node, or has revoked it; the owner has to pair it again.
    PairAgain,
    /// The grant has expired; the node asks for a new one.
    Expired,
    /// The peer refused in clear, for now. That proves nothing.
    TurnedAway,
    /// The peer refused this version in clear. That proves nothing.
    OtherVersion,
    /// The peer of the channel broke the protocol.
    Broken,
    /// The operator muted the node.
    Muted,
    /// The operator unmuted the node.
    Unmuted,
    /// Another connection with this node's key took the place of its link. The next attempt waits
    /// the longest time, so that two machines with one key do not displace each other all the time.
    Replaced,
    /// The operator revoked the node, and the node forgets the pairing.
    Unpaired,
    /// No scope allows a message or subscription.
    NotAllowed {
        /// The action that was refused.
        action: Action,
        /// The pattern or address of the refused message.
        pattern: Pattern<'b>,
    },
    /// The gateway's name for people.
    GatewayName(Label<'b>),
    /// The new certificate is stored.
    CertificateRenewed,
    /// The certificate was not renewed, or the one that came while pairing was not stored.
    CertificateNotRenewed,
    /// The renewed grant is stored.
    Renewed,
    /// The grant was not renewed; the owner has to pair the node again before it expires.
    NotRenewed,
    /// The next attempt follows after this wait.
    RetryIn(Span),
    /// The node has forgotten the pairing.
    Forgotten,
}

/// The reason on the node's own side for which it cannot ask to be paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotAsked {
    /// It was to show a setup code, and [`NodeIdentity::setup`] is empty.
    NoSetupCode,
    /// The scratch buffer is too small for the request: [`crate::limits::NATIVE_NODE_SCRATCH`]
    /// bytes suffice, and with a setup code [`crate::limits::NATIVE_SETUP_SCRATCH`].
    BufferTooSmall,
}

/// The grounds for trusting a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Trust {
    /// The fingerprint was given, or the gateway was trusted before.
    Pinned,
    /// The code has yet to prove it.
    Code,
    /// Trust on first use: the owner has to compare the fingerprint.
    FirstUse,
}
