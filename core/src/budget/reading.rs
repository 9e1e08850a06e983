//! The rate at which a gateway reads what strangers send it, where reading costs something.

use super::Bucket;
use crate::time::{Instant, Span};

/// How many first messages are read in a second, of all sources together. Nobody is refused above
/// it: the connections of sources that have failed too often lately wait, and those of all others
/// go first.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    bucket: Bucket,
}

/// When a message is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Now,
    /// Not before this time has passed; ask again then.
    In(Span),
}

impl Reading {
    /// So many a second, of which a tenth may come at once.
    #[must_use]
    pub const fn new(per_second: u32, now: Instant) -> Self {
        let at_once = match per_second / 10 {
            0 => 1,
            some => some,
        };
        Self { bucket: Bucket::with_load(per_second.saturating_mul(60), at_once, now) }
    }

    /// Asks for a turn, of a source whose bucket of failures is empty or is not.
    pub fn turn(&mut self, source_is_empty: bool, now: Instant) -> Turn {
        if self.bucket.take(now) || !source_is_empty {
            Turn::Now
        } else {
            Turn::In(self.bucket.wait(now))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_rate_only_those_wait_whose_source_has_failed_too_often() {
        let mut reading = Reading::new(2_000, Instant::from_millis(0));
        let mut read = 0;
        for ms in 0..1000 {
            let now = Instant::from_millis(ms);
            while reading.turn(true, now) == Turn::Now {
                read += 1;
            }
            assert_eq!(reading.turn(true, now), Turn::In(Span::from_millis(1)));
            assert_eq!(reading.turn(false, now), Turn::Now);
        }
        assert!((2_000..2_300).contains(&read), "{read} in a second");
    }
}
