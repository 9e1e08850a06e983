//! The node's end: it asks to be paired, waits for its token, and keeps a link open.
//!
//! ```text
//!  Waiting(Blank) ─▶ Opening ─▶ AwaitPending ─pair_pending─▶ Keeping(Asked) ─▶ AwaitToken
//!                                                                   token typed in │
//!  Waiting(Paired) ◀──────────────────────────── Keeping(Paired) ◀─────────────────┘
//!     │    ▲ lost, refused, muted: back off
//!     ▼    │
//!  Opening ┴▶ AwaitAuth ─auth_ok─▶ Linked
//! ```
//!
//! The node's memory is written through [`Effect::Keep`] before anything depends on it, so after a
//! power cut the node continues where it was. No message of a gateway makes a node forget its
//! token; only its owner does ([`Input::Forget`]).

use crate::budget::Backoff;
use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::id::NodeId;
use crate::limits;
use crate::link::node::Heartbeats;
use crate::step::{Machine, Step};
use crate::text::Label;
use crate::time::{Instant, Reason, Span};
use crate::wire::close::Close;
use crate::wire::missy;
use crate::wire::registration::{
    Auth, AuthFailure, GatewayMessage, Heartbeat, NodeMessage, PairRequest,
};
use crate::wire::token::Token;

/// The memory of a node across power cuts.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RegistrationMemory {
    /// The node has not asked yet.
    Blank,
    /// The node has asked, and waits for its token.
    Asked {
        /// The id that the gateway assigned.
        node_id: NodeId,
    },
    /// The node can authenticate.
    Paired {
        /// The id that the gateway assigned.
        node_id: NodeId,
        /// The token that proves the id.
        token: Token,
    },
}

impl RegistrationMemory {
    /// Returns the node's id, once it has one.
    #[must_use]
    pub const fn node_id(&self) -> Option<NodeId> {
        match self {
            Self::Blank => None,
            Self::Asked { node_id } | Self::Paired { node_id, .. } => Some(*node_id),
        }
    }
}

/// The times of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time in which the gateway must answer.
    pub answer_within: Span,
    /// Interval between heartbeats.
    pub heartbeat_every: Span,
}

impl Timing {
    /// The default: ten seconds for an answer, a heartbeat a minute.
    pub const DEFAULT: Self =
        Self { answer_within: Span::from_secs(10), heartbeat_every: Span::from_secs(60) };
}

/// The machine of a node.
#[derive(Debug)]
pub struct RegistrationNode {
    timing: Timing,
    backoff: Backoff,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting { memory: RegistrationMemory, until: Instant },
    Opening { memory: RegistrationMemory },
    AwaitPending { until: Instant },
    Keeping,
    AwaitToken { node_id: NodeId },
    AwaitAuth { node_id: NodeId, token: Token, until: Instant },
    Linked { node_id: NodeId, token: Token, heartbeats: Heartbeats },
}

