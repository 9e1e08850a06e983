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
//! in a frame of its own, and a microcontroller's stack need not hold the sum of them. They change
//! the state where it lies, and take apart only a state that is left. Each is called in one state;
//! in another one it would do nothing.

mod linking;
mod pairing;
mod talk;

use crate::budget::Backoff;
use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::noise::{ik, xx};
use crate::entropy::Entropy;
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::registry::grants::GrantId;
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant};
use crate::wire::close::Close;
use crate::wire::native::open::{Intent, Open};
use crate::wire::native::pair;

pub use crate::flow::registration::node::Timing;
use linking::NodeLink;
use pairing::{NodePairing, NodePairingStage};
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
    Pairing(NodePairing),
    Calling {
        paired: Paired,
        initiator: ik::Initiator,
        until: Instant,
    },
    Linked(NodeLink),
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
    Linked { link: NodeLink, stored: Option<GrantId> },
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
            &self.state,
            State::Linked(NodeLink { renews: false, .. })
                | State::Keeping(AfterStore::Linked { link: NodeLink { renews: false, .. }, .. })
        )
    }

    fn enter<'b, const N: usize>(
        &mut self,
        state: State,
        effects: [Effect<'b>; N],
    ) -> Effects<Effect<'b>> {
        self.state = state;
        Effects::of(effects)
    }

    /// Follows the owner's choice of a method.
    #[inline(never)]
    fn pair<'b>(
        &mut self,
        now: Instant,
        wish: PairMethod,
        expect: Option<Fingerprint>,
    ) -> Effects<Effect<'b>> {
        (self.expect, self.backoff) = (expect, Backoff::new());
        match &self.state {
            State::Idle | State::Waiting { .. } => {
                self.enter(State::Waiting { wish: Some(wish), until: now }, [])
            }
            State::Closing { .. } => {
                let closing = State::Closing { wish: Some(wish), rest: AfterClose::AtOnce };
                self.enter(closing, [])
            }
            // An open connection serves the earlier purpose, so it is closed first.
            State::Opening { .. }
            | State::Introducing { .. }
            | State::Pairing(_)
            | State::Calling { .. }
            | State::Linked(_)
            | State::Keeping(_) => self.close(Some(wish), AfterClose::AtOnce),
        }
    }

    #[inline(never)]
    fn forget<'b>(&mut self) -> Effects<Effect<'b>> {
        let close = match &self.state {
            // These states have no connection to close.
            State::Idle | State::Waiting { .. } | State::Closing { .. } => None,
            State::Opening { .. }
            | State::Introducing { .. }
            | State::Pairing(_)
            | State::Calling { .. }
            | State::Linked(_)
            | State::Keeping(_) => Some(Effect::Close(Close::GOODBYE)),
        };
        self.state = State::Keeping(AfterStore::Start);
        Effects::flatten([close, Some(Effect::Keep(NativeMemory::Blank))])
    }

    /// Closes the connection; `rest` follows once it is closed.
    #[inline(never)]
    fn close<'b>(&mut self, wish: Option<PairMethod>, rest: AfterClose) -> Effects<Effect<'b>> {
        self.enter(State::Closing { wish, rest }, [Effect::Close(Close::GOODBYE)])
    }

    /// Waits, longer each time, before the next attempt.
    #[inline(never)]
    fn back_off<'b>(
        &mut self,
        now: Instant,
        wish: Option<PairMethod>,
        entropy: &Entropy<2>,
    ) -> Effects<Effect<'b>> {
        let (wait, backoff) = self.backoff.wait(entropy);
        self.backoff = backoff;
        let state = State::Waiting { wish, until: now.after(wait) };
        self.enter(state, [Effect::Tell(NativeNodeEvent::RetryIn(wait))])
    }

    /// Starts what the node does unasked: it links if it is paired, and repeats its request if it
    /// has asked.
    fn start(&mut self, now: Instant) {
        self.state = match self.memory {
            NativeMemory::Blank => State::Idle,
            NativeMemory::Asked { .. } => {
                State::Waiting { wish: Some(PairMethod::Approval), until: now }
            }
            NativeMemory::Paired(_) => State::Waiting { wish: None, until: now },
        };
    }

    /// Takes the method out of an introduction that is left.
    #[inline(never)]
    fn take_wish(&mut self) -> Option<PairMethod> {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Introducing { wish, .. } => Some(wish),
            State::Waiting { wish, .. } | State::Opening { wish } | State::Closing { wish, .. } => {
                wish
            }
            State::Idle
            | State::Pairing(_)
            | State::Calling { .. }
            | State::Linked(_)
            | State::Keeping(_) => None,
        }
    }

    /// Continues after a connection that ended by itself.
    #[inline(never)]
    fn lost<'b>(
        &mut self,
        now: Instant,
        wish: Option<PairMethod>,
        entropy: &Entropy<2>,
    ) -> Effects<Effect<'b>> {
        match (&wish, &self.memory) {
            // A PIN or code under way is gone; only the gateway that the node is paired to can be
            // tried again.
            (None, NativeMemory::Blank) => self.enter(State::Idle, []),
            (None, NativeMemory::Asked { .. }) => {
                self.back_off(now, Some(PairMethod::Approval), entropy)
            }
            // The node is paired, so its approval need not be repeated.
            (None | Some(PairMethod::Approval), NativeMemory::Paired(_)) => {
                self.back_off(now, None, entropy)
            }
            (Some(PairMethod::Approval), NativeMemory::Blank | NativeMemory::Asked { .. })
            | (
                Some(PairMethod::Pin | PairMethod::Code { .. } | PairMethod::Setup),
                NativeMemory::Blank | NativeMemory::Asked { .. } | NativeMemory::Paired(_),
            ) => self.back_off(now, wish, entropy),
        }
    }

    /// Continues after a connection that the node has closed.
    #[inline(never)]
    fn closed<'b>(
        &mut self,
        now: Instant,
        wish: Option<PairMethod>,
        rest: AfterClose,
        entropy: &Entropy<2>,
    ) -> Effects<Effect<'b>> {
        match (rest, &self.memory) {
            (
                AfterClose::Retry,
                NativeMemory::Blank | NativeMemory::Asked { .. } | NativeMemory::Paired(_),
            ) => self.lost(now, wish, entropy),
            (
                AfterClose::AtOnce,
                NativeMemory::Blank | NativeMemory::Asked { .. } | NativeMemory::Paired(_),
            ) => {
                match wish {
                    Some(_) => self.state = State::Waiting { wish, until: now },
                    None => self.start(now),
                }
                Effects::none()
            }
            (AfterClose::Idle, NativeMemory::Paired(_)) => self.back_off(now, None, entropy),
            (AfterClose::Idle, NativeMemory::Blank | NativeMemory::Asked { .. }) => {
                self.enter(State::Idle, [])
            }
        }
    }
}

