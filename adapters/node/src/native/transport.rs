//! One connection to the gateway over any transport: opened within time limits, read, written to,
//! and closed in order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use handfast_core::limits::MESSAGE_BYTES;
use handfast_core::wire::close::Close;
use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};

use super::address::GatewayAt;
use super::stream::{FramedStream, open_line};
use crate::connection::{self, Socket};
use crate::event::{Lost, presentable};
use crate::waits::Waits;

/// The WebSocket subprotocol of the native wire.
const SUBPROTOCOL: &str = "handfast.v1";

/// The addresses of the gateway, and the settings for connecting to it.
#[derive(Clone)]
pub(super) struct NativeTarget {
    /// The addresses in the order in which they are tried.
    pub(super) gateways: Arc<[GatewayAt]>,
    /// `Some` if one of the addresses is a `wss://` one.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) waits: Waits,
}

type Opening = Pin<Box<dyn Future<Output = Result<(OpenCarrier, usize), Lost>> + Send>>;

/// The state of the connection.
pub(super) enum NativeCarrier {
    None,
    Opening(Opening),
    Open(OpenCarrier),
}

/// An open connection.
pub(super) enum OpenCarrier {
    WebSocket(Box<Socket>),
    Stream(Box<FramedStream>),
}

/// An event of the connection.
pub(super) enum TransportEvent {
    /// The connection is open, at the address with this index.
    Opened(usize),
    Frame(Vec<u8>),
    Lost(Lost),
}

impl NativeCarrier {
    pub(super) fn open(target: &NativeTarget) -> Self {
        Self::Opening(Box::pin(open_first(target.clone())))
    }

    /// Waits for the next event; forever if there is no connection. Dropping the future loses
    /// nothing. After [`TransportEvent::Lost`] the caller has to call [`finish`](Self::finish).
    pub(super) async fn next(&mut self) -> TransportEvent {
        match self {
            Self::None => std::future::pending().await,
            Self::Opening(opening) => match opening.await {
                Ok((open, at)) => {
                    *self = Self::Open(open);
                    TransportEvent::Opened(at)
                }
                Err(why) => TransportEvent::Lost(why),
            },
            Self::Open(open) => match open.next().await {
                Ok(frame) => TransportEvent::Frame(frame),
                Err(why) => TransportEvent::Lost(why),
            },
        }
    }

    /// Sends a frame. Does nothing if no connection is open.
    pub(super) async fn send(&mut self, frame: &[u8], within: Duration) -> Result<(), Lost> {
        let Self::Open(open) = self else { return Ok(()) };
        match timeout(within, open.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(lost)) => {
                // A failed write may have sent half of a message, so the connection is unusable.
                *self = Self::None;
                Err(lost)
            }
            Err(_) => {
                *self = Self::None;
                Err(Lost::Silent)
            }
        }
    }

    /// Closes the connection and waits up to `within` for the gateway's close frame; abandons an
    /// attempt to open. Returns `false` if there was nothing to close.
    pub(super) async fn close(&mut self, close: Close, within: Duration) -> bool {
        match std::mem::replace(self, Self::None) {
            Self::None => false,
            Self::Opening(_) => true,
            Self::Open(mut open) => {
                open.close(close, within).await;
                true
            }
        }
    }

    /// Lets the answer to the gateway's close frame go out, then drops the connection.
    pub(super) async fn finish(&mut self, within: Duration) {
        if let Self::Open(OpenCarrier::WebSocket(mut socket)) = std::mem::replace(self, Self::None)
        {
            let _ = timeout(within, async { while let Some(Ok(_)) = socket.next().await {} }).await;
        }
    }
}

impl OpenCarrier {
    /// Waits for the next message.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, Lost> {
        let socket = match self {
            Self::Stream(framed) => return framed.next().await,
            Self::WebSocket(socket) => socket,
        };
        loop {
            match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes.into()),
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame
                        .map_or((1005, String::new()), |f| (f.code.into(), presentable(&f.reason)));
                    return Err(Lost::Closed { code, reason });
                }
                // The WebSocket layer answers pings; this wire has no text messages.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Err(Lost::Broken("text came where only binary messages go".to_owned()));
                }
                Some(Err(error)) => return Err(Lost::Broken(presentable(&error.to_string()))),
                None => return Err(Lost::Broken("it ended without a word".to_owned())),
            }
        }
    }

    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), Lost> {
        match self {
            Self::Stream(framed) => framed.send(frame).await,
            Self::WebSocket(socket) => socket
                .send(Message::Binary(Bytes::copy_from_slice(frame)))
                .await
                .map_err(|error| Lost::Broken(presentable(&error.to_string()))),
        }
    }

    pub(super) async fn close(&mut self, close: Close, within: Duration) {
        match self {
            Self::Stream(framed) => framed.end().await,
            Self::WebSocket(socket) => {
                let frame = CloseFrame {
                    code: close.code.into(),
                    reason: Utf8Bytes::from_static(close.reason),
                };
                let goodbye = async {
                    // Reading on drives the closing handshake until the gateway ends the
                    // connection.
                    if WebSocketStream::close(socket, Some(frame)).await.is_ok() {
                        while let Some(Ok(_)) = socket.next().await {}
                    }
                };
                // A gateway that does not answer is not waited for: dropping the socket ends the
                // connection.
                let _ = timeout(within, goodbye).await;
            }
        }
    }
}

/// Opens a connection to the first address that answers, and returns it with that address's index.
pub(super) async fn open_first(target: NativeTarget) -> Result<(OpenCarrier, usize), Lost> {
    let mut last = Lost::NotOpened(
        "there is no address of a gateway to connect to; name one with --gateway".to_owned(),
    );
    for (at, gateway) in target.gateways.iter().enumerate() {
        match open_one(gateway, &target).await {
            Ok(open) => return Ok((open, at)),
            Err(lost) => {
                if at + 1 < target.gateways.len() {
                    tracing::info!("{lost}; trying the gateway's next address");
                }
                last = lost;
            }
        }
    }
    Err(last)
}

async fn open_one(gateway: &GatewayAt, target: &NativeTarget) -> Result<OpenCarrier, Lost> {
    let within = target.waits.connect_within;
    match gateway {
        GatewayAt::WebSocket(url) => {
            let tls = target.tls.clone().filter(|_| url.is_tls());
            let socket =
                connection::open(url, tls, within, MESSAGE_BYTES, Some(SUBPROTOCOL)).await?;
            Ok(OpenCarrier::WebSocket(Box::new(socket)))
        }
        GatewayAt::Tcp { host, port } => {
            let tcp = connection::connect(host, *port, gateway, within).await?;
            Ok(OpenCarrier::Stream(Box::new(FramedStream::new(Box::new(tcp)))))
        }
        GatewayAt::Serial { path, baud } => {
            Ok(OpenCarrier::Stream(Box::new(open_line(path, *baud, within).await?)))
        }
    }
}
