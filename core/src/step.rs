//! The contract of every machine: a transition changes the state in place, by nothing but its
//! arguments, and returns all its effects.

use crate::time::{DeadlineReason, Instant};

/// Maximum number of effects of one step.
pub const MAX_EFFECTS: usize = 4;

/// A protocol machine without I/O, clock or randomness of its own.
///
/// An adapter drives it in a loop: it feeds an input, carries out the effects in order, feeds their
/// results back as inputs, and feeds a tick when the [`deadline`](Machine::deadline) has come.
/// Everything from outside (time, entropy, stored records) is an argument, so a run replays from
/// its inputs alone.
pub trait Machine {
    /// An event that the adapter reports; may borrow received bytes.
    type Input<'b>;
    /// A request to the adapter; may borrow from the input or the scratch buffer.
    type Effect<'b>;

    /// Advances the state by one input, in place, and returns every effect of the transition, in
    /// the order in which the adapter carries them out. `scratch` holds decoded and encoded text;
    /// [`crate::limits::SCRATCH`] is the size it needs.
    fn step<'b>(
        &mut self,
        now: Instant,
        input: Self::Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Self::Effect<'b>>;

    /// Returns the time of the next tick and its reason; `None` if the machine waits for inputs
    /// only.
    fn deadline(&self) -> Option<(Instant, DeadlineReason)>;

    /// Returns `true` once the machine has ended; every further input is ignored. A node's machine
    /// never ends.
    fn is_closed(&self) -> bool;

    /// Returns `true` while an effect's answer is due. Until then the adapter reads no further
    /// frame, so that no early frame of the peer is lost.
    fn awaits_answer(&self) -> bool;

    /// Returns the state's name, for traces and tables.
    fn state_name(&self) -> &'static str;
}

/// The effects of one step, in order.
///
/// A list is made whole, from an array whose length is checked at compile time, and nothing is
/// appended to it afterwards: so none can be too long.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "effects that are dropped are never carried out"]
pub struct Effects<E>([Option<E>; MAX_EFFECTS]);

impl<E> Effects<E> {
    /// Returns an empty list of effects.
    pub const fn none() -> Self {
        Self([const { None }; MAX_EFFECTS])
    }

    /// Returns a list of exactly these effects; more than [`MAX_EFFECTS`] do not compile.
    pub fn of<const N: usize>(effects: [E; N]) -> Self {
        Self::flatten(effects.map(Some))
    }

    /// Returns a list of those of these effects that are there; room for more than [`MAX_EFFECTS`]
    /// does not compile.
    pub fn flatten<const N: usize>(effects: [Option<E>; N]) -> Self {
        const { assert!(N <= MAX_EFFECTS, "a step has at most MAX_EFFECTS effects") };
        let mut list = Self::none();
        // The assertion makes the list the longer one of the two, so every effect finds a place.
        for (place, effect) in list.0.iter_mut().zip(effects) {
            *place = effect;
        }
        list
    }

    /// Converts each effect, for a machine that contains the one that made them.
    pub fn map<F>(self, effect: impl Fn(E) -> F) -> Effects<F> {
        Effects(self.0.map(|place| place.map(&effect)))
    }

    /// Returns the number of effects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns `true` if there are no effects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Iterates over the effects without consuming the list.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.0.iter().flatten()
    }
}

impl<E> IntoIterator for Effects<E> {
    type Item = E;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<E>, MAX_EFFECTS>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_exactly_the_effects_that_it_was_made_of_in_their_order() {
        let full = Effects::of([1, 2, 3, 4]);
        assert_eq!(full.len(), MAX_EFFECTS);
        assert!(full.into_iter().eq([1, 2, 3, 4]));
        let some = Effects::flatten([None, Some(2), None, Some(4)]);
        assert_eq!((some.len(), some.is_empty()), (2, false));
        assert!(some.map(|effect| effect * 10).into_iter().eq([20, 40]));
        assert!(Effects::<u8>::none().is_empty());
    }
}
