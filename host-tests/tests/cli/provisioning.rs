//! Provisioning tokens through the commands, and a node that registers over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use handfast_core::wire::provisioning::sealed::Call;
use serde_json::{Value, json};

use super::gateway::{Gateway, private_dir};
use super::nodes::{is, until};
use super::sealed_phone::{Phone, Told};
use crate::binaries::{Running, program, run, text};

/// Sends a request, for example `"GET /health"`. Returns the status and the answer.
fn call(address: &str, line: &str, body: &str) -> (u16, Value) {
    let head = format!("{line} HTTP/1.1\r\nHost: here\r\nConnection: close");
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// Asks the node what a phone asks the internet. Returns the status, and where it leads.
fn probe(address: &str, path: &str, host: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
    (status, location.map(str::to_owned))
}

/// Posts a registration. Returns the status and the answer.
fn register(gateway: &Gateway, node: &str, token: &str) -> (u16, Value) {
    let body = json!({ "node_id": node, "provisioning_token": token, "room": "Kitchen" });
    call(&gateway.address, "POST /api/v0/nodes/register", &body.to_string())
}

/// Starts a node that waits to be provisioned. Returns it with the address of its API.
fn unprovisioned(state: &Path, more: &[&str]) -> (Running, String) {
    let (node, address, _) = logged(state, more);
    (node, address)
}

/// Starts such a node. Returns it with the address of its API, and what it logs from then on.
fn logged(state: &Path, more: &[&str]) -> (Running, String, Arc<Mutex<String>>) {
    let mut command = program("handfast-node");
    command.args(["provision", "--simulate", "--listen", "127.0.0.1", "--port", "0"]);
    command.args(["--captive-port", "0"]).args(more);
    command.arg("--state").arg(state).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = said.next().expect("the program still runs").unwrap();
        if let Some((_, rest)) = line.split_once("Provisioning at http://") {
            break rest.split([' ', ',']).next().unwrap().to_owned();
        }
    };
    // Read on, so that the program never waits for its reader.
    let log = Arc::<Mutex<String>>::default();
    let written = log.clone();
    std::thread::spawn(move || {
        said.map_while(Result::ok)
            .for_each(|line| written.lock().unwrap().push_str(&(line + "\n")));
    });
    (Running(child), address, log)
}

const NODE: &str = "jarvis-0a1b2c3d";

#[test]
fn a_token_is_shown_once_registers_its_node_and_the_node_is_shown_like_every_node() {
    let gateway = Gateway::start();
    let (code, out, err) = gateway.verb(&["codes", "create", "--node-id", NODE]);
    assert_eq!(code, 0, "{err}");
    let token = out.lines().next().unwrap().to_owned();
    assert!(token.starts_with("prov_") && out.contains("shown this once"), "{out}");
    let (_, listed, _) = gateway.verb(&["codes", "list"]);
    assert!(listed.contains("provisioning") && listed.contains(NODE), "{listed}");
    assert!(!listed.contains(&token[30..]), "{listed}");

    let (status, answer) = register(&gateway, NODE, &token);
    assert_eq!((status, &answer["node_id"]), (201, &json!(NODE)), "{answer}");
    assert_eq!(register(&gateway, NODE, &token).0, 401, "a token is spent by its first use");
    let node = gateway.answer(&["nodes", "describe", NODE]);
    assert_eq!((&node["flow"], &node["registered_as"]), (&json!("provisioning"), &json!(NODE)));
    let (code, _, err) = gateway.verb(&["nodes", "rename", NODE, "Kitchen Pi"]);
    assert_eq!(code, 0, "{err}");
    let (_, out, _) = gateway.verb(&["nodes", "describe", "Kitchen Pi"]);
    assert!(out.contains("registered as") && out.contains(NODE), "{out}");
    let log = gateway.log();
    assert!(!log.contains(&token[5..]), "no token is in the log");
    assert!(!log.contains(answer["node_key"].as_str().unwrap()), "no key is in the log");
}

