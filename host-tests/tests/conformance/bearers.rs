//! Invalid bearer tokens over HTTP and invalid setup codes on `/pair`: they are counted by source,
//! and a source without attempts left is told so.

use std::net::SocketAddr;

use handfast_core::limits::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::Served;

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 7];
const NOBODYS: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

/// Sends one request with an invalid bearer token over its own connection. Returns the status and
/// the whole answer.
async fn asks(gateway: SocketAddr, from: [u8; 4], path: &str) -> (u16, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(gateway).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {gateway}\r\nAuthorization: Bearer {NOBODYS}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test]
async fn a_source_that_showed_too_many_wrong_bearers_is_answered_429_and_no_other_is() {
    let served = Served::start().await;
    for _ in 0..Limits::DEFAULT.failures_per_minute {
        assert_eq!(asks(served.address, ELSEWHERE, "/api/v1/session").await.0, 401);
    }
    for path in ["/api/v1/session", "/api/v1/devices", "/metrics"] {
        // One attempt returns each second, so one of these may be checked once more.
        let mut answer = asks(served.address, ELSEWHERE, path).await;
        for _ in 0..10 {
            if answer.0 == 429 {
                break;
            }
            answer = asks(served.address, ELSEWHERE, path).await;
        }
        let (status, text) = answer;
        assert_eq!(status, 429, "{path}: {text}");
        assert!(
            text.to_ascii_lowercase().contains("\r\nretry-after: ")
                && text.contains("rate_limited"),
            "{path}: {text}"
        );
        assert_eq!(asks(served.address, HERE, path).await.0, 401, "{path}");
    }
    assert_eq!(
        asks(served.address, ELSEWHERE, "/health").await.0,
        200,
        "what needs no bearer is answered all the same"
    );
}

#[tokio::test]
async fn a_source_that_showed_too_many_wrong_setup_codes_is_told_so_and_its_bearers_are_looked_at_all_the_same()
 {
    let served = Served::with(Limits { failures_per_minute: 5, ..Limits::DEFAULT }).await;
    let shows = async || {
        let mut client = served.connect_to("/pair").await;
        client.say(json!({"bootstrap_token": "wrong.code"})).await;
        let answer = client.hear().await;
        match answer["error"].as_str().unwrap() {
            "rate limited" => client.expect_close(1013, "Too many attempts, try again later").await,
            word => assert_eq!(word, "unknown code"),
        }
        answer["error"] == "rate limited"
    };
    for _ in 0..5 {
        assert!(!shows().await);
    }
    assert!(shows().await);
    assert_eq!(
        asks(served.address, HERE, "/api/v1/session").await.0,
        401,
        "codes and bearers have a budget each"
    );
}
