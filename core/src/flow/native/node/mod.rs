//! The node's end: it pairs by the method that its owner chose, and keeps a link open from then on.
//!
//! ```text
//!  Idle ──Pair──▶ Waiting ─▶ Opening ─┬─ method ─▶ Introducing ─▶ Pairing … ─▶ Keeping(Paired) ─┐
//!                    ▲                └─ paired ─▶ Calling ─▶ Linked                            │
//!                    ├───── lost, refused: back off ◀─────────────┘                             │
//!                    └──────────────────────────────────────────────────────────────────────────┘
//! ```
//! The node's memory is written through [`Effect::Keep`] before anything depends on it, so after a
//! power cut the node continues where it was. Nothing that arrives in clear makes a node forget or
//! trust anything. A code serves one run: the node drops it once `Ya` is sent, and after a failure
//! the owner types it again.
//!
//! The bodies of the transitions are functions that are never inlined: each one's stack use is then
//! in a frame of its own, and a microcontroller's stack need not hold the sum of them.

mod linking;
mod pairing;
mod talk;

use crate::budget::Backoff;
use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::noise::{ik, xx};
use crate::entropy::Entropy;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::link::node::Heartbeats;
use crate::registry::grants::GrantId;
use crate::step::{Machine, Step};
use crate::time::{Instant, Reason};
use crate::wire::close::Close;
use crate::wire::native::open::{Intent, Open};
use crate::wire::native::pair;

pub use crate::flow::registration::node::Timing;
use pairing::NodePairingStage;
pub use talk::{
    Effect, Input, NativeMemory, NativeNodeEvent, NodeIdentity, PairMethod, Paired, Trust,
};

/// The machine of a node.
#[derive(Debug)]
pub struct Node {
    timing: Timing,
    backoff: Backoff,
    /// The only gateway that is acceptable for pairing, if the owner gave its fingerprint.
    expect: Option<Fingerprint>,
    memory: NativeMemory,
    state: State,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is no allocator to box a state with, and there is one of these"
)]
enum State {
    /// The node waits for a request of its owner.
    Idle,
    Waiting {
        wish: Option<PairMethod>,
        until: Instant,
    },
    Opening {
        wish: Option<PairMethod>,
    },
    Introducing {
        wish: PairMethod,
        initiator: xx::Initiator,
        until: Instant,
    },
    Pairing {
        channel: Channel,
        stage: NodePairingStage,
        until: Instant,
    },
    Calling {
        paired: Paired,
        initiator: ik::Initiator,
        until: Instant,
    },
    Linked {
        paired: Paired,
        channel: Channel,
        heartbeats: Heartbeats,
        heard: Instant,
        renews: bool,
    },
    Keeping(AfterStore),
    /// The connection is being closed; the adapter reports its end.
    Closing {
        wish: Option<PairMethod>,
        rest: AfterClose,
    },
}

/// The continuation once a memory is durable.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "as for State")]
enum AfterStore {
    /// Start again with no connection open.
    Start,
    /// Wait for the operator.
    Wait { channel: Channel, until: Instant },
    /// Tell the gateway that the grant is stored.
    Confirm { channel: Channel, grant: GrantId },
    /// Continue the link, and tell the gateway of a stored grant.
    Linked {
        channel: Channel,
        heartbeats: Heartbeats,
        heard: Instant,
        renews: bool,
        stored: Option<GrantId>,
    },
}

/// The continuation once a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterClose {
    /// Make the next attempt after a wait.
    Retry,
    /// Make the next attempt at once.
    AtOnce,
    /// Do nothing until the owner asks for something.
    Idle,
}

impl Node {
    /// Makes a node that has just started, from its memory.
    #[must_use]
    pub fn boot(now: Instant, memory: NativeMemory, timing: Timing) -> Self {
        let state = match memory {
            NativeMemory::Blank => State::Idle,
            NativeMemory::Asked { .. } => {
                State::Waiting { wish: Some(PairMethod::Approval), until: now }
            }
            NativeMemory::Paired(_) => State::Waiting { wish: None, until: now },
        };
        Self { timing, backoff: Backoff::new(), expect: None, memory, state }
    }

