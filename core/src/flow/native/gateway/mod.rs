//! The gateway's end of one connection of the native wire, from `Open` to its close.
//!
//! ```text
//! AwaitOpen ─▶ AwaitFirst ─┬─ XX ─▶ AwaitThird ─┬─ Pair ─────▶ Pairing …
//!                          │                    └─ Delegate ─▶ Link (a chain is due)
//!                          └─ IK ─▶ Finding ─▶ Entering ─▶ Proving ─first sealed message─▶ Attaching ─▶ Link
//! ```
//! `Open` costs nothing and is charged to nobody. What a frame costs to be read,
//! [`Connection::cost`] says, and who reads it takes a turn first, and a permit of its source's
//! budget; the permit is given back at [`Effect::Refund`], and stays spent where the connection
//! ends before.
//!
//! What IK's first message says can be a replay. Until the node's first sealed message nothing
//! changes because of it: no older link ends, nothing is kept.

mod link;
mod opening;
mod pairing;

use crate::budget::NoPlace;
use crate::crypto::code::Code;
use crate::crypto::cpace::Confirmed;
use crate::crypto::keys::OwnKeys;
use crate::crypto::x25519::PublicKey;
use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::grant::setup_code::{SetupKey, Verified};
use crate::id::NodeId;
use crate::limits::Limits;
use crate::registry::ceiling::{Ceiling, Entitled, InForce, entitled};
use crate::registry::codes::{CodeId, NoGuess};
use crate::registry::grants::{Grant, GrantId};
use crate::registry::lifecycle::Notice;
use crate::registry::record::{Cause, Credential, Record, Standing};
use crate::step::{Machine, Step};
use crate::text::Label;
use crate::time::{Instant, Reason, UnixTime};
use crate::wire::close::Close;
use crate::wire::native::Reason as Words;
use crate::wire::native::link::{App, Renew};
use crate::wire::native::pair::{self, Asked};
use crate::wire::native::part::Part;
use crate::wire::path::Pattern;
use crate::wire::registration::Heartbeat;
use link::Link;
use opening::Opening;
use pairing::Pairing;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box a state with, and one of these is a whole connection"
)]
enum State {
    Opening(Opening),
    Pairing(Pairing),
    Link(Link),
    Closed,
}

/// What a frame is looked at with; the adapter's, and as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Around<'b> {
    /// The gateway's keys.
    pub keys: &'b OwnKeys,
    /// What the peer of a link may do; none if that is nothing.
    pub in_force: Option<InForce<'b>>,
    /// The keys of setup codes that count now.
    pub setup: &'b [SetupKey],
    /// To how many patterns more it may subscribe.
    pub subscriptions_left: usize,
    /// What time it is.
    pub now: UnixTime,
}

