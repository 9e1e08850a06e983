//! Pings that detect a lost peer.

use crate::limits::Limits;
use crate::time::{DeadlineReason, Instant};

/// The state of pings: the next ping or the answer to the last one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Keepalive {
    /// No ping is outstanding.
    Quiet {
        /// Time of the next ping.
        ping_at: Instant,
    },
    /// A ping awaits its answer.
    Asked {
        /// Time at which the answer is overdue.
        answer_by: Instant,
    },
}

/// The action that the passing of time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Due {
    /// No action is due.
    Nothing,
    /// A ping is to be sent.
    Ping,
    /// The peer did not answer in time and counts as gone.
    Lost,
}

impl Keepalive {
    /// Starts with no ping outstanding.
    #[must_use]
    pub const fn start(now: Instant, limits: &Limits) -> Self {
        Self::Quiet { ping_at: now.after(limits.ping_every) }
    }

    /// Records a sign of life from the peer.
    #[must_use]
    pub const fn heard(self, now: Instant, limits: &Limits) -> Self {
        match self {
            // A quiet schedule keeps its time, so pings come at a steady interval on a busy link,
            // too.
            quiet @ Self::Quiet { .. } => quiet,
            // Any frame answers the ping, not only a pong.
            Self::Asked { .. } => Self::start(now, limits),
        }
    }

    /// Returns the action that is due now, and the state after it.
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

    /// Returns the time of the next tick and its reason.
    #[must_use]
    pub const fn deadline(&self) -> (Instant, DeadlineReason) {
        match *self {
            Self::Quiet { ping_at } => (ping_at, DeadlineReason::Ping),
            Self::Asked { answer_by } => (answer_by, DeadlineReason::Pong),
        }
    }
}
