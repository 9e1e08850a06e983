//! Companions' sessions, and the setup codes that were spent for them.
//!
//! ```text
//! code:     issued ──redeem──▶ spent ──expiry──▶ forgotten: the mark stands in for it
//! session:  open ──refresh──▶ open ──revoke, or its time is over──▶ ended
//! ```
//! **The mark** only rises: it is the latest expiry of all forgotten codes. A code that expires no
//! later than the mark is refused, known or not, so setting the clock back does not revive a spent
//! code.

use crate::grant::session::SessionHash;
use crate::id::opaque_id;
use crate::limits::CLOCK_STEP;
use crate::registry::trusted_time::Moment;
use crate::text::Name;
use crate::time::{Span, UnixTime};

opaque_id! {
    /// The id of a session. Unlike its token, it is not secret.
    SessionId
}

opaque_id! {
    /// The id of an operator's session or token ([`logins`](crate::registry::logins)). Unlike its
    /// secret, it is not secret.
    LoginId
}

/// The maker of an object in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Maker {
    /// An operator, the configuration, or the program that embeds the gateway.
    #[default]
    Operator,
    /// A companion's session; the object ends with it.
    Session(SessionId),
    /// An operator's session or token. A code or an open window ends with it; what a code has
    /// yielded by then is [lasting](Maker::lasting).
    Login(LoginId),
}

impl Maker {
    /// Returns the session's id; `None` for an operator.
    #[must_use]
    pub const fn session(self) -> Option<SessionId> {
        match self {
            Self::Operator | Self::Login(_) => None,
            Self::Session(id) => Some(id),
        }
    }

    /// Returns the id of the operator's session or token; `None` for any other maker.
    #[must_use]
    pub const fn login(self) -> Option<LoginId> {
        match self {
            Self::Operator | Self::Session(_) => None,
            Self::Login(id) => Some(id),
        }
    }

    /// Returns the maker of what this maker's code yields. An operator's right is not delegated, so
    /// what an operator has paired does not end with the operator's session.
    #[must_use]
    pub const fn lasting(self) -> Self {
        match self {
            Self::Operator | Self::Login(_) => Self::Operator,
            Self::Session(id) => Self::Session(id),
        }
    }

    /// Restores a maker from a store, where it is a session's id or nothing.
    #[must_use]
    pub fn stored(session: Option<[u8; 16]>) -> Self {
        session.map_or(Self::Operator, |id| Self::Session(SessionId::from_bytes(id)))
    }
}

/// The reason for not redeeming a verified code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotRedeemed {
    /// The code was spent before.
    AlreadyUsed,
    /// The code has expired, or may have: its expiry does not lie after the mark.
    Expired,
    /// The expiry depends on a jump of a clock in doubt; nothing is written.
    ClockInDoubt,
}

/// The end of a setup code by the gateway's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodeEnd {
    /// The end of a code that this run made. Its life is elapsed time, whatever the wall clock says.
    Elapsed(UnixTime),
    /// The end that a code of another run states.
    Stated(UnixTime),
}

impl CodeEnd {
    /// Determines the end of a code that states this one. `left` is the rest of the life of a code
    /// that this run made.
    ///
    /// # Errors
    /// [`NotRedeemed::ClockInDoubt`] if only a jump of the clock in doubt would end the code.
    pub fn of(stated: UnixTime, left: Option<Span>, moment: &Moment) -> Result<Self, NotRedeemed> {
        match left {
            Some(left) => Ok(Self::Elapsed(moment.now.after(left))),
            // The code does not say when it was made: before this run, whenever that began.
            None if moment.doubts(UnixTime::from_secs(0), stated) => Err(NotRedeemed::ClockInDoubt),
            None => Ok(Self::Stated(stated)),
        }
    }

    /// Returns the time of the end.
    #[must_use]
    pub const fn at(self) -> UnixTime {
        match self {
            Self::Elapsed(at) | Self::Stated(at) => at,
        }
    }

    /// Returns the end that a good clock has reached, which is written so that the code stays over
    /// whatever the clock says later. Elapsed time says nothing about the clock.
    #[must_use]
    pub fn reached(self, now: UnixTime) -> Option<UnixTime> {
        match self {
            Self::Elapsed(_) => None,
            Self::Stated(at) => (at <= now).then_some(at),
        }
    }
}

/// Decides whether a code with this [end](CodeEnd) may be spent. A store calls this inside the
/// transaction that spends the code and writes its session. Of a code that has expired, nobody
/// learns whether it was spent.
///
/// # Errors
/// [`NotRedeemed`]; then the store writes nothing.
pub fn redeem(
    expires_at: UnixTime,
    mark: UnixTime,
    is_spent: bool,
    now: UnixTime,
) -> Result<(), NotRedeemed> {
    if expires_at <= now || expires_at <= mark {
        Err(NotRedeemed::Expired)
    } else if is_spent {
        Err(NotRedeemed::AlreadyUsed)
    } else {
        Ok(())
    }
}

