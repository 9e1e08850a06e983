//! The audit log: who decided what, and attacks on it by somebody who can write the database.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::delegated::{post, session};
use super::gateway::{Gateway, private_dir};
use crate::binaries::{run, text};

/// Sessions of `helper` mute nodes and read the log; those of `reader` only read it, and those of
/// `other` do neither.
const PROFILES: [&str; 5] = [
    "--profile-permissions=helper=admin:/gateway/devices/**",
    "--profile-permissions=helper=read:/gateway/audit/**",
    "--profile-permissions=reader=read:/gateway/audit/**",
    "--profile-permissions=other=read:/gateway/devices",
    "--profile-permissions=companion-v1=read:/lights/**",
];

/// Asks the gateway on its socket, and returns the body of the answer.
fn socket(gateway: &Gateway, path: &str) -> String {
    let mut stream = UnixStream::connect(gateway.data.path().join("handfast.sock")).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

/// Asks with a session's token, and returns the status.
fn status(gateway: &Gateway, path: &str, token: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(&gateway.address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n",
        gateway.address
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
}

fn export(gateway: &Gateway) -> Vec<Value> {
    let (code, out, err) = gateway.verb(&["audit", "export"]);
    assert_eq!(code, 0, "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Makes decisions of several kinds. Returns the id of the node.
async fn decide(gateway: &Gateway) -> String {
    let id = gateway.ask("Kitchen Pi").await;
    assert_eq!(gateway.verb(&["approve", &id]).0, 0);
    for verb in [&["mute", id.as_str()][..], &["unmute", &id], &["rename", &id, "Hall Pi"]] {
        let (code, _, err) = gateway.verb(&[&["nodes"], verb].concat());
        assert_eq!(code, 0, "{err}");
    }
    assert_eq!(gateway.verb(&["pairing", "open"]).0, 0);
    assert_eq!(gateway.verb(&["pairing", "close"]).0, 0);
    id
}

/// Changes a database that nobody has open. The triggers that keep the log are removed first, as
/// somebody would who can write the file.
fn tamper(database: &Path, sql: &str) {
    let database = rusqlite::Connection::open(database).unwrap();
    let triggers = "DROP TRIGGER audit_stays; DROP TRIGGER audit_is_kept;";
    database.execute_batch(&format!("{triggers} {sql}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_listed_with_who_made_it_and_from_where() {
    let gateway = Gateway::start_with(&PROFILES);
    let id = decide(&gateway).await;
    let token = session(&gateway, "helper");
    let (code, answer) = post(&gateway, &format!("/api/v1/devices/{id}/mute"), &token, &json!({}));
    assert_eq!(code, 200, "{answer}");
    let sessions = gateway.answer(&["companions", "list"]);
    let helper = sessions["items"][0]["id"].as_str().unwrap();

    let entries = export(&gateway);
    let what: Vec<&str> = entries.iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    let expected = [
        "approve",
        "mute",
        "unmute",
        "rename",
        "open-pairing",
        "close-pairing",
        "make-setup-code",
        "open-session",
        "mute",
    ];
    assert_eq!(what, expected);
    for (number, entry) in entries.iter().enumerate() {
        assert_eq!(entry["entry"], number);
        assert_eq!(entry["outcome"], "done", "{entry}");
    }
    for entry in &entries[..7] {
        assert_eq!((&entry["who"], &entry["from"]), (&json!("operator"), &Value::Null), "{entry}");
    }
    assert_eq!((&entries[0]["node"], &entries[3]["node"]), (&json!(id), &json!(id)));
    let opened = &entries[7];
    assert_eq!(opened["who"], "setup-code", "{opened}");
    assert_eq!(opened["by"], entries[6]["setup_code"], "{opened}");
    assert_eq!(opened["session"], helper, "{opened}");
    let muted = &entries[8];
    assert_eq!((&muted["who"], &muted["by"]), (&json!("session"), &json!(helper)), "{muted}");
    assert_eq!(muted["from"], "127.0.0.1", "{muted}");

    // A list for people names the node as it is called now, and fits a terminal.
    let (code, out, err) = gateway.verb(&["audit", "list", "--limit", "3"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Hall Pi") && out.contains("older ones: --before 6"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let page = gateway.answer(&["audit", "list", "--limit", "3", "--before", "6"]);
    let numbers: Vec<_> =
        page["items"].as_array().unwrap().iter().map(|it| it["entry"].clone()).collect();
    assert_eq!((json!(numbers), &page["next"]), (json!([5, 4, 3]), &json!("3")));
    // What was decided about one node, by its name or its id.
    for node in ["Hall Pi", id.as_str()] {
        let of_node = gateway.answer(&["audit", "list", "--node", node]);
        let what: Vec<_> =
            of_node["items"].as_array().unwrap().iter().map(|it| it["what"].clone()).collect();
        assert_eq!(json!(what), json!(["mute", "rename", "unmute", "mute", "approve"]));
    }
    assert_eq!(gateway.verb(&["audit", "list", "--node", "Nobody"]).0, 1);
    // The name is gone with the record; the log keeps the id.
    assert_eq!(gateway.verb(&["nodes", "revoke", &id, "--yes"]).0, 0);
    assert_eq!(gateway.verb(&["nodes", "forget", &id, "--yes"]).0, 0);
    let (_, out, _) = gateway.verb(&["audit", "list"]);
    assert!(out.contains(&id) && !out.contains("Hall Pi"), "{out}");
    assert!(!socket(&gateway, "/api/v1/audit/export").contains("Pi"));
}

#[test]
fn a_session_reads_the_log_only_if_it_may() {
    let gateway = Gateway::start_with(&PROFILES);
    for (profile, expected) in [("helper", 200), ("reader", 200), ("other", 403)] {
        let token = session(&gateway, profile);
        for path in ["checkpoint", "export", "0/proof"] {
            let path = format!("/api/v1/audit/{path}");
            assert_eq!(status(&gateway, &path, &token), expected, "{profile} {path}");
        }
    }
    assert_eq!(status(&gateway, "/api/v1/audit/export", "nobody"), 401);
    for wrong in [
        &["audit", "prove", "99"][..],
        &["audit", "verify", "--against", "/no/such/file"],
        &["audit", "verify", "--export", "/no/such/file"],
    ] {
        let (code, _, err) = gateway.verb(wrong);
        assert!(code == 1 && !err.is_empty(), "{wrong:?} {code} {err}");
    }
    for wrong in [
        &["audit", "prove", "first"][..],
        &["audit", "list", "--limit", "0"],
        &["audit", "verify", "--key", "x"],
        &["audit", "verify", "--export", "a", "--save", "b"],
    ] {
        assert_eq!(gateway.verb(wrong).0, 2, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_a_removed_row_and_a_cut_end_are_each_noticed_and_named() {
    let mut gateway = Gateway::start();
    decide(&gateway).await;
    let kept = private_dir();
    let saved = kept.path().join("earlier.checkpoint");
    let saved = saved.to_str().unwrap();
    let (code, out, err) = gateway.verb(&["audit", "verify", "--save", saved]);
    assert!(code == 0 && out.contains("6 entries, unchanged"), "{out}{err}");
    assert_eq!(gateway.verb(&["pairing", "open"]).0, 0);
    let verified = gateway.answer(&["audit", "verify", "--against", saved]);
    assert_eq!((&verified["size"], &verified["against"]["size"]), (&json!(7), &json!(6)));
    gateway.running.kill();
    let file = gateway.data.path().join("handfast.db");
    // What was written last is in the log of the database until that is emptied.
    let emptied = rusqlite::Connection::open(&file).unwrap();
    emptied.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(emptied);
    let whole = std::fs::read(&file).unwrap();

    let leaf = |line: &str| {
        use handfast_core::registry::audit_tree::leaf_hash;
        leaf_hash(line.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let false_line = "{\"entry\":1,\"at\":\"2026-11-30T12:00:00Z\",\"who\":\"policy\",\
                      \"what\":\"mute\",\"outcome\":\"done\"}";
    let attacks = [
        (
            "UPDATE audit SET line = replace(line, '\"who\":\"operator\"', '\"who\":\"policy\"') WHERE number = 1"
                .to_owned(),
            "entry 1 was changed",
        ),
        // With the hash of the row as well, the tree above it tells.
        (
            format!("UPDATE audit SET line = '{false_line}', leaf = x'{}' WHERE number = 1", leaf(false_line)),
            "one of the entries 0 to 1 was changed",
        ),
        ("DELETE FROM audit WHERE number = 3".to_owned(), "entry 3 is missing"),
        ("DELETE FROM audit WHERE number >= 4".to_owned(), "the end of the log was cut off"),
    ];
    for (sql, named) in attacks {
        let Gateway { data, address, .. } = gateway;
        for beside in ["handfast.db-wal", "handfast.db-shm", "handfast.generation"] {
            let _ = std::fs::remove_file(data.path().join(beside));
        }
        std::fs::write(&file, &whole).unwrap();
        tamper(&file, &sql);
        gateway = Gateway::start_in(data, &address, &["--accept-older-store"]);
        let (code, out, err) = gateway.verb(&["audit", "verify", "--against", saved]);
        assert!(code == 1 && err.contains(named), "{sql}: {code} {out}{err}");
        if named.contains("changed") {
            let (code, _, err) = gateway.verb(&["audit", "prove", "1"]);
            assert!(code == 1 && err.contains("entry 1 is not the one"), "{err}");
        }
        if named.contains("cut off") {
            // The log goes on after the cut, even beyond its old size, and is still not the same.
            for _ in 0..4 {
                assert_eq!(gateway.verb(&["pairing", "close"]).0, 0);
                assert_eq!(gateway.verb(&["pairing", "open"]).0, 0);
            }
            assert_eq!(gateway.verb(&["audit", "verify"]).0, 0);
            let (code, _, err) = gateway.verb(&["audit", "verify", "--against", saved]);
            assert!(code == 1 && err.contains("are not those of the checkpoint"), "{err}");
        }
        gateway.running.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log() {
    let gateway = Gateway::start_with(&PROFILES);
    let mut secrets = Vec::new();
    let id = gateway.ask("Kitchen Pi").await;
    let (_, out, _) = gateway.verb(&["approve", &id]);
    secrets.push(out.lines().next().unwrap().to_owned());
    for kind in [&["codes", "create"][..], &["codes", "create", "--text"]] {
        let minted = gateway.answer(kind);
        secrets.push(minted["code"].as_str().unwrap().to_owned());
        secrets.extend(minted["invitation"].as_str().map(str::to_owned));
    }
    let token = gateway.answer(&["codes", "create", "--node-id", "pi-7"]);
    secrets.push(token["token"].as_str().unwrap().to_owned());
    assert_eq!(gateway.verb(&["pairing", "open"]).0, 0);
    let node = gateway.node("Lamp", &["--pin"]);
    secrets.push(gateway.pin(1));
    drop(node);
    let started = super::setup::started(&gateway, &["--profile", "helper"]);
    secrets.push(started["bootstrap_token"].as_str().unwrap().to_owned());
    secrets.push(started["payload"].as_str().unwrap().to_owned());
    secrets.push(session(&gateway, "helper"));
    for verb in
        [&["certs", "rotate"][..], &["companions", "rotate-key"], &["nodes", "rotate-marks"]]
    {
        gateway.verb(verb);
    }
    let sender = ["senders", "seed", "telegram", "bot", "@ana_secretly"];
    assert_eq!(gateway.verb(&sender).0, 0);
    let log = socket(&gateway, "/api/v1/audit/export");
    assert!(log.lines().count() >= 9, "{log}");
    assert!(!log.contains("@ana_secretly") && !log.contains("Kitchen") && !log.contains("pi-7"));
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in &secrets {
        let bare = secret.replace(['-', ' '], "");
        for form in [secret.clone(), hex(secret), bare.to_lowercase(), bare] {
            assert!(form.len() >= 6 && !log.contains(&form), "{secret} is in the log: {log}");
        }
    }
}

/// Runs the verifier that has nothing of Handfast. Returns its exit code and its output.
fn independent(args: &[&str]) -> (i32, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/audit_log.py");
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python3");
    let python = if venv.exists() { venv } else { "python3".into() };
    let ended = Command::new(python).arg(script).args(args).output().expect("python3 starts");
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and host-tests/interop/requirements.txt"]
async fn a_verifier_that_is_not_ours_agrees_and_notices_what_was_changed() {
    let gateway = Gateway::start();
    decide(&gateway).await;
    let kept = private_dir();
    let file = |name: &str, text: &str| {
        let path = kept.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let first: Value = serde_json::from_str(&socket(&gateway, "/api/v1/audit/checkpoint")).unwrap();
    let key = first["key"].as_str().unwrap();
    let earlier = file("earlier", first["checkpoint"].as_str().unwrap());
    for _ in 0..3 {
        assert_eq!(gateway.verb(&["pairing", "open"]).0, 0);
    }
    let (_, log, _) = gateway.verb(&["audit", "export"]);
    let exported = file("export", &log);
    let later = socket(&gateway, "/api/v1/audit/checkpoint?since=6");
    let note = serde_json::from_str::<Value>(&later).unwrap();
    let checkpoint = file("later", note["checkpoint"].as_str().unwrap());
    let later = file("later.json", &later);

    assert_eq!(independent(&["verify", &exported, &checkpoint, key]), (0, "9 entries\n".into()));
    assert_eq!(independent(&["verify", &exported, &earlier, key]), (0, "6 entries\n".into()));
    assert_eq!(independent(&["continues", &earlier, &later, key]), (0, "9 continue 6\n".into()));
    for entry in 0..9 {
        let (code, proof, err) = gateway.verb(&["audit", "prove", &entry.to_string(), "--json"]);
        assert_eq!(code, 0, "{err}");
        let proof = file("proof.json", &proof);
        let (code, said) = independent(&["prove", &entry.to_string(), &proof, key]);
        assert_eq!(code, 0, "{said}");
        let other = ((entry + 1) % 9).to_string();
        assert_eq!(independent(&["prove", &other, &proof, key]).0, 1);
    }
    // Our own program agrees about an export, and both notice the same.
    let ours = |export: &str| {
        let args = ["audit", "verify", "--export", export, "--against", &checkpoint, "--key", key];
        text(&run("handfast", &args))
    };
    assert_eq!(ours(&exported).0, 0);
    let cut: String = log.lines().take(8).map(|line| format!("{line}\n")).collect();
    let changed = log.replacen("\"what\":\"mute\"", "\"what\":\"unmute\"", 1);
    let without: String = log
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 4)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    for (name, forged) in [("cut", cut), ("changed", changed), ("without", without)] {
        assert_ne!(forged, log);
        let forged = file(name, &forged);
        let (code, said) = independent(&["verify", &forged, &checkpoint, key]);
        assert_eq!(code, 1, "{name}: {said}");
        let (code, _, err) = ours(&forged);
        assert_eq!(code, 1, "{name}: {err}");
    }
    // Another gateway's key has not signed it.
    let other = Gateway::start();
    let strange: Value = serde_json::from_str(&socket(&other, "/api/v1/audit/checkpoint")).unwrap();
    let strange = strange["key"].as_str().unwrap();
    assert_eq!(independent(&["verify", &exported, &checkpoint, strange]).0, 1);
    let (code, _, err) = other.verb(&["audit", "verify", "--against", &checkpoint]);
    assert!(code == 1 && err.contains("not signed by the key"), "{err}");
}
