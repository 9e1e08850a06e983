//! Every state of the world of copies.

use handfast_core::UnixTime;
use handfast_core::flow::identity::clone_counter::{
    CloneCondition, CloneCounter, LinkVerdict, Shown,
};
use handfast_host_tests::models::clone_counter::{
    ALWAYS_ALARMS, Copies, GOES_ON, Left, NOBODY_ALARMED, NOT_OLDER, RULES, Rules, goes_on,
    may_be_released, may_go_on,
};

use super::{always_possible, every_state, is_found, without_a_way};

const CUT_LINKS: Left =
    Left { links: 5, hours: 2, seconds: 2, copies: 0, restores: 0, releases: 0 };
const A_COPY: Left = Left { links: 4, hours: 2, seconds: 1, copies: 1, restores: 0, releases: 1 };
const A_RESTORED_GATEWAY: Left =
    Left { links: 5, hours: 2, seconds: 1, copies: 0, restores: 1, releases: 0 };

fn check(name: &str, left: Left) -> usize {
    let model = Copies { rules: RULES, left };
    let states = always_possible(&model, may_go_on, goes_on);
    assert_eq!(every_state(model), states);
    println!("clone counter, {name}: {states} states");
    states
}

#[test]
fn links_that_are_cut_anywhere_alarm_nobody() {
    assert!(check("cut links", CUT_LINKS) > 1_000);
}

#[test]
fn a_copy_that_shows_an_older_value_always_alarms_and_a_release_lets_one_machine_go_on() {
    assert!(check("a copy", A_COPY) > 1_000);
}

#[test]
fn a_gateway_that_was_restored_from_a_backup_alarms_nobody() {
    assert!(check("restored gateway", A_RESTORED_GATEWAY) > 1_000);
}

/// Larger worlds, which only `host-tests/all.sh --long` plays.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: a minute"]
    fn copies_and_restored_gateways_together_do_what_each_does_alone() {
        let all = Left { links: 4, hours: 2, seconds: 1, copies: 1, restores: 1, releases: 1 };
        assert!(check("all", all) > 1_000_000);
        let copies = Left { links: 4, hours: 2, seconds: 0, copies: 2, restores: 0, releases: 1 };
        assert!(check("two copies", copies) > 100_000);
    }
}

fn with(linked: fn(CloneCounter, Shown, UnixTime) -> (CloneCounter, LinkVerdict)) -> Rules {
    Rules { linked, ..RULES }
}

/// Turns any link into an alarm.
fn alarm(counter: CloneCounter, verdict: LinkVerdict) -> (CloneCounter, LinkVerdict) {
    let counter = CloneCounter { condition: CloneCondition::Quarantined, ..counter };
    (counter, LinkVerdict { offer: None, alarm: true, quarantined: true, ..verdict })
}

#[test]
fn a_counter_that_forgets_what_it_has_offered_is_found() {
    let forgets =
        with(|counter, shown, now| CloneCounter { offered: None, ..counter }.linked(shown, now));
    is_found(Copies { rules: forgets, left: CUT_LINKS }, NOT_OLDER);
}

#[test]
fn a_counter_that_alarms_about_a_link_that_was_overtaken_is_found() {
    let hasty = with(|counter, shown, now| {
        let (next, verdict) = counter.linked(shown, now);
        if verdict.overtaken { alarm(next, verdict) } else { (next, verdict) }
    });
    is_found(Copies { rules: hasty, left: CUT_LINKS }, NOBODY_ALARMED);
}

#[test]
fn a_counter_that_alarms_about_what_it_does_not_remember_is_found() {
    let proud = with(|counter, shown, now| {
        let (next, verdict) = counter.linked(shown, now);
        if verdict.gateway_is_older { alarm(counter, verdict) } else { (next, verdict) }
    });
    is_found(Copies { rules: proud, left: A_RESTORED_GATEWAY }, NOBODY_ALARMED);
}

#[test]
fn a_counter_that_never_alarms_is_found() {
    let blind = with(|counter, shown, now| {
        let (next, verdict) = counter.linked(shown, now);
        if verdict.alarm {
            (counter, LinkVerdict { alarm: false, quarantined: false, ..verdict })
        } else {
            (next, verdict)
        }
    });
    is_found(Copies { rules: blind, left: A_COPY }, ALWAYS_ALARMS);
}

#[test]
fn a_release_that_only_ends_the_quarantine_is_found() {
    let rules = Rules {
        release: |counter, _| CloneCounter { condition: CloneCondition::Normal, ..counter },
        ..RULES
    };
    is_found(Copies { rules, left: A_COPY }, GOES_ON);
}

#[test]
fn a_release_that_does_nothing_leaves_no_way_out() {
    let rules = Rules { release: |counter, _| counter, ..RULES };
    assert!(without_a_way(&Copies { rules, left: A_COPY }, may_be_released, goes_on).is_err());
    let right = Copies { rules: RULES, left: A_COPY };
    assert!(without_a_way(&right, may_be_released, goes_on).is_ok());
}
