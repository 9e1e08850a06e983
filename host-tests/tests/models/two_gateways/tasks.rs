//! A task of a node that goes from one gateway to the other.

use handfast_core::link::board::Taken;
use handfast_core::link::dispatch::{DispatchAction, DispatchEvent, DispatchLife, Known};
use handfast_host_tests::models::two_gateways::tasks::{
    AT_MOST_ONCE, Left, NEVER_RAN, RULES, Rules, SENT_BY_ONE, SmallBoard, Tasks, ends_by_time,
    is_over,
};

use super::{always_possible, every_state, is_found};

const SMALL: Left = Left { moves: 2, cuts: 1, unheard: 1, power_cuts: 0, seconds: 2 };

fn world(left: Left, idempotent: bool) -> Tasks {
    Tasks { rules: RULES, left, idempotent }
}

fn check(name: &str, world: Tasks) -> usize {
    let states = always_possible(&world, ends_by_time, is_over);
    assert_eq!(every_state(world), states);
    println!("a task at two gateways, {name}: {states} states");
    states
}

#[test]
fn a_task_runs_once_at_most_whichever_gateway_sends_it() {
    assert!(check("moves", world(SMALL, false)) > 1_000);
    let left = Left { unheard: 0, ..SMALL };
    assert!(check("that may run twice", world(left, true)) > 1_000);
}

#[test]
fn a_task_runs_once_at_most_though_its_node_loses_power_between_two_gateways() {
    let left = Left { moves: 1, cuts: 1, unheard: 0, power_cuts: 1, seconds: 2 };
    assert!(check("power", world(left, true)) > 1_000);
}

#[test]
fn a_gateway_whose_lease_was_taken_for_over_makes_no_task_run_twice() {
    // It counts as lost what the other one has sent.
    let rules = Rules { disturbs_others: true, ..RULES };
    let left = Left { unheard: 0, ..SMALL };
    for idempotent in [false, true] {
        assert!(check("leases", Tasks { rules, ..world(left, idempotent) }) > 1_000);
    }
}

/// Larger worlds, which only `host-tests/all.sh --long` plays.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: some minutes"]
    fn all_that_can_happen_to_a_task_between_two_gateways_lets_it_run_once_at_most() {
        let all = Left { moves: 3, cuts: 1, unheard: 1, power_cuts: 1, seconds: 2 };
        for idempotent in [false, true] {
            assert!(check("all", world(all, idempotent)) > 10_000);
        }
    }
}

#[test]
fn a_gateway_that_stores_over_what_another_one_has_stored_is_found() {
    // What it read as queued has run by now, and it takes it for expired.
    let rules = Rules { stores_before_it_sends: false, ..RULES };
    let left = Left { moves: 2, seconds: 1, ..Left::default() };
    is_found(Tasks { rules, ..world(left, false) }, NEVER_RAN);
}

/// A life in which the node's word that the task runs counts as the word that it never came.
fn deaf(life: DispatchLife, event: DispatchEvent) -> (DispatchLife, Option<DispatchAction>) {
    match event {
        DispatchEvent::Answered { known: Known::Running, now } => {
            life.step(DispatchEvent::Answered { known: Known::NeverCame, now })
        }
        event => life.step(event),
    }
}

#[test]
fn a_gateway_that_takes_what_runs_for_what_never_came_is_found() {
    let rules = Rules { step: deaf, ..RULES };
    is_found(Tasks { rules, ..world(SMALL, false) }, NEVER_RAN);
    is_found(Tasks { rules, ..world(SMALL, true) }, SENT_BY_ONE);
}

#[test]
fn a_board_that_takes_a_task_twice_is_found_where_a_gateway_sends_it_twice() {
    let take = |board: &mut SmallBoard, number, id| match board.take(number, id) {
        Taken::Again(_) | Taken::TooOld | Taken::Full | Taken::Run => Taken::Run,
    };
    let rules = Rules { step: deaf, take, ..RULES };
    is_found(Tasks { rules, ..world(SMALL, true) }, AT_MOST_ONCE);
}
