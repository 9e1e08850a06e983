//! The search for a gateway that is not where it was.
//!
//! A paired node that failed [`FAILURES`] times in a row has its adapter look for the gateway's
//! fingerprint on the local network, and calls what was found, one after another. The handshake
//! proves the gateway's key at a new address as at an old one, and only then is the address kept.
//! In between, the known addresses get their turn as before.

use super::{Effect, NativeMemory, Node, State};
use crate::crypto::fingerprint::Fingerprint;
use crate::limits::SEARCH_ADDRESSES;
use crate::step::Effects;

/// Number of failed attempts after which a node looks for its gateway.
const FAILURES: u8 = 3;

/// The progress of a search.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Search {
    /// `true` if the adapter can search.
    can: bool,
    /// Attempts that failed since the gateway last proved its key.
    failures: u8,
    found: Option<FoundCalls>,
}

/// The found addresses that are called.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct FoundCalls {
    /// Index of the next one.
    next: u8,
    count: u8,
}

impl FoundCalls {
    /// Returns the effect that calls the next address, and the calls that remain after it.
    fn call<'b>(self) -> Option<(Effect<'b>, Self)> {
        let left = Self { next: self.next.checked_add(1)?, ..self };
        (self.next < self.count).then_some((Effect::ConnectFound(self.next), left))
    }
}

impl Node {
    /// Lets the node look for its gateway on the local network; the adapter then carries out
    /// [`Effect::Search`].
    #[must_use]
    pub fn searching(mut self) -> Self {
        self.search.can = true;
        self
    }

    /// Forgets a search, because the node turns to something else.
    pub(super) fn end_search(&mut self) {
        self.search.found = None;
    }

    /// Counts a failed attempt of a paired node, and returns the effects of what comes in place of
    /// a wait: a search, or a call at the next found address.
    #[inline(never)]
    pub(super) fn search_on<'b>(&mut self) -> Option<Effects<Effect<'b>>> {
        let NativeMemory::Paired(paired) = self.memory else { return None };
        if !self.search.can {
            return None;
        }
        if let Some(found) = self.search.found.take() {
            // After the last one the node waits as after any failed attempt.
            let (call, left) = found.call()?;
            self.search.found = Some(left);
            return Some(self.enter(State::Opening { wish: None }, [call]));
        }
        self.search.failures = self.search.failures.saturating_add(1);
        (self.search.failures >= FAILURES).then(|| {
            let sought = Effect::Search(Fingerprint::of(&paired.gateway));
            self.enter(State::Searching, [sought])
        })
    }

    /// Calls the first of the found addresses; `None` if there is none.
    pub(super) fn on_found<'b>(&mut self, count: u8) -> Option<Effects<Effect<'b>>> {
        let found = FoundCalls { next: 0, count: count.min(SEARCH_ADDRESSES) };
        let (call, left) = found.call()?;
        self.search.found = Some(left);
        Some(self.enter(State::Opening { wish: None }, [call]))
    }

    /// The gateway has proven its key. Returns the effect that keeps its address, if it was found.
    pub(super) fn proven<'b>(&mut self) -> Option<Effect<'b>> {
        self.search.failures = 0;
        self.search.found.take().map(|_| Effect::KeepFound)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, NativeMemory, Paired, Timing};
    use super::*;
    use crate::crypto::x25519::PublicKey;
    use crate::entropy::Entropy;
    use crate::id::NodeId;
    use crate::registry::grants::GrantId;
    use crate::step::Machine;
    use crate::time::{Instant, Span};
    use crate::wire::registration::Heartbeat;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    struct Run {
        node: Node,
        now: Instant,
    }

    impl Run {
        fn paired() -> Self {
            let timing =
                Timing { answer_within: Span::from_secs(10), heartbeat_every: Span::from_secs(60) };
            let memory = NativeMemory::Paired(Paired {
                gateway: PublicKey::parse(&[9; 32]).unwrap(),
                node_id: NodeId::from_bytes([1; 16]),
                grant: GrantId::from_bytes([2; 16]),
                mark: None,
            });
            let now = Instant::from_millis(0);
            Self { node: Node::boot(now, memory, timing).searching(), now }
        }

