//! A gate's cache of admitted senders, and the validity of its entries.
//!
//! A gate asks the registry about each message, but may remember an admission, in a bounded table
//! keyed by the three texts. It remembers nothing else: no refusal, so that strangers fill no
//! table, and no failure. An entry is valid while the registry's **epoch** is the same, which every
//! change of a sender's standing advances, and for a minute at most; then the channel normalises
//! the sender again.

use crate::registry::inbound::Allowed;
use crate::time::{Span, UnixTime};

/// Maximum validity of an entry.
pub const HOLDS_FOR: Span = Span::from_secs(60);

/// A remembered admission of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Remembered {
    epoch: u64,
    since: UnixTime,
    until: Option<UnixTime>,
}

impl Remembered {
    /// Remembers an admission by this permission, which was read **after** the epoch. Returns
    /// `None` if the permission is missing or not active.
    #[must_use]
    pub fn admitted(allowed: Option<Allowed>, epoch: u64, now: UnixTime) -> Option<Self> {
        let allowed = allowed.filter(|allowed| allowed.is_active(now))?;
        Some(Self { epoch, since: now, until: allowed.until })
    }

    /// Returns `true` if the sender is admitted now without asking the registry.
    #[must_use]
    pub fn holds(&self, epoch: u64, now: UnixTime) -> bool {
        // An entry from the future comes from a clock that was set back, and is not valid.
        self.epoch == epoch
            && self.since <= now
            && now < self.since.after(HOLDS_FOR)
            && self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn it_holds_until_anything_changes_its_time_is_over_or_the_clock_is_set_back() {
        let allowed = Allowed { until: Some(at(130)), revoked_at: None };
        let remembered = Remembered::admitted(Some(allowed), 7, at(100)).unwrap();
        assert!(remembered.holds(7, at(100)) && remembered.holds(7, at(129)));
        assert!(!remembered.holds(8, at(100)), "somebody changed something");
        assert!(!remembered.holds(7, at(130)), "the permission ended");
        assert!(!remembered.holds(7, at(99)), "the clock was set back");
        let endless =
            Remembered::admitted(Some(Allowed { until: None, revoked_at: None }), 7, at(100))
                .unwrap();
        assert!(endless.holds(7, at(159)) && !endless.holds(7, at(160)));
    }

    #[test]
    fn nobody_is_remembered_whose_permission_does_not_count() {
        assert_eq!(Remembered::admitted(None, 1, at(1)), None);
        assert_eq!(
            Remembered::admitted(Some(Allowed { until: None, revoked_at: Some(at(9)) }), 1, at(1)),
            None
        );
        assert_eq!(
            Remembered::admitted(Some(Allowed { until: Some(at(1)), revoked_at: None }), 1, at(1)),
            None
        );
    }
}