impl Machine for Node {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let out = OutgoingBuffer::new(scratch);
        match (&mut self.state, input) {
            (State::Keeping(_), Input::Kept(memory)) => {
                self.memory = memory;
                on_kept(self, now, out)
            }
            // The memory that is being stored decides. The next attempt settles whatever else
            // happens meanwhile.
            (
                State::Keeping(_),
                Input::Tick(_)
                | Input::Connected(..)
                | Input::Frame { .. }
                | Input::Disconnected(_)
                | Input::Pair(..)
                | Input::CodeEntered(..)
                | Input::App(_)
                | Input::Subscribe(_)
                | Input::Renew(_)
                | Input::Forget,
            ) => Effects::none(),

            (_, Input::Pair(wish, expect)) => self.pair(now, wish, expect),
            (_, Input::Forget) => self.forget(),

            (State::Waiting { wish, until }, Input::Tick(_)) if *until <= now => {
                let wish = wish.take();
                self.enter(State::Opening { wish }, [Effect::Connect])
            }
            (State::Opening { wish }, Input::Connected(entropy, own)) => match wish.take() {
                Some(wish) => introduce(self, now, wish, &entropy, out),
                None => linking::call(self, now, &entropy, &own, out),
            },
            (State::Opening { wish }, Input::Disconnected(entropy)) => {
                let wish = wish.take();
                self.lost(now, wish, &entropy)
            }

            (State::Introducing { .. }, Input::Frame { bytes, entropy, own }) => {
                pairing::on_second(self, now, bytes, &entropy, &own, out)
            }
            (State::Introducing { .. }, Input::Disconnected(entropy)) => {
                let wish = self.take_wish();
                self.lost(now, wish, &entropy)
            }
            (State::Introducing { until, .. }, Input::Tick(_)) if *until <= now => {
                let wish = self.take_wish();
                self.close(wish, AfterClose::Retry)
            }

            (State::Pairing(_), Input::Frame { bytes, .. }) => {
                pairing::on_frame(self, now, bytes, out)
            }
            (State::Pairing(pairing), Input::CodeEntered(code, entropy, own)) => {
                let soon = now.after(self.timing.answer_within);
                match pairing.on_code(soon, &code, &entropy, &own, out) {
                    Some(effects) => effects,
                    None => self.close(None, AfterClose::Idle),
                }
            }
            (State::Pairing(pairing), Input::Disconnected(entropy)) => match pairing.stage {
                // The grant is stored, so the node links; the link confirms the grant, too.
                NodePairingStage::AwaitActive => {
                    self.start(now);
                    Effects::none()
                }
                NodePairingStage::AwaitAnswer { .. }
                | NodePairingStage::AwaitSettled
                | NodePairingStage::AwaitCode { .. }
                | NodePairingStage::AwaitYb { .. }
                | NodePairingStage::AwaitTb { .. }
                | NodePairingStage::AwaitGrant => {
                    let wish = pairing.stage.wish_left();
                    self.lost(now, wish, &entropy)
                }
            },
            (State::Pairing(pairing), Input::Tick(_)) if pairing.until <= now => {
                let wish = pairing.stage.wish_left();
                // Without a wish the owner has to start anew, as after a code that was used.
                let rest = if wish.is_some() { AfterClose::Retry } else { AfterClose::Idle };
                self.close(wish, rest)
            }

            (State::Calling { .. }, Input::Frame { bytes, own, .. }) => {
                linking::on_second(self, now, bytes, &own, out)
            }
            (State::Calling { .. }, Input::Disconnected(entropy)) => {
                self.back_off(now, None, &entropy)
            }
            (State::Calling { until, .. }, Input::Tick(_)) if *until <= now => {
                self.close(None, AfterClose::Retry)
            }

            (State::Linked(_), input) => linking::step(self, now, input, out),

            (State::Closing { wish, rest }, Input::Disconnected(entropy)) => {
                let (wish, rest) = (wish.take(), *rest);
                self.closed(now, wish, rest, &entropy)
            }

            (
                State::Idle
                | State::Waiting { .. }
                | State::Opening { .. }
                | State::Introducing { .. }
                | State::Pairing(_)
                | State::Calling { .. }
                | State::Closing { .. },
                Input::Tick(_)
                | Input::Connected(..)
                | Input::Frame { .. }
                | Input::Disconnected(_)
                | Input::Kept(_)
                | Input::CodeEntered(..)
                | Input::App(_)
                | Input::Subscribe(_)
                | Input::Renew(_),
            ) => Effects::none(),
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match &self.state {
            State::Waiting { until, .. } => Some((*until, DeadlineReason::Reconnect)),
            State::Introducing { until, .. }
            | State::Pairing(NodePairing { until, .. })
            | State::Calling { until, .. } => Some((*until, DeadlineReason::Answer)),
            State::Linked(link) => Some(link.deadline()),
            State::Idle | State::Opening { .. } | State::Keeping(_) | State::Closing { .. } => None,
        }
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Opening { .. } | State::Keeping(_) => true,
            State::Idle
            | State::Waiting { .. }
            | State::Introducing { .. }
            | State::Pairing(_)
            | State::Calling { .. }
            | State::Linked(_)
            | State::Closing { .. } => false,
        }
    }

    fn state_name(&self) -> &'static str {
        match &self.state {
            State::Idle => "Idle",
            State::Waiting { .. } => "Waiting",
            State::Opening { .. } => "Opening",
            State::Introducing { .. } => "Introducing",
            State::Pairing(pairing) => pairing.stage.name(),
            State::Calling { .. } => "Calling",
            State::Linked(NodeLink { renews: false, .. }) => "Linked",
            State::Linked(NodeLink { renews: true, .. }) => "Renewing",
            State::Keeping(_) => "Keeping",
            State::Closing { .. } => "Closing",
        }
    }
}

