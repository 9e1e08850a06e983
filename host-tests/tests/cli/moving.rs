//! Nodes that are told other addresses of their gateway, with the programs themselves.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::nodes::{is, paired, running_node, status, until};
use super::output::{OUTS, Out, ran, to};
use crate::binaries::{Running, program};

/// Returns an address that is free now.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Starts a paired node with a log of its own.
fn logging_node(state: &Path, log: &Path) -> Running {
    let mut command = program("handfast-node");
    command.arg("run").arg("--state").arg(state).stdout(Stdio::null());
    command.stderr(std::fs::File::create(log).unwrap());
    Running(command.spawn().unwrap())
}

fn known(gateway: &Gateway) -> Value {
    gateway.answer(&["nodes", "move", "--all"])["items"][0].clone()
}

fn online(gateway: &Gateway) -> Result<(), String> {
    is(&gateway.answer(&["paired", "list"])["items"][0]["device"]["status"], &json!("online"))
}

#[test]
fn a_moved_node_stores_the_new_address_and_links_there_once_the_old_gateway_is_gone() {
    let gateway = Gateway::start();
    let (state, _node) = paired(&gateway);
    let told = known(&gateway);
    assert_eq!((&told["addresses"], &told["confirmed"]), (&json!([]), &json!(false)));
    let new = free();
    let to = format!("ws://{new}");
    let (code, out, err) = gateway.verb(&["nodes", "move", "Desk", "--to", &to]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("stored") && out.contains(&format!("told {to}")), "{out}");
    let told = known(&gateway);
    assert_eq!((&told["addresses"], &told["confirmed"]), (&json!([to]), &json!(true)), "{told}");
    let own = status(state.path());
    assert_eq!(own["told_addresses"], json!([format!("ws://{new}/")]), "{own}");
    let lines = gateway.answer(&["audit", "list"]).to_string();
    assert!(lines.contains("\"move\""), "{lines}");

    // The same registry, at the other address alone.
    let Gateway { mut running, data, .. } = gateway;
    running.kill();
    let gateway = Gateway::start_in(data, &new, &[]);
    until("the node links at the new address", || online(&gateway));
    until("the address is kept as the one that worked", || {
        is(&status(state.path())["last_address"], &json!(format!("ws://{new}/")))
    });
}

/// Moves the only node of a gateway to where nobody listens and to where something else answers.
/// Asserts that it comes back to the old address within this time, and says so.
fn comes_back_from(elsewhere: &str, within: Duration) {
    let gateway = Gateway::start();
    let (state, mut node) = paired(&gateway);
    let nowhere = format!("ws://{}", free());
    let (code, out, err) = gateway.verb(&["nodes", "move", "--all", "--to", &nowhere, elsewhere]);
    assert!(code == 0 && out.contains("stored"), "{out}{err}");
    let key = status(state.path())["gateway_fingerprint"].clone();
    node.kill();
    until("the gateway notices", || match online(&gateway) {
        Ok(()) => Err("still online".to_owned()),
        Err(_) => Ok(()),
    });
    let log = state.path().with_extension("log");
    let _node = logging_node(state.path(), &log);
    let begun = Instant::now();
    while let Err(seen) = online(&gateway) {
        assert!(begun.elapsed() < within, "{seen}: {}", std::fs::read_to_string(&log).unwrap());
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = std::fs::read_to_string(&log).unwrap();
    let says = said
        .lines()
        .any(|line| line.contains(elsewhere) && line.contains("did not take this node's call"));
    assert!(says, "{said}");
    assert_eq!(status(state.path())["gateway_fingerprint"], key);
}

#[test]
fn a_node_whose_new_addresses_lead_nowhere_and_to_another_machine_comes_back_and_says_so() {
    let liar = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("tcp://{}", liar.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in liar.incoming().flatten() {
            let mut heard = [0; 512];
            // Whatever it says, it has not the gateway's key.
            let _ = stream.read(&mut heard);
            let _ = stream.write_all(&[0, 3, 1, 2, 0]);
        }
    });
    comes_back_from(&elsewhere, Duration::from_secs(30));
}

#[test]
#[ignore = "needs a minute: a node that is turned away waits that long"]
fn a_node_whose_new_address_is_that_of_another_gateway_stays_with_its_own() {
    let other = Gateway::start();
    comes_back_from(&format!("ws://{}", other.address), Duration::from_secs(120));
    assert_eq!(other.answer(&["paired", "list"])["items"], json!([]));
}

#[test]
fn a_node_that_is_not_linked_hears_of_its_move_at_its_next_link() {
    let gateway = Gateway::start();
    let (state, mut node) = paired(&gateway);
    node.kill();
    until("the gateway notices", || match online(&gateway) {
        Ok(()) => Err("still online".to_owned()),
        Err(_) => Ok(()),
    });
    let to_new = format!("tcp://{}", free());
    let (code, out, err) = gateway.verb(&["nodes", "move", "Desk", "--to", &to_new]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("hears at its next link"), "{out}");
    let _node = running_node(state.path());
    until("it has stored it", || is(&known(&gateway)["confirmed"], &json!(true)));
    for out in OUTS {
        let args = ["nodes", "move", "Desk", "--to", &to_new, "--data", gateway.data()];
        let (code, err) = ran(to(out, "handfast", &args));
        assert_eq!(code, i32::from(out != Out::Unread), "{out:?}: {err}");
    }
}

#[test]
fn addresses_that_a_node_cannot_be_told_are_refused_with_the_reason() {
    let gateway = Gateway::start();
    for (to, why) in [
        ("ws://0.0.0.0:8765", "tcp://host:port"),
        ("ws://224.0.0.1:8765", "tcp://host:port"),
        ("gateway.local", "tcp://host:port"),
    ] {
        let (code, _, err) = gateway.verb(&["nodes", "move", "--all", "--to", to]);
        assert!(code != 0 && err.contains(why), "{to}: {err}");
    }
    let (code, _, err) = gateway.verb(&["nodes", "move", "--all", "--to", "ws://a:1", "WS://A:1"]);
    assert!(code != 0 && err.contains("twice"), "{err}");
    let (code, _, err) = gateway.verb(&["nodes", "move", "Nobody", "--to", "ws://a:1"]);
    assert!(code == 1 && err.contains("Nobody"), "{err}");
    assert_eq!(gateway.verb(&["nodes", "move"]).0, 2);
    let (code, out, err) = gateway.verb(&["nodes", "move", "--all"]);
    assert!(code == 0 && out.contains("no node is paired by its keys"), "{out}{err}");
}

#[test]
fn a_gateway_that_names_its_addresses_tells_them_to_each_node() {
    let gateway = Gateway::start_with(&["--pairing-address", "tcp://gateway.example:7331"]);
    let (state, _node) = paired(&gateway);
    until("the node has stored it", || is(&known(&gateway)["confirmed"], &json!(true)));
    assert_eq!(status(state.path())["told_addresses"], json!(["tcp://gateway.example:7331"]),);
}
