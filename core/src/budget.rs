//! Budgets as plain values: rates of failure, admission of connections, and back-off.

mod lines;
mod messages;
mod proving;
mod reading;
mod replays;
mod shares;

use crate::entropy::Entropy;
use crate::limits::{Limits, STALLED_AFTER};
use crate::time::{Instant, Span};

pub use lines::Lines;
pub use messages::Messages;
pub use proving::{NoPlace, Proving};
pub use reading::{ReadRate, Turn};
pub use replays::{Replays, WAYS};
pub use shares::{Linked, Room, delegates_per_subject};

/// A bucket of attempts that refills evenly. Its capacity is its gain in a minute, unless it is
/// made [with another load](Bucket::with_load).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bucket {
    /// The level, in units of 1/[`ATTEMPT`] of an attempt.
    level: u64,
    per_minute: u64,
    load: u64,
    filled: Instant,
}

/// One attempt that was taken from a [`Bucket`]. Dropping it leaves the attempt spent; only
/// [`Bucket::give_back`] returns it, so only a taken attempt can be returned, and only once.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an attempt that is dropped stays spent"]
pub struct Attempt(());

/// One attempt a minute gains one part in each millisecond, so refilling never rounds.
const ATTEMPT: u64 = 60_000;

impl Bucket {
    /// Creates a full bucket of `per_minute` attempts.
    #[must_use]
    pub const fn new(per_minute: u32, now: Instant) -> Self {
        Self::with_load(per_minute, per_minute, now)
    }

    /// Creates a full bucket that gains `per_minute` attempts a minute and holds at most `load`.
    #[must_use]
    pub const fn with_load(per_minute: u32, load: u32, now: Instant) -> Self {
        let load = (load as u64).saturating_mul(ATTEMPT);
        Self { level: load, per_minute: per_minute as u64, load, filled: now }
    }

    /// Takes one attempt that can be given back, if any is left.
    pub fn attempt(&mut self, now: Instant) -> Option<Attempt> {
        if self.take(now) { Some(Attempt(())) } else { None }
    }

    /// Returns an attempt that was no failure.
    pub fn give_back(&mut self, attempt: Attempt) {
        let Attempt(()) = attempt;
        // A bucket that was refilled meanwhile holds no more than its load.
        self.level = self.level.saturating_add(ATTEMPT).min(self.load);
    }

    /// Returns `true` if no attempt is left now.
    #[must_use]
    pub fn is_empty(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level < ATTEMPT
    }

    /// Returns the time until an attempt is available; zero if one is. For a bucket that gains
    /// nothing it is one minute.
    #[must_use]
    pub fn wait(&mut self, now: Instant) -> Span {
        self.refill(now);
        // The quotient below is rounded up, so that a waiter does not wake a millisecond too early.
        let missing = ATTEMPT.saturating_sub(self.level);
        Span::from_millis(
            missing
                .saturating_add(self.per_minute)
                .saturating_sub(1)
                .checked_div(self.per_minute)
                .unwrap_or(ATTEMPT),
        )
    }

    /// Takes one attempt. Returns `false`, and takes nothing, if none is left.
    #[must_use]
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        match self.level.checked_sub(ATTEMPT) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }

    /// Returns `true` if the bucket is full, so that a table of buckets may forget it.
    #[must_use]
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level == self.load
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.since(self.filled).as_millis().saturating_mul(self.per_minute);
        self.level = self.level.saturating_add(gained).min(self.load);
        // An earlier `now` must not make the same time count twice.
        self.filled = self.filled.max(now);
    }
}

/// The numbers of connections that have not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Waiting {
    /// Connections of all sources.
    pub total: u32,
    /// Connections of the asking source.
    pub of_source: u32,
}

/// The decision about a connection that has just been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Seat {
    /// A slot is free.
    Free,
    /// The connection takes the slot of the oldest connection of its source that has sent nothing
    /// yet; it is refused if there is none.
    EvictFromSource,
    /// The connection takes the slot of the oldest connection of any source that has sent nothing
    /// yet; it is refused if there is none.
    EvictFromAll,
}

impl Waiting {
    /// Decides for one more connection. A source at its limit can only displace its own
    /// connections, so it cannot push others out.
    #[must_use]
    pub const fn seat(self, limits: &Limits) -> Seat {
        // The source's own limit comes first, so that it displaces its own connection even if all
        // are full.
        if self.of_source >= limits.waiting_per_source {
            Seat::EvictFromSource
        } else if self.total >= limits.waiting_total {
            Seat::EvictFromAll
        } else {
            Seat::Free
        }
    }
}

