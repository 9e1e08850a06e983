//! What a node of the native wire was given: offered, confirmed, ended.
//!
//! ```text
//! (pairing, renewing) ──▶ Offered{until} ──stored, or first used──▶ Active ──a newer one is active, or it is revoked──▶ Ended
//!                             └──until──▶ counts no more
//! ```

use crate::grant::capability;
use crate::grant::scope::ScopesBuf;
use crate::id::NodeId;
use crate::registry::sessions::Maker;
use crate::registry::trusted_time::Moment;
use crate::time::UnixTime;
pub use crate::wire::native::pair::GrantId;

/// A grant as the registry keeps it. Its capability is not kept: the gateway's signature over the
/// same terms is the same again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which.
    pub id: GrantId,
    /// Whose.
    pub node_id: NodeId,
    /// The capability that is part of it; none for a node that was given no scopes.
    pub capability: Option<capability::Id>,
    /// What it allows.
    pub scopes: ScopesBuf,
    /// From when on.
    pub not_before: UnixTime,
    /// From then on it allows nothing, and the node pairs again. Every grant with scopes has an
    /// end.
    pub expires: Option<UnixTime>,
    /// By how many seconds its times were moved with a step of the clock. Its capability was made
    /// before that, and says the older ones.
    pub moved: i64,
    /// How far it is.
    pub state: State,
    /// Who made it. It ends with a session that did.
    pub maker: Maker,
}

/// How far a grant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made; the node has not confirmed that it has stored it.
    Offered {
        /// Until when it may.
        until: UnixTime,
    },
    /// The node has it.
    Active,
    /// Replaced or revoked.
    Ended,
}

impl Grant {
    /// From when on it counts no more, confirmed or not.
    #[must_use]
    pub fn ends(&self) -> Option<UnixTime> {
        match self.state {
            State::Offered { until } => {
                Some(self.expires.map_or(until, |expires| expires.min(until)))
            }
            State::Active | State::Ended => self.expires,
        }
    }

    /// Whether it counts now, confirmed or not.
    #[must_use]
    pub fn counts(&self, now: UnixTime) -> bool {
        let lives = self.expires.is_none_or(|expires| now < expires);
        lives
            && match self.state {
                State::Offered { until } => now < until,
                State::Active => true,
                State::Ended => false,
            }
    }
}

impl Grant {
    /// Whether it would be over only by a jump of a clock that is in doubt.
    #[must_use]
    pub fn is_doubted(&self, moment: &Moment) -> bool {
        self.counts(moment.now)
            && self.ends().is_some_and(|ends| moment.doubts(self.not_before, ends))
    }

    /// From when to when its capability says that it is in force.
    #[must_use]
    pub fn as_issued(&self) -> (UnixTime, Option<UnixTime>) {
        let back = self.moved.saturating_neg();
        (self.not_before.moved(back), self.expires.map(|expires| expires.moved(back)))
    }
}

/// The grant on which a link rests: the confirmed one, or else the newest offer. None: the node is
/// not paired (any more). The grants are those of one node in the order in which they were made.
#[must_use]
pub fn current(grants: &[Grant], now: UnixTime) -> Option<&Grant> {
    let mut counting = grants.iter().rev().filter(|grant| grant.counts(now));
    let newest = counting.clone().next();
    counting.find(|grant| grant.state == State::Active).or(newest)
}

/// The grant that the node gets who asks once more: the newest that counts, so that an offer whose
/// answer was lost is found again.
#[must_use]
pub fn offer_again(grants: &[Grant], now: UnixTime) -> Option<&Grant> {
    grants.iter().rev().find(|grant| grant.counts(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1000);
    const LATER: UnixTime = UnixTime::from_secs(2000);

    fn grant(id: u8, state: State) -> Grant {
        Grant {
            id: GrantId::from_bytes([id; 16]),
            node_id: NodeId::from_bytes([1; 16]),
            capability: None,
            scopes: ScopesBuf::default(),
            not_before: NOW,
            expires: Some(LATER),
            moved: 0,
            state,
            maker: Maker::Operator,
        }
    }

    #[test]
    fn a_link_rests_on_the_confirmed_grant_until_the_newer_one_is_confirmed() {
        let offered = State::Offered { until: LATER };
        let grants = [grant(1, State::Ended), grant(2, State::Active), grant(3, offered)];
        assert_eq!(current(&grants, NOW).unwrap().id, GrantId::from_bytes([2; 16]));
        assert_eq!(offer_again(&grants, NOW).unwrap().id, GrantId::from_bytes([3; 16]));
        assert_eq!(
            current(&[grant(1, offered), grant(2, offered)], NOW).unwrap().id,
            GrantId::from_bytes([2; 16])
        );
    }

    #[test]
    fn what_ran_out_or_ended_counts_no_more() {
        let late_offer = State::Offered { until: NOW };
        assert_eq!(current(&[grant(1, late_offer), grant(2, State::Ended)], NOW), None);
        assert_eq!(current(&[grant(1, State::Active)], LATER), None);
        let endless = Grant { expires: None, ..grant(1, State::Active) };
        assert!(endless.counts(UnixTime::from_secs(u64::MAX)));
    }
}
