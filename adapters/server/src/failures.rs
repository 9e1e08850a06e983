//! How often each source may still fail to authenticate.

use std::collections::HashMap;
use std::sync::Mutex;

use handfast_core::budget::Bucket;
use handfast_core::id::Source;
use handfast_core::time::Instant;

/// Most sources that are remembered; a full bucket is as good as an unknown source.
const MOST_SOURCES: usize = 65_536;

/// One bucket per source that failed lately.
#[derive(Debug)]
pub(crate) struct Failures {
    per_minute: u32,
    buckets: Mutex<HashMap<Source, Bucket>>,
}

impl Failures {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: Mutex::default() }
    }

    /// Takes one attempt of a source; `false` if it has none left.
    pub(crate) fn take(&self, source: Source, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().expect("no thread panics while it holds the buckets");
        if buckets.len() >= MOST_SOURCES && !buckets.contains_key(&source) {
            buckets.retain(|_, bucket| !bucket.is_full(now));
            // A flood from more networks than we remember is held by the bounded hashing pool; here any one of them may be forgotten.
            let any = buckets.keys().next().copied();
            if let Some(any) = any.filter(|_| buckets.len() >= MOST_SOURCES) {
                buckets.remove(&any);
            }
        }
        buckets.entry(source).or_insert_with(|| Bucket::new(self.per_minute, now)).take(now)
    }

    /// The attempt was no failure.
    pub(crate) fn refund(&self, source: Source, now: Instant) {
        let mut buckets = self.buckets.lock().expect("no thread panics while it holds the buckets");
        if let Some(bucket) = buckets.get_mut(&source) {
            bucket.refund();
            if bucket.is_full(now) {
                buckets.remove(&source);
            }
        }
    }
}
