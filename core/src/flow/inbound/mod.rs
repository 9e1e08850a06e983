//! The gate for messages of unknown senders: they are admitted, challenged, or dropped. It is one
//! pure decision; the first matching line counts.
//!
//! | if | then |
//! |---|---|
//! | the channel's policy challenges nobody | admit |
//! | the channel reports no sender, or something that is not one | drop |
//! | the operator blocked the sender | drop |
//! | the sender is allowed, and not revoked or expired | admit |
//! | the sender's request is pending | challenge with the same code, told at most once a minute |
//! | there is room for one more pending request | challenge with a new code |
//! | otherwise | drop |
//!
//! An unreadable registry has no line: without [`Facts`] there is no [`Verdict`].
//!
//! # Example
//!
//! ```
//! use handfast_core::flow::inbound::{Challenge, ChannelPolicy, Seen, Verdict, decide};
//! use handfast_core::registry::inbound::{Allowed, ChallengeCode, Facts, InboundLimits};
//! use handfast_core::{Entropy, UnixTime};
//!
//! let policy = ChannelPolicy { auto_challenge: true };
//! let (limits, now) = (InboundLimits::DEFAULT, UnixTime::from_secs(1_800_000_000));
//! let code = ChallengeCode::new(&Entropy::from_recorded([1; 8]));
//! let verdict = |facts| decide(policy, Seen::Sender, &facts, &limits, code, now);
//!
//! // A stranger is told a code; with it the operator allows the sender, whose messages then pass.
//! let stranger = Facts::default();
//! assert_eq!(verdict(stranger), Verdict::Challenge(Challenge::New(code)));
//! let allowed = Some(Allowed { until: None, revoked_at: None });
//! assert_eq!(verdict(Facts { allowed, ..stranger }), Verdict::Admit);
//! // A block outweighs every permission.
//! assert_ne!(verdict(Facts { allowed, blocked: true, ..stranger }), Verdict::Admit);
//! ```

pub mod normalise;
pub mod remembered;

use crate::registry::inbound::{ChallengeCode, Facts, InboundLimits, Pending};
use crate::time::UnixTime;

/// The policy of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChannelPolicy {
    /// `true` if unknown senders are challenged. If not, everyone is admitted: the channel is
    /// public, or guards itself.
    pub auto_challenge: bool,
}

/// The origin of a message, as the channel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Seen {
    /// A sender; the [`Facts`] are about this one.
    Sender,
    /// Something that is not a sender: a group, a broadcast.
    NotASender,
    /// The channel reported no origin.
    Nobody,
}

/// The decision about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a message is let in only by a verdict that says so"]
pub enum Verdict {
    /// Admit the message.
    Admit,
    /// Keep the message out and challenge its sender.
    Challenge(Challenge),
    /// Keep the message out and say nothing.
    Drop(Dropped),
}

/// The way to challenge a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Challenge {
    /// The first challenge: the request is to be written, and the sender told.
    New(ChallengeCode),
    /// A pending sender is to be told its code again, and the time is to be written.
    Again(ChallengeCode),
    /// A pending sender was told recently: nothing is to be written or said.
    Quiet(ChallengeCode),
}

impl Challenge {
    /// Returns the code.
    #[must_use]
    pub const fn code(&self) -> ChallengeCode {
        match self {
            Self::New(code) | Self::Again(code) | Self::Quiet(code) => *code,
        }
    }
}

/// The reason for dropping a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Dropped {
    /// The origin is not a sender.
    NotASender,
    /// The channel reported no origin.
    Nobody,
    /// The operator blocked the sender.
    Blocked,
    /// Too many requests are pending, for this account or in all.
    Full,
    /// The expiry of the sender's permission depends on a jump of a clock in doubt.
    ClockInDoubt,
}

/// Decides about a message. `fresh` is the code for a sender that is challenged for the first time.
///
/// If the verdict is to be written, a store calls this inside the transaction that writes it.
pub fn decide(
    policy: ChannelPolicy,
    seen: Seen,
    facts: &Facts,
    limits: &InboundLimits,
    fresh: ChallengeCode,
    now: UnixTime,
) -> Verdict {
    if !policy.auto_challenge {
        return Verdict::Admit;
    }
    match seen {
        Seen::NotASender => return Verdict::Drop(Dropped::NotASender),
        Seen::Nobody => return Verdict::Drop(Dropped::Nobody),
        Seen::Sender => {}
    }
    // A block outweighs every permission.
    if facts.blocked {
        return Verdict::Drop(Dropped::Blocked);
    }
    if facts.allowed.is_some_and(|allowed| allowed.is_active(now)) {
        return Verdict::Admit;
    }
    match facts.pending {
        Some(pending) if pending.is_live(limits, now) => {
            Verdict::Challenge(again(&pending, limits, now))
        }
        // An expired request counts as none, so its sender gets a fresh code.
        Some(_) | None => {
            // The bound of an account keeps one account's strangers from using up the room of all.
            let room = facts.pending_of_account < limits.pending_of_account
                && facts.pending_total < limits.pending_total;
            if room {
                Verdict::Challenge(Challenge::New(fresh))
            } else {
                Verdict::Drop(Dropped::Full)
            }
        }
    }
}

