//! Budgets as plain values: how often something may fail, who may still come in, and how long to
//! wait before trying again.

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
pub use reading::{Reading, Turn};
pub use replays::{Replays, WAYS};
pub use shares::{Linked, Room, delegates_per_subject};

/// A bucket of attempts that refills evenly. It holds what it gains in a minute, unless it is made
/// [with another load](Bucket::with_load).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// In parts of which [`ATTEMPT`] are one attempt.
    level: u64,
    per_minute: u64,
    load: u64,
    filled: Instant,
}

/// One attempt that was taken from a [`Bucket`]. Whoever drops it leaves the attempt spent; only
/// [`Bucket::give_back`] takes it back, so nothing is given back that was not taken, and nothing
/// twice.
#[derive(Debug)]
#[must_use = "an attempt that is dropped stays spent"]
pub struct Attempt(());

/// One attempt a minute gains one part in each millisecond, so refilling never rounds.
const ATTEMPT: u64 = 60_000;

impl Bucket {
    /// A full bucket of `per_minute` attempts.
    #[must_use]
    pub const fn new(per_minute: u32, now: Instant) -> Self {
        Self::with_load(per_minute, per_minute, now)
    }

    /// A full bucket that gains `per_minute` attempts a minute and holds `load` of them at most.
    #[must_use]
    pub const fn with_load(per_minute: u32, load: u32, now: Instant) -> Self {
        let load = (load as u64).saturating_mul(ATTEMPT);
        Self { level: load, per_minute: per_minute as u64, load, filled: now }
    }

    /// Takes one attempt as something that can be given back, if any is left.
    pub fn attempt(&mut self, now: Instant) -> Option<Attempt> {
        if self.take(now) { Some(Attempt(())) } else { None }
    }

    /// Takes back an attempt that was no failure.
    pub fn give_back(&mut self, attempt: Attempt) {
        let Attempt(()) = attempt;
        self.level = self.level.saturating_add(ATTEMPT).min(self.load);
    }

    /// Whether no attempt is left now.
    #[must_use]
    pub fn is_empty(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level < ATTEMPT
    }

    /// How long it takes until there is an attempt; nothing if there is one. A bucket that gains
    /// nothing says a minute.
    #[must_use]
    pub fn wait(&mut self, now: Instant) -> Span {
        self.refill(now);
        let missing = ATTEMPT.saturating_sub(self.level);
        Span::from_millis(
            missing
                .saturating_add(self.per_minute)
                .saturating_sub(1)
                .checked_div(self.per_minute)
                .unwrap_or(ATTEMPT),
        )
    }

    /// Takes one attempt; `false` when none is left, and then nothing is taken.
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

    /// Whether it is as good as new, so that a table of buckets may forget it.
    #[must_use]
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level == self.load
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.since(self.filled).as_millis().saturating_mul(self.per_minute);
        self.level = self.level.saturating_add(gained).min(self.load);
        self.filled = self.filled.max(now);
    }
}

/// How many connections there are that have not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Of all sources.
    pub total: u32,
    /// Of the source that asks.
    pub of_source: u32,
}

/// What to do with a connection that has just been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// There is room.
    Free,
    /// Take the seat of the oldest connection of the same source that has sent nothing yet; refuse
    /// if there is none.
    EvictFromSource,
    /// Take the seat of the oldest connection of any source that has sent nothing yet; refuse if
    /// there is none.
    EvictFromAll,
}

impl Waiting {
    /// Decides for one more connection. A source that is full may only displace its own, so it
    /// cannot push others out.
    #[must_use]
    pub const fn seat(self, limits: &Limits) -> Seat {
        if self.of_source >= limits.waiting_per_source {
            Seat::EvictFromSource
        } else if self.total >= limits.waiting_total {
            Seat::EvictFromAll
        } else {
            Seat::Free
        }
    }
}

/// What a connection does that has not authenticated and may lose its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Idle {
    /// It has sent nothing yet.
    Silent,
    /// It has begun something, and owes its next part.
    Stalled,
    /// It waits for a person, and can come back to what it waits for.
    Resting,
}

impl Idle {
    /// Of which kind the one is that makes room, where there is need: the oldest of it does.
    /// `stalled` says since when the oldest of those stalls. None: nobody may be displaced.
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

/// How many pairing requests wait for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Pending {
    /// Of all sources.
    pub total: u32,
    /// Of the source that asks.
    pub of_source: u32,
}

impl Pending {
    /// Whether one more may wait.
    #[must_use]
    pub const fn has_room(self, limits: &Limits) -> bool {
        self.total < limits.pending_total && self.of_source < limits.pending_per_source
    }
}

/// The waits between a node's attempts to connect: doubling from one second to one minute, each 20
/// % shorter to 20 % longer by chance, so that nodes which lost their gateway together do not come
/// back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u8,
}

impl Backoff {
    const FIRST: u64 = 1_000;
    const LONGEST: u64 = 60_000;

    /// No failure so far.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// As after many failures: for a peer that answered, but will not have us for the time being.
    #[must_use]
    pub const fn longest() -> Self {
        Self { failures: u8::MAX }
    }

    /// The wait before the next attempt, and the back-off to use after that.
    #[must_use]
    pub fn wait(self, entropy: &Entropy<2>) -> (Span, Self) {
        let doubled = 1u64.checked_shl(u32::from(self.failures)).unwrap_or(u64::MAX);
        let base = Self::FIRST.saturating_mul(doubled).min(Self::LONGEST);
        let chance = u64::from(u16::from_le_bytes(*entropy.expose()));
        // 0..=65535 becomes 80 %..=120 % of the base.
        let jittered =
            base.saturating_mul(chance.saturating_mul(2).saturating_add(4 * 65_535)) / (5 * 65_535);
        (Span::from_millis(jittered), Self { failures: self.failures.saturating_add(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
