//! The bounds within which an extension lives, and how its restarts are spaced.

use std::time::Duration;

/// Most calls of one extension that are under way at once.
pub(super) const MOST_CALLS: usize = 64;
/// Most bytes that wait to be written to one extension.
pub(super) const MOST_UNSENT: usize = 8 << 20;
/// Most requests of one extension that the gateway answers at once.
pub(super) const MOST_REQUESTS: usize = 16;
/// Most bytes of requests that the gateway answers at once.
pub(super) const MOST_REQUESTED: usize = 1 << 20;
/// Most requests of one extension that wait for others of it to be answered.
pub(super) const MOST_REQUESTS_WAITING: usize = 256;
/// Most bytes of requests that are answered or wait.
pub(super) const MOST_REQUESTED_OR_WAITING: usize = 2 << 20;
/// Most requests of one extension that are taken in one second.
pub(super) const REQUESTS_PER_SECOND: u64 = 1000;
/// Most of what nobody asked for, in one second: lines, and for each of them a further one per 16
/// KiB.
pub(super) const UNASKED_PER_SECOND: u64 = 100;
/// What counts as a further line.
pub(super) const UNASKED_BYTES: usize = 16 * 1024;

/// What tests set otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The first wait before a restart; it doubles.
    pub(super) restart: Duration,
    /// The longest.
    pub(super) restart_most: Duration,
    /// Who lived so long starts anew with the first.
    pub(super) lived: Duration,
    /// How long a program may take to read one line.
    pub(super) write: Duration,
    /// How long a program may take to end by itself when its input ends.
    pub(super) farewell: Duration,
}

impl Default for Rules {
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

/// How long to wait before the next start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    lived: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration, lived: Duration) -> Self {
        Self { first, most, lived, next: first }
    }

    /// The wait after something that lived so long.
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
        let rules = Rules::default();
        let mut backoff = Backoff::new(rules.restart, rules.restart_most, rules.lived);
        let waits: Vec<u64> =
            (0..9).map(|_| backoff.after(Duration::from_secs(59)).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.after(Duration::from_secs(60)).as_secs(), 1);
        assert_eq!(backoff.after(Duration::ZERO).as_secs(), 2);
    }
}
