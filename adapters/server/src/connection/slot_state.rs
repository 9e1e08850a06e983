//! The slot of one connection, from accept until it has authenticated.

use std::future::pending;

use crate::connection::slots::SeatGuard;

/// The slot of a connection that has not authenticated.
pub(crate) enum SlotState {
    Seat(SeatGuard),
    /// No slot was free, so the connection is only refused.
    Refused,
    /// The connection needs no slot, or no longer.
    Free,
}

impl From<Option<SeatGuard>> for SlotState {
    fn from(seat: Option<SeatGuard>) -> Self {
        seat.map_or(Self::Refused, Self::Seat)
    }
}

impl SlotState {
    /// Marks that the connection has sent a message: it may no longer be displaced.
    pub(crate) fn spoke(&self) {
        if let Self::Seat(seat) = self {
            seat.spoke();
        }
    }

    /// Completes when the connection has no slot: at once if it never had one.
    pub(crate) async fn evicted(&self) {
        match self {
            Self::Seat(seat) => seat.evicted().await,
            Self::Refused => {}
            Self::Free => pending().await,
        }
    }
}