/// A companion's session in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Session {
    /// The id of the session.
    pub id: SessionId,
    /// The hash of the session's token.
    pub hash: SessionHash,
    /// The profile of the companion.
    pub profile: Name,
    /// The device that the session's code was made for.
    pub device_label: Option<Name>,
    /// The time of opening.
    pub issued_at: UnixTime,
    /// The end of the session.
    pub expires_at: UnixTime,
    /// The time at which the operator or the companion ended it.
    pub revoked_at: Option<UnixTime>,
    /// `true` once the session was seen expired. It stays so, whatever the clock says later.
    pub over: bool,
    /// The maker of the session's code. A session whose code another session made ends with that
    /// one.
    pub maker: Maker,
    /// The part of its life that another session added.
    pub prolonged: Option<Prolonged>,
}

/// The part of a session's life that another session added, and that ends with the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Prolonged {
    /// The session that added it.
    pub by: SessionId,
    /// The end of the session without the addition.
    pub before: UnixTime,
}

/// The parameters of prolonging a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Prolonging {
    /// The session's lifetime from now on.
    pub ttl: Span,
    /// The longest total lifetime, from the opening.
    pub longest: Span,
    /// The latest end: that of the session's maker and of the prolonging session.
    pub ends: Option<UnixTime>,
    /// The other session that prolongs it; `None` if an operator or the session itself does.
    pub by: Option<SessionId>,
}

/// Tolerated difference between two clocks.
const MOST_AHEAD: Span = CLOCK_STEP;

/// The reason for rejecting a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ended {
    /// The session was revoked.
    Revoked,
    /// The session has expired.
    Expired,
    /// The expiry depends on a jump of a clock in doubt: the session has not ended, but is not
    /// valid until the doubt is settled.
    ClockInDoubt,
}

impl Session {
    /// Checks that the session is valid now.
    ///
    /// # Errors
    /// [`Ended`], the reason why it is not.
    pub fn admits(&self, now: UnixTime) -> Result<(), Ended> {
        match self.revoked_at {
            Some(_) => Err(Ended::Revoked),
            None if self.over || self.expires_at <= now => Err(Ended::Expired),
            // The clock was ahead when the session was opened, or is behind now.
            None if self.issued_at > now.after(MOST_AHEAD) => Err(Ended::Expired),
            None => Ok(()),
        }
    }

    /// Returns `true` if only a jump of a clock in doubt would end the session.
    #[must_use]
    pub fn is_doubted(&self, moment: &Moment) -> bool {
        self.revoked_at.is_none() && !self.over && moment.doubts(self.issued_at, self.expires_at)
    }

    /// Computes the end of a session that is refreshed now: `ttl` from now, at most `longest` after
    /// the opening and at most `ends`, and never earlier than before. Time that another session
    /// adds is recorded as its part.
    ///
    /// # Errors
    /// [`Ended`]; an ended session cannot be revived.
    pub fn refreshed(
        &self,
        how: &Prolonging,
        now: UnixTime,
    ) -> Result<(UnixTime, Option<Prolonged>), Ended> {
        self.admits(now)?;
        let end = now.after(how.ttl).min(self.issued_at.after(how.longest));
        let end = how.ends.map_or(end, |ends| end.min(ends));
        // Time that another session added is not the session's own.
        let own = self.prolonged.map_or(self.expires_at, |prolonged| prolonged.before);
        Ok(match how.by {
            Some(by) if by != self.id => match end > self.expires_at {
                true => (end, Some(Prolonged { by, before: own })),
                // Prolonging only ever adds time, so an earlier end leaves the session as it is.
                false => (self.expires_at, self.prolonged),
            },
            Some(_) | None => match self.prolonged {
                // Time that another session added stays until its own end.
                Some(prolonged) if end < self.expires_at => {
                    (self.expires_at, Some(Prolonged { before: own.max(end), ..prolonged }))
                }
                Some(_) | None => (end.max(self.expires_at), None),
            },
        })
    }

    /// Returns the session's end once the session `by`, which prolonged it, has ended. `None` if
    /// `by` added nothing.
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
        assert_eq!(redeem(at(20), at(0), true, at(20)), Err(NotRedeemed::Expired));
    }

    #[test]
    fn the_life_of_a_code_of_this_run_is_elapsed_time_and_that_of_any_other_goes_by_the_clock() {
        let moment = Moment::from(at(1_000));
        let end = |stated, left: Option<u64>| {
            CodeEnd::of(at(stated), left.map(Span::from_secs), &moment).unwrap()
        };
        assert_eq!(end(20, Some(5)), CodeEnd::Elapsed(at(1_005)));
        let over = end(9_000, Some(0));
        assert_eq!(redeem(over.at(), at(0), false, moment.now), Err(NotRedeemed::Expired));
        assert_eq!(over.reached(moment.now), None, "which says nothing about the clock");
        assert_eq!(end(1_001, None).reached(moment.now), None);
        assert_eq!(end(1_000, None).reached(moment.now), Some(at(1_000)));
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
        // A third session prolongs it, too: the part before the additions stays as it was.
        let third = SessionId::from_bytes([8; 16]);
        let (_, again) = longer.refreshed(&how(Some(at(400)), Some(third)), at(120)).unwrap();
        assert_eq!(again, Some(Prolonged { by: third, before: at(200) }));
        // A refresh of its own makes the added time its own.
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
