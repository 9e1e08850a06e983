//! Every state of the world of two gateways over one registry.

use handfast_core::registry::sharing::links::{LinkClaim, LinkVerdict, LoggedClaim, Reclaim};
use handfast_core::registry::sharing::{Contact, Reach};
use handfast_host_tests::models::sharing::{
    ADMITS_NOBODY_LATE, LINKS_END, Left, ONE_LINK, RULES, Rules, Shared, THE_LAST_STAYS, is_linked,
    may_link,
};

use super::{always_possible, every_state, is_found};

const TWO_LINKS: Left = Left { links: 3, seconds: 1, cuts: 0, failures: 2, revocations: 0 };
const CUT_OFF: Left = Left { links: 2, seconds: 6, cuts: 1, failures: 0, revocations: 1 };

fn check(name: &str, left: Left) -> usize {
    let world = Shared { rules: RULES, left };
    let states = always_possible(&world, may_link, is_linked);
    assert_eq!(every_state(world), states);
    println!("two gateways, {name}: {states} states");
    states
}

#[test]
fn a_node_has_one_link_whichever_gateway_reads_or_writes_first() {
    assert!(check("links", TWO_LINKS) > 1_000);
}

#[test]
fn a_gateway_that_is_cut_off_admits_nobody_on_stale_facts_and_its_links_end() {
    assert!(check("cut off", CUT_OFF) > 1_000);
}

/// Larger worlds, which only `host-tests/all.sh --long` plays.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: minutes"]
    fn links_cuts_failures_and_a_revocation_together_do_what_each_does_alone() {
        let all = Left { links: 2, seconds: 6, cuts: 1, failures: 1, revocations: 1 };
        assert!(check("all", all) > 100_000);
    }
}

#[test]
fn a_gateway_that_is_never_cut_off_is_found() {
    let rules = Rules { contact: |_, _| Contact::InTouch, ..RULES };
    is_found(Shared { rules, left: CUT_OFF }, ADMITS_NOBODY_LATE);
    is_found(Shared { rules, left: CUT_OFF }, LINKS_END);
}

#[test]
fn a_gateway_whose_links_stay_while_it_is_cut_off_is_found() {
    let stays = |reach: &Reach, now| match reach.contact(now) {
        Contact::Over => Contact::CutOff,
        other => other,
    };
    is_found(Shared { rules: Rules { contact: stays, ..RULES }, left: CUT_OFF }, LINKS_END);
}

#[test]
fn a_link_that_never_gives_way_is_found() {
    let stubborn = |link: &mut LinkClaim, claim: LoggedClaim| {
        let _ = link.read(claim);
        LinkVerdict::Stays
    };
    is_found(Shared { rules: Rules { read: stubborn, ..RULES }, left: TWO_LINKS }, ONE_LINK);
}

#[test]
fn a_link_that_gives_way_to_older_claims_is_found() {
    // It takes any claim of the other gateway for a newer one, and its own for the last word.
    let hasty = |link: &mut LinkClaim, claim: LoggedClaim| match claim {
        LoggedClaim::Other if link.read(claim) == LinkVerdict::Ends => LinkVerdict::Stays,
        LoggedClaim::Other => LinkVerdict::Ends,
        LoggedClaim::Own(_) => link.read(claim),
    };
    let rules = Rules { read: hasty, ..RULES };
    is_found(Shared { rules, left: TWO_LINKS }, THE_LAST_STAYS);
}

#[test]
fn a_gateway_that_keeps_its_link_after_a_gap_is_found() {
    let rules = Rules { after_gap: |_, _| Reclaim::Stands, ..RULES };
    let left = Left { links: 2, seconds: 5, cuts: 1, failures: 0, revocations: 0 };
    is_found(Shared { rules, left }, ONE_LINK);
}
