//! One connection to the gateway: opened within time limits, read, written to, and closed in order.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handfast_core::Instant;
use handfast_core::limits::{FRAME_BYTES, Limits};
use handfast_core::link::keepalive::{Due, Keepalive};
use handfast_core::wire::close::Close;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Utf8Bytes};

use crate::clock::ProcessClock;
use crate::event::{Lost, presentable};
use crate::gateway_url::GatewayUrl;
use crate::waits::{Waits, span};

/// The byte stream below a WebSocket: TCP, or TLS over it.
pub(crate) trait SocketStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> SocketStream for T {}
pub(crate) type Socket = WebSocketStream<Box<dyn SocketStream>>;
type Opening = Pin<Box<dyn Future<Output = Result<Socket, Lost>> + Send>>;

/// The address of the gateway, and the settings for connecting to it.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) gateway: GatewayUrl,
    /// `Some` if and only if the address is a `wss://` one.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) waits: Waits,
}

/// The state of the connection.
pub(crate) enum Connection {
    None,
    Opening(Opening),
    Open { socket: Box<Socket>, keepalive: Keepalive },
}

/// An event of the connection.
pub(crate) enum SocketEvent {
    Opened,
    Text(Utf8Bytes),
    Lost(Lost),
}

impl Connection {
    pub(crate) fn open(target: &Target) -> Self {
        Self::Opening(Box::pin(dial(target.clone())))
    }

    /// Waits for the next event; forever if there is no connection. Dropping the future loses
    /// nothing. After [`SocketEvent::Lost`] the caller has to call [`finish`](Self::finish).
    pub(crate) async fn next(&mut self, clock: &ProcessClock, waits: &Waits) -> SocketEvent {
        let limits = limits(waits);
        loop {
            let heard = match self {
                Self::None => std::future::pending().await,
                Self::Opening(opening) => match opening.await {
                    Ok(socket) => {
                        *self = Self::Open {
                            socket: Box::new(socket),
                            keepalive: Keepalive::start(clock.now(), &limits),
                        };
                        return SocketEvent::Opened;
                    }
                    Err(why) => Some(SocketEvent::Lost(why)),
                },
                Self::Open { socket, keepalive } => {
                    tokio::select! {
                        message = socket.next() => {
                            *keepalive = keepalive.heard(clock.now(), &limits);
                            on_message(message)
                        }
                        () = clock.until(Some(keepalive.deadline().0)) => ask(socket, keepalive, clock.now(), &limits),
                    }
                }
            };
            if let Some(heard) = heard {
                return heard;
            }
        }
    }

    /// Sends a text frame. Does nothing if no connection is open.
    pub(crate) async fn send(&mut self, text: Utf8Bytes, within: Duration) -> Result<(), Lost> {
        let Self::Open { socket, .. } = self else {
            return Ok(());
        };
        let sent = match timeout(within, socket.send(Message::Text(text))).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Lost::Broken(presentable(&error.to_string())),
            Err(_) => Lost::Silent,
        };
        *self = Self::None;
        Err(sent)
    }

    /// Closes the connection and waits up to `within` for the gateway's close frame; abandons an
    /// attempt to open. Returns `false` if there was nothing to close.
    pub(crate) async fn close(&mut self, close: Close, within: Duration) -> bool {
        match std::mem::replace(self, Self::None) {
            Self::None => false,
            Self::Opening(_) => true,
            Self::Open { mut socket, .. } => {
                let frame = CloseFrame {
                    code: close.code.into(),
                    reason: Utf8Bytes::from_static(close.reason),
                };
                let goodbye = async {
                    // Reading on drives the closing handshake until the gateway ends the
                    // connection.
                    if WebSocketStream::close(&mut socket, Some(frame)).await.is_ok() {
                        while let Some(Ok(_)) = socket.next().await {}
                    }
                };
                // A gateway that does not answer is not waited for: dropping the socket ends the
                // connection.
                let _ = timeout(within, goodbye).await;
                true
            }
        }
    }

    /// Lets the answer to the gateway's close frame go out, then drops the socket.
    pub(crate) async fn finish(&mut self, within: Duration) {
        if let Self::Open { mut socket, .. } = std::mem::replace(self, Self::None) {
            let _ = timeout(within, async { while let Some(Ok(_)) = socket.next().await {} }).await;
        }
    }
}

fn limits(waits: &Waits) -> Limits {
    Limits {
        ping_every: span(waits.ping_every),
        pong_within: span(waits.pong_within),
        ..Limits::DEFAULT
    }
}

fn on_message(message: Option<Result<Message, Error>>) -> Option<SocketEvent> {
    match message {
        Some(Ok(Message::Text(text))) => Some(SocketEvent::Text(text)),
        Some(Ok(Message::Close(frame))) => {
            let (code, reason) =
                frame.map_or((1005, String::new()), |f| (f.code.into(), presentable(&f.reason)));
            Some(SocketEvent::Lost(Lost::Closed { code, reason }))
        }
        // The WebSocket layer answers pings; binary frames belong to applications, and this one has
        // none.
        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
            None
        }
        Some(Err(error)) => Some(SocketEvent::Lost(Lost::Broken(presentable(&error.to_string())))),
        None => Some(SocketEvent::Lost(Lost::Broken("it ended without a word".to_owned()))),
    }
}

