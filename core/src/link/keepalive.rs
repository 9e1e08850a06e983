//! Asking from time to time whether the peer is still there.

use crate::limits::Limits;
use crate::time::{Instant, Reason};

/// Either the next ping is due at some time, or an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// The next ping goes out then.
    Quiet {
        /// When.
        ping_at: Instant,
    },
    /// A ping is out.
    Asked {
        /// The answer is overdue then.
        answer_by: Instant,
    },
}

/// What the passing of time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Send a ping.
    Ping,
    /// The peer is gone.
    Lost,
}

impl Keepalive {
    /// Starts quiet.
    #[must_use]
    pub const fn start(now: Instant, limits: &Limits) -> Self {
        Self::Quiet { ping_at: now.after(limits.ping_every) }
    }

    /// The peer showed that it is there.
    #[must_use]
    pub const fn heard(self, now: Instant, limits: &Limits) -> Self {
        match self {
            quiet @ Self::Quiet { .. } => quiet,
            Self::Asked { .. } => Self::start(now, limits),
        }
    }

    /// What is due now, and the state after doing it.
    #[must_use]
    pub fn tick(self, now: Instant, limits: &Limits) -> (Self, Due) {
        match self {
            Self::Quiet { ping_at } if ping_at <= now => {
                (Self::Asked { answer_by: now.after(limits.pong_within) }, Due::Ping)
            }
            Self::Asked { answer_by } if answer_by <= now => (self, Due::Lost),
            Self::Quiet { .. } | Self::Asked { .. } => (self, Due::Nothing),
        }
    }

    /// When to tick.
    #[must_use]
    pub const fn deadline(&self) -> (Instant, Reason) {
        match *self {
            Self::Quiet { ping_at } => (ping_at, Reason::Ping),
            Self::Asked { answer_by } => (answer_by, Reason::Pong),
        }
    }
}
