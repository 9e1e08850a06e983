//! Headers of a listed proxy in version 2 of the PROXY protocol, ahead of a connection's bytes.

use std::net::SocketAddr;
use std::time::Duration;

use handfast_core::limits::Limits;
use handfast_server::proxies::ForwardedHeader;
use handfast_server::{Gateway, Listening};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::{PATIENCE, eventually};
use super::{PROXY, builder, from, get, recorded, websocket};
use crate::conformance::Served;

fn header(of: &str) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend(of.parse::<std::net::Ipv4Addr>().unwrap().octets());
    bytes.extend([127, 0, 0, 1, 0x30, 0x39, 0x22, 0x3d]);
    bytes
}

async fn listening(proxy_protocol: bool) -> (Listening, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Listening { listener, proxy_protocol }, address)
}

/// Starts a gateway whose one listener takes the header, and returns it with its address.
async fn headed(limits: Limits) -> (Gateway, SocketAddr) {
    let gateway = builder(ForwardedHeader::XForwardedFor, limits).start().await.unwrap();
    let (listening, address) = listening(true).await;
    tokio::spawn(handfast_server::serve(gateway.clone(), listening, None, std::future::pending()));
    (gateway, address)
}

async fn headed_tcp(limits: Limits, proxy_protocol: bool) -> (Gateway, SocketAddr) {
    let gateway = builder(ForwardedHeader::XForwardedFor, limits).start().await.unwrap();
    let (listening, address) = listening(proxy_protocol).await;
    tokio::spawn(handfast_server::serve_tcp(gateway.clone(), listening, std::future::pending()));
    (gateway, address)
}

async fn with_header(of: &str, to: SocketAddr) -> TcpStream {
    let mut stream = from(PROXY, to).await;
    stream.write_all(&header(of)).await.unwrap();
    stream
}

/// Reads until the other side ends the connection.
async fn until_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard))
        .await
        .expect("the connection should have ended");
    heard
}

#[tokio::test]
async fn a_connection_counts_for_the_address_in_its_proxy_header() {
    let (gateway, address) = headed(Limits::DEFAULT).await;
    let served = Served::of(gateway, address);
    // The headers of a client that is not a listed proxy are ignored.
    let client = websocket(
        with_header("203.0.113.7", address).await,
        "/",
        &[("X-Forwarded-For", "6.6.6.6")],
    )
    .await;
    assert_eq!(recorded(&served, client, "One").await.to_string(), "203.0.113.7");
    // Those of a proxy behind the listed proxy are believed.
    let client = websocket(
        with_header("10.0.0.5", address).await,
        "/",
        &[("X-Forwarded-For", "6.6.6.6, 203.0.113.8")],
    )
    .await;
    assert_eq!(recorded(&served, client, "Two").await.to_string(), "203.0.113.8");
    // A proxy's own connection counts for the proxy.
    let mut itself = from(PROXY, address).await;
    itself.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await.unwrap();
    let client = websocket(itself, "/", &[]).await;
    assert_eq!(recorded(&served, client, "Three").await.to_string(), PROXY);
}

