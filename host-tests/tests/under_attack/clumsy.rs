//! Requests that are too large, too slow, or never end.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::operator::{gets, paired_by_token};
use super::peer::wire;
use super::{HOME, STRANGER, address};
use crate::cli::gateway::Gateway;
use crate::conformance::floods::all_link;

async fn connects(to: SocketAddr, from: IpAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Reads until a connection ends, or until nothing comes for a while.
fn hears(stream: &mut std::net::TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (mut heard, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read) = stream.read(&mut chunk) {
        if read == 0 {
            break;
        }
        heard.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_may_wait_that_never_finish_what_they_begin_keep_no_paired_node_out()
{
    let gateway = Gateway::start_quietly(&[]);
    let to = address(&gateway);
    let nodes = paired_by_token(&gateway, 16).await;
    let beginnings: [&[u8]; 6] = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: gateway\r\nX-Slow: ",
        b"POST /api/v1/session/refresh HTTP/1.1\r\nHost: gateway\r\nContent-Length: 60000\r\n\r\n{",
        b"POST /api/v1/session/refresh HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
        b"GET / HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\xfe",
    ];
    let mut open = Vec::new();
    for number in 0..1100_usize {
        let from = IpAddr::from([127, 8, 0, u8::try_from(number % 20).unwrap() + 1]);
        let mut stream = connects(to, from).await;
        let _ = stream.write_all(beginnings[number / 20 % beginnings.len()]).await;
        open.push(stream);
    }
    let took = all_link(to, nodes.clone(), HOME).await;
    println!("beside {} connections that never finish: 16 of 16 in {took:?}", open.len());
    // The address that holds the most connections links as well.
    let took = all_link(to, nodes, IpAddr::from([127, 8, 0, 1])).await;
    println!("from an address that has its share of them: 16 of 16 in {took:?}");
    let waiting = gets(&gateway, "/api/v1/status")["waiting"].as_u64().unwrap();
    assert!(waiting <= 1024, "{waiting}");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read_whole() {
    let gateway = Gateway::start_quietly(&[]);
    let connects = || std::net::TcpStream::connect(&gateway.address).unwrap();
    let with = |lines: &str| {
        format!("POST /api/v1/devices/reject HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n")
    };
    let long = format!("X-Long: {}\r\n", "a".repeat(64 * 1024));
    let many: String = (0..2000).map(|number| format!("X-{number}: a\r\n")).collect();
    for (head, expected) in [
        (with(&long), "HTTP/1.1 431 "),
        (with(&many), "HTTP/1.1 431 "),
        (format!("GET /{} HTTP/1.1\r\nHost: gateway\r\n\r\n", "a".repeat(64 * 1024)), "HTTP/1.1 4"),
        (with("Content-Length: 65537\r\n"), "HTTP/1.1 413 "),
        (with("Content-Length: 99999999999999999999999\r\n"), "HTTP/1.1 4"),
        (with("Content-Length: 5\r\nContent-Length: 6\r\n"), "HTTP/1.1 400 "),
        (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "HTTP/1.1 "),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), ""),
    ] {
        let mut stream = connects();
        // The gateway may disconnect before everything is sent.
        let _ = stream.write_all(head.as_bytes());
        let heard = hears(&mut stream);
        let begins: String = head.chars().take(80).collect();
        assert!(
            heard.starts_with(expected) && !heard.starts_with("HTTP/1.1 2"),
            "{begins:?}: {heard}"
        );
    }
    // A body without an announced end.
    let mut stream = connects();
    let _ = stream.write_all(with("Transfer-Encoding: chunked\r\n").as_bytes());
    let chunk = [b"4000\r\n".as_slice(), &vec![b'a'; 0x4000], b"\r\n"].concat();
    let sent = (0..10_000).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    assert!(sent < 1000, "{sent} chunks of 16 KiB were taken");
    assert_eq!(gets(&gateway, "/api/v1/status")["linked"], 0, "and it serves on");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_end_their_connection_and_no_other() {
    let gateway = Gateway::start_quietly(&["--listen-tcp", "127.0.0.1:0"]);
    let mut client = wire(address(&gateway), STRANGER).await.unwrap();
    client.send(Message::binary(vec![1; 1025])).await;
    client.expect_close(1009, "Message too big").await;
    let mut client = wire(address(&gateway), STRANGER).await.unwrap();
    client.send(Message::binary(vec![1, 0])).await;
    client.send(Message::binary(vec![1; 1024])).await;
    assert!(matches!(client.next().await, Message::Binary(_) | Message::Close(_)));
    let nodes = paired_by_token(&gateway, 1).await;
    all_link(address(&gateway), nodes, STRANGER).await;
}
