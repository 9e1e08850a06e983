//! What goes in and out of the machine of a node, and what it keeps.

use crate::crypto::code::Code;
use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::keys::OwnKeys;
use crate::crypto::x25519::PublicKey;
use crate::entropy::Entropy;
use crate::id::NodeId;
use crate::registry::grants::GrantId;
use crate::text::Label;
use crate::time::Span;
use crate::wire::close::Close;
use crate::wire::native::Reason as Words;
use crate::wire::native::link::{App, Renew};
use crate::wire::native::pair::{self, BootstrapToken, Method, Selector};
use crate::wire::native::part::Part;
use crate::wire::path::{Action, Pattern};
use crate::wire::registration::{Heartbeat, PairRequest};
use crate::wire::token::Token;

/// What a node keeps across power cuts, besides its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Memory {
    /// Nothing.
    Blank,
    /// It asked this gateway, which it trusts from then on, and waits for the operator.
    Asked {
        /// The gateway's static key.
        gateway: PublicKey,
    },
    /// It is paired.
    Paired(Paired),
}

/// What a paired node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Paired {
    /// The gateway's static key.
    pub gateway: PublicKey,
    /// The id the gateway gave it.
    pub node_id: NodeId,
    /// The grant it holds.
    pub grant: GrantId,
}

/// How the owner of a node wants it paired.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// The operator compares its fingerprint and approves.
    Approval,
    /// The gateway shows a PIN, and the owner types it here.
    Pin,
    /// With a code that the operator minted beforehand, typed or scanned.
    Code {
        /// Its public part.
        selector: Selector,
        /// Its secret part.
        code: Code,
    },
    /// With a setup code, [`Own::setup`], of a gateway whose fingerprint came with it: no other is
    /// shown the code.
    Setup,
}

impl Wish {
    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Approval => Method::Approval,
            Self::Pin => Method::Pin,
            Self::Code { selector, .. } => Method::Code { selector: *selector },
            Self::Setup => Method::Setup,
        }
    }
}

/// What a node is, to its adapter.
#[derive(Clone, Copy, Debug)]
pub struct Own<'b> {
    /// Its keys.
    pub keys: &'b OwnKeys,
    /// Who it says it is. A profile of more than [`crate::limits::NATIVE_PROFILE_BYTES`] is left
    /// out.
    pub about: PairRequest<'b>,
    /// The setup code that it is to be paired with, if any. The adapter keeps it, because it is
    /// longer than all that the machine holds.
    pub setup: Option<BootstrapToken<'b>>,
}

/// What may happen to a node.
#[derive(Debug)]
pub enum Input<'b> {
    /// The deadline has come; carries the values that a heartbeat would tell.
    Tick(Heartbeat<'b>),
    /// Answers [`Effect::Connect`]: the connection is open. Carries the ephemeral key.
    Connected(Entropy<32>, Own<'b>),
    /// A frame came.
    Frame {
        /// Its bytes; they are opened where they stand.
        bytes: &'b mut [u8],
        /// Fresh, whether or not it is needed.
        entropy: Entropy<32>,
        /// The node.
        own: Own<'b>,
    },
    /// The connection is gone, or could not be opened. Carries chance for the wait before the next
    /// attempt.
    Disconnected(Entropy<2>),
    /// Answers [`Effect::Keep`] with what is durable now.
    Kept(Memory),
    /// The owner wants the node paired so, and if a fingerprint is given with no other gateway.
    Pair(Wish, Option<Fingerprint>),
    /// The owner typed the PIN that the gateway shows (or another code after a wrong one).
    CodeEntered(Code, Entropy<32>, Own<'b>),
    /// The application sends something over the link.
    App(App<'b>),
    /// The application wants to hear of what happens there.
    Subscribe(Pattern<'b>),
    /// The grant, or a bearer token, is wanted anew.
    Renew(Renew<'b>),
    /// The owner wants the pairing forgotten.
    Forget,
}

/// What a node asks for.
#[derive(Debug)]
pub enum Effect<'b> {
    /// Open a connection to the gateway. Answered by [`Input::Connected`] or
    /// [`Input::Disconnected`]; how long that may take is the adapter's to bound.
    Connect,
    /// Send a frame.
    Send(&'b [u8]),
    /// Close the connection, then say [`Input::Disconnected`].
    Close(Close),
    /// Put this part of the chain to those before it, if the node keeps chains.
    Part(Part<'b>),
    /// This capability (or the one that came in parts) belongs to what [`Effect::Keep`] makes
    /// durable next, if the node keeps chains.
    Chain(Option<&'b [u8]>),
    /// Make this durable, then answer [`Input::Kept`] with it. Until then nothing else happens.
    Keep(Memory),
    /// A bearer token for doors without a sealed channel, valid for minutes.
    Bearer(Token),
    /// Something of the application's came over the link.
    App(App<'b>),
    /// Tell the owner.
    Tell(News<'b>),
}

/// What the owner of a node may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'b> {
    /// This is the gateway that answers, and how it is trusted so far.
    Gateway {
        /// Its fingerprint, to compare.
        fingerprint: Fingerprint,
        /// How it is trusted.
        trust: Trust,
    },
    /// It is not the one that was expected. Nothing was told to it.
    OtherGateway(Fingerprint),
    /// The gateway shows a PIN now: type it.
    TypeThePin {
        /// For so many seconds.
        expires_in: u32,
        /// How often it may be tried.
        attempts: u8,
    },
    /// That was not the code.
    WrongCode {
        /// How often another may be tried.
        attempts_left: u8,
    },
    /// The gateway knows the code, too: it is the one that showed it.
    CodeConfirmed,
    /// Whoever answers did not know the code that this node sent its part of: no gateway of ours.
    GatewayUnproven,
    /// The operator can approve the request now, by this node's fingerprint.
    WaitsForApproval {
        /// For so many seconds.
        expires_in: u32,
    },
    /// The gateway said no, sealed.
    PairingRefused(pair::Refusal<'b>),
    /// The grant is kept.
    Granted {
        /// The id.
        node_id: NodeId,
        /// Where the registry says the node stands.
        room: Label<'b>,
        /// What the gateway says to it.
        message: Option<Words<'b>>,
    },
    /// The link is open.
    Linked(NodeId),
    /// The gateway does not know this node (any more), or it was revoked: pair again.
    PairAgain,
    /// Its grant ran out; it asks to have it made anew.
    Expired,
    /// Somebody said in clear that nothing goes now; it proves nothing.
    TurnedAway,
    /// Somebody said in clear that this version is not spoken; it proves nothing.
    OtherVersion,
    /// What came was not what the peer of this channel would send.
    Broken,
    /// The operator muted the node.
    Muted,
    /// The operator lets it speak again.
    Unmuted,
    /// The operator unpaired it: the pairing is forgotten.
    Unpaired,
    /// No scope allows this.
    NotAllowed {
        /// What was to be done.
        action: Action,
        /// Where.
        pattern: Pattern<'b>,
    },
    /// The grant was renewed and is kept.
    Renewed,
    /// It was not: pair again before it runs out.
    NotRenewed,
    /// The next attempt comes after this wait.
    RetryIn(Span),
    /// The pairing is forgotten.
    Forgotten,
}

/// How a gateway is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Trust {
    /// Its fingerprint was given, or it was trusted before.
    Pinned,
    /// The code will tell.
    Code,
    /// Whoever answered first: compare the fingerprint.
    FirstUse,
}
