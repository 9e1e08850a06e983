//! Output that cannot be written, of a node with an open link.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use handfast_core::grant::scope::{Address, ScopesBuf};
use handfast_core::wire::native::Payload;
use handfast_server::Gateway;
use handfast_server::operator::NewCode;
use handfast_store::MemoryStore;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::gateway::private_dir;
use super::output::{OUTS, ran, to};
use super::output_alone::is_said;
use crate::binaries::{program, run, text};
use crate::conformance::Served;

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway in this process that publishes messages, and a node that is paired with it and may do
/// everything.
struct World {
    served: Served,
    state: TempDir,
}

impl World {
    async fn open() -> Self {
        let served =
            Served::over(Gateway::builder(MemoryStore::default()).start().await.unwrap()).await;
        let permissions = ScopesBuf::parse("read:/**\nwrite:/**\n").unwrap();
        let minted = served
            .gateway
            .mint_code(NewCode { permissions: Some(permissions), ..NewCode::default() })
            .await
            .unwrap();
        let secret = String::from_utf8(minted.code.code.expose().to_vec()).unwrap();
        let state = private_dir();
        let mut command = program("handfast-node");
        command.args([
            "pair",
            "--code",
            "--name",
            "Desk",
            "--room",
            "Study",
            "--gateway",
            &format!("ws://{}", served.address),
        ]);
        command
            .arg("--state")
            .arg(state.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{}-{secret}", minted.code.selector.as_str())
            .unwrap();
        let (code, out, err) = text(&child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{out}{err}");
        Self { served, state }
    }

    fn place(&self) -> &str {
        self.state.path().to_str().unwrap()
    }

    /// Publishes until the program has ended, and returns its exit.
    fn heard_to_its_end(&self, mut child: Child) -> (i32, String) {
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it goes on");
            self.served
                .gateway
                .publish(&Address::parse("/lights/a").unwrap(), &Payload::new(b"on").unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        let (code, _, err) = text(&child.wait_with_output().unwrap());
        (code, err)
    }

    fn until_linked(&self) {
        let begun = Instant::now();
        let runtime = tokio::runtime::Handle::current();
        let is_online = || {
            tokio::task::block_in_place(|| runtime.block_on(self.served.gateway.paired()))
                .unwrap()
                .0[0]
                .device
                .online
        };
        while !is_online() {
            assert!(begun.elapsed() < PATIENCE, "it does not link");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_listens_says_that_it_could_not_print_what_came_and_ends_quietly_once_nobody_reads_it()
 {
    let world = World::open().await;
    for out in OUTS {
        for args in [&["listen", "/lights/**"][..], &["listen", "/lights/**", "--json"]] {
            let all = [args, &["--state", world.place()]].concat();
            let child = to(out, "handfast-node", &all).spawn().unwrap();
            is_said(out, &all, &world.heard_to_its_end(child));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_sends_prints_nothing_and_is_done_wherever_its_output_leads() {
    let world = World::open().await;
    for out in OUTS {
        let args = ["send", "write", "/lights/a", "on", "--state", world.place()];
        assert_eq!(ran(to(out, "handfast-node", &args)), (0, String::new()), "{out:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_runs_stays_linked_wherever_its_output_leads_and_ends_once_its_events_are_not_taken()
 {
    let world = World::open().await;
    for out in OUTS {
        let args = ["run", "--json", "--state", world.place()];
        is_said(out, &args, &ran(to(out, "handfast-node", &args)));

        let args = ["run", "--state", world.place()];
        let child = to(out, "handfast-node", &args).stderr(Stdio::null()).spawn().unwrap();
        world.until_linked();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let (code, _, _) = text(&child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{out:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_not_be_handed_over_is_said_and_one_that_is_presented_is_as_good_as_before()
 {
    let world = World::open().await;
    let other = private_dir();
    let theirs = other.path().to_str().unwrap();
    let (code, keys, err) = text(&run("handfast-node", &["identity", "--json", "--state", theirs]));
    assert_eq!(code, 0, "{err}");
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let (channel, signing) =
        (keys["channel_key"].as_str().unwrap(), keys["signing_key"].as_str().unwrap());
    let delegate = ["delegate", "--to-channel-key", channel, "--to-signing-key", signing];
    let delegate = [
        &delegate[..],
        &["--scope", "read:/lights/**", "--scope", "write:/lights/**", "--for", "1h"],
    ]
    .concat();
    let delegate = [&delegate[..], &["--state", world.place()]].concat();
    for out in OUTS {
        // As for every secret, a closed pipe is a failure.
        let (code, err) = ran(to(out, "handfast-node", &delegate));
        assert!(
            code == 1 && err.contains("standard output cannot be written"),
            "{out:?}: {code} {err}"
        );
    }
    let (code, token, err) = text(&run("handfast-node", &delegate));
    assert_eq!(code, 0, "{err}");
    let file = other.path().join("token");
    std::fs::write(&file, token).unwrap();
    let gateway = format!("ws://{}", world.served.address);
    let present =
        ["present", "--token", file.to_str().unwrap(), "--gateway", &gateway, "--state", theirs];
    for out in OUTS {
        is_said(out, &present, &ran(to(out, "handfast-node", &present)));
        let sends = [&present[..], &["--send", "write", "/lights/a", "on"]].concat();
        let (code, err) = ran(to(out, "handfast-node", &sends));
        assert!(code == 0 && !err.contains("standard output"), "{out:?}: {code} {err}");
        for json in [&[][..], &["--json"]] {
            let listens = [&present[..], &["--listen", "/lights/**"], json].concat();
            let child = to(out, "handfast-node", &listens).spawn().unwrap();
            is_said(out, &listens, &world.heard_to_its_end(child));
        }
    }
    let (code, said, err) = text(&run("handfast-node", &present));
    assert_eq!((code, said.as_str()), (0, "The gateway accepts the token.\n"), "{err}");
}
