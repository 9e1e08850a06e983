//! The operator's command line and the gateway as a process.

mod approving;
mod audit;
mod certs;
mod companion;
mod crashes;
mod definitions;
pub(crate) mod delegated;
mod delivery;
mod doctor;
mod extensions;
mod full_disk;
pub(crate) mod gateway;
mod gateway_key;
mod guides;
mod hints;
mod identity;
mod import;
mod inbound;
mod login;
mod moving;
mod narrow;
mod nodes;
mod operator_api;
mod operators;
mod output;
mod output_alone;
mod output_nodes;
mod own_tls;
mod packaging;
mod pairing;
mod provisioning;
mod readme;
mod rejecting;
mod reload;
mod sealed_phone;
mod serving;
mod setup;
mod several_gateways;
mod spans;
mod store;
mod tasks;
mod time;
mod waiting;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;

use crate::binaries::{Running, program, run, text};
use gateway::{Gateway, private_dir};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_lists_approves_mutes_unmutes_and_unpairs() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    let (code, out, _) = gateway.devices(&["list", "--pending"]);
    assert!(
        code == 0
            && out.contains(&id[..8])
            && out.contains("Kitchen Pi")
            && out.contains("127.0.0.1"),
        "{out}"
    );

    let (code, out, _) = gateway.devices(&["pair", "--node-id", &id[..8]]);
    let token = out.lines().next().unwrap().to_owned();
    assert!(code == 0 && token.len() == 43, "{out}");
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");

    let (code, _, err) = gateway.devices(&["unpair", &id]);
    assert!(code == 2 && err.contains("--yes"), "{err}");
    for (verb, more, answer) in [
        ("mute", None, "muted"),
        ("unmute", None, "auth_ok"),
        ("unpair", Some("--yes"), "auth_fail"),
    ] {
        assert_eq!(gateway.devices(&[&[verb, id.as_str()][..], more.as_slice()].concat()).0, 0);
        assert_eq!(gateway.auth(&id, &token).await, answer, "after {verb}");
    }
    assert_eq!(gateway.json(&["list"])["items"], json!([]));
    assert_eq!(gateway.json(&["list", "--all"])["items"][0]["standing"], "revoked");
    assert_eq!(gateway.json(&["status"])["nodes"]["revoked"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pairing_without_an_id_takes_the_only_pending_node_and_lists_several() {
    let gateway = Gateway::start();
    let (code, _, err) = gateway.devices(&["pair"]);
    assert!(code == 1 && err.contains("no node waits"), "{err}");
    gateway.ask("One").await;
    assert_eq!(gateway.devices(&["pair"]).0, 0);
    gateway.ask("Two").await;
    gateway.ask("Three").await;
    let (code, _, err) = gateway.devices(&["pair"]);
    assert!(code == 2 && err.contains("Two") && err.contains("Three"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_refused_from_usage() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    assert_eq!(gateway.devices(&["pair", &id]).0, 0);
    let (code, _, err) = gateway.devices(&["pair", &id]);
    assert!(code == 1 && err.contains("paired already"), "{err}");
    let (code, _, err) =
        gateway.devices(&["unpair", "--yes", "00000000-0000-4000-8000-000000000000"]);
    assert!(code == 1 && err.contains("whole name"), "{err}");
    let (code, _, err) = gateway.devices(&["unpair", "--yes", "../status"]);
    assert!(code == 1 && err.contains("whole name"), "{err}");
    assert_eq!(gateway.devices(&["policy", &id, "--mode", "loud"]).0, 2);
    assert_eq!(gateway.devices(&["dance"]).0, 2);
    assert_eq!(gateway.devices(&["policy", &id, "--mode", "safe-chat"]).0, 0);
    assert_eq!(gateway.json(&["status", &id])["policy_mode"], "safe-chat");
}

#[test]
fn every_verb_says_that_no_gateway_runs_and_how_to_start_one() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    for verb in [
        &["devices", "list"][..],
        &["devices", "pair"],
        &["devices", "mute", "abc"],
        &["devices", "status"],
        &["pairing", "open"],
        &["pairing", "close"],
        &["pairing", "list"],
        &["pairing", "qr"],
        &["pairing", "code"],
        &["pairing", "withdraw", "K7QF"],
        &["paired", "list"],
        &["paired", "revoke", "My Phone", "--yes"],
        &["paired", "revoke-all", "--yes"],
        &["setup", "start"],
        &["setup", "list"],
        &["setup", "revoke", "--all", "--yes"],
        &["setup", "refresh", "ab"],
        &["setup", "rotate-key"],
        &["inbound", "list"],
        &["inbound", "approve", "ABCD2345"],
        &["inbound", "block", "telegram:@ana"],
        &["inbound", "seed", "telegram", "bot", "@ana"],
        &["gateway", "fingerprint"],
        &["clock"],
        &["clock", "accept"],
        &["audit", "list"],
        &["audit", "verify"],
        &["audit", "prove", "0"],
        &["audit", "export"],
        &["watch"],
        &["login"],
        &["operators", "list"],
        &["operators", "revoke", "012345", "--yes"],
        &["tokens", "list"],
        &["tokens", "create", "--role", "viewer"],
    ] {
        let mut args = verb.to_vec();
        args.extend(["--data", path]);
        let (code, _, err) = text(&run("handfast", &args));
        assert!(
            code == 1 && err.contains("no gateway runs") && err.contains("handfast serve --data"),
            "{err}"
        );
    }
}

#[test]
fn a_second_gateway_on_the_same_data_is_refused() {
    let gateway = Gateway::start();
    let (code, _, err) =
        text(&run("handfast", &["serve", "--listen", "127.0.0.1:0", "--data", gateway.data()]));
    assert!(code == 1 && err.contains("handfast status --data"), "{err}");
    assert_eq!(gateway.devices(&["status"]).0, 0, "the first one still serves");
}

#[test]
fn what_is_kept_is_readable_by_its_owner_alone() {
    let gateway = Gateway::start();
    let mut folders = vec![gateway.data.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // A file that was just being written has another name by now.
            let Ok(found) = std::fs::metadata(&path) else { continue };
            let private = if found.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(found.permissions().mode() & 0o777, private, "{}", path.display());
            folders.extend(found.is_dir().then_some(path));
        }
    }
    let open = tempfile::tempdir().unwrap();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, _, err) = text(&run(
        "handfast",
        &["serve", "--listen", "127.0.0.1:0", "--data", open.path().to_str().unwrap()],
    ));
    assert!(code == 1 && err.contains("chmod 700"), "{err}");
}

#[test]
fn a_data_directory_too_deep_for_a_socket_is_a_clear_error() {
    let data = tempfile::tempdir().unwrap();
    let deep = data.path().join("d".repeat(100));
    let (code, _, err) = text(&run(
        "handfast",
        &["serve", "--listen", "127.0.0.1:0", "--data", deep.to_str().unwrap()],
    ));
    assert!(code == 1 && err.contains("107") && !deep.exists(), "{err}");
}

#[test]
fn a_registry_that_has_vanished_is_not_begun_anew_without_a_word() {
    let ways: [fn(&Path) -> std::io::Result<()>; 2] =
        [|path| std::fs::remove_file(path), |path| std::fs::write(path, "")];
    for vanish in ways {
        let mut gateway = Gateway::start();
        gateway.running.kill();
        vanish(&gateway.data.path().join("handfast.db")).unwrap();
        let (code, _, err) =
            text(&run("handfast", &["serve", "--listen", "127.0.0.1:0", "--data", gateway.data()]));
        assert!(
            code == 1 && err.contains("the registry was here") && err.contains("handfast.db.lock"),
            "{err}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_log_nobody_reads_serves_on() {
    let data = private_dir();
    let mut command = program("handfast");
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Its standard error is a pipe that fills up and then is closed.
    let unread = child.stderr.take();
    let gateway = Gateway::of(child, data, std::path::PathBuf::new());
    for n in 0..40 {
        gateway.ask(&format!("node {n}")).await;
    }
    drop(unread);
    let id = gateway.ask("Kitchen Pi").await;
    let token = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
}

#[test]
fn token_hash_reproduces_the_check_vector() {
    let hash = |id: &str, token: &str| {
        let mut command = program("handfast");
        command
            .args(["token", "hash", "--node-id", id])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        text(&child.wait_with_output().unwrap())
    };
    let (code, out, _) = hash(
        "caa4270d-912f-4099-ac2d-45e9d0253e3e",
        "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ\n",
    );
    assert_eq!(
        (code, out.trim()),
        (0, "bf2eb2b4ebe1ff9da42988c31ddc553050e2870f8a9e935f94218e75693e97a3")
    );
    assert_eq!(hash("nobody", "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ").0, 2);
    assert_eq!(hash("caa4270d-912f-4099-ac2d-45e9d0253e3e", "short").0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut gateway = Gateway::start();
    let mut tokens = Vec::new();
    for round in 0..3 {
        let waiting = gateway.ask(&format!("Waiting {round}")).await;
        let id = gateway.ask(&format!("Paired {round}")).await;
        let token = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
        let muted = gateway.ask(&format!("Muted {round}")).await;
        for verb in ["pair", "mute"] {
            let (code, _, err) = gateway.devices(&[verb, &muted]);
            assert_eq!(code, 0, "{err}");
        }
        tokens.push((waiting, id, token, muted));
        gateway = gateway.crash_and_restart();
        for (waiting, id, token, muted) in &tokens {
            assert_eq!(gateway.json(&["status", waiting])["standing"], "pending");
            assert_eq!(gateway.json(&["status", muted])["standing"], "muted");
            assert_eq!(gateway.auth(id, token).await, "auth_ok");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_ever_reaches_a_log() {
    let gateway = Gateway::start();
    let id = gateway.ask("Kitchen Pi").await;
    let token = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
    }
    let wrong = "A".repeat(43);
    assert_eq!(gateway.auth(&id, &wrong).await, "auth_fail");
    assert_eq!(gateway.devices(&["unpair", "--yes", &id]).0, 0);
    assert_eq!(gateway.auth(&id, &token).await, "auth_fail");
    let mut log = String::new();
    std::fs::File::open(&gateway.log).unwrap().read_to_string(&mut log).unwrap();
    let _ = std::fs::remove_file(&gateway.log);
    assert!(log.contains("linked"), "the log was written at all");
    assert!(
        !log.contains(&token) && !log.contains(&token[8..30]) && !log.contains(&wrong),
        "a token is in the log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_gateway_says_goodbye_and_exits_0() {
    use futures_util::StreamExt;
    let mut gateway = Gateway::start();
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}", gateway.address)).await.unwrap();
    let pid = gateway.running.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let last = socket.next().await.unwrap().unwrap();
    assert!(
        matches!(last, tokio_tungstenite::tungstenite::Message::Close(Some(frame)) if u16::from(frame.code) == 1001)
    );
    drop(socket);
    assert_eq!(gateway.running.0.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linux_node_pairs_and_links_through_the_commands() {
    let gateway = Gateway::start();
    let state = private_dir();
    let state = state.path().to_str().unwrap();
    let url = format!("ws://{}", gateway.address);
    let (code, out, err) = text(&run(
        "handfast-node",
        &["pair", "--gateway", &url, "--state", state, "--name", "Kitchen Pi", "--room", "Kitchen"],
    ));
    assert_eq!(code, 0, "{err}");
    let id =
        gateway.json(&["list", "--pending"])["devices"][0]["node_id"].as_str().unwrap().to_owned();
    assert!(out.contains(&format!("handfast approve {id}")), "{out}");
    let token = gateway.json(&["pair"])["token"].as_str().unwrap().to_owned();
    let file = gateway.data.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let node = program("handfast-node")
        .args(["run", "--state", state, "--token-file"])
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _node = Running(node);
    crate::conformance::eventually(async || gateway.json(&["status", &id])["status"] == "online")
        .await;
}