/// Sends `Open` and the first message of XX.
#[inline(never)]
fn introduce<'b>(
    node: &mut Node,
    now: Instant,
    wish: PairMethod,
    entropy: &Entropy<32>,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
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
            node.enter(state, [Effect::Send(open.as_bytes()), Effect::Send(message)])
        }
        None => node.close(Some(wish), AfterClose::Retry),
    }
}

#[inline(never)]
fn on_kept<'b>(node: &mut Node, now: Instant, mut out: OutgoingBuffer<'b>) -> Effects<Effect<'b>> {
    let State::Keeping(then) = core::mem::replace(&mut node.state, State::Idle) else {
        return Effects::none();
    };
    // Progress was made durable, so the next wait starts from the shortest one.
    node.backoff = Backoff::new();
    match then {
        AfterStore::Start => {
            node.start(now);
            let blank = node.memory == NativeMemory::Blank;
            Effects::flatten([blank.then_some(Effect::Tell(NativeNodeEvent::Forgotten))])
        }
        AfterStore::Wait { channel, until } => {
            let stage = NodePairingStage::AwaitGrant;
            node.enter(State::Pairing(NodePairing { channel, stage, until }), [])
        }
        AfterStore::Confirm { mut channel, grant } => {
            match channel.seal(&pair::PairFromNode::Stored(grant), &mut out) {
                Some(frame) => {
                    let stage = NodePairingStage::AwaitActive;
                    let until = now.after(node.timing.answer_within);
                    let pairing = State::Pairing(NodePairing { channel, stage, until });
                    node.enter(pairing, [Effect::Send(frame)])
                }
                None => node.close(None, AfterClose::AtOnce),
            }
        }
        AfterStore::Linked { link, stored } => linking::on_kept(node, link, stored, out),
    }
}

const _: () = assert!(
    core::mem::size_of::<Node>() <= 640,
    "a node's state stands in a microcontroller's static memory"
);
