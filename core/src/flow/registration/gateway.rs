//! The gateway's end of one connection of the `missy` dialect, from its first frame to its close.
//!
//! ```text
//!             pair_request                    auth
//!  Asking ◀────────────── AwaitFirst ──────────────▶ Loading ──(not recognised)──▶ Hashing
//!    │ Admitted                │                        │ recognised                 │ verified
//!    ▼                         │ silence, nonsense      ▼                            ▼
//!  Closed ◀────────────────────┴──────────────────── Attaching ◀─────────────────────┘
//!                                                       │ still paired
//!                                                       ▼
//!                                                     Linked
//! ```
//! The first use of a token that is being delivered confirms the delivery: between its verification
//! and `Attaching`, the confirmation is made durable (`Confirming`).

use core::fmt::Write as _;

use crate::error::{Malformed, Refusal};
use crate::grant::token::{self, HashJob, Hashed, ProofKey, ProofTag, Token, TokenHash, Verified};
use crate::id::NodeId;
use crate::limits::{self, Limits};
use crate::link::gateway::{self as link, Link};
use crate::registry::delivery::DeliveryId;
use crate::registry::lifecycle::Notice;
use crate::registry::record::{Record, Standing};
use crate::step::{Machine, Step};
use crate::time::{Instant, Reason, Span};
use crate::wire::close::Close;
use crate::wire::missy;
use crate::wire::registration::{
    Auth, AuthFailure, GatewayMessage, Heartbeat, NodeMessage, PairRequest,
};

/// The machine of one connection.
#[derive(Debug)]
pub struct RegistrationConnection {
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    AwaitFirst { until: Instant },
    Asking,
    Loading { node_id: NodeId, token: Token },
    Hashing { node_id: NodeId, stored: Tagged },
    Confirming { node_id: NodeId, verified: Verified, tag: ProofTag },
    Attaching { node_id: NodeId, verified: Verified },
    Linked(Link),
    Closed,
}

/// The valid tokens of a record, each with the tag that the presented token has if it is that one.
#[derive(Debug, Default)]
struct Tagged {
    newest: Option<(TokenHash, ProofTag)>,
    /// The delivery of the newest token, while it is under way.
    delivery: Option<DeliveryId>,
    /// The token that stays valid until then.
    older: Option<(TokenHash, ProofTag)>,
}

