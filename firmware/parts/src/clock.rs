//! The clock of the application over embassy's time driver.

use embassy_time::{Instant, Timer};
use handfast_app::Clock;

/// The time since the board's timer was started.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> handfast_app::Instant {
        handfast_app::Instant::from_millis(Instant::now().as_millis())
    }

    async fn sleep_until(&self, at: handfast_app::Instant) {
        // A time beyond embassy's range never comes.
        Timer::at(Instant::try_from_millis(at.as_millis()).unwrap_or(Instant::MAX)).await;
    }
}
