//! Certificates and marks of nodes when the gateway is killed, or restored from a backup.

use std::time::Duration;

use super::identity::{World, copy_in_quarantine, is_marked};
use super::nodes::until;

/// The gateway is killed at moments that cover every step of an issue: the refused handshake, the
/// request over the sealed link, the certificate's way into the store and to the node, and its
/// first use.
#[test]
fn a_gateway_that_is_killed_at_any_moment_of_an_issue_leaves_no_node_without_a_certificate() {
    let mut world = World::start();
    let state = world.pair(&[]);
    let rounds = 8;
    for round in 0..rounds {
        assert_eq!(world.gateway.verb(&["nodes", "evict", "Desk"]).0, 0);
        let mut node = world.run(state.path(), &[]);
        std::thread::sleep(Duration::from_millis(15 * round));
        world = world.crash_and_restart();
        node.links("mtls", 1);
        until("the new one is the only one in force", || match world.in_force().len() {
            1 => Ok(()),
            n => Err(format!("round {round}: {n}, {}", node.log())),
        });
        node.running.kill();
    }
    let all = world.gateway.answer(&["certs", "list", "--all"]);
    let all = all["items"].as_array().unwrap().len();
    // A request that was answered twice has got the same certificate.
    assert_eq!(all as u64, 1 + rounds);
}

#[test]
fn a_gateway_that_was_restored_from_yesterday_alarms_nobody_and_its_nodes_come_back() {
    let world = World::start();
    let state = world.pair(&[]);
    let place = super::gateway::private_dir();
    let backup = place.path().join("backup.db");
    let backup = backup.to_str().unwrap();
    assert_eq!(world.gateway.verb(&["backup", backup]).0, 0);
    // After the backup the node got marks of which the backup knows none, and a certificate.
    let (state, mut node) = copy_in_quarantine(&world, &state);
    assert_eq!(world.gateway.verb(&["nodes", "release", "Desk"]).0, 0);
    node.says("unmuted");
    node.running.kill();
    let mut node = world.run(state.path(), &[]);
    node.links("mtls", 1);
    is_marked(&state);
    let before = world.certificate()["serial"].clone();
    assert_eq!(world.gateway.verb(&["nodes", "evict", "Desk"]).0, 0);
    // A new certificate counts as delivered once the node has kept it.
    until("a new certificate is delivered", || match &world.in_force()[..] {
        [only] if only["serial"] != before && only["state"] == "delivered" => Ok(()),
        _ => Err(node.log()),
    });
    node.running.kill();

    let mut world = world;
    world.gateway.running.kill();
    let (code, out, err) = world.gateway.verb(&["restore", backup]);
    assert_eq!(code, 0, "{out}{err}");
    let world = world.crash_and_restart();
    let node = world.run(state.path(), &[]);
    node.links("mtls", 1);
    let status = world.gateway.answer(&["status"]);
    assert_eq!(status["quarantined"], 0, "{status}");
    assert!(status["older_than_nodes_since"].is_string(), "it says that it is older: {status}");
    // The refusal comes within the handshake, or just behind it.
    let log = node.log();
    let refused = ["does not accept certificate", "received fatal alert"];
    assert!(refused.iter().any(|words| log.contains(words)), "it knew the newer one: {log}");
    assert_eq!(world.in_force().len(), 1);
}
