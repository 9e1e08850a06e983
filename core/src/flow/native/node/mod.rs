//! The node's end: it pairs by the method that its owner chose, and keeps a link open from then on.
//!
//! ```text
//!  Idle ──Pair──▶ Waiting ─▶ Opening ─┬─ method ─▶ Introducing ─▶ Pairing … ─▶ Keeping(Paired) ─┐
//!                    ▲                ├─ paired ─▶ Calling ─▶ Linked                            │
//!                    │                └─ over TLS ─▶ Greeting ─▶ Linked                         │
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

mod attempts;
mod leaving;
mod linking;
mod pairing;
#[cfg(feature = "search")]
mod search;
mod talk;

use crate::budget::Backoff;
use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::noise::{ik, xx};
use crate::link::channel::{Channel, OutgoingBuffer};
use crate::registry::grants::GrantId;
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant};
use crate::wire::native::Features;
use crate::wire::native::pair;

pub use crate::flow::registration::node::Timing;
use attempts::introduce;
use linking::{NodeLink, Stored};
use pairing::{NodePairing, NodePairingStage};
pub use talk::{
    CertificateWish, Effect, Input, NativeMemory, NativeNodeEvent, NodeIdentity, NotAsked,
    PairMethod, Paired, Trust,
};

/// The machine of a node.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Node {
    timing: Timing,
    backoff: Backoff,
    /// The only gateway that is acceptable for pairing, if the owner gave its fingerprint.
    expect: Option<Fingerprint>,
    memory: NativeMemory,
    /// `true` if the adapter keeps the addresses that the gateway tells.
    keeps_addresses: bool,
    #[cfg(feature = "search")]
    search: search::Search,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    /// The adapter looks for the gateway on the local network.
    #[cfg_attr(
        not(feature = "search"),
        allow(dead_code, reason = "only a node that can search does so")
    )]
    Searching,
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
    /// The first message over TLS is sent, and the gateway's verdict is due.
    #[cfg_attr(
        not(feature = "identity"),
        allow(dead_code, reason = "only a node with certificates links over TLS")
    )]
    Greeting {
        link: NodeLink,
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
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[allow(clippy::large_enum_variant, reason = "as for State")]
enum AfterStore {
    /// Start again with no connection open.
    Start,
    /// Wait for the operator.
    Wait { channel: Channel, until: Instant },
    /// Tell the gateway that the grant is stored.
    Confirm { channel: Channel, grant: GrantId },
    /// Continue the link, and tell the gateway what is stored.
    Linked { link: NodeLink, stored: Stored },
}

/// The continuation once a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
        Self {
            timing,
            backoff: Backoff::new(),
            expect: None,
            memory,
            keeps_addresses: false,
            #[cfg(feature = "search")]
            search: search::Search::default(),
            state,
        }
    }

    /// Has the gateway tell the node the addresses at which it is reached; the adapter then carries
    /// out [`Effect::KeepAddresses`].
    #[must_use]
    pub const fn keeping_addresses(mut self) -> Self {
        self.keeps_addresses = true;
        self
    }

    /// Returns the messages that the node takes.
    const fn features(&self, own: &NodeIdentity<'_>) -> Features {
        let features = own.features();
        if self.keeps_addresses { features.with(Features::ADDRESSES) } else { features }
    }

    /// Returns the node's memory: the durable one, or from [`Effect::Keep`] on the one that is to
    /// become durable.
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

    /// Returns `true` if the link is open and its gateway issues certificates.
    #[cfg(feature = "identity")]
    #[must_use]
    pub const fn gets_certificates(&self) -> bool {
        matches!(
            &self.state,
            State::Linked(NodeLink { renews: false, features, .. })
                if features.contains(Features::CERTIFICATE)
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
            (State::Keeping(_), Input::Kept) => on_kept(self, now, true, out),
            (State::Keeping(_), Input::KeptWithout) => on_kept(self, now, false, out),
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
                | Input::Announce(_)
                | Input::Outcome(_)
                | Input::Progress(_)
                | Input::Answer(_)
                | Input::Forget,
            ) => Effects::none(),
            #[cfg(feature = "search")]
            (State::Keeping(_), Input::Found(..)) => Effects::none(),

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
            #[cfg(feature = "identity")]
            (State::Opening { wish }, Input::ConnectedTls { exporter, certified, own }) => {
                match wish.take() {
                    // Nobody pairs over TLS, so the adapter has dialled in vain.
                    Some(wish) => self.close(Some(wish), AfterClose::Retry),
                    None => linking::tls::call(self, now, exporter, certified, &own, out),
                }
            }
            (State::Opening { wish }, Input::Disconnected(entropy)) => {
                let wish = wish.take();
                self.lost(now, wish, &entropy)
            }

            #[cfg(feature = "search")]
            (State::Searching, Input::Found(count, entropy)) => match self.on_found(count) {
                Some(effects) => effects,
                None => self.wait_on(now, None, &entropy),
            },

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
                    // A code serves one run, so the owner has to start anew.
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

            #[cfg(feature = "identity")]
            (State::Greeting { .. }, Input::Frame { bytes, .. }) => {
                linking::tls::on_first(self, now, bytes, out)
            }
            (State::Greeting { .. }, Input::Disconnected(entropy)) => {
                self.back_off(now, None, &entropy)
            }
            (State::Greeting { until, .. }, Input::Tick(_)) if *until <= now => {
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
                | State::Searching
                | State::Opening { .. }
                | State::Introducing { .. }
                | State::Pairing(_)
                | State::Calling { .. }
                | State::Greeting { .. }
                | State::Closing { .. },
                Input::Tick(_)
                | Input::Connected(..)
                | Input::Frame { .. }
                | Input::Disconnected(_)
                | Input::Kept
                | Input::KeptWithout
                | Input::CodeEntered(..)
                | Input::App(_)
                | Input::Subscribe(_)
                | Input::Renew(_)
                | Input::Announce(_)
                | Input::Outcome(_)
                | Input::Progress(_)
                | Input::Answer(_),
            ) => Effects::none(),
            #[cfg(feature = "identity")]
            (
                State::Idle
                | State::Waiting { .. }
                | State::Searching
                | State::Opening { .. }
                | State::Introducing { .. }
                | State::Pairing(_)
                | State::Calling { .. }
                | State::Greeting { .. }
                | State::Keeping(_)
                | State::Closing { .. },
                Input::ConnectedTls { .. } | Input::RenewCertificate(_) | Input::Redial,
            ) => Effects::none(),
            #[cfg(feature = "search")]
            (
                State::Idle
                | State::Waiting { .. }
                | State::Opening { .. }
                | State::Introducing { .. }
                | State::Pairing(_)
                | State::Calling { .. }
                | State::Greeting { .. }
                | State::Closing { .. },
                Input::Found(..),
            ) => Effects::none(),
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match &self.state {
            State::Waiting { until, .. } => Some((*until, DeadlineReason::Reconnect)),
            State::Introducing { until, .. }
            | State::Pairing(NodePairing { until, .. })
            | State::Calling { until, .. }
            | State::Greeting { until, .. } => Some((*until, DeadlineReason::Answer)),
            State::Linked(link) => Some(link.deadline()),
            State::Idle
            | State::Searching
            | State::Opening { .. }
            | State::Keeping(_)
            | State::Closing { .. } => None,
        }
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn awaits_answer(&self) -> bool {
        match &self.state {
            State::Searching | State::Opening { .. } | State::Keeping(_) => true,
            State::Idle
            | State::Waiting { .. }
            | State::Introducing { .. }
            | State::Pairing(_)
            | State::Calling { .. }
            | State::Greeting { .. }
            | State::Linked(_)
            | State::Closing { .. } => false,
        }
    }

    fn state_name(&self) -> &'static str {
        match &self.state {
            State::Idle => "Idle",
            State::Waiting { .. } => "Waiting",
            State::Searching => "Searching",
            State::Opening { .. } => "Opening",
            State::Introducing { .. } => "Introducing",
            State::Pairing(pairing) => pairing.stage.name(),
            State::Calling { .. } => "Calling",
            State::Greeting { .. } => "Greeting",
            State::Linked(NodeLink { renews: false, .. }) => "Linked",
            State::Linked(NodeLink { renews: true, .. }) => "Renewing",
            State::Keeping(_) => "Keeping",
            State::Closing { .. } => "Closing",
        }
    }
}