/// An event on a connection.
#[derive(Debug)]
pub enum Input<'b> {
    /// A text frame arrived.
    Text(&'b str),
    /// A binary frame arrived.
    Binary(&'b [u8]),
    /// The peer answered a ping.
    Pong,
    /// The answer to [`Effect::Admit`]: the id under which the request waits, durably.
    Admitted(Result<NodeId, Refusal>),
    /// The answer to [`Effect::Load`].
    Loaded(Lookup<'b>),
    /// The answer to [`Effect::Hash`]; an error if the source has failed too often or the pool is
    /// full.
    Hashed(Result<Hashed, Refusal>),
    /// The answer to [`Effect::Confirm`]: the delivery is durably confirmed, now or before;
    /// [`Refusal::InvalidCredentials`] if it was undone.
    Confirmed(Result<(), Refusal>),
    /// The answer to [`Effect::Attach`]: the record, read once pushes reach this connection.
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
pub struct Lookup<'b> {
    /// The node's record, if there is one; an error if the store failed.
    pub record: Result<Option<&'b Record>, Refusal>,
    /// The tag of the token that the node last proved to this process.
    pub kept: Option<ProofTag>,
    /// The key of such tags.
    pub key: &'b ProofKey,
}

/// A request of a connection to the adapter.
#[derive(Debug)]
pub enum Effect<'b> {
    /// Send a text frame.
    Send(&'b str),
    /// Send a ping.
    Ping,
    /// Close the connection.
    Close(Close),
    /// Find the request among the pending ones, or enter it.
    Admit(PairRequest<'b>),
    /// Look up the node's record.
    Load(NodeId),
    /// Hash the token in the pool, in the claim's queue. It is one attempt of the source, which
    /// counts as a failure unless it is refunded.
    Hash(HashJob, Claim),
    /// Count one failed attempt of this source, although nothing was hashed.
    CountFailure,
    /// Refund the attempt of the [hashing](Effect::Hash), which was not a failure.
    Refund,
    /// Remember this tag, to recognise the token from now on.
    Remember(NodeId, ProofTag),
    /// The token of this delivery was used, so it has arrived; make that durable.
    Confirm(NodeId, DeliveryId),
    /// Register this as the node's live connection, send an older one [`Notice::Replaced`], and
    /// then read the record once more.
    Attach(NodeId),
    /// Remove the connection from the table of live ones if it is still the node's entry; a newer
    /// connection stays.
    Detach(NodeId),
    /// Record the node's values and that it was present.
    Observe(NodeId, Heartbeat<'b>),
    /// Pass a text frame to the application.
    ApplicationText(NodeId, &'b str),
    /// Pass a binary frame to the application.
    ApplicationBinary(NodeId, &'b [u8]),
}

/// The queue in which a token waits to be hashed. The work is the same in both; under load, tokens
/// for known nodes do not wait behind all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl RegistrationConnection {
    /// Makes the machine of a connection that was just accepted.
    #[must_use]
    pub const fn accepted(now: Instant, limits: Limits) -> Self {
        Self { limits, state: State::AwaitFirst { until: now.after(limits.first_message) } }
    }

    /// Returns the linked node, which has authenticated; `None` in any other state.
    #[must_use]
    pub const fn linked(&self) -> Option<NodeId> {
        match &self.state {
            State::Linked(Link::Open { node_id, .. }) => Some(*node_id),
            _ => None,
        }
    }

    /// Returns `true` once the connection has ended; every further input is ignored.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed | State::Linked(Link::Ended))
    }

    /// Returns `true` while an effect's answer is due. Until then the adapter reads no further
    /// frame, so that no early frame of the peer is lost.
    #[must_use]
    pub const fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Asking
            | State::Loading { .. }
            | State::Hashing { .. }
            | State::Confirming { .. }
            | State::Attaching { .. } => true,
            State::AwaitFirst { .. } | State::Linked(_) | State::Closed => false,
        }
    }

    /// Returns the state's name, for traces and tables.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match &self.state {
            State::AwaitFirst { .. } => "AwaitFirst",
            State::Asking => "Asking",
            State::Loading { .. } => "Loading",
            State::Hashing { .. } => "Hashing",
            State::Confirming { .. } => "Confirming",
            State::Attaching { .. } => "Attaching",
            State::Linked(Link::Open { .. }) => "Linked",
            State::Linked(Link::Ended) | State::Closed => "Closed",
        }
    }
}

