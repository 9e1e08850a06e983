//! The inputs and effects of the machine.

use crate::budget::NoPlace;
use crate::crypto::code::Code;
use crate::crypto::cpace::Confirmed;
use crate::crypto::keys::OwnKeys;
use crate::crypto::x25519::PublicKey;
use crate::entropy::Entropy;
use crate::error::Refusal;
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
use crate::wire::native::ReasonText as Words;
use crate::wire::native::link::{App, Renew};
use crate::wire::native::pair::{self, VerifiedAsk};
use crate::wire::native::part::Part;
use crate::wire::path::Pattern;
use crate::wire::registration::Heartbeat;

/// Keys, scopes and wall-clock time that the adapter supplies with each frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameContext<'b> {
    /// The gateway's keys.
    pub keys: &'b OwnKeys,
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
    /// Answers [`Effect::Find`] with what is known of the key. Carries the time of day, and entropy
    /// for the ephemeral key of the answer.
    Found(Result<Option<KnownPeer<'b>>, Refusal>, UnixTime, Entropy<32>),
    /// Answers [`Effect::Enter`]: the handshake has a place, or the reason why it has none.
    Entered(Result<(), NoPlace>),
    /// Answers [`Effect::Attach`] with the registry's state once pushes reach this connection.
    Attached(Result<Option<KnownPeer<'b>>, Refusal>, UnixTime),
    /// Answers [`Effect::Ask`] with the next stage of the request.
    Prepared(Prepared<'b>),
    /// Answers [`Effect::Reserve`]: the guess is counted, durably, with the number of guesses left.
    Reserved(Result<u8, NoGuess>),
    /// Answers [`Effect::Spend`]: `true` if the code was still there to be spent; an error if the
    /// store failed.
    Spent(Result<bool, Refusal>),
    /// Answers [`Effect::Settle`] with the decision.
    Settled(PairVerdict<'b>),
    /// Answers [`Effect::Activate`], with the time of day.
    Activated(Result<Confirmation, Refusal>, UnixTime),
    /// Answers [`Effect::Present`]: the chain's end, or `None` if it is not valid; and the time of
    /// day.
    Presented(Option<UnixTime>, UnixTime),
    /// Answers [`Effect::Renew`] with the offer; `None` if there is none.
    Renewed(Option<Offer<'b>>),
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
    /// The operator pings the node of a link. The answer is [`Effect::Ponged`] with this number.
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
pub struct KnownPeer<'b> {
    /// The record of the key's node.
    pub record: &'b Record,
    /// The node's grants, in the order in which they were made.
    pub grants: &'b [Grant],
    /// The operator's upper bound of the node's rights; `None` if nobody has set one.
    pub ceiling: Option<&'b Ceiling>,
}

/// A node that may link.
#[derive(Clone, Copy, Debug)]
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

    pub(super) const fn is_muted(&self) -> bool {
        matches!(self.record.standing, Standing::Muted { .. })
    }
}

/// The next stage of a request to pair.
#[derive(Debug)]
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

/// The outcome of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The grant is in force, until the given end if there is one.
    Active(Option<UnixTime>),
    /// No such offer exists, or it exists no longer.
    NotThere,
}

/// A node's proof, before its request is settled. Only a verified tag makes a `Code`, and only a
/// verified signature a `Setup`.
#[derive(Debug)]
pub enum Proof<'b> {
    /// The node's static key alone.
    Nothing,
    /// Proof that the node knows this code, which is spent now.
    Code(CodeId, Confirmed),
    /// A setup code of this gateway, to be spent in the step that settles.
    Setup(VerifiedSetupCode<'b>),
}

/// The actions that a connection asks its adapter for.
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box a request with; it comes once"
)]
#[derive(Debug)]
pub enum Effect<'b> {
    /// Send a frame.
    Send(&'b [u8]),
    /// Close the connection; on a byte stream, end the stream.
    Close(Close),
    /// The peer has authenticated: give back the permit that was taken to read its message, and its
    /// handshake's place.
    Refund,
    /// Look up what is known of this static key.
    Find(PublicKey),
    /// Give this handshake of a known key one of the key's places to prove itself
    /// ([`crate::budget::Proving`]), unless its ephemeral key came
    /// [before](crate::budget::Replays): a recorded first message can be replayed.
    Enter(PublicKey, [u8; 32]),
    /// Make this the node's live connection, tell an older one [`Notice::Replaced`], and then look
    /// it up once more.
    Attach(NodeId),
    /// Take the connection out of the table of live ones, if it is still the node's there.
    Detach,
    /// The holder of this static key asks to pair, and [`plan`](crate::flow::native::settle::plan) gives the next stage. Keep the
    /// request until it is settled.
    Ask(PublicKey, VerifiedAsk<'b>),
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
    /// Decide about the request that was asked, or pass it to the operator.
    Settle(Proof<'b>),
    /// The node has stored this grant.
    Activate(GrantId),
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
    /// Make a new grant.
    Renew(Renew<'b>),
    /// The node has answered the ping with this number, or takes none.
    Ponged(u32, PingAnswer),
}

/// The outcome of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingAnswer {
    /// The node's answer came.
    Came,
    /// The peer takes no pings, so none was sent.
    NotTaken,
}

/// The authenticated peer of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A node of the registry.
    Node(NodeId),
    /// The holder of a capability token, which alone tells the gateway the holder's key.
    Delegate(PublicKey),
}