/// Sends a ping when one is due, or reports that the last one was not answered.
fn ask(
    socket: &mut Socket,
    keepalive: &mut Keepalive,
    now: Instant,
    limits: &Limits,
) -> Option<SocketEvent> {
    let (next, due) = keepalive.tick(now, limits);
    *keepalive = next;
    match due {
        Due::Nothing => None,
        Due::Lost => Some(SocketEvent::Lost(Lost::Silent)),
        Due::Ping => {
            // Queued without waiting; the next read sends it. A full queue means that the gateway
            // accepts no data: then no answer comes either.
            let _ = socket.start_send_unpin(Message::Ping(Bytes::new()));
            None
        }
    }
}

async fn dial(target: Target) -> Result<Socket, Lost> {
    let Target { gateway, tls, waits } = target;
    open(&gateway, tls, waits.connect_within, FRAME_BYTES, None).await
}

/// Opens a WebSocket for messages of at most `most` bytes, with this subprotocol if one is given.
pub(crate) async fn open(
    gateway: &GatewayUrl,
    tls: Option<Arc<ClientConfig>>,
    within: Duration,
    most: usize,
    subprotocol: Option<&'static str>,
) -> Result<Socket, Lost> {
    let tcp = connect(&gateway.host(), gateway.port(), gateway, within).await?;
    let shake = async {
        let stream: Box<dyn SocketStream> = match tls {
            None => Box::new(tcp),
            Some(config) => Box::new(encrypt(gateway, config, tcp).await?),
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let refused = |error| Lost::NotOpened(not_a_gateway(gateway, &error));
        let mut request = gateway.to_string().into_client_request().map_err(refused)?;
        if let Some(name) = subprotocol {
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        let shaken =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        shaken.map(|(socket, _)| socket).map_err(refused)
    };
    match timeout(within, shake).await {
        Ok(done) => done,
        Err(_) => Err(Lost::NotOpened(format!(
            "{gateway} accepted the connection and then said nothing; is a gateway there?"
        ))),
    }
}

/// Tries the host's addresses one after the other; each gets an equal share of the time. `gateway`
/// is used in error messages.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    gateway: &impl Display,
    within: Duration,
) -> Result<TcpStream, Lost> {
    let late = |_| {
        Lost::NotOpened(format!(
            "{gateway} does not answer; check the address, and that a firewall lets port {port} through"
        ))
    };
    let found = timeout(within, tokio::net::lookup_host((host, port))).await.map_err(late)?;
    let unknown = |why: &dyn Display| {
        Lost::NotOpened(format!("the host {host} of the gateway cannot be found: {why}"))
    };
    let addresses: Vec<_> = found.map_err(|e| unknown(&e))?.collect();
    let share = within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = unknown(&"it has no address");
    for address in addresses {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Frames are small and answer each other, so Nagle's algorithm would only delay
                // them.
                return match stream.set_nodelay(true) {
                    Ok(()) => Ok(stream),
                    Err(why) => Err(Lost::NotOpened(format!("cannot set TCP_NODELAY: {why}"))),
                };
            }
            Ok(Err(why)) => Lost::NotOpened(format!("cannot connect to {gateway}: {why}")),
            Err(elapsed) => late(elapsed),
        };
    }
    Err(last)
}

async fn encrypt(
    gateway: &GatewayUrl,
    config: Arc<ClientConfig>,
    tcp: TcpStream,
) -> Result<impl SocketStream + use<>, Lost> {
    let host = gateway.host();
    let name = ServerName::try_from(host.clone())
        .map_err(|_| Lost::NotOpened(format!("{host} is a name that no certificate can have")))?;
    tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.map_err(|error| {
        let untrusted = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        let hint = match untrusted {
            Some(rustls::Error::InvalidCertificate(_)) => {
                "; if a private CA issued its certificate, name that CA with --ca FILE"
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                "; perhaps the gateway speaks plain ws:// on this port"
            }
            _ => "",
        };
        Lost::NotOpened(format!("TLS with {host} failed: {error}{hint}"))
    })
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the library's other errors are told alike")]
fn not_a_gateway(gateway: &GatewayUrl, error: &Error) -> String {
    match error {
        Error::Http(answer) => format!(
            "{gateway} answered HTTP {} instead of opening a WebSocket",
            answer.status().as_u16()
        ),
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )) => format!(
            "{gateway} does not speak handfast.v1; for a gateway that only knows tokens, pair without --pin, --code, --qr and --approval"
        ),
        other => format!("{gateway} does not speak WebSocket: {}", presentable(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_frames_are_not_held_back_by_tcp() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream =
            connect("127.0.0.1", port, &"the gateway", Duration::from_secs(10)).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
