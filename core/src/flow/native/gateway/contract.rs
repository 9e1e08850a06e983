//! The inputs and effects of the machine.

use crate::budget::NoPlace;
use crate::crypto::code::Code;
use crate::crypto::cpace::Confirmed;
use crate::crypto::ed25519;
use crate::crypto::keys::OwnKeys;
use crate::crypto::x25519::{KeyPair, PublicKey};
use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::flow::identity::clone_counter::{LinkVerdict, MarkKey};
use crate::grant::setup_code::{SetupKey, VerifiedSetupCode};
use crate::id::NodeId;
use crate::limits::Limits;
use crate::registry::ceiling::{Ceiling, Entitled, InForce, entitled};
use crate::registry::codes::{CodeId, NoGuess};
use crate::registry::grants::{Grant, GrantId};
use crate::registry::lifecycle::Notice;
use crate::registry::record::{Credential, Record, Standing};
use crate::text::Label;
use crate::time::UnixTime;
use crate::wire::close::Close;
use crate::wire::gateway_addresses::GatewayAddresses;
use crate::wire::native::ReasonText as Words;
use crate::wire::native::link::{
    Announce, App, CloneMark, Dispatch, DispatchAnswer, DispatchId, DispatchProgress,
    DispatchResult, VerifiedRenewal,
};
use crate::wire::native::pair::{self, VerifiedAsk};
use crate::wire::native::part::{Object, Part};
use crate::wire::path::Pattern;
use crate::wire::registration::Heartbeat;

/// Keys, scopes and wall-clock time that the adapter supplies with each frame.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FrameContext<'b> {
    /// The gateway's keys.
    pub keys: &'b OwnKeys,
    /// The gateway's static key before the last rotation, while nodes may still link with it.
    pub older: Option<&'b KeyPair>,
    /// The rights of the peer of a link; `None` if it has none.
    pub in_force: Option<InForce<'b>>,
    /// The keys of setup codes that count now.
    pub setup: &'b [SetupKey],
    /// The number of further patterns that the peer may subscribe to.
    pub subscriptions_left: usize,
    /// The time of day.
    pub now: UnixTime,
}

