//! Approvals in advance: for a time and a number of nodes, whoever asks from a network is approved
//! without being looked at.

use crate::grant::scope::ScopesBuf;
use crate::id::opaque_id;
use crate::registry::sessions::Maker;
use crate::registry::trusted_time::Moment;
use crate::time::{Span, UnixTime};

/// Maximum number of policies that are in force at once. Each is asked about every request.
pub const POLICIES: usize = 16;
/// Maximum life of a policy. Nobody looks at what it approves, so it covers a day's work at most.
pub const POLICY_LIFE: Span = Span::from_secs(24 * 3600);
/// Maximum number of nodes that one policy approves.
pub const POLICY_USES: u16 = 1_000;

opaque_id! {
    /// The id of an approval policy.
    PolicyId
}

/// An approval in advance. Which network it is for belongs to the adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ApprovalPolicy {
    /// The id.
    pub id: PolicyId,
    /// The time of its making.
    pub made_at: UnixTime,
    /// The time at which it ends.
    pub ends_at: UnixTime,
    /// The number of nodes that it approves in all.
    pub most: u16,
    /// The number of nodes that it has approved.
    pub used: u16,
    /// The scopes of the nodes; `None` for what their rule or the settings say.
    pub scopes: Option<ScopesBuf>,
    /// The life of the nodes' grants in seconds; `None` for what their rule or the settings say.
    pub grant_for: Option<u64>,
    /// The maker. The policy is in force no longer than the maker's right.
    pub maker: Maker,
    /// The time at which it was ended, or seen to be over; `None` if it was not.
    pub ended_at: Option<UnixTime>,
}

/// The reason for which a policy approves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotInForce {
    /// It was ended, or its time is over.
    Ended,
    /// It has approved as many nodes as it may.
    UsedUp,
    /// The clock is in doubt or behind, so it cannot be told whether its time is over.
    ClockInDoubt,
}

impl ApprovalPolicy {
    /// Checks that the policy approves one more node. While the clock is not good none does: nobody
    /// knows how long the gateway was off.
    ///
    /// # Errors
    /// [`NotInForce`].
    pub fn admits(&self, moment: &Moment, clock_is_good: bool) -> Result<(), NotInForce> {
        if self.ended_at.is_some() || moment.now >= self.ends_at || moment.now < self.made_at {
            return Err(NotInForce::Ended);
        }
        if self.used >= self.most {
            return Err(NotInForce::UsedUp);
        }
        match clock_is_good && !moment.doubts(self.made_at, self.ends_at) {
            true => Ok(()),
            false => Err(NotInForce::ClockInDoubt),
        }
    }

    /// Returns `true` if the policy approves nobody any more, whatever the clock says later.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        self.ended_at.is_some() || now >= self.ends_at || self.used >= self.most
    }

    /// Returns the number of nodes that it may still approve.
    #[must_use]
    pub const fn left(&self) -> u16 {
        self.most.saturating_sub(self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: UnixTime = UnixTime::from_secs(1_000);

    fn policy() -> ApprovalPolicy {
        ApprovalPolicy {
            id: PolicyId::from_bytes([1; 16]),
            made_at: MADE,
            ends_at: UnixTime::from_secs(1_600),
            most: 2,
            used: 0,
            scopes: None,
            grant_for: None,
            maker: Maker::Operator,
            ended_at: None,
        }
    }

    fn at(secs: u64) -> Moment {
        UnixTime::from_secs(secs).into()
    }

    #[test]
    fn a_policy_ends_by_time_by_number_and_by_hand() {
        assert_eq!(policy().admits(&at(1_000), true), Ok(()));
        assert_eq!(policy().admits(&at(1_599), true), Ok(()));
        assert_eq!(policy().admits(&at(1_600), true), Err(NotInForce::Ended));
        let used = ApprovalPolicy { used: 2, ..policy() };
        assert_eq!(used.admits(&at(1_000), true), Err(NotInForce::UsedUp));
        assert_eq!((used.left(), used.is_over(MADE)), (0, true));
        let ended = ApprovalPolicy { ended_at: Some(MADE), ..policy() };
        assert_eq!(ended.admits(&at(1_000), true), Err(NotInForce::Ended));
        assert!(ended.is_over(MADE) && !policy().is_over(MADE));
    }

    #[test]
    fn a_clock_that_is_wrong_or_set_back_never_makes_a_policy_longer() {
        assert_eq!(policy().admits(&at(1_100), false), Err(NotInForce::ClockInDoubt));
        // Time never runs backwards to before it was made.
        assert_eq!(policy().admits(&at(999), true), Err(NotInForce::Ended));
    }
}
