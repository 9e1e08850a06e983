//! Companions over real sockets: their frames byte for byte, and misuse that must fail.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use handfast_core::Span;
use handfast_core::limits::Limits;
use handfast_server::Gateway;
use handfast_server::operator::{NewSetup, StartedSetup};
use handfast_server::policy::SetupSettings;
use handfast_store::{MemoryStore, SessionFilter};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::conformance::Served;

mod interop;

/// Issues a setup code, and returns its token.
fn code(served: &Served) -> String {
    started(served).bootstrap_token
}

fn started(served: &Served) -> StartedSetup {
    let public_url = Some(format!("ws://{}", served.address));
    served.gateway.start_setup(&NewSetup { public_url, ..NewSetup::default() }).unwrap()
}

/// Shows a token on `/pair`, and returns the answer unchanged.
async fn shown(served: &Served, token: &str) -> String {
    said(served, &format!(r#"{{"bootstrap_token":"{token}"}}"#)).await
}

async fn said(served: &Served, frame: &str) -> String {
    let mut client = served.connect_to("/pair").await;
    client.text(frame).await;
    match client.next().await {
        Message::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn sessions(served: &Served) -> usize {
    served.gateway.companions(SessionFilter::All).await.unwrap().len()
}

fn token(answer: &str) -> String {
    let object: Value = serde_json::from_str(answer).unwrap();
    let token = object["session_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    assert_eq!((answer, token.len()), (&*format!(r#"{{"session_token":"{token}"}}"#), 43));
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_answered_with_a_session_and_shown_again_with_the_words_for_it() {
    let served = Served::start().await;
    let code = code(&served);
    let first = token(&shown(&served, &code).await);
    for _ in 0..3 {
        assert_eq!(shown(&served, &code).await, r#"{"error":"already used"}"#);
    }
    assert_eq!(sessions(&served).await, 1);
    assert_ne!(token(&shown(&served, &self::code(&served)).await), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_companions_that_show_one_code_at_once_over_two_listeners_one_gets_a_session() {
    let served = Served::start().await;
    let other = Served::over(served.gateway.clone()).await;
    for _ in 0..5 {
        let code = code(&served);
        let before = sessions(&served).await;
        let shown = futures_util::future::join_all(
            (0..8).map(|at| shown(if at % 2 == 0 { &served } else { &other }, &code)),
        )
        .await;
        let opened = shown.iter().filter(|answer| answer.contains("session_token")).count();
        let refused =
            shown.iter().filter(|answer| **answer == r#"{"error":"already used"}"#).count();
        assert_eq!((opened, refused, sessions(&served).await), (1, 7, before + 1), "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_for_what_is_wrong_are_those_of_the_dialect() {
    let served = Served::start().await;
    let code = code(&served);
    let (claims, signature) = code.split_once('.').unwrap();
    let forged = format!("{claims}.{}", "A".repeat(43));
    let expired = handfast_host_tests::setup::signed(&[9; 32], b"{}");
    for (frame, word) in [
        (json!({"bootstrap_token": "nonsense"}).to_string(), "unknown code"),
        (json!({"bootstrap_token": format!("{claims}=.{signature}")}).to_string(), "unknown code"),
        (json!({"bootstrap_token": forged}).to_string(), "invalid signature"),
        (json!({"bootstrap_token": expired}).to_string(), "invalid signature"),
        (json!({"bootstrap_token": 7}).to_string(), "unknown code"),
        (
            json!({"session_token": "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}).to_string(),
            "unknown session",
        ),
        ("{}".to_owned(), "unknown code"),
        ("hello".to_owned(), "unknown code"),
    ] {
        assert_eq!(said(&served, &frame).await, format!(r#"{{"error":"{word}"}}"#), "{frame}");
    }
    let mut client = served.connect_to("/pair").await;
    client.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.hear().await, json!({"error": "expected text frame"}));
    client.expect_close(1008, "Not let in").await;
    assert_eq!(sessions(&served).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_a_key_that_was_rotated_out_are_refused_and_of_one_that_overlaps_are_not() {
    let data = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
        .unwrap();
    let setup =
        SetupSettings { key_file: Some(data.path().join("setup.key")), ..SetupSettings::default() };
    let served =
        Served::over(Gateway::builder(MemoryStore::default()).setup(setup).start().await.unwrap())
            .await;
    let (first, second) = (code(&served), code(&served));
    served.gateway.rotate_setup_key(false).await.unwrap();
    let _ = token(&shown(&served, &first).await);
    served.gateway.rotate_setup_key(true).await.unwrap();
    assert_eq!(shown(&served, &second).await, r#"{"error":"invalid signature"}"#);
    let _ = token(&shown(&served, &code(&served)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bit_of_a_code_that_is_another_opens_nothing() {
    let served = Served::start().await;
    let good = code(&served);
    let mut prng = handfast_host_tests::prng::Prng::new(1);
    for _ in 0..12 {
        let mut bytes = good.clone().into_bytes();
        let at = prng.below(bytes.len() as u64) as usize;
        // The new character needs no escape in JSON, so that only the token changes.
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let answer = shown(&served, &String::from_utf8(bytes).unwrap()).await;
        let words = [r#"{"error":"invalid signature"}"#, r#"{"error":"unknown code"}"#];
        assert!(words.contains(&answer.as_str()), "{answer}");
    }
    assert_eq!(sessions(&served).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_say_nothing_on_pair_end_by_themselves_and_keep_nobody_out() {
    let served =
        Served::with(Limits { first_message: Span::from_millis(300), ..Limits::DEFAULT }).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(served.connect_to("/pair").await);
    }
    let _ = token(&shown(&served, &code(&served)).await);
    for mut client in silent {
        client.expect_close(1008, "Authentication timeout").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_frame_of_more_than_64_kib_is_not_looked_into_even_if_a_good_code_is_in_it() {
    let served = Served::start().await;
    let (code, padding) = (code(&served), " ".repeat(64 * 1024));
    let mut client = served.connect_to("/pair").await;
    client.text(&format!(r#"{{"bootstrap_token":"{code}"{padding}}}"#)).await;
    assert_eq!(client.hear().await, json!({"error": "unknown code"}));
    client.expect_close(1008, "Not let in").await;
    assert_eq!(sessions(&served).await, 0);
    let _ = token(&shown(&served, &code).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_revoked_is_ended_and_lets_nobody_in_again() {
    let served = Served::start().await;
    let session = token(&shown(&served, &code(&served)).await);
    let resume = format!(r#"{{"session_token":"{session}"}}"#);
    let mut client = served.connect_to("/pair").await;
    client.text(&resume).await;
    assert_eq!(client.hear().await["profile"], "companion-v1");
    let of = served.gateway.companions(SessionFilter::Live).await.unwrap().remove(0);
    assert!(served.gateway.revoke_companion(of.id).await.unwrap());
    assert!(
        matches!(client.next().await, Message::Close(Some(frame)) if u16::from(frame.code) == 1008)
    );
    assert_eq!(said(&served, &resume).await, r#"{"error":"unknown session"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dropped_before_the_answer_opens_one_session_at_most() {
    let served = Served::start().await;
    for _ in 0..10 {
        let code = code(&served);
        let before = sessions(&served).await;
        let mut client = served.connect_to("/pair").await;
        client.text(&format!(r#"{{"bootstrap_token":"{code}"}}"#)).await;
        drop(client);
        let answer = shown(&served, &code).await;
        // Either the first attempt was received and the code is spent, or this is the first.
        assert!(
            answer.contains("session_token") || answer == r#"{"error":"already used"}"#,
            "{answer}"
        );
        assert_eq!(sessions(&served).await, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_websocket_handshake_on_pair_holds_nothing_up() {
    let served = Served::start().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let socket = TcpStream::connect(served.address).await.unwrap();
        socket.writable().await.unwrap();
        let _ = socket.try_write(b"GET /pair HTTP/1.1\r\nHost: x\r\n");
        open.push(socket);
    }
    let answer = tokio::time::timeout(Duration::from_secs(20), shown(&served, &code(&served)))
        .await
        .unwrap();
    let _ = token(&answer);
}
