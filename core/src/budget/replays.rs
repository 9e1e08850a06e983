//! Detection of replayed first messages.

use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// The number of hashes in a set; a new hash replaces the oldest of its set.
pub const WAYS: usize = 16;

/// The ephemeral keys of first messages that opened, as hashes under a secret of this process, so
/// that nobody can aim at the slot of another key. A key is remembered until [`WAYS`] newer ones
/// have come to its set. The caller supplies the storage of the hashes; a remainder that does not
/// fill a set is not used.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Replays<S> {
    hashes: S,
    secret: Secret<32>,
}

impl<S: AsRef<[u64]> + AsMut<[u64]>> Replays<S> {
    /// Creates an empty memory. `hashes` must be all zero.
    pub fn new(hashes: S, secret: Secret<32>) -> Self {
        Self { hashes, secret }
    }

    /// Returns `true` if this key is remembered.
    #[must_use]
    pub fn knows(&self, ephemeral: &[u8; 32]) -> bool {
        let hash = self.hash(ephemeral);
        let (sets, _) = self.hashes.as_ref().as_chunks::<WAYS>();
        Self::place(hash, sets.len())
            .and_then(|place| sets.get(place))
            .is_some_and(|set| set.contains(&hash))
    }

    /// Remembers this key. Returns `false` if it was remembered already.
    #[must_use]
    pub fn remember(&mut self, ephemeral: &[u8; 32]) -> bool {
        let hash = self.hash(ephemeral);
        let (sets, _) = self.hashes.as_mut().as_chunks_mut::<WAYS>();
        let Some(set) = Self::place(hash, sets.len()).and_then(|place| sets.get_mut(place)) else {
            // Without storage nothing is remembered, and no message counts as a replay.
            return true;
        };
        if set.contains(&hash) {
            return false;
        }
        // The oldest hash moves to the front and is overwritten.
        set.rotate_right(1);
        if let Some(newest) = set.first_mut() {
            *newest = hash;
        }
        true
    }

    /// Hashes a key, never to 0, which marks an empty slot.
    fn hash(&self, ephemeral: &[u8; 32]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = Sha256::new()
            .chain_update(self.secret.expose())
            .chain_update(ephemeral)
            .finalize()
            .into();
        // An empty slot is 0, so no hash may be.
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
    }

    fn place(hash: u64, sets: usize) -> Option<usize> {
        usize::try_from(hash.checked_rem(u64::try_from(sets).ok()?)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn key(number: u32) -> [u8; 32] {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_le_bytes());
        key
    }

    fn replays(hashes: usize) -> Replays<std::vec::Vec<u64>> {
        Replays::new(vec![0; hashes], Secret::new([3; 32]))
    }

    #[test]
    fn what_was_read_once_is_known_and_nothing_else_is() {
        let mut replays = replays(1024);
        for number in 0..200 {
            assert!(!replays.knows(&key(number)));
            assert!(replays.remember(&key(number)));
            assert!(!replays.remember(&key(number)), "a second time it is a repetition");
        }
        assert!((0..200).all(|number| replays.knows(&key(number))));
        assert!(!(200..10_000).any(|number| replays.knows(&key(number))));
    }

    #[test]
    fn the_newest_are_remembered_whatever_came_before() {
        let mut replays = replays(WAYS);
        for number in 0..1000 {
            assert!(replays.remember(&key(number)));
            let oldest = (number + 1).saturating_sub(WAYS as u32);
            assert!((oldest..=number).all(|number| replays.knows(&key(number))));
            assert!(oldest == 0 || !replays.knows(&key(oldest - 1)));
        }
    }

    #[test]
    fn half_of_what_it_holds_is_remembered_nearly_whole() {
        let mut replays = replays(65_536);
        for number in 0..32_768 {
            assert!(replays.remember(&key(number)));
        }
        let known = (0..32_768).filter(|number| replays.knows(&key(*number))).count();
        assert!(known > 32_000, "{known} of 32 768");
    }

    #[test]
    fn without_room_nothing_is_remembered_and_nothing_fails() {
        let mut replays = replays(WAYS - 1);
        assert!(replays.remember(&key(1)) && replays.remember(&key(1)) && !replays.knows(&key(1)));
    }
}