/// An event for a node.
#[derive(Debug)]
pub enum Input<'b> {
    /// The deadline has come; carries the values for a heartbeat.
    Tick(Heartbeat<'b>),
    /// The answer to [`Effect::Connect`]: the connection is open. It carries the node's
    /// self-description.
    Connected(PairRequest<'b>),
    /// A text frame arrived.
    Text(&'b str),
    /// The connection is closed, or could not be opened. It carries entropy for the wait before the
    /// next attempt.
    Disconnected(Entropy<2>),
    /// The answer to [`Effect::Keep`], with the memory that is durable now.
    Kept(RegistrationMemory),
    /// The owner typed in the token that the operator saw.
    TokenEntered(Token),
    /// The owner wants to ask again; the gateway then assigns the id.
    AskAgain,
    /// The owner wants the node to forget everything.
    Forget,
}

/// A request of a node to the adapter.
#[derive(Debug)]
pub enum Effect<'b> {
    /// Open a connection to the gateway. The answer is [`Input::Connected`] or
    /// [`Input::Disconnected`]. The adapter bounds the time, because only it knows the transport.
    Connect,
    /// Send a text frame.
    Send(&'b str),
    /// Close the connection.
    Close(Close),
    /// Make this memory durable, then answer with [`Input::Kept`]. The node does nothing else until
    /// then.
    Keep(RegistrationMemory),
    /// Report an event to the owner.
    Tell(RegistrationNodeEvent<'b>),
}

/// An event for the owner of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationNodeEvent<'b> {
    /// The operator can approve the request under this id now.
    WaitsForApproval(NodeId),
    /// The token is stored.
    TokenKept,
    /// The link is open.
    Linked {
        /// The id of the node itself.
        node_id: NodeId,
        /// The node's room in the registry.
        room: Label<'b>,
    },
    /// The gateway refuses the node.
    Refused(Refusal),
    /// The gateway reported an error with this text, which is untrusted.
    Complaint(&'b str),
    /// The next attempt follows after this wait.
    RetryIn(Span),
    /// A token was entered before the node had an id.
    NothingAsked,
    /// The node has forgotten everything.
    Forgotten,
}

impl RegistrationNode {
    /// Makes a node that has just started, from its memory. Its first deadline is now.
    #[must_use]
    pub fn boot(now: Instant, memory: RegistrationMemory, timing: Timing) -> Self {
        let state = match memory {
            // The gateway knows the node, which lacks only its token, so there is no need to
            // connect.
            RegistrationMemory::Asked { node_id } => State::AwaitToken { node_id },
            memory @ (RegistrationMemory::Blank | RegistrationMemory::Paired { .. }) => {
                State::Waiting { memory, until: now }
            }
        };
        Self { timing, backoff: Backoff::new(), state }
    }

    /// Returns the node's id, once it has one.
    #[must_use]
    pub const fn node_id(&self) -> Option<NodeId> {
        match &self.state {
            State::Waiting { memory, .. } | State::Opening { memory } => memory.node_id(),
            State::AwaitPending { .. } | State::Keeping => None,
            State::AwaitToken { node_id }
            | State::AwaitAuth { node_id, .. }
            | State::Linked { node_id, .. } => Some(*node_id),
        }
    }

    /// Returns the state's name, for logs and tables.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match &self.state {
            State::Waiting { .. } => "Waiting",
            State::Opening { .. } => "Opening",
            State::AwaitPending { .. } => "AwaitPending",
            State::Keeping => "Keeping",
            State::AwaitToken { .. } => "AwaitToken",
            State::AwaitAuth { .. } => "AwaitAuth",
            State::Linked { .. } => "Linked",
        }
    }

    fn to(self, state: State) -> Self {
        Self { state, ..self }
    }

    fn keep<'b>(self, memory: RegistrationMemory) -> Step<Self, Effect<'b>> {
        Step::with(self.to(State::Keeping), [Effect::Keep(memory)])
    }

    /// Closes the connection, then stores. Called only where a connection may be open.
    fn close_and_keep<'b>(self, memory: RegistrationMemory) -> Step<Self, Effect<'b>> {
        Step::with(self.to(State::Keeping), [Effect::Close(Close::GOODBYE), Effect::Keep(memory)])
    }

    fn back_off<'b>(
        self,
        now: Instant,
        memory: RegistrationMemory,
        entropy: &Entropy<2>,
    ) -> Step<Self, Effect<'b>> {
        let (wait, backoff) = self.backoff.wait(entropy);
        let state = State::Waiting { memory, until: now.after(wait) };
        Step::with(
            Self { backoff, state, ..self },
            [Effect::Tell(RegistrationNodeEvent::RetryIn(wait))],
        )
    }
}

