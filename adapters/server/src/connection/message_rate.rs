//! How fast the messages of one connection are read once its peer is linked.

use std::pin::Pin;

use handfast_core::budget::Messages;
use handfast_core::time::Instant;
use tokio::time::{Sleep, sleep_until};

use crate::clock::Clock;

/// One connection's rate. It stands in memory for every connection, so it takes room only from the
/// first message of a link on.
#[derive(Debug, Default)]
pub(crate) struct MessageRate {
    messages: Option<Box<Messages>>,
}

impl MessageRate {
    /// Counts a message that a linked peer sent.
    pub(crate) fn read(&mut self, now: Instant) {
        self.messages.get_or_insert_with(|| Box::new(Messages::new(now))).read(now);
    }

    /// What has to pass before the next message is read; none if it may be read now. Boxed, because
    /// hardly any connection ever pauses.
    pub(crate) fn pause(&mut self, clock: &Clock) -> Option<Pin<Box<Sleep>>> {
        let now = clock.now();
        let wait = self.messages.as_mut()?.wait(now);
        (wait.as_millis() > 0).then(|| Box::pin(sleep_until(clock.wake_at(now.after(wait)))))
    }
}
