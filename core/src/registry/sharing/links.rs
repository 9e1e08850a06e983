//! The newest link of a node, where several gateways may have one: the order of the log decides.
//!
//! A gateway claims each link that opens, and reads its own claims in the log as well as those of
//! the others. All gateways read the same order, so of two links exactly one is the older one for
//! both sides, whatever their clocks say and whenever they read:
//!
//! - a claim of another gateway that comes **after** the claim of our link is newer, and our link
//!   ends;
//! - one that comes **before** it is older, and the other gateway ends its link.
//!
//! A link whose claim could not be written counts as the older one. So two links of a node never
//! stay; after a claim whose writing failed it may be that none does, and the node links again.

/// How far the claim of one link has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ClaimState {
    /// The claim is to be written, or was written and has not come by in the log.
    Claiming,
    /// The claim was read in the log.
    Logged,
    /// The claim could not be written, and is not being written again.
    Unclaimed,
}

/// A claim in the log, about the node of one of this gateway's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LoggedClaim {
    /// A claim of this gateway, with its number.
    Own(u64),
    /// A claim of another gateway.
    Other,
}

/// What becomes of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an older link has to end"]
pub enum LinkVerdict {
    /// The link is the newest one, as far as the log was read.
    Stays,
    /// Another gateway has a newer link.
    Ends,
}

/// The claim of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkClaim {
    number: u64,
    state: ClaimState,
}

impl LinkClaim {
    /// Begins to claim a link. Later links of this gateway have greater numbers.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self { number, state: ClaimState::Claiming }
    }

    /// Returns the number of the claim.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns how far the claim has come.
    #[must_use]
    pub const fn state(&self) -> ClaimState {
        self.state
    }

    /// Records that the claim could not be written.
    pub const fn not_written(&mut self) {
        match self.state {
            ClaimState::Claiming => self.state = ClaimState::Unclaimed,
            // One that is in the log was written all the same.
            ClaimState::Logged | ClaimState::Unclaimed => {}
        }
    }

    /// Claims the link again under a greater number.
    pub const fn again(&mut self, number: u64) {
        *self = Self::new(number);
    }

    /// Takes in a claim of the log.
    pub const fn read(&mut self, claim: LoggedClaim) -> LinkVerdict {
        let (state, verdict) = read(self.state, self.number, claim);
        self.state = state;
        verdict
    }
}

const fn read(state: ClaimState, number: u64, claim: LoggedClaim) -> (ClaimState, LinkVerdict) {
    match (state, claim) {
        (_, LoggedClaim::Own(own)) if own == number => (ClaimState::Logged, LinkVerdict::Stays),
        // The claim of an earlier link of this gateway, which the present one has replaced.
        (state, LoggedClaim::Own(_)) => (state, LinkVerdict::Stays),
        // The other side will read our claim behind its own.
        (ClaimState::Claiming, LoggedClaim::Other) => (state, LinkVerdict::Stays),
        (ClaimState::Logged | ClaimState::Unclaimed, LoggedClaim::Other) => {
            (state, LinkVerdict::Ends)
        }
    }
}

/// Who holds a node's link by the registry, as read apart from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkHolder {
    /// This gateway.
    Own,
    /// Another gateway, whose lease runs.
    Other,
    /// No gateway.
    Nobody,
}

/// What is to be done about a link once everything is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a link without a claim is ended by any other"]
pub enum Reclaim {
    /// The claim stands.
    Stands,
    /// Claim the link [again](LinkClaim::again).
    Again,
    /// Another gateway has a newer link.
    Ends,
}

