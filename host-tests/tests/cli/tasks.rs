//! Tasks for nodes: the operator's commands, and a gateway that is killed at any moment.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::gateway::{Gateway, private_dir};
use super::identity::RunningNode;
use super::nodes::{paired, until};
use crate::binaries::program;

/// A program that a node offers as the capability `lamp`: it writes down each run.
pub(super) struct Lamp {
    place: TempDir,
    pub(super) option: String,
}

impl Lamp {
    pub(super) fn that(script: &str) -> Self {
        let place = private_dir();
        let (path, runs) = (place.path().join("lamp"), place.path().join("runs"));
        let text = format!("#!/bin/sh\ncat >> {0}\necho >> {0}\n{script}\n", runs.display());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let option = format!("lamp={}", path.display());
        Self { place, option }
    }

    /// Returns how often it ran with this input.
    pub(super) fn runs(&self, input: &str) -> usize {
        let runs = std::fs::read_to_string(self.place.path().join("runs")).unwrap_or_default();
        runs.lines().filter(|line| *line == input).count()
    }

    /// Runs the node with this state, and waits until it has announced the capability.
    fn on(&self, gateway: &Gateway, state: &TempDir) -> RunningNode {
        let node = RunningNode::start(state.path(), &["--handler", &self.option]);
        node.links("ws", 1);
        until("it offers the lamp", || {
            let (_, out, err) = gateway.verb(&["nodes", "describe", "Desk"]);
            if out.contains("lamp") { Ok(()) } else { Err(out + &err) }
        });
        node
    }
}

/// Waits until the task with this id has this state.
fn task_is(gateway: &Gateway, id: &str, state: &str) {
    until(state, || {
        let task = gateway.answer(&["nodes", "results", "Desk", id]);
        if task["state"] == state { Ok(()) } else { Err(task.to_string()) }
    });
}

