//! One connection to the gateway: opened within time limits, read, written to, and closed in order.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use handfast_core::wire::close::Close;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

use crate::event::{Lost, presentable};
use crate::gateway_url::GatewayUrl;

/// The byte stream below a WebSocket: TCP, or TLS over it.
pub(crate) trait SocketStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> SocketStream for T {}
pub(crate) type Socket = WebSocketStream<Box<dyn SocketStream>>;

/// A future connection.
pub(crate) type Opening<L> = Pin<Box<dyn Future<Output = Result<L, Lost>> + Send>>;

/// An open connection that carries whole messages.
pub(crate) trait Link {
    /// A received message.
    type Frame;
    /// A message to send.
    type Outgoing: ?Sized + 'static;

    /// Waits for the next message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Lost`]; after it, only [`finish`](Self::finish) may be called.
    async fn next(&mut self) -> Result<Self::Frame, Lost>;

    /// Sends a message. Dropping the future leaves the connection unusable.
    ///
    /// # Errors
    /// [`Lost`] when the connection failed.
    async fn send(&mut self, message: &Self::Outgoing) -> Result<(), Lost>;

    /// Closes the connection and waits for the gateway's part of that. The caller bounds the wait.
    async fn close(&mut self, close: Close);

    /// Lets the answer to the gateway's close frame go out. The caller bounds the wait.
    async fn finish(&mut self);
}

/// The state of the connection.
pub(crate) enum Connection<L> {
    None,
    Opening(Opening<L>),
    Open(L),
}

/// An event of the connection.
pub(crate) enum ConnectionEvent<F> {
    Opened,
    Frame(F),
    Lost(Lost),
}

impl<L: Link> Connection<L> {
    /// Waits for the next event; forever if there is no connection. Dropping the future loses
    /// nothing. After [`ConnectionEvent::Lost`] the caller has to call [`finish`](Self::finish).
    pub(crate) async fn next(&mut self) -> ConnectionEvent<L::Frame> {
        match self {
            Self::None => std::future::pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(link) => {
                    *self = Self::Open(link);
                    ConnectionEvent::Opened
                }
                Err(why) => ConnectionEvent::Lost(why),
            },
            Self::Open(link) => match link.next().await {
                Ok(frame) => ConnectionEvent::Frame(frame),
                Err(why) => ConnectionEvent::Lost(why),
            },
        }
    }

    /// Sends a message. Does nothing if no connection is open.
    pub(crate) async fn send(
        &mut self,
        message: &L::Outgoing,
        within: Duration,
    ) -> Result<(), Lost> {
        let Self::Open(link) = self else { return Ok(()) };
        let sent = timeout(within, link.send(message)).await.unwrap_or(Err(Lost::Silent));
        if sent.is_err() {
            // A failed write may have sent half of a message, so the connection is unusable.
            *self = Self::None;
        }
        sent
    }

    /// Closes the connection and waits up to `within` for the gateway's part of that; abandons an
    /// attempt to open. Returns `false` if there was nothing to close.
    pub(crate) async fn close(&mut self, close: Close, within: Duration) -> bool {
        match std::mem::replace(self, Self::None) {
            Self::None => false,
            Self::Opening(_) => true,
            Self::Open(mut link) => {
                // A gateway that does not answer is not waited for: dropping the link ends the
                // connection.
                let _ = timeout(within, link.close(close)).await;
                true
            }
        }
    }

    /// Lets the answer to the gateway's close frame go out, then drops the connection.
    pub(crate) async fn finish(&mut self, within: Duration) {
        if let Self::Open(mut link) = std::mem::replace(self, Self::None) {
            let _ = timeout(within, link.finish()).await;
        }
    }
}

/// Closes a WebSocket, and reads on until the gateway ends the connection, because that drives the
/// closing handshake.
pub(crate) async fn close_socket(socket: &mut Socket, close: Close) {
    let frame =
        CloseFrame { code: close.code.into(), reason: Utf8Bytes::from_static(close.reason) };
    if WebSocketStream::close(socket, Some(frame)).await.is_ok() {
        read_out(socket).await;
    }
}