    /// Returns the node's memory.
    #[must_use]
    pub const fn memory(&self) -> &NativeMemory {
        &self.memory
    }

    /// Returns `true` if the link is open and the grant has not expired.
    #[must_use]
    pub const fn is_linked(&self) -> bool {
        matches!(
            self.state,
            State::Linked { renews: false, .. }
                | State::Keeping(AfterStore::Linked { renews: false, .. })
        )
    }

    /// Returns the state's name, for logs and tables.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match &self.state {
            State::Idle => "Idle",
            State::Waiting { .. } => "Waiting",
            State::Opening { .. } => "Opening",
            State::Introducing { .. } => "Introducing",
            State::Pairing { stage, .. } => stage.name(),
            State::Calling { .. } => "Calling",
            State::Linked { renews: false, .. } => "Linked",
            State::Linked { renews: true, .. } => "Renewing",
            State::Keeping(_) => "Keeping",
            State::Closing { .. } => "Closing",
        }
    }

    /// Moves to a state without an effect.
    #[inline(never)]
    fn rest<'b>(self, state: State) -> Step<Self, Effect<'b>> {
        Step::quiet(self.to(state))
    }

    #[inline(never)]
    fn forget<'b>(self, connected: bool) -> Step<Self, Effect<'b>> {
        let step = Step::with(
            self.to(State::Keeping(AfterStore::Start)),
            [Effect::Keep(NativeMemory::Blank)],
        );
        if connected { step.first(Effect::Close(Close::GOODBYE)) } else { step }
    }

    #[inline(never)]
    fn connect<'b>(self, wish: Option<PairMethod>) -> Step<Self, Effect<'b>> {
        Step::with(self.to(State::Opening { wish }), [Effect::Connect])
    }

    fn to(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// Closes the connection; `rest` follows once it is closed.
    #[inline(never)]
    fn close<'b>(self, wish: Option<PairMethod>, rest: AfterClose) -> Step<Self, Effect<'b>> {
        Step::with(self.to(State::Closing { wish, rest }), [Effect::Close(Close::GOODBYE)])
    }

    /// Waits, longer each time, before the next attempt.
    #[inline(never)]
    fn back_off<'b>(
        self,
        now: Instant,
        wish: Option<PairMethod>,
        entropy: &Entropy<2>,
    ) -> Step<Self, Effect<'b>> {
        let (wait, backoff) = self.backoff.wait(entropy);
        let state = State::Waiting { wish, until: now.after(wait) };
        Step::with(Self { backoff, state, ..self }, [Effect::Tell(NativeNodeEvent::RetryIn(wait))])
    }

    /// Starts what the node does unasked: it links if it is paired, and repeats its request if it
    /// has asked.
    fn start(self, now: Instant) -> Self {
        let state = match self.memory {
            NativeMemory::Blank => State::Idle,
            NativeMemory::Asked { .. } => {
                State::Waiting { wish: Some(PairMethod::Approval), until: now }
            }
            NativeMemory::Paired(_) => State::Waiting { wish: None, until: now },
        };
        self.to(state)
    }

    /// Continues after a connection that ended by itself.
    #[inline(never)]
    fn lost<'b>(
        self,
        now: Instant,
        wish: Option<PairMethod>,
        entropy: &Entropy<2>,
    ) -> Step<Self, Effect<'b>> {
        match (&wish, &self.memory) {
            // A PIN or code under way is gone; only the gateway that the node is paired to can be
            // tried again.
            (None, NativeMemory::Blank) => Step::quiet(self.to(State::Idle)),
            (None, NativeMemory::Asked { .. }) => {
                self.back_off(now, Some(PairMethod::Approval), entropy)
            }
            // The node is paired, so its approval need not be repeated.
            (None | Some(PairMethod::Approval), NativeMemory::Paired(_)) => {
                self.back_off(now, None, entropy)
            }
            (Some(_), _) => self.back_off(now, wish, entropy),
        }
    }
}

