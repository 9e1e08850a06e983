//! The contract of every machine: a pure function from a state and an input to the next state and
//! all its effects.

use crate::time::{Instant, Reason};

/// Maximum number of effects of one step.
pub const MAX_EFFECTS: usize = 4;

/// A protocol machine without I/O, clock or randomness of its own.
///
/// An adapter drives it in a loop: it feeds an input, carries out the effects in order, feeds their
/// results back as inputs, and feeds a tick when the [`deadline`](Machine::deadline) has come.
/// Everything from outside (time, entropy, stored records) is an argument, so a run replays from
/// its inputs alone.
pub trait Machine: Sized {
    /// An event that the adapter reports; may borrow received bytes.
    type Input<'b>;
    /// A request to the adapter; may borrow from the input or the scratch buffer.
    type Effect<'b>;

    /// Consumes the state and one input, and returns the next state with every effect of the
    /// transition, in the order in which the adapter carries them out. `scratch` holds decoded and
    /// encoded text; [`crate::limits::SCRATCH`] is the size it needs.
    fn step<'b>(
        self,
        now: Instant,
        input: Self::Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Self::Effect<'b>>;

    /// Returns the time of the next tick and its reason; `None` if the machine waits for inputs
    /// only.
    fn deadline(&self) -> Option<(Instant, Reason)>;
}

/// The outcome of one transition.
#[derive(Debug)]
#[must_use = "a step that is dropped loses the state and its effects"]
pub struct Step<S, E> {
    /// The state for the next step.
    pub next: S,
    /// The effects to carry out now, in order.
    pub effects: Effects<E>,
}

impl<S, E> Step<S, E> {
    /// A step without effects.
    pub fn quiet(next: S) -> Self {
        Self { next, effects: Effects::none() }
    }

    /// A step with effects; more than [`MAX_EFFECTS`] do not compile.
    pub fn with<const N: usize>(next: S, effects: [E; N]) -> Self {
        Self { next, effects: Effects::of(effects) }
    }

    /// Inserts an effect before the others. An effect beyond [`MAX_EFFECTS`] is lost; debug builds
    /// assert that this does not happen.
    pub(crate) fn first(mut self, effect: E) -> Self {
        let fits = self.effects.0.insert(0, effect).is_ok();
        debug_assert!(fits, "a step has at most MAX_EFFECTS effects");
        self
    }

    /// Appends an effect; the bound is the same as for [`first`](Self::first).
    pub(crate) fn then(mut self, effect: E) -> Self {
        let fits = self.effects.0.push(effect).is_ok();
        debug_assert!(fits, "a step has at most MAX_EFFECTS effects");
        self
    }

    /// Wraps the state and the effects, for a machine that contains this one.
    pub fn wrap<T, F>(self, state: impl FnOnce(S) -> T, effect: impl FnMut(E) -> F) -> Step<T, F> {
        Step {
            next: state(self.next),
            // The capacity is the same, so collecting cannot overflow.
            effects: Effects(self.effects.0.into_iter().map(effect).collect()),
        }
    }
}

/// A list of effects of fixed capacity.
#[derive(Debug)]
pub struct Effects<E>(heapless::Vec<E, MAX_EFFECTS>);

impl<E> Effects<E> {
    /// An empty list of effects.
    #[must_use]
    pub const fn none() -> Self {
        Self(heapless::Vec::new())
    }

    /// A list of exactly these effects; more than [`MAX_EFFECTS`] do not compile.
    #[must_use]
    pub fn of<const N: usize>(effects: [E; N]) -> Self {
        const { assert!(N <= MAX_EFFECTS, "a step has at most MAX_EFFECTS effects") };
        Self(effects.into_iter().collect())
    }

    /// Returns the number of effects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if there are no effects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the effects without consuming the list.
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