#[inline(never)]
fn on_kept<'b>(
    node: &mut Node,
    now: Instant,
    certified: bool,
    mut out: OutgoingBuffer<'b>,
) -> Effects<Effect<'b>> {
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
        // `Stored` would confirm the certificate with the grant. The link, which is opened at once,
        // confirms the grant alone, and there the node asks for another certificate.
        AfterStore::Confirm { .. } if !certified => {
            let told = NativeNodeEvent::CertificateNotRenewed;
            leaving::leave(node, None, AfterClose::AtOnce, told)
        }
        AfterStore::Confirm { mut channel, grant } => {
            match channel.seal(&pair::PairFromNode::Stored(grant), &mut out) {
                Some(frame) => {
                    let stage = NodePairingStage::AwaitActive;
                    let until = now.after(node.timing.answer_within);
                    let pairing = State::Pairing(NodePairing { channel, stage, until });
                    node.enter(pairing, [Effect::Send(frame)])
                }
                // The grant is stored, so the node links at once, and the link confirms it.
                None => node.close(None, AfterClose::AtOnce),
            }
        }
        AfterStore::Linked { link, stored } => linking::on_kept(node, link, stored, certified, out),
    }
}

const _: () = assert!(
    core::mem::size_of::<Node>() <= 640,
    "a node's state stands in a microcontroller's static memory"
);
