//! Every state of the world of a node's identity.

use handfast_core::flow::identity::certificate::{
    Certificate, CertificateState, NodeStanding, NotAllowed, NotRenewable, allow,
};
use handfast_core::grant::certificate::KeyHash;
use handfast_core::{NodeId, UnixTime};
use handfast_host_tests::models::identity::{
    FINAL, Left, Lives, ONE_WAY, RULES, Rules, SEEN, goes_on, may_go_on,
};

use super::{always_possible, every_state, is_found, without_a_way};

fn check(name: &str, left: Left) -> usize {
    let model = Lives { rules: RULES, left };
    let states = always_possible(&model, may_go_on, goes_on);
    assert_eq!(every_state(model), states);
    println!("identity, {name}: {states} states");
    states
}

const SMALL: Left = Left {
    changes: 1,
    looks: 2,
    rejections: 0,
    ends: 1,
    evictions: 0,
    mutes: 0,
    hours: 0,
    certificates: 2,
};

#[test]
fn only_what_was_seen_is_approved_and_nothing_happens_after_the_end() {
    assert!(check("approval and revocation", SMALL) > 1_000);
}

#[test]
fn a_node_comes_back_by_itself_after_an_expiry_and_an_eviction() {
    let left = Left { changes: 1, ends: 0, looks: 1, evictions: 1, hours: 1, ..SMALL };
    assert!(check("expiry and eviction", left) > 1_000);
}

#[test]
fn a_node_whose_request_was_rejected_asks_again() {
    let left = Left { ends: 0, rejections: 1, hours: 1, certificates: 2, ..SMALL };
    assert!(check("rejection", left) > 1_000);
}

/// Larger worlds, which only `host-tests/all.sh --long` plays.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: half a minute"]
    fn all_decisions_together_keep_what_each_keeps() {
        let left = Left {
            changes: 1,
            looks: 2,
            rejections: 1,
            ends: 1,
            evictions: 1,
            mutes: 1,
            hours: 1,
            certificates: 2,
        };
        assert!(check("all", left) > 100_000);
    }
}

#[test]
fn an_approval_that_does_not_look_at_what_was_seen_is_found() {
    let rules = Rules { is_what_was_seen: |_, _| true, ..RULES };
    is_found(Lives { rules, left: SMALL }, SEEN);
}

#[test]
fn an_allow_list_that_does_not_ask_for_the_node_is_found() {
    fn allow_of_entry(
        entry: Option<&Certificate>,
        key: &KeyHash,
        node: Option<NodeStanding>,
        now: UnixTime,
    ) -> Result<NodeId, NotAllowed> {
        let node = node.map(|node| NodeStanding { may_link: true, ..node });
        let entry = entry.map(|entry| Certificate { state: CertificateState::Issued, ..*entry });
        allow(entry.as_ref(), key, node, now)
    }
    let rules = Rules { allow: allow_of_entry, ..RULES };
    is_found(Lives { rules, left: SMALL }, FINAL);
}

#[test]
fn a_renewal_that_does_not_ask_for_the_node_is_found() {
    let rules = Rules { may_renew: |_, _| Ok(()), ..RULES };
    is_found(Lives { rules, left: SMALL }, FINAL);
}

#[test]
fn a_use_that_supersedes_nothing_is_found() {
    let rules = Rules { after_use_of: |one, _| one.state, ..RULES };
    is_found(Lives { rules, left: SMALL }, ONE_WAY);
}

#[test]
fn a_certificate_that_ends_without_a_renewal_has_no_way_out() {
    let rules = Rules { may_renew: |_, _| Err(NotRenewable::TooLate), ..RULES };
    let left = Left { ends: 0, evictions: 1, ..SMALL };
    assert!(without_a_way(&Lives { rules, left }, may_go_on, goes_on).is_err());
}
