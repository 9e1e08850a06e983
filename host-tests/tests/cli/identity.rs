//! Certificates from end to end: the gateway with its listener for mutual TLS, and the node, as
//! processes.

mod cut_off;
mod outside;
mod renewing;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::gateway::{Gateway, private_dir};
use super::nodes::until;
use super::time::library;
use crate::binaries::{Running, program};

/// A gateway with a listener for nodes with certificates.
pub(super) struct World {
    pub(super) gateway: Gateway,
    /// The address of that listener, without a scheme.
    pub(super) mtls: String,
}

impl World {
    pub(super) fn start() -> Self {
        Self::of(Gateway::start_with(&["--listen-mtls", "127.0.0.1:0"]))
    }

    fn of(gateway: Gateway) -> Self {
        let shown = gateway.shown();
        let mtls = shown.split("nodes with certificates: mtls://").nth(1).unwrap();
        let mtls = mtls.split('\n').next().unwrap().to_owned();
        Self { gateway, mtls }
    }

    /// Kills the gateway, and starts it again on the same data and ports.
    pub(super) fn crash_and_restart(self) -> Self {
        let Self { gateway, mtls } = self;
        Self::of(gateway.crash_and_restart_with(&["--listen-mtls", &mtls]))
    }

    /// Pairs the node `Desk` with a code that allows everything, and returns its state.
    pub(super) fn pair(&self, more: &[&str]) -> TempDir {
        self.pair_as("Desk", more)
    }

    fn pair_as(&self, name: &str, more: &[&str]) -> TempDir {
        let minted = self.gateway.answer(&["codes", "create", "--read", "/**", "--write", "/**"]);
        let mut node = self.gateway.node(name, &[&["--code"], more].concat());
        node.types(minted["code"].as_str().unwrap());
        let (code, said, state) = node.ends_with_its_state();
        assert_eq!(code, 0, "{said}");
        state
    }

    /// Runs the node with this state, at the listener for certificates.
    pub(super) fn run(&self, state: &Path, more: &[&str]) -> RunningNode {
        let at = format!("mtls://{}", self.mtls);
        RunningNode::start(state, &[&["--gateway", &at], more].concat())
    }

    /// Returns the certificates that are in force.
    pub(super) fn in_force(&self) -> Vec<Value> {
        let listed = self.gateway.answer(&["certs", "list"]);
        listed["items"].as_array().unwrap().clone()
    }

