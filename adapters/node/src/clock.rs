//! The monotonic clock that core uses, and its deadlines as timers.

use std::time::{SystemTime, UNIX_EPOCH};

use handfast_core::{Instant, UnixTime};
use tokio::time::Instant as Tokio;

/// Milliseconds since this clock was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessClock(Tokio);

impl ProcessClock {
    pub(crate) fn start() -> Self {
        Self(Tokio::now())
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Waits for a deadline; forever if there is none.
    pub(crate) async fn until(&self, deadline: Option<Instant>) {
        let at = deadline
            .and_then(|d| self.0.checked_add(std::time::Duration::from_millis(d.as_millis())));
        match at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns the current time.
#[must_use]
pub fn unix_now() -> UnixTime {
    UnixTime::from_secs(
        // A clock that stands before 1970 counts as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    )
}
