//! The end of the rights of a link's peer.

use crate::time::{DeadlineReason, Instant, Span, UnixTime};

/// The end of a peer's rights: the time of day, and the instant at which the connection wakes for
/// it.
///
/// A time of day is in whole seconds, so the connection may wake up to a second after `at` has
/// begun. Messages in between are judged by the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct LinkEnds {
    pub(super) at: UnixTime,
    wakes: Instant,
}

impl LinkEnds {
    /// Computes the wake-up for an end, with the clocks at `now` and `unix`.
    pub(super) const fn new(at: UnixTime, now: Instant, unix: UnixTime) -> Self {
        let left = at.as_secs().saturating_sub(unix.as_secs());
        Self { at, wakes: now.after(Span::from_secs(left)) }
    }

    pub(super) fn is_over(self, unix: UnixTime) -> bool {
        self.at <= unix
    }

    /// Recomputes the wake-up after the clocks were read again: a step of the time of day moves it.
    pub(super) const fn seen(self, now: Instant, unix: UnixTime) -> Self {
        Self::new(self.at, now, unix)
    }

    /// Returns the earlier of this end and another deadline.
    pub(super) fn or_before(self, other: (Instant, DeadlineReason)) -> (Instant, DeadlineReason) {
        if self.wakes <= other.0 { (self.wakes, DeadlineReason::Ends) } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn unix(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[test]
    fn an_end_wakes_the_connection_when_its_second_has_begun_and_only_if_nothing_is_due_earlier() {
        let ends = LinkEnds::new(unix(105), at(7), unix(100));
        assert_eq!(ends.or_before((at(20), DeadlineReason::Ping)), (at(12), DeadlineReason::Ends));
        assert_eq!(ends.or_before((at(11), DeadlineReason::Ping)), (at(11), DeadlineReason::Ping));
        assert!(!ends.is_over(unix(104)) && ends.is_over(unix(105)));
    }

    #[test]
    fn an_end_that_has_passed_wakes_the_connection_at_once_and_a_step_of_the_time_of_day_moves_it()
    {
        let later = (at(1_000), DeadlineReason::Ping);
        assert_eq!(LinkEnds::new(unix(99), at(7), unix(100)).or_before(later).0, at(7));
        let ends = LinkEnds::new(unix(160), at(0), unix(100));
        assert_eq!(
            ends.seen(at(10), unix(150)).or_before(later).0,
            at(20),
            "the time of day went forward by 40 s"
        );
        assert_eq!(ends.seen(at(10), unix(70)).or_before(later).0, at(100), "it went back by 40 s");
    }
}
