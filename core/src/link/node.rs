//! The node's end of a link: telling from time to time how it is.

use crate::time::{Instant, Reason, Span};

/// When the next heartbeat is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeats {
    since: Instant,
    next: Instant,
    every: Span,
}

impl Heartbeats {
    /// The first one is due at once, so the gateway has the node's values from the start.
    #[must_use]
    pub const fn start(now: Instant, every: Span) -> Self {
        Self { since: now, next: now, every }
    }

    /// The schedule after a heartbeat, if one is due.
    #[must_use]
    pub fn due(self, now: Instant) -> Option<Self> {
        (self.next <= now).then(|| Self { next: now.after(self.every), ..self })
    }

    /// How long the link has been open.
    #[must_use]
    pub const fn lasted(&self, now: Instant) -> Span {
        now.since(self.since)
    }

    /// When the next one is due.
    #[must_use]
    pub const fn deadline(&self) -> (Instant, Reason) {
        (self.next, Reason::Heartbeat)
    }
}
