//! One code, guessed and shown at two gateways at once.

use handfast_core::registry::codes::spend;
use handfast_host_tests::models::two_gateways::codes::{
    COUNTED, Codes, Left, NOT_LOCKED_BY_ITS_OWNER, RULES, Rules, SPENT_ONCE,
};

use super::{every_state, is_found};

const SMALL: Left = Left { guesses: 6, shows: 2, crashes: 1 };

fn check(name: &str, left: Left, is_pin: bool) -> usize {
    let states = every_state(Codes { rules: RULES, left, is_pin });
    println!("a code at two gateways, {name}: {states} states");
    states
}

#[test]
fn a_code_is_spent_once_and_guesses_count_at_whichever_gateway_they_are_made() {
    assert!(check("code", SMALL, false) > 1_000);
    assert!(check("PIN", SMALL, true) > 1_000);
}

/// Larger worlds, which only `host-tests/all.sh --long` plays.
mod long {
    use super::*;

    #[test]
    #[ignore = "long: a minute"]
    fn many_guesses_and_crashes_yield_nothing_more() {
        let many = Left { guesses: 12, shows: 5, crashes: 6 };
        assert!(check("many", many, false) > 5_000);
        assert!(check("PIN, many", many, true) > 5_000);
    }
}

#[test]
fn a_gateway_that_counts_from_what_it_read_before_is_found() {
    let rules = Rules { reads_as_it_writes: false, ..RULES };
    is_found(Codes { rules, left: SMALL, is_pin: false }, SPENT_ONCE);
    let left = Left { guesses: 10, shows: 0, crashes: 0 };
    is_found(Codes { rules, left, is_pin: true }, COUNTED);
}

#[test]
fn a_code_that_is_never_used_up_is_found() {
    let rules = Rules {
        spend: |code, window, of_source, at| {
            let (mut code, window, of_source) = spend(code, window, of_source, at)?;
            code.uses_left += 1;
            Some((code, window, of_source))
        },
        ..RULES
    };
    is_found(Codes { rules, left: SMALL, is_pin: true }, SPENT_ONCE);
}

#[test]
fn a_right_guess_that_is_not_given_back_is_found() {
    let rules = Rules {
        spend: |code, window, of_source, at| {
            let (after, ..) = spend(code, window, of_source, at)?;
            let code = handfast_core::registry::codes::Counted { guesses: code.guesses, ..after };
            Some((code, *window, of_source))
        },
        ..RULES
    };
    is_found(Codes { rules, left: SMALL, is_pin: true }, NOT_LOCKED_BY_ITS_OWNER);
}
