//! Two operators, at a gateway each, and one request.

use handfast_core::registry::lifecycle::{Change, Decision, decide};
use handfast_core::registry::record::{Credential, Standing};
use handfast_core::{Refusal, UnixTime};
use handfast_host_tests::models::two_gateways::approval::{
    Approvals, Left, NODE_HEARS, NOT_LEFT, ONE_OUTCOME, OPERATORS_HEAR, RULES, Rules, is_told,
    may_decide,
};

use super::{always_possible, every_state, is_found};

const SMALL: Left = Left { asks: 3, words: 3, crashes: 1 };

fn check(name: &str, left: Left) -> usize {
    let world = Approvals { rules: RULES, left };
    let states = always_possible(&world, may_decide, is_told);
    assert_eq!(every_state(world), states);
    println!("approval at two gateways, {name}: {states} states");
    states
}

#[test]
fn an_approval_and_a_rejection_at_two_gateways_have_one_outcome_that_all_hear() {
    assert!(check("small", SMALL) > 1_000);
}

/// Larger worlds, which only `host-tests/all.sh --long` plays.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: a minute"]
    fn a_request_that_is_repeated_and_decided_many_times_has_one_outcome_each_time() {
        assert!(check("many", Left { asks: 6, words: 6, crashes: 3 }) > 10_000);
    }
}

#[test]
fn a_decision_that_is_stored_over_another_one_is_found() {
    let rules = Rules { stores_over: |_, _| true, ..RULES };
    is_found(Approvals { rules, left: SMALL }, ONE_OUTCOME);
    is_found(Approvals { rules, left: SMALL }, OPERATORS_HEAR);
    is_found(Approvals { rules, left: SMALL }, NODE_HEARS);
}

#[test]
fn an_approval_of_what_is_decided_already_is_found() {
    fn hasty(standing: &Standing, decision: Decision, now: UnixTime) -> Result<Change, Refusal> {
        let pending = Standing::Pending { expires: now.after(handfast_core::Span::from_secs(9)) };
        match decision {
            Decision::Approve(Credential::Keys) => decide(&pending, decision, now),
            decision => decide(standing, decision, now),
        }
    }
    let rules = Rules { decide: hasty, ..RULES };
    is_found(Approvals { rules, left: SMALL }, ONE_OUTCOME);
}

#[test]
fn a_gateway_that_lets_a_node_wait_for_what_another_one_has_decided_is_found() {
    let rules = Rules { looks_again: false, ..RULES };
    is_found(Approvals { rules, left: SMALL }, NOT_LEFT);
}
