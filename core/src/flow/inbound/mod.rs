//! The gate for what strangers write: let in, challenged, or dropped. One pure decision, the first
//! line that fits counts.
//!
//! | if | then |
//! |---|---|
//! | nobody is to be challenged | let in |
//! | the channel says that this is no sender, or there is none | drop |
//! | the operator blocked the sender | drop |
//! | it was let in, and that still counts | let in |
//! | it waits, and its time is not over | challenge with the same code, telling it at most once a minute |
//! | there is room for one more that waits | challenge with a new code |
//! | otherwise | drop |
//!
//! There is no line for "the registry cannot be read": without [`Facts`] there is no [`Verdict`].

pub mod normalise;
pub mod remembered;

use crate::registry::inbound::{ChallengeCode, Facts, Limits, Pending};
use crate::time::UnixTime;

/// Whether strangers are challenged on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// If not, everybody is let in: the channel is public, or guards itself.
    pub auto_challenge: bool,
}

/// Who wrote, as far as its channel knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Seen {
    /// A sender, of whom the [`Facts`] are.
    Sender,
    /// Something that is no sender: a group, a broadcast.
    NotASender,
    /// Nothing was given.
    Nobody,
}

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message is let in only by a verdict that says so"]
pub enum Verdict {
    /// Let it in.
    Admit,
    /// Keep it out and challenge its sender.
    Challenge(Challenge),
    /// Keep it out, and say nothing.
    Drop(Dropped),
}

/// How a sender is challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// For the first time: the entry is to be written, and the sender told.
    New(ChallengeCode),
    /// It waits already, and is to be told its code once more: that it was is to be written.
    Again(ChallengeCode),
    /// It waits already, and was told just now: there is nothing to write and nothing to say.
    Quiet(ChallengeCode),
}

impl Challenge {
    /// The code.
    #[must_use]
    pub const fn code(&self) -> ChallengeCode {
        match self {
            Self::New(code) | Self::Again(code) | Self::Quiet(code) => *code,
        }
    }
}

/// Why a message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Dropped {
    /// It is not from a sender.
    NotASender,
    /// It is from nobody.
    Nobody,
    /// The operator blocked its sender.
    Blocked,
    /// Too many wait already, for this account or in all.
    Full,
    /// What its sender was allowed would be over only by a jump of a clock that is in doubt.
    ClockInDoubt,
}

/// Decides. `fresh` is the code of a sender that is challenged for the first time.
///
/// Where the verdict is to be written, a store calls this inside the transaction that writes it.
pub fn decide(
    policy: Policy,
    seen: Seen,
    facts: &Facts,
    limits: &Limits,
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
        Some(_) | None => {
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

fn again(pending: &Pending, limits: &Limits, now: UnixTime) -> Challenge {
    match pending.may_be_told(limits, now) {
        true => Challenge::Again(pending.code),
        false => Challenge::Quiet(pending.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::inbound::Allowed;

    const ON: Policy = Policy { auto_challenge: true };
    const NOW: UnixTime = UnixTime::from_secs(100_000);

    fn code(text: &str) -> ChallengeCode {
        ChallengeCode::parse(text).unwrap()
    }

    fn of(facts: Facts) -> Verdict {
        decide(ON, Seen::Sender, &facts, &Limits::DEFAULT, code("FRESH234"), NOW)
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
        let off = Policy { auto_challenge: false };
        for seen in [Seen::Sender, Seen::NotASender, Seen::Nobody] {
            let blocked = Facts { blocked: true, ..Facts::default() };
            assert_eq!(
                decide(off, seen, &blocked, &Limits::DEFAULT, code("FRESH234"), NOW),
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
                decide(ON, seen, &facts, &Limits::DEFAULT, code("FRESH234"), NOW),
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
            // However the clock jumps.
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
