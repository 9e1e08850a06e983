//! Permissions of a paired node, changed while it runs, and the node's own output.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::gateway::Gateway;
use super::output::{OUTS, Out, ran, to};
use crate::binaries::{Running, program, run, text};

/// Polls until a condition holds, and returns its value.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {seen}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn is(value: &Value, expected: &Value) -> Result<(), String> {
    if value == expected { Ok(()) } else { Err(value.to_string()) }
}

pub(super) fn running_node(state: &Path) -> Running {
    let mut command = program("handfast-node");
    command.arg("run").arg("--state").arg(state).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

pub(super) fn status(state: &Path) -> Value {
    let (_, out, err) =
        text(&run("handfast-node", &["status", "--json", "--state", state.to_str().unwrap()]));
    serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"))
}

/// Starts a node that was paired with a code that allows everything.
pub(super) fn paired(gateway: &Gateway) -> (TempDir, Running) {
    let minted = gateway.answer(&["pairing", "code", "--read", "/**", "--write", "/**"]);
    let mut node = gateway.node("Desk", &["--code"]);
    node.types(minted["code"].as_str().unwrap());
    let (code, said, state) = node.ends_with_its_state();
    assert_eq!(code, 0, "{said}");
    let running = running_node(state.path());
    until("it links", || {
        is(&gateway.answer(&["paired", "list"])["items"][0]["device"]["status"], &json!("online"))
    });
    (state, running)
}

/// Reads lines of JSON until one is such an event.
fn event(lines: &mut impl Iterator<Item = std::io::Result<String>>, kind: &str) -> Value {
    loop {
        let line = lines.next().expect("the program still runs").unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        if value["event"] == kind {
            return value;
        }
    }
}

#[test]
fn an_operator_and_a_linked_node_send_each_other_messages_and_a_watcher_sees_them() {
    let gateway = Gateway::start();
    let (state, mut running) = paired(&gateway);
    running.kill();
    let place = state.path().to_str().unwrap();
    let (code, _, err) = gateway.verb(&["nodes", "send", "Desk", "/lights/1", "on"]);
    assert!(code == 1 && err.contains("is not linked"), "{err}");

    let mut listening = program("handfast-node");
    listening.args(["listen", "/lights/**", "--json", "--state", place]);
    let mut listening = Running(listening.stdout(Stdio::piped()).spawn().unwrap());
    let mut heard = BufReader::new(listening.0.stdout.take().unwrap()).lines();
    until("it is linked, and takes the message", || {
        match gateway.verb(&["nodes", "send", "Desk", "/lights/1", "on"]) {
            (0, out, _) if out.contains("2 bytes") => Ok(()),
            (_, out, err) => Err(out + &err),
        }
    });
    let line = heard.next().unwrap().unwrap();
    assert!(line.contains("/lights/1") && line.contains("\"on\""), "{line}");
    for out in OUTS {
        let args = ["nodes", "send", "Desk", "/lights/1", "on", "--data", gateway.data()];
        let (code, err) = ran(to(out, "handfast", &args));
        assert_eq!(code, i32::from(out != Out::Unread), "{out:?}: {err}");
    }
    assert_eq!(gateway.verb(&["nodes", "send", "Desk", "lights", "on"]).0, 2);
    assert_eq!(gateway.verb(&["nodes", "send", "Desk", "/a", "on", "--action", "fly"]).0, 2);
    drop(listening);

    let mut watching = program("handfast");
    watching.args(["watch", "--messages", "--json", "--data", gateway.data()]);
    let mut watching = Running(watching.stdout(Stdio::piped()).spawn().unwrap());
    let mut seen = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    event(&mut seen, "listening");
    event(&mut seen, "listening");
    let sent = ["send", "write", "/lights/1", "hello", "--state", place];
    let (code, _, err) = text(&run("handfast-node", &sent));
    assert_eq!(code, 0, "{err}");
    let message = event(&mut seen, "message");
    assert_eq!(
        (&message["action"], &message["address"], &message["text"]),
        (&json!("write"), &json!("/lights/1"), &json!("hello"))
    );
}

#[test]
fn an_operator_pings_a_linked_node_and_hears_why_another_gives_no_answer() {
    let gateway = Gateway::start();
    let (_state, mut running) = paired(&gateway);
    let (code, out, err) = gateway.verb(&["nodes", "ping", "Desk"]);
    assert!(code == 0 && out.contains("ms"), "{out}{err}");
    for out in OUTS {
        let (code, err) =
            ran(to(out, "handfast", &["nodes", "ping", "Desk", "--data", gateway.data()]));
        assert_eq!(code, i32::from(out != Out::Unread), "{out:?}: {err}");
    }
    running.kill();
    until("the gateway notices that the link is gone", || {
        match gateway.verb(&["nodes", "ping", "Desk"]) {
            (1, _, err) if err.contains("is not linked") => Ok(()),
            (code, out, err) => Err(format!("{code} {out}{err}")),
        }
    });
    assert_eq!(gateway.verb(&["nodes", "ping", "Nobody"]).0, 1);
}

#[test]
fn a_node_is_renamed_and_once_it_is_out_for_good_forgotten() {
    let gateway = Gateway::start();
    let (_state, _running) = paired(&gateway);
    let describes = |name: &str| gateway.answer(&["nodes", "describe", name]);
    until("the node is online", || is(&describes("Desk")["status"], &json!("online")));
    let id = describes("Desk")["node_id"].as_str().unwrap().to_owned();
    let (code, out, err) = gateway.verb(&["nodes", "rename", "Desk", "Hall lamp"]);
    assert!(code == 0 && out.contains("Hall lamp is the new name of \"Desk\""), "{out}{err}");
    assert_eq!(gateway.verb(&["nodes", "describe", "Desk"]).0, 1);
    assert_eq!(gateway.verb(&["nodes", "rename", &id, "two\nlines"]).0, 2);

    let (code, _, err) = gateway.verb(&["nodes", "forget", &id, "--yes"]);
    assert!(code != 0 && err.contains("is not out, and only"), "{code}: {err}");
    assert_eq!(gateway.verb(&["nodes", "revoke", "Hall lamp", "--yes"]).0, 0);
    assert_eq!(gateway.verb(&["nodes", "forget", &id]).0, 2, "it asks, and nobody answers");
    let (code, out, err) = gateway.verb(&["nodes", "forget", &id, "--yes"]);
    assert!(code == 0 && out.contains("forgotten; its key stays revoked for good"), "{out}{err}");
    assert_eq!(gateway.verb(&["nodes", "describe", &id]).0, 1);
    let all = gateway.answer(&["nodes", "list", "--all"]);
    assert_eq!(all["items"].as_array().unwrap().len(), 0);
}

#[test]
fn permissions_of_a_linked_node_are_in_force_at_once_and_the_node_fetches_them_by_itself() {
    let gateway = Gateway::start();
    let (state, _running) = paired(&gateway);
    let both = json!({"read": ["/**"], "write": ["/**"]});
    let shown = gateway.answer(&["nodes", "permissions", "Desk"]);
    assert_eq!((&shown["in_force"]["permissions"], &shown["offered"]), (&both, &Value::Null));

    let narrow = json!({"read": ["/only/**"], "write": []});
    let answer = gateway.answer(&["nodes", "permissions", "Desk", "--read", "/only/**"]);
    assert_eq!(answer["in_force"]["permissions"], narrow);
    until("the node keeps it", || {
        is(&status(state.path())["permissions"], &json!(["read:/only/**"]))
    });
    until("and has confirmed it", || {
        is(&gateway.answer(&["paired", "permissions", "Desk"])["offered"], &Value::Null)
    });

    // The wider permissions are shown as offered until the node confirms them, which it does by
    // itself.
    let (code, out, err) =
        gateway.verb(&["permissions", "Desk", "--read", "/**", "--expires", "30d"]);
    assert!(
        code == 0
            && out.contains("In force  read /only/**")
            && out.contains("Offered   read /**, for 30 days"),
        "{out}{err}"
    );
    until("it is in force", || {
        is(
            &gateway.answer(&["nodes", "permissions", "Desk"])["in_force"]["permissions"]["read"],
            &json!(["/**"]),
        )
    });
    until("the node knows", || is(&status(state.path())["permissions"], &json!(["read:/**"])));

    let (code, out, _) = gateway.verb(&["nodes", "permissions", "Desk", "--none"]);
    assert!(code == 0 && out.contains("In force  nothing"), "{out}");
    for (args, code) in [
        (&["nodes", "permissions", "Nobody"][..], 1),
        (&["nodes", "permissions", "Desk", "--read", "lights"], 2),
        (&["nodes", "permissions", "Desk", "--expires", "0"], 2),
        (&["nodes", "permissions", "Desk", "--none", "--read", "/a"], 2),
    ] {
        assert_eq!(gateway.verb(args).0, code, "{args:?}");
    }
}

#[test]
fn a_node_that_is_away_is_narrow_for_the_lists_and_after_a_restart_and_when_it_comes() {
    let gateway = Gateway::start();
    let (state, mut running) = paired(&gateway);
    running.kill();
    until("it is gone", || {
        is(&gateway.answer(&["paired", "list"])["items"][0]["device"]["status"], &json!("offline"))
    });
    let id = gateway.answer(&["paired", "list"])["items"][0]["device"]["node_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let (code, out, err) = gateway.devices(&["pair", &id, "--reissue", "--read", "/only/**"]);
    assert!(
        code == 0 && !out.contains("It may") && out.contains("In force  read /only/**"),
        "{out}{err}"
    );
    gateway.shows("Paired \"Desk\": read /only/**, ");
    let gateway = gateway.crash_and_restart();
    let narrow = json!({"read": ["/only/**"], "write": []});
    let listed = &gateway.answer(&["paired", "list"])["items"][0];
    assert_eq!(
        (&listed["in_force"]["permissions"], &listed["offered"]["permissions"]),
        (&narrow, &narrow)
    );
    let (_, out, _) = gateway.verb(&["paired", "list"]);
    assert!(
        out.contains("read /only/**") && !out.contains("read /**") && out.contains("not confirmed"),
        "{out}"
    );

    let _running = running_node(state.path());
    until("the node keeps it", || {
        is(&status(state.path())["permissions"], &json!(["read:/only/**"]))
    });
    until("it is confirmed", || {
        is(&gateway.answer(&["paired", "list"])["items"][0]["offered"], &Value::Null)
    });
}

#[test]
fn a_node_that_was_revoked_says_so_once_it_has_learned_it_whether_or_not_it_runs() {
    let gateway = Gateway::start();
    let (state, mut running) = paired(&gateway);
    until("it is linked", || is(&status(state.path())["link"], &json!("linked")));
    assert_eq!(status(state.path())["standing"], "paired");
    assert_eq!(gateway.verb(&["paired", "revoke", "Desk", "--yes"]).0, 0);
    until("it was told", || is(&status(state.path())["standing"], &json!("unpaired")));
    running.kill();
    assert_eq!(status(state.path())["standing"], "unpaired");
    let (_, out, _) =
        text(&run("handfast-node", &["status", "--state", state.path().to_str().unwrap()]));
    assert!(out.contains("native (unpaired)") && out.contains("unpaired by the operator"), "{out}");

    // A node that is offline learns it when it links.
    let (state, mut running) = paired(&gateway);
    running.kill();
    assert_eq!(gateway.verb(&["paired", "revoke", "Desk", "--yes"]).0, 0);
    assert_eq!(status(state.path())["standing"], "paired", "it cannot know yet");
    let mut running = running_node(state.path());
    until("it is refused", || is(&status(state.path())["standing"], &json!("refused")));
    running.kill();
    assert_eq!(status(state.path())["standing"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_names_the_token_file_that_it_uses_and_takes_another_token_that_is_put_there()
 {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::start();
    let state = super::gateway::private_dir();
    let url = format!("ws://{}", gateway.address);
    let place = state.path().to_str().unwrap();
    let asked = ["pair", "--gateway", &url, "--state", place, "--name", "Pi", "--room", "Kitchen"];
    let (code, _, err) = text(&run("handfast-node", &asked));
    assert_eq!(code, 0, "{err}");
    let id =
        gateway.json(&["list", "--pending"])["devices"][0]["node_id"].as_str().unwrap().to_owned();
    let file = state.path().join("a token");
    let keep = |token: &Value| {
        std::fs::write(&file, token["token"].as_str().unwrap()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    keep(&gateway.json(&["pair", &id]));
    let mut command = program("handfast-node");
    command
        .args(["run", "--state", place, "--token-file"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let is_online = || is(&gateway.json(&["status", &id])["status"], &json!("online"));
    until("it links", is_online);
    until("and says so", || is(&status(state.path())["standing"], &json!("linked")));
    let told = status(state.path());
    assert_eq!((&told["token"], &told["token_file"]), (&json!("file"), &json!(file)));

    // The old token dies, and the node uses the new one without a restart.
    let issued = gateway.json(&["pair", "--reissue", &id]);
    until("it is refused", || is(&status(state.path())["standing"], &json!("refused")));
    keep(&issued);
    until("it links with the other token", is_online);
    until("and says so", || is(&status(state.path())["standing"], &json!("linked")));
    running.kill();
    let told = status(state.path());
    assert_eq!(
        (&told["running"], &told["standing"], &told["token_file"]),
        (&json!(false), &Value::Null, &json!(file))
    );
}

#[test]
fn pairing_with_another_gateway_gives_up_the_first_one_with_its_token() {
    let (first, second) = (Gateway::start(), Gateway::start());
    let state = super::gateway::private_dir();
    let tokens = state.path().join("tokens.json");
    for gateway in [&first, &second] {
        let minted = gateway.answer(&["pairing", "code", "--read", "/**"]);
        let mut command = program("handfast-node");
        command.args([
            "pair",
            "--code",
            "--name",
            "Desk",
            "--room",
            "Study",
            "--gateway",
            &format!("ws://{}", gateway.address),
        ]);
        command.arg("--state").arg(state.path()).arg("--tokens").arg(&tokens).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        use std::io::Write;
        writeln!(child.stdin.take().unwrap(), "{}", minted["code"].as_str().unwrap()).unwrap();
        let (code, out, err) = text(&child.wait_with_output().unwrap());
        assert_eq!(code, 0, "{out}{err}");
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&tokens).unwrap()).unwrap();
    let entries: Vec<_> = kept["routers"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(entries, std::slice::from_ref(&second.address));
    assert_eq!(status(state.path())["tokens_entry"], json!(second.address));
    let _running = running_node(state.path());
    until("it links where it was paired last", || {
        is(&status(state.path())["link"], &json!("linked"))
    });
}

#[test]
fn only_pins_and_codes_that_can_be_used_are_listed() {
    let gateway = Gateway::start_with(&["--pairing"]);
    let listed = || gateway.answer(&["pairing", "list"])["codes"].as_array().unwrap().len();
    let mut phone = gateway.node("Phone", &["--pin"]);
    let pin = gateway.pin(1);
    assert_eq!(listed(), 1);
    let (_, out, _) = gateway.verb(&["pairing", "list"]);
    assert!(out.contains("TRIES") && out.contains("USES LEFT"), "{out}");
    for _ in 0..5 {
        phone.types(&super::gateway::other(&pin));
    }
    assert_eq!(phone.ends().0, 1);
    assert_eq!(listed(), 0, "it is locked");
    let _other = gateway.node("Other", &["--pin"]);
    gateway.pin(2);
    assert_eq!(listed(), 1);
    assert_eq!(gateway.verb(&["pairing", "close"]).0, 0);
    assert_eq!(listed(), 0, "it cannot be guessed any more");
}

#[test]
fn a_copy_of_a_nodes_state_that_links_is_noticed_at_the_gateway_and_by_the_node() {
    let gateway = Gateway::start();
    let (state, mut running) = paired(&gateway);
    running.kill();
    let copy = super::gateway::private_dir();
    for file in std::fs::read_dir(state.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let log = copy.path().join("first.log");
    let mut first = program("handfast-node");
    first.arg("run").arg("--state").arg(state.path()).stdout(Stdio::null());
    first.stderr(std::fs::File::create(&log).unwrap());
    let _first = Running(first.spawn().unwrap());
    let says = |words: &str| {
        until(words, || {
            let said = std::fs::read_to_string(&log).unwrap();
            if said.contains(words) { Ok(()) } else { Err(said) }
        });
    };
    says("linked");
    let _second = running_node(copy.path());
    says("is its state directory in use on another machine, too?");
    // Two machines that take turns do so at the longest interval.
    says("trying again in");
    let said = std::fs::read_to_string(&log).unwrap();
    let (_, wait) = said.rsplit_once("trying again in ").unwrap();
    let seconds: f32 = wait.split(' ').next().unwrap().parse().unwrap();
    assert!(seconds > 40.0, "{said}");
    until("the gateway's log names it", || {
        let said = gateway.log();
        if said.contains("its older link is ended") { Ok(()) } else { Err(said) }
    });
}
