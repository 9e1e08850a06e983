//! Gateways behind proxies. Connections from [`PROXY`] are a listed proxy's; the others are
//! clients', each with its own address.

mod headers;
mod protocol;
pub(crate) mod real;

use std::net::{IpAddr, SocketAddr};

use handfast_core::limits::Limits;
use handfast_server::proxies::{ForwardedHeader, ProxySettings};
use handfast_server::{Gateway, GatewayBuilder};
use handfast_store::MemoryStore;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

use super::{Client, Served};

const PROXY: &str = "127.0.0.9";

fn builder(header: ForwardedHeader, limits: Limits) -> GatewayBuilder {
    let proxies = ProxySettings {
        trusted: vec![PROXY.parse().unwrap(), "10.0.0.5/32".parse().unwrap()],
        header,
    };
    Gateway::builder(MemoryStore::default()).proxies(proxies).limits(limits)
}

async fn behind(header: ForwardedHeader, limits: Limits) -> Served {
    Served::over(builder(header, limits).start().await.unwrap()).await
}

/// Opens a connection from an address of this machine.
pub(crate) async fn from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Opens a WebSocket over a connection, with these headers.
pub(crate) async fn websocket(stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> Client {
    let mut request =
        format!("ws://{}{path}", stream.peer_addr().unwrap()).into_client_request().unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    let (socket, _) =
        tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream)).await.unwrap();
    Client { socket }
}

/// Sends a pairing request over a WebSocket, and returns the address that the registry recorded.
async fn recorded(served: &Served, mut client: Client, name: &str) -> IpAddr {
    let profile = json!({"board": "test"});
    client.say(json!({"type": "pair_request", "friendly_name": name, "room": "Kitchen", "hardware_profile": profile})).await;
    let pending = client.hear().await;
    assert_eq!(pending["type"], "pair_pending", "{pending}");
    let device =
        served.gateway.device_by_prefix(pending["node_id"].as_str().unwrap()).await.unwrap();
    device.entry.record.address
}

/// Sends one request over a connection that stays open, and returns the status and the body.
pub(crate) async fn get(
    stream: &mut TcpStream,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned());
            }
        }
        let mut more = [0; 1024];
        match stream.read(&mut more).await.unwrap_or(0) {
            0 => return (0, text),
            count => read.extend(&more[..count]),
        }
    }
}