impl Machine for Node {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Effect<'b>> {
        // `Idle` is only a placeholder: every arm below sets the next state.
        let state = core::mem::replace(&mut self.state, State::Idle);
        let out = OutgoingBuffer::new(scratch);
        match (state, input) {
            (State::Keeping(then), Input::Kept(memory)) => {
                on_kept(Self { memory, ..self }, now, then, out)
            }
            // The memory that is being stored decides. The next attempt settles whatever else
            // happens meanwhile.
            (State::Keeping(then), _) => self.rest(State::Keeping(then)),

            (state, Input::Pair(wish, expect)) => {
                let node = Self { expect, backoff: Backoff::new(), ..self };
                match state {
                    State::Idle | State::Waiting { .. } => {
                        node.rest(State::Waiting { wish: Some(wish), until: now })
                    }
                    State::Closing { .. } => {
                        node.rest(State::Closing { wish: Some(wish), rest: AfterClose::AtOnce })
                    }
                    // An open connection serves the earlier purpose, so it is closed first.
                    _ => node.close(Some(wish), AfterClose::AtOnce),
                }
            }
            (state, Input::Forget) => {
                // These states have no connection to close.
                let connected =
                    !matches!(state, State::Idle | State::Waiting { .. } | State::Closing { .. });
                self.forget(connected)
            }

            (State::Waiting { wish, until }, Input::Tick(_)) if until <= now => self.connect(wish),
            (State::Opening { wish: Some(wish) }, Input::Connected(entropy, _)) => {
                introduce(self, now, wish, &entropy, out)
            }
            (State::Opening { wish: None }, Input::Connected(entropy, own)) => {
                linking::call(self, now, &entropy, &own, out)
            }
            (State::Opening { wish }, Input::Disconnected(entropy)) => {
                self.lost(now, wish, &entropy)
            }

            (State::Introducing { wish, initiator, .. }, Input::Frame { bytes, entropy, own }) => {
                pairing::on_second(self, now, wish, initiator, bytes, &entropy, &own, out)
            }
            (State::Introducing { wish, .. }, Input::Disconnected(entropy)) => {
                self.lost(now, Some(wish), &entropy)
            }
            (State::Introducing { wish, until, .. }, Input::Tick(_)) if until <= now => {
                self.close(Some(wish), AfterClose::Retry)
            }

            (State::Pairing { channel, stage, .. }, Input::Frame { bytes, .. }) => {
                pairing::on_frame(self, now, channel, stage, bytes, out)
            }
            (State::Pairing { channel, stage, until }, Input::CodeEntered(code, entropy, own)) => {
                pairing::on_code(self, now, (channel, stage, until), &code, &entropy, &own, out)
            }
            (State::Pairing { stage, .. }, Input::Disconnected(entropy)) => match stage {
                // The grant is stored, so the node links; the link confirms the grant, too.
                NodePairingStage::AwaitActive => Step::quiet(self.start(now)),
                stage => {
                    let wish = stage.wish_left();
                    self.lost(now, wish, &entropy)
                }
            },
            (State::Pairing { stage, until, .. }, Input::Tick(_)) if until <= now => {
                let wish = stage.wish_left();
                // Without a wish the owner has to start anew, as after a code that was used.
                let rest = if wish.is_some() { AfterClose::Retry } else { AfterClose::Idle };
                self.close(wish, rest)
            }

            (State::Calling { paired, initiator, .. }, Input::Frame { bytes, own, .. }) => {
                linking::on_second(self, now, paired, initiator, bytes, &own, out)
            }
            (State::Calling { .. }, Input::Disconnected(entropy)) => {
                self.back_off(now, None, &entropy)
            }
            (State::Calling { until, .. }, Input::Tick(_)) if until <= now => {
                self.close(None, AfterClose::Retry)
            }

            (State::Linked { paired, channel, heartbeats, heard, renews }, input) => linking::step(
                self,
                now,
                linking::LinkParts { paired, channel, heartbeats, heard, renews },
                input,
                out,
            ),

            (State::Closing { wish, rest }, Input::Disconnected(entropy)) => match rest {
                AfterClose::Retry => self.lost(now, wish, &entropy),
                AfterClose::AtOnce => match wish {
                    Some(_) => self.rest(State::Waiting { wish, until: now }),
                    None => Step::quiet(self.start(now)),
                },
                AfterClose::Idle => match self.memory {
                    NativeMemory::Paired(_) => self.back_off(now, None, &entropy),
                    NativeMemory::Blank | NativeMemory::Asked { .. } => self.rest(State::Idle),
                },
            },

            (state, _) => self.rest(state),
        }
    }

    fn deadline(&self) -> Option<(Instant, Reason)> {
        match &self.state {
            State::Waiting { until, .. } => Some((*until, Reason::Reconnect)),
            State::Introducing { until, .. }
            | State::Pairing { until, .. }
            | State::Calling { until, .. } => Some((*until, Reason::Answer)),
            State::Linked { heartbeats, heard, .. } => {
                let silent = (heard.after(linking::SILENCE), Reason::Pong);
                let beat = heartbeats.deadline();
                Some(if beat.0 <= silent.0 { beat } else { silent })
            }
            State::Idle | State::Opening { .. } | State::Keeping(_) | State::Closing { .. } => None,
        }
    }
}

