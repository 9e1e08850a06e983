//! Secrets that are shown once, until it is certain that somebody has them.
//!
//! ```text
//!  Undelivered ──confirmed, or the secret is used──▶ Delivered
//!       │ cancelled, or its time is over
//!       ▼
//!     Undone (the decision is taken back)
//! ```
//!
//! The gateway keeps no secret in plain for this, only what the decision was taken from. A store
//! calls [`settle`] inside the transaction that writes its outcome, so that of a confirmation and a
//! lapse at the same moment one wins, everywhere.

use crate::grant::token::TokenHash;
use crate::id::opaque_id;
use crate::time::UnixTime;

opaque_id! {
    /// One secret on its way. It is no secret itself: it only lets its holder say that the secret
    /// arrived, or did not.
    DeliveryId
}

/// A delivery that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its id.
    pub id: DeliveryId,
    /// When it lapses.
    pub until: UnixTime,
}

/// A token that was answered and not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The hash of the new token.
    pub token: TokenHash,
    /// Its delivery.
    pub ticket: Ticket,
    /// What the node falls back to if the delivery is undone.
    pub before: Before,
}

/// What stood before a token was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// The node waited for approval.
    Pending {
        /// When its request expires.
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

/// What happens to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// Whoever was shown the secret says that it was written.
    Confirmed,
    /// The secret was used.
    Used,
    /// Whoever was to show the secret could not.
    Cancelled,
    /// Nobody said anything; the time may be over.
    Lapsed,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Settled {
    /// The secret counts from now on.
    Delivered,
    /// The decision is taken back.
    Undone,
}

impl Settled {
    /// The word for it in stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Undone => "undone",
        }
    }

    /// Reads that word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Undone].into_iter().find(|settled| settled.as_str() == text)
    }
}

/// Why a delivery does not end so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotSettled {
    /// No such delivery is known: it was never made, or is long over, or a newer one took its
    /// place.
    Unknown,
    /// The delivery was undone before.
    Undone,
    /// The secret was confirmed or used before, so it cannot be taken back in this way.
    Delivered,
    /// Its time is over; it is undone as soon as the gateway comes to it.
    Late,
    /// Its time is not over.
    Early,
    /// Its time would be over only by a jump of a clock that is in doubt. Nothing is written.
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
        Outcome::Cancelled => Ok(Settled::Undone),
        Outcome::Lapsed if over => Ok(Settled::Undone),
        Outcome::Lapsed => Err(NotSettled::Early),
    }
}

/// The same for a delivery that ended as `settled` before. Saying the same once more is no error,
/// because the first answer may have been lost.
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
