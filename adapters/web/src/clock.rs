//! The times that come with a call.

use handfast_core::{Instant, UnixTime};

/// The host's clocks at the time of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Instant,
    pub(crate) unix: UnixTime,
}

impl Clock {
    /// Takes the monotonic milliseconds since any start, and the seconds since 1970.
    pub(crate) const fn new(now_millis: f64, unix_secs: f64) -> Self {
        // A float converts with saturation, and what is no number becomes zero.
        Self {
            now: Instant::from_millis(now_millis as u64),
            unix: UnixTime::from_secs(unix_secs as u64),
        }
    }
}
