//! Secrets that are shown once, until their arrival is certain.
//!
//! ```text
//!  Undelivered ──confirmed, or the secret is used──▶ Delivered
//!       │ cancelled, or its time is over
//!       ▼
//!     Undone (the decision is taken back)
//! ```
//!
//! The gateway keeps no secret in plain text for this, only the state before the decision. A store
//! calls [`settle`] inside the transaction that writes its outcome, so that of a confirmation and a
//! lapse at the same moment exactly one wins.

use crate::grant::token::TokenHash;
use crate::id::opaque_id;
use crate::time::UnixTime;

opaque_id! {
    /// The id of one delivery. It is no secret: its holder can only confirm or cancel the delivery.
    DeliveryId
}

/// A delivery that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ticket {
    /// The id of the delivery.
    pub id: DeliveryId,
    /// The time at which the delivery lapses.
    pub until: UnixTime,
}

/// A token that was answered and is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Undelivered {
    /// The hash of the new token.
    pub token: TokenHash,
    /// The id and the end of the delivery.
    pub ticket: Ticket,
    /// The state that the node falls back to if the delivery is undone.
    pub before: Before,
}

/// The state before a token was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Before {
    /// The node waited for approval.
    Pending {
        /// The expiry of the node's request.
        expires: UnixTime,
    },
    /// An import had brought the node with this token, which nobody had approved.
    Unapproved {
        /// The token's hash.
        token: TokenHash,
    },
    /// The node had this token, which works on until the new one is delivered.
    Token(TokenHash),
}

/// An event that ends a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// The receiver of the secret confirms that it was written down.
    Confirmed,
    /// The secret was used.
    Used,
    /// The program that was to show the secret could not show it.
    Cancelled,
    /// Nobody confirmed or cancelled; the time may be over.
    Lapsed,
}

/// The result of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Settled {
    /// The secret counts from now on.
    Delivered,
    /// The decision is taken back.
    Undone,
}

impl Settled {
    /// Returns the stored form of the result.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Undone => "undone",
        }
    }

    /// Parses the stored form; `None` if the text is no result.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Undone].into_iter().find(|settled| settled.as_str() == text)
    }
}

/// The reason why a delivery cannot end in this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotSettled {
    /// No such delivery is known: it never began, ended long ago, or was replaced by a newer one.
    Unknown,
    /// The delivery was undone before.
    Undone,
    /// The secret was confirmed or used before, so it cannot be taken back in this way.
    Delivered,
    /// The delivery's time is over, and the gateway will undo it.
    Late,
    /// The delivery's time is not over.
    Early,
    /// Only a jump of a clock in doubt would end the delivery's time. Nothing is written.
    ClockInDoubt,
}

/// Decides how an undelivered secret ends.
///
/// # Errors
/// [`NotSettled::Late`] or [`NotSettled::Early`].
pub fn settle(until: UnixTime, outcome: Outcome, now: UnixTime) -> Result<Settled, NotSettled> {
    let over = until <= now;
    match outcome {
        Outcome::Confirmed | Outcome::Used if over => Err(NotSettled::Late),
        Outcome::Confirmed | Outcome::Used => Ok(Settled::Delivered),
        // Nobody has seen the secret, so it can be taken back early or late.
        Outcome::Cancelled => Ok(Settled::Undone),
        Outcome::Lapsed if over => Ok(Settled::Undone),
        Outcome::Lapsed => Err(NotSettled::Early),
    }
}

/// Decides the same for a delivery that already ended as `settled`. Repeating the outcome is no
/// error, because the first answer may have been lost.
///
/// # Errors
/// [`NotSettled::Undone`] or [`NotSettled::Delivered`].
pub fn settle_again(settled: Settled, outcome: Outcome) -> Result<(), NotSettled> {
    match (settled, outcome) {
        (Settled::Delivered, Outcome::Confirmed | Outcome::Used)
        | (Settled::Undone, Outcome::Cancelled | Outcome::Lapsed) => Ok(()),
        (Settled::Delivered, Outcome::Cancelled | Outcome::Lapsed) => Err(NotSettled::Delivered),
        (Settled::Undone, Outcome::Confirmed | Outcome::Used) => Err(NotSettled::Undone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: UnixTime = UnixTime::from_secs(1060);
    const BEFORE: UnixTime = UnixTime::from_secs(1059);

    #[test]
    fn what_is_confirmed_or_used_in_time_is_delivered_and_nothing_else_is() {
        for outcome in [Outcome::Confirmed, Outcome::Used] {
            assert_eq!(settle(UNTIL, outcome, BEFORE), Ok(Settled::Delivered));
            assert_eq!(settle(UNTIL, outcome, UNTIL), Err(NotSettled::Late));
        }
        assert_eq!(settle(UNTIL, Outcome::Lapsed, UNTIL), Ok(Settled::Undone));
        assert_eq!(settle(UNTIL, Outcome::Lapsed, BEFORE), Err(NotSettled::Early));
        assert_eq!(settle(UNTIL, Outcome::Cancelled, BEFORE), Ok(Settled::Undone));
        assert_eq!(settle(UNTIL, Outcome::Cancelled, UNTIL), Ok(Settled::Undone));
    }

    #[test]
    fn an_end_is_final_and_saying_it_twice_is_no_error() {
        let outcomes = [Outcome::Confirmed, Outcome::Used, Outcome::Cancelled, Outcome::Lapsed];
        let again = |settled| outcomes.map(|outcome| settle_again(settled, outcome));
        assert_eq!(
            again(Settled::Delivered),
            [Ok(()), Ok(()), Err(NotSettled::Delivered), Err(NotSettled::Delivered)]
        );
        assert_eq!(
            again(Settled::Undone),
            [Err(NotSettled::Undone), Err(NotSettled::Undone), Ok(()), Ok(())]
        );
    }
}
