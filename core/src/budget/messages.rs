//! The rate at which the messages of one linked peer are read.

use super::Bucket;
use crate::limits::{MESSAGES_A_MINUTE, MESSAGES_AT_ONCE};
use crate::time::{Instant, Span};

/// The reading rate of one linked peer, in every dialect: [`MESSAGES_A_MINUTE`], of which
/// [`MESSAGES_AT_ONCE`] may come at once. Messages above that are read later, so the transport's
/// flow control slows the peer down. No message is lost, and the peer is told nothing.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Messages {
    bucket: Bucket,
}

impl Messages {
    /// Starts with a full budget.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { bucket: Bucket::with_load(MESSAGES_A_MINUTE, MESSAGES_AT_ONCE, now) }
    }

    /// Counts a message that was read.
    pub fn read(&mut self, now: Instant) {
        // A message that was read in spite of a wait costs nothing more.
        let _within = self.bucket.take(now);
    }

    /// Returns the wait before the next message is read; zero if it may be read now.
    #[must_use]
    pub fn wait(&mut self, now: Instant) -> Span {
        self.bucket.wait(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many messages are read within so many milliseconds, of a peer that has `each` of them
    /// ready in each.
    fn read(millis: u64, each: u32) -> u32 {
        let mut messages = Messages::new(Instant::from_millis(0));
        let mut read = 0;
        for now in (0..millis).map(Instant::from_millis) {
            for _ in 0..each {
                if messages.wait(now) == Span::from_millis(0) {
                    messages.read(now);
                    read += 1;
                }
            }
        }
        read
    }

    #[test]
    fn a_peer_that_floods_is_read_at_the_rate_and_one_that_sends_a_hundred_a_second_at_once() {
        assert!(
            (MESSAGES_AT_ONCE + 1_990..=MESSAGES_AT_ONCE + 2_000).contains(&read(10_000, 10)),
            "{}",
            read(10_000, 10)
        );
        let mut messages = Messages::new(Instant::from_millis(0));
        for now in (0..60_000).step_by(10).map(Instant::from_millis) {
            assert_eq!(messages.wait(now), Span::from_millis(0));
            messages.read(now);
        }
    }
}
