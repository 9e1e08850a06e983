//! Limits on failures, by source or by another key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use handfast_core::budget::{Attempt, Bucket};
use handfast_core::{Instant, Source};

/// Maximum number of remembered keys; an unknown key counts as a full bucket.
const MOST_KEYS: usize = 65_536;

type Buckets<K> = Arc<Mutex<HashMap<K, Bucket>>>;

/// Buckets of attempts by key, for the keys that failed lately. Each flow has its own table.
#[derive(Debug)]
pub(crate) struct Failures<K = Source> {
    per_minute: u32,
    buckets: Buckets<K>,
}

/// One attempt of a key. It stays spent unless this permit is given back: a peer that leaves
/// halfway, or does not report the outcome, has failed.
#[derive(Debug)]
#[must_use = "a permit that is dropped stays spent"]
pub(crate) struct Permit<K = Source> {
    key: K,
    attempt: Attempt,
    buckets: Buckets<K>,
}

impl<K: Eq + Hash + Copy> Failures<K> {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: Arc::default() }
    }

    /// Takes one attempt of a key; `None` if it has none left.
    pub(crate) fn permit(&self, key: K, now: Instant) -> Option<Permit<K>> {
        let attempt = self.with(key, now, |bucket| bucket.attempt(now))?;
        Some(Permit { key, attempt, buckets: Arc::clone(&self.buckets) })
    }

    /// Counts a failure that has happened already.
    pub(crate) fn charge(&self, key: K, now: Instant) {
        // A permit that is dropped stays spent.
        drop(self.permit(key, now));
    }

    /// Returns `true` if a key has no attempt left. Asking costs none.
    pub(crate) fn is_empty(&self, key: K, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().expect("no thread panics while it holds the buckets");
        buckets.get_mut(&key).is_some_and(|bucket| bucket.is_empty(now))
    }

    fn with<T>(&self, key: K, now: Instant, what: impl FnOnce(&mut Bucket) -> T) -> T {
        let mut buckets = self.buckets.lock().expect("no thread panics while it holds the buckets");
        if buckets.len() >= MOST_KEYS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            // A flood from more networks than can be remembered is bounded by the limits on
            // everybody's work; here any key may be forgotten.
            let any = buckets.keys().next().copied();
            if let Some(any) = any.filter(|_| buckets.len() >= MOST_KEYS) {
                buckets.remove(&any);
            }
        }
        what(buckets.entry(key).or_insert_with(|| Bucket::new(self.per_minute, now)))
    }
}

impl<K: Eq + Hash> Permit<K> {
    /// Gives the attempt back, because it was no failure.
    pub(crate) fn give_back(self, now: Instant) {
        let Self { key, attempt, buckets } = self;
        let mut buckets = buckets.lock().expect("no thread panics while it holds the buckets");
        // A key that was forgotten meanwhile has a full bucket.
        if let Some(bucket) = buckets.get_mut(&key) {
            bucket.give_back(attempt);
            // A full bucket says the same as none, and takes no memory if it goes.
            if bucket.is_full(now) {
                buckets.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[test]
    fn a_permit_that_is_dropped_is_a_failure_and_one_that_is_given_back_is_none() {
        let now = Instant::from_millis(0);
        let failures = Failures::new(2);
        let (one, other) = (failures.permit(source(1), now), failures.permit(source(1), now));
        assert!(failures.permit(source(1), now).is_none() && failures.is_empty(source(1), now));
        assert!(
            failures.permit(source(2), now).is_some(),
            "another source has a bucket of its own"
        );
        one.unwrap().give_back(now);
        drop(other);
        assert!(failures.permit(source(1), now).is_some());
        assert!(failures.permit(source(1), now).is_none(), "the dropped one stays spent");
    }

    #[test]
    fn whoever_gives_everything_back_is_forgotten() {
        let now = Instant::from_millis(0);
        let failures = Failures::new(2);
        failures.permit(source(1), now).unwrap().give_back(now);
        assert!(failures.buckets.lock().unwrap().is_empty());
    }
}
