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

mod contract;

use crate::budget::Backoff;
use crate::entropy::Entropy;
use crate::error::Refusal;
use crate::id::NodeId;
use crate::limits;
use crate::link::node::Heartbeats;
use crate::step::{Effects, Machine};
use crate::text::Label;
use crate::time::{DeadlineReason, Instant, Span};
use crate::wire::close::Close;
use crate::wire::missy;
use crate::wire::registration::{Auth, AuthFailure, GatewayMessage, NodeMessage, PairRequest};
use crate::wire::token::Token;

pub use contract::{Effect, Input, RegistrationMemory, RegistrationNodeEvent, Timing};

/// The machine of a node.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegistrationNode {
    timing: Timing,
    backoff: Backoff,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Waiting { memory: RegistrationMemory, until: Instant },
    Opening { memory: RegistrationMemory },
    AwaitPending { until: Instant },
    Keeping,
    AwaitToken { node_id: NodeId },
    AwaitAuth { node_id: NodeId, token: Token, until: Instant },
    Linked { node_id: NodeId, token: Token, heartbeats: Heartbeats },
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

    fn enter<'b, const N: usize>(
        &mut self,
        state: State,
        effects: [Effect<'b>; N],
    ) -> Effects<Effect<'b>> {
        self.state = state;
        Effects::of(effects)
    }

    fn keep<'b>(&mut self, memory: RegistrationMemory) -> Effects<Effect<'b>> {
        self.enter(State::Keeping, [Effect::Keep(memory)])
    }

    /// Closes the connection, then stores. Called only where a connection may be open.
    fn close_and_keep<'b>(&mut self, memory: RegistrationMemory) -> Effects<Effect<'b>> {
        self.enter(State::Keeping, [Effect::Close(Close::GOODBYE), Effect::Keep(memory)])
    }

    fn back_off<'b>(&mut self, now: Instant, entropy: &Entropy<2>) -> Effects<Effect<'b>> {
        let (wait, backoff) = self.backoff.wait(entropy);
        self.backoff = backoff;
        let state = State::Waiting { memory: self.take_memory(), until: now.after(wait) };
        self.enter(state, [Effect::Tell(RegistrationNodeEvent::RetryIn(wait))])
    }

    /// Takes the durable memory out of the state that is left.
    fn take_memory(&mut self) -> RegistrationMemory {
        match core::mem::replace(&mut self.state, State::Keeping) {
            State::Waiting { memory, .. } | State::Opening { memory } => memory,
            State::AwaitPending { .. } | State::Keeping => RegistrationMemory::Blank,
            State::AwaitToken { node_id } => RegistrationMemory::Asked { node_id },
            State::AwaitAuth { node_id, token, .. } | State::Linked { node_id, token, .. } => {
                RegistrationMemory::Paired { node_id, token }
            }
        }
    }
}

impl Machine for RegistrationNode {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        match (&mut self.state, input) {
            (State::Keeping, Input::Kept(memory)) => self.on_kept(now, memory),
            // The memory that is being stored decides. The next attempt settles whatever else
            // happens meanwhile.
            (
                State::Keeping,
                Input::Tick(_)
                | Input::Connected(_)
                | Input::Text(_)
                | Input::Disconnected(_)
                | Input::TokenEntered(_)
                | Input::AskAgain
                | Input::Forget,
            ) => Effects::none(),

            (_, Input::TokenEntered(token)) => self.on_token(token),
            (_, Input::AskAgain | Input::Forget) => self.restart(),

            (State::Waiting { until, .. }, Input::Tick(_)) if *until <= now => {
                let memory = self.take_memory();
                self.enter(State::Opening { memory }, [Effect::Connect])
            }
            (State::Opening { .. }, Input::Connected(request)) => {
                self.on_connected(now, request, scratch)
            }