impl LinkClaim {
    /// Decides about a link after a gap in the log, in which claims may have come by unread.
    pub const fn after_gap(&mut self, holder: LinkHolder) -> Reclaim {
        match (self.state, holder) {
            // A claim that was not written counts as the older one here, too.
            (
                ClaimState::Claiming | ClaimState::Logged | ClaimState::Unclaimed,
                LinkHolder::Other,
            ) => Reclaim::Ends,
            (ClaimState::Claiming | ClaimState::Logged, LinkHolder::Own) => {
                self.state = ClaimState::Logged;
                Reclaim::Stands
            }
            (ClaimState::Unclaimed, LinkHolder::Own)
            | (
                ClaimState::Claiming | ClaimState::Logged | ClaimState::Unclaimed,
                LinkHolder::Nobody,
            ) => Reclaim::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims in the order of the log, as gateway `a` or `b` reads them.
    fn as_read(log: &[(char, u64)], by: char) -> impl Iterator<Item = LoggedClaim> + '_ {
        log.iter().map(
            move |(gateway, number)| {
                if *gateway == by { LoggedClaim::Own(*number) } else { LoggedClaim::Other }
            },
        )
    }

    fn stays(mut link: LinkClaim, log: impl Iterator<Item = LoggedClaim>) -> bool {
        log.map(|claim| link.read(claim)).all(|verdict| verdict == LinkVerdict::Stays)
    }

    #[test]
    fn the_table_of_a_link_and_a_claim() {
        use ClaimState::{Claiming, Logged, Unclaimed};
        use LinkVerdict::{Ends, Stays};
        for (state, claim, expected) in [
            (Claiming, LoggedClaim::Own(7), (Logged, Stays)),
            (Claiming, LoggedClaim::Own(6), (Claiming, Stays)),
            (Claiming, LoggedClaim::Other, (Claiming, Stays)),
            (Logged, LoggedClaim::Own(7), (Logged, Stays)),
            (Logged, LoggedClaim::Own(6), (Logged, Stays)),
            (Logged, LoggedClaim::Other, (Logged, Ends)),
            (Unclaimed, LoggedClaim::Own(7), (Logged, Stays)),
            (Unclaimed, LoggedClaim::Own(6), (Unclaimed, Stays)),
            (Unclaimed, LoggedClaim::Other, (Unclaimed, Ends)),
        ] {
            assert_eq!(read(state, 7, claim), expected, "{state:?} {claim:?}");
        }
    }

    #[test]
    fn of_two_links_the_one_that_is_claimed_later_stays_on_both_sides() {
        for (log, a, b) in
            [([('a', 1), ('b', 1)], false, true), ([('b', 1), ('a', 1)], true, false)]
        {
            assert_eq!(stays(LinkClaim::new(1), as_read(&log, 'a')), a, "{log:?}");
            assert_eq!(stays(LinkClaim::new(1), as_read(&log, 'b')), b, "{log:?}");
        }
    }

    #[test]
    fn a_node_that_goes_to_and_fro_keeps_its_last_link_alone() {
        let log = [('a', 1), ('b', 1), ('a', 2), ('b', 2), ('a', 3)];
        for (number, stands) in [(1, false), (2, false), (3, true)] {
            assert_eq!(stays(LinkClaim::new(number), as_read(&log, 'a')), stands, "a{number}");
        }
        for number in [1, 2] {
            assert!(!stays(LinkClaim::new(number), as_read(&log, 'b')), "b{number}");
        }
    }

    #[test]
    fn a_link_whose_claim_was_not_written_gives_way_to_any_other() {
        let mut link = LinkClaim::new(1);
        link.not_written();
        assert!(!stays(link, as_read(&[('b', 1)], 'a')));
        // Tried again before the other one came by, it is the newer one.
        link.again(2);
        assert_eq!(link, LinkClaim::new(2));
        assert!(stays(link, as_read(&[('b', 1), ('a', 2)], 'a')));
        // A failure that was none: the claim is in the log.
        let mut link = LinkClaim::new(1);
        link.not_written();
        assert!(!stays(link, as_read(&[('a', 1), ('b', 1)], 'a')));
        assert!(stays(link, as_read(&[('a', 1)], 'a')));
    }

    #[test]
    fn never_do_both_links_stay_whatever_was_written_and_told() {
        // Each side's claim is written or not, and its gateway is told so or not.
        for (a_told, b_told) in [(true, true), (true, false), (false, true), (false, false)] {
            for log in [[('a', 1), ('b', 1)], [('b', 1), ('a', 1)]] {
                let [mut a, mut b] = [LinkClaim::new(1); 2];
                if !a_told {
                    a.not_written();
                }
                if !b_told {
                    b.not_written();
                }
                let both = stays(a, as_read(&log, 'a')) && stays(b, as_read(&log, 'b'));
                assert!(!both, "{log:?} {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn after_a_gap_the_registry_says_whose_link_it_is() {
        use LinkHolder::{Nobody, Other, Own};
        let claiming = LinkClaim::new(1);
        let (mut logged, mut unclaimed) = (claiming, claiming);
        let _ = logged.read(LoggedClaim::Own(1));
        unclaimed.not_written();
        for (link, holder, expected) in [
            (logged, Own, Reclaim::Stands),
            (logged, Other, Reclaim::Ends),
            (logged, Nobody, Reclaim::Again),
            (unclaimed, Own, Reclaim::Again),
            (unclaimed, Other, Reclaim::Ends),
            (unclaimed, Nobody, Reclaim::Again),
            (claiming, Own, Reclaim::Stands),
            (claiming, Other, Reclaim::Ends),
            (claiming, Nobody, Reclaim::Again),
        ] {
            let mut after = link;
            assert_eq!(after.after_gap(holder), expected, "{link:?} {holder:?}");
            if expected == Reclaim::Stands {
                assert_eq!(after.read(LoggedClaim::Other), LinkVerdict::Ends, "{link:?}");
            }
        }
    }
}