#[test]
fn a_withdrawn_token_registers_nobody() {
    let gateway = Gateway::start();
    let minted = gateway.answer(&["codes", "create", "--node-id", NODE]);
    let id = minted["id"].as_str().unwrap();
    let (code, _, err) = gateway.verb(&["codes", "withdraw", &id[..8]]);
    assert_eq!(code, 0, "{err}");
    let (status, answer) = register(&gateway, NODE, minted["token"].as_str().unwrap());
    assert_eq!(status, 401);
    assert_eq!(answer, json!({ "detail": "Invalid or expired provisioning token" }));
}

#[test]
fn options_that_a_provisioning_token_does_not_have_are_refused_with_words() {
    let gateway = Gateway::start();
    for (options, words) in [
        (&["--method", "provisioning"][..], "name it with --node-id"),
        (&["--node-id", NODE, "--method", "pin"], "leave --node-id out"),
        (&["--node-id", NODE, "--text"], "no picture"),
        (&["--node-id", NODE, "--uses", "2"], "leave --expires and --uses out"),
        (&["--node-id", NODE, "--expires", "1h"], "ten minutes"),
    ] {
        let (code, _, err) = gateway.verb(&[&["codes", "create"], options].concat());
        assert!(code == 2 && err.contains(words), "{options:?} {code} {err}");
    }
}

#[test]
fn a_node_that_a_phone_provisions_comes_online_by_itself_and_takes_tasks() {
    let gateway = Gateway::start();
    let state = private_dir();
    let (_node, address) = unprovisioned(state.path(), &["--plain"]);
    let (_, info) = call(&address, "GET /api/v1/info", "");
    let name = info["node_id"].as_str().unwrap().to_owned();
    let minted = gateway.answer(&["codes", "create", "--node-id", &name, "--read", "/rooms/**"]);
    let body = json!({
        "wifi_ssid": "HomeNetwork", "wifi_password": "correct horse", "room": "Kitchen",
        "command_center_url": format!("http://{}", gateway.address), "household_id": "home",
        "node_id": name, "provisioning_token": minted["token"],
    });
    let (status, answer) = call(&address, "POST /api/v1/provision", &body.to_string());
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    until("it is provisioned", || {
        is(&call(&address, "GET /api/v1/status", "").1["progress_percent"], &json!(100))
    });
    let describe = || gateway.answer(&["nodes", "describe", &name]);
    until("it is online", || is(&describe()["status"], &json!("online")));
    until("it has a certificate", || {
        let certificates = gateway.answer(&["certs", "list"]);
        match certificates["items"].as_array().is_some_and(|list| !list.is_empty()) {
            true => Ok(()),
            false => Err(certificates.to_string()),
        }
    });
    until("it announces what it can do", || {
        let (_, out, _) = gateway.verb(&["nodes", "describe", &name]);
        if out.contains("echo") { Ok(()) } else { Err(out) }
    });
    let invoked = gateway.answer(&["nodes", "invoke", &name, "echo", "\"hello\"", "--wait"]);
    assert_eq!(invoked["state"], "succeeded", "{invoked}");
}

