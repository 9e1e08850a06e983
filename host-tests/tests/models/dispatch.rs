//! Every state of the world of dispatches.

use handfast_core::link::board::Taken;
use handfast_core::link::dispatch::{DispatchAction, DispatchEvent, DispatchLife, Known};
use handfast_core::wire::native::link::DispatchId;
use handfast_host_tests::models::dispatch::{
    AT_MOST_ONCE, Budget, Dispatches, NOT_LEFT, RULES, Rules, SmallBoard, all_over,
};

use super::{always_possible, every_state, is_found, without_a_way};

fn model(count: usize, budget: Budget) -> Dispatches {
    Dispatches { rules: RULES, budget, count, idempotent: false }
}

const NONE: Budget = Budget {
    cuts: 0,
    crashes: 0,
    power_cuts: 0,
    cancels: 0,
    retries: 0,
    seconds: 0,
    gateway_restores: 0,
    node_restores: 0,
};

/// One dispatch with all that can happen to it but a backup.
const ALL: Budget =
    Budget { cuts: 1, crashes: 1, power_cuts: 1, cancels: 1, retries: 1, seconds: 2, ..NONE };

fn check(name: &str, model: Dispatches) -> usize {
    let states = always_possible(&model, |_, _| true, all_over);
    assert_eq!(every_state(model), states);
    println!("dispatch, {name}: {states} states");
    states
}

#[test]
fn one_dispatch_runs_once_at_most_whatever_is_cut_crashes_or_is_cancelled() {
    assert!(check("one", model(1, ALL)) > 1_000);
    let idempotent = Dispatches { idempotent: true, ..model(1, ALL) };
    assert!(check("one that may run twice", idempotent) > 1_000);
}

#[test]
fn two_dispatches_on_a_board_of_one_place_run_once_at_most() {
    let budget = Budget { cuts: 1, power_cuts: 1, retries: 1, seconds: 1, ..NONE };
    assert!(check("two", model(2, budget)) > 1_000);
}

#[test]
fn a_gateway_that_was_restored_from_a_backup_runs_nothing_twice() {
    let budget = Budget { cuts: 1, gateway_restores: 1, seconds: 1, ..NONE };
    assert!(check("restored gateway", model(2, budget)) > 1_000);
}

#[test]
fn a_node_that_was_restored_from_a_backup_runs_nothing_twice() {
    let budget = Budget { cuts: 1, node_restores: 1, retries: 1, seconds: 1, ..NONE };
    assert!(check("restored node", model(1, budget)) > 500);
    let budget = Budget { node_restores: 1, ..NONE };
    assert!(check("restored node, two", model(2, budget)) > 300);
}

/// Larger worlds, which only `host-tests/all.sh --long` plays.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: half a minute"]
    fn one_dispatch_to_which_all_happens_twice_runs_once_at_most() {
        let twice = Budget {
            cuts: 2,
            crashes: 2,
            power_cuts: 2,
            cancels: 1,
            retries: 2,
            seconds: 3,
            ..NONE
        };
        assert!(check("one, all twice", model(1, twice)) > 300_000);
    }

    #[test]
    #[ignore = "long: some minutes and gigabytes"]
    fn two_dispatches_to_which_all_happens_run_once_at_most() {
        assert!(check("two, all", model(2, ALL)) > 3_000_000);
    }
}

#[test]
fn a_board_that_forgets_its_mark_is_found() {
    fn take(board: &mut SmallBoard, number: u64, id: DispatchId) -> Taken {
        match board.take(number, id) {
            Taken::TooOld => Taken::Run,
            taken @ (Taken::Run | Taken::Again(_) | Taken::Full) => taken,
        }
    }
    let budget = Budget { cuts: 1, gateway_restores: 1, seconds: 1, ..NONE };
    let rules = Rules { take, ..RULES };
    is_found(Dispatches { rules, ..model(2, budget) }, AT_MOST_ONCE);
}

#[test]
fn a_node_that_runs_before_it_stores_is_found() {
    let rules = Rules { stores_before_it_runs: false, ..RULES };
    is_found(Dispatches { rules, ..model(1, ALL) }, AT_MOST_ONCE);
}

#[test]
fn a_board_that_takes_what_a_power_cut_interrupted_for_running_is_found() {
    let rules = Rules { after_boot: |_| false, ..RULES };
    is_found(Dispatches { rules, ..model(1, ALL) }, NOT_LEFT);
}

#[test]
fn a_gateway_that_retries_what_is_forgotten_is_found() {
    fn step(life: DispatchLife, event: DispatchEvent) -> (DispatchLife, Option<DispatchAction>) {
        match event {
            DispatchEvent::Answered { known: Known::Forgotten, now } => {
                life.step(DispatchEvent::Answered { known: Known::NeverCame, now })
            }
            event => life.step(event),
        }
    }
    let budget = Budget { cuts: 1, retries: 1, seconds: 1, ..NONE };
    let rules = Rules { step, ..RULES };
    is_found(Dispatches { rules, ..model(2, budget) }, AT_MOST_ONCE);
}

#[test]
fn a_gateway_that_asks_a_restored_node_is_found() {
    fn step(life: DispatchLife, event: DispatchEvent) -> (DispatchLife, Option<DispatchAction>) {
        match event {
            DispatchEvent::NodeRestored => life.step(DispatchEvent::LinkLost),
            event => life.step(event),
        }
    }
    let budget = Budget { cuts: 1, node_restores: 1, retries: 1, seconds: 1, ..NONE };
    let rules = Rules { step, ..RULES };
    is_found(Dispatches { rules, ..model(1, budget) }, AT_MOST_ONCE);
}

#[test]
fn a_gateway_that_never_asks_leaves_dispatches_without_a_way_out() {
    fn step(life: DispatchLife, event: DispatchEvent) -> (DispatchLife, Option<DispatchAction>) {
        match event {
            DispatchEvent::Linked => (life.step(event).0, None),
            event => life.step(event),
        }
    }
    let rules = Rules { step, ..RULES };
    let silent = Dispatches { rules, ..model(1, ALL) };
    assert!(without_a_way(&silent, |_, _| true, all_over).is_err());
}