impl Machine for RegistrationNode {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Effect<'b>> {
        let state = core::mem::replace(&mut self.state, State::Keeping);
        match (state, input) {
            (State::Keeping, Input::Kept(memory)) => on_kept(self, now, memory),
            // The memory that is being stored decides. The next attempt settles whatever else
            // happens meanwhile.
            (State::Keeping, _) => Step::quiet(self.to(State::Keeping)),

            (state, Input::TokenEntered(token)) => on_token(self, state, token),
            (state, Input::AskAgain) => restart(self, state),
            (state, Input::Forget) => restart(self, state),

            (State::Waiting { memory, until }, Input::Tick(_)) if until <= now => {
                Step::with(self.to(State::Opening { memory }), [Effect::Connect])
            }
            (State::Opening { memory }, Input::Connected(request)) => {
                on_connected(self, now, memory, request, scratch)
            }
            (State::Opening { memory }, Input::Disconnected(entropy)) => {
                self.back_off(now, memory, &entropy)
            }

            (State::AwaitPending { until }, Input::Text(frame)) => {
                on_pending(self, until, frame, scratch)
            }
            (State::AwaitAuth { node_id, token, until }, Input::Text(frame)) => {
                on_auth_answer(self, now, (node_id, token, until), frame, scratch)
            }
            (State::Linked { node_id, token, heartbeats }, Input::Text(frame)) => {
                // A refusal would repeat itself, so the next attempt waits longest.
                let (news, backoff) = match heard(frame, scratch) {
                    Heard::Refused(refusal) => {
                        (Some(RegistrationNodeEvent::Refused(refusal)), Backoff::longest())
                    }
                    Heard::Complaint(words) => {
                        (Some(RegistrationNodeEvent::Complaint(words)), self.backoff)
                    }
                    Heard::Pending(_) | Heard::Welcome(..) | Heard::Nothing => (None, self.backoff),
                };
                let next =
                    Self { backoff, state: State::Linked { node_id, token, heartbeats }, ..self };
                match news {
                    Some(news) => Step::with(next, [Effect::Tell(news)]),
                    None => Step::quiet(next),
                }
            }

            // An answer is overdue: the connection is closed, and its end starts the back-off.
            (State::AwaitPending { until }, Input::Tick(_)) if until <= now => Step::with(
                self.to(State::AwaitPending { until: FAR }),
                [Effect::Close(Close::GOODBYE)],
            ),
            (State::AwaitAuth { node_id, token, until }, Input::Tick(_)) if until <= now => {
                let state = State::AwaitAuth { node_id, token, until: FAR };
                Step::with(self.to(state), [Effect::Close(Close::GOODBYE)])
            }
            (State::Linked { node_id, token, heartbeats }, Input::Tick(values)) => {
                match heartbeats.due(now) {
                    Some(heartbeats) => {
                        let next = self.to(State::Linked { node_id, token, heartbeats });
                        send(next, &NodeMessage::Heartbeat(values), scratch)
                    }
                    None => Step::quiet(self.to(State::Linked { node_id, token, heartbeats })),
                }
            }

            (State::AwaitPending { .. }, Input::Disconnected(entropy)) => {
                self.back_off(now, RegistrationMemory::Blank, &entropy)
            }
            (State::AwaitAuth { node_id, token, .. }, Input::Disconnected(entropy)) => {
                self.back_off(now, RegistrationMemory::Paired { node_id, token }, &entropy)
            }
            (State::Linked { node_id, token, heartbeats }, Input::Disconnected(entropy)) => {
                // A gateway that drops the node right after linking, or another node with the same
                // token, must not cause an attempt every second.
                let steady = heartbeats.lasted(now) >= STEADY;
                let backoff = if steady { Backoff::new() } else { self.backoff };
                Self { backoff, ..self }.back_off(
                    now,
                    RegistrationMemory::Paired { node_id, token },
                    &entropy,
                )
            }

            (
                state,
                Input::Tick(_)
                | Input::Connected(_)
                | Input::Text(_)
                | Input::Disconnected(_)
                | Input::Kept(_),
            ) => Step::quiet(self.to(state)),
        }
    }

    fn deadline(&self) -> Option<(Instant, Reason)> {
        match &self.state {
            State::Waiting { until, .. } => Some((*until, Reason::Reconnect)),
            State::AwaitPending { until } | State::AwaitAuth { until, .. } if *until < FAR => {
                Some((*until, Reason::Answer))
            }
            State::Linked { heartbeats, .. } => Some(heartbeats.deadline()),
            State::Opening { .. }
            | State::AwaitPending { .. }
            | State::Keeping
            | State::AwaitToken { .. }
            | State::AwaitAuth { .. } => None,
        }
    }
}

