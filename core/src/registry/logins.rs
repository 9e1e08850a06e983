//! Operators' access over HTTP: sessions of browsers, and tokens of programs.
//!
//! ```text
//! login link ──spent──▶ open ──use──▶ open ──revoke, or its time is over──▶ ended
//! token      ──shown──▶ unconfirmed ──confirmed, or used──▶ open
//! ```
//! Both are found by a public id and checked by the hash of their secret. [`Login::expires_at`] is
//! the end in force: it moves with each use of a session, and an unconfirmed token has it a minute
//! ahead. [`Login::ends_at`] is the latest end, which nothing moves.

use core::net::IpAddr;

use crate::grant::keyed_secret::KeyedHash;
use crate::limits::CLOCK_STEP;
use crate::registry::authority::Role;
use crate::registry::sessions::Ended;
pub use crate::registry::sessions::LoginId;
use crate::registry::trusted_time::Moment;
use crate::text::Name;
use crate::time::{Span, UnixTime};

/// The age up to which a session may carry out destructive acts.
pub const FRESH_FOR: Span = Span::from_secs(600);

/// The life of a login link.
pub const LINK_LIFE: Span = Span::from_secs(300);

/// Maximum number of sessions and tokens that are valid at once.
pub const LOGINS: usize = 256;

/// The interval within which a later use is not written again.
const NOTED_EVERY: Span = Span::from_secs(60);

/// The kind of a [`Login`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LoginKind {
    /// A browser's session, presented as a cookie.
    Session,
    /// A program's token, presented as a bearer.
    Token,
}

impl LoginKind {
    /// Returns the kind's word in stores and views.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Token => "token",
        }
    }

    /// Reads the word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Session, Self::Token].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An operator's session or token in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Login {
    /// The id, by which it is found.
    pub id: LoginId,
    /// Its kind.
    pub kind: LoginKind,
    /// The hash of its secret.
    pub hash: KeyedHash,
    /// The operator's name, or the program's.
    pub name: Name,
    /// The role of its holder.
    pub role: Role,
    /// The time of its making.
    pub made_at: UnixTime,
    /// The time of the last use that was written.
    pub used_at: Option<UnixTime>,
    /// The address of that use.
    pub used_from: Option<IpAddr>,
    /// The end in force.
    pub expires_at: UnixTime,
    /// The latest end.
    pub ends_at: UnixTime,
    /// The time at which it was revoked, or was seen expired with a good clock.
    pub revoked_at: Option<UnixTime>,
}

/// A use of a login that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LoginUse {
    /// The time of the use.
    pub at: UnixTime,
    /// The address that it came from.
    pub from: Option<IpAddr>,
    /// The end in force from then on.
    pub expires_at: UnixTime,
}

impl Login {
    /// Checks that the login is valid now.
    ///
    /// # Errors
    /// [`Ended`], the reason why it is not.
    pub fn admits(&self, now: UnixTime) -> Result<(), Ended> {
        match self.revoked_at {
            Some(_) => Err(Ended::Revoked),
            None if self.expires_at <= now || self.ends_at <= now => Err(Ended::Expired),
            // The clock was ahead when it was made, or is behind now.
            None if self.made_at > now.after(CLOCK_STEP) => Err(Ended::Expired),
            None => Ok(()),
        }
    }

    /// Checks that the login is valid at this moment, whose clock may be in doubt.
    ///
    /// # Errors
    /// [`Ended`], the reason why it is not.
    pub fn admits_at(&self, moment: &Moment) -> Result<(), Ended> {
        let set_at = self.used_at.unwrap_or(self.made_at);
        let doubted =
            moment.doubts(set_at, self.expires_at) || moment.doubts(self.made_at, self.ends_at);
        match self.admits(moment.now) {
            Ok(()) if doubted => Err(Ended::ClockInDoubt),
            other => other,
        }
    }

    /// Returns `true` if the login is a session that was opened a short time ago, so that whoever
    /// presents it has just come from the terminal.
    #[must_use]
    pub fn is_fresh(&self, now: UnixTime) -> bool {
        match self.kind {
            // One from ahead of the clock may be of any age.
            LoginKind::Session => self.made_at <= now && now < self.made_at.after(FRESH_FOR),
            LoginKind::Token => false,
        }
    }

    /// Returns the use to be written; `None` while the last one was written a short time ago.
    #[must_use]
    pub fn used(&self, now: UnixTime, from: Option<IpAddr>, idle: Span) -> Option<LoginUse> {
        let noted = self.used_at.is_some_and(|at| at <= now && now < at.after(NOTED_EVERY));
        (!noted || self.used_from != from).then(|| LoginUse {
            at: now,
            from,
            expires_at: match self.kind {
                LoginKind::Session => self.ends_at.min(now.after(idle)),
                LoginKind::Token => self.ends_at,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Label;

    const IDLE: Span = Span::from_secs(100);

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn login(kind: LoginKind) -> Login {
        Login {
            id: LoginId::from_bytes([1; 16]),
            kind,
            hash: KeyedHash::from_bytes([2; 32]),
            name: Name::from(Label::parse("Ana").unwrap()),
            role: Role::Operator,
            made_at: at(10_000),
            used_at: None,
            used_from: None,
            expires_at: at(10_100),
            ends_at: at(20_000),
            revoked_at: None,
        }
    }

    #[test]
    fn a_login_is_valid_until_its_end_or_until_it_is_revoked() {
        let session = login(LoginKind::Session);
        assert_eq!(session.admits(at(10_099)), Ok(()));
        assert_eq!(session.admits(at(10_100)), Err(Ended::Expired));
        let revoked = Login { revoked_at: Some(at(10_050)), ..session.clone() };
        assert_eq!(revoked.admits(at(10_001)), Err(Ended::Revoked), "whatever the clock says");
        assert_eq!(session.admits(at(1)), Err(Ended::Expired), "made by a clock that was ahead");
        let late = Login { expires_at: at(30_000), ..session };
        assert_eq!(late.admits(at(20_000)), Err(Ended::Expired), "no use moves the latest end");
    }

    #[test]
    fn a_use_moves_the_end_of_a_session_up_to_its_latest_and_is_written_once_a_minute() {
        let session = login(LoginKind::Session);
        let used = session.used(at(10_050), None, IDLE).unwrap();
        assert_eq!(used.expires_at, at(10_150));
        let later = Login { used_at: Some(at(10_050)), expires_at: at(10_150), ..session };
        assert_eq!(later.used(at(10_109), None, IDLE), None);
        assert!(later.used(at(10_110), None, IDLE).is_some());
        assert!(later.used(at(10_051), Some([192, 0, 2, 1].into()), IDLE).is_some());
        assert!(later.used(at(9_000), None, IDLE).is_some(), "the clock was set back");
        assert_eq!(later.used(at(19_990), None, IDLE).unwrap().expires_at, at(20_000));
        let token = login(LoginKind::Token).used(at(10_050), None, IDLE).unwrap();
        assert_eq!(token.expires_at, at(20_000), "the first use confirms a token");
    }

    #[test]
    fn only_a_session_of_the_last_ten_minutes_is_fresh() {
        let session = login(LoginKind::Session);
        assert!(session.is_fresh(at(10_000)) && session.is_fresh(at(10_599)));
        assert!(!session.is_fresh(at(10_600)) && !session.is_fresh(at(9_999)));
        assert!(!login(LoginKind::Token).is_fresh(at(10_001)));
    }
}