impl Machine for RegistrationConnection {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Effect<'b>> {
        let limits = self.limits;
        let step = match (self.state, input) {
            (State::Linked(link), input) => match for_link(input) {
                Some(input) => link.step(now, input, scratch).wrap(State::Linked, Effect::from),
                None => Step::quiet(State::Linked(link)),
            },
            (State::Closed, _) => Step::quiet(State::Closed),

            // Endings are the same in every state before the link.
            (State::Attaching { node_id, .. }, Input::Closed) => {
                Step::with(State::Closed, [Effect::Detach(node_id)])
            }
            (_, Input::Closed) => Step::quiet(State::Closed),
            (State::Attaching { node_id, .. }, Input::Shutdown) => Step::with(
                State::Closed,
                [Effect::Detach(node_id), Effect::Close(Close::SHUTTING_DOWN)],
            ),
            (_, Input::Shutdown) => close(Close::SHUTTING_DOWN),
            // Only a connection that has sent nothing yet is displaced.
            (State::AwaitFirst { .. }, Input::Evict) => close(Close::AT_CAPACITY),

            (State::AwaitFirst { .. }, Input::Text(frame)) => on_first(frame, scratch),
            (State::AwaitFirst { .. }, Input::Binary(_)) => close(Close::BINARY_FIRST),
            (State::AwaitFirst { until }, Input::Tick) if until <= now => {
                close(Close::AUTHENTICATION_TIMEOUT)
            }

            (State::Asking, Input::Admitted(Ok(node_id))) => {
                say(GatewayMessage::PairPending { node_id }, Close::PAIRING_PENDING, scratch)
            }
            (State::Asking, Input::Admitted(Err(Refusal::Rejected { wait }))) => {
                turned_down(Some(wait), scratch)
            }
            (State::Asking, Input::Admitted(Err(Refusal::Barred))) => turned_down(None, scratch),
            (State::Asking, Input::Admitted(Err(refusal))) => close(close_for(refusal)),

            (State::Loading { node_id, token }, Input::Loaded(lookup)) => {
                on_loaded(node_id, token, lookup)
            }
            (State::Hashing { node_id, stored }, Input::Hashed(outcome)) => {
                on_hashed(node_id, stored, outcome, scratch)
            }
            (State::Confirming { node_id, verified, tag }, Input::Confirmed(Ok(()))) => {
                proven(node_id, verified, tag)
            }
            // The delivery was undone meanwhile, so the token is void.
            (State::Confirming { .. }, Input::Confirmed(Err(Refusal::InvalidCredentials))) => {
                refuse(AuthFailure::InvalidCredentials, scratch)
            }
            (State::Confirming { .. }, Input::Confirmed(Err(refusal))) => close(close_for(refusal)),
            (State::Attaching { node_id, verified }, Input::Attached(outcome)) => {
                on_attached(node_id, &verified, outcome, now, limits, scratch)
            }
            // The record on its way may be older than this decision, so the machine does not wait
            // for it.
            (State::Attaching { node_id, .. }, Input::Push(Notice::Muted)) => {
                detach(say(GatewayMessage::Muted, Close::MUTED, scratch), node_id)
            }
            (State::Attaching { node_id, .. }, Input::Push(Notice::Unpaired)) => {
                detach(refuse(AuthFailure::InvalidCredentials, scratch), node_id)
            }
            (State::Attaching { node_id, .. }, Input::Push(Notice::Replaced)) => {
                Step::with(State::Closed, [Effect::Detach(node_id), Effect::Close(Close::REPLACED)])
            }

            // Unexpected answers and pushes change nothing. No frames arrive here while an answer
            // is due.
            (
                state,
                Input::Text(_)
                | Input::Binary(_)
                | Input::Pong
                | Input::Admitted(_)
                | Input::Loaded(_)
                | Input::Hashed(_)
                | Input::Confirmed(_)
                | Input::Attached(_)
                | Input::Push(_)
                | Input::Tick
                | Input::Evict,
            ) => Step::quiet(state),
        };
        step.wrap(|state| Self { limits, state }, |effect| effect)
    }

    fn deadline(&self) -> Option<(Instant, Reason)> {
        match &self.state {
            State::AwaitFirst { until } => Some((*until, Reason::FirstMessage)),
            State::Linked(link) => link.deadline(),
            State::Asking
            | State::Loading { .. }
            | State::Hashing { .. }
            | State::Confirming { .. }
            | State::Attaching { .. }
            | State::Closed => None,
        }
    }
}

fn on_first<'b>(frame: &'b str, scratch: &'b mut [u8]) -> Step<State, Effect<'b>> {
    const WRONG_FIRST: GatewayMessage<'static> =
        GatewayMessage::Error("First message must be auth or pair_request");
    let (decoding, encoding) = limits::split(scratch);
    match missy::decode_from_node(frame, decoding) {
        Ok(NodeMessage::PairRequest(request)) => {
            Step::with(State::Asking, [Effect::Admit(request)])
        }
        Ok(NodeMessage::Auth(Auth::Presented { node_id, token })) => {
            Step::with(State::Loading { node_id, token }, [Effect::Load(node_id)])
        }
        Ok(NodeMessage::Auth(Auth::Unusable)) => {
            // Nothing was hashed, but the attempt counts all the same.
            let fail = GatewayMessage::AuthFail(AuthFailure::InvalidCredentials);
            match missy::encode_from_gateway(&fail, encoding) {
                Some(text) => Step::with(
                    State::Closed,
                    [
                        Effect::CountFailure,
                        Effect::Send(text),
                        Effect::Close(Close::AUTHENTICATION_FAILED),
                    ],
                ),
                None => close(Close::INTERNAL),
            }
        }
        Ok(NodeMessage::Heartbeat(_) | NodeMessage::Other) => {
            say(WRONG_FIRST, Close::PROTOCOL_VIOLATION, encoding)
        }
        Err(Malformed::Json) => close(Close::MALFORMED_JSON),
        // A malformed heartbeat is not a valid first message, either.
        Err(malformed @ (Malformed::NotAnObject | Malformed::Field(_))) => say(
            GatewayMessage::Error(missy::complaint(malformed)),
            Close::PROTOCOL_VIOLATION,
            encoding,
        ),
    }
}