/// Runs a command of the node, and returns its output as JSON.
fn node_says(args: &[&str], state: &Path) -> Value {
    let (code, out, err) =
        text(&run("handfast-node", &[args, &["--state", state.to_str().unwrap()]].concat()));
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn answered(told: Told) -> Value {
    match told {
        Told::Answered(200, answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_phone_with_the_label_provisions_a_node_that_pairs_by_an_invitation() {
    let gateway = Gateway::start();
    let state = private_dir();
    let proof = node_says(&["label", "--json"], state.path())["proof"].as_str().unwrap().to_owned();
    let (_node, address) = unprovisioned(state.path(), &["--simulated-wrong-password", "wrong"]);
    assert_eq!(call(&address, "GET /api/v1/info", "").0, 404, "nothing is served in clear");

    // A phone that looks for the internet is led to the page: at the node's own address.
    let page = Some(format!("http://{address}/"));
    let paths = ["/generate_204", "/hotspot-detect.html", "/library/test/success.html"];
    for path in paths.into_iter().chain(["/success.txt", "/connecttest.txt"]) {
        assert_eq!(probe(&address, path, "captive.example"), (302, page.clone()), "{path}");
    }
    let other = Some("http://10.42.0.1/".to_owned());
    assert_eq!(probe(&address, "/generate_204", "10.42.0.1"), (302, other));

    let mut phone = Phone::at(&address);
    assert_eq!(phone.prove("ABCD-EFGH-JKLM"), Told::Wrong(1));
    assert_eq!(phone.prove(&proof), Told::Later(1));
    until("it takes the right proof", || match phone.prove(&proof) {
        Told::Proven => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let info = answered(phone.call(Call::Info, ""));
    let name = info["node_id"].as_str().unwrap().to_owned();
    let networks = answered(phone.call(Call::Scan, ""));
    assert_eq!(networks["networks"][0]["ssid"], "HomeNetwork");

    let minted = gateway.answer(&["codes", "create", "--qr", "--read", "/**"]);
    let invitation = minted["invitation"].as_str().unwrap_or_else(|| panic!("{minted}"));
    let body = |ssid: &str, password: &str| {
        json!({
            "wifi_ssid": ssid, "wifi_password": password, "room": "Kitchen", "node_id": name,
            "gateway": invitation,
        })
        .to_string()
    };
    let status = |phone: &mut Phone| answered(phone.call(Call::Status, ""));
    for network in ["HomeNetwork", "IoT_Network"] {
        let taken = answered(phone.call(Call::Provision, &body(network, "wrong")));
        assert_eq!(taken["success"], true, "{taken}");
        until("it says what is wrong", || {
            is(&status(&mut phone)["error_code"], &json!("wrong_password"))
        });
    }
    until("it takes another try", || {
        let taken = answered(phone.call(Call::Provision, &body("HomeNetwork", "right enough")));
        is(&taken["success"], &json!(true))
    });
    until("it is provisioned", || is(&status(&mut phone)["progress_percent"], &json!(100)));
    assert_eq!(probe(&address, "/generate_204", "captive.example"), (204, None));
    until("it is online", || {
        is(&gateway.answer(&["nodes", "describe", &name])["status"], &json!("online"))
    });
    assert!(!state.path().join("provisioning/pairing").exists(), "no copy of the keys is left");

    // Only the network changes: the node stays the one that it was.
    let described = || gateway.answer(&["nodes", "describe", &name]);
    let identity = |node: &Value| (node["node_id"].clone(), node["fingerprint"].clone());
    let before = identity(&described());
    let network = json!({ "wifi_ssid": "IoT_Network", "wifi_password": "right enough" });
    let taken = answered(phone.call(Call::Network, &network.to_string()));
    assert_eq!(taken["success"], true, "{taken}");
    until("it has moved", || is(&status(&mut phone)["progress_percent"], &json!(100)));
    until("it is online again", || is(&described()["status"], &json!("online")));
    assert!(before.0.is_string() && before.1.is_string(), "{before:?}");
    assert_eq!(identity(&described()), before);

    // The phone sends K2, and both share settings under it.
    let k2 = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
    let body = json!({
        "node_id": name, "kid": "k", "k2": k2, "created_at": "2026-01-01T00:00:00Z",
    });
    let refused = answered(phone.call(Call::K2, &body.to_string()));
    assert!(refused["error"].as_str().unwrap().contains("already provisioned"), "{refused}");

    let log = gateway.log();
    assert!(!log.contains(&invitation[invitation.len() - 12..]), "no code is in the log");
}

#[test]
fn a_node_whose_radio_starts_only_open_access_points_says_what_that_does_not_protect() {
    let state = private_dir();
    let proof = node_says(&["label", "--json"], state.path())["proof"].as_str().unwrap().to_owned();
    let (_node, address, log) = logged(state.path(), &["--simulated-open-only"]);
    let mut phone = Phone::at(&address);
    assert_eq!(phone.prove(&proof), Told::Proven);
    let info = answered(phone.call(Call::Info, ""));
    assert_eq!(info["access_point_note"], Value::Null, "{info}");
    until("it falls back", || {
        is(&answered(phone.call(Call::Info, ""))["access_point"], &json!("open"))
    });
    let info = answered(phone.call(Call::Info, ""));
    let note = info["access_point_note"].as_str().unwrap();
    assert!(note.contains("nobody who listens can read it"), "{note}");
    assert!(note.contains("anybody can offer a network of the same name"), "{note}");
    assert!(log.lock().unwrap().contains(note), "the log says the same");

    let state = private_dir();
    let more = ["--simulated-open-only", "--no-open-access-point"];
    let (_node, _address, log) = logged(state.path(), &more);
    std::thread::sleep(std::time::Duration::from_secs(25));
    assert!(!log.lock().unwrap().contains("open"), "none is offered");
}

#[test]
fn after_a_factory_reset_a_phone_meets_a_node_with_another_key_at_once() {
    let state = private_dir();
    let proof = node_says(&["label", "--json"], state.path())["proof"].as_str().unwrap().to_owned();
    let (_node, address) = unprovisioned(state.path(), &[]);
    let (mut owner, mut other) = (Phone::at(&address), Phone::at(&address));
    assert_eq!(owner.prove(&proof), Told::Proven);
    let before = owner.key();
    let reset = answered(owner.call(Call::FactoryReset, ""));
    assert_eq!(reset["success"], true, "{reset}");
    // The exchange was sealed by the key that is gone.
    assert_eq!(owner.call(Call::Status, ""), Told::Refused(404));
    for phone in [&mut owner, &mut other] {
        assert_eq!(phone.prove(&proof), Told::Proven, "the label stays");
        assert_ne!(phone.key(), before);
    }
    assert_eq!(other.key(), owner.key());
}

#[test]
fn settings_are_sealed_under_the_key_that_the_phone_sent_and_opened_again() {
    let gateway = Gateway::start();
    let state = private_dir();
    let (_node, address) = unprovisioned(state.path(), &["--plain"]);
    let (_, info) = call(&address, "GET /api/v1/info", "");
    let name = info["node_id"].as_str().unwrap().to_owned();
    let k2 = json!({
        "node_id": name, "kid": "k", "k2": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        "created_at": 1_767_225_600,
    });
    let (_, answer) = call(&address, "POST /api/v1/provision/k2", &k2.to_string());
    assert_eq!(answer["success"], true, "{answer}");
    let minted = gateway.answer(&["codes", "create", "--node-id", &name]);
    let body = json!({
        "wifi_ssid": "HomeNetwork", "wifi_password": "correct horse", "room": "Kitchen",
        "command_center_url": format!("http://{}", gateway.address), "household_id": "home",
        "node_id": name, "provisioning_token": minted["token"],
    });
    call(&address, "POST /api/v1/provision", &body.to_string());
    until("it is provisioned", || {
        is(&call(&address, "GET /api/v1/status", "").1["progress_percent"], &json!(100))
    });
    let settings = |way: &str, input: &str| {
        let mut command = program("handfast-node");
        command.args(["settings", way, "--state"]).arg(state.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        text(&child.wait_with_output().unwrap())
    };
    let (code, sealed, err) = settings("seal", r#"{"volume":7,"name":"Küche"}"#);
    assert_eq!(code, 0, "{err}");
    let (_, opened, _) = settings("open", &sealed);
    let opened: Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(opened, json!({ "volume": 7, "name": "Küche" }));
    let mut other: Value = serde_json::from_str(&sealed).unwrap();
    other["tag"] = other["nonce"].clone();
    let (code, _, err) = settings("open", &other.to_string());
    assert!(code == 1 && err.contains("not sealed under this node's K2"), "{err}");
}