fn id(task: &Value) -> String {
    task["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_operator_gives_a_node_tasks_and_sees_what_became_of_each() {
    let gateway = Gateway::start();
    let (_state, _node) = paired(&gateway);
    let echo = ["nodes", "invoke", "Desk", "echo", "{\"on\":true}", "--wait"];
    let done = until("it offers echo", || match gateway.verb(&[&echo[..], &["--json"]].concat()) {
        (0, out, _) => Ok(serde_json::from_str::<Value>(&out).unwrap()),
        (_, out, err) => Err(out + &err),
    });
    assert_eq!((&done["state"], &done["result"]), (&json!("succeeded"), &json!({"on": true})));
    let (code, out, err) = gateway.verb(&echo);
    assert_eq!((code, out.as_str()), (0, "{\"on\":true}\n"), "{err}");
    // Made again with the same id it is the same task.
    let named = ["--request-id", "5f0c2b52-5d30-4a8f-9b21-0d6f6f0b7a11"];
    let twice = [(); 2].map(|()| gateway.answer(&[&echo[..], &named].concat()));
    assert_eq!(id(&twice[0]), id(&twice[1]));
    let (code, _, err) = gateway.verb(&["nodes", "invoke", "Desk", "kettle"]);
    assert!(code == 1 && err.contains("kettle"), "{err}");
    let (code, _, err) = gateway.verb(&["nodes", "invoke", "Desk", "echo", "on"]);
    assert!(code == 2 && err.contains("is not JSON"), "{err}");

    let listed = gateway.answer(&["nodes", "results", "Desk"]);
    let listed: Vec<String> = listed["items"].as_array().unwrap().iter().map(id).collect();
    assert!(listed.len() == 3 && listed[0] == id(&twice[0]) && listed[2] == id(&done));
    let (code, out, _) = gateway.verb(&["nodes", "results", "Desk", &id(&done)[..8]]);
    assert!(code == 0 && out.contains("succeeded"), "{out}");
    assert_eq!(gateway.verb(&["nodes", "results", "Desk", "ffffffff"]).0, 1);
    let (code, _, err) = gateway.verb(&["nodes", "cancel", "Desk", &id(&done)]);
    assert!(code == 1 && err.contains("is over already"), "{err}");
}

#[test]
fn a_task_is_cancelled_before_it_is_sent_and_while_it_runs() {
    let gateway = Gateway::start();
    let (state, mut running) = paired(&gateway);
    running.kill();
    let lamp = Lamp::that("exec sleep 1000");
    let mut node = lamp.on(&gateway, &state);
    node.running.kill();
    until("it is gone", || match gateway.answer(&["nodes", "describe", "Desk"]) {
        shown if shown["status"] == "offline" => Ok(()),
        shown => Err(shown.to_string()),
    });
    let queued = id(&gateway.answer(&["nodes", "invoke", "Desk", "lamp", "1"]));
    task_is(&gateway, &queued, "queued");
    let (code, out, err) = gateway.verb(&["nodes", "cancel", "Desk", &queued]);
    assert!(code == 0 && out.contains("cancelled"), "{out}{err}");
    task_is(&gateway, &queued, "cancelled");

    let _node = lamp.on(&gateway, &state);
    let runs = id(&gateway.answer(&["nodes", "invoke", "Desk", "lamp", "2"]));
    task_is(&gateway, &runs, "running");
    let (code, out, err) = gateway.verb(&["nodes", "cancel", "Desk", &runs]);
    assert!(code == 0 && out.contains("is told to stop"), "{out}{err}");
    task_is(&gateway, &runs, "cancelled");
    assert_eq!((lamp.runs("1"), lamp.runs("2")), (0, 1));
}

#[test]
fn a_node_that_is_forgotten_takes_its_tasks_along() {
    let gateway = Gateway::start();
    let (state, mut running) = paired(&gateway);
    let described = gateway.answer(&["nodes", "describe", "Desk"]);
    let node_id = described["node_id"].as_str().unwrap().to_owned();
    until("it echoes", || {
        match gateway.verb(&["nodes", "invoke", "Desk", "echo", "1", "--wait"]) {
            (0, ..) => Ok(()),
            (_, out, err) => Err(out + &err),
        }
    });
    assert_eq!(gateway.verb(&["nodes", "revoke", "Desk", "--yes"]).0, 0);
    let (code, _, err) = gateway.verb(&["nodes", "invoke", &node_id, "echo", "1"]);
    assert!(code == 1 && !err.is_empty(), "{err}");
    assert_eq!(gateway.verb(&["nodes", "forget", &node_id, "--yes"]).0, 0);
    assert_eq!(gateway.verb(&["nodes", "results", &node_id]).0, 1);
    assert_eq!(gateway.verb(&["certs", "list", "--all"]).0, 0);
    running.kill();
    drop(state);
}

/// The gateway is killed at moments that cover every step of a task: before it is stored, before it
/// is sent, while it runs, and before and after its result is stored.
#[test]
fn a_gateway_that_is_killed_at_any_moment_of_a_task_loses_nothing_and_runs_nothing_twice() {
    let mut gateway = Gateway::start();
    let (state, mut running) = paired(&gateway);
    running.kill();
    let lamp = Lamp::that("sleep 0.04; echo '\"on\"'");
    let mut stored = 0;
    for round in 0..12_u64 {
        let _node = lamp.on(&gateway, &state);
        let (input, request) = (round.to_string(), format!("5f0c2b52-5d30-4a8f-9b21-{round:012x}"));
        let invoke = ["nodes", "invoke", "Desk", "lamp", &input, "--request-id", &request];
        let mut asks = program("handfast");
        asks.args(invoke).args(["--json", "--data", gateway.data()]);
        let asks = asks.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // From before the command has reached the gateway to after the result was stored.
        std::thread::sleep(Duration::from_millis(10 * round));
        gateway = gateway.crash_and_restart();
        let answer = asks.wait_with_output().unwrap();
        // The same request is the same task, and the first one if that was not stored.
        let (_, out, err) = gateway.verb(&[&invoke[..], &["--wait", "--json"]].concat());
        let mut again: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        if again["state"] == "expired" {
            // It was on its way when the gateway was killed. The node says that it never came, so
            // the operator may send it once more.
            assert!(again["may_retry"] == true && lamp.runs(&input) == 0, "{round}: {again}");
            let retry = ["nodes", "invoke", "Desk", "--retry", again["id"].as_str().unwrap()];
            again = gateway.answer(&[&retry[..], &["--wait"]].concat());
        }
        assert_eq!(again["state"], "succeeded", "{round}: {again}");
        assert_eq!(lamp.runs(&input), 1, "{round}: {again}");
        if answer.status.success() {
            let first: Value = serde_json::from_slice(&answer.stdout).unwrap();
            assert_eq!(id(&first), id(&again), "{round}: what was acknowledged is not lost");
            stored += 1;
        }
    }
    assert!((1..12).contains(&stored), "the moments cover too little: {stored} of 12");
}