    /// Returns the only certificate in force.
    pub(super) fn certificate(&self) -> Value {
        let mut all = self.in_force();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

/// `handfast-node run`, with its log.
pub(super) struct RunningNode {
    pub(super) running: Running,
    log: TempDir,
}

impl RunningNode {
    pub(super) fn start(state: &Path, more: &[&str]) -> Self {
        Self::start_as(program("handfast-node"), state, more)
    }

    /// Starts a node whose wall clock is ahead of this machine's.
    pub(super) fn start_ahead(hours: u32, state: &Path, more: &[&str]) -> Self {
        let mut command = program("handfast-node");
        command.env("LD_PRELOAD", library()).env("FAKETIME", format!("+{hours}h"));
        command.env("DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
        Self::start_as(command, state, more)
    }

    fn start_as(mut command: Command, state: &Path, more: &[&str]) -> Self {
        let log = private_dir();
        command.arg("run").args(more).arg("--state").arg(state);
        command.stdout(Stdio::null()).stderr(File::create(log.path().join("log")).unwrap());
        Self { running: Running(command.spawn().unwrap()), log }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path().join("log")).unwrap()
    }

    /// Waits for these words in the log.
    pub(super) fn says(&self, words: &str) {
        until(words, || {
            let log = self.log();
            if log.contains(words) { Ok(()) } else { Err(log) }
        });
    }

    /// Waits until the node has linked so many times over an address with this scheme.
    pub(super) fn links(&self, scheme: &str, times: usize) {
        until(&format!("link {times} over {scheme}"), || {
            let log = self.log();
            let is_link = |line: &&str| {
                line.contains(" linked ") && line.contains(&format!("gateway={scheme}://"))
            };
            if log.lines().filter(is_link).count() >= times { Ok(()) } else { Err(log) }
        });
    }
}

/// Copies the state of a node, as a backup or a thief would.
pub(super) fn copy(state: &TempDir) -> TempDir {
    let copy = private_dir();
    for file in std::fs::read_dir(state.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// Waits until the node has stored a mark of its gateway.
pub(super) fn is_marked(state: &TempDir) {
    until("the node is marked", || {
        let kept = std::fs::read_to_string(state.path().join("native.json")).unwrap();
        let read: Value = serde_json::from_str(&kept).unwrap();
        if read["mark"].is_string() { Ok(()) } else { Err(kept) }
    });
}

#[test]
fn an_evicted_node_fetches_another_certificate_at_once_and_comes_back_over_mutual_tls() {
    let world = World::start();
    let state = world.pair(&[]);
    let node = world.run(state.path(), &[]);
    node.links("mtls", 1);
    let mut before = world.certificate();
    for times in 2..=3 {
        assert_eq!(world.gateway.verb(&["nodes", "evict", "Desk"]).0, 0);
        node.links("mtls", times);
        let after = world.certificate();
        assert_ne!(after["serial"], before["serial"]);
        before = after;
    }
    let all = world.gateway.answer(&["certs", "list", "--all"]);
    assert_eq!(all["items"].as_array().unwrap().len(), 3, "{all}");
}

#[test]
fn a_node_that_was_paired_without_a_certificate_gets_one_over_its_link_unless_it_wants_none() {
    let world = World::start();
    let state = world.pair(&["--no-certificate"]);
    let mut node = RunningNode::start(state.path(), &["--no-certificate"]);
    node.links("ws", 1);
    assert_eq!(world.gateway.verb(&["nodes", "ping", "Desk"]).0, 0);
    assert!(world.in_force().is_empty());
    node.running.kill();
    let node = RunningNode::start(state.path(), &[]);
    until("it has one", || match world.in_force().len() {
        1 => Ok(()),
        _ => Err(node.log()),
    });
    drop(node);
    // Started at the listener for certificates, a node without one fetches it first.
    let state = world.pair_as("Shelf", &["--no-certificate"]);
    let node = world.run(state.path(), &[]);
    node.says("has none that is valid now");
    node.links("mtls", 1);
    assert_eq!(world.in_force().len(), 2);
}

#[test]
fn each_way_to_revoke_a_certificate_cuts_its_link_and_refuses_its_next_handshake() {
    let world = World::start();
    let state = world.pair(&[]);
    let node = world.run(state.path(), &[]);
    node.links("mtls", 1);
    for (times, way) in ["serial", "fingerprint", "key", "node", "all"].into_iter().enumerate() {
        let before = world.certificate();
        let named = |field: &str| before[field].as_str().unwrap().to_owned();
        let which = match way {
            "key" => vec!["--key".to_owned(), named("key")],
            "node" => vec!["--node".to_owned(), "Desk".to_owned()],
            "all" => vec!["--all-before-now".to_owned()],
            field => vec![named(field)],
        };
        let which: Vec<&str> = which.iter().map(String::as_str).collect();
        let (code, out, err) =
            world.gateway.verb(&[&["certs", "revoke", "--yes"], &which[..]].concat());
        assert!(code == 0 && out.contains("1 certificate revoked"), "{way}: {out}{err}");
        node.says(&format!("does not accept certificate {}", named("serial")));
        // The node proves itself by its key, gets another certificate, and goes back.
        node.links("mtls", times + 2);
        assert_ne!(world.certificate()["serial"], before["serial"], "{way}");
    }
}

/// Makes the gateway notice a copy of the node's state, from before its first mark, and returns the
/// copy, which runs and is in quarantine.
pub(super) fn copy_in_quarantine(world: &World, state: &TempDir) -> (TempDir, RunningNode) {
    let copied = copy(state);
    let kept = copied.path().join("native.json");
    let mut unmarked: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    unmarked.as_object_mut().unwrap().remove("mark");
    std::fs::write(&kept, unmarked.to_string()).unwrap();
    // The second link confirms the mark, if nothing has done so before.
    for _ in 0..2 {
        let mut node = world.run(state.path(), &[]);
        node.links("mtls", 1);
        is_marked(state);
        node.running.kill();
    }
    let copy = world.run(copied.path(), &[]);
    copy.says("muted");
    assert_eq!(world.gateway.answer(&["status"])["quarantined"], 1);
    (copied, copy)
}

#[test]
fn a_copied_node_is_in_quarantine_over_mutual_tls_until_it_is_released() {
    let world = World::start();
    let state = world.pair(&[]);
    let (_copied, copy) = copy_in_quarantine(&world, &state);
    copy.links("mtls", 1);
    let (code, _, err) = world.gateway.verb(&["nodes", "invoke", "Desk", "echo"]);
    assert!(code == 1 && err.contains("is in quarantine"), "{err}");
    // It gets no certificate either.
    assert_eq!(world.gateway.verb(&["nodes", "evict", "Desk"]).0, 0);
    copy.links("ws", 1);
    copy.says("does not renew the certificate");
    assert!(world.in_force().is_empty());
    assert!(!copy.log().contains("unmuted"), "its link stays, and says nothing");
    assert_eq!(world.gateway.verb(&["nodes", "release", "Desk"]).0, 0);
    copy.says("unmuted");
    assert_eq!(world.gateway.answer(&["status"])["quarantined"], 0);
    until("it takes tasks again", || {
        match world.gateway.verb(&["nodes", "invoke", "Desk", "echo", "1", "--wait"]) {
            (0, out, _) if out.trim() == "1" => Ok(()),
            (code, out, err) => Err(format!("{code} {out}{err}")),
        }
    });
}
