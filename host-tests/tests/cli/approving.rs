//! What is approved is what was seen, and what is revoked stays out.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::gateway::{Gateway, private_dir};
use super::nodes::{running_node, until};

fn waiting(gateway: &Gateway) -> Value {
    until("a node waits", || {
        let listed = gateway.answer(&["pending"]);
        let first = listed["devices"].get(0).cloned();
        first.ok_or_else(|| listed.to_string())
    })
}

/// Pairs a node by approval, and returns its state directory and its id.
fn approved(gateway: &Gateway, name: &str) -> (TempDir, String) {
    let node = gateway.node(name, &["--approval"]);
    let id = waiting(gateway)["node_id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.verb(&["approve", &id]).0, 0);
    let (code, said, state) = node.ends_with_its_state();
    assert_eq!(code, 0, "{said}");
    (state, id)
}

#[test]
fn what_is_approved_is_listed_with_the_fingerprint_that_the_node_shows() {
    let gateway = Gateway::start();
    let node = gateway.node("Lamp", &["--approval"]);
    let listed = waiting(&gateway);
    let fingerprint = listed["fingerprint"].as_str().unwrap();
    // Six groups of four: all of it is there to be compared.
    assert_eq!(fingerprint.len(), 29);
    let (code, out, _) = gateway.verb(&["pending"]);
    for part in ["Lamp", fingerprint, "what the operator gives it, by approval"] {
        assert!(code == 0 && out.contains(part), "{part}: {out}");
    }
    let (code, out, err) = gateway.verb(&["approve"]);
    assert!(code == 0 && out.contains(fingerprint), "{out}{err}");
    let (code, said) = node.ends();
    assert!(code == 0 && said.contains(fingerprint), "the node shows the same: {said}");
}

#[test]
fn a_request_that_changes_between_its_listing_and_its_approval_is_refused_and_shown_again() {
    let gateway = Gateway::start();
    let state = private_dir();
    let first = gateway.node_in(&state, "Lamp", &["--approval"]);
    let listed = waiting(&gateway);
    let id = listed["node_id"].as_str().unwrap();
    first.switch_off();
    // The same key under another name is another request.
    let second = gateway.node_in(&state, "Door opener", &["--approval"]);
    gateway.shows("Pairing request from \"Door opener\"");
    let (code, out, err) = gateway.verb(&["approve", id]);
    assert!(code == 1 && out.is_empty(), "{code}: {out}{err}");
    for part in ["Lamp", "Door opener", listed["fingerprint"].as_str().unwrap(), "once more"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert_eq!(waiting(&gateway)["node_id"], id, "nothing was granted");
    let (code, out, err) = gateway.verb(&["approve", id]);
    assert!(code == 0 && out.contains("Door opener"), "{out}{err}");
    let (code, said) = second.ends();
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_forgotten_nodes_key_stays_revoked_through_a_restart_and_is_counted() {
    let gateway = Gateway::start();
    // The state of a node that has asked and was not answered yet: it has its key, and no grant.
    let (asked, before) = (private_dir(), private_dir());
    let node = gateway.node_in(&asked, "Lamp", &["--approval"]);
    let id = waiting(&gateway)["node_id"].as_str().unwrap().to_owned();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(asked.path().join(".")).arg(before.path());
    assert!(copy.status().unwrap().success());
    assert_eq!(gateway.verb(&["approve", &id]).0, 0);
    assert_eq!(node.ends().0, 0);
    let (code, _, err) = gateway.verb(&["nodes", "forget", &id, "--yes"]);
    assert!(code == 1 && err.contains("revoke it first"), "{err}");
    assert_eq!(gateway.verb(&["nodes", "revoke", &id, "--yes"]).0, 0);
    let (code, out, err) = gateway.verb(&["nodes", "forget", &id, "--yes"]);
    assert!(code == 0 && out.contains("its key stays revoked for good"), "{out}{err}");
    let gateway = gateway.crash_and_restart();
    assert_eq!(gateway.json(&["list", "--all"])["items"].as_array().unwrap().len(), 0);
    assert_eq!(gateway.answer(&["status"])["nodes"]["forgotten"], 1);
    let (_, out, _) = gateway.verb(&["status"]);
    assert!(out.contains("1 key of a forgotten node stays revoked"), "{out}");
    // The device asks with the same key, and is told at once.
    let again = gateway.node_in(&before, "Lamp", &["--approval"]);
    let (code, said) = again.ends_by_itself();
    assert!(code != 0 && said.contains("revoked"), "{code}: {said}");
    assert_eq!(gateway.answer(&["pending"])["devices"].as_array().unwrap().len(), 0);
}

#[test]
fn a_new_key_of_marks_takes_no_node_for_a_copy_also_after_a_restart() {
    let gateway = Gateway::start();
    let (state, _) = approved(&gateway, "Lamp");
    let online = |gateway: &Gateway| {
        until("it links", || {
            let shown = gateway.answer(&["nodes", "describe", "Lamp"]);
            if shown["status"] == "online" { Ok(()) } else { Err(shown.to_string()) }
        });
    };
    let running = running_node(state.path());
    online(&gateway);
    drop(running);
    let (code, out, err) = gateway.verb(&["nodes", "rotate-mark-key"]);
    assert!(code == 0 && out.contains("1 older key still reads"), "{out}{err}");
    assert_eq!(gateway.answer(&["nodes", "rotate-mark-key"])["older_keys"], 2);
    for _ in 0..2 {
        let running = running_node(state.path());
        online(&gateway);
        assert_eq!(gateway.answer(&["status"])["quarantined"], 0);
        drop(running);
    }
    let gateway = gateway.crash_and_restart();
    let _running = running_node(state.path());
    online(&gateway);
    assert_eq!(gateway.answer(&["status"])["quarantined"], 0);
}

#[test]
fn a_node_takes_the_place_of_another_and_both_are_shown_with_what_became_of_them() {
    let gateway = Gateway::start();
    let (_state, old) = approved(&gateway, "Hall lamp");
    let node = gateway.node("Spare", &["--approval"]);
    let new = waiting(&gateway)["node_id"].as_str().unwrap().to_owned();
    let replaces = ["approve", &new, "--replaces", "Hall lamp"];
    // It is final for the old key, so nobody who is not there decides it by accident.
    let (code, out, err) = gateway.verb(&replaces);
    assert!(code == 2 && out.is_empty() && err.contains("--yes"), "{code}: {out}{err}");
    let (code, _, err) = gateway.verb(&["approve", &new, "--replaces", &old[..3], "--yes"]);
    assert!(code != 0 && err.contains("6 or more"), "{code}: {err}");
    let (code, _, err) = gateway.verb(&["approve", &new, "--replaces", &new, "--yes"]);
    assert!(code == 1 && err.contains("the same node"), "{code}: {err}");
    let (code, out, err) = gateway.verb(&[&replaces[..], &["--yes"]].concat());
    assert!(code == 0 && out.contains(&format!("place of node {old}")), "{out}{err}");
    assert_eq!(node.ends().0, 0);
    let described = gateway.answer(&["nodes", "describe", &new]);
    assert_eq!(described["friendly_name"], "Hall lamp");
    assert_eq!(described["replaces"][0]["node_id"], *old);
    let (_, shown, _) = gateway.verb(&["nodes", "describe", &old]);
    assert!(shown.contains("gave its place to") && shown.contains(&new), "{shown}");
    let audit = gateway.verb(&["audit", "list", "--json"]).1;
    assert!(
        audit.contains("\"replace\"") && audit.contains(&old) && audit.contains(&new),
        "{audit}"
    );
}

#[test]
fn whoever_asks_from_a_network_is_approved_until_the_policy_ends_also_after_a_restart() {
    let gateway = Gateway::start();
    let allows = ["approve", "--from", "127.0.0.0/8", "--until", "10m", "--max", "2"];
    let (code, out, err) = gateway.verb(&allows);
    assert!(code == 0 && out.contains("2 nodes at most"), "{out}{err}");
    assert_eq!(gateway.node("First", &["--approval"]).ends().0, 0);
    let gateway = gateway.crash_and_restart();
    let (_, status, _) = gateway.verb(&["status"]);
    assert!(status.contains("from 127.0.0.0/8") && status.contains("1 more"), "{status}");
    let listed = gateway.answer(&["policies", "list"]);
    let one = &listed["items"][0];
    assert_eq!(
        (&one["left"], &one["used"], &one["state"]),
        (&1.into(), &1.into(), &"in force".into())
    );
    let id = one["id"].as_str().unwrap();
    assert_eq!(gateway.verb(&["policies", "end", &id[..8]]).0, 0);
    let third = gateway.node("Third", &["--approval"]);
    assert_eq!(waiting(&gateway)["friendly_name"], "Third");
    third.switch_off();
    let (code, _, err) = gateway.verb(&["policies", "end", id]);
    assert!(code == 1 && err.contains("was ended"), "{code} {err}");
    for wrong in [
        &["approve", "--from", "0.0.0.0/0", "--until", "10m", "--max", "2"][..],
        &["approve", "--from", "127.0.0.0/8", "--until", "25h", "--max", "2"],
        &["approve", "--from", "127.0.0.0/8", "--until", "10m"],
        &["approve", "--from", "127.0.0.1/8", "--until", "10m", "--max", "2"],
    ] {
        assert_eq!(gateway.verb(wrong).0, 2, "{wrong:?}");
    }
}