/// Duration of a link that proves a healthy gateway: the next wait starts again from the shortest
/// one.
const STEADY: Span = Span::from_secs(30);
/// No deadline: the connection is being closed, and the adapter reports its end.
const FAR: Instant = Instant::from_millis(u64::MAX);

fn on_kept<'b>(
    node: RegistrationNode,
    now: Instant,
    memory: RegistrationMemory,
) -> Step<RegistrationNode, Effect<'b>> {
    let node = RegistrationNode { backoff: Backoff::new(), ..node };
    match memory {
        RegistrationMemory::Asked { node_id } => Step::with(
            node.to(State::AwaitToken { node_id }),
            [Effect::Tell(RegistrationNodeEvent::WaitsForApproval(node_id))],
        ),
        memory @ RegistrationMemory::Paired { .. } => Step::with(
            node.to(State::Waiting { memory, until: now }),
            [Effect::Tell(RegistrationNodeEvent::TokenKept)],
        ),
        RegistrationMemory::Blank => {
            let state = State::Waiting { memory: RegistrationMemory::Blank, until: now };
            Step::with(node.to(state), [Effect::Tell(RegistrationNodeEvent::Forgotten)])
        }
    }
}

fn on_token<'b>(
    node: RegistrationNode,
    state: State,
    token: Token,
) -> Step<RegistrationNode, Effect<'b>> {
    match state {
        State::AwaitToken { node_id }
        | State::Waiting {
            memory:
                RegistrationMemory::Asked { node_id } | RegistrationMemory::Paired { node_id, .. },
            ..
        } => node.keep(RegistrationMemory::Paired { node_id, token }),
        // A connection with the old token may be open, so it is closed first.
        State::Opening {
            memory:
                RegistrationMemory::Asked { node_id } | RegistrationMemory::Paired { node_id, .. },
        }
        | State::AwaitAuth { node_id, .. }
        | State::Linked { node_id, .. } => {
            node.close_and_keep(RegistrationMemory::Paired { node_id, token })
        }
        state @ (State::Waiting { memory: RegistrationMemory::Blank, .. }
        | State::Opening { memory: RegistrationMemory::Blank }
        | State::AwaitPending { .. }
        | State::Keeping) => {
            Step::with(node.to(state), [Effect::Tell(RegistrationNodeEvent::NothingAsked)])
        }
    }
}

/// Forgets everything, durably, and begins again.
fn restart<'b>(node: RegistrationNode, state: State) -> Step<RegistrationNode, Effect<'b>> {
    match state {
        State::Waiting { .. } | State::AwaitToken { .. } => node.keep(RegistrationMemory::Blank),
        State::Opening { .. }
        | State::AwaitPending { .. }
        | State::AwaitAuth { .. }
        | State::Linked { .. } => node.close_and_keep(RegistrationMemory::Blank),
        State::Keeping => Step::quiet(node.to(State::Keeping)),
    }
}

fn on_connected<'b>(
    node: RegistrationNode,
    now: Instant,
    memory: RegistrationMemory,
    request: PairRequest<'b>,
    scratch: &'b mut [u8],
) -> Step<RegistrationNode, Effect<'b>> {
    let until = now.after(node.timing.answer_within);
    match memory {
        RegistrationMemory::Blank => send(
            node.to(State::AwaitPending { until }),
            &NodeMessage::PairRequest(request),
            scratch,
        ),
        // The node has an id but no token yet, so it has nothing to say.
        RegistrationMemory::Asked { node_id } => {
            Step::with(node.to(State::AwaitToken { node_id }), [Effect::Close(Close::GOODBYE)])
        }
        RegistrationMemory::Paired { node_id, token } => {
            let auth = NodeMessage::Auth(Auth::Presented { node_id, token });
            let text = missy::encode_from_node(&auth, scratch);
            // The token is taken back out of the message, because it cannot be copied.
            let NodeMessage::Auth(Auth::Presented { node_id, token }) = auth else {
                return Step::quiet(node);
            };
            let next = node.to(State::AwaitAuth { node_id, token, until });
            match text {
                Some(text) => Step::with(next, [Effect::Send(text)]),
                None => Step::with(next, [Effect::Close(Close::INTERNAL)]),
            }
        }
    }
}

