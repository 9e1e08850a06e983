//! Companions' sessions, and the setup codes that were spent for them.
//!
//! ```text
//! code:     issued ──redeem──▶ spent, until its time is over and it is forgotten: then the mark stands in for it
//! session:  open ──refresh──▶ open ──revoke, or its time is over──▶ ended
//! ```
//! **The mark** only rises: it is the latest end of all codes that were forgotten. A code that ends
//! no later than the mark is refused, known or not, so a clock that is set back brings no spent
//! code back.

use crate::grant::session::SessionHash;
use crate::id::opaque_id;
use crate::limits::CLOCK_STEP;
use crate::registry::trusted_time::Moment;
use crate::text::Name;
use crate::time::{Span, UnixTime};

opaque_id! {
    /// Which session; no secret, unlike its token.
    SessionId
}

/// Who made something that the registry keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Maker {
    /// An operator, the configuration, or the program that embeds the gateway.
    #[default]
    Operator,
    /// A companion's session. What it made ends with it.
    Session(SessionId),
}

impl Maker {
    /// The session, if it was one.
    #[must_use]
    pub const fn session(self) -> Option<SessionId> {
        match self {
            Self::Operator => None,
            Self::Session(id) => Some(id),
        }
    }

    /// The maker that a store kept as a session's id, or as none.
    #[must_use]
    pub fn stored(session: Option<[u8; 16]>) -> Self {
        session.map_or(Self::Operator, |id| Self::Session(SessionId::from_bytes(id)))
    }
}

/// Why a verified code opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotRedeemed {
    /// It was spent.
    AlreadyUsed,
    /// Its time is over, or is not known to be not.
    Expired,
    /// Its time would be over only by a jump of a clock that is in doubt. Nothing is written.
    ClockInDoubt,
}

/// Decides whether a code may be spent. A store calls this inside the transaction that spends it
/// and writes what it yields.
///
/// # Errors
/// [`NotRedeemed`]; then nothing is to be written.
pub fn redeem(
    expires_at: UnixTime,
    mark: UnixTime,
    is_spent: bool,
    now: UnixTime,
) -> Result<(), NotRedeemed> {
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
    /// Whether it was seen to be over: it stays so, whatever the clock says later.
    pub over: bool,
    /// Who made its code. It ends with a session that did.
    pub maker: Maker,
    /// The part of its life that another session gave it.
    pub prolonged: Option<Prolonged>,
}

/// The part of a session's life that another session gave it. It ends with that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prolonged {
    /// Which session did.
    pub by: SessionId,
    /// When the session would have ended without.
    pub before: UnixTime,
}

/// How a session is prolonged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prolonging {
    /// How long it lives from now on.
    pub ttl: Span,
    /// How long it lives in all, from when it was opened.
    pub longest: Span,
    /// When it ends at the latest: with whoever made it, and with whoever prolongs it.
    pub ends: Option<UnixTime>,
    /// Who prolongs it: another session; or the operator and the session itself, where there is
    /// none.
    pub by: Option<SessionId>,
}

/// How far two clocks may differ.
const MOST_AHEAD: Span = CLOCK_STEP;

/// Why a session lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ended {
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// Its time would be over only by a jump of a clock that is in doubt: it has not ended, and
    /// does not count until that is settled.
    ClockInDoubt,
}

