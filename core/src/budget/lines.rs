//! How many lines of a log somebody may cause.

use crate::limits::LOG_LINES_WITHIN;
use crate::time::Instant;

/// The lines of one kind that one peer has caused since a time: so many are written, and the rest
/// are counted, so that one line can say how many they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Lines {
    /// None so far; they are counted from now on.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { since: now, written: 0, left_out: 0 }
    }

    /// Counts one more, and says whether it is written, where at most `most` are.
    #[must_use]
    pub const fn takes(&mut self, most: u32) -> bool {
        if self.has_room(most) {
            self.written = self.written.saturating_add(1);
            return true;
        }
        self.left_out = self.left_out.saturating_add(1);
        false
    }

    /// Whether one more would be written, where at most `most` are.
    #[must_use]
    pub const fn has_room(&self, most: u32) -> bool {
        self.written < most
    }

    /// How many were not written.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// When [`LOG_LINES_WITHIN`] has passed: then what was left out is told, and they are counted
    /// anew.
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