            (State::AwaitPending { .. }, Input::Text(frame)) => match heard(frame, scratch) {
                Heard::Pending(node_id) => {
                    self.close_and_keep(RegistrationMemory::Asked { node_id })
                }
                Heard::Refused(refusal) => {
                    self.backoff = Backoff::longest();
                    tell(RegistrationNodeEvent::Refused(refusal))
                }
                Heard::Complaint(words) => {
                    self.backoff = Backoff::longest();
                    tell(RegistrationNodeEvent::Complaint(words))
                }
                Heard::Welcome(..) | Heard::Nothing => Effects::none(),
            },
            (State::AwaitAuth { .. }, Input::Text(frame)) => match heard(frame, scratch) {
                Heard::Welcome(node_id, room) => self.on_welcome(now, node_id, room),
                Heard::Refused(refusal) => {
                    self.backoff = Backoff::longest();
                    tell(RegistrationNodeEvent::Refused(refusal))
                }
                Heard::Complaint(words) => tell(RegistrationNodeEvent::Complaint(words)),
                Heard::Pending(_) | Heard::Nothing => Effects::none(),
            },
            (State::Linked { .. }, Input::Text(frame)) => match heard(frame, scratch) {
                // A refusal would repeat itself, so the next attempt waits longest.
                Heard::Refused(refusal) => {
                    self.backoff = Backoff::longest();
                    tell(RegistrationNodeEvent::Refused(refusal))
                }
                Heard::Complaint(words) => tell(RegistrationNodeEvent::Complaint(words)),
                Heard::Pending(_) | Heard::Welcome(..) | Heard::Nothing => Effects::none(),
            },

            // An answer is overdue: the connection is closed, and its end starts the back-off.
            (State::AwaitPending { until } | State::AwaitAuth { until, .. }, Input::Tick(_))
                if *until <= now =>
            {
                // The connection's end is due now, so this deadline must not come once more.
                *until = FAR;
                Effects::of([Effect::Close(Close::GOODBYE)])
            }
            (State::Linked { heartbeats, .. }, Input::Tick(values)) => match heartbeats.due(now) {
                Some(next) => {
                    *heartbeats = next;
                    send(&NodeMessage::Heartbeat(values), scratch)
                }
                None => Effects::none(),
            },

            (State::Linked { heartbeats, .. }, Input::Disconnected(entropy)) => {
                // A gateway that drops the node right after linking, or another node with the same
                // token, must not cause an attempt every second.
                if heartbeats.lasted(now) >= STEADY {
                    self.backoff = Backoff::new();
                }
                self.back_off(now, &entropy)
            }
            (
                State::Opening { .. } | State::AwaitPending { .. } | State::AwaitAuth { .. },
                Input::Disconnected(entropy),
            ) => self.back_off(now, &entropy),

            (
                State::Waiting { .. }
                | State::Opening { .. }
                | State::AwaitPending { .. }
                | State::AwaitToken { .. }
                | State::AwaitAuth { .. }
                | State::Linked { .. },
                Input::Tick(_)
                | Input::Connected(_)
                | Input::Text(_)
                | Input::Disconnected(_)
                | Input::Kept(_),
            ) => Effects::none(),
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match &self.state {
            State::Waiting { until, .. } => Some((*until, DeadlineReason::Reconnect)),
            State::AwaitPending { until } | State::AwaitAuth { until, .. } if *until < FAR => {
                Some((*until, DeadlineReason::Answer))
            }
            State::Linked { heartbeats, .. } => Some(heartbeats.deadline()),
            State::Opening { .. }
            | State::AwaitPending { .. }
            | State::Keeping
            | State::AwaitToken { .. }
            | State::AwaitAuth { .. } => None,
        }
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Opening { .. } | State::Keeping => true,
            State::Waiting { .. }
            | State::AwaitPending { .. }
            | State::AwaitToken { .. }
            | State::AwaitAuth { .. }
            | State::Linked { .. } => false,
        }
    }

    fn state_name(&self) -> &'static str {
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
}

/// Duration of a link that proves a healthy gateway: the next wait starts again from the shortest
/// one.
const STEADY: Span = Span::from_secs(30);
/// No deadline: the connection is being closed, and the adapter reports its end.
const FAR: Instant = Instant::from_millis(u64::MAX);

impl RegistrationNode {
    fn on_kept<'b>(&mut self, now: Instant, memory: RegistrationMemory) -> Effects<Effect<'b>> {
        // Progress was made durable, so the next wait starts from the shortest one.
        self.backoff = Backoff::new();
        match memory {
            RegistrationMemory::Asked { node_id } => self.enter(
                State::AwaitToken { node_id },
                [Effect::Tell(RegistrationNodeEvent::WaitsForApproval(node_id))],
            ),
            memory @ RegistrationMemory::Paired { .. } => self.enter(
                State::Waiting { memory, until: now },
                [Effect::Tell(RegistrationNodeEvent::TokenKept)],
            ),
            RegistrationMemory::Blank => self.enter(
                State::Waiting { memory: RegistrationMemory::Blank, until: now },
                [Effect::Tell(RegistrationNodeEvent::Forgotten)],
            ),
        }
    }