impl Session {
    /// Whether it lets its companion in now.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn admits(&self, now: UnixTime) -> Result<(), Ended> {
        match self.revoked_at {
            Some(_) => Err(Ended::Revoked),
            None if self.over || self.expires_at <= now => Err(Ended::Expired),
            // The clock was ahead when it was opened, or is behind now.
            None if self.issued_at > now.after(MOST_AHEAD) => Err(Ended::Expired),
            None => Ok(()),
        }
    }

    /// Whether it would be over only by a jump of a clock that is in doubt.
    #[must_use]
    pub fn is_doubted(&self, moment: &Moment) -> bool {
        self.revoked_at.is_none() && !self.over && moment.doubts(self.issued_at, self.expires_at)
    }

    /// What it is if it is refreshed now: it ends `ttl` from now, but no later than `longest` after
    /// it was opened and than `ends`, and never earlier than it would have. Whatever another
    /// session adds is marked as its part.
    ///
    /// # Errors
    /// [`Ended`]: what has ended is not brought back.
    pub fn refreshed(
        &self,
        how: &Prolonging,
        now: UnixTime,
    ) -> Result<(UnixTime, Option<Prolonged>), Ended> {
        self.admits(now)?;
        let end = now.after(how.ttl).min(self.issued_at.after(how.longest));
        let end = how.ends.map_or(end, |ends| end.min(ends));
        let own = self.prolonged.map_or(self.expires_at, |prolonged| prolonged.before);
        Ok(match how.by {
            Some(by) if by != self.id => match end > self.expires_at {
                true => (end, Some(Prolonged { by, before: own })),
                false => (self.expires_at, self.prolonged),
            },
            Some(_) | None => match self.prolonged {
                // What another has added goes on until its own end.
                Some(prolonged) if end < self.expires_at => {
                    (self.expires_at, Some(Prolonged { before: own.max(end), ..prolonged }))
                }
                Some(_) | None => (end.max(self.expires_at), None),
            },
        })
    }

    /// When it ends once the session has ended that prolonged it.
    #[must_use]
    pub fn without(&self, by: SessionId) -> Option<UnixTime> {
        self.prolonged
            .filter(|prolonged| prolonged.by == by)
            .map(|prolonged| prolonged.before.min(self.expires_at))
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
            over: false,
            maker: Maker::Operator,
            prolonged: None,
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
        assert_eq!(
            Session { over: true, ..session() }.admits(at(150)),
            Err(Ended::Expired),
            "whatever the clock says"
        );
    }

    #[test]
    fn refreshing_prolongs_within_bounds_and_brings_nothing_back() {
        let how = Prolonging {
            ttl: Span::from_secs(100),
            longest: Span::from_secs(150),
            ends: None,
            by: None,
        };
        let refreshed =
            |session: Session, now| session.refreshed(&how, at(now)).map(|(end, _)| end);
        assert_eq!(refreshed(session(), 110), Ok(at(210)));
        assert_eq!(refreshed(session(), 199), Ok(at(250)), "no longer than it may live in all");
        assert_eq!(
            refreshed(Session { expires_at: at(300), ..session() }, 110),
            Ok(at(300)),
            "never shortened"
        );
        assert_eq!(refreshed(session(), 200), Err(Ended::Expired));
        assert_eq!(
            refreshed(Session { revoked_at: Some(at(1)), ..session() }, 110),
            Err(Ended::Revoked)
        );
    }

    #[test]
    fn what_another_session_adds_ends_with_it_and_never_outlives_it() {
        let other = SessionId::from_bytes([9; 16]);
        let how = |ends, by| Prolonging {
            ttl: Span::from_secs(300),
            longest: Span::from_secs(900),
            ends,
            by,
        };
        let (end, prolonged) =
            session().refreshed(&how(Some(at(350)), Some(other)), at(110)).unwrap();
        assert_eq!((end, prolonged), (at(350), Some(Prolonged { by: other, before: at(200) })));
        let longer = Session { expires_at: end, prolonged, ..session() };
        assert_eq!(longer.without(other), Some(at(200)));
        assert_eq!(longer.without(session().id), None);
        // Once more, by another: what was its own stays so.
        let third = SessionId::from_bytes([8; 16]);
        let (_, again) = longer.refreshed(&how(Some(at(400)), Some(third)), at(120)).unwrap();
        assert_eq!(again, Some(Prolonged { by: third, before: at(200) }));
        // Its own refreshing makes that time its own.
        let own = longer.refreshed(&how(Some(at(300)), None), at(120)).unwrap();
        assert_eq!(own, (at(350), Some(Prolonged { by: other, before: at(300) })));
        assert_eq!(
            longer.refreshed(&how(None, Some(session().id)), at(120)).unwrap(),
            (at(420), None)
        );
        assert_eq!(
            session().refreshed(&how(Some(at(150)), Some(other)), at(110)).unwrap(),
            (at(200), None)
        );
    }
}