/// Recognises a token that this process has verified before, in microseconds. Any other token costs
/// one PBKDF2, whether or not the node exists.
fn on_loaded<'b>(node_id: NodeId, token: Token, lookup: Lookup<'_>) -> Step<State, Effect<'b>> {
    let record = match lookup.record {
        Ok(record) => record,
        Err(refusal) => return close(close_for(refusal)),
    };
    let standing = record.map(|record| &record.standing);
    let tagged = |hash: &TokenHash| (hash.clone(), lookup.key.tag(node_id, hash, &token));
    let stored = Tagged {
        newest: standing.and_then(Standing::token).map(tagged),
        delivery: standing.and_then(Standing::undelivered).map(|undelivered| undelivered.ticket.id),
        older: standing.and_then(Standing::older_token).map(tagged),
    };
    let recognised = |stored: &Option<(TokenHash, ProofTag)>| match (stored, &lookup.kept) {
        (Some((hash, tag)), Some(kept)) => ProofKey::recognise(hash, tag, kept),
        (None, _) | (_, None) => None,
    };
    // Only confirmed tokens are remembered, so the newest one is recognised only if no delivery is
    // under way.
    let settled = stored.delivery.is_none().then(|| recognised(&stored.newest)).flatten();
    match settled.or_else(|| recognised(&stored.older)) {
        Some(verified) => {
            Step::with(State::Attaching { node_id, verified }, [Effect::Attach(node_id)])
        }
        None => Step::with(
            State::Hashing { node_id, stored },
            [Effect::Hash(HashJob { node_id, token }, Claim::of(record))],
        ),
    }
}

fn on_hashed<'b>(
    node_id: NodeId,
    stored: Tagged,
    outcome: Result<Hashed, Refusal>,
    scratch: &'b mut [u8],
) -> Step<State, Effect<'b>> {
    let hashed = match outcome {
        Ok(hashed) => hashed,
        Err(refusal) => return close(close_for(refusal)),
    };
    let Tagged { newest, delivery, older } = stored;
    let verify = |stored: &Option<(TokenHash, ProofTag)>| {
        token::verify(stored.as_ref().map(|(hash, _)| hash), &hashed.hash)
    };
    match (verify(&newest), newest, verify(&older), older) {
        // A token that is being delivered is confirmed by its first use.
        (Some(verified), Some((_, tag)), _, _) => match delivery {
            Some(delivery) => Step::with(
                State::Confirming { node_id, verified, tag },
                [Effect::Confirm(node_id, delivery)],
            ),
            None => proven(node_id, verified, tag),
        },
        // The older token stays valid until the new one is delivered.
        (_, _, Some(verified), Some((_, tag))) => proven(node_id, verified, tag),
        (None, _, None, _) | (_, None, _, None) | (None, _, _, None) | (_, None, None, _) => {
            refuse(AuthFailure::InvalidCredentials, scratch)
        }
    }
}

/// Continues with a token that was right and is confirmed.
fn proven<'b>(node_id: NodeId, verified: Verified, tag: ProofTag) -> Step<State, Effect<'b>> {
    Step::with(
        State::Attaching { node_id, verified },
        [Effect::Refund, Effect::Remember(node_id, tag), Effect::Attach(node_id)],
    )
}

/// Checks the record that was read after pushes began to reach this connection. It may have changed
/// while the token was checked.
fn on_attached<'b>(
    node_id: NodeId,
    verified: &Verified,
    outcome: Result<Option<&Record>, Refusal>,
    now: Instant,
    limits: Limits,
    scratch: &'b mut [u8],
) -> Step<State, Effect<'b>> {
    let record = match outcome {
        Ok(record) => record.filter(|r| {
            // A token that is being delivered is not valid before its confirmation.
            let settled =
                if r.standing.undelivered().is_none() { r.standing.token() } else { None };
            [settled, r.standing.older_token()]
                .into_iter()
                .flatten()
                .any(|hash| verified.holds_for(hash))
        }),
        // The hub has the connection already, so it must be removed.
        Err(refusal) => return detach(close(close_for(refusal)), node_id),
    };
    let Some(record) = record else {
        return detach(refuse(AuthFailure::InvalidCredentials, scratch), node_id);
    };
    match &record.standing {
        Standing::Paired { .. } => {
            let welcome = GatewayMessage::AuthOk { node_id, room: record.room.label() };
            match missy::encode_from_gateway(&welcome, scratch) {
                Some(text) => {
                    // The node counts as seen from the moment that it is linked.
                    let seen = Effect::Observe(node_id, Heartbeat::default());
                    Step::with(
                        State::Linked(Link::open(node_id, now, limits)),
                        [Effect::Send(text), seen],
                    )
                }
                None => detach(close(Close::INTERNAL), node_id),
            }
        }
        Standing::Muted { .. } => {
            detach(say(GatewayMessage::Muted, Close::MUTED, scratch), node_id)
        }
        Standing::Unapproved { .. } => detach(refuse(AuthFailure::NotApproved, scratch), node_id),
        Standing::Pending { .. } | Standing::Revoked { .. } => {
            detach(refuse(AuthFailure::InvalidCredentials, scratch), node_id)
        }
    }
}

