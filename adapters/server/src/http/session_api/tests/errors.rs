//! Every refusal under `/api/v1` has one shape.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Answer, HERE, Saying, World, ask, by, world};

/// Asserts that an answer is an error of the API, and returns its code and its hint.
fn told(answer: &Answer) -> (u16, String, Value) {
    let json = answer.json();
    let error = json["error"].as_object().unwrap_or_else(|| panic!("{answer:?}"));
    let members: Vec<&str> = error.keys().map(String::as_str).collect();
    assert_eq!(members, ["code", "hint", "message"], "{answer:?}");
    assert_eq!(json.as_object().unwrap().len(), 1, "{answer:?}");
    assert!(!error["message"].as_str().unwrap().is_empty(), "{answer:?}");
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    (answer.status, error["code"].as_str().unwrap().to_owned(), error["hint"].clone())
}

fn saying<'a>(token: &'a str, body: &'a str) -> Saying<'a> {
    Saying { body, ..by(token) }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_request_its_refusal_has_a_code_a_message_and_a_hint() {
    let world = world().await;
    let admin = world.session_as("admin").await;
    let none = world.session_as("none").await;
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    for (method, path, says, status, code) in [
        ("GET", "/api/v1", by(&admin), 404, "usage"),
        ("GET", "/api/v1/nowhere", by(&admin), 404, "usage"),
        ("GET", "/api/v1/devices/a/b/c", by(&admin), 404, "usage"),
        ("POST", "/api/v1/devices/a/nothing", by(&admin), 404, "usage"),
        ("POST", "/api/v1/inbound/nothing", by(&admin), 404, "usage"),
        ("POST", "/api/v1/devices", by(&admin), 405, "usage"),
        ("DELETE", "/api/v1/status", by(&admin), 405, "usage"),
        ("PUT", "/api/v1/session", by(&admin), 405, "usage"),
        ("GET", "/api/v1/devices?filter=none", by(&admin), 400, "usage"),
        ("GET", "/api/v1/audit?limit=0", by(&admin), 400, "usage"),
        ("GET", "/api/v1/audit?unknown=1", by(&admin), 400, "usage"),
        ("GET", "/api/v1/certs?all=perhaps", by(&admin), 400, "usage"),
        ("GET", "/api/v1/audit/x/proof", by(&admin), 400, "usage"),
        ("GET", "/api/v1/devices/%ff", by(&admin), 400, "bad_address"),
        ("GET", "/api/v1/devices/nobody", by(&admin), 404, "not_found"),
        ("POST", "/api/v1/pairing", saying(&admin, "{"), 400, "usage"),
        ("POST", "/api/v1/pairing", saying(&admin, "[]"), 400, "usage"),
        ("POST", "/api/v1/pairing", saying(&admin, "{\"shut\":1}"), 400, "usage"),
        ("POST", "/api/v1/pairing/codes", saying(&admin, &long), 413, "usage"),
        ("GET", "/api/v1/status", Saying::default(), 401, "bearer_missing"),
        ("GET", "/api/v1/status", by("unknown"), 401, "bearer_unknown"),
        ("GET", "/api/v1/session", by("unknown"), 401, "bearer_unknown"),
        ("GET", "/api/v1/status", by(&none), 403, "not_allowed"),
        ("POST", "/api/v1/clock", by(&admin), 403, "not_allowed"),
    ] {
        let answer = ask(&world, HERE, method, path, says).await;
        let (told_status, told_code, hint) = told(&answer);
        assert_eq!((told_status, told_code.as_str()), (status, code), "{method} {path}");
        match code == "usage" && matches!(status, 404 | 405) {
            true => assert_eq!(hint, "GET /api/v1/openapi.json", "{method} {path}"),
            false => assert_ne!(hint, "GET /api/v1/openapi.json", "{method} {path}"),
        }
        assert_eq!(answer.head.contains("\nallow: "), status == 405, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_refused_in_the_same_words_once_it_is_too_long() {
    let world: World = world().await;
    let admin = world.session_as("admin").await;
    let chunk = "x".repeat(0x1000);
    let mut request = format!(
        "POST /api/v1/pairing/codes HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Authorization: Bearer {admin}\r\nTransfer-Encoding: chunked\r\n\r\n",
        world.address
    );
    for _ in 0..17 {
        request += &format!("1000\r\n{chunk}\r\n");
    }
    request += "0\r\n\r\n";
    let mut stream = world.tcp(HERE).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    let head = head.to_ascii_lowercase();
    let (_, code, _) = told(&Answer { status: 413, head, body: body.to_owned() });
    assert_eq!(code, "usage");
}
