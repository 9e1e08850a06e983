//! Gateways that announce themselves by multicast DNS, nodes that look for them, and those who lie.
//! Each test has a network of its own (`interop/discovery.py`).

use std::process::Command;

use crate::binaries::{program, text};
use crate::cli::gateway::private_dir;

fn succeeds(scenario: &str) {
    let place = private_dir();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/discovery.py");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "python3", script, scenario]);
    command.arg(program("handfast").get_program()).arg(program("handfast-node").get_program());
    for name in ["HANDFAST_DATA", "STATE_DIRECTORY", "XDG_DATA_HOME", "RUST_LOG"] {
        command.env_remove(name);
    }
    let (code, out, err) = text(&command.arg(place.path()).output().unwrap());
    assert_eq!((code, out.as_str()), (0, "ok\n"), "{err}");
}

#[test]
#[ignore = "needs root, for a network of its own, and avahi"]
fn a_gateway_announces_itself_beyond_loopback_until_it_stops_and_avahi_reads_it() {
    succeeds("announces");
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_node_pairs_with_a_gateway_that_it_found_and_its_owner_chose() {
    succeeds("pairs");
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_gateway_that_cannot_prove_the_announced_key_is_told_nothing() {
    succeeds("lies");
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn ten_thousand_answers_leave_a_search_bounded_and_the_true_gateway_in_the_list() {
    succeeds("floods");
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_paired_node_finds_its_gateway_where_it_moved_and_keeps_that_address_only() {
    succeeds("moves");
}
