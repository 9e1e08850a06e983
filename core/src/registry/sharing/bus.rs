//! Messages between gateways over a bus that strangers share: which of them are taken in.
//!
//! A message that opens was made by a gateway of the registry. That it is no repetition follows
//! from its [stamp](BusStamp): each run of a gateway numbers what it sends, and the bus may
//! repeat, reorder and keep whatever passes. A receiver remembers the latest [`BUS_WINDOW`] numbers
//! of each run, as long as one of them may still be fresh; by the time of the registry everything
//! older is stale, whoever repeats it.

use heapless::Vec;

use crate::entropy::Entropy;
use crate::limits::{BUS_FRESH, BUS_RUNS};
use crate::time::UnixTime;

/// Number of a run's latest messages among which a repetition is told from one that comes late.
pub const BUS_WINDOW: u64 = u128::BITS as u64;
/// Seconds before which nothing that was sent is taken in after a start: an earlier run of the same
/// gateway may have done so.
const AFTER_START: i64 = 2;

/// The random name of one run of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BusRun([u8; 16]);

impl BusRun {
    /// Draws a name.
    #[must_use]
    pub const fn new(entropy: &Entropy<16>) -> Self {
        Self(*entropy.expose())
    }

    /// Reads a name.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The part of a message by which a repetition is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BusStamp {
    /// The run that sent it.
    pub run: BusRun,
    /// Its number among the messages of the run, which rises.
    pub number: u64,
    /// The time of the registry as the sender knew it.
    pub sent: UnixTime,
}

/// The reason for which a message is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotTaken {
    /// It was sent too long ago, before the receiver began, or in a time that is not yet.
    Stale,
    /// It was taken in before, or is too far behind the latest one to tell.
    Repeated,
    /// Too many runs have sent something lately.
    ManyRuns,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct HeardRun {
    run: BusRun,
    newest: u64,
    /// One bit for each of the latest numbers that were taken in; the lowest is the newest one's.
    seen: u128,
    /// The latest time at which one of them was sent.
    sent: UnixTime,
}

/// The messages that a gateway has taken in lately.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BusReplays {
    begun: UnixTime,
    /// The latest time that was ever given: a clock that is set back makes nothing fresh again.
    latest: UnixTime,
    runs: Vec<HeardRun, BUS_RUNS>,
}

impl BusReplays {
    /// Begins to take messages in, by the time of the registry.
    #[must_use]
    pub const fn new(now: UnixTime) -> Self {
        Self { begun: now, latest: now, runs: Vec::new() }
    }

    /// Returns an error for a message that need not be opened, because of its time alone.
    ///
    /// # Errors
    /// [`NotTaken::Stale`].
    pub fn may_open(&self, sent: UnixTime, now: UnixTime) -> Result<(), NotTaken> {
        let now = self.latest.max(now);
        let window = BUS_FRESH.as_secs().cast_signed();
        let is_old = sent.until(now) > window || self.begun.until(sent) < AFTER_START;
        let is_ahead = now.until(sent) > window;
        if is_old || is_ahead { Err(NotTaken::Stale) } else { Ok(()) }
    }

    /// Takes in a message that has opened, once.
    ///
    /// # Errors
    /// [`NotTaken`] if it is not to be followed.
    pub fn take(&mut self, stamp: BusStamp, now: UnixTime) -> Result<(), NotTaken> {
        self.may_open(stamp.sent, now)?;
        self.latest = self.latest.max(now);
        let (latest, window) = (self.latest, BUS_FRESH.as_secs().cast_signed());
        // All that these have sent is stale by itself.
        self.runs.retain(|heard| heard.sent.until(latest) <= window);
        match self.runs.iter_mut().find(|heard| heard.run == stamp.run) {
            Some(heard) => heard.take(stamp),
            None => {
                let BusStamp { run, number, sent } = stamp;
                let heard = HeardRun { run, newest: number, seen: 1, sent };
                self.runs.push(heard).map_err(|_| NotTaken::ManyRuns)
            }
        }
    }
}

