//! The operator's own socket, used directly: a command for each of hundreds of requests would take
//! minutes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use handfast_core::NodeId;
use serde_json::{Value, json};

use crate::cli::gateway::Gateway;

/// Sends one request over the socket in the data directory, and returns the status and the answer.
pub(crate) fn asks(gateway: &Gateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = UnixStream::connect(gateway.data.path().join("handfast.sock")).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        serde_json::from_str(body).unwrap_or_default(),
    )
}

/// Sends a request that must succeed, and returns its answer.
pub(super) fn gets(gateway: &Gateway, path: &str) -> Value {
    let (status, answer) = asks(gateway, "GET", path, &Value::Null);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Sends a request with a body that must succeed, and returns its answer.
pub(super) fn posts(gateway: &Gateway, path: &str, body: &Value) -> Value {
    let (status, answer) = asks(gateway, "POST", path, body);
    assert_eq!(status, 200, "{path} {body}: {answer}");
    answer
}

/// Confirms the delivery of a secret.
pub(super) fn delivered(gateway: &Gateway, answer: &Value) {
    let delivery = answer["delivery"].as_str().unwrap();
    posts(gateway, &format!("/api/v1/deliveries/{delivery}/confirm"), &Value::Null);
}

/// Pairs nodes by token that have never linked.
pub(super) async fn paired_by_token(gateway: &Gateway, count: usize) -> Vec<(NodeId, String)> {
    let mut nodes = Vec::new();
    for number in 0..count {
        let id = gateway.ask(&format!("Pi {number}")).await;
        let issued = posts(gateway, &format!("/api/v1/devices/{id}/pair"), &json!({}));
        delivered(gateway, &issued);
        nodes.push((NodeId::parse(&id).unwrap(), issued["token"].as_str().unwrap().to_owned()));
    }
    nodes
}
