//! The contract every machine keeps: one pure function from a state and an input to the next state
//! and all its effects.

use crate::time::{Instant, Reason};

/// The most effects one step may ask for.
pub const MAX_EFFECTS: usize = 4;

/// A protocol machine without I/O, clock or randomness of its own.
///
/// An adapter drives it in a loop: feed an input, carry out the effects in order, feed their
/// results back as inputs, and feed a tick when [`deadline`](Machine::deadline) has come. Whatever
/// a machine needs from outside (time, entropy, stored records) is an argument, so a run replays
/// from its inputs alone.
pub trait Machine: Sized {
    /// What may happen to the machine; may borrow received bytes.
    type Input<'b>;
    /// What the machine asks the adapter to do; may borrow from the input or the scratch buffer.
    type Effect<'b>;

    /// Consumes the state and one input, and returns the next state with every effect of the
    /// transition, in the order in which they are to be carried out. `scratch` holds decoded and
    /// encoded text; [`crate::limits::SCRATCH`] says how much it may need.
    fn step<'b>(
        self,
        now: Instant,
        input: Self::Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Self::Effect<'b>>;

    /// When the machine next wants a tick although nothing happens, and why.
    fn deadline(&self) -> Option<(Instant, Reason)>;
}

/// The outcome of one transition.
#[derive(Debug)]
#[must_use = "a step that is dropped loses the state and its effects"]
pub struct Step<S, E> {
    /// The state to step from next.
    pub next: S,
    /// What to do now, in order.
    pub effects: Effects<E>,
}

impl<S, E> Step<S, E> {
    /// The next state alone.
    pub fn quiet(next: S) -> Self {
        Self { next, effects: Effects::none() }
    }

    /// The next state and its effects; more than [`MAX_EFFECTS`] do not compile.
    pub fn with<const N: usize>(next: S, effects: [E; N]) -> Self {
        Self { next, effects: Effects::of(effects) }
    }

    /// One effect more, before the others. A machine that would exceed [`MAX_EFFECTS`] loses it;
    /// debug builds say so.
    pub(crate) fn first(mut self, effect: E) -> Self {
        let fits = self.effects.0.insert(0, effect).is_ok();
        debug_assert!(fits, "a step has at most MAX_EFFECTS effects");
        self
    }

    /// One effect more, behind the others; as for [`first`](Self::first).
    pub(crate) fn then(mut self, effect: E) -> Self {
        let fits = self.effects.0.push(effect).is_ok();
        debug_assert!(fits, "a step has at most MAX_EFFECTS effects");
        self
    }

    /// The step of a machine that contains this one: its state and its effects wrapped.
    pub fn wrap<T, F>(self, state: impl FnOnce(S) -> T, effect: impl FnMut(E) -> F) -> Step<T, F> {
        Step {
            next: state(self.next),
            effects: Effects(self.effects.0.into_iter().map(effect).collect()),
        }
    }
}

/// A list of effects of fixed capacity.
#[derive(Debug)]
pub struct Effects<E>(heapless::Vec<E, MAX_EFFECTS>);

impl<E> Effects<E> {
    /// Nothing to do.
    #[must_use]
    pub const fn none() -> Self {
        Self(heapless::Vec::new())
    }

    /// Exactly these; more than [`MAX_EFFECTS`] do not compile.
    #[must_use]
    pub fn of<const N: usize>(effects: [E; N]) -> Self {
        const { assert!(N <= MAX_EFFECTS, "a step has at most MAX_EFFECTS effects") };
        Self(effects.into_iter().collect())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks at them without carrying them out.
    pub fn iter(&self) -> core::slice::Iter<'_, E> {
        self.0.iter()
    }
}

impl<E> IntoIterator for Effects<E> {
    type Item = E;
    type IntoIter = heapless::vec::IntoIter<E, MAX_EFFECTS, usize>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
