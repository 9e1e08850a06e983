//! The two clocks of the process: what is decided by time is decided by what is read here. How long something took is measured where it is done.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast_core::time::{Instant, UnixTime};

/// A monotonic clock that starts at zero with the gateway, beside the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// The monotonic time, in milliseconds.
    pub(crate) fn now(&self) -> Instant {
        let passed = self.start.elapsed().as_millis();
        Instant::from_millis(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// When the async runtime has to wake for a deadline of core.
    pub(crate) fn wake_at(&self, deadline: Instant) -> tokio::time::Instant {
        // A deadline too far to represent is as good as none; a day later the machine is asked again.
        let span = Duration::from_millis(deadline.as_millis());
        self.start.checked_add(span).unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(86_400))
    }

    /// The wall clock; before 1970 counts as 1970.
    pub(crate) fn unix(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixTime::from_secs(since.as_secs())
    }
}