fn again(pending: &Pending, limits: &InboundLimits, now: UnixTime) -> Challenge {
    match pending.may_be_told(limits, now) {
        true => Challenge::Again(pending.code),
        false => Challenge::Quiet(pending.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::inbound::Allowed;

    const ON: ChannelPolicy = ChannelPolicy { auto_challenge: true };
    const NOW: UnixTime = UnixTime::from_secs(100_000);

    fn code(text: &str) -> ChallengeCode {
        ChallengeCode::parse(text).unwrap()
    }

    fn of(facts: Facts) -> Verdict {
        decide(ON, Seen::Sender, &facts, &InboundLimits::DEFAULT, code("FRESH234"), NOW)
    }

    fn waiting(since: u64, told: u64) -> Option<Pending> {
        Some(Pending {
            code: code("KNWN2345"),
            created_at: UnixTime::from_secs(since),
            told_at: UnixTime::from_secs(told),
        })
    }

    const ALLOWED: Option<Allowed> = Some(Allowed { until: None, revoked_at: None });

    #[test]
    fn with_the_policy_off_everybody_is_let_in() {
        let off = ChannelPolicy { auto_challenge: false };
        for seen in [Seen::Sender, Seen::NotASender, Seen::Nobody] {
            let blocked = Facts { blocked: true, ..Facts::default() };
            assert_eq!(
                decide(off, seen, &blocked, &InboundLimits::DEFAULT, code("FRESH234"), NOW),
                Verdict::Admit
            );
        }
    }

    #[test]
    fn what_is_no_sender_is_dropped_whatever_is_known() {
        for (seen, why) in
            [(Seen::NotASender, Dropped::NotASender), (Seen::Nobody, Dropped::Nobody)]
        {
            let facts = Facts { allowed: ALLOWED, ..Facts::default() };
            assert_eq!(
                decide(ON, seen, &facts, &InboundLimits::DEFAULT, code("FRESH234"), NOW),
                Verdict::Drop(why)
            );
        }
    }

    #[test]
    fn a_block_outweighs_whatever_else_is_known() {
        let facts = Facts {
            blocked: true,
            allowed: ALLOWED,
            pending: waiting(99_990, 0),
            ..Facts::default()
        };
        assert_eq!(of(facts), Verdict::Drop(Dropped::Blocked));
    }

    #[test]
    fn who_was_let_in_stays_in_until_that_ends_or_is_taken_back() {
        assert_eq!(of(Facts { allowed: ALLOWED, ..Facts::default() }), Verdict::Admit);
        for ended in [
            Allowed { until: Some(NOW), revoked_at: None },
            Allowed { until: None, revoked_at: Some(UnixTime::from_secs(1)) },
            // The clock may jump either way.
            Allowed { until: None, revoked_at: Some(UnixTime::from_secs(200_000)) },
        ] {
            let facts = Facts { allowed: Some(ended), ..Facts::default() };
            assert_eq!(
                of(facts),
                Verdict::Challenge(Challenge::New(code("FRESH234"))),
                "{ended:?}"
            );
        }
    }

    #[test]
    fn who_waits_keeps_its_code_and_is_told_once_a_minute() {
        let full = |pending| Facts {
            pending,
            pending_of_account: 3,
            pending_total: 1024,
            ..Facts::default()
        };
        assert_eq!(
            of(full(waiting(96_401, 99_940))),
            Verdict::Challenge(Challenge::Again(code("KNWN2345")))
        );
        assert_eq!(
            of(full(waiting(96_401, 99_941))),
            Verdict::Challenge(Challenge::Quiet(code("KNWN2345")))
        );
        let expired = Facts { pending: waiting(96_400, 0), ..Facts::default() };
        assert_eq!(of(expired), Verdict::Challenge(Challenge::New(code("FRESH234"))));
    }

    #[test]
    fn only_so_many_wait_for_an_account_and_in_all() {
        for (of_account, total, room) in [(2, 1023, true), (3, 3, false), (0, 1024, false)] {
            let facts =
                Facts { pending_of_account: of_account, pending_total: total, ..Facts::default() };
            let expected = match room {
                true => Verdict::Challenge(Challenge::New(code("FRESH234"))),
                false => Verdict::Drop(Dropped::Full),
            };
            assert_eq!(of(facts), expected, "{of_account} {total}");
        }
    }
}
