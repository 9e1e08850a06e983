//! Histograms of durations, from atomic counters: the crate's own takes a lock for each
//! observation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in nanoseconds, from a microsecond to a second, for computations.
pub(super) const TO_A_SECOND: &[u64] = BOUNDS.split_at(19).0;
/// Upper bounds in nanoseconds, from a microsecond to ten seconds, for work that may wait for the
/// store.
pub(super) const TO_TEN_SECONDS: &[u64] = &BOUNDS;

/// The bounds: 1, 2 and 5 of each power of ten.
const BOUNDS: [u64; 22] = {
    let mut bounds = [0; 22];
    let (mut at, mut power) = (0, 1_000);
    while at < bounds.len() {
        bounds[at] = match at % 3 {
            0 => power,
            1 => 2 * power,
            _ => 5 * power,
        };
        at += 1;
        if at % 3 == 0 {
            power *= 10;
        }
    }
    bounds
};
/// The maximum duration; longer ones count as this long, so that the sum in nanoseconds never
/// overflows.
const LONGEST: Duration = Duration::from_secs(3600);

/// A histogram of durations. A clone shares its counts with the original.
#[derive(Clone, Debug)]
pub(super) struct Durations(Arc<Histogram>);

#[derive(Debug)]
struct Histogram {
    bounds: &'static [u64],
    /// One count for each bound, not cumulative, and one for durations above all bounds.
    buckets: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

impl Durations {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self(Arc::new(Histogram { bounds, buckets, nanoseconds: AtomicU64::default() }))
    }

    pub(super) fn observe(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.min(LONGEST).as_nanos()).unwrap_or(u64::MAX);
        // A bound of a histogram is inclusive.
        let bucket = self.0.bounds.partition_point(|bound| *bound < nanoseconds);
        // A scrape between these two additions sees only the first, which does no harm.
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

#[cfg(feature = "metrics")]
impl Durations {
    /// Returns each bound in seconds with the count of its bucket; the last bound is infinite.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = self.0.bounds.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        bounds.zip(counts).collect()
    }

    /// Returns the sum of all durations in seconds.
    pub(super) fn sum(&self) -> f64 {
        seconds(self.0.nanoseconds.load(Ordering::Relaxed))
    }
}

/// Converts to seconds, exact to a microsecond for a sum of centuries.
#[cfg(feature = "metrics")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(durations: &Durations) -> Vec<usize> {
        let buckets = durations.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        buckets.enumerate().filter(|(_, count)| *count > 0).map(|(bucket, _)| bucket).collect()
    }

    #[test]
    fn the_bounds_go_from_a_microsecond_to_a_second_and_to_ten() {
        assert!(BOUNDS.is_sorted());
        assert_eq!((TO_A_SECOND.first(), TO_A_SECOND.last()), (Some(&1_000), Some(&1_000_000_000)));
        assert_eq!(TO_TEN_SECONDS.last(), Some(&10_000_000_000));
    }

    #[test]
    fn a_bound_itself_belongs_below_it_and_what_is_above_all_is_counted_last() {
        let durations = Durations::new(TO_A_SECOND);
        durations.observe(Duration::from_micros(1));
        assert_eq!(filled(&durations), [0]);
        durations.observe(Duration::from_nanos(1_001));
        assert_eq!(filled(&durations), [0, 1]);
        durations.observe(Duration::MAX);
        durations.observe(Duration::MAX);
        assert_eq!(filled(&durations), [0, 1, TO_A_SECOND.len()]);
        assert_eq!(durations.0.nanoseconds.load(Ordering::Relaxed), 2_001 + 2 * 3_600_000_000_000);
    }
}
