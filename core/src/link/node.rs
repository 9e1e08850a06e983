//! The node's end of a link: the schedule of its heartbeats.

use crate::time::{DeadlineReason, Instant, Span};

/// The schedule of a node's heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Heartbeats {
    since: Instant,
    next: Instant,
    every: Span,
}

impl Heartbeats {
    /// Starts a schedule whose first heartbeat is due at once, so that the gateway has the node's
    /// values from the start.
    #[must_use]
    pub const fn start(now: Instant, every: Span) -> Self {
        Self { since: now, next: now, every }
    }

    /// Returns the schedule after a heartbeat; `None` if none is due.
    #[must_use]
    pub fn due(self, now: Instant) -> Option<Self> {
        (self.next <= now).then(|| Self { next: now.after(self.every), ..self })
    }

    /// Returns the time for which the link has been open.
    #[must_use]
    pub const fn lasted(&self, now: Instant) -> Span {
        now.since(self.since)
    }

    /// Returns the time of the next heartbeat and its reason.
    #[must_use]
    pub const fn deadline(&self) -> (Instant, DeadlineReason) {
        (self.next, DeadlineReason::Heartbeat)
    }
}
