//! Companions' sessions, and the setup codes that were spent for them.
//!
//! ```text
//! code:     issued ──redeem──▶ spent, until its time is over and it is forgotten: then the mark stands in for it
//! session:  open ──refresh──▶ open ──revoke, or its time is over──▶ ended
//! ```
//! **The mark** only rises: it is the latest end of all codes that were forgotten. A code that ends no later than the mark is refused, known or not, so
//! a clock that is set back brings no spent code back.

use crate::grant::session::SessionHash;
use crate::id::opaque_id;
use crate::text::Name;
use crate::time::{Span, UnixTime};

opaque_id! {
    /// Which session; no secret, unlike its token.
    SessionId
}

/// Why a verified code opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotRedeemed {
    /// It was spent.
    AlreadyUsed,
    /// Its time is over, or is not known to be not.
    Expired,
}

/// Decides whether a code may be spent. A store calls this inside the transaction that spends it and writes what it yields.
///
/// # Errors
/// [`NotRedeemed`]; then nothing is to be written.
pub fn redeem(expires_at: UnixTime, mark: UnixTime, is_spent: bool, now: UnixTime) -> Result<(), NotRedeemed> {
    if is_spent {
        Err(NotRedeemed::AlreadyUsed)
    } else if expires_at <= now || expires_at <= mark {
        Err(NotRedeemed::Expired)
    } else {
        Ok(())
    }
}

/// A companion's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Of its token.
    pub hash: SessionHash,
    /// As what the companion was let in.
    pub profile: Name,
    /// For which device its code was made.
    pub device_label: Option<Name>,
    /// When it was opened.
    pub issued_at: UnixTime,
    /// When it ends.
    pub expires_at: UnixTime,
    /// When the operator, or the companion itself, ended it.
    pub revoked_at: Option<UnixTime>,
}

/// How far two clocks may differ.
const MOST_AHEAD: Span = Span::from_secs(24 * 3600);

/// Why a session lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ended {
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Session {
    /// Whether it lets its companion in now.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn admits(&self, now: UnixTime) -> Result<(), Ended> {
        match self.revoked_at {
            Some(_) => Err(Ended::Revoked),
            None if self.expires_at <= now => Err(Ended::Expired),
            // The clock was ahead when it was opened, or is behind now.
            None if self.issued_at > now.after(MOST_AHEAD) => Err(Ended::Expired),
            None => Ok(()),
        }
    }

    /// When it ends if it is refreshed now: `ttl` from now, but no later than `longest` after it was opened, and never earlier than it would have.
    ///
    /// # Errors
    /// [`Ended`]: what has ended is not brought back.
    pub fn refreshed(&self, ttl: Span, longest: Span, now: UnixTime) -> Result<UnixTime, Ended> {
        self.admits(now)?;
        Ok(now.after(ttl).min(self.issued_at.after(longest)).max(self.expires_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Label;

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn session() -> Session {
        Session {
            id: SessionId::from_bytes([1; 16]),
            hash: SessionHash::from_bytes([2; 32]),
            profile: Name::from(Label::parse("companion-v1").unwrap()),
            device_label: None,
            issued_at: at(100),
            expires_at: at(200),
            revoked_at: None,
        }
    }

    #[test]
    fn a_code_is_spent_once_and_never_after_its_time() {
        assert_eq!(redeem(at(20), at(0), false, at(19)), Ok(()));
        assert_eq!(redeem(at(20), at(0), true, at(19)), Err(NotRedeemed::AlreadyUsed));
        assert_eq!(redeem(at(20), at(0), false, at(20)), Err(NotRedeemed::Expired));
    }

    #[test]
    fn a_clock_that_was_set_back_revives_no_code_that_was_forgotten() {
        assert_eq!(redeem(at(20), at(20), false, at(1)), Err(NotRedeemed::Expired));
        assert_eq!(redeem(at(21), at(20), false, at(1)), Ok(()));
    }

    #[test]
    fn a_session_admits_until_it_ends_or_is_revoked() {
        assert_eq!(session().admits(at(199)), Ok(()));
        assert_eq!(session().admits(at(200)), Err(Ended::Expired));
        let revoked = Session { revoked_at: Some(at(150)), ..session() };
        assert_eq!(revoked.admits(at(120)), Err(Ended::Revoked));
        let ahead = Session { issued_at: at(100_000), expires_at: at(200_000), ..session() };
        assert_eq!(ahead.admits(at(100)), Err(Ended::Expired), "opened while the clock was ahead");
        assert_eq!(ahead.admits(at(99_990)), Ok(()));
    }

    #[test]
    fn refreshing_prolongs_within_bounds_and_brings_nothing_back() {
        let refreshed = |session: Session, now| session.refreshed(Span::from_secs(100), Span::from_secs(150), at(now));
        assert_eq!(refreshed(session(), 110), Ok(at(210)));
        assert_eq!(refreshed(session(), 199), Ok(at(250)), "no longer than it may live in all");
        assert_eq!(refreshed(Session { expires_at: at(300), ..session() }, 110), Ok(at(300)), "never shortened");
        assert_eq!(refreshed(session(), 200), Err(Ended::Expired));
        assert_eq!(refreshed(Session { revoked_at: Some(at(1)), ..session() }, 110), Err(Ended::Revoked));
    }
}
