//! Rejected requests, and the wait before the same key may ask again.
//!
//! A rejected request ends. Its key may ask again after a wait that doubles each time. A key is
//! kept out only by a rejection for good, and only a paired node can be revoked.

use crate::error::Refusal;
use crate::time::{Span, UnixTime};

/// The first wait in seconds.
const FIRST: u64 = 60;
/// The longest wait in seconds, and the time for which a rejection is remembered after its end.
const LONGEST: u64 = 24 * 3600;

/// The rejections of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rejection {
    /// The number of rejections.
    pub times: u8,
    /// The time from which the key may ask again; `None` if it was rejected for good.
    pub until: Option<UnixTime>,
}

impl Rejection {
    /// Adds one more rejection of the same key.
    #[must_use]
    pub fn once_more(earlier: Option<Self>, now: UnixTime) -> Self {
        // A rejection that is over counts no more, so the waits begin anew.
        let earlier = earlier.filter(|earlier| !earlier.is_over(now));
        let times = earlier.map_or(0, |earlier| earlier.times);
        let wait = FIRST.checked_shl(u32::from(times)).map_or(LONGEST, |wait| wait.min(LONGEST));
        let until = match earlier {
            // A rejection for good stays so.
            Some(Self { until: None, .. }) => None,
            Some(_) | None => Some(now.after(Span::from_secs(wait))),
        };
        // The wait has reached its maximum long before 32.
        Self { times: times.saturating_add(1).min(32), until }
    }

    /// Makes a rejection for good.
    #[must_use]
    pub fn for_good(earlier: Option<Self>) -> Self {
        Self {
            times: earlier.map_or(1, |earlier| earlier.times.saturating_add(1).min(32)),
            until: None,
        }
    }

    /// Checks that the key may ask now.
    ///
    /// # Errors
    /// [`Refusal::Rejected`] with the remaining wait, or [`Refusal::Barred`].
    pub fn admits(&self, now: UnixTime) -> Result<(), Refusal> {
        match self.until {
            None => Err(Refusal::Barred),
            Some(until) if now < until => Err(Refusal::Rejected {
                wait: Span::from_secs(until.as_secs().saturating_sub(now.as_secs())),
            }),
            Some(_) => Ok(()),
        }
    }

    /// Returns `true` if the rejection has no effect any more, so that a store may forget it.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.until.is_some_and(|until| until.after(Span::from_secs(LONGEST)) <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(1_000_000 + secs)
    }

    #[test]
    fn waits_double_from_a_minute_to_a_day_and_stay_there() {
        let mut rejection = None;
        let mut now = 0;
        for wait in
            [60, 120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 30_720, 61_440, 86_400, 86_400]
        {
            let next = Rejection::once_more(rejection, at(now));
            assert_eq!(
                next.admits(at(now + wait - 1)),
                Err(Refusal::Rejected { wait: Span::from_secs(1) })
            );
            assert_eq!(next.admits(at(now + wait)), Ok(()));
            rejection = Some(next);
            now += wait;
        }
        for _ in 0..300 {
            rejection = Some(Rejection::once_more(rejection, at(now)));
        }
        assert_eq!(rejection.unwrap().until, Some(at(now + 86_400)));
    }

    #[test]
    fn a_day_after_its_end_a_rejection_is_forgotten() {
        let twice = Rejection::once_more(Some(Rejection::once_more(None, at(0))), at(60));
        assert!(!twice.is_over(at(60 + 120 + 86_399)) && twice.is_over(at(60 + 120 + 86_400)));
        assert_eq!(
            Rejection::once_more(Some(twice), at(200_000)),
            Rejection { times: 1, until: Some(at(200_060)) }
        );
    }

    #[test]
    fn what_is_rejected_for_good_is_so_whatever_comes_after() {
        let barred = Rejection::for_good(Some(Rejection::once_more(None, at(0))));
        assert_eq!(barred.admits(at(u64::from(u32::MAX))), Err(Refusal::Barred));
        assert_eq!(Rejection::once_more(Some(barred), at(5)).until, None);
        assert!(!barred.is_over(at(u64::from(u32::MAX))));
    }
}