impl HeardRun {
    fn take(&mut self, stamp: BusStamp) -> Result<(), NotTaken> {
        let BusStamp { number, sent, .. } = stamp;
        if number > self.newest {
            let by = u32::try_from(number.abs_diff(self.newest)).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(by).unwrap_or(0) | 1;
            self.newest = number;
        } else {
            let by = u32::try_from(self.newest.abs_diff(number)).unwrap_or(u32::MAX);
            match 1_u128.checked_shl(by) {
                Some(bit) if self.seen & bit == 0 => self.seen |= bit,
                Some(_) | None => return Err(NotTaken::Repeated),
            }
        }
        self.sent = self.sent.max(sent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(START + seconds)
    }

    fn stamp(run: u8, number: u64, sent: u64) -> BusStamp {
        BusStamp { run: BusRun::from_bytes([run; 16]), number, sent: at(sent) }
    }

    #[test]
    fn a_message_is_taken_in_once_in_whatever_order_and_however_often_it_comes() {
        let mut replays = BusReplays::new(at(0));
        for number in [5, 3, 9, 4, 9 + BUS_WINDOW - 1] {
            assert_eq!(replays.take(stamp(1, number, 20), at(20)), Ok(()), "{number}");
        }
        for number in [3, 4, 5, 9, 9 + BUS_WINDOW - 1, 0] {
            let again = replays.take(stamp(1, number, 20), at(21));
            assert_eq!(again, Err(NotTaken::Repeated), "{number}");
        }
        // The numbers of another run are its own, and those between are not lost.
        assert_eq!(replays.take(stamp(2, 5, 20), at(21)), Ok(()));
        assert_eq!(replays.take(stamp(1, 10, 20), at(21)), Ok(()));
        assert_eq!(replays.take(stamp(1, u64::MAX, 20), at(21)), Ok(()), "a leap");
        assert_eq!(replays.take(stamp(1, 11, 20), at(21)), Err(NotTaken::Repeated));
    }

    #[test]
    fn what_is_repeated_is_never_fresh_again_however_long_its_run_is_silent() {
        let fresh = BUS_FRESH.as_secs();
        let first = stamp(1, 7, 20);
        for later in 0..=3 * fresh {
            let mut replays = BusReplays::new(at(0));
            assert_eq!(replays.take(first, at(20)), Ok(()));
            // Others have the run forgotten as soon as it may be.
            assert_eq!(replays.take(stamp(2, 1, 20 + later), at(20 + later)), Ok(()));
            assert!(replays.take(first, at(20 + later)).is_err(), "after {later} s");
        }
    }

    #[test]
    fn a_message_from_too_early_or_too_late_is_stale() {
        let fresh = BUS_FRESH.as_secs();
        let mut replays = BusReplays::new(at(0));
        for (sent, now, taken) in [
            (20, 20, Ok(())),
            (20, 20 + fresh, Ok(())),
            (20, 21 + fresh, Err(NotTaken::Stale)),
            (40 + fresh, 40, Ok(())),
            (41 + fresh, 40, Err(NotTaken::Stale)),
        ] {
            let number = sent * 1000 + now;
            assert_eq!(replays.take(stamp(1, number, sent), at(now)), taken, "{sent} at {now}");
        }
    }

    #[test]
    fn a_gateway_that_starts_anew_takes_in_nothing_that_its_earlier_run_may_have() {
        let mut replays = BusReplays::new(at(20));
        for (sent, taken) in
            [(12, Err(NotTaken::Stale)), (20, Err(NotTaken::Stale)), (21, Err(NotTaken::Stale))]
        {
            assert_eq!(replays.take(stamp(1, sent, sent), at(21)), taken, "{sent}");
        }
        assert_eq!(replays.take(stamp(1, 22, 22), at(22)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_fresh_again() {
        let mut replays = BusReplays::new(at(0));
        assert_eq!(replays.take(stamp(1, 7, 100), at(100)), Ok(()));
        assert_eq!(replays.take(stamp(2, 1, 200), at(200)), Ok(()));
        assert_eq!(replays.take(stamp(1, 7, 100), at(100)), Err(NotTaken::Stale));
    }

    #[test]
    fn more_runs_than_there_are_gateways_are_refused_until_some_are_silent() {
        let mut replays = BusReplays::new(at(0));
        let run = |number: usize| {
            let mut name = [0; 16];
            name[..8].copy_from_slice(&number.to_le_bytes());
            BusRun::from_bytes(name)
        };
        let stamp = |number, sent| BusStamp { run: run(number), number: 1, sent: at(sent) };
        for number in 0..BUS_RUNS {
            assert_eq!(replays.take(stamp(number, 20), at(20)), Ok(()));
        }
        assert_eq!(replays.take(stamp(BUS_RUNS, 20), at(20)), Err(NotTaken::ManyRuns));
        let later = 21 + BUS_FRESH.as_secs();
        assert_eq!(replays.take(stamp(BUS_RUNS, later), at(later)), Ok(()));
    }
}