        fn step(&mut self, input: Input<'_>) -> Vec<String> {
            let mut scratch = [0; crate::limits::NATIVE_SETUP_SCRATCH];
            let effects = self.node.step(self.now, input, &mut scratch);
            effects
                .iter()
                .map(|effect| format!("{effect:?}").chars().take_while(|c| *c != '{').collect())
                .collect()
        }

        fn fails(&mut self) -> Vec<String> {
            self.step(Input::Disconnected(Entropy::from_recorded([0; 2])))
        }

        /// Waits for the next attempt.
        fn attempt(&mut self) -> Vec<String> {
            self.now = self.node.deadline().unwrap().0;
            self.step(Input::Tick(Heartbeat::default()))
        }
    }

    fn found(count: u8) -> Input<'static> {
        Input::Found(count, Entropy::from_recorded([0; 2]))
    }

    fn searches(effects: &[String]) -> bool {
        effects.len() == 1 && effects[0].starts_with("Search(")
    }

    #[test]
    fn a_node_that_failed_three_times_searches_and_calls_each_found_address_once() {
        let mut run = Run::paired();
        for _ in 1..FAILURES {
            assert_eq!(run.attempt(), ["Connect"]);
            assert!(run.fails()[0].starts_with("Tell(RetryIn"));
        }
        assert_eq!(run.attempt(), ["Connect"]);
        assert!(searches(&run.fails()));
        assert_eq!(run.node.state_name(), "Searching");
        assert_eq!(run.step(found(2)), ["ConnectFound(0)"]);
        assert_eq!(run.fails(), ["ConnectFound(1)"]);
        // Then the known addresses have their turn, after a wait, and the next search follows.
        assert!(run.fails()[0].starts_with("Tell(RetryIn"));
        assert_eq!(run.attempt(), ["Connect"]);
        assert!(searches(&run.fails()));
    }

    #[test]
    fn a_search_that_finds_nothing_is_a_failed_attempt() {
        let mut run = Run::paired();
        for _ in 0..FAILURES {
            run.attempt();
            run.fails();
        }
        assert!(run.step(found(0))[0].starts_with("Tell(RetryIn"));
        assert_eq!(run.node.state_name(), "Waiting");
    }

    #[test]
    fn however_many_addresses_are_found_a_bounded_number_is_called() {
        let mut run = Run::paired();
        for _ in 0..FAILURES {
            run.attempt();
            run.fails();
        }
        assert_eq!(run.step(found(u8::MAX)), ["ConnectFound(0)"]);
        let calls =
            core::iter::from_fn(|| run.fails()[0].starts_with("ConnectFound").then_some(()));
        assert_eq!(calls.count(), usize::from(SEARCH_ADDRESSES) - 1);
    }

    #[test]
    fn a_proven_gateway_ends_the_search_and_its_address_is_kept_only_if_it_was_found() {
        let mut run = Run::paired();
        assert!(run.node.proven().is_none());
        for _ in 0..FAILURES {
            run.attempt();
            run.fails();
        }
        run.step(found(1));
        assert!(matches!(run.node.proven(), Some(Effect::KeepFound)));
        assert!(run.node.proven().is_none());
        assert_eq!(run.node.search.failures, 0);
    }

    #[test]
    fn an_answer_that_comes_after_the_node_turned_to_something_else_is_dropped() {
        let mut run = Run::paired();
        for _ in 0..FAILURES {
            run.attempt();
            run.fails();
        }
        run.step(Input::Pair(super::super::PairMethod::Pin, None));
        assert!(run.step(found(3)).is_empty());
        assert_eq!(run.attempt(), ["Connect"]);
        assert!(run.fails()[0].starts_with("Tell(RetryIn"), "a pairing searches for nothing");
    }

    #[test]
    fn a_node_whose_adapter_cannot_search_only_waits() {
        let mut run = Run::paired();
        run.node.search.can = false;
        for _ in 0..10 {
            assert_eq!(run.attempt(), ["Connect"]);
            assert!(run.fails()[0].starts_with("Tell(RetryIn"));
        }
    }
}