fn on_pending<'b>(
    node: RegistrationNode,
    until: Instant,
    frame: &'b str,
    scratch: &'b mut [u8],
) -> Step<RegistrationNode, Effect<'b>> {
    let tell = |node: RegistrationNode, news| {
        Step::with(node.to(State::AwaitPending { until }), [Effect::Tell(news)])
    };
    match heard(frame, scratch) {
        Heard::Pending(node_id) => node.close_and_keep(RegistrationMemory::Asked { node_id }),
        Heard::Refused(refusal) => tell(
            RegistrationNode { backoff: Backoff::longest(), ..node },
            RegistrationNodeEvent::Refused(refusal),
        ),
        Heard::Complaint(words) => tell(
            RegistrationNode { backoff: Backoff::longest(), ..node },
            RegistrationNodeEvent::Complaint(words),
        ),
        Heard::Welcome(..) | Heard::Nothing => Step::quiet(node.to(State::AwaitPending { until })),
    }
}

fn on_auth_answer<'b>(
    node: RegistrationNode,
    now: Instant,
    (node_id, token, until): (NodeId, Token, Instant),
    frame: &'b str,
    scratch: &'b mut [u8],
) -> Step<RegistrationNode, Effect<'b>> {
    let (news, backoff) = match heard(frame, scratch) {
        // An answer for another id is not for this node.
        Heard::Welcome(answered, room) if answered == node_id => {
            let heartbeats = Heartbeats::start(now, node.timing.heartbeat_every);
            let next = node.to(State::Linked { node_id, token, heartbeats });
            return Step::with(
                next,
                [Effect::Tell(RegistrationNodeEvent::Linked { node_id, room })],
            );
        }
        Heard::Refused(refusal) => (RegistrationNodeEvent::Refused(refusal), Backoff::longest()),
        Heard::Complaint(words) => (RegistrationNodeEvent::Complaint(words), node.backoff),
        Heard::Welcome(..) | Heard::Pending(_) | Heard::Nothing => {
            return Step::quiet(node.to(State::AwaitAuth { node_id, token, until }));
        }
    };
    let next =
        RegistrationNode { backoff, state: State::AwaitAuth { node_id, token, until }, ..node };
    Step::with(next, [Effect::Tell(news)])
}

enum Heard<'b> {
    Pending(NodeId),
    Welcome(NodeId, Label<'b>),
    Refused(Refusal),
    Complaint(&'b str),
    Nothing,
}

/// Interprets a gateway's frame. Unknown and malformed frames mean nothing; the deadlines bound the
/// silence after them.
fn heard<'b>(frame: &'b str, scratch: &'b mut [u8]) -> Heard<'b> {
    let (decoding, _) = limits::split(scratch);
    match missy::decode_from_gateway(frame, decoding) {
        Ok(Some(GatewayMessage::PairPending { node_id })) => Heard::Pending(node_id),
        Ok(Some(GatewayMessage::AuthOk { node_id, room })) => Heard::Welcome(node_id, room),
        Ok(Some(GatewayMessage::AuthFail(
            AuthFailure::InvalidCredentials | AuthFailure::Other,
        ))) => Heard::Refused(Refusal::InvalidCredentials),
        Ok(Some(GatewayMessage::AuthFail(AuthFailure::NotApproved))) => {
            Heard::Refused(Refusal::NotApproved)
        }
        Ok(Some(GatewayMessage::Muted)) => Heard::Refused(Refusal::Muted),
        Ok(Some(GatewayMessage::Error(words))) => Heard::Complaint(words),
        Ok(None) | Err(_) => Heard::Nothing,
    }
}

fn send<'b>(
    next: RegistrationNode,
    message: &NodeMessage<'_>,
    scratch: &'b mut [u8],
) -> Step<RegistrationNode, Effect<'b>> {
    match missy::encode_from_node(message, scratch) {
        Some(text) => Step::with(next, [Effect::Send(text)]),
        None => Step::with(next, [Effect::Close(Close::INTERNAL)]),
    }
}

const _: () = assert!(
    core::mem::size_of::<RegistrationNode>() <= 160,
    "a node's state stands in a microcontroller's static memory"
);