/// The idle state of an unauthenticated connection that may be displaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Idle {
    /// The connection has sent nothing yet.
    Silent,
    /// The connection has begun a handshake and owes its next message.
    Stalled,
    /// The connection waits for a person, and can resume after it was closed.
    Resting,
}

impl Idle {
    /// Returns the kind of connection whose oldest member makes room, or `None` if nobody may be
    /// displaced. `stalled` is the time since when the oldest stalled one stalls.
    #[must_use]
    pub fn gives_way(
        silent: bool,
        stalled: Option<Instant>,
        resting: bool,
        now: Instant,
    ) -> Option<Self> {
        match stalled {
            Some(since) if now.since(since) >= STALLED_AFTER => Some(Self::Stalled),
            _ if silent => Some(Self::Silent),
            Some(_) => Some(Self::Stalled),
            None if resting => Some(Self::Resting),
            None => None,
        }
    }
}

/// The numbers of pairing requests that wait for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pending {
    /// Requests of all sources.
    pub total: u32,
    /// Requests of the asking source.
    pub of_source: u32,
}

impl Pending {
    /// Returns `true` if one more request may wait.
    #[must_use]
    pub const fn has_room(self, limits: &Limits) -> bool {
        self.total < limits.pending_total && self.of_source < limits.pending_per_source
    }
}

/// The waits between a node's attempts to connect. They double from one second to one minute, with
/// a jitter of ±20 %, so that nodes which lost their gateway together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Backoff {
    failures: u8,
}

impl Backoff {
    /// A fifth of the first wait, in milliseconds.
    const FIRST_FIFTH: u32 = 200;
    /// A fifth of the longest wait, in milliseconds.
    const LONGEST_FIFTH: u32 = 12_000;

    /// Creates a back-off without failures.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// Creates a back-off at its longest wait, for a peer that answered but refuses for the time
    /// being.
    #[must_use]
    pub const fn longest() -> Self {
        Self { failures: u8::MAX }
    }

    /// Returns the wait before the next attempt, and the back-off to use after that.
    #[must_use]
    pub fn wait(self, entropy: &Entropy<2>) -> (Span, Self) {
        // A shift by 32 or more has no result; the longest wait stands in for it.
        let doubled = 1u32.checked_shl(u32::from(self.failures)).unwrap_or(u32::MAX);
        let fifth = Self::FIRST_FIFTH.saturating_mul(doubled).min(Self::LONGEST_FIFTH);
        let chance = u32::from(u16::from_le_bytes(*entropy.expose()));
        // 0..=65535 becomes four to six fifths of the wait.
        let jitter = by_65535(fifth.saturating_mul(2).saturating_mul(chance));
        let jittered = u64::from(fifth.saturating_mul(4).saturating_add(jitter));
        (Span::from_millis(jittered), Self { failures: self.failures.saturating_add(1) })
    }
}

