//! The connections that a node opens: when, for what, and what follows the end of one.

use super::{
    AfterClose, AfterStore, Effect, NativeMemory, NativeNodeEvent, Node, PairMethod, State,
};
use crate::budget::Backoff;
use crate::crypto::fingerprint::Fingerprint;
use crate::crypto::noise::xx;
use crate::entropy::Entropy;
use crate::link::channel::OutgoingBuffer;
use crate::step::Effects;
use crate::time::Instant;
use crate::wire::close::Close;
use crate::wire::native::open::{Intent, Open};

impl Node {
    /// Follows the owner's choice of a method.
    #[inline(never)]
    pub(super) fn pair<'b>(
        &mut self,
        now: Instant,
        wish: PairMethod,
        expect: Option<Fingerprint>,
    ) -> Effects<Effect<'b>> {
        // The owner's choice does not wait for the failures of earlier attempts.
        (self.expect, self.backoff) = (expect, Backoff::new());
        #[cfg(feature = "search")]
        self.end_search();
        match &self.state {
            State::Idle | State::Waiting { .. } | State::Searching => {
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
            | State::Greeting { .. }
            | State::Linked(_)
            | State::Keeping(_) => self.close(Some(wish), AfterClose::AtOnce),
        }
    }

    #[inline(never)]
    pub(super) fn forget<'b>(&mut self) -> Effects<Effect<'b>> {
        let close = match &self.state {
            // These states have no connection to close.
            State::Idle | State::Waiting { .. } | State::Searching | State::Closing { .. } => None,
            State::Opening { .. }
            | State::Introducing { .. }
            | State::Pairing(_)
            | State::Calling { .. }
            | State::Greeting { .. }
            | State::Linked(_)
            | State::Keeping(_) => Some(Effect::Close(Close::GOODBYE)),
        };
        // The node starts anew only once the blank memory is durable.
        self.state = State::Keeping(AfterStore::Start);
        self.memory = NativeMemory::Blank;
        Effects::flatten([close, Some(Effect::Keep)])
    }

    /// Closes the connection; `rest` follows once it is closed.
    #[inline(never)]
    pub(super) fn close<'b>(
        &mut self,
        wish: Option<PairMethod>,
        rest: AfterClose,
    ) -> Effects<Effect<'b>> {
        self.enter(State::Closing { wish, rest }, [Effect::Close(Close::GOODBYE)])
    }

    /// Waits, longer each time, before the next attempt.
    #[inline(never)]
    pub(super) fn back_off<'b>(
        &mut self,
        now: Instant,
        wish: Option<PairMethod>,
        entropy: &Entropy<2>,
    ) -> Effects<Effect<'b>> {
        #[cfg(feature = "search")]
        if wish.is_none()
            && let Some(effects) = self.search_on()
        {
            return effects;
        }
        self.wait_on(now, wish, entropy)
    }

    /// Waits before the next attempt, without a search in its place.
    pub(super) fn wait_on<'b>(
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
    pub(super) fn start(&mut self, now: Instant) {
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
    pub(super) fn take_wish(&mut self) -> Option<PairMethod> {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::Introducing { wish, .. } => Some(wish),
            State::Waiting { wish, .. } | State::Opening { wish } | State::Closing { wish, .. } => {
                wish
            }
            State::Idle
            | State::Searching
            | State::Pairing(_)
            | State::Calling { .. }
            | State::Greeting { .. }
            | State::Linked(_)
            | State::Keeping(_) => None,
        }
    }

    /// Continues after a connection that ended by itself.
    #[inline(never)]
    pub(super) fn lost<'b>(
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
    pub(super) fn closed<'b>(
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

/// Sends `Open` and the first message of XX.
#[inline(never)]
pub(super) fn introduce<'b>(
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
            // `Open` has no answer of its own, so the first message follows at once.
            node.enter(state, [Effect::Send(open.as_bytes()), Effect::Send(message)])
        }
        None => node.close(Some(wish), AfterClose::Retry),
    }
}
