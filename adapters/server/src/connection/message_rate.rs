//! The rate at which the messages of one linked peer are read.

use std::pin::Pin;

use handfast_core::Instant;
use handfast_core::budget::Messages;
use tokio::time::{Sleep, sleep_until};

use crate::clock::GatewayClock;

/// One connection's rate. Every connection has one, so it allocates only at the first message of a
/// link.
#[derive(Debug, Default)]
pub(crate) struct MessageRate {
    messages: Option<Box<Messages>>,
}

impl MessageRate {
    /// Counts a message of a linked peer.
    pub(crate) fn read(&mut self, now: Instant) {
        self.messages.get_or_insert_with(|| Box::new(Messages::new(now))).read(now);
    }

    /// Returns the pause before the next message is read; `None` if it may be read now. It is
    /// boxed, because hardly any connection ever pauses.
    pub(crate) fn pause(&mut self, clock: &GatewayClock) -> Option<Pin<Box<Sleep>>> {
        let now = clock.now();
        let wait = self.messages.as_mut()?.wait(now);
        (wait.as_millis() > 0).then(|| Box::pin(sleep_until(clock.wake_at(now.after(wait)))))
    }
}
