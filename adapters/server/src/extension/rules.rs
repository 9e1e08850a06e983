//! Limits of an extension, and the back-off between restarts.

use std::time::Duration;

/// Maximum number of calls of one extension in progress.
pub(super) const MOST_CALLS: usize = 64;
/// Maximum number of bytes that wait to be written to one extension.
pub(super) const MOST_UNSENT: usize = 8 << 20;
/// Maximum number of requests of one extension that the gateway answers at once.
pub(super) const MOST_REQUESTS: usize = 16;
/// Maximum number of request bytes that the gateway answers at once.
pub(super) const MOST_REQUESTED: usize = 1 << 20;
/// Maximum number of waiting requests of one extension.
pub(super) const MOST_REQUESTS_WAITING: usize = 256;
/// Maximum number of request bytes that are being answered or wait.
pub(super) const MOST_REQUESTED_OR_WAITING: usize = 2 << 20;
/// Maximum number of requests of one extension per second.
pub(super) const REQUESTS_PER_SECOND: u64 = 1000;
/// Maximum amount of unsolicited input per second: lines, plus one for each 16 KiB of a line.
pub(super) const UNASKED_PER_SECOND: u64 = 100;
/// Number of bytes that count as a further line.
pub(super) const UNASKED_BYTES: usize = 16 * 1024;

/// Time limits that tests can change.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExtensionTimes {
    /// The first wait before a restart; it doubles each time.
    pub(super) restart: Duration,
    /// The longest wait before a restart.
    pub(super) restart_most: Duration,
    /// Lifetime of a program after which the wait starts at `restart` again.
    pub(super) lived: Duration,
    /// Limit for a program to read one line.
    pub(super) write: Duration,
    /// Limit for a program to end by itself after its input is closed.
    pub(super) farewell: Duration,
}

impl Default for ExtensionTimes {
    fn default() -> Self {
        Self {
            restart: Duration::from_secs(1),
            restart_most: Duration::from_secs(60),
            lived: Duration::from_secs(60),
            write: Duration::from_secs(30),
            farewell: Duration::from_secs(1),
        }
    }
}

/// Exponential back-off between starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestartBackoff {
    first: Duration,
    most: Duration,
    lived: Duration,
    next: Duration,
}

impl RestartBackoff {
    pub(super) fn new(first: Duration, most: Duration, lived: Duration) -> Self {
        Self { first, most, lived, next: first }
    }

    /// Returns the wait after a run of this length.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= self.lived {
            self.next = self.first;
        }
        let wait = self.next;
        self.next = self.next.saturating_mul(2).min(self.most.max(self.first));
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_spaced_from_a_second_to_a_minute_and_anew_after_a_minute_of_life() {
        let rules = ExtensionTimes::default();
        let mut backoff = RestartBackoff::new(rules.restart, rules.restart_most, rules.lived);
        let waits: Vec<u64> =
            (0..9).map(|_| backoff.after(Duration::from_secs(59)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.after(Duration::from_secs(60)).as_secs(), 1);
        assert_eq!(backoff.after(Duration::ZERO).as_secs(), 2);
    }
}
