//! The operator's API as its document describes it, asked by programs that are not ours.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::guides::{commands, guide, typed};
use crate::snapshot;
use crate::under_attack::operator::asks;

const DOCUMENT: &str = "/api/v1/openapi.json";

/// Sends a request without credentials over TCP, and returns its body.
fn unknown(gateway: &Gateway, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(&gateway.address).unwrap();
    let host = &gateway.address;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

#[test]
fn the_document_is_told_to_everybody_and_is_the_committed_one() {
    let gateway = Gateway::start();
    let told = unknown(&gateway, DOCUMENT);
    let local = asks(&gateway, "GET", DOCUMENT, &Value::Null);
    assert_eq!(local, (200, serde_json::from_str(&told).unwrap()));
    snapshot::check("openapi.json", &told);
}

/// Makes something of every kind, so that lists are not empty.
async fn furnish(gateway: &Gateway) {
    gateway.ask("Kitchen Pi").await;
    let paired = gateway.ask("Hall Pi").await;
    for (path, body) in [
        (format!("/api/v1/devices/{paired}/pair"), json!({})),
        ("/api/v1/pairing".to_owned(), json!({"open": true})),
        ("/api/v1/pairing/codes".to_owned(), json!({"kind": "typed", "permissions": {}})),
        ("/api/v1/setup".to_owned(), json!({"public_url": "https://gateway.example"})),
        (
            "/api/v1/inbound/seed".to_owned(),
            json!({"channel": "sms", "account": "a", "senders": ["+491700000"]}),
        ),
    ] {
        let (status, answer) = asks(gateway, "POST", &path, &body);
        assert_eq!(status, 200, "{path}: {answer}");
        if let Some(delivery) = answer["delivery"].as_str() {
            let confirm = format!("/api/v1/deliveries/{delivery}/confirm");
            assert_eq!(asks(gateway, "POST", &confirm, &Value::Null).0, 200);
        }
    }
}

fn token(gateway: &Gateway, role: &str) -> String {
    let made = gateway.answer(&["tokens", "create", "--role", role, "--name", "Tests"]);
    made["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and host-tests/interop/requirements.txt"]
async fn whatever_is_asked_as_the_document_says_is_answered_as_the_document_says() {
    let gateway = Gateway::start_quietly(&[]);
    furnish(&gateway).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/operator_api.py");
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python3");
    let python = if venv.exists() { venv } else { "python3".into() };
    let mut command = Command::new(python);
    command.arg(script).arg(format!("http://{}", gateway.address)).arg(token(&gateway, "owner"));
    let ended = command.current_dir(gateway.data.path()).output().expect("python3 starts");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("No issues found"), "{said}");
    assert_eq!(gateway.verb(&["status"]).0, 0, "the gateway still serves");
}

#[test]
fn a_program_uses_the_api_as_the_guide_says() {
    let gateway = Gateway::start();
    let place = super::gateway::private_dir();
    let (mut token, mut delivery, mut ran) = (String::new(), String::new(), 0);
    for command in commands(&guide("api.md")) {
        let line = command
            .replace("/tmp/hf", "DATA")
            .replace("/tmp/", &format!("{}/", place.path().display()))
            .replace("DATA", gateway.data())
            .replace("127.0.0.1:8765", &gateway.address)
            .replace("TOKEN", &token)
            .replace("DELIVERY", &delivery);
        let (code, out, err) = typed(&line, place.path(), &[], "");
        assert_eq!(code, 0, "{command}\n{out}{err}");
        ran += 1;
        if line.contains("tokens create") {
            token = out.lines().next().unwrap().to_owned();
        } else if line.contains("/codes") {
            let minted: Value = serde_json::from_str(&out).unwrap();
            delivery = minted["delivery"].as_str().unwrap().to_owned();
        } else if line.contains("limit=50") {
            let listed: Value = serde_json::from_str(&out).unwrap();
            assert_eq!((&listed["items"], &listed["next"]), (&json!([]), &Value::Null));
        } else if line.contains("event-stream") {
            assert!(out.contains("event: ready"), "{out}");
        }
    }
    assert!(ran >= 7, "{ran} commands");
    let document = std::fs::read_to_string(place.path().join("openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}