/// Sends `Open` and the first message of XX.
#[inline(never)]
fn introduce<'b>(
    node: Node,
    now: Instant,
    wish: PairMethod,
    entropy: &Entropy<32>,
    mut out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    let open = Open::new(Intent::Pair);
    let first = out.put(|place| {
        let (initiator, message) =
            xx::Initiator::start(open.prologue(), entropy, &[], place).ok()?;
        Some((initiator, message.len()))
    });
    match first {
        Some((initiator, message)) => {
            let until = now.after(node.timing.answer_within);
            let state = State::Introducing { wish, initiator, until };
            Step::with(node.to(state), [Effect::Send(open.as_bytes()), Effect::Send(message)])
        }
        None => node.close(Some(wish), AfterClose::Retry),
    }
}

#[inline(never)]
fn on_kept<'b>(
    node: Node,
    now: Instant,
    then: AfterStore,
    mut out: OutgoingBuffer<'b>,
) -> Step<Node, Effect<'b>> {
    // Progress was made durable, so the next wait starts from the shortest one.
    let node = Node { backoff: Backoff::new(), ..node };
    match then {
        AfterStore::Start => {
            let blank = node.memory == NativeMemory::Blank;
            let step = Step::quiet(node.start(now));
            if blank { step.then(Effect::Tell(NativeNodeEvent::Forgotten)) } else { step }
        }
        AfterStore::Wait { channel, until } => Step::quiet(node.to(State::Pairing {
            channel,
            stage: NodePairingStage::AwaitGrant,
            until,
        })),
        AfterStore::Confirm { mut channel, grant } => {
            match channel.seal(&pair::PairFromNode::Stored(grant), &mut out) {
                Some(frame) => {
                    let until = now.after(node.timing.answer_within);
                    Step::with(
                        node.to(State::Pairing {
                            channel,
                            stage: NodePairingStage::AwaitActive,
                            until,
                        }),
                        [Effect::Send(frame)],
                    )
                }
                None => node.close(None, AfterClose::AtOnce),
            }
        }
        AfterStore::Linked { channel, heartbeats, heard, renews, stored } => {
            let NativeMemory::Paired(paired) = node.memory else {
                return node.close(None, AfterClose::AtOnce);
            };
            // A new grant ends the renewal.
            let (had_none, renews) = (renews, renews && stored.is_none());
            let open = linking::LinkParts { paired, channel, heartbeats, heard, renews };
            let step = linking::go_on(node, open, stored, out);
            match stored {
                Some(_) if had_none => step
                    .then(Effect::Tell(NativeNodeEvent::Renewed))
                    .then(Effect::Tell(NativeNodeEvent::Linked(paired.node_id))),
                Some(_) => step.then(Effect::Tell(NativeNodeEvent::Renewed)),
                None => step,
            }
        }
    }
}

const _: () = assert!(
    core::mem::size_of::<Node>() <= 640,
    "a node's state stands in a microcontroller's static memory"
);