    fn on_token<'b>(&mut self, token: Token) -> Effects<Effect<'b>> {
        match self.state {
            State::AwaitToken { node_id }
            | State::Waiting {
                memory:
                    RegistrationMemory::Asked { node_id } | RegistrationMemory::Paired { node_id, .. },
                ..
            } => self.keep(RegistrationMemory::Paired { node_id, token }),
            // A connection with the old token may be open, so it is closed first.
            State::Opening {
                memory:
                    RegistrationMemory::Asked { node_id } | RegistrationMemory::Paired { node_id, .. },
            }
            | State::AwaitAuth { node_id, .. }
            | State::Linked { node_id, .. } => {
                self.close_and_keep(RegistrationMemory::Paired { node_id, token })
            }
            State::Waiting { memory: RegistrationMemory::Blank, .. }
            | State::Opening { memory: RegistrationMemory::Blank }
            | State::AwaitPending { .. }
            | State::Keeping => tell(RegistrationNodeEvent::NothingAsked),
        }
    }

    /// Forgets everything, durably, and begins again.
    fn restart<'b>(&mut self) -> Effects<Effect<'b>> {
        match &self.state {
            State::Waiting { .. } | State::AwaitToken { .. } => {
                self.keep(RegistrationMemory::Blank)
            }
            State::Opening { .. }
            | State::AwaitPending { .. }
            | State::AwaitAuth { .. }
            | State::Linked { .. } => self.close_and_keep(RegistrationMemory::Blank),
            State::Keeping => Effects::none(),
        }
    }

    fn on_connected<'b>(
        &mut self,
        now: Instant,
        request: PairRequest<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let until = now.after(self.timing.answer_within);
        match self.take_memory() {
            RegistrationMemory::Blank => {
                self.state = State::AwaitPending { until };
                send(&NodeMessage::PairRequest(request), scratch)
            }
            // The node has an id but no token yet, so it has nothing to say.
            RegistrationMemory::Asked { node_id } => {
                self.enter(State::AwaitToken { node_id }, [Effect::Close(Close::GOODBYE)])
            }
            RegistrationMemory::Paired { node_id, token } => {
                let auth = NodeMessage::Auth(Auth::Presented { node_id, token });
                let sent = send(&auth, scratch);
                // The token is taken back out of the message, because it cannot be copied.
                if let NodeMessage::Auth(Auth::Presented { node_id, token }) = auth {
                    self.state = State::AwaitAuth { node_id, token, until };
                }
                sent
            }
        }
    }

    fn on_welcome<'b>(
        &mut self,
        now: Instant,
        answered: NodeId,
        room: Label<'b>,
    ) -> Effects<Effect<'b>> {
        match core::mem::replace(&mut self.state, State::Keeping) {
            State::AwaitAuth { node_id, token, .. } if answered == node_id => {
                let heartbeats = Heartbeats::start(now, self.timing.heartbeat_every);
                let linked = RegistrationNodeEvent::Linked { node_id, room };
                self.enter(State::Linked { node_id, token, heartbeats }, [Effect::Tell(linked)])
            }
            // An answer for another id is not for this node.
            state @ (State::Waiting { .. }
            | State::Opening { .. }
            | State::AwaitPending { .. }
            | State::Keeping
            | State::AwaitToken { .. }
            | State::AwaitAuth { .. }
            | State::Linked { .. }) => self.enter(state, []),
        }
    }
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

fn tell<'b>(news: RegistrationNodeEvent<'b>) -> Effects<Effect<'b>> {
    Effects::of([Effect::Tell(news)])
}

fn send<'b>(message: &NodeMessage<'_>, scratch: &'b mut [u8]) -> Effects<Effect<'b>> {
    match missy::encode_from_node(message, scratch) {
        Some(text) => Effects::of([Effect::Send(text)]),
        None => Effects::of([Effect::Close(Close::INTERNAL)]),
    }
}

const _: () = assert!(
    core::mem::size_of::<RegistrationNode>() <= 160,
    "a node's state stands in a microcontroller's static memory"
);
