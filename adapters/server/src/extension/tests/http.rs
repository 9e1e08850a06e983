use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::handle::{Extension, Problem};
use super::super::{ExtensionConfig, LINE_BYTES};
use super::{LONG, SHORT, bare, extension, problem, served};

/// Starts a server that handles each connection in this way.
async fn server<F: Future<Output = ()> + Send>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> Extension {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/rpc?key=1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            each(stream).await;
        }
    });
    extension(ExtensionConfig::http("mail", "mail", &url))
}

/// Starts a server that answers with this text, and then waits for the end.
async fn says(text: String) -> Extension {
    server(move |mut stream| {
        let text = text.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_call_is_a_post_of_the_envelope() {
    let echo = server(|mut stream| async move {
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            stream.read_buf(&mut request).await.unwrap();
        }
        let request = String::from_utf8(request).unwrap();
        let result = json!({"id": 1, "ok": true, "result": request}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", result.len());
        stream.write_all((head + &result).as_bytes()).await.unwrap();
    })
    .await;
    let request = echo.call("mail.x", json!({"a": 1}), LONG).await.unwrap();
    let request = request.as_str().unwrap();
    assert!(request.starts_with("POST /rpc?key=1 HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
    assert!(request.contains("\r\ncontent-type: application/json\r\n"), "{request}");
    assert!(
        request.ends_with("\r\n\r\n{\"id\":1,\"method\":\"mail.x\",\"params\":{\"a\":1}}"),
        "{request}"
    );
}

#[tokio::test]
async fn what_is_no_answer_to_this_call_is_an_error() {
    let with = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let good = r#"{"id":1,"ok":true}"#;
    for (text, expected) in [
        (with("500 Oops", good), "HTTP status 500"),
        (with("302 Found", good), "HTTP status 302"),
        (with("200 OK", r#"{"id":2,"ok":true}"#), "another call"),
        (with("200 OK", r#"{"id":1,"method":"x"}"#), "a request instead"),
        (with("200 OK", "[]"), "no JSON object"),
        (with("200 OK", ""), "no JSON object"),
        (with("200 OK", &format!("{good}{}", " ".repeat(LINE_BYTES))), "larger than 1 MiB"),
        (
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
                "8000\r\n".to_owned() + &("x".repeat(0x8000) + "\r\n8000\r\n").repeat(40)
            ),
            "larger than 1 MiB",
        ),
    ] {
        match problem(&says(text).await, LONG).await {
            Problem::Malformed(why) => assert!(why.contains(expected), "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(
        says(with("200 OK", good)).await.call("x.ping", Value::Null, LONG).await,
        Ok(Value::Null)
    );
    for broken in [
        String::new(),
        "hello\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 16)),
    ] {
        let extension = server(move |mut stream| {
            let broken = broken.clone();
            async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(broken.as_bytes()).await;
            }
        });
        let extension = extension.await;
        assert!(matches!(problem(&extension, LONG).await, Problem::Down(_)));
        assert!(!extension.status().alive);
    }
}

#[tokio::test]
async fn a_dead_and_a_silent_server_cost_their_callers_alone() {
    let good = extension(served(bare("good"), |_, params| params.clone()).await);
    let dead = extension(bare("dead"));
    assert!(dead.status().alive, "nobody has called it yet");
    assert!(matches!(problem(&dead, LONG).await, Problem::Down(_)));
    assert!(!dead.status().alive);
    // The head alone, and a body that trickles: the time limit covers both.
    let stuck = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let (stuck, good) = tokio::join!(problem(&stuck, SHORT), good.call("x.ping", json!(7), LONG));
    assert_eq!((stuck, good.unwrap()), (Problem::Timeout(SHORT), json!(7)));
}

#[tokio::test]
async fn a_server_whose_certificate_nobody_vouches_for_is_not_asked() {
    let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted =
        tokio::spawn(
            async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) },
        );
    let extension =
        extension(ExtensionConfig::http("mail", "mail", &format!("https://localhost:{port}/")));
    match problem(&extension, LONG).await {
        Problem::Down(why) => assert!(why.contains("certificate"), "{why}"),
        other => panic!("{other}"),
    }
    assert!(accepted.await.unwrap().is_err(), "no request was sent");
}