/// Reads a WebSocket to its end.
pub(crate) async fn read_out(socket: &mut Socket) {
    while let Some(Ok(_)) = socket.next().await {}
}

/// Describes the end of a WebSocket by what came instead of a message.
pub(crate) fn ended(instead: Option<Result<Option<CloseFrame>, Error>>) -> Lost {
    match instead {
        Some(Ok(frame)) => {
            // 1005 stands for a close frame without a code (RFC 6455).
            let (code, reason) =
                frame.map_or((1005, String::new()), |f| (f.code.into(), presentable(&f.reason)));
            Lost::Closed { code, reason }
        }
        Some(Err(error)) => Lost::Broken(presentable(&error.to_string())),
        None => Lost::Broken("it ended without a word".to_owned()),
    }
}

/// Returns the settings of a WebSocket for messages of at most `most` bytes.
pub(crate) fn socket_config(most: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        // The library's default is 128 KiB for each connection.
        .read_buffer_size(4096)
        // A frame is written at once, because an answer waits for it.
        .write_buffer_size(0)
        .max_write_buffer_size(2 * most.max(32 * 1024))
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
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
            Some(config) => Box::new(encrypt(&gateway.host(), config, tcp).await?),
        };
        upgrade(stream, gateway, most, subprotocol).await
    };
    match timeout(within, shake).await {
        Ok(done) => done,
        Err(_) => Err(unanswered(gateway)),
    }
}

/// Opens a WebSocket on a stream to the gateway.
pub(crate) async fn upgrade(
    stream: Box<dyn SocketStream>,
    gateway: &GatewayUrl,
    most: usize,
    subprotocol: Option<&'static str>,
) -> Result<Socket, Lost> {
    let opened = try_upgrade(stream, gateway, most, subprotocol).await;
    opened.map_err(|error| Lost::NotOpened(not_a_gateway(gateway, subprotocol, &error)))
}

/// As [`upgrade`], for a caller that judges the error by itself.
pub(crate) async fn try_upgrade(
    stream: Box<dyn SocketStream>,
    gateway: &GatewayUrl,
    most: usize,
    subprotocol: Option<&'static str>,
) -> Result<Socket, Error> {
    let mut request = gateway.to_string().into_client_request()?;
    if let Some(name) = subprotocol {
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    let config = Some(socket_config(most));
    let opened = tokio_tungstenite::client_async_with_config(request, stream, config).await;
    opened.map(|(socket, _)| socket)
}

/// Describes a gateway that accepted a connection and did not go on.
pub(crate) fn unanswered(gateway: &impl Display) -> Lost {
    Lost::NotOpened(format!(
        "{gateway} accepted the connection and then said nothing; is a gateway there?"
    ))
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
    // Each address has a share of the time, so that one that is silent does not use it up.
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
            Ok(Err(why)) => Lost::NotOpened(format!(
                "cannot connect to {gateway}: {why}; does the gateway run, and is it reached there?"
            )),
            Err(elapsed) => late(elapsed),
        };
    }
    Err(last)
}

/// Opens TLS over a connection to this host.
pub(crate) async fn encrypt(
    host: &str,
    config: Arc<ClientConfig>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, Lost> {
    let name = ServerName::try_from(host.to_owned())
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
fn not_a_gateway(gateway: &GatewayUrl, subprotocol: Option<&'static str>, error: &Error) -> String {
    match error {
        Error::Http(answer) => format!(
            "{gateway} answered HTTP {} instead of opening a WebSocket",
            answer.status().as_u16()
        ),
        Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol,
        )) => format!(
            "{gateway} does not speak {}; for a gateway that only knows tokens, pair without --pin, --code, --qr and --approval",
            subprotocol.unwrap_or_default()
        ),
        // What is no HTTP at all, or ends at once, is most often a listener for TLS.
        Error::Protocol(ProtocolError::HttparseError(_) | ProtocolError::HandshakeIncomplete)
            if !gateway.is_tls() =>
        {
            let tls = gateway.to_string().replacen("ws://", "wss://", 1);
            format!("{gateway} does not speak HTTP there; if it speaks TLS, write {tls}")
        }
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