#[tokio::test]
async fn a_connection_from_elsewhere_is_closed_where_proxy_headers_are_due() {
    for (_gateway, address) in
        [headed(Limits::DEFAULT).await, headed_tcp(Limits::DEFAULT, true).await]
    {
        let mut stranger = from("127.0.0.3", address).await;
        let _ = stranger.write_all(&header("203.0.113.7")).await;
        let _ = stranger.write_all(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        assert!(until_the_end(&mut stranger).await.is_empty());
    }
}

#[tokio::test]
async fn a_listed_proxy_that_sends_no_header_is_closed_and_one_that_sends_nothing_after_two_seconds()
 {
    for (_gateway, address) in
        [headed(Limits::DEFAULT).await, headed_tcp(Limits::DEFAULT, true).await]
    {
        let mut without = from(PROXY, address).await;
        without.write_all(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n").await.unwrap();
        assert!(until_the_end(&mut without).await.is_empty());
        let mut first_version = from(PROXY, address).await;
        first_version.write_all(b"PROXY TCP4 203.0.113.7 127.0.0.1 12345 8765\r\n").await.unwrap();
        assert!(until_the_end(&mut first_version).await.is_empty());
    }
    // Well before the time by which it would have to send a request.
    let (_gateway, address) = headed(Limits::DEFAULT).await;
    let mut slow = from(PROXY, address).await;
    slow.write_all(&header("203.0.113.7")[..20]).await.unwrap();
    let ended = timeout(Duration::from_secs(8), until_the_end(&mut slow)).await;
    assert!(ended.is_ok_and(|heard| heard.is_empty()));
}

#[tokio::test]
async fn without_the_option_a_proxy_header_is_a_protocol_error() {
    let gateway = builder(ForwardedHeader::XForwardedFor, Limits::DEFAULT).start().await.unwrap();
    let served = Served::over(gateway).await;
    let (_gateway, tcp) = headed_tcp(Limits::DEFAULT, false).await;
    for address in [served.address, tcp] {
        for source in [PROXY, "127.0.0.3"] {
            let mut stream = from(source, address).await;
            stream.write_all(&header("203.0.113.7")).await.unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n\0").await.unwrap();
            let heard = until_the_end(&mut stream).await;
            assert!(!heard.starts_with(b"HTTP/1.1 2"), "{:?}", String::from_utf8_lossy(&heard));
        }
    }
}

#[tokio::test]
async fn over_tcp_each_proxied_source_has_its_own_share_of_places() {
    let limits = Limits { waiting_per_source: 1, ..Limits::DEFAULT };
    let (gateway, address) = headed_tcp(limits, true).await;
    let mut first = with_header("203.0.113.7", address).await;
    eventually(async || gateway.summary().await.unwrap().waiting == 1).await;
    let mut other = with_header("203.0.113.8", address).await;
    eventually(async || gateway.summary().await.unwrap().waiting == 2).await;
    // Another one of the first source takes its own slot.
    let _second = with_header("203.0.113.7", address).await;
    until_the_end(&mut first).await;
    assert_eq!(gateway.summary().await.unwrap().waiting, 2);
    assert!(
        timeout(Duration::from_millis(50), other.read(&mut [0; 8])).await.is_err(),
        "the other one is still there"
    );
}

#[tokio::test]
async fn over_http_each_source_in_a_proxy_header_has_its_own_share_of_places() {
    let limits = Limits { waiting_per_source: 2, waiting_total: 8, ..Limits::DEFAULT };
    let (gateway, address) = headed(limits).await;
    let mut other = websocket(with_header("203.0.113.8", address).await, "/", &[]).await;
    let mut silent = Vec::new();
    for _ in 0..7 {
        silent.push(with_header("203.0.113.7", address).await);
    }
    // Connections of the first source displace each other, long before all slots are taken.
    for displaced in &mut silent[..5] {
        assert!(until_the_end(displaced).await.is_empty());
    }
    eventually(async || gateway.summary().await.unwrap().waiting == 3).await;
    let mut begun = websocket(with_header("203.0.113.7", address).await, "/", &[]).await;
    let _ = begun.socket.close(None).await;
    other.say(json!({"type": "pair_request", "friendly_name": "Kitchen Pi", "room": "R", "hardware_profile": {}})).await;
    assert_eq!(other.hear().await["type"], "pair_pending");
}

#[tokio::test]
async fn a_request_behind_a_proxy_header_is_served_in_tls_as_well() {
    let (_gateway, address) = headed(Limits::DEFAULT).await;
    let mut plain = with_header("203.0.113.7", address).await;
    assert_eq!(get(&mut plain, "/health", &[]).await.0, 200);

    let gateway = builder(ForwardedHeader::XForwardedFor, Limits::DEFAULT).start().await.unwrap();
    let (listening, address) = listening(true).await;
    let (acceptor, connector, name) = super::super::tls::both_sides();
    tokio::spawn(handfast_server::serve(
        gateway,
        listening,
        Some(acceptor),
        std::future::pending(),
    ));
    let stream = with_header("203.0.113.7", address).await;
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&heard));
}