fn refuse<'b>(failure: AuthFailure, scratch: &'b mut [u8]) -> Step<State, Effect<'b>> {
    say(GatewayMessage::AuthFail(failure), Close::AUTHENTICATION_FAILED, scratch)
}

/// Sends a last message, then closes.
fn say<'b>(
    message: GatewayMessage<'_>,
    reason: Close,
    scratch: &'b mut [u8],
) -> Step<State, Effect<'b>> {
    match missy::encode_from_gateway(&message, scratch) {
        Some(text) => Step::with(State::Closed, [Effect::Send(text), Effect::Close(reason)]),
        None => close(Close::INTERNAL),
    }
}

/// Tells the node that the operator rejected its last request, and the wait before the next one.
fn turned_down<'b>(wait: Option<Span>, scratch: &'b mut [u8]) -> Step<State, Effect<'b>> {
    let mut text = heapless::String::<96>::new();
    let written = match wait {
        Some(wait) => write!(
            text,
            "The operator turned this request down; ask again in {} s",
            wait.as_millis().div_ceil(1000)
        ),
        None => write!(text, "The operator turned this request down for good"),
    };
    match written {
        Ok(()) => say(GatewayMessage::Error(&text), Close::TURNED_DOWN, scratch),
        Err(core::fmt::Error) => close(Close::TURNED_DOWN),
    }
}

fn close<'b>(reason: Close) -> Step<State, Effect<'b>> {
    Step::with(State::Closed, [Effect::Close(reason)])
}

/// Adds the removal from the table of live connections to an ending.
fn detach(step: Step<State, Effect<'_>>, node_id: NodeId) -> Step<State, Effect<'_>> {
    step.first(Effect::Detach(node_id))
}

const fn close_for(refusal: Refusal) -> Close {
    match refusal {
        Refusal::TooManyPending | Refusal::AtCapacity => Close::AT_CAPACITY,
        Refusal::RateLimited => Close::RATE_LIMITED,
        Refusal::StoreFailed | Refusal::ClockInDoubt => Close::INTERNAL,
        Refusal::Rejected { .. } | Refusal::Barred => Close::TURNED_DOWN,
        Refusal::InvalidCredentials
        | Refusal::NotApproved
        | Refusal::Muted
        | Refusal::AlreadyPaired
        | Refusal::Revoked
        | Refusal::NotPaired
        | Refusal::NoToken
        | Refusal::Expired => Close::AUTHENTICATION_FAILED,
    }
}

fn for_link<'b>(input: Input<'b>) -> Option<link::Input<'b>> {
    match input {
        Input::Text(frame) => Some(link::Input::Text(frame)),
        Input::Binary(frame) => Some(link::Input::Binary(frame)),
        Input::Pong => Some(link::Input::Pong),
        Input::Push(notice) => Some(link::Input::Push(notice)),
        Input::Tick => Some(link::Input::Tick),
        Input::Shutdown => Some(link::Input::Shutdown),
        Input::Closed => Some(link::Input::Closed),
        Input::Admitted(_)
        | Input::Loaded(_)
        | Input::Hashed(_)
        | Input::Confirmed(_)
        | Input::Attached(_)
        | Input::Evict => None,
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
            link::Effect::Detach(node_id) => Self::Detach(node_id),
        }
    }
}

const _: () = assert!(
    core::mem::size_of::<RegistrationConnection>() <= 512,
    "one of these stands in memory for every connection"
);
