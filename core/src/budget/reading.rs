//! The rate at which a gateway reads strangers' messages that are costly to read.

use super::Bucket;
use crate::time::{Instant, Span};

/// The rate of first messages per second, over all sources. Nobody is refused above it: connections
/// of sources that failed too often lately wait, and those of all others go first.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReadRate {
    bucket: Bucket,
}

/// The turn of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Turn {
    /// The message is read now.
    Now,
    /// The message waits; ask again after this time.
    In(Span),
}

impl ReadRate {
    /// Creates a rate of `per_second` messages, of which a tenth may come at once.
    #[must_use]
    pub const fn new(per_second: u32, now: Instant) -> Self {
        // At least one, or nothing would ever be read.
        let at_once = match per_second / 10 {
            0 => 1,
            some => some,
        };
        Self { bucket: Bucket::with_load(per_second.saturating_mul(60), at_once, now) }
    }

    /// Asks for a turn. `source_is_empty` is `true` if the source's bucket of failures is empty.
    pub fn turn(&mut self, source_is_empty: bool, now: Instant) -> Turn {
        // A source in good standing is read at once and still uses up the rate, which is what
        // delays the others.
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
        let mut reading = ReadRate::new(2_000, Instant::from_millis(0));
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