/// What may happen to a connection.
#[derive(Debug)]
pub enum Input<'b> {
    /// A frame came.
    Frame {
        /// Its bytes; they are opened where they stand.
        bytes: &'b mut [u8],
        /// Fresh, whether or not it is needed.
        entropy: Entropy<32>,
        /// The rest.
        around: Around<'b>,
    },
    /// A frame came that was [to be a first message](Cost::Link), and somebody sent it before.
    Repeated,
    /// Answers [`Effect::Find`] with what is known of the key. Carries the ephemeral key of the
    /// answer.
    Found(Result<Option<Known<'b>>, Refusal>, UnixTime, Entropy<32>),
    /// Answers [`Effect::Enter`].
    Entered(Result<(), NoPlace>),
    /// Answers [`Effect::Attach`] with the same as it is once pushes reach this connection.
    Attached(Result<Option<Known<'b>>, Refusal>, UnixTime),
    /// Answers [`Effect::Ask`].
    Prepared(Prepared<'b>),
    /// Answers [`Effect::Reserve`]: the guess is counted, durably, and so many are left.
    Reserved(Result<u8, NoGuess>),
    /// Answers [`Effect::Spend`]: whether the code was still there to be spent; or the store
    /// failed.
    Spent(Result<bool, Refusal>),
    /// Answers [`Effect::Settle`].
    Settled(Verdict<'b>),
    /// Answers [`Effect::Activate`]; and what time it is.
    Activated(Result<Confirmation, Refusal>, UnixTime),
    /// Answers [`Effect::Present`]: until when the chain counts, or that it does not; and what time
    /// it is.
    Presented(Option<UnixTime>, UnixTime),
    /// Answers [`Effect::Renew`].
    Renewed(Option<Offer<'b>>),
    /// What is in force for the node of a link was looked up anew.
    Bounded {
        /// It ends then, and the link with it.
        until: Option<UnixTime>,
        /// It is nothing: the node may have its grant made anew, and no more.
        renews: bool,
        /// What time it is.
        unix: UnixTime,
    },
    /// A subscription has ended, because what is in force does not cover it any more.
    Unsubscribed(Pattern<'b>),
    /// The application sends something to the peer of a link; and what time it is.
    Deliver(App<'b>, UnixTime),
    /// The operator decided something, or the peer came back on another connection.
    Push(Notice),
    /// The deadline has come; and what time it is.
    Tick(UnixTime),
    /// What was asked of the store last could not be done.
    StoreFailed,
    /// The gateway shuts down.
    Shutdown,
    /// Somebody else needs the seat.
    Evict,
    /// The connection is gone.
    Closed,
}

/// What it takes to read a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost<'f> {
    /// Next to nothing, or it comes from a peer that has paid.
    Nothing,
    /// Two key agreements: it is to be the first message of a link, with this ephemeral key.
    Link(Option<&'f [u8; 32]>),
    /// Three: a stranger's handshake is to be answered.
    Stranger,
}

/// What the registry knows of a static key.
#[derive(Clone, Copy, Debug)]
pub struct Known<'b> {
    /// Its node.
    pub record: &'b Record,
    /// What the node was given, in the order in which it was.
    pub grants: &'b [Grant],
    /// What it may do at most, if somebody has decided that.
    pub ceiling: Option<&'b Ceiling>,
}

/// A node that may link.
#[derive(Clone, Copy, Debug)]
struct Admitted {
    node_id: NodeId,
    /// When what it may do ends.
    until: Option<UnixTime>,
    /// What it was given ran out: it may have it made anew, and no more.
    renews: bool,
}

impl Known<'_> {
    /// The node that may link now, and for what.
    fn admitted(&self, now: UnixTime, limits: &Limits) -> Option<Admitted> {
        let node_id = self.record.node_id;
        match &self.record.standing {
            Standing::Paired { credential: Credential::Keys, .. }
            | Standing::Muted { credential: Credential::Keys, .. } => {
                match entitled(self.grants, self.ceiling, limits.renew_after_expiry, now) {
                    Entitled::InForce(_, until) => Some(Admitted { node_id, until, renews: false }),
                    Entitled::Renewal => Some(Admitted { node_id, until: None, renews: true }),
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

    const fn is_muted(&self) -> bool {
        matches!(self.record.standing, Standing::Muted { .. })
    }
}

/// How a request to pair goes on.
#[derive(Debug)]
pub enum Prepared<'b> {
    /// Not at all.
    Refused(pair::Refusal<'b>),
    /// With a PIN that is shown now.
    Pin {
        /// Which.
        id: CodeId,
        /// What it is.
        code: Code,
        /// For so many seconds.
        expires_in: u32,
        /// How often it may be tried yet.
        attempts: u8,
    },
    /// With a code that was minted beforehand; none if nobody minted one with this selector: then
    /// the code is [`Code::nobodys`].
    Code {
        /// Which.
        id: Option<CodeId>,
        /// What it is.
        code: Code,
    },
    /// With a setup code, which comes next.
    Setup,
    /// It has no code to show: settle it.
    Settle,
}

/// What became of a request to pair.
#[derive(Debug)]
pub enum Verdict<'b> {
    /// The node is paired, and this is for it.
    Offered(Offer<'b>),
    /// The operator has to decide, within so many seconds.
    Waits {
        /// How many.
        expires_in: u32,
    },
    /// No.
    Refused(pair::Refusal<'b>),
}

/// A grant, durable and ready to be sent.
#[derive(Debug)]
pub struct Offer<'b> {
    /// Which.
    pub id: GrantId,
    /// Whose.
    pub node_id: NodeId,
    /// Where the registry says the node stands.
    pub room: Label<'b>,
    /// A bearer token for doors without a sealed channel.
    pub token: Option<crate::wire::token::Token>,
    /// The capability, as bytes.
    pub chain: Option<&'b [u8]>,
    /// What is to be said to the node.
    pub message: Option<Words<'b>>,
}

/// What became of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// The grant counts, until then if there is an end.
    Active(Option<UnixTime>),
    /// There is no such offer (any more).
    NotThere,
}

/// What a node showed before its request is settled. Only a verified tag makes a `Code`, and only a
/// verified signature a `Setup`.
#[derive(Debug)]
pub enum Proof<'b> {
    /// Nothing but its key.
    Nothing,
    /// That it knows this code, which is spent now.
    Code(CodeId, Confirmed),
    /// A setup code of ours. It is to be spent in the step that settles.
    Setup(Verified<'b>),
}

/// What a connection asks for.
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box a request with; it comes once"
)]
#[derive(Debug)]
pub enum Effect<'b> {
    /// Send a frame.
    Send(&'b [u8]),
    /// Close the connection; a byte stream just ends.
    Close(Close),
    /// The peer has proven what it says to be: give back the permit that was taken to read it, and
    /// the place of its handshake.
    Refund,
    /// Look up what is known of this static key.
    Find(PublicKey),
    /// Give this handshake of a known key one of the key's places to prove itself
    /// ([`crate::budget::Proving`]), unless its ephemeral key came
    /// [before](crate::budget::Replays): somebody may repeat what the node once sent.
    Enter(PublicKey, [u8; 32]),
    /// Make this the node's live connection, tell an older one [`Notice::Replaced`], and then look
    /// it up once more.
    Attach(NodeId),
    /// Take the connection out of the table of live ones, if it is still the node's there.
    Detach,
    /// Somebody with this static key asks, and [`plan`] says with what it has to go on. Keep the
    /// request until it is settled.
    Ask(PublicKey, Asked<'b>),
    /// Reserve a guess durably, before it is compared; none: nobody's code, at the same cost.
    Reserve(Option<CodeId>),
    /// The guess was right: give it back and spend the code, durably.
    Spend(CodeId),
    /// Decide about the request that was asked, or have it decided.
    Settle(Proof<'b>),
    /// The node has stored this grant.
    Activate(GrantId),
    /// Keep what the node told, and that it was there.
    Observe(Heartbeat<'b>),
    /// Put this part to those before it.
    Part(Part<'b>),
    /// Verify this chain, or the one that came in parts, for the peer's static key, and take its
    /// scopes for the peer's from now on.
    Present(Option<&'b [u8]>),
    /// Something of the application's that the scopes allow.
    App(App<'b>),
    /// Deliver what happens there from now on; the scopes allow it.
    Subscribe(Pattern<'b>),
    /// Make a grant anew.
    Renew(Renew<'b>),
}

/// How a request to pair has to go on, from what is known of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Refuse it: this key was revoked, which is final.
    RefuseRevoked,
    /// Offer what was granted once more; where nothing counts any more, refuse it as expired.
    OfferAgain,
    /// Mint a PIN for this key and show it, if pairing is open.
    ShowPin,
    /// Find the code.
    FindCode(pair::Selector),
    /// A setup code comes next.
    AwaitSetup,
    /// Nothing has to be shown: settle it.
    Settle,
}

/// Decides how a request goes on. A node that is known by its key and asks without a code gets
/// again what it was granted: its answer was lost, or it is.
#[must_use]
pub const fn plan(standing: Option<&Standing>, method: pair::Method) -> Plan {
    match (standing, method) {
        (Some(Standing::Revoked { cause: Cause::Barred | Cause::Unpaired }), _) => {
            Plan::RefuseRevoked
        }
        (Some(Standing::Paired { .. } | Standing::Muted { .. }), pair::Method::Approval) => {
            Plan::OfferAgain
        }
        (_, pair::Method::Pin) => Plan::ShowPin,
        (_, pair::Method::Setup) => Plan::AwaitSetup,
        (_, pair::Method::Code { selector }) => Plan::FindCode(selector),
        // Who was only turned down may ask again; settling says when.
        (
            Some(
                Standing::Pending { .. }
                | Standing::Unapproved { .. }
                | Standing::Revoked { cause: Cause::Rejected },
            )
            | None,
            pair::Method::Approval,
        ) => Plan::Settle,
    }
}

/// Who is at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A node of the registry.
    Node(NodeId),
    /// A holder of a chain; the gateway knows its key from the chain alone.
    Delegate(PublicKey),
}

impl Connection {
    /// A connection that was just accepted.
    #[must_use]
    pub const fn accepted(now: Instant, limits: Limits) -> Self {
        Self { limits, state: State::Opening(Opening::accepted(now, &limits)) }
    }

    /// Who is at the other end, proven and let in.
    #[must_use]
    pub const fn linked(&self) -> Option<Peer> {
        match &self.state {
            State::Link(link) => link.peer(),
            State::Opening(_) | State::Pairing(_) | State::Closed => None,
        }
    }

    /// Whether what others send to the peer may be delivered now.
    #[must_use]
    pub const fn receives(&self) -> bool {
        matches!(&self.state, State::Link(link) if link.receives())
    }

    /// Whether it waits for a person, to decide or to type a code, and can come back to what it
    /// waits for if it is put out.
    #[must_use]
    pub const fn waits_for_person(&self) -> bool {
        matches!(&self.state, State::Pairing(pairing) if pairing.waits_for_person())
    }

    /// What it takes to read this frame, if it is the next one.
    #[must_use]
    pub fn cost<'f>(&self, frame: &'f [u8]) -> Cost<'f> {
        match &self.state {
            State::Opening(opening) => opening.cost(frame),
            State::Pairing(_) | State::Link(_) | State::Closed => Cost::Nothing,
        }
    }

    /// Whether the peer, which has proven nothing yet, owes its next message: it may have to make
    /// room.
    #[must_use]
    pub const fn stalls(&self) -> bool {
        match &self.state {
            State::Opening(opening) => opening.stalls(),
            State::Pairing(pairing) => pairing.stalls(),
            State::Link(link) => link.stalls(),
            State::Closed => false,
        }
    }

    /// The static key that the peer has proven to hold, once it has.
    #[must_use]
    pub const fn peer_key(&self) -> Option<&PublicKey> {
        match &self.state {
            State::Pairing(pairing) => Some(&pairing.channel().peer),
            State::Link(link) => Some(&link.channel().peer),
            State::Opening(_) | State::Closed => None,
        }
    }

    /// Whether it has ended: nothing happens any more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether an effect's answer is due. Until it has come the adapter reads no further frame.
    #[must_use]
    pub const fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Opening(opening) => opening.awaits_answer(),
            State::Pairing(pairing) => pairing.awaits_answer(),
            State::Link(link) => link.awaits_answer(),
            State::Closed => false,
        }
    }

    /// A name of the state, for traces and tables.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match &self.state {
            State::Opening(opening) => opening.name(),
            State::Pairing(pairing) => pairing.name(),
            State::Link(link) => link.name(),
            State::Closed => "Closed",
        }
    }
}

impl Machine for Connection {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Effect<'b>> {
        let limits = self.limits;
        let step = match self.state {
            State::Opening(opening) => opening::step(opening, now, &limits, input, scratch),
            State::Pairing(pairing) => pairing::step(pairing, now, &limits, input, scratch),
            State::Link(link) => link::step(link, now, &limits, input, scratch),
            State::Closed => Step::quiet(State::Closed),
        };
        step.wrap(|state| Self { limits, state }, |effect| effect)
    }

    fn deadline(&self) -> Option<(Instant, Reason)> {
        match &self.state {
            State::Opening(opening) => opening.deadline(),
            State::Pairing(pairing) => pairing.deadline(),
            State::Link(link) => Some(link.deadline()),
            State::Closed => None,
        }
    }
}

fn close<'b>(reason: Close) -> Step<State, Effect<'b>> {
    Step::with(State::Closed, [Effect::Close(reason)])
}

const _: () = assert!(
    core::mem::size_of::<Connection>() <= 640,
    "one of these stands in memory for every connection"
);
