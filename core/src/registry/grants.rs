//! Grants of nodes on the native wire: offered, confirmed, ended.
//!
//! ```text
//! (pairing, renewing) ──▶ Offered{until} ──stored, or first used──▶ Active ──┐
//!                             └──until──▶ not valid any more                 │
//!                         Ended ◀──a newer one is active, or it is revoked───┘
//! ```

use crate::grant::capability;
use crate::grant::scope::ScopesBuf;
use crate::id::NodeId;
use crate::registry::sessions::Maker;
use crate::registry::trusted_time::Moment;
use crate::time::UnixTime;
pub use crate::wire::native::pair::GrantId;

/// A grant as stored in the registry. Its capability token is not stored: the gateway signs the
/// same terms again with the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Grant {
    /// The id of the grant.
    pub id: GrantId,
    /// The node that holds the grant.
    pub node_id: NodeId,
    /// The id of its capability token; `None` for a node without scopes.
    pub capability: Option<capability::Id>,
    /// The scopes that it allows.
    pub scopes: ScopesBuf,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity, after which the node has to pair again. Every grant with scopes has one.
    pub expires: Option<UnixTime>,
    /// Seconds by which its times were moved with a step of the clock. Its capability token was
    /// made before the step and holds the original times.
    pub moved: i64,
    /// The progress of the grant.
    pub state: State,
    /// The maker of the grant. A grant that a session made ends with the session.
    pub maker: Maker,
}

/// The progress of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// The grant was made; the node has not confirmed that it has stored it.
    Offered {
        /// The end of the offer.
        until: UnixTime,
    },
    /// The node has stored the grant.
    Active,
    /// The grant was replaced or revoked.
    Ended,
}

impl Grant {
    /// Returns the end of validity, confirmed or not; an offer also ends with its `until`.
    #[must_use]
    pub fn ends(&self) -> Option<UnixTime> {
        match self.state {
            State::Offered { until } => {
                Some(self.expires.map_or(until, |expires| expires.min(until)))
            }
            State::Active | State::Ended => self.expires,
        }
    }

    /// Returns `true` if the grant is valid now, confirmed or not.
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
    /// Returns `true` if only a jump of a clock in doubt would end the grant.
    #[must_use]
    pub fn is_doubted(&self, moment: &Moment) -> bool {
        self.counts(moment.now)
            && self.ends().is_some_and(|ends| moment.doubts(self.not_before, ends))
    }

    /// Returns the start and end of validity in the grant's capability token.
    #[must_use]
    pub fn as_issued(&self) -> (UnixTime, Option<UnixTime>) {
        let back = self.moved.saturating_neg();
        (self.not_before.moved(back), self.expires.map(|expires| expires.moved(back)))
    }
}

/// Returns the grant on which a link rests: the confirmed one, or else the newest offer. `None`
/// means that the node is not paired. The grants are those of one node in the order of their
/// making.
#[must_use]
pub fn current(grants: &[Grant], now: UnixTime) -> Option<&Grant> {
    // The newest grant is the last one, so the reverse order finds it first.
    let mut counting = grants.iter().rev().filter(|grant| grant.counts(now));
    let newest = counting.clone().next();
    // A confirmed grant stays current until a newer one is confirmed; without one, an offer counts.
    counting.find(|grant| grant.state == State::Active).or(newest)
}

/// Returns `true` if only a jump of a clock in doubt would end the grant that a link rests on.
#[must_use]
pub fn is_in_doubt(grants: &[Grant], moment: &Moment) -> bool {
    current(grants, moment.now).is_some_and(|current| current.is_doubted(moment))
}

/// Returns the grant for a node that asks once more: the newest valid one, so that an offer whose
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
