//! The places of one known key for handshakes that still have to prove themselves.

use crate::limits::{PROVE_WITHIN, PROVING_AT_LEAST, PROVING_PER_KEY};
use crate::time::Instant;

/// The handshakes of one key whose first message has opened and whose second is due. Each may be a
/// replay, so their few places belong to the key alone: filling them keeps out no other key, and
/// this key's owner for at most [`PROVING_AT_LEAST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Proving {
    places: [Option<TakenPlace>; PROVING_PER_KEY],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct TakenPlace {
    handshake: u64,
    since: Instant,
}

/// The reason for refusing a handshake a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoPlace {
    /// The first message is a replay.
    Repeated,
    /// All places of the key were taken a moment ago.
    Full,
}

impl Proving {
    /// Gives a handshake a place, and returns the displaced one, if any. The number of a handshake
    /// is unique.
    ///
    /// # Errors
    /// [`NoPlace::Full`] if all places are taken and none for long enough.
    pub fn enter(&mut self, handshake: u64, now: Instant) -> Result<Option<u64>, NoPlace> {
        for place in &mut self.places {
            // Its holder times out by itself now.
            if place.is_some_and(|place| now.since(place.since) >= PROVE_WITHIN) {
                *place = None;
            }
        }
        // A free place comes before any that is taken.
        let oldest = self
            .places
            .iter_mut()
            .min_by_key(|place| place.map(|place| (place.since, place.handshake)));
        let Some(place) = oldest else { return Err(NoPlace::Full) };
        if place.is_some_and(|place| now.since(place.since) < PROVING_AT_LEAST) {
            return Err(NoPlace::Full);
        }
        let displaced = place.replace(TakenPlace { handshake, since: now });
        Ok(displaced.map(|displaced| displaced.handshake))
    }

    /// Frees the place of a handshake, if it still has one.
    pub fn leave(&mut self, handshake: u64) {
        for place in &mut self.places {
            if place.is_some_and(|place| place.handshake == handshake) {
                *place = None;
            }
        }
    }

    /// Returns `true` if no place is taken, so that the value may be forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_newcomer_displaces_the_oldest_but_none_that_is_younger_than_a_second() {
        let mut key = Proving::default();
        for handshake in 0..4 {
            assert_eq!(key.enter(handshake, at(handshake * 100)), Ok(None));
        }
        assert_eq!(key.enter(4, at(999)), Err(NoPlace::Full));
        assert_eq!(key.enter(5, at(1000)), Ok(Some(0)));
        assert_eq!(key.enter(6, at(1000)), Err(NoPlace::Full));
        assert_eq!(key.enter(7, at(1100)), Ok(Some(1)));
    }

    #[test]
    fn whoever_leaves_makes_room_at_once_and_whoever_stays_for_three_seconds_is_gone() {
        let mut key = Proving::default();
        for handshake in 0..4 {
            assert_eq!(key.enter(handshake, at(0)), Ok(None));
        }
        key.leave(2);
        assert_eq!(key.enter(4, at(1)), Ok(None));
        key.leave(2);
        assert_eq!(key.enter(5, at(1)), Err(NoPlace::Full), "a place is left once");
        assert_eq!(key.enter(6, at(3000)), Ok(None));
        for handshake in [4, 6] {
            assert!(!key.is_empty());
            key.leave(handshake);
        }
        assert!(key.is_empty());
    }
}
