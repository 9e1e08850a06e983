//! A node's requests for a certificate in place of one that its gateway refuses, or that it lacks.

use crate::limits::{CERTIFICATES_A_DAY, CERTIFICATES_WITHIN};
use crate::time::Span;

/// The requests for a replacement since a certificate last opened a link. The first one is made at
/// once, and the others at growing intervals: a gateway that refuses what it issues itself is asked
/// no more than [`CERTIFICATES_A_DAY`] times a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReplacementRequests {
    made: u8,
}

impl ReplacementRequests {
    /// The interval between the first two requests, in seconds.
    const FIRST: u64 = 60;
    /// The longest interval, in seconds. A day has room for half of the certificates that a node
    /// may have at this interval, and the requests at the shorter ones are fewer than the others.
    const LONGEST: u64 = CERTIFICATES_WITHIN.as_secs() / (CERTIFICATES_A_DAY as u64) * 2;

    /// Returns the time from the last request until the next one may be made.
    #[must_use]
    pub fn wait(self) -> Span {
        let Some(doublings) = self.made.checked_sub(1) else { return Span::from_secs(0) };
        // A shift by 64 or more has no result; the longest interval stands in for it.
        let doubled = 1_u64.checked_shl(u32::from(doublings)).unwrap_or(u64::MAX);
        Span::from_secs(Self::FIRST.saturating_mul(doubled).min(Self::LONGEST))
    }

    /// Returns the requests with another one.
    #[must_use]
    pub const fn and_one_more(self) -> Self {
        // Beyond the longest interval the number changes nothing, so it may stand still.
        Self { made: self.made.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_is_made_at_once_and_no_day_has_more_than_a_gateway_allows() {
        let (mut requests, mut now, mut times) = (ReplacementRequests::default(), 0, [0_u64; 64]);
        for time in &mut times {
            now += requests.wait().as_secs();
            *time = now;
            requests = requests.and_one_more();
        }
        assert_eq!(times[..4], [0, 60, 180, 420]);
        let day = CERTIFICATES_WITHIN.as_secs();
        for from in times {
            let within = times.iter().filter(|time| (from..from + day).contains(time)).count();
            assert!(within <= CERTIFICATES_A_DAY as usize, "{within} from second {from} on");
        }
    }

    #[test]
    fn the_interval_has_an_end_and_does_not_overflow() {
        let mut requests = ReplacementRequests::default();
        for _ in 0..1000 {
            requests = requests.and_one_more();
        }
        assert_eq!(requests.wait(), Span::from_secs(10_800));
    }
}
