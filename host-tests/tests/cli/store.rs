//! A registry that is older than its mark, one that cannot be written, and a missing socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use handfast_store::SqliteStore;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use super::companion::Companion;
use super::gateway::{Gateway, private_dir};
use crate::binaries::{run, text};

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until a condition holds.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Prevents the gateway from writing to any file, as on a full disk, or allows it again. The writes
/// really fail, with "file too large".
fn writes(gateway: &Gateway, may: bool) {
    let pid = Pid::from_child(&gateway.running.0);
    let current = if may { None } else { Some(0) };
    prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
}

/// Sends a request over HTTP, and returns the status and the body.
fn get(gateway: &Gateway, path: &str) -> (u16, String) {
    ask(TcpStream::connect(&gateway.address).unwrap(), path)
}

fn ask(mut socket: impl Read + Write, path: &str) -> (u16, String) {
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Pairs a node of the first dialect, and returns its id and its token.
async fn paired(gateway: &Gateway, name: &str) -> (String, String) {
    let id = gateway.ask(name).await;
    let token = gateway.json(&["pair", &id])["token"].as_str().unwrap().to_owned();
    (id, token)
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Opens a link of such a node.
async fn link(gateway: &Gateway, node_id: &str, token: &str) -> Socket {
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}", gateway.address)).await.unwrap();
    let request = json!({"type": "auth", "node_id": node_id, "token": token}).to_string();
    socket.send(request.into()).await.unwrap();
    let answer: Value =
        serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(answer["type"], "auth_ok");
    socket
}

/// Waits until the gateway has ended a link.
async fn ends(mut socket: Socket) {
    let ended = async {
        while !matches!(
            socket.next().await,
            None | Some(Err(_)) | Some(Ok(tokio_tungstenite::tungstenite::Message::Close(_)))
        ) {}
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the link goes on");
}

fn is_cut_and_not_stored((code, _, err): (i32, String, String)) {
    assert!(
        code == 1
            && err.contains("is out until this gateway restarts")
            && err.contains("free disk space"),
        "{code} {err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_put_out_while_the_disk_is_full_is_out_at_once_and_for_good_once_there_is_space()
{
    let gateway = Gateway::start();
    let (muted, muted_token) = paired(&gateway, "Muted").await;
    let (unpaired, unpaired_token) = paired(&gateway, "Unpaired").await;
    let (silent, silent_token) = paired(&gateway, "Silent").await;
    let (code, _, err) = gateway.devices(&["mute", &silent]);
    assert_eq!(code, 0, "{err}");
    let (rejected, waiting) = (gateway.ask("Rejected").await, gateway.ask("Waiting").await);
    let companion = Companion::of(&gateway, "Phone");
    let session = gateway.answer(&["setup", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    let minted = gateway.answer(&["pairing", "code"])["id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.verb(&["inbound", "seed", "telegram", "bot", "@ana"]).0, 0);
    let links = [
        link(&gateway, &muted, &muted_token).await,
        link(&gateway, &unpaired, &unpaired_token).await,
    ];
    assert_eq!((get(&gateway, "/health").0, get(&gateway, "/ready").0), (200, 200));

    writes(&gateway, false);
    is_cut_and_not_stored(gateway.devices(&["mute", &muted]));
    is_cut_and_not_stored(gateway.devices(&["unpair", "--yes", &unpaired]));
    for link in links {
        ends(link).await;
    }
    is_cut_and_not_stored(gateway.devices(&["reject", &rejected]));
    is_cut_and_not_stored(gateway.verb(&["setup", "revoke", "--yes", &session]));
    is_cut_and_not_stored(gateway.verb(&["pairing", "withdraw", &minted]));
    is_cut_and_not_stored(gateway.verb(&["inbound", "block", "telegram:@ana"]));
    // Repeating the decision gives the same answer.
    is_cut_and_not_stored(gateway.devices(&["mute", &muted]));
    is_cut_and_not_stored(gateway.devices(&["unpair", "--yes", &unpaired]));

    // Nobody gets around it by reconnecting, and nobody new is admitted.
    assert_eq!(gateway.auth(&muted, &muted_token).await, "muted");
    assert_eq!(gateway.auth(&unpaired, &unpaired_token).await, "auth_fail");
    assert_ne!(companion.says(&["status"]).0, 0);
    assert_eq!(gateway.answer(&["pairing", "list"])["codes"], json!([]));
    for widening in
        [&["pair", &waiting][..], &["unmute", &silent], &["unmute", &muted], &["pair", &rejected]]
    {
        let (code, _, err) = gateway.devices(widening);
        assert!(code == 1 && !err.contains("is out until"), "{widening:?}: {err}");
    }
    for (id, token) in [(&silent, &silent_token), (&muted, &muted_token)] {
        assert_eq!(gateway.auth(id, token).await, "muted");
    }

    let status = gateway.json(&["status"])["store"].clone();
    assert!(
        status["failing"] == true && status["unstored"].as_array().unwrap().len() == 6,
        "{status}"
    );
    let (_, out, _) = gateway.devices(&["status"]);
    assert!(out.contains("not stored yet") && out.contains(&muted), "{out}");
    assert_eq!((get(&gateway, "/health").0, get(&gateway, "/ready").0), (503, 503));
    assert!(get(&gateway, "/ready").1.contains("6 decisions"), "{}", get(&gateway, "/ready").1);
    let socket =
        std::os::unix::net::UnixStream::connect(gateway.data.path().join("handfast.sock")).unwrap();
    let metrics = ask(socket, "/metrics").1;
    let value = |name: &str| {
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
            .unwrap()
    };
    assert!(value("handfast_store_write_failures_total") >= 6.0, "{metrics}");
    assert!(
        value("handfast_store_failing") == 1.0 && value("handfast_decisions_unstored") == 6.0,
        "{metrics}"
    );

    writes(&gateway, true);
    until("the decisions are not stored", || {
        gateway.json(&["status"])["store"]["unstored"] == json!([])
    });
    until("the gateway is not well again", || {
        (get(&gateway, "/health").0, get(&gateway, "/ready").0) == (200, 200)
    });
    let gateway = gateway.crash_and_restart();
    assert_eq!(gateway.auth(&muted, &muted_token).await, "muted");
    assert_eq!(gateway.auth(&unpaired, &unpaired_token).await, "auth_fail");
    assert_ne!(companion.says(&["status"]).0, 0);
    assert_eq!(gateway.devices(&["unmute", &muted]).0, 0);
    assert_eq!(gateway.auth(&muted, &muted_token).await, "auth_ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_keys_is_cut_off_while_the_disk_is_full_and_one_that_pairs_is_told_what_is_wrong()
 {
    let gateway = Gateway::start_with(&["--pairing"]);
    let state = private_dir();
    let mut node = gateway.node_in(&state, "Phone", &["--pin"]);
    node.types(&gateway.pin(1));
    assert_eq!(node.ends().0, 0);
    let mut linked = gateway.run_node(&state);
    until("the node does not link", || gateway.json(&["list"])["items"][0]["status"] == "online");

    writes(&gateway, false);
    is_cut_and_not_stored(gateway.verb(&["paired", "revoke", "Phone", "--yes"]));
    until("the link goes on", || {
        gateway.json(&["list", "--all"])["items"][0]["status"] == "offline"
    });
    linked.kill();
    let mut again = gateway.run_node(&state);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(
            gateway.json(&["list", "--all"])["items"][0]["status"],
            "offline",
            "it came back"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    again.kill();
    let (code, out) = gateway.node("Tablet", &["--pin"]).ends();
    assert!(code == 1 && out.contains("the gateway cannot store anything at the moment"), "{out}");
    assert!(!out.contains("too much to do"), "{out}");

    writes(&gateway, true);
    until("the decision is not stored", || {
        gateway.json(&["status"])["store"]["unstored"] == json!([])
    });
    let gateway = gateway.crash_and_restart();
    assert_eq!(gateway.json(&["list", "--all"])["items"][0]["standing"], "revoked");
}

#[test]
fn a_node_that_is_narrowed_while_the_disk_is_full_is_narrow_at_once_and_for_good_once_there_is_space()
 {
    let gateway = Gateway::start();
    let (state, mut running) = super::nodes::paired(&gateway);
    let in_force = |gateway: &Gateway| {
        gateway.answer(&["nodes", "permissions", "Desk"])["in_force"]["permissions"].clone()
    };
    let narrow = json!({"read": ["/only/**"], "write": []});

    writes(&gateway, false);
    for _ in 0..2 {
        let (code, _, err) = gateway.verb(&["nodes", "permissions", "Desk", "--read", "/only/**"]);
        let told = "has no more than its narrower permissions until this gateway restarts";
        assert!(code == 1 && err.contains(told) && err.contains("free disk space"), "{code} {err}");
        assert_eq!(in_force(&gateway), narrow);
    }
    let (code, _, err) = gateway.verb(&["nodes", "permissions", "Desk", "--read", "/**"]);
    assert!(code == 1 && !err.contains("until this gateway restarts"), "{code} {err}");
    assert_eq!(in_force(&gateway), narrow);
    let (_, out, _) = gateway.devices(&["status"]);
    assert!(out.contains("not stored yet") && out.contains("narrower permissions"), "{out}");

    writes(&gateway, true);
    until("the decision is not stored", || {
        gateway.json(&["status"])["store"]["unstored"] == json!([])
    });
    until("the node does not learn of it", || {
        super::nodes::status(state.path())["permissions"] == json!(["read:/only/**"])
    });
    running.kill();
    let gateway = gateway.crash_and_restart();
    assert_eq!(in_force(&gateway), narrow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_in_order_waits_for_what_is_not_stored() {
    let mut gateway = Gateway::start();
    let (id, token) = paired(&gateway, "Lamp").await;
    writes(&gateway, false);
    is_cut_and_not_stored(gateway.devices(&["mute", &id]));
    rustix::process::kill_process(
        Pid::from_child(&gateway.running.0),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    until("it does not shut down", || TcpStream::connect(&gateway.address).is_err());
    writes(&gateway, true);
    assert!(gateway.running.0.wait().unwrap().success());
    let gateway = gateway.crash_and_restart();
    assert_eq!(gateway.auth(&id, &token).await, "muted");
}

#[test]
fn a_socket_that_is_removed_or_replaced_comes_back_while_the_gateway_runs() {
    let gateway = Gateway::start();
    let socket = gateway.data.path().join("handfast.sock");
    let spoil: [fn(&Path); 3] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| {
            std::fs::write(path.with_extension("x"), "")
                .and_then(|()| std::fs::rename(path.with_extension("x"), path))
                .unwrap();
        },
        |path| {
            std::fs::remove_file(path).unwrap();
            drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        },
    ];
    for spoil in spoil {
        spoil(&socket);
        until("the socket does not come back", || gateway.devices(&["status"]).0 == 0);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&socket).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
    std::fs::remove_file(&socket).unwrap();
    // The test does not retry: the command itself waits for the socket.
    let (code, _, err) = gateway.devices(&["status"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn whoever_has_the_registry_is_named_by_the_command_and_by_a_second_gateway() {
    let gateway = Gateway::start();
    let (code, _, err) =
        text(&run("handfast", &["serve", "--listen", "127.0.0.1:0", "--data", gateway.data()]));
    let named = format!("process {} has this registry open", gateway.running.0.id());
    assert!(code == 1 && err.contains(&named), "{err}");
    let data = private_dir();
    let _held = SqliteStore::open(&data.path().join("handfast.db")).unwrap();
    let (code, _, err) =
        text(&run("handfast", &["devices", "list", "--data", data.path().to_str().unwrap()]));
    let named = format!("process {} has the registry in", std::process::id());
    assert!(code == 1 && err.contains(&named) && !err.contains("no gateway runs"), "{err}");
}

/// Returns the size of the log beside the registry.
fn log_bytes(gateway: &Gateway) -> u64 {
    std::fs::metadata(gateway.data.path().join("handfast.db-wal")).map_or(0, |found| found.len())
}

fn serve(data: &Path, more: &[&str]) -> (i32, String, String) {
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    args.extend(more);
    text(&run("handfast", &args))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_running_gateways_database_brings_no_revoked_node_back_without_a_word() {
    for with_log in [true, false] {
        let mut gateway = Gateway::start();
        let (id, token) = paired(&gateway, "Lamp").await;
        until("the log is not emptied", || log_bytes(&gateway) == 0);
        let database = gateway.data.path().join("handfast.db");
        let copied = std::fs::read(&database).unwrap();
        assert_eq!(gateway.devices(&["unpair", "--yes", &id]).0, 0);
        until("the log is not emptied", || log_bytes(&gateway) == 0);
        gateway.ask("Another").await;
        let number = || {
            let mark =
                std::fs::read_to_string(gateway.data.path().join("handfast.generation")).unwrap();
            mark.lines().find_map(|line| line.strip_prefix("number ")?.parse::<u64>().ok()).unwrap()
        };
        let before = number();
        gateway.ask("A third").await;
        until("the mark does not follow", || number() > before);
        gateway.running.kill();
        // Into the existing file, as cp does.
        std::fs::write(&database, copied).unwrap();
        if with_log {
            let (code, _, err) = serve(gateway.data.path(), &[]);
            assert!(code == 1 && err.contains("handfast.db-wal"), "{err}");
        }
        let _ = std::fs::remove_file(gateway.data.path().join("handfast.db-wal"));
        let (code, _, err) = serve(gateway.data.path(), &[]);
        assert!(
            code == 1
                && err.contains("serve --accept-older-store")
                && err.contains("was acknowledged"),
            "{err}"
        );
        let gateway = gateway.crash_and_restart_with(&["--accept-older-store"]);
        assert!(gateway.log().contains("was accepted"), "{}", gateway.log());
        assert_eq!(gateway.auth(&id, &token).await, "auth_ok", "that is what accepting means");
        let gateway = gateway.crash_and_restart();
        assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_while_the_gateway_runs_and_restored_with_what_is_lost_by_it() {
    let mut gateway = Gateway::start();
    let (id, token) = paired(&gateway, "Lamp").await;
    let folder = private_dir();
    let file = folder.path().join("backup.db");
    let file = file.to_str().unwrap();
    let (code, out, err) = gateway.verb(&["backup", file]);
    assert!(code == 0 && out.contains(": 1 node, "), "{out}{err}");
    for name in ["store.key", "setup.key", "ca"] {
        let line = format!("  {}\n", gateway.data.path().join(name).display());
        assert!(out.contains(&line), "{name}: {out}");
    }
    assert_eq!(gateway.devices(&["unpair", "--yes", &id]).0, 0);
    let (code, _, err) = gateway.verb(&["restore", file]);
    assert!(code == 1 && err.contains(&format!("process {} has", gateway.running.0.id())), "{err}");
    gateway.running.kill();
    let (code, out, err) = gateway.verb(&["restore", file]);
    assert!(
        code == 0
            && out.contains("1 node was revoked and is let in again")
            && out.contains("handfast serve --data"),
        "{out}{err}"
    );
    let elsewhere = private_dir();
    let at = elsewhere.path().to_str().unwrap();
    let (code, out, err) = text(&run("handfast", &["restore", file, "--data", at]));
    let named = ["store.key", "setup.key", "ca"].map(|name| out.contains(&format!("  {name}\n")));
    assert!(code == 0 && named == [true; 3], "{out}{err}");
    let gateway = gateway.crash_and_restart();
    assert_eq!(gateway.auth(&id, &token).await, "auth_ok");
    let (code, _, err) = gateway.verb(&["backup", "/dev/full"]);
    assert!(code == 1 && err.contains("/dev/full"), "{err}");
    assert_eq!(gateway.verb(&["restore", "/nowhere"]).0, 1);
}

#[test]
fn a_registry_behind_a_link_is_refused_with_the_option_that_names_its_own_directory() {
    let mut gateway = Gateway::start();
    gateway.running.kill();
    let data = private_dir();
    std::os::unix::fs::symlink(
        gateway.data.path().join("handfast.db"),
        data.path().join("handfast.db"),
    )
    .unwrap();
    let (code, _, err) = serve(data.path(), &[]);
    assert!(code == 1 && err.contains(&format!("--data {}", gateway.data())), "{err}");
}
