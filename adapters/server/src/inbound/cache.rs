//! A cache of recently admitted senders, so that their next message needs no store access.
//!
//! The table has a fixed size and consists of many small sets with a lock each. An entry's set is
//! chosen by a keyed hash; in a full set it replaces an invalid entry, or else an arbitrary one. A
//! lookup compares the three texts of the key one by one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handfast_core::UnixTime;
use handfast_core::flow::inbound::remembered::Remembered;

use super::admission::Who;

/// Maximum number of entries in a set.
const WAYS: usize = 8;
/// Maximum number of entries in a table.
const MOST: usize = 1 << 24;

/// The sender of a message, as the channel gave it.
#[derive(Clone, Copy)]
pub(super) struct SenderKey<'a> {
    pub(super) channel: &'a str,
    pub(super) account: &'a str,
    pub(super) raw: &'a str,
}

/// The point in time for which an entry is valid or not.
#[derive(Clone, Copy)]
pub(super) struct CacheMoment {
    /// The store's epoch, read before the cached facts.
    pub(super) epoch: u64,
    /// The channels' generation, read before the channel was looked up.
    pub(super) generation: u64,
    pub(super) now: UnixTime,
}

struct CachedDecision {
    hash: u64,
    raw: Box<str>,
    who: Arc<Who>,
    remembered: Remembered,
    generation: u64,
}

impl CachedDecision {
    fn holds(&self, at: CacheMoment) -> bool {
        self.generation == at.generation && self.remembered.holds(at.epoch, at.now)
    }

    fn is_of(&self, hash: u64, key: SenderKey<'_>) -> bool {
        // The hash is compared first, because it nearly always tells others apart.
        self.hash == hash
            && *self.raw == *key.raw
            && *self.who.name.channel == *key.channel
            && *self.who.name.account == *key.account
    }
}

pub(super) struct Cache {
    keyed: RandomState,
    ways: usize,
    sets: Box<[Mutex<Vec<CachedDecision>>]>,
}

impl Cache {
    /// Creates a table of at most `bound` entries.
    pub(super) fn new(bound: usize) -> Self {
        // The bound keeps a mistaken setting from taking all memory.
        let bound = bound.min(MOST);
        let ways = bound.min(WAYS);
        let sets = bound.checked_div(ways).unwrap_or(0);
        Self {
            // The key is random, so that nobody can choose senders that share a set.
            keyed: RandomState::new(),
            ways,
            sets: std::iter::repeat_with(Mutex::default).take(sets).collect(),
        }
    }

    /// Returns the sender if its entry exists and is still valid.
    pub(super) fn get(&self, key: SenderKey<'_>, at: CacheMoment) -> Option<Arc<Who>> {
        let hash = self.hash(key);
        let set = self.set(hash)?;
        let kept = set.iter().find(|kept| kept.is_of(hash, key))?;
        kept.holds(at).then(|| Arc::clone(&kept.who))
    }

    pub(super) fn insert(&self, raw: &str, who: Arc<Who>, remembered: Remembered, at: CacheMoment) {
        let key = SenderKey { channel: &who.name.channel, account: &who.name.account, raw };
        let hash = self.hash(key);
        let Some(mut set) = self.set(hash) else { return };
        let same = set.iter().position(|kept| kept.is_of(hash, key));
        // An invalid entry is replaced before a valid one.
        let place = same.or_else(|| set.iter().position(|kept| !kept.holds(at)));
        let kept =
            CachedDecision { hash, raw: raw.into(), who, remembered, generation: at.generation };
        match place {
            Some(place) => set[place] = kept,
            None if set.len() < self.ways => set.push(kept),
            // The upper bits have chosen the set, so the lower ones serve as a random choice.
            None => set[hash as usize % self.ways] = kept,
        }
    }

    /// Returns the number of entries, including invalid ones.
    pub(super) fn len(&self) -> usize {
        self.sets.iter().map(|set| lock(set).len()).sum()
    }

    fn hash(&self, key: SenderKey<'_>) -> u64 {
        self.keyed.hash_one((key.channel, key.account, key.raw))
    }

    fn set(&self, hash: u64) -> Option<MutexGuard<'_, Vec<CachedDecision>>> {
        // The upper bits choose the set, without a division.
        let index = (u128::from(hash) * self.sets.len() as u128) >> 64;
        self.sets.get(index as usize).map(lock)
    }
}

fn lock(set: &Mutex<Vec<CachedDecision>>) -> MutexGuard<'_, Vec<CachedDecision>> {
    // No holder of the lock leaves a set half changed, so a poisoned lock is harmless.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use handfast_core::registry::inbound::Allowed;
    use handfast_store::SenderName;

    use super::*;
    use crate::telemetry::Telemetry;

    fn at(epoch: u64, generation: u64) -> CacheMoment {
        CacheMoment { epoch, generation, now: UnixTime::from_secs(100) }
    }

    fn put(cache: &Cache, channel: &str, account: &str, raw: &str, at: CacheMoment) {
        let name = SenderName {
            channel: channel.to_owned(),
            account: account.to_owned(),
            sender: raw.trim().to_owned(),
        };
        let who = Arc::new(Who { name, is_sender: true, metrics: Telemetry::new().channel("") });
        let allowed = Some(Allowed { until: None, revoked_at: None });
        cache.insert(raw, who, Remembered::admitted(allowed, at.epoch, at.now).unwrap(), at);
    }

    #[test]
    fn it_never_holds_more_than_its_bound_and_what_came_last_is_there() {
        for bound in [0, 1, 7, 8, 9, 64] {
            let cache = Cache::new(bound);
            for number in 0..500 {
                let raw = number.to_string();
                put(&cache, "c", "a", &raw, at(1, 1));
                assert!(cache.len() <= bound);
                let found =
                    cache.get(SenderKey { channel: "c", account: "a", raw: &raw }, at(1, 1));
                assert_eq!(found.is_some(), bound > 0);
            }
        }
    }

    #[test]
    fn three_texts_are_never_taken_for_three_others() {
        let cache = Cache::new(64);
        put(&cache, "c", "a|b", "c", at(1, 1));
        put(&cache, "ab", "c", "d", at(1, 1));
        for (channel, account, raw) in [
            ("c", "a", "b|c"),
            ("c|a", "b", "c"),
            ("a", "bc", "d"),
            ("ab", "cd", ""),
            ("ab", "c", "D"),
        ] {
            assert!(
                cache.get(SenderKey { channel, account, raw }, at(1, 1)).is_none(),
                "{channel} {account} {raw}"
            );
        }
        assert!(
            cache.get(SenderKey { channel: "c", account: "a|b", raw: "c" }, at(1, 1)).is_some()
        );
    }

    #[test]
    fn another_epoch_or_another_generation_ends_it_and_makes_room() {
        let cache = Cache::new(8);
        for number in 0..8 {
            put(&cache, "c", "a", &number.to_string(), at(1, 1));
        }
        let key = SenderKey { channel: "c", account: "a", raw: "3" };
        assert!(cache.get(key, at(1, 1)).is_some());
        assert!(cache.get(key, at(2, 1)).is_none() && cache.get(key, at(1, 2)).is_none());
        for number in 10..18 {
            put(&cache, "c", "a", &number.to_string(), at(2, 1));
        }
        for number in 10..18 {
            let raw = number.to_string();
            assert!(
                cache.get(SenderKey { raw: &raw, ..key }, at(2, 1)).is_some(),
                "nobody who holds made room for {raw}"
            );
        }
    }
}
