//! A budget of log lines.

use crate::limits::LOG_LINES_WITHIN;
use crate::time::Instant;

/// The log lines of one kind that one peer has caused since a time. A limited number is written,
/// and the rest is counted, so that one line can report the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lines {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Lines {
    /// Starts counting now, from zero.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { since: now, written: 0, left_out: 0 }
    }

    /// Counts one more line. Returns `true` if it is to be written, with at most `most` written.
    #[must_use]
    pub const fn takes(&mut self, most: u32) -> bool {
        if self.has_room(most) {
            self.written = self.written.saturating_add(1);
            return true;
        }
        self.left_out = self.left_out.saturating_add(1);
        false
    }

    /// Returns `true` if one more line would be written, with at most `most` written.
    #[must_use]
    pub const fn has_room(&self, most: u32) -> bool {
        self.written < most
    }

    /// The number of lines that were not written.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The end of the period of [`LOG_LINES_WITHIN`]: then the omitted lines are reported, and
    /// counting starts anew.
    #[must_use]
    pub const fn over_at(&self) -> Instant {
        self.since.after(LOG_LINES_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_are_written_and_the_others_counted() {
        let mut lines = Lines::new(Instant::from_millis(5));
        assert_eq!((0..100).filter(|_| lines.takes(7)).count(), 7);
        assert_eq!(lines.left_out(), 93);
        assert!(!lines.has_room(7));
        assert_eq!(lines.over_at(), Instant::from_millis(60_005));
        assert_eq!(Lines::new(lines.over_at()).left_out(), 0);
    }
}