/// Divides by 65535 without a division, which a small processor does in software. Exact for every
/// number that [`Backoff::wait`] can have, as a test checks.
const fn by_65535(number: u32) -> u32 {
    (number.saturating_add(number >> 16).saturating_add(1)) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_the_base_with_the_exact_share_of_its_jitter() {
        for failures in 0..8 {
            let base = (1_000u64 << failures).min(60_000);
            for chance in 0..=u16::MAX {
                let entropy = Entropy::from_recorded(chance.to_le_bytes());
                let (wait, next) = Backoff { failures }.wait(&entropy);
                let exact = base * (u64::from(chance) * 2 + 4 * 65_535) / (5 * 65_535);
                assert_eq!((wait.as_millis(), next.failures), (exact, failures + 1), "{chance}");
            }
        }
        let (longest, _) = Backoff::longest().wait(&Entropy::from_recorded([0xff; 2]));
        assert_eq!(longest, Span::from_secs(72));
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_bucket_gives_its_load_and_then_one_attempt_a_second() {
        let mut bucket = Bucket::new(60, at(0));
        for _ in 0..60 {
            assert!(bucket.take(at(0)));
        }
        assert!(!bucket.take(at(999)));
        assert!(bucket.take(at(1000)));
        assert!(!bucket.take(at(1001)));
    }

    #[test]
    fn asking_an_empty_bucket_often_does_not_keep_it_empty() {
        let mut bucket = Bucket::new(60, at(0));
        while bucket.take(at(0)) {}
        let granted = (1..=10_000).filter(|&ms| bucket.take(at(ms))).count();
        assert_eq!(granted, 10);
    }

    #[test]
    fn asking_often_neither_gains_nor_loses_attempts_whatever_the_rate() {
        for rate in [1, 7, 59, 61, 100, 1_001, 70_000] {
            let mut bucket = Bucket::new(rate, at(0));
            while bucket.take(at(0)) {}
            // Many times in the same millisecond, and in each millisecond of a minute.
            let granted =
                (1..=60_000).flat_map(|ms| [ms, ms, ms]).filter(|&ms| bucket.take(at(ms))).count();
            assert_eq!(granted, rate as usize, "a minute at {rate} a minute");
        }
    }

    #[test]
    fn only_what_was_taken_is_given_back() {
        let mut bucket = Bucket::new(2, at(0));
        let (first, second) = (bucket.attempt(at(0)), bucket.attempt(at(0)));
        assert!(bucket.attempt(at(0)).is_none() && bucket.is_empty(at(0)));
        bucket.give_back(first.unwrap());
        assert!(!bucket.is_empty(at(0)));
        let _dropped = second;
        let again = bucket.attempt(at(0));
        assert!(again.is_some() && !bucket.take(at(0)), "what was dropped stays spent");
        // What it has gained meanwhile is not more than it holds.
        again.into_iter().for_each(|attempt| {
            assert!(!bucket.is_empty(at(600_000)));
            bucket.give_back(attempt);
        });
        assert!(bucket.take(at(600_000)) && bucket.take(at(600_000)) && !bucket.take(at(600_000)));
    }

    #[test]
    fn a_bucket_with_a_smaller_load_gives_that_at_once_and_the_rest_evenly() {
        let mut bucket = Bucket::with_load(120_000, 100, at(0));
        assert_eq!((0..1000).filter(|_| bucket.take(at(5000))).count(), 100);
        assert_eq!(bucket.wait(at(5000)), Span::from_millis(1));
        assert_eq!(
            (5001..=6000).flat_map(|ms| [ms; 5]).filter(|&ms| bucket.take(at(ms))).count(),
            2000
        );
    }

    #[test]
    fn what_is_waited_for_is_there_then_and_not_before() {
        for rate in [1, 7, 59, 61, 1_001, 70_000] {
            let mut bucket = Bucket::new(rate, at(0));
            while bucket.take(at(0)) {}
            let wait = bucket.wait(at(0)).as_millis();
            assert!(
                bucket.is_empty(at(wait - 1)) && !bucket.is_empty(at(wait)),
                "{rate} a minute: {wait} ms"
            );
            assert_eq!(bucket.wait(at(wait)), Span::from_millis(0));
        }
    }

    #[test]
    fn a_bucket_of_nothing_never_gives_and_never_fails() {
        let mut bucket = Bucket::new(0, at(0));
        assert!(!bucket.take(at(u64::MAX)));
    }

    #[test]
    fn waits_double_to_a_minute_and_stay_within_a_fifth() {
        for chance in [[0, 0], [255, 255], [0, 128]] {
            let mut backoff = Backoff::new();
            for base in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
                let (wait, next) = backoff.wait(&Entropy::from_recorded(chance));
                assert!(
                    (base * 8 / 10..=base * 12 / 10).contains(&wait.as_millis()),
                    "{wait:?} for {base}"
                );
                backoff = next;
            }
        }
        let (wait, _) = Backoff::longest().wait(&Entropy::from_recorded([255, 255]));
        assert_eq!(wait, Span::from_secs(72));
    }

    #[test]
    fn whoever_has_stalled_for_a_second_gives_way_first_and_whoever_waits_for_a_person_last() {
        let (then, now) = (Some(at(0)), at(1000));
        assert_eq!(Idle::gives_way(true, then, true, now), Some(Idle::Stalled));
        assert_eq!(Idle::gives_way(true, then, true, at(999)), Some(Idle::Silent));
        assert_eq!(Idle::gives_way(false, then, true, at(999)), Some(Idle::Stalled));
        assert_eq!(Idle::gives_way(true, None, true, now), Some(Idle::Silent));
        assert_eq!(Idle::gives_way(false, None, true, now), Some(Idle::Resting));
        assert_eq!(Idle::gives_way(false, None, false, now), None);
    }

    #[test]
    fn a_full_source_displaces_only_its_own() {
        let limits = Limits { waiting_total: 10, waiting_per_source: 2, ..Limits::DEFAULT };
        assert_eq!(Waiting { total: 10, of_source: 2 }.seat(&limits), Seat::EvictFromSource);
        assert_eq!(Waiting { total: 10, of_source: 1 }.seat(&limits), Seat::EvictFromAll);
        assert_eq!(Waiting { total: 9, of_source: 1 }.seat(&limits), Seat::Free);
    }
}
