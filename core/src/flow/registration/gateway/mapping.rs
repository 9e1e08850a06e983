//! Translations between this machine and that of the link.

use super::Input;
use crate::error::Refusal;
use crate::link::gateway as link;
use crate::wire::close::Close;

/// Returns the close frame that goes with a refusal.
pub(super) const fn close_for(refusal: Refusal) -> Close {
    match refusal {
        Refusal::TooManyPending | Refusal::AtCapacity => Close::AT_CAPACITY,
        Refusal::RateLimited => Close::RATE_LIMITED,
        // A node can do nothing about the gateway's clock, so this is the gateway's fault.
        Refusal::StoreFailed | Refusal::ClockInDoubt => Close::INTERNAL,
        Refusal::Rejected { .. } | Refusal::Barred => Close::TURNED_DOWN,
        Refusal::InvalidCredentials
        | Refusal::NotApproved
        | Refusal::Muted
        | Refusal::AlreadyPaired
        | Refusal::Revoked
        | Refusal::NotPaired
        | Refusal::NoToken
        | Refusal::Expired => Close::AUTHENTICATION_FAILED,
    }
}

pub(super) fn for_link<'b>(input: Input<'b>) -> Option<link::Input<'b>> {
    match input {
        Input::Text(frame) => Some(link::Input::Text(frame)),
        Input::Binary(frame) => Some(link::Input::Binary(frame)),
        Input::Pong => Some(link::Input::Pong),
        Input::Push(notice) => Some(link::Input::Push(notice)),
        Input::Tick => Some(link::Input::Tick),
        Input::Shutdown => Some(link::Input::Shutdown),
        Input::Closed => Some(link::Input::Closed),
        Input::Admitted(_)
        | Input::Loaded(_)
        | Input::Hashed(_)
        | Input::Confirmed(_)
        | Input::Attached(_)
        | Input::Evict => None,
    }
}