/// The events that a connection reacts to.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// A frame came.
    Frame {
        /// The frame's bytes; they are decrypted in place.
        bytes: &'b mut [u8],
        /// Fresh entropy, supplied with every frame even if the frame needs none.
        entropy: Entropy<32>,
        /// The keys, scopes and time to read the frame with.
        around: FrameContext<'b>,
    },
    /// A frame came that is the [first message of a link](Cost::Link), and the same message came
    /// before.
    Repeated,
    /// Answers [`NativeRequest::Find`] and [`NativeRequest::FindNode`] with what is known of the node. Carries the time of day, and entropy
    /// for the ephemeral key of the answer.
    Found(Result<Option<KnownPeer<'b>>, Refusal>, UnixTime, Entropy<32>),
    /// Answers [`NativeRequest::Enter`]: the handshake has a place, or the reason why it has none.
    Entered(Result<(), NoPlace>),
    /// Answers [`NativeRequest::Attach`] with the registry's state once pushes reach this connection.
    Attached(Result<Option<KnownPeer<'b>>, Refusal>, UnixTime),
    /// Answers [`Effect::Ask`] with the next stage of the request.
    Prepared(Prepared<'b>),
    /// Answers [`NativeRequest::Reserve`]: the guess is counted, durably, with the number of guesses left.
    Reserved(Result<u8, NoGuess>),
    /// Answers [`NativeRequest::Spend`]: `true` if the code was still there to be spent; an error if the
    /// store failed.
    Spent(Result<bool, Refusal>),
    /// Answers [`Effect::Settle`] with the decision.
    Settled(PairVerdict<'b>),
    /// Answers [`NativeRequest::Activate`], with the time of day.
    Activated(Result<Confirmation, Refusal>, UnixTime),
    /// Answers [`Effect::Present`]: the chain's end, or `None` if it is not valid; and the time of
    /// day.
    Presented(Option<UnixTime>, UnixTime),
    /// Answers [`NativeRequest::Renew`] with the offer; `None` if there is none.
    Renewed(Option<Offer<'b>>),
    /// Answers [`Effect::Issue`] with the certificate; `None` if the gateway issues none.
    Issued(Result<Option<IssuedCertificate<'b>>, Refusal>),
    /// Answers [`NativeRequest::Addresses`] with the list that the node has not confirmed, or says
    /// that there is another one.
    Addresses(GatewayAddresses<'b>),
    /// Answers [`NativeRequest::Name`] with the gateway's name, or says that it has changed.
    Name(Label<'b>),
    /// The rights in force for the node of a link were looked up anew.
    Bounded {
        /// The end of these rights, and of the link with them.
        until: Option<UnixTime>,
        /// `true` if no right is in force, and the node may only renew its grant.
        renews: bool,
        /// The time of day.
        unix: UnixTime,
    },
    /// A subscription has ended, because what is in force does not cover it any more.
    Unsubscribed(Pattern<'b>),
    /// The application sends a message to the peer of a link, at this time of day.
    Deliver(App<'b>, UnixTime),
    /// A task for the node of a link, at this time of day. Unless it can be sent now, the answer is
    /// [`NativeRequest::NotDispatched`].
    Dispatch(Dispatch<'b>, UnixTime),
    /// The dispatch with this id is to be stopped.
    Cancel(DispatchId),
    /// What became of the dispatch with this id and number? The answer is [`Effect::Answered`], if
    /// one comes.
    Query(DispatchId, u64),
    /// The operator pings the node of a link. The answer is [`NativeRequest::Ponged`] with this number.
    Ping(u32),
    /// The operator decided something, or the peer came back on another connection.
    Push(Notice),
    /// The deadline has come, at this time of day.
    Tick(UnixTime),
    /// The store failed to carry out the last effect.
    StoreFailed,
    /// The gateway shuts down.
    Shutdown,
    /// Another connection needs this one's slot.
    Evict,
    /// The connection is gone.
    Closed,
}

/// The cost of reading a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Cost<'f> {
    /// Next to nothing, or the frame comes from a peer that has paid.
    Nothing,
    /// Two key agreements, for the first message of a link with this ephemeral key.
    Link(Option<&'f [u8; 32]>),
    /// Three key agreements, to answer a stranger's handshake.
    Stranger,
}

/// The registry's knowledge of a static key.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KnownPeer<'b> {
    /// The record of the key's node.
    pub record: &'b Record,
    /// The node's grants, in the order in which they were made.
    pub grants: &'b [Grant],
    /// The operator's upper bound of the node's rights; `None` if nobody has set one.
    pub ceiling: Option<&'b Ceiling>,
    /// The outcome of comparing the mark that the node has shown. It counts in
    /// [`Input::Attached`] alone.
    pub clone: CloneStanding,
}

/// The outcome of comparing a node's mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloneStanding {
    /// `true` while the node is in quarantine: its links stay, and it may do nothing.
    pub quarantined: bool,
    /// The mark that the node is to store next.
    pub offer: Option<CloneMark>,
    /// `true` if a newer mark was confirmed while this link began, so what it has shown proves
    /// nothing: the link ends, and the node opens another one.
    pub overtaken: bool,
}

impl CloneStanding {
    /// Returns what a verdict means for the link of the node with this static key.
    #[must_use]
    pub fn of(verdict: &LinkVerdict, key: &MarkKey, node: &PublicKey) -> Self {
        Self {
            quarantined: verdict.quarantined,
            offer: verdict.offer.map(|value| CloneMark::make(key, node, value)),
            overtaken: verdict.overtaken,
        }
    }
}

/// A node that may link.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct LinkPermission {
    pub(super) node_id: NodeId,
    /// The end of the node's rights.
    pub(super) until: Option<UnixTime>,
    /// `true` if the node's grant has expired, and it may only renew it.
    pub(super) renews: bool,
}

impl KnownPeer<'_> {
    /// Returns the node if it may link now, and with which rights.
    pub(super) fn admitted(&self, now: UnixTime, limits: &Limits) -> Option<LinkPermission> {
        let node_id = self.record.node_id;
        match &self.record.standing {
            Standing::Paired { credential: Credential::Keys, .. }
            | Standing::Muted { credential: Credential::Keys, .. } => {
                match entitled(self.grants, self.ceiling, limits.renew_after_expiry, now) {
                    Entitled::InForce(_, until) => {
                        Some(LinkPermission { node_id, until, renews: false })
                    }
                    Entitled::Renewal => {
                        Some(LinkPermission { node_id, until: None, renews: true })
                    }
                    Entitled::Nothing => None,
                }
            }
            Standing::Paired {
                credential: Credential::Token(_) | Credential::Undelivered(_),
                ..
            }
            | Standing::Muted {
                credential: Credential::Token(_) | Credential::Undelivered(_),
                ..
            }
            | Standing::Pending { .. }
            | Standing::Unapproved { .. }
            | Standing::Revoked { .. } => None,
        }
    }

    /// Returns the node's signing key, if it has one.
    pub(super) fn signing(&self) -> Option<&ed25519::PublicKey> {
        self.record.keys.as_ref().and_then(|keys| keys.signing.as_ref())
    }

    pub(super) const fn is_muted(&self) -> bool {
        matches!(self.record.standing, Standing::Muted { .. })
    }
}

/// The next stage of a request to pair.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Prepared<'b> {
    /// The request is refused.
    Refused(pair::PairRefusal<'b>),
    /// The node has to prove a PIN that the operator is shown now.
    Pin {
        /// The id of the PIN.
        id: CodeId,
        /// The PIN itself.
        code: Code,
        /// The PIN's remaining life in seconds.
        expires_in: u32,
        /// The number of guesses left.
        attempts: u8,
    },
    /// The node has to prove a code that was minted beforehand. If no code has this selector, `id`
    /// is `None` and the code is [`Code::nobodys`].
    Code {
        /// The id of the code; `None` for nobody's code.
        id: Option<CodeId>,
        /// The code itself.
        code: Code,
    },
    /// The node has to send a setup code next.
    Setup,
    /// The node has no code to prove; the request is settled at once.
    Settle,
}

/// The outcome of a request to pair.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PairVerdict<'b> {
    /// The node is paired and gets this grant.
    Offered(Offer<'b>),
    /// The operator has to decide.
    Waits {
        /// The seconds until the request expires.
        expires_in: u32,
    },
    /// The request is refused.
    Refused(pair::PairRefusal<'b>),
}

/// A grant, durable and ready to be sent.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Offer<'b> {
    /// The id of the grant.
    pub id: GrantId,
    /// The node that the grant is for.
    pub node_id: NodeId,
    /// The node's room in the registry.
    pub room: Label<'b>,
    /// A bearer token for flows without a sealed channel.
    pub token: Option<crate::wire::token::Token>,
    /// The capability token, encoded.
    pub chain: Option<&'b [u8]>,
    /// The operator's message to the node.
    pub message: Option<Words<'b>>,
}

/// A request for a certificate. Only a verified signature leads to one.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Issue<'b> {
    /// Of the node whose request to pair was [asked](Effect::Ask) and granted: an X.509 certificate
    /// if that request has a certificate request, else the compact one.
    Asked,
    /// Of the linked node.
    Renewal(VerifiedRenewal<'b>),
}

/// A certificate, durable and ready to be sent.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IssuedCertificate<'b> {
    /// The number of the certificate among those of its node.
    pub number: u64,
    /// The certificate's kind: [`Object::Certificates`] or [`Object::CompactCertificate`].
    pub object: Object,
    /// The object's bytes.
    pub bytes: &'b [u8],
}

/// The outcome of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Confirmation {
    /// The grant is in force, until the given end if there is one.
    Active(Option<UnixTime>),
    /// No such offer exists, or it exists no longer.
    NotThere,
}

/// A node's proof, before its request is settled. Only a verified tag makes a `Code`, and only a
/// verified signature a `Setup`.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Proof<'b> {
    /// The node's static key alone.
    Nothing,
    /// Proof that the node knows this code, which is spent now.
    Code(CodeId, Confirmed),
    /// A setup code of this gateway, to be spent in the step that settles.
    Setup(VerifiedSetupCode<'b>),
}

/// An action that a connection asks its adapter for.
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box a request with; it comes once"
)]
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Send a frame.
    Send(&'b [u8]),
    /// Close the connection; on a byte stream, end the stream.
    Close(Close),
    /// The holder of this static key asks to pair, and [`plan`](crate::flow::native::settle::plan) gives the next stage. Keep the
    /// request until it is settled.
    Ask(PublicKey, VerifiedAsk<'b>),
    /// Decide about the request that was asked, or pass it to the operator.
    Settle(Proof<'b>),
    /// Record the node's telemetry, and the time at which it was seen.
    Observe(Heartbeat<'b>),
    /// Append this part to the earlier ones.
    Part(Part<'b>),
    /// Verify this chain, or the one that came in parts, for the peer's static key. Its scopes are
    /// the peer's from now on.
    Present(Option<&'b [u8]>),
    /// Hand the application a message that the scopes allow.
    App(App<'b>),
    /// Deliver messages that match this pattern from now on; the scopes allow it.
    Subscribe(Pattern<'b>),
    /// Issue a certificate.
    Issue(Issue<'b>),
    /// The node has this capability.
    Announced(Announce<'b>),
    /// The node reports the state of a dispatch.
    Outcome(DispatchResult<'b>),
    /// The node reports how far a dispatch has come.
    Progress(DispatchProgress<'b>),
    /// The node answers what became of a dispatch.
    Answered(DispatchAnswer<'b>),
    /// Carry out a request that needs no connection.
    Request(NativeRequest),
}

/// A request of a connection to the adapter. It owns all it carries, so it can wait.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NativeRequest {
    /// The peer has authenticated: give back the permit that was taken to read its message, and its
    /// handshake's place.
    Refund,
    /// Look up what is known of this static key.
    Find(PublicKey),
    /// Look up what is known of this node, which TLS or a signature proves.
    FindNode(NodeId),
    /// Give this handshake of a known key one of the key's places to prove itself
    /// ([`crate::budget::Proving`]), unless its ephemeral key came
    /// [before](crate::budget::Replays): a recorded first message can be replayed.
    Enter(PublicKey, [u8; 32]),
    /// Make this the node's live connection, tell an older one [`Notice::Replaced`], and then look
    /// it up once more, and compare the mark that it has shown.
    Attach(NodeId, Option<CloneMark>),
    /// The peer is linked: its connection leaves the places of those that have not authenticated,
    /// and a node counts as seen from now on.
    Linked(Peer),
    /// Take the connection out of the table of live ones, if it is still the node's there.
    Detach,
    /// Reserve a guess durably, before it is compared. `None` stands for nobody's code, and must
    /// cost the same.
    Reserve(Option<CodeId>),
    /// The guess that was reserved last was wrong; this many are left.
    GuessWrong {
        /// The number of guesses left.
        left: u8,
    },
    /// The guess was right: give it back, and spend the code durably.
    Spend(CodeId),
    /// The node has stored this grant.
    Activate(GrantId),
    /// Make a new grant.
    Renew(RenewKind),
    /// The node has stored the certificate with this number.
    CertificateStored(u64),
    /// The node has stored this mark.
    MarkStored(CloneMark),
    /// The node takes the gateway's name: answer with [`Input::Name`] if there is one.
    Name,
    /// The node keeps the gateway's addresses: answer with [`Input::Addresses`] if it has not
    /// confirmed the present ones.
    Addresses,
    /// The node has stored the addresses of the last [`Input::Addresses`].
    KnowsAddresses,
    /// The node has proven that it knows this static key of the gateway: it has linked with it, or
    /// has stored it.
    KnowsKey(PublicKey),
    /// The dispatch with this id was not sent, because the peer may not get it or takes none.
    NotDispatched(DispatchId),
    /// The node has answered the ping with this number, or takes none.
    Ponged(u32, PingAnswer),
}

impl From<NativeRequest> for Effect<'_> {
    fn from(request: NativeRequest) -> Self {
        Self::Request(request)
    }
}

/// The part of a grant that a peer requests again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RenewKind {
    /// A bearer token for HTTP.
    Token,
    /// The capability token.
    Chain,
}

/// The outcome of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PingAnswer {
    /// The node's answer came.
    Came,
    /// The peer takes no pings, so none was sent.
    NotTaken,
}

/// The authenticated peer of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Peer {
    /// A node of the registry.
    Node(NodeId),
    /// The holder of a capability token, which alone tells the gateway the holder's key.
    Delegate(PublicKey),
}
